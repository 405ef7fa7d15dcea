#include "store/db_int.h"

#include <string.h>

#include "base/fault.h"

/* sqlite3mc.h is not installed beside sqlite3.h; these two are its stable C interface. */
int sqlite3_key_v2(sqlite3 *db, const char *db_name, const void *key, int n);
int sqlite3mc_config(sqlite3 *db, const char *param, int value);

enum err db_error(int rc)
{
	switch (rc) {
	case SQLITE_IOERR_NOMEM:
		return ERR_NOMEM;
	case SQLITE_IOERR_CORRUPTFS:
	case SQLITE_IOERR_DATA:
		return ERR_CORRUPT;
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
	case SQLITE_CONSTRAINT_ROWID:
		return ERR_EXISTS;
	case SQLITE_CONSTRAINT_FOREIGNKEY:
	case SQLITE_CONSTRAINT_TRIGGER:
		return ERR_CONFLICT;
	}
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return OK;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_CORRUPT;
	case SQLITE_FULL:
		return ERR_NOSPACE;
	case SQLITE_IOERR:
		return ERR_IO;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return ERR_INVALID;
	case SQLITE_TOOBIG:
		return ERR_TOO_LARGE;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return ERR_DENIED;
	case SQLITE_INTERRUPT:
	case SQLITE_ABORT:
		return ERR_CANCELLED;
	default:
		return ERR_INTERNAL;
	}
}

enum err db_conn_error(struct db_conn *c, int rc)
{
	enum err e = db_error(rc);
	if (e == ERR_CORRUPT && c->db)
		atomic_store(&c->db->damaged, true);
	return e;
}

/* ---- opening ---- */

enum err db_conn_open_raw(const char *path, const char *mc_vfs, int flags,
			  const uint8_t key[KEY_LEN], struct db_conn **ret)
{
	AUTO(db_conn) struct db_conn *c = mem_zalloc(1, sizeof *c);
	char raw[4 + KEY_LEN];
	if (!c)
		return ERR_NOMEM;
	int rc = sqlite3_open_v2(path, &c->h, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
				 mc_vfs);
	if (rc)
		return db_error(rc);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_LOOKASIDE, NULL, 256, 64);
	if (sqlite3mc_config(c->h, "cipher", DB_CIPHER_CHACHA20) != DB_CIPHER_CHACHA20)
		return ERR_INTERNAL;
	memcpy(raw, "raw:", 4); /* the key itself: no derivation */
	memcpy(raw + 4, key, KEY_LEN);
	rc = sqlite3_key_v2(c->h, "main", raw, sizeof raw);
	wipe(raw, sizeof raw);
	if (rc)
		return db_error(rc);
	*ret = TAKE(c);
	return OK;
}

enum err db_conn_exec(struct db_conn *c, const char *sql)
{
	return db_conn_error(c, sqlite3_exec(c->h, sql, NULL, NULL, NULL));
}

#define READER_PRAGMAS "PRAGMA cache_size=-512; PRAGMA query_only=ON;"
#define WRITER_PRAGMAS                                                       \
	"PRAGMA cache_size=-2048; PRAGMA page_size=4096;"                    \
	"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"                  \
	"PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=8388608;"
#define COPY_PRAGMAS                                                         \
	"PRAGMA cache_size=-512; PRAGMA page_size=4096;"                     \
	"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
static const char *const role_pragmas[] = {
	[DB_ROLE_READER] = READER_PRAGMAS,
	[DB_ROLE_WRITER] = WRITER_PRAGMAS,
	[DB_ROLE_COPY] = COPY_PRAGMAS,
};
_Static_assert(DB_READER_CACHE_KIB == 512 && DB_WRITER_CACHE_KIB == 2048 && DB_PAGE_BYTES == 4096 &&
		       DB_WAL_KEEP_BYTES == 8388608,
	       "the pragmas above say the same numbers");

enum err db_conn_open(const char *path, const char *vfs, const uint8_t key[KEY_LEN],
		      enum db_role role, struct db_conn **ret)
{
	AUTO(db_conn) struct db_conn *c = NULL;
	char mc_vfs[80];
	int flags = SQLITE_OPEN_READWRITE | (role == DB_ROLE_READER ? 0 : SQLITE_OPEN_CREATE);
	sqlite3_snprintf(sizeof mc_vfs, mc_vfs, "multipleciphers-%s", vfs ? vfs : "unix");
	TRY(db_conn_open_raw(path, mc_vfs, flags, key, &c));
	(void)sqlite3_busy_timeout(c->h, DB_BUSY_MS);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_DEFENSIVE, role != DB_ROLE_COPY, NULL);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	(void)sqlite3_limit(c->h, SQLITE_LIMIT_ATTACHED, 0);
	TRY(db_conn_exec(c, "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
			    "PRAGMA cell_size_check=ON;"));
	TRY(db_conn_exec(c, role_pragmas[role]));
	*ret = TAKE(c);
	return OK;
}

struct db_conn *db_conn_free(struct db_conn *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < DB_CACHED_STATEMENTS; i++)
		sqlite3_finalize(c->cache[i].stmt);
	(void)sqlite3_close_v2(c->h);
	mem_free(c);
	return NULL;
}

/* ---- statements ---- */

/* The cache entry of `q`, or the entry to replace: unused or the longest unused one. NULL: all
 * busy. */
static struct db_stmt *cache_find(struct db_conn *c, const struct sql *q, bool *ret_hit)
{
	struct db_stmt *oldest = NULL;
	for (size_t i = 0; i < DB_CACHED_STATEMENTS; i++) {
		struct db_stmt *s = &c->cache[i];
		if (s->busy)
			continue; /* also a second use of q while the first runs */
		if (s->sql == q && s->stmt) {
			*ret_hit = true;
			return s;
		}
		if (!oldest || s->used < oldest->used)
			oldest = s;
	}
	*ret_hit = false;
	return oldest;
}

enum err db_query(struct db_conn *c, const struct sql *q, struct db_row *ret)
{
	bool hit;
	struct db_stmt *s = cache_find(c, q, &hit);
	if (!hit) {
		sqlite3_stmt *stmt = NULL;
		const char *tail = NULL;
		unsigned flags = s ? SQLITE_PREPARE_PERSISTENT : 0;
		int rc = sqlite3_prepare_v3(c->h, q->text, -1, flags, &stmt, &tail);
		if (rc)
			return db_conn_error(c, rc);
		if (!stmt || (tail && *tail)) { /* one statement, nothing behind it */
			sqlite3_finalize(stmt);
			return ERR_INTERNAL;
		}
		struct db_stmt fresh = { .sql = q, .stmt = stmt, .cached = s != NULL };
		if (!s)
			s = mem_zalloc(1, sizeof *s);
		if (!s) {
			sqlite3_finalize(stmt);
			return ERR_NOMEM;
		}
		sqlite3_finalize(s->stmt); /* NULL is fine */
		*s = fresh;
	}
	s->busy = true;
	s->used = ++c->tick;
	*ret = (struct db_row){ .conn = c, .stmt = s };
	return OK;
}

static void bound(struct db_row *r, int rc)
{
	if (rc && !r->err)
		r->err = db_conn_error(r->conn, rc);
}

static sqlite3_stmt *stmt_of(const struct db_row *r) { return ((struct db_stmt *)r->stmt)->stmt; }

void db_bind_str(struct db_row *r, int at, struct str s)
{
	if (!s.ptr)
		bound(r, sqlite3_bind_null(stmt_of(r), at));
	else
		bound(r, sqlite3_bind_text64(stmt_of(r), at, s.ptr, s.len, SQLITE_TRANSIENT,
					     SQLITE_UTF8));
}

void db_bind_blob(struct db_row *r, int at, struct str s)
{
	if (!s.ptr)
		bound(r, sqlite3_bind_null(stmt_of(r), at));
	else
		bound(r, sqlite3_bind_blob64(stmt_of(r), at, s.ptr, s.len, SQLITE_TRANSIENT));
}

void db_bind_i64(struct db_row *r, int at, int64_t v)
{
	bound(r, sqlite3_bind_int64(stmt_of(r), at, v));
}

void db_bind_f64(struct db_row *r, int at, double v)
{
	bound(r, sqlite3_bind_double(stmt_of(r), at, v));
}

void db_bind_null(struct db_row *r, int at) { bound(r, sqlite3_bind_null(stmt_of(r), at)); }

bool db_next(struct db_row *r)
{
	if (r->err || r->done)
		return false;
	int rc = sqlite3_step(stmt_of(r));
	if (rc == SQLITE_ROW)
		return true;
	r->done = true; /* another step would run it again */
	if (rc != SQLITE_DONE)
		r->err = db_conn_error(r->conn, rc);
	return false;
}

struct str db_col_blob(struct db_row *r, int col)
{
	const void *p = sqlite3_column_blob(stmt_of(r), col);
	int n = sqlite3_column_bytes(stmt_of(r), col);
	if (p)
		return (struct str){ p, (size_t)n };
	/* no bytes: NULL in the row, an empty value, or no memory for a conversion */
	if (sqlite3_errcode(sqlite3_db_handle(stmt_of(r))) == SQLITE_NOMEM && !r->err)
		r->err = ERR_NOMEM;
	return db_col_null(r, col) ? STR_NONE : (struct str){ "", 0 };
}

struct str db_col_str(struct db_row *r, int col)
{
	const unsigned char *p = sqlite3_column_text(stmt_of(r), col);
	if (!p)
		return db_col_blob(r, col);
	return (struct str){ (const char *)p, (size_t)sqlite3_column_bytes(stmt_of(r), col) };
}

int64_t db_col_i64(struct db_row *r, int col) { return sqlite3_column_int64(stmt_of(r), col); }
double db_col_f64(struct db_row *r, int col) { return sqlite3_column_double(stmt_of(r), col); }

bool db_col_null(struct db_row *r, int col)
{
	return sqlite3_column_type(stmt_of(r), col) == SQLITE_NULL;
}

enum err db_end(struct db_row *r)
{
	struct db_stmt *s = r->stmt;
	r->stmt = NULL;
	if (!s)
		return r->err;
	(void)sqlite3_reset(s->stmt); /* its code repeats what db_next() saw */
	(void)sqlite3_clear_bindings(s->stmt);
	s->busy = false;
	if (!s->cached) {
		sqlite3_finalize(s->stmt);
		mem_free(s);
	}
	return r->err;
}

enum err db_run(struct db_row *r)
{
	while (db_next(r))
		;
	return db_end(r);
}

void db_conn_settle(struct db_conn *c)
{
	for (size_t i = 0; i < DB_CACHED_STATEMENTS; i++) {
		struct db_stmt *s = &c->cache[i];
		if (!s->busy)
			continue;
		(void)sqlite3_reset(s->stmt);
		(void)sqlite3_clear_bindings(s->stmt);
		s->busy = false;
	}
}

int64_t db_changes(struct db_conn *c) { return sqlite3_changes64(c->h); }
