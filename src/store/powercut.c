#include "store/powercut.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/threads.h"
#include "store/db.h"
#include "store/fault_vfs.h"

enum { THREADS = 6, CUTS_A_ROUND = 4, ROWS_MAX = 200000, GROUP = 3, PAYLOAD_MAX = 9000 };

/* What the world was told about a row. A row never tried has none. */
enum fate { NEVER, TRIED, ACKNOWLEDGED };
struct round {
	struct db *db;
	pthread_mutex_t lock;
	unsigned char *fate; /* by row id */
	int64_t next_id;
	uint64_t seed;
};
struct batch {
	int64_t first;
	size_t rows, payload;
};

static const struct migration schema[] = {
	{ 1, "rows", "CREATE TABLE batch (id INTEGER PRIMARY KEY) STRICT;"
		     "CREATE TABLE row (id INTEGER PRIMARY KEY, batch INTEGER NOT NULL"
		     " REFERENCES batch(id), payload BLOB NOT NULL) STRICT;" },
};
static const struct sql Q_BATCH = { "batch.add", "INSERT INTO batch VALUES (?)" };
static const struct sql Q_ROW = { "row.add", "INSERT INTO row VALUES (?, ?, ?)" };
static const struct sql Q_TRIM = { "row.trim", "UPDATE row SET payload = x'00' WHERE id = ?" };
static const struct sql Q_IDS = { "row.ids", "SELECT id, batch FROM row ORDER BY id" };

static uint64_t next_random(uint64_t *s)
{
	uint64_t z = *s += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static enum err write_batch(struct db_conn *c, void *arg)
{
	static const char payload[PAYLOAD_MAX] = "payload";
	const struct batch *b = arg;
	struct db_row r;
	TRY(db_query(c, &Q_BATCH, &r));
	db_bind_i64(&r, 1, b->first);
	TRY(db_run(&r));
	for (size_t i = 0; i < b->rows; i++) {
		TRY(db_query(c, &Q_ROW, &r));
		db_bind_i64(&r, 1, b->first + (int64_t)i);
		db_bind_i64(&r, 2, b->first);
		db_bind_blob(&r, 3, (struct str){ payload, b->payload });
		TRY(db_run(&r));
	}
	TRY(db_query(c, &Q_TRIM, &r)); /* old pages change too */
	db_bind_i64(&r, 1, b->first / 2);
	return db_run(&r);
}

static void tell(struct round *r, const struct batch *b, enum fate fate)
{
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < b->rows; i++)
		r->fate[b->first + (int64_t)i] = (unsigned char)fate;
	pthread_mutex_unlock(&r->lock);
}

static void *write_until_dark(void *arg)
{
	struct round *r = arg;
	for (;;) {
		struct batch b;
		pthread_mutex_lock(&r->lock);
		uint64_t dice = next_random(&r->seed);
		b.first = r->next_id;
		b.rows = dice % 2 ? 1 : GROUP;
		b.payload = dice >> 8 & 7 ? 40 : PAYLOAD_MAX;
		r->next_id += GROUP;
		pthread_mutex_unlock(&r->lock);
		if (b.first + GROUP >= ROWS_MAX)
			return NULL;
		tell(r, &b, TRIED);
		if (db_write(r->db, write_batch, &b))
			return NULL;
		tell(r, &b, ACKNOWLEDGED);
	}
}

/* ---- after the light is back ---- */

struct look {
	struct round *round;
	struct powercut_figures *f;
	const char *why;
	unsigned char *seen;
};

static enum err look_at_rows(struct db_conn *c, void *arg)
{
	struct look *l = arg;
	struct db_row r;
	TRY(db_query(c, &Q_IDS, &r));
	while (db_next(&r)) {
		int64_t id = db_col_i64(&r, 0);
		if (id <= 0 || id >= ROWS_MAX || l->round->fate[id] == NEVER)
			l->why = "a row that nobody wrote";
		else
			l->seen[id] = 1;
		l->f->checked_rows++;
	}
	return db_end(&r);
}

static const char *compare(struct look *l)
{
	struct round *r = l->round;
	for (int64_t first = 1; first < r->next_id && first + GROUP < ROWS_MAX; first += GROUP) {
		for (int64_t id = first; id < first + GROUP; id++) {
			if (r->fate[id] == ACKNOWLEDGED && !l->seen[id])
				return "an acknowledged row is lost";
			if (r->fate[id] == TRIED && l->seen[id] != l->seen[first])
				return "half of a transaction is there";
			if (r->fate[id] == TRIED)
				*(l->seen[id] ? &l->f->kept_unacknowledged
					      : &l->f->lost_unacknowledged) += 1;
			/* from now on what is there must stay, and what is not must not come back
			 * */
			r->fate[id] = l->seen[id] ? ACKNOWLEDGED : NEVER;
		}
	}
	return l->why;
}

static const char *examine(struct round *r, struct powercut_figures *f)
{
	AUTO_BUF struct buf report = BUF(65536);
	struct look l = { .round = r, .f = f, .seen = calloc(ROWS_MAX, 1) };
	if (!l.seen)
		return "no memory";
	enum err e = db_read(r->db, look_at_rows, &l);
	const char *why = e ? "rows cannot be read" : compare(&l);
	free(l.seen);
	if (!why && db_check(r->db, &report))
		why = "pages or references are damaged";
	return why;
}

static const char *open_again(struct round *r)
{
	static char why[ERR_DETAIL_MAX + 40];
	struct db_options o = { .path = "power.db", .readers = 1, .create = true,
		.vfs = FAULT_VFS_NAME, .migrations = schema, .n_migrations = 1, .build = "test" };
	struct err_info info = { 0 };
	memset(o.page_key, 7, sizeof o.page_key);
	enum err e = db_open(&o, &r->db, &info);
	if (!e)
		return NULL;
	snprintf(why, sizeof why, "does not open: %s: %s", err_slug(e), info.detail);
	return why;
}

static const char *one_cut(struct round *r, struct powercut_figures *f)
{
	pthread_t t[THREADS];
	unsigned started = 0;
	/* mostly within a few groups, sometimes behind a checkpoint */
	uint64_t span = next_random(&r->seed) % 4 ? 400 : 6000;
	uint64_t at = 1 + next_random(&r->seed) % span;
	fault_vfs_cut_after(at, next_random(&r->seed) & 1);
	while (started < THREADS &&
	       !thread_start("powercut", 256 * 1024, write_until_dark, r, &t[started]))
		started++;
	for (unsigned i = 0; i < started; i++)
		pthread_join(t[i], NULL);
	r->db = db_close(r->db);
	f->cuts++;
	if (!fault_vfs_is_cut())
		return "the writers stopped before the power did";
	fault_vfs_power_on(next_random(&r->seed));
	const char *why = open_again(r);
	return why ? why : examine(r, f);
}

const char *powercut_round(uint64_t seed, struct powercut_figures *f)
{
	struct round r = { .next_id = 1, .seed = seed, .lock = PTHREAD_MUTEX_INITIALIZER,
			   .fate = calloc(ROWS_MAX, 1) };
	const char *why = NULL;
	if (!r.fate || fault_vfs_reset())
		why = "no memory";
	if (!why)
		why = open_again(&r);
	fault_vfs_settle(); /* on a real disk a new database appears by a rename */
	for (int i = 0; i < CUTS_A_ROUND && !why; i++)
		why = one_cut(&r, f);
	for (int64_t id = 0; id < ROWS_MAX && r.fate; id++)
		f->acknowledged += r.fate[id] == ACKNOWLEDGED;
	db_close(r.db);
	free(r.fate);
	return why;
}
