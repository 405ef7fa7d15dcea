/* audit verify, doctor, recovery-sheet, undo-upgrade, vault ..., tls .... */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "cli/commands.h"
#include "cli/offline.h"
#include "os/fd.h"
#include "roles/config.h"
#include "store/upgrade.h"
#include "vault/audit_log.h"
#include "vault/tls.h"

/* ---- audit verify: 0 intact, 1 first bad record named, 2 cannot read ---- */

static enum err verify_running(
	const char *dir, bool *ret_intact, struct buf *report, struct err_info *info)
{
	AUTO(client) struct client *c = NULL;
	AUTO_JSON json_t *doc = NULL;
	TRY(client_open(dir, false, &c, info));
	TRY(client_json(c, "GET", "/team/v1/audit/verify", STR_NONE, &doc, info));
	*ret_intact = json_is_true(json_object_get(doc, "intact"));
	const char *text = json_string_value(json_object_get(doc, "report"));
	return buf_addf(report, "%s", text ? text : "");
}

/* Without a server the log is read here, so that a log that keeps a server from starting can be
 * looked at too. Writes nothing. */
static enum err verify_offline(
	const char *dir, bool *ret_intact, struct buf *report, struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	uint8_t key[KEY_LEN];
	uint64_t records = 0;
	TRY(offline_keys(dir, &k, info));
	keyring_get(k, DATA_KEY_AUDIT, key);
	enum err e = audit_log_verify(dir, key, &records, report);
	wipe(key, sizeof key);
	*ret_intact = !e;
	return e == ERR_CORRUPT ? OK : e;
}

int cmd_audit(const struct args *a)
{
	char dir[4096];
	bool intact = false;
	AUTO_BUF struct buf report = BUF(65536);
	struct err_info why = { 0 };
	enum err e = data_dir(a, dir, sizeof dir);
	if (!e)
		e = client_server_runs(dir) ? verify_running(dir, &intact, &report, &why)
					    : verify_offline(dir, &intact, &report, &why);
	if (e) {
		(void)cli_fail(a, "audit verify", e, &why);
		return 2;
	}
	printf("%.*s\n", STR_ARG(str_trim(buf_str(&report))));
	return intact ? 0 : 1;
}

/* ---- doctor ---- */

static enum err doctor(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i, bad = 0;
	json_t *k;
	TRY(client_json(c, "GET", "/team/v1/doctor", STR_NONE, &doc, info));
	if (a->json) {
		json_dumpf(doc, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_array_foreach(json_object_get(doc, "checks"), i, k)
	{
		const char *state = json_string_value(json_object_get(k, "state"));
		const char *cure = json_string_value(json_object_get(k, "cure"));
		bad += state && !strcmp(state, "bad");
		if (!a->json)
			printf("%-5s %-18s %s%s%s\n", state ? state : "?",
				json_string_value(json_object_get(k, "name")),
				json_string_value(json_object_get(k, "text")),
				cure && *cure ? "\n      -> " : "", cure ? cure : "");
	}
	return bad ? err_set(info, ERR_CONFLICT, "%zu checks are bad", bad) : OK;
}

int cmd_doctor(const struct args *a)
{
	return cli_with_client(a, doctor);
}

/* ---- keys ---- */

static enum err recovery_sheet(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	TRY(client_json(c, "POST", "/team/v1/recovery", STR("{}"), &doc, info));
	const char *code = json_string_value(json_object_get(doc, "code"));
	if (!code)
		return ERR_UPSTREAM;
	if (a->json)
		printf("{\"code\":\"%s\"}\n", code);
	else
		printf("Tresor - recovery sheet\n\nCode:  %s\n\nWith this code and a backup "
			"everything can be restored, by whoever "
		       "has both.\nPrint it, put it into a safe, and close this window: it is "
		       	"not shown again.\n"
		       "An earlier code no longer works.\n",
			code);
	return OK;
}

static enum err vault_passphrase(const char *dir, const struct args *a, struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	AUTO_SECRET_BUF struct buf pass = BUF(LIMIT_PASSWORD);
	AUTO_SECRET_BUF struct buf again = BUF(LIMIT_PASSWORD);
	const char *file = args_get(a, "--passphrase-file");
	TRY(offline_keys(dir, &k, info));
	TRY(offline_secret(file, "New passphrase for the vault: ", &pass, info));
	TRY(offline_secret(file, "The same once more: ", &again, info));
	if (!str_eq(buf_str(&pass), buf_str(&again)) || pass.len < 10)
		return err_set(info, ERR_INVALID,
			pass.len < 10 ? "the passphrase needs at least 10 characters"
				      : "the two passphrases differ");
	TRY(keyring_add_passphrase(k, buf_str(&pass), 2, info));
	enum err e = keyring_has(k, SLOT_FILE) ? keyring_remove(k, SLOT_FILE, info) : OK;
	if (!e)
		puts("The passphrase is needed from now on at every start. The key file no "
			"longer opens this vault.");
	return e;
}

static enum err vault_tpm(const char *dir, const struct args *a, struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	TRY(offline_keys(dir, &k, info));
	TRY(keyring_seal_tpm(k, a->operand[0], NULL, info));
	printf("Sealed to this machine's TPM. In the service: "
		"LoadCredentialEncrypted=tresor-master:%s\n",
		a->operand[0]);
	return OK;
}

/* ---- TLS ---- */

static enum err tls_ca(const char *dir, const struct args *a, struct err_info *info)
{
	char path[4200];
	AUTO_BUF struct buf pem = BUF(65536);
	(void)a;
	TRY(path_join(path, sizeof path, dir, "tls/ca.pem"));
	enum err e = file_read(path, &pem);
	if (e)
		return err_set(info, e,
			"there is no own CA; it is made when tresor listens on another address "
			"than loopback");
	printf("%.*s", STR_ARG(buf_str(&pem)));
	return OK;
}

static enum err tls_csr(const char *dir, const struct args *a, struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	AUTO_BUF struct buf pem = BUF(65536);
	struct config config;
	const char *names[TLS_NAMES_MAX], *given = args_get(a, "--hosts");
	char text[CONFIG_TEXT];
	struct tls_options o = { .data_dir = dir, .names = names };
	config_defaults(&config);
	TRY(config_load(&config, dir, info));
	TRY(str_copy(str_from(given ? given : config.hosts), text, sizeof text));
	for (char *at = text; *at && o.n_names < TLS_NAMES_MAX;) {
		size_t n = strcspn(at, ", ");
		if (n)
			names[o.n_names++] = at;
		at += n;
		if (*at)
			*at++ = '\0';
	}
	if (!o.n_names)
		return err_set(info, ERR_INVALID, "name the host with --hosts, or in tresor.conf");
	TRY(offline_keys(dir, &k, info));
	keyring_get(k, DATA_KEY_TLS, o.key);
	enum err e = tls_request(&o, &pem, info);
	wipe(o.key, sizeof o.key);
	if (!e)
		printf("%.*s", STR_ARG(buf_str(&pem)));
	return e;
}

/* ---- undo-upgrade ---- */

static enum err undo_upgrade(const char *dir, const struct args *a, struct err_info *info)
{
	char db[4200], snapshots[4200];
	struct upgrade_undone u;
	if (!args_get(a, "--yes") &&
		!cli_confirm(
			"Put the database back as it was before the last upgrade? What came "
				"since is kept aside."))
		return err_set(info, ERR_CANCELLED, "not confirmed; add --yes");
	TRY(path_join(db, sizeof db, dir, "db/tresor.db"));
	TRY(path_join(snapshots, sizeof snapshots, dir, "snapshots"));
	TRY(store_undo_upgrade(db, snapshots, &u, info));
	printf("Put back %s (before migration %u). The newer database is kept as %s.\n", u.snapshot,
		u.before, u.kept_as);
	return OK;
}

int cmd_vault(const struct args *a)
{
	static const struct {
		const char *name;
		enum err (*fn)(const char *dir, const struct args *a, struct err_info *info);
		bool lock;
	} table[] = {
		{ "vault passphrase", vault_passphrase, true },
		{ "vault tpm", vault_tpm, true },
		{ "tls ca", tls_ca, false },
		{ "tls csr", tls_csr, true },
		{ "undo-upgrade", undo_upgrade, true },
	};
	char dir[4096];
	struct err_info why = { 0 };
	if (!strcmp(a->command->name, "recovery-sheet"))
		return cli_with_client(a, recovery_sheet);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (strcmp(table[i].name, a->command->name))
			continue;
		AUTO_FD int lock = -1;
		enum err e = data_dir(a, dir, sizeof dir);
		if (!e && table[i].lock)
			e = offline_lock(dir, &lock, &why);
		if (!e)
			e = table[i].fn(dir, a, &why);
		return e ? cli_fail(a, a->command->name, e, &why) : 0;
	}
	return 1;
}
