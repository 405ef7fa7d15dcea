#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/time.h"
#include "os/fd.h"
#include "store/db_int.h"
#include "store/upgrade.h"

static const struct sql Q_TABLES = { "schema.tables",
	"SELECT count(*), count(*) FILTER (WHERE name = 'schema_migration') FROM sqlite_schema" };
static const struct sql Q_LIST = { "schema.list",
	"SELECT number, sha256, name, build FROM schema_migration ORDER BY number" };
static const struct sql Q_ADD = {
	"schema.add",
	"INSERT INTO schema_migration (number, name, sha256, build, applied_ms) VALUES (?,?,?,?,?)"
};
static const struct sql Q_REFERENCES = { "schema.references", "PRAGMA foreign_key_check" };
static const char create_table[] =
	"CREATE TABLE IF NOT EXISTS schema_migration ("
	" number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 BLOB NOT NULL,"
	" build TEXT NOT NULL, applied_ms INTEGER NOT NULL) STRICT";

/* ---- comparing ---- */

static enum err has_table(struct db_conn *c, bool *ret, struct err_info *info)
{
	struct db_row r;
	TRY(db_query(c, &Q_TABLES, &r));
	int64_t tables = db_next(&r) ? db_col_i64(&r, 0) : 0;
	*ret = tables && db_col_i64(&r, 1) == 1;
	TRY(db_end(&r));
	if (tables && !*ret) {
		(void)err_set(info, ERR_SCHEMA, "the database is not one of Tresor's");
		err_hint(info, "check the path given with --data");
		return ERR_SCHEMA;
	}
	return OK;
}

static enum err compare_row(struct db_row *r, const struct db_options *o, unsigned *version,
			    struct err_info *info)
{
	uint8_t sum[SHA256_LEN];
	int64_t number = db_col_i64(r, 0);
	struct str stored = db_col_blob(r, 1);
	if (number != (int64_t)*version + 1) {
		(void)err_set(info, ERR_SCHEMA, "migration %u is missing in the database",
			      *version + 1);
		err_hint(info, "restore the newest backup");
		return ERR_SCHEMA;
	}
	if (number > (int64_t)o->n_migrations) {
		(void)err_set(info, ERR_SCHEMA,
			      "the data was written by a newer version (%.*s, schema %lld; "
			      "this one knows %zu)",
			      STR_ARG(str_sub(db_col_str(r, 3), 0, 64)), (long long)number,
			      o->n_migrations);
		err_hint(info, "start the newer version, or undo its upgrade with: "
			       "tresor undo-upgrade --data DIR");
		return ERR_SCHEMA;
	}
	const struct migration *m = &o->migrations[number - 1];
	sha256_of(m->sql, strlen(m->sql), sum);
	if (stored.len != SHA256_LEN || !ct_equal(stored.ptr, sum, SHA256_LEN)) {
		(void)err_set(info, ERR_SCHEMA,
			"migration %u (%s) is not the one that made this data", m->number, m->name);
		err_hint(info, "use an official build: a migration must not be edited once it ran");
		return ERR_SCHEMA;
	}
	*version = (unsigned)number;
	return OK;
}

enum err migrate_compare(struct db_conn *c, const struct db_options *o, unsigned *ret_version,
			 struct err_info *info)
{
	struct db_row r;
	bool there;
	unsigned version = 0;
	enum err e = OK;
	TRY(has_table(c, &there, info));
	if (there) {
		TRY(db_query(c, &Q_LIST, &r));
		while (!e && db_next(&r))
			e = compare_row(&r, o, &version, info);
		enum err end = db_end(&r);
		TRY(e);
		TRY(end);
	}
	*ret_version = version;
	return OK;
}

/* ---- running ---- */

static enum err references_hold(struct db_conn *c)
{
	struct db_row r;
	TRY(db_query(c, &Q_REFERENCES, &r));
	bool broken = db_next(&r);
	TRY(db_end(&r));
	return broken ? ERR_CONFLICT : OK;
}

static enum err record(struct db_conn *c, const struct db_options *o, const struct migration *m)
{
	uint8_t sum[SHA256_LEN];
	struct db_row r;
	sha256_of(m->sql, strlen(m->sql), sum);
	TRY(db_query(c, &Q_ADD, &r));
	db_bind_i64(&r, 1, m->number);
	db_bind_str(&r, 2, str_from(m->name));
	db_bind_blob(&r, 3, (struct str){ (const char *)sum, sizeof sum });
	db_bind_str(&r, 4, str_from(o->build ? o->build : ""));
	db_bind_i64(&r, 5, time_now_ms());
	return db_run(&r);
}

static enum err run_one(struct db_conn *c, const struct db_options *o, const struct migration *m)
{
	TRY(db_conn_exec(c, "BEGIN IMMEDIATE"));
	enum err e = db_conn_exec(c, create_table);
	if (!e)
		e = db_conn_exec(c, m->sql);
	if (!e)
		e = references_hold(c);
	if (!e)
		e = record(c, o, m);
	db_conn_settle(c);
	if (!e)
		e = db_conn_exec(c, "COMMIT");
	if (e && !sqlite3_get_autocommit(c->h))
		(void)db_conn_exec(c, "ROLLBACK");
	return e;
}

static enum err snapshot_path(const struct db_options *o, unsigned number, char *dst, size_t size)
{
	char at[TIME_RFC3339_LEN], name[UPGRADE_NAME_MAX];
	time_rfc3339(time_now_ms(), at); /* 2026-11-23T12:00:00.123Z */
	int n = snprintf(name, sizeof name, "before-%04u-%.4s%.2s%.2sT%.2s%.2s%.2s%.3sZ.db", number,
		at, at + 5, at + 8, at + 11, at + 14, at + 17, at + 20);
	if (n < 0 || (size_t)n >= sizeof name)
		return ERR_LIMIT;
	return path_join(dst, size, o->snapshot_dir, name);
}

enum err migrate_run(struct db_conn *c, const struct db_options *o, unsigned version,
		     struct err_info *info)
{
	char copy[DB_PATH_MAX];
	bool with_content = version > 0;
	if (o->n_migrations &&
		version < o->n_migrations) /* tables may be rebuilt; checked at the end */
		TRY(db_conn_exec(c, "PRAGMA foreign_keys=OFF"));
	for (unsigned i = version; i < o->n_migrations; i++) {
		enum err e = OK;
		if (with_content && o->snapshot_dir) {
			e = dir_make(o->snapshot_dir, 0700);
			if (!e)
				e = snapshot_path(o, i + 1, copy, sizeof copy);
			if (!e)
				e = db_copy(c, copy, o->vfs, o->page_key);
		}
		if (e) {
			(void)err_set(info, e, "the copy before migration %u could not be made: %s",
				      i + 1, err_text(e));
			err_hint(info,
				"free disk space as large as the database; nothing was changed");
			return e;
		}
		e = run_one(c, o, &o->migrations[i]);
		if (e) {
			(void)err_set(info, e, "migration %u (%s) failed and was undone: %s", i + 1,
				      o->migrations[i].name, err_text(e));
			err_hint(info, "start the version before; its data is untouched");
			err_log(info, "%s", sqlite3_errmsg(c->h));
			return e;
		}
		/* a copy from the middle of an upgrade fits no released version */
		if (with_content && o->snapshot_dir && i > version && !o->vfs && unlink(copy))
			return err_from_errno(errno);
	}
	if (with_content && o->snapshot_dir && !o->vfs)
		store_prune_snapshots(o->snapshot_dir);
	return db_conn_exec(c, "PRAGMA foreign_keys=ON");
}

/* ---- copying ---- */

static enum err copy_pages(struct db_conn *from, struct db_conn *to)
{
	sqlite3_backup *b = sqlite3_backup_init(to->h, "main", from->h, "main");
	if (!b)
		return db_error(sqlite3_extended_errcode(to->h));
	int rc = sqlite3_backup_step(b, -1);
	int end = sqlite3_backup_finish(b);
	/* a damaged page of the source must be known as such */
	return db_conn_error(from, rc == SQLITE_DONE ? end : rc);
}

enum err db_copy(struct db_conn *from, const char *path, const char *vfs,
		 const uint8_t key[KEY_LEN])
{
	AUTO(db_conn) struct db_conn *to = NULL;
	char part[DB_PATH_MAX + 8];
	int n = snprintf(part, sizeof part, "%s.part", path);
	if (n < 0 || n >= DB_PATH_MAX)
		return ERR_LIMIT;
	if (vfs) { /* a test's disk: no rename there */
		TRY(db_conn_open(path, vfs, key, DB_ROLE_COPY, &to));
		return copy_pages(from, to);
	}
	(void)unlink(part); /* of a copy that was cut off */
	enum err e = db_conn_open(part, NULL, key, DB_ROLE_COPY, &to);
	if (!e)
		e = copy_pages(from, to);
	to = db_conn_free(to);
	AUTO_FD int fd = -1;
	if (!e)
		e = fd_open(part, O_RDWR, 0, &fd);
	if (!e)
		e = fd_sync(fd);
	if (!e && (fchmod(fd, 0600) || rename(part, path)))
		e = ERR_IO;
	if (e) {
		(void)unlink(part);
		return e;
	}
	char *slash = strrchr(part, '/');
	if (slash)
		*slash = '\0';
	return fd_sync_dir(slash ? part : ".");
}
