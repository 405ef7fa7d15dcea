/* bench/store - durable writes a second: one by one, and by 16 and 64 threads that share commits.
 *
 *   store_bench DIR [RUNS] [MILLISECONDS]   default 5 runs of 2000 each, after a warm-up
 *
 * A write is one execution row and three step rows, as in the figures of docs/architecture.md. Each
 * counts only when db_write() has returned, that is, after the sync. Prints median and spread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/time.h"
#include "os/threads.h"
#include "store/db.h"

enum { THREADS_MAX = 64, RUNS_MAX = 51 };

static const struct migration schema[] = {
	{ 1, "bench",
		"CREATE TABLE execution (id INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;"
		"CREATE TABLE step (execution INTEGER NOT NULL REFERENCES execution(id),"
		" number INTEGER NOT NULL, output TEXT NOT NULL, PRIMARY KEY (execution, number))"
		" STRICT;" },
};
static const struct sql Q_EXECUTION = { "bench.execution",
	"INSERT INTO execution VALUES (?1, 'done')" };
static const struct sql Q_STEP = { "bench.step", "INSERT INTO step VALUES (?1, ?2, ?3)" };

struct load {
	struct db *db;
	atomic_llong next_id, done;
	atomic_bool stop, failed;
};

static enum err write_one(struct db_conn *c, void *arg)
{
	struct db_row r;
	int64_t id = *(int64_t *)arg;
	TRY(db_query(c, &Q_EXECUTION, &r));
	db_bind_i64(&r, 1, id);
	TRY(db_run(&r));
	for (int64_t i = 0; i < 3; i++) {
		TRY(db_query(c, &Q_STEP, &r));
		db_bind_i64(&r, 1, id);
		db_bind_i64(&r, 2, i);
		db_bind_str(&r, 3,
			STR("{\"status\":200,\"body\":{\"name\":\"a short result of a step\"}}"));
		TRY(db_run(&r));
	}
	return OK;
}

static void *write_many(void *arg)
{
	struct load *l = arg;
	while (!atomic_load(&l->stop)) {
		int64_t id = atomic_fetch_add(&l->next_id, 1);
		if (db_write(l->db, write_one, &id)) {
			atomic_store(&l->failed, true);
			break;
		}
		atomic_fetch_add(&l->done, 1);
	}
	return NULL;
}

/* Writes a second over `seconds`; negative: failed. */
static double run(struct load *l, unsigned threads, double seconds)
{
	pthread_t t[THREADS_MAX];
	unsigned started = 0;
	l->stop = false;
	long long before = l->done;
	int64_t begun = time_mono_ns();
	while (started < threads && !thread_start("bench", 128 * 1024, write_many, l, &t[started]))
		started++;
	usleep((useconds_t)(seconds * 1e6));
	l->stop = true;
	for (unsigned i = 0; i < started; i++)
		pthread_join(t[i], NULL);
	double took = (double)(time_mono_ns() - begun) / 1e9;
	return l->failed || started < threads ? -1 : (double)(l->done - before) / took;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int measure(struct load *l, unsigned threads, unsigned runs, double seconds)
{
	double rate[RUNS_MAX];
	(void)run(l, threads, seconds / 4); /* warm-up */
	for (unsigned i = 0; i < runs; i++)
		if ((rate[i] = run(l, threads, seconds)) < 0)
			return 1;
	qsort(rate, runs, sizeof rate[0], by_size);
	printf("{\"threads\":%u,\"writes_per_s\":%.0f,\"min\":%.0f,\"max\":%.0f,\"runs\":%u}\n",
		threads, rate[runs / 2], rate[0], rate[runs - 1], runs);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	static const unsigned threads[] = { 1, 16, 64 };
	uint64_t runs = 5, ms = 2000;
	struct load l = { 0 };
	struct err_info info = { 0 };
	char path[1024];
	bool ok = (argc <= 2 || !str_to_u64(str_from(argv[2]), &runs)) &&
		  (argc <= 3 || !str_to_u64(str_from(argv[3]), &ms));
	if (argc < 2 || !ok || runs < 1 || runs > RUNS_MAX || crypto_init()) {
		fprintf(stderr, "usage: store_bench DIR [RUNS] [MILLISECONDS]\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/bench.db", argv[1]);
	struct db_options o = { .path = path, .readers = 1, .create = true, .migrations = schema,
		.n_migrations = 1, .build = "bench", .page_key = { 1 } };
	if (access(path, F_OK) == 0 || db_open(&o, &l.db, &info)) {
		fprintf(stderr, "store_bench: %s\n",
			info.detail[0] ? info.detail : "bench.db is there already");
		return 1;
	}
	int rc = 0;
	for (size_t i = 0; i < 3 && !rc; i++)
		rc = measure(&l, threads[i], (unsigned)runs, (double)ms / 1000);
	db_close(l.db);
	return rc;
}
