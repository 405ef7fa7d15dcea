/* backup and restore. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/offline.h"
#include "models/alias.h"
#include "models/builds.h"
#include "os/fd.h"
#include "os/spawn.h"
#include "store/backup.h"
#include "store/db.h"

static void print_result(const struct args *a, const char *what, const struct backup_result *r)
{
	char all[HUMAN_MAX], fresh[HUMAN_MAX];
	human_bytes(r->bytes, all);
	human_bytes(r->new_bytes, fresh);
	if (a->json)
		printf("{\"manifest\":\"%s\",\"files\":%llu,\"bytes\":%llu,\"new_objects\":%llu,"
			"\"new_bytes\":%llu}\n",
			r->manifest, (unsigned long long)r->files, (unsigned long long)r->bytes,
			(unsigned long long)r->new_objects, (unsigned long long)r->new_bytes);
	else
		printf("%s %s: %llu files, %s (%s new)\n", what, r->manifest,
			(unsigned long long)r->files, all, fresh);
}

static enum err backup(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	const char *to = args_get(a, "--to");
	char dir[4096], path[8][4300];
	if (!to)
		return err_set(info, ERR_INVALID, "name the folder with --to DIR");
	TRY(data_dir(a, dir, sizeof dir));
	TRY(client_json(c, "POST", "/team/v1/backup/snapshot", STR("{}"), &doc, info));
	const char *snapshot = json_string_value(json_object_get(doc, "snapshot"));
	const char *key = json_string_value(json_object_get(doc, "manifest_key"));
	struct backup_options o = { .target = to, .build = TRESOR_VERSION };
	if (!snapshot || !key || hex_decode(str_from(key), o.hmac_key, KEY_LEN))
		return err_set(info, ERR_UPSTREAM, "the server's answer is not as expected");
	/* The audit log grows meanwhile: its checkpoint first, so that the records copied after it
	 * reach at least as far. */
	static const struct backup_item parts[] = { { .name = "keys.json" },
		{ .name = "audit/head" }, { .name = "audit", .leave_out = "head" },
		{ .name = "blobs", .optional = true, .immutable = true },
		{ .name = "models/manifests", .optional = true },
		{ .name = "tls", .optional = true }, { .name = "tresor.conf", .optional = true },
		{ .name = "models/blobs", .optional = true, .immutable = true } };
	enum { PARTS = sizeof parts / sizeof *parts };
	struct backup_item items[PARTS + 1] = { { .path = snapshot, .name = "db/tresor.db" } };
	o.n_items = 1;
	size_t wanted = args_get(a, "--with-models") ? PARTS : PARTS - 1;
	for (size_t i = 0; i < wanted; i++) {
		TRY(path_join(path[i], sizeof path[i], dir, parts[i].name));
		items[o.n_items] = parts[i];
		items[o.n_items++].path = path[i];
	}
	o.items = items;
	struct backup_result r = { 0 };
	enum err e = backup_run(&o, &r, info);
	(void)unlink(snapshot);
	wipe(&o, sizeof o);
	if (!e)
		print_result(a, "backed up", &r);
	return e;
}

int cmd_backup(const struct args *a)
{
	return cli_with_client(a, backup);
}

/* ---- restore ---- */

/* The backup's own keys.json, put where the keyring can open it with the recovery code. It
 * carries a
 * MAC under the master key, so one that was swapped is found by the code itself. */
static enum err open_backup_keys(const char *from, const char *manifest, const char *dir,
	const struct key_source *by_code, struct keyring **ret, struct err_info *info)
{
	AUTO_BUF struct buf envelope = BUF(1024 * 1024);
	char path[4300];
	TRY(backup_read_file(from, manifest, "keys.json", &envelope, info));
	TRY(path_join(path, sizeof path, dir, "keys.json"));
	TRY(file_write_atomic(path, buf_str(&envelope), 0600));
	return keyring_open(dir, by_code, ret, info);
}

/* The restored vault must open without the sheet: by the key file this machine already has for it,
 * or by a new one. A key file that opens something else is never written over. */
static enum err give_key_file(
	const char *dir, const struct key_source *by_code, struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	struct key_source by_file = { .strength = 2 };
	char path[4300];
	if (!keyring_open(dir, &by_file, &k, NULL))
		return OK;
	TRY(keyring_open(dir, by_code, &k, info));
	TRY(keyring_default_file(keyring_instance(k), path, sizeof path));
	if (!access(path, F_OK))
		return err_set(info, ERR_EXISTS,
			"%s exists and does not open this backup; move it away", path);
	return keyring_add_file(k, NULL, info);
}

struct kept {
	struct builds *builds;
	unsigned missing;
};

static void look_for(struct str alias, struct str engine, void *arg)
{
	struct kept *k = arg;
	char id[LIMIT_ENGINE_ID + 1], dir[BUILD_PATH_MAX];
	if (!str_copy(engine, id, sizeof id) && !builds_check(k->builds, id, dir, NULL))
		return;
	k->missing++;
	fprintf(stderr, "the alias \"%.*s\" keeps the engine build %.*s, which is not here\n",
		STR_ARG(alias), STR_ARG(engine));
}

/* A backup holds no engine builds. Whoever keeps one that this machine does not have is told now,
 * and by tresor doctor; what was restored is whole all the same. */
static void say_missing_builds(const char *dir, const struct keyring *keys)
{
	AUTO(builds) struct builds *b = NULL;
	AUTO(db) struct db *db = NULL;
	char path[4300], snapshots[4300];
	struct db_options o = { .path = path, .snapshot_dir = snapshots, .readers = 1,
		.migrations = db_schema, .n_migrations = db_schema_count, .build = TRESOR_VERSION };
	struct kept k = { .missing = 0 };
	if (path_join(path, sizeof path, dir, "db/tresor.db") ||
		path_join(snapshots, sizeof snapshots, dir, "snapshots") ||
		dir_make(snapshots, 0700) || builds_of(spawn_module_dir(), &b))
		return;
	keyring_get(keys, DATA_KEY_PAGE, o.page_key);
	enum err e = db_open(&o, &db, NULL);
	wipe(&o, sizeof o);
	k.builds = b;
	if (e || alias_engines(db, look_for, &k))
		fputs("whether the engine builds that aliases keep are here is not known; tresor "
		      "doctor says so\n",
			stderr);
	else if (k.missing)
		fputs("put its folder among this program's engines/, or let the alias take another "
		      "(tresor alias set)\n",
			stderr);
}

static enum err restore(
	const struct args *a, const char *dir, const char *scratch, struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	AUTO_BUF struct buf report = BUF(1024 * 1024);
	AUTO_SECRET_BUF struct buf code = BUF(LIMIT_PASSWORD);
	const char *from = args_get(a, "--from"), *manifest = args_get(a, "--manifest");
	bool only_check = args_get(a, "--check") != NULL;
	struct backup_result r = { 0 };
	uint8_t key[KEY_LEN];
	TRY(offline_secret(
		args_get(a, "--code-file"), "Recovery code from the sheet: ", &code, info));
	struct key_source by_code = {
		.key_file = "", .credentials_dir = "", .recovery = buf_str(&code), .strength = 2
	};
	TRY(open_backup_keys(from, manifest, scratch, &by_code, &k, info));
	offline_backup_key(k, key);
	enum err e = only_check ? backup_check(from, manifest, key, &r, &report, info)
				: backup_restore(from, manifest, key, dir, &r, &report, info);
	wipe(key, sizeof key);
	if (report.len)
		fprintf(stderr, "%.*s", STR_ARG(buf_str(&report)));
	TRY(e);
	print_result(a, only_check ? "whole:" : "restored", &r);
	if (only_check)
		return OK;
	say_missing_builds(dir, k);
	return give_key_file(dir, &by_code, info);
}

int cmd_restore(const struct args *a)
{
	char dir[4096], scratch[] = "/tmp/tresor-restore-XXXXXX";
	struct err_info why = { 0 };
	enum err e = data_dir(a, dir, sizeof dir);
	if (!e && !args_get(a, "--from"))
		e = err_set(&why, ERR_INVALID, "name the backup's folder with --from DIR");
	if (!e && !mkdtemp(scratch))
		e = ERR_IO;
	if (!e) {
		e = restore(a, dir, scratch, &why);
		(void)dir_remove_tree(scratch);
	}
	return e ? cli_fail(a, "restore", e, &why) : 0;
}
