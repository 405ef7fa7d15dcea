/* store/db_int.h - private to store/db*.c and store/migrate.c.
 *
 * One thread (the writer) owns the write connection; readers own one connection each while a db_fn
 * runs. What threads share stands in struct db behind `lock`.
 *
 * States of the database object:
 *   OPEN --db_close--> CLOSING (queued writes are finished, new ones refused)
 *   OPEN --a damaged page, by anyone--> DAMAGED (reads go on, every write is refused) */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "store/db.h"

enum {
	DB_PAGE_BYTES = 4096,
	DB_RESERVED_BYTES = 32,          /* nonce and tag of each page (ChaCha20-Poly1305) */
	DB_CIPHER_CHACHA20 = 3,          /* sqlite3mc's number */
	DB_CACHED_STATEMENTS = 64,       /* a connection */
	DB_READER_CACHE_KIB = 512,
	DB_WRITER_CACHE_KIB = 2048,
	DB_QUEUE_MAX = 4096,             /* writes waiting */
	DB_GROUP_MAX = 256,              /* writes a transaction */
	DB_GATHER_NS = 1000000,          /* longest wait for the company of the last group */
	DB_CHECKPOINT_FRAMES = 1000,     /* pages of WAL after which it is folded in */
	DB_WAL_KEEP_BYTES = 8 * 1024 * 1024,
	DB_BUSY_MS = 5000,
	DB_READER_WAIT_MS = 30000,
	DB_READERS_MAX = 64,
	DB_PATH_MAX = 1024,
};

struct db_stmt {
	const struct sql *sql;
	sqlite3_stmt *stmt;
	uint64_t used;                   /* tick of the last use, for replacing the oldest */
	bool busy, cached;
};
struct db_conn {
	struct db *db;                   /* NULL while opening */
	sqlite3 *h;
	uint64_t tick;
	bool free;                       /* a reader nobody uses */
	struct db_stmt cache[DB_CACHED_STATEMENTS];
};

/* A write that waits: lives on its caller's stack. */
struct db_job {
	struct db_job *next;
	db_fn fn;
	void *arg;
	enum err err;
	sem_t done;
};

struct db {
	char path[DB_PATH_MAX], vfs[64];
	uint8_t page_key[KEY_LEN];
	unsigned schema_version;
	atomic_bool damaged;
	struct db_conn *writer;
	struct db_conn *readers[DB_READERS_MAX];
	unsigned n_readers;

	pthread_mutex_t lock;
	pthread_cond_t more_jobs, reader_free; /* monotonic clock */
	struct db_job *jobs, **jobs_tail;
	unsigned n_jobs;
	bool closing;
	pthread_t thread;
	bool thread_up, lock_up;
	int wal_frames;                  /* writer's thread only: said by the last commit */
};

/* Error of SQLite -> error of the house. The extended code is looked at. */
enum err db_error(int rc);
/* The same for a connection; a damaged page marks the database. */
enum err db_conn_error(struct db_conn *c, int rc);

enum db_role { DB_ROLE_READER, DB_ROLE_WRITER, DB_ROLE_COPY /* the target of a snapshot */ };
/* Opens a keyed connection with the house's pragmas. `vfs` is the name of the base VFS or NULL. */
enum err db_conn_open(const char *path, const char *vfs, const uint8_t key[KEY_LEN],
		      enum db_role role, struct db_conn **ret);
/* Gives it the tokenizer "words"; before it meets a table that has it. */
enum err db_conn_words(struct db_conn *c, const struct words_dict *d);
struct db_conn *db_conn_free(struct db_conn *c);
DEFINE_AUTO(db_conn)
/* Opens without pragmas and without touching the file; flags are SQLite's. `mc_vfs` is complete. */
enum err db_conn_open_raw(const char *path, const char *mc_vfs, int flags,
			  const uint8_t key[KEY_LEN], struct db_conn **ret);
/* Resets statements that a db_fn left open by returning early. */
void db_conn_settle(struct db_conn *c);
/* Runs text that returns no rows: constants only. */
enum err db_conn_exec(struct db_conn *c, const char *sql);

/* ---- db_writer.c ---- */
enum err db_writer_start(struct db *d);
void db_writer_stop(struct db *d);

/* ---- db_peek.c: looks at what is there without writing a byte ---- */
struct db_found {
	bool exists;                     /* a database with at least one page */
	unsigned version;                /* newest migration in it */
};
/* Errors: ERR_KEY, ERR_SCHEMA, ERR_CORRUPT, ERR_IO; info filled. */
enum err db_peek(const struct db_options *o, struct db_found *ret, struct err_info *info);
/* Looks through a raw write-ahead log. ERR_CORRUPT: what was durable in it is damaged.
 * `read` gives bytes of the file; short files end. Pure besides `read`. */
typedef enum err (*wal_read_fn)(void *arg, uint64_t at, void *dst, size_t n);
enum err wal_check(wal_read_fn read, void *arg, uint64_t size);

/* ---- migrate.c ---- */
/* Compares what is stored with what this build has. `c` needs no write right. */
enum err migrate_compare(struct db_conn *c, const struct db_options *o, unsigned *ret_version,
			 struct err_info *info);
/* Brings `c` from `version` to the newest; a snapshot first when version > 0. */
enum err migrate_run(struct db_conn *c, const struct db_options *o, unsigned version,
		     struct err_info *info);
/* Copies the whole database of `c` to `path` (temporary name, fsync, rename). */
enum err db_copy(struct db_conn *c, const char *path, const char *vfs,
		 const uint8_t key[KEY_LEN]);
