#include "engine/scheduler_int.h"

#include <string.h>

#include "base/fault.h"
#include "engine/request.h"

enum {
	WAITING_DEFAULT = 1024,
	STUCK_MAX = 3, /* tries with a batch that cannot shrink before it fails */
};
static const int64_t GAP_DEFAULT_NS = 150 * 1000000LL, AGE_DEFAULT_NS = 15 * 1000000000LL,
		     TELL_NS = 500 * 1000000LL;
static const size_t RAM_DEFAULT = 256u << 20;

struct sched *sched_free(struct sched *s)
{
	if (!s)
		return NULL;
	if (s->cells)
		sched_cancel_all(s);
	queue_wait_free(s->queue);
	cells_free(s->cells);
	mem_free(s->batch);
	buf_wipe(&s->thought);
	buf_wipe(&s->answer);
	mem_free(s);
	return NULL;
}

enum err sched_new(const struct sched_options *o, struct sched **ret)
{
	AUTO(sched) struct sched *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->ops = o->ops;
	s->backend = o->backend;
	s->caps = o->ops->caps(o->backend);
	s->sink = o->sink;
	s->max_waiting = o->max_waiting ? o->max_waiting : WAITING_DEFAULT;
	/* each has a token and a row of logits in every batch */
	s->n_run = s->caps->n_run < s->caps->n_batch ? s->caps->n_run : s->caps->n_batch;
	s->gap_ns = o->gap_ns ? o->gap_ns : GAP_DEFAULT_NS;
	s->no_drafts = o->no_drafts || !s->caps->partial_rm || s->caps->swa_window;
	s->thought = BUF(LIMIT_ANSWER);
	s->answer = BUF(LIMIT_ANSWER);
	s->batch = mem_zalloc(s->caps->n_batch, sizeof *s->batch);
	if (!s->batch)
		return ERR_NOMEM;
	struct cells_options co = { o->ops, o->backend, o->ram_bytes ? o->ram_bytes : RAM_DEFAULT,
		o->disk };
	TRY(queue_wait_new(o->age_ns ? o->age_ns : AGE_DEFAULT_NS, &s->queue));
	TRY(cells_new(&co, &s->cells));
	*ret = TAKE(s);
	return OK;
}

int64_t sched_now(const struct sched *s)
{
	return s->ops->now_ns(s->backend);
}

struct prefix *sched_tree(struct sched *s)
{
	return cells_tree(s->cells);
}

/* ---- ends ---- */

void sched_fail(struct sched *s, uint64_t id, enum err e, struct request_error *why)
{
	struct err_info *i = &why->info;
	const char *text = i->detail[0] ? i->detail : err_text(e);
	struct gen_failed f = { e, str_from(text), why->prompt_tokens, why->context_tokens };
	s->sink.failed(s->sink.arg, id, &f);
}

static void leave(struct sched *s, struct slot *l)
{
	s->n_running--;
	cells_leave(s->cells, l, false);
}

void sched_smooth(double *to, double v)
{
	*to = *to > 0 ? 0.7 * *to + 0.3 * v : v;
}

/* The request is over; `l` is its slot or NULL. Frees it. */
void sched_finish(struct sched *s, struct request *r, struct slot *l, enum gen_reason reason)
{
	int64_t t = sched_now(s), in = r->admitted_ns ? r->admitted_ns : t,
		first = r->first_ns ? r->first_ns : t;
	struct gen_done d = {
		.reason = reason,
		.prompt_tokens = r->prompt_tokens,
		.cached_tokens = r->cached_tokens,
		.answer_tokens = request_answer_tokens(r),
		.queue_ns = in - r->added_ns,
		.prompt_ns = first - in,
		.answer_ns = t - first,
	};
	request_finish(r, &d);
	if (l) {
		sched_smooth(&s->service_ns, (double)(t - in));
		leave(s, l);
	}
	s->sink.done(s->sink.arg, r->id, &d);
	request_free(r);
}

void sched_finish_failed(struct sched *s, struct slot *l, enum err e, const char *detail)
{
	struct request_error why = { 0 };
	if (detail)
		(void)err_set(&why.info, e, "%s", detail);
	struct request *r = l->req;
	uint64_t id = r->id;
	s->n_running--;
	cells_drop(s->cells, l); /* whatever is wrong with it is not kept */
	request_free(r);
	sched_fail(s, id, e, &why);
}

static void cancel_waiting(void *arg, struct request *r, uint32_t place)
{
	(void)place;
	struct sched *s = arg;
	queue_wait_take(s->queue, r);
	request_free(r);
}

void sched_cancel_all(struct sched *s)
{
	EACH_RUNNING(s, l)
	{
		struct request *r = l->req;
		leave(s, l);
		request_free(r);
	}
	queue_wait_each(s->queue, sched_now(s), cancel_waiting, s);
}

/* ---- the queue ---- */

static void refuse(struct sched *s, struct request *r, enum err e)
{
	struct request_error why = { 0 };
	uint64_t id = r->id;
	request_free(r);
	sched_fail(s, id, e, &why);
}

void sched_take(struct sched *s, struct request *r, int64_t deadline_ms, int64_t ago_ms)
{
	enum err e = ERR_BUSY;
	r->added_ns = sched_now(s) - ago_ms * 1000000;
	r->order = s->orders++;
	r->deadline_ns = deadline_ms ? r->added_ns + deadline_ms * 1000000 : 0;
	if (queue_wait_n(s->queue) < s->max_waiting)
		e = queue_wait_add(s->queue, r);
	if (e)
		refuse(s, r, e);
}

void sched_add(struct sched *s, uint64_t id, const struct gen_request *g)
{
	struct request_error why = { 0 };
	struct request *r = NULL;
	enum err e = ERR_BUSY;
	if (queue_wait_n(s->queue) < s->max_waiting)
		e = request_new(s->ops, s->backend, id, g, &r, &why);
	if (e)
		sched_fail(s, id, e, &why);
	else
		sched_take(s, r, g->deadline_ms, 0);
}

struct cancel {
	struct sched *s;
	uint64_t id;
};

static void mark_waiting(void *arg, struct request *r, uint32_t place)
{
	struct cancel *c = arg;
	(void)place;
	if (r->id == c->id)
		r->cancelled = true;
}

void sched_cancel(struct sched *s, uint64_t id)
{
	EACH_RUNNING(s, l)
	if (l->req->id == id)
		l->req->cancelled = true;
	queue_wait_each(s->queue, sched_now(s), mark_waiting, &(struct cancel){ s, id });
}

/* Ends of requests that wait no longer. */
static void drop_waiting(void *arg, struct request *r, uint32_t place)
{
	struct sched *s = arg;
	(void)place;
	if (r->cancelled) {
		queue_wait_take(s->queue, r);
		sched_finish(s, r, NULL, GEN_CANCELLED);
	} else if (r->deadline_ns && sched_now(s) > r->deadline_ns) {
		struct request_error why = { 0 };
		uint64_t id = r->id;
		(void)err_set(&why.info, ERR_TIMEOUT, "the answer was not begun in the time given");
		queue_wait_take(s->queue, r);
		request_free(r);
		sched_fail(s, id, ERR_TIMEOUT, &why);
	}
}

static void drop_cancelled(struct sched *s)
{
	EACH_RUNNING(s, l)
	if (l->req->cancelled)
		sched_finish(s, l->req, l, GEN_CANCELLED);
	queue_wait_each(s->queue, sched_now(s), drop_waiting, s);
}

static void tell_place(void *arg, struct request *r, uint32_t place)
{
	struct sched *s = arg;
	if (r->place == place)
		return;
	double each = s->service_ns / (s->n_running ? s->n_running : 1);
	struct gen_queued q = { place, s->service_ns > 0 ? (int64_t)(place * each / 1e6) : -1 };
	r->place = place;
	s->sink.queued(s->sink.arg, r->id, &q);
}

/* Those who still wait hear where they stand, now and then. */
static void tell_places(struct sched *s)
{
	int64_t t = sched_now(s);
	if (!s->sink.queued || t - s->told_ns < TELL_NS)
		return;
	s->told_ns = t;
	queue_wait_each(s->queue, t, tell_place, s);
}

/* ---- after the batch ---- */

static enum err commit(struct sched *s, enum engine_pool p)
{
	EACH_RUNNING(s, l)
	if (sched_place_of(l)->pool == p && l->n_batch) {
		struct slot *at = sched_place_of(l);
		TRY(cells_grow(s->cells, at, l->req->feed.v + at->kv.n, l->n_batch));
		if (l->req->n_draft)
			TRY(cells_grow(s->cells, l, l->req->draft, l->req->n_draft));
	}
	return OK;
}

/* What a token of prompt costs, and a step of answers, smoothed. */
static void measure(struct sched *s, int64_t ns, size_t prompts)
{
	double t = (double)ns;
	if (t <= 0)
		return;
	if (!prompts)
		sched_smooth(&s->answer_ns, t);
	else if (prompts >= CHUNK_MIN)
		sched_smooth(&s->token_ns,
			(t > s->answer_ns && s->n_batch > prompts ? t - s->answer_ns : t) /
				(double)prompts);
}

/* ---- what goes wrong ---- */

/* The backend had no cells for the batch: first a leaf goes, then prompts get less room, then the
 * newest request has to wait. With nothing left to give up the one that remains fails. */
void sched_make_room(struct sched *s, enum engine_pool p)
{
	if (p == POOL_SHARED && cells_give_up_leaf(s->cells))
		return;
	if (s->squeeze < 16 && s->n_batch > s->n_running) {
		s->squeeze++;
		return;
	}
	struct slot *newest = NULL;
	EACH_RUNNING(s, l)
	if (sched_place_of(l)->pool == p && (!newest || l->req->order > newest->req->order))
		newest = l;
	if (newest && s->n_running > 1) {
		sched_preempt(s, newest);
		return;
	}
	if (s->stuck++ < STUCK_MAX || !newest)
		return;
	sched_finish_failed(s, newest, ERR_NOMEM, "the model's context is full");
}

/* The backend refused the batch and changed nothing; whose fault it is cannot be told. */
static void refuse_all(struct sched *s, enum engine_pool p)
{
	EACH_RUNNING(s, l)
	if (sched_place_of(l)->pool == p && l->n_batch)
		sched_finish_failed(s, l, ERR_ENGINE, "the model refused the input");
}

/* ---- the step ---- */

static enum err step_pool(struct sched *s, enum engine_pool p)
{
	size_t prompts;
	if (!sched_fill(s, p, &prompts))
		return OK;
	int64_t from = sched_now(s);
	s->computed = true;
	enum err e = s->ops->decode(s->backend, p, s->batch, s->n_batch);
	if (e == ERR_AGAIN || e == ERR_INVALID) {
		EACH_RUNNING(s, l)
		l->req->n_draft = 0;
		if (e == ERR_AGAIN)
			sched_make_room(s, p);
		else
			refuse_all(s, p);
		return OK;
	}
	if (e)
		return e;
	s->stats.tokens_in +=
		prompts; /* moves while a long prompt is read: progress to whoever watches */
	measure(s, sched_now(s) - from, prompts);
	s->squeeze = s->stuck = 0;
	TRY(commit(s, p));
	EACH_RUNNING(s, l)
	if (sched_place_of(l)->pool == p && l->n_batch) {
		l->n_batch = 0;
		/* what is left of a tile is read faster where it answers */
		if (l->reader && sched_left(l) <= s->caps->read_tile)
			cells_read_done(s->cells, l);
		else if (l->kv.n == l->req->feed.n + l->req->n_draft)
			sched_draw_next(s, l);
	}
	return OK;
}

static bool first_token_awaited(struct sched *s)
{
	EACH_RUNNING(s, l)
	if (!l->req->first_ns)
		return true;
	return queue_wait_n(s->queue);
}

/* The prompt that is to be ready first of those that are worth it goes to the reading pool. */
static void choose_reader(struct sched *s)
{
	struct slot *v[CELLS_SLOTS];
	size_t n = 0;
	EACH_RUNNING(s, l)
	if (cells_followed(s->cells, l) && sched_left(l) > CELLS_READ_MIN && sched_tile_fits(s)) {
		size_t at = n++;
		for (; at && sched_reads_before(l, v[at - 1]); at--)
			v[at] = v[at - 1];
		v[at] = l;
	}
	for (size_t i = 0; i < n && !v[i]->reader; i++)
		cells_read_elsewhere(s->cells, v[i]);
}

enum err sched_step(struct sched *s)
{
	s->steps++;
	drop_cancelled(s);
	sched_admit(s);
	tell_places(s);
	choose_reader(s);
	cells_compact(s->cells);
	sched_share_prompts(s);
	s->computed = false;
	TRY(step_pool(s, POOL_READ));
	for (enum engine_pool p = POOL_SHARED; p <= POOL_OWN; p++) {
		TRY(sched_read_pictures(s, p));
		TRY(step_pool(s, p));
	}
	if (!first_token_awaited(s))
		cells_spare_stream(s->cells);
	return OK;
}

bool sched_waits(const struct sched *s)
{
	return s->n_running && !s->computed;
}

bool sched_busy(const struct sched *s)
{
	return queue_wait_n(s->queue) || s->n_running;
}

bool sched_idle(struct sched *s)
{
	return cells_idle(s->cells);
}

void sched_rest(struct sched *s)
{
	cells_rest(s->cells);
}

bool sched_may_rest(const struct sched *s)
{
	return cells_may_rest(s->cells);
}

void sched_save(struct sched *s)
{
	cells_save_all(s->cells);
}

void sched_close(struct sched *s)
{
	cells_close(s->cells);
}

void sched_purge(struct sched *s, const struct engine_purge *p)
{
	cells_purge(s->cells, p->person, p->object);
}

void sched_stats(const struct sched *s, struct engine_stats *ret)
{
	*ret = s->stats;
	ret->active = s->n_running;
	ret->waiting = queue_wait_n(s->queue);
	for (int p = 0; p < POOLS; p++) {
		ret->cells += s->caps->pool[p].n_cells;
		ret->cells_used += cells_used(s->cells, p);
	}
	ret->cache_bytes = prefix_bytes(cells_tree(s->cells));
}

enum err sched_count(
	struct sched *s, const struct gen_request *g, uint64_t *ret, struct err_info *info)
{
	return request_count(s->ops, s->backend, g, ret, info);
}
