/* Answers being made: who runs, who was told to end, and the threads that store their ends. */
#include "chat/responses_int.h"

#include <time.h>

#include "base/fault.h"
#include "os/threads.h"

/* ---- threads ---- */

static struct response_run *take_job(struct responses *r)
{
	pthread_mutex_lock(&r->lock);
	while (!r->first_job && !r->ending)
		pthread_cond_wait(&r->more, &r->lock);
	struct response_run *run = r->first_job;
	if (run) {
		r->first_job = run->next_job;
		if (!r->first_job)
			r->last_job = &r->first_job;
	}
	pthread_mutex_unlock(&r->lock);
	return run;
}

static void *store_main(void *arg)
{
	struct responses *r = arg;
	struct response_run *run;
	while ((run = take_job(r)))
		run->job(run->job_arg);
	return NULL;
}

enum err responses_new(struct db *db, struct fleet *fleet, struct responses **ret)
{
	AUTO(responses) struct responses *r = mem_zalloc(1, sizeof *r);
	pthread_condattr_t a;
	if (!r)
		return ERR_NOMEM;
	r->db = db;
	r->fleet = fleet;
	r->last_job = &r->first_job;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->more, &a);
	pthread_cond_init(&r->gone, &a);
	pthread_condattr_destroy(&a);
	r->cond_up = true;
	for (; r->threads < RESPONSES_THREADS; r->threads++)
		TRY(thread_start("responses", 512 * 1024, store_main, r, &r->thread[r->threads]));
	*ret = TAKE(r);
	return OK;
}

/* Waits until no run, or none of this id, is listed. Lock held. False: it took too long. */
static bool wait_gone(struct responses *r, struct str id, int timeout_ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ms / 1000;
	for (;;) {
		struct response_run *run = r->runs;
		while (run && id.ptr && !str_eq(str_from(run->id), id))
			run = run->next;
		if (!run)
			return true;
		if (pthread_cond_timedwait(&r->gone, &r->lock, &t))
			return false;
	}
}

struct responses *responses_free(struct responses *r)
{
	if (!r)
		return NULL;
	if (!r->cond_up) {
		mem_free(r);
		return NULL;
	}
	pthread_mutex_lock(&r->lock);
	r->closing = true;
	pthread_mutex_unlock(&r->lock);
	responses_stop(r, STR_NONE, STR_NONE);
	pthread_mutex_lock(&r->lock);
	bool all_gone = wait_gone(r, STR_NONE, RESPONSES_CLOSE_WAIT_MS);
	r->ending = true;
	pthread_cond_broadcast(&r->more);
	pthread_mutex_unlock(&r->lock);
	for (unsigned i = 0; i < r->threads; i++)
		pthread_join(r->thread[i], NULL);
	if (!all_gone)
		/* the fleet may still come with their ends: better lost than freed under it */
		return NULL;
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->more);
	pthread_cond_destroy(&r->gone);
	mem_free(r);
	return NULL;
}

/* ---- runs ---- */

enum err response_run_add(struct responses *r, struct response_run *run)
{
	enum err e = ERR_CLOSED;
	pthread_mutex_lock(&r->lock);
	if (!r->closing) {
		run->next = r->runs;
		r->runs = run;
		run->listed = true;
		e = OK;
	}
	pthread_mutex_unlock(&r->lock);
	return e;
}

void response_run_started(struct responses *r, struct response_run *run, uint64_t fleet_id)
{
	pthread_mutex_lock(&r->lock);
	run->fleet_id = fleet_id;
	bool end = run->listed && (run->cancelled || r->closing);
	pthread_mutex_unlock(&r->lock);
	if (end)
		fleet_cancel(r->fleet, fleet_id);
}

void response_run_later(
	struct responses *r, struct response_run *run, void (*job)(void *arg), void *arg)
{
	pthread_mutex_lock(&r->lock);
	run->job = job;
	run->job_arg = arg;
	run->next_job = NULL;
	*r->last_job = run;
	r->last_job = &run->next_job;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
}

void response_run_end(struct responses *r, struct response_run *run)
{
	pthread_mutex_lock(&r->lock);
	for (struct response_run **p = &r->runs; *p; p = &(*p)->next)
		if (*p == run) {
			*p = run->next;
			break;
		}
	run->listed = false;
	pthread_cond_broadcast(&r->gone);
	pthread_mutex_unlock(&r->lock);
}

bool response_run_cancelled(struct responses *r, struct response_run *run)
{
	pthread_mutex_lock(&r->lock);
	bool yes = run->cancelled;
	pthread_mutex_unlock(&r->lock);
	return yes;
}

bool responses_closing(struct responses *r)
{
	pthread_mutex_lock(&r->lock);
	bool yes = r->closing;
	pthread_mutex_unlock(&r->lock);
	return yes;
}

/* Marks one that was not marked yet. Lock held. */
static bool mark_one(struct responses *r, struct str id, struct str person, uint64_t *ret_fleet_id)
{
	for (struct response_run *run = r->runs; run; run = run->next) {
		if (run->cancelled || (id.ptr && !str_eq(str_from(run->id), id)) ||
			(person.ptr && !str_eq(str_from(run->person), person)))
			continue;
		run->cancelled = true;
		*ret_fleet_id = run->fleet_id;
		return true;
	}
	return false;
}

void responses_stop(struct responses *r, struct str id, struct str person)
{
	uint64_t fleet_id = 0;
	pthread_mutex_lock(&r->lock);
	while (mark_one(r, id, person, &fleet_id)) {
		pthread_mutex_unlock(&r->lock); /* the fleet may call back at once */
		if (fleet_id)
			fleet_cancel(r->fleet, fleet_id);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
}

enum err response_cancel(struct responses *r, struct str id)
{
	bool runs = false;
	pthread_mutex_lock(&r->lock);
	for (struct response_run *run = r->runs; run; run = run->next)
		runs |= run->background && str_eq(str_from(run->id), id);
	pthread_mutex_unlock(&r->lock);
	if (!runs)
		return OK;
	responses_stop(r, id, STR_NONE);
	pthread_mutex_lock(&r->lock);
	bool stored = wait_gone(r, id, RESPONSES_CANCEL_WAIT_MS);
	pthread_mutex_unlock(&r->lock);
	return stored ? OK : ERR_BUSY;
}
