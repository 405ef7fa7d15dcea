#include "store/db_int.h"

#include <errno.h>
#include <time.h>

#include "os/threads.h"

/* How many writes there are now, after waiting up to DB_GATHER_NS for as many as `company`: threads
 * that wrote together a moment ago come back together, and one sync then serves them all. A lone
 * writer (company 1) never waits. `lock` is held. */
static void gather(struct db *d, unsigned company)
{
	struct timespec until;
	if (d->n_jobs >= company)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += DB_GATHER_NS;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	while (d->n_jobs < company && !d->closing)
		if (pthread_cond_timedwait(&d->more_jobs, &d->lock, &until) == ETIMEDOUT)
			return;
}

/* Cuts up to DB_GROUP_MAX jobs off the queue. NULL: closing and empty. */
static struct db_job *take_group(struct db *d, unsigned company, unsigned *ret_n)
{
	pthread_mutex_lock(&d->lock);
	while (!d->jobs && !d->closing)
		pthread_cond_wait(&d->more_jobs, &d->lock);
	if (d->jobs)
		gather(d, company);
	struct db_job *group = d->jobs, **end = &group;
	unsigned n = 0;
	while (*end && n < DB_GROUP_MAX) {
		end = &(*end)->next;
		n++;
	}
	d->jobs = *end;
	*end = NULL;
	if (!d->jobs)
		d->jobs_tail = &d->jobs;
	d->n_jobs -= n;
	pthread_mutex_unlock(&d->lock);
	*ret_n = n;
	return group;
}

/* Undoes the whole transaction: every job of the group that looked good failed with `e` too. */
static void fail_group(struct db_conn *c, struct db_job *group, enum err e)
{
	db_conn_settle(c);
	if (!sqlite3_get_autocommit(c->h))
		(void)db_conn_exec(c, "ROLLBACK");
	for (struct db_job *j = group; j; j = j->next)
		if (!j->err)
			j->err = e;
}

/* One job in its savepoint. False: the transaction is gone (SQLite undid it: disk full, no memory,
 * a failed read or write), or the database is damaged. */
static bool run_job(struct db_conn *c, struct db_job *j, bool alone)
{
	if (!alone && (j->err = db_conn_exec(c, "SAVEPOINT job")))
		return false;
	j->err = j->fn(c, j->arg);
	db_conn_settle(c);
	if (sqlite3_get_autocommit(c->h) || atomic_load(&c->db->damaged)) {
		if (!j->err)
			j->err = ERR_IO; /* a db_fn that swallowed the error: nothing was kept */
		return false;
	}
	if (alone)
		return j->err == OK;
	enum err e = OK;
	if (j->err)
		e = db_conn_exec(c, "ROLLBACK TO job");
	if (!e)
		e = db_conn_exec(c, "RELEASE job");
	if (e && !j->err)
		j->err = e;
	return e == OK;
}

static void run_group(struct db *d, struct db_job *group, unsigned n)
{
	struct db_conn *c = d->writer;
	enum err e = atomic_load(&d->damaged) ? ERR_CORRUPT : db_conn_exec(c, "BEGIN IMMEDIATE");
	struct db_job *j = group;
	while (!e && j) {
		if (!run_job(c, j, n == 1))
			e = j->err;
		j = j->next;
	}
	if (!e)
		e = db_conn_exec(c, "COMMIT"); /* durable when this returns */
	if (e)
		fail_group(c, group, e);
}

/* Folds the log into the file after the waiting writers were told: they do not pay for it. */
static void checkpoint(struct db *d)
{
	if (d->wal_frames < DB_CHECKPOINT_FRAMES || atomic_load(&d->damaged))
		return;
	d->wal_frames = 0;
	int rc = sqlite3_wal_checkpoint_v2(d->writer->h, "main", SQLITE_CHECKPOINT_PASSIVE, NULL,
					   NULL);
	(void)db_conn_error(d->writer, rc); /* damage is noted; the rest is tried again later */
}

static void *writer_main(void *arg)
{
	struct db *d = arg;
	struct db_job *group;
	unsigned n = 1;
	while ((group = take_group(d, n, &n))) {
		run_group(d, group, n);
		while (group) { /* a job is its caller's from the post on */
			struct db_job *next = group->next;
			sem_post(&group->done);
			group = next;
		}
		checkpoint(d);
	}
	return NULL;
}

static int note_wal_size(void *arg, sqlite3 *h, const char *name, int frames)
{
	(void)h;
	(void)name;
	((struct db *)arg)->wal_frames = frames;
	return SQLITE_OK;
}

enum err db_writer_start(struct db *d)
{
	(void)sqlite3_wal_hook(d->writer->h, note_wal_size, d);
	TRY(thread_start("db-writer", 256 * 1024, writer_main, d, &d->thread));
	d->thread_up = true;
	return OK;
}

void db_writer_stop(struct db *d)
{
	if (!d->thread_up)
		return;
	pthread_mutex_lock(&d->lock);
	d->closing = true;
	pthread_cond_broadcast(&d->more_jobs);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	d->thread_up = false;
}

enum err db_write(struct db *d, db_fn fn, void *arg)
{
	struct db_job j = { .fn = fn, .arg = arg };
	if (atomic_load(&d->damaged))
		return ERR_CORRUPT;
	if (sem_init(&j.done, 0, 0))
		return err_from_errno(errno);
	pthread_mutex_lock(&d->lock);
	enum err e = d->closing ? ERR_CLOSED : d->n_jobs >= DB_QUEUE_MAX ? ERR_BUSY : OK;
	if (!e) {
		*d->jobs_tail = &j;
		d->jobs_tail = &j.next;
		d->n_jobs++;
		pthread_cond_signal(&d->more_jobs);
	}
	pthread_mutex_unlock(&d->lock);
	if (!e) {
		while (sem_wait(&j.done))
			; /* EINTR */
		e = j.err;
	}
	sem_destroy(&j.done);
	return e;
}
