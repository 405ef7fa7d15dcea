/* store/db.h - the encrypted database: one writer thread with group commit, N readers.
 *
 * SQLite3 Multiple Ciphers, WAL, synchronous=FULL, foreign keys, temp_store=MEMORY, no mmap.
 * Writing: db_write() hands a function to the writer thread and waits; the functions that arrived
 * meanwhile (and, where there was company before, within 1 ms) share one transaction, each in its
 * own savepoint: one that fails is undone alone. db_write() returns only after the commit is
 * durable; a lone write is not delayed. Reading: db_read() runs a function on a
 * pooled read connection, on the caller's thread. The only folder that includes sqlite3.h. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/crypto.h"

struct db;
struct words_dict; /* words/words.h */
struct db_conn; /* a connection, valid inside the function it was given to */

/* A statement with a name. Bound by position, never assembled. */
struct sql {
	const char *name, *text;
};

struct db_options {
	const char *path;              /* the file; its folder exists */
	const char *snapshot_dir;      /* copies made before a migration */
	uint8_t page_key[KEY_LEN];
	unsigned readers;              /* connections for reading */
	bool create;                   /* make it when missing */
	const char *vfs;               /* NULL: the default; tests put their fault VFS here */
	const struct migration *migrations;
	size_t n_migrations;
	const char *build;             /* recorded with each migration */
	/* For the tokenizer "words" of full-text tables; NULL: stems alone. Borrowed. */
	const struct words_dict *words;
};
struct migration {
	unsigned number;               /* 1, 2, .. without gaps */
	const char *name, *sql; /* forward only; a changed text is refused (SHA-256 stored) */
};
/* The schema of this build, made by the build from store/migrations/NNNN_name.sql. */
extern const struct migration db_schema[];
extern const size_t db_schema_count;

/* Opens, checks, migrates. Never writes when it refuses.
 * Errors: ERR_KEY (wrong key or damaged header), ERR_SCHEMA (newer, or edited migration),
 * ERR_CORRUPT, ERR_LOCKED, ERR_IO, ERR_NOSPACE, ERR_NOMEM; info says what and what to do. */
enum err db_open(const struct db_options *o, struct db **ret, struct err_info *info);
struct db *db_close(struct db *d); /* finishes queued writes, checkpoints */
[[maybe_unused]] static inline void db_autofree(struct db **d) { *d = db_close(*d); }

typedef enum err (*db_fn)(struct db_conn *c, void *arg);
/* Errors: fn's; ERR_CORRUPT (a damaged page was met: from then on every write is refused and
 * db_damaged() is true); ERR_NOSPACE, ERR_IO, ERR_BUSY (queue full). May be called by any thread
 * but not from inside a db_fn. */
enum err db_write(struct db *d, db_fn fn, void *arg);
enum err db_read(struct db *d, db_fn fn, void *arg);
bool db_damaged(const struct db *d);

/* ---- inside a db_fn ----
 *   struct db_row q;
 *   TRY(db_query(c, &Q_CHAT_BY_ID, &q)); db_bind_str(&q, 1, id);
 *   while (db_next(&q)) { ... db_col_str(&q, 0) ... }
 *   return db_end(&q);                                                     */
struct db_row {
	struct db_conn *conn;
	void *stmt;
	enum err err; /* sticky */
	bool done;    /* no more rows: db_next() stays false */
};
/* The statement is kept prepared for the next time. */
enum err db_query(struct db_conn *c, const struct sql *q, struct db_row *ret);
/* STR_NONE binds NULL; bytes are copied. */
void db_bind_str(struct db_row *r, int at, struct str s);
void db_bind_blob(struct db_row *r, int at, struct str s);
void db_bind_i64(struct db_row *r, int at, int64_t v);
void db_bind_f64(struct db_row *r, int at, double v);
void db_bind_null(struct db_row *r, int at);
bool db_next(struct db_row *r);                    /* false at the end or on error */
struct str db_col_str(struct db_row *r, int col);  /* borrowed until the next db_next/db_end */
struct str db_col_blob(struct db_row *r, int col);
int64_t db_col_i64(struct db_row *r, int col);
double db_col_f64(struct db_row *r, int col);
bool db_col_null(struct db_row *r, int col);
/* Ends and resets the statement. Errors: what went wrong (ERR_EXISTS: a unique constraint). */
enum err db_end(struct db_row *r);
/* Runs to the end without rows wanted. */
enum err db_run(struct db_row *r);
int64_t db_changes(struct db_conn *c); /* rows changed by the last statement */
/* Registers a statement list so that a test can prepare all of them. */
enum err db_prepare_check(struct db *d, const struct sql *const *list, size_t n);

/* Online copy, encrypted with the same key, into `path`.
 * Errors: ERR_IO, ERR_NOSPACE, ERR_CORRUPT. */
enum err db_snapshot(struct db *d, const char *path);
/* Reads every page and foreign key. `report` gets a line per problem. */
enum err db_check(struct db *d, struct buf *report);
unsigned db_schema_version(const struct db *d);
