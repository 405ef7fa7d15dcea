#include "store/db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fault.h"
#include "os/fd.h"
#include "store/db_int.h"
#include "store/upgrade.h"

const struct migration db_schema[] = {
#include "gen/migrations.inc"
};
const size_t db_schema_count = sizeof db_schema / sizeof db_schema[0];

/* ---- opening ---- */

static enum err open_failed(enum err e, struct err_info *info)
{
	if (info && info->code)
		return e; /* said already, closer to the cause */
	switch (e) {
	case ERR_NOSPACE:
		(void)err_set(info, e, "the disk of the data directory is full");
		err_hint(info, "free some space and start again; nothing was lost");
		break;
	case ERR_BUSY:
		e = err_set(info, ERR_LOCKED, "another process uses the database");
		err_hint(info, "stop the other server or command that uses this data directory");
		break;
	case ERR_DENIED:
		(void)err_set(
			info, e, "the database file cannot be opened for reading and writing");
		err_hint(info, "check the owner and the rights of the data directory");
		break;
	case ERR_CORRUPT:
		(void)err_set(info, e, "the database is damaged");
		err_hint(info, "keep a copy of the data directory, then restore the newest backup");
		break;
	default:
		(void)err_set(info, e, "the database could not be opened");
	}
	return e;
}

static enum err locks_init(struct db *d)
{
	pthread_condattr_t a;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->more_jobs, &a);
	pthread_cond_init(&d->reader_free, &a);
	pthread_condattr_destroy(&a);
	d->lock_up = true;
	return OK;
}

static enum err open_conn(const struct db_options *o, const char *path, enum db_role role,
	struct db_conn **ret)
{
	AUTO(db_conn) struct db_conn *c = NULL;
	TRY(db_conn_open(path, o->vfs, o->page_key, role, &c));
	TRY(db_conn_words(c, o->words));
	*ret = TAKE(c);
	return OK;
}

/* A new database is made under another name and appears by one rename, with its schema or not at
 * all; a creation that was cut off leaves only FILE.new, which the next one removes. */
static enum err create(const struct db_options *o, struct err_info *info)
{
	AUTO(db_conn) struct db_conn *c = NULL;
	char path[DB_PATH_MAX], side[DB_PATH_MAX + 8];
	bool direct = o->vfs != NULL; /* rename() does not know a test's disk */
	int n = snprintf(path, sizeof path, direct ? "%s" : "%s.new", o->path);
	if (n < 0 || (size_t)n >= sizeof path)
		return ERR_LIMIT;
	static const char *const left_over[] = { "", "-wal", "-shm", "-journal" };
	for (size_t i = 0; !direct && i < 4; i++) {
		snprintf(side, sizeof side, "%s%s", path, left_over[i]);
		if (unlink(side) && errno != ENOENT)
			return err_from_errno(errno);
	}
	TRY(open_conn(o, path, DB_ROLE_WRITER, &c));
	TRY(migrate_run(c, o, 0, info));
	int rc = sqlite3_wal_checkpoint_v2(c->h, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (rc)
		return db_error(rc);
	c = db_conn_free(c); /* the last one: removes the log */
	if (direct)
		return OK;
	if (chmod(path, 0600) || rename(path, o->path))
		return err_from_errno(errno);
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	return fd_sync_dir(slash ? path : ".");
}

/* Everything that may refuse without having written a byte. */
static enum err examine(const struct db_options *o, struct db_found *found, struct err_info *info)
{
	*found = (struct db_found){ 0 };
	if (!o->vfs)
		TRY(store_undo_finish(o->path, info));
	TRY(db_peek(o, found, info));
	if (!found->exists && !o->create) {
		(void)err_set(info, ERR_NOT_FOUND, "there is no database in this data directory");
		err_hint(info, "check the path given with --data, or restore a backup into it");
		return ERR_NOT_FOUND;
	}
	return OK;
}

static enum err open_parts(const struct db_options *o, struct db *d, struct err_info *info)
{
	struct db_found found;
	TRY(locks_init(d));
	TRY(str_copy(str_from(o->path), d->path, sizeof d->path));
	TRY(str_copy(str_from(o->vfs ? o->vfs : ""), d->vfs, sizeof d->vfs));
	memcpy(d->page_key, o->page_key, KEY_LEN);
	TRY(examine(o, &found, info));
	if (!found.exists)
		TRY(create(o, info));
	TRY(open_conn(o, o->path, DB_ROLE_WRITER, &d->writer));
	if (found.exists && found.version < o->n_migrations)
		TRY(migrate_run(d->writer, o, found.version, info));
	d->schema_version = (unsigned)o->n_migrations;
	d->writer->db = d;
	unsigned want = o->readers ? o->readers : 1;
	for (; d->n_readers < want && d->n_readers < DB_READERS_MAX; d->n_readers++) {
		struct db_conn *c = NULL;
		TRY(open_conn(o, o->path, DB_ROLE_READER, &c));
		c->db = d;
		c->free = true;
		d->readers[d->n_readers] = c;
	}
	return db_writer_start(d);
}

enum err db_open(const struct db_options *o, struct db **ret, struct err_info *info)
{
	struct err_info own = { 0 };
	if (!info)
		info = &own;
	info->code = OK;
	struct db *d = mem_zalloc(1, sizeof *d);
	if (!d)
		return open_failed(ERR_NOMEM, info);
	d->jobs_tail = &d->jobs;
	enum err e = open_parts(o, d, info);
	if (e) {
		db_close(d);
		return open_failed(e, info);
	}
	*ret = d;
	return OK;
}

struct db *db_close(struct db *d)
{
	if (!d)
		return NULL;
	db_writer_stop(d);
	for (unsigned i = 0; i < d->n_readers; i++)
		db_conn_free(d->readers[i]);
	if (d->writer && atomic_load(&d->damaged)) /* closing must not fold a damaged log in */
		(void)sqlite3_db_config(d->writer->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	db_conn_free(d->writer); /* the last connection folds the log in and removes it */
	if (d->lock_up) {
		pthread_mutex_destroy(&d->lock);
		pthread_cond_destroy(&d->more_jobs);
		pthread_cond_destroy(&d->reader_free);
	}
	wipe(d->page_key, sizeof d->page_key);
	mem_free(d);
	return NULL;
}

bool db_damaged(const struct db *d) { return atomic_load(&d->damaged); }
unsigned db_schema_version(const struct db *d) { return d->schema_version; }

/* ---- reading ---- */

static struct db_conn *reader_take(struct db *d)
{
	struct timespec until;
	struct db_conn *c = NULL;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += DB_READER_WAIT_MS / 1000;
	pthread_mutex_lock(&d->lock);
	for (;;) {
		/* always the first free one: its statements and pages are warm */
		for (unsigned i = 0; !c && i < d->n_readers; i++)
			if (d->readers[i]->free)
				c = d->readers[i];
		if (c || pthread_cond_timedwait(&d->reader_free, &d->lock, &until) == ETIMEDOUT)
			break;
	}
	if (c)
		c->free = false;
	pthread_mutex_unlock(&d->lock);
	return c;
}

static void reader_give(struct db *d, struct db_conn *c)
{
	pthread_mutex_lock(&d->lock);
	c->free = true;
	pthread_cond_signal(&d->reader_free);
	pthread_mutex_unlock(&d->lock);
}

enum err db_read(struct db *d, db_fn fn, void *arg)
{
	struct db_conn *c = reader_take(d);
	if (!c)
		return ERR_BUSY;
	enum err e = db_conn_exec(c, "BEGIN"); /* one snapshot for all statements of fn */
	if (!e) {
		e = fn(c, arg);
		db_conn_settle(c);
		/* Ending a read cannot lose anything; after an error SQLite may have ended it. */
		if (!sqlite3_get_autocommit(c->h))
			(void)db_conn_exec(c, "ROLLBACK");
	}
	reader_give(d, c);
	return e;
}

/* ---- looking after it ---- */

static enum err prepare_one(struct db_conn *c, const struct sql *q)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	return db_end(&r);
}

struct prepare_list {
	const struct sql *const *list;
	size_t n;
};

static enum err prepare_all(struct db_conn *c, void *arg)
{
	const struct prepare_list *p = arg;
	for (size_t i = 0; i < p->n; i++)
		TRY(prepare_one(c, p->list[i]));
	return OK;
}

enum err db_prepare_check(struct db *d, const struct sql *const *list, size_t n)
{
	struct prepare_list p = { list, n };
	return db_read(d, prepare_all, &p);
}

struct snapshot {
	struct db *db;
	const char *path;
};

static enum err snapshot_run(struct db_conn *c, void *arg)
{
	struct snapshot *s = arg;
	return db_copy(c, s->path, s->db->vfs[0] ? s->db->vfs : NULL, s->db->page_key);
}

enum err db_snapshot(struct db *d, const char *path)
{
	struct snapshot s = { d, path };
	return db_read(d, snapshot_run, &s);
}

static const struct sql Q_INTEGRITY = { "db.integrity", "PRAGMA integrity_check(100)" };
static const struct sql Q_FOREIGN_KEYS = { "db.foreign_keys", "PRAGMA foreign_key_check" };

static enum err check_run(struct db_conn *c, void *arg)
{
	struct buf *report = arg;
	struct db_row r;
	bool bad = false, broken = false;
	TRY(db_query(c, &Q_INTEGRITY, &r));
	while (db_next(&r)) {
		struct str line = db_col_str(&r, 0);
		if (str_eq(line, STR("ok")))
			continue;
		bad = broken = true;
		(void)buf_addf(report, "%.*s\n", STR_ARG(line)); /* sticky error, checked below */
	}
	enum err e = db_end(&r);
	if (e && e != ERR_CORRUPT)
		return e;
	if (e) {
		bad = broken = true;
		(void)buf_addf(report, "a page cannot be read: its content was changed\n");
	}
	TRY(db_query(c, &Q_FOREIGN_KEYS, &r));
	while (db_next(&r)) {
		bad = true;
		(void)buf_addf(report, "table %.*s, row %lld: refers to a row that is not there\n",
			       STR_ARG(db_col_str(&r, 0)), (long long)db_col_i64(&r, 1));
	}
	e = db_end(&r);
	if (e && e != ERR_CORRUPT)
		return e;
	if (broken)
		atomic_store(&c->db->damaged, true);
	return bad || e ? ERR_CORRUPT : report->err;
}

enum err db_check(struct db *d, struct buf *report) { return db_read(d, check_run, report); }
