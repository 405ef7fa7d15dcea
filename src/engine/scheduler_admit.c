/* Who waits gets a slot: in which pool, beside whom, and who makes way. */
#include "engine/scheduler_int.h"

static const int64_t PREEMPT_NS = 2 * 1000000000LL;

static bool strict_runs(struct sched *s)
{
	EACH_RUNNING(s, l)
	if (l->req->strict)
		return true;
	return false;
}

static void note_strict(void *arg, struct request *r, uint32_t place)
{
	(void)place;
	*(bool *)arg |= r->strict;
}

bool sched_strict(struct sched *s)
{
	bool any = strict_runs(s);
	if (!any) /* it may begin with the next step */
		queue_wait_each(s->queue, sched_now(s), note_strict, &any);
	return any;
}

static bool fits_own(const struct sched *s, const struct request *r)
{
	return request_cells(r) <= s->caps->pool[POOL_OWN].n_ctx;
}

/* Is somebody waiting or running whose text begins like this one, in a scope they share? */
struct peers {
	const struct request *r;
	size_t most;
};

static void compare_waiting(void *arg, struct request *o, uint32_t place)
{
	struct peers *p = arg;
	(void)place;
	if (o == p->r || o->strict)
		return;
	struct prefix_text a = cells_text(p->r), b = cells_text(o);
	size_t n = prefix_common(&a, &b);
	p->most = n > p->most ? n : p->most;
}

/* The shared pool is for families. A text marked as shared founds one when the pool is idle; one
 * that has company there, or among those who wait, joins; so does what is too long for a stream. */
static bool wants_shared(struct sched *s, const struct request *r, const struct cells_family *f)
{
	if (!s->caps->pool[POOL_SHARED].n_cells ||
		request_cells(r) > s->caps->pool[POOL_SHARED].n_ctx)
		return false;
	if (f->n >= CELLS_SHARE_MIN || f->leader || !fits_own(s, r))
		return true;
	bool idle = true;
	EACH_RUNNING(s, l)
	idle = idle && l->pool != POOL_SHARED;
	if (!idle)
		return false;
	if (r->n_group >= CELLS_SHARE_MIN)
		return true;
	struct peers p = { r, 0 };
	queue_wait_each(s->queue, sched_now(s), compare_waiting, &p);
	return p.most >= CELLS_SHARE_MIN;
}

/* With every stream taken, the shared pool takes strangers too, up to half of it: each makes the
 * steps of all others there longer. */
static bool guest_room(struct sched *s, const struct request *r)
{
	uint32_t n = s->caps->pool[POOL_SHARED].n_cells;
	return n && request_cells(r) <= s->caps->pool[POOL_SHARED].n_ctx &&
	       cells_used(s->cells, POOL_SHARED) + request_cells(r) <= n / 2;
}

static struct slot *take_shared(
	struct sched *s, const struct request *r, const struct cells_family *f)
{
	uint32_t all = request_cells(r), less = f->leader && f->want > f->n ? f->want : f->n;
	if (!cells_make_room(s->cells, all > less ? all - less : 1, f->donor))
		return NULL;
	cells_let_go(s->cells, f->donor);
	return cells_take(s->cells, POOL_SHARED, r, f->donor);
}

static struct slot *place(struct sched *s, const struct request *r, struct cells_family *f)
{
	if (r->strict) {
		enum engine_pool p = fits_own(s, r) ? POOL_OWN : POOL_SHARED;
		if (p == POOL_SHARED)
			cells_clear(s->cells, p);
		return cells_take(s->cells, p, r, NULL);
	}
	*f = cells_family(s->cells, r);
	struct slot *l = NULL;
	bool shared = wants_shared(s, r, f);
	if (shared)
		l = take_shared(s, r, f);
	if (!l && fits_own(s, r))
		l = cells_take(s->cells, POOL_OWN, r, NULL);
	if (!l && !shared && guest_room(s, r))
		l = take_shared(s, r, f);
	return l;
}

static void begin(struct sched *s, struct request *r, struct slot *l, const struct cells_family *f)
{
	queue_wait_take(s->queue, r);
	cells_start(s->cells, l, r, f);
	s->n_running++;
	if (!r->admitted_ns)
		r->admitted_ns = sched_now(s);
}

/* The first tokens of its own go into a batch: now it is known what it did not have to read. */
bool sched_tell_begun(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	if (r->begun) /* preempted before; what it was told stays */
		return false;
	r->begun = true;
	r->cached_tokens = l->kv.n < r->prompt_tokens ? (uint32_t)l->kv.n : r->prompt_tokens;
	s->stats.tokens_cached += r->cached_tokens;
	struct gen_begun b = { r->prompt_tokens, r->cached_tokens, r->truncated_tokens,
		r->sampling.seed };
	s->sink.begun(s->sink.arg, r->id, &b);
	return r->n_resume && sched_replay(s, l);
}

/* Its cells go to RAM, it waits at the head of its person's line. */
void sched_preempt(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	s->n_running--;
	s->stats.preempted++;
	cells_leave(s->cells, l, true);
	if (queue_wait_put_back(s->queue, r)) {
		struct request_error why = { 0 };
		uint64_t id = r->id;
		request_free(r);
		sched_fail(s, id, ERR_NOMEM, &why);
	}
}

static uint32_t running_of(struct sched *s, uint64_t person)
{
	uint32_t n = 0;
	EACH_RUNNING(s, l)
	n += l->req->person == person;
	return n;
}

/* Who waits long with nothing running takes the place of the newest request of whoever has most, or
 * of a lower class. */
static bool make_way(struct sched *s, const struct request *r)
{
	int64_t t = sched_now(s);
	struct slot *worst = NULL;
	uint32_t most = 1;
	if (t - r->added_ns < PREEMPT_NS || r->strict || running_of(s, r->person))
		return false;
	EACH_RUNNING(s, l)
	{
		uint32_t n = running_of(s, l->req->person);
		bool lower = l->req->priority > queue_wait_class(s->queue, r, t);
		n += lower ? 1000 : 0; /* lower classes before everybody */
		if (l->req->strict || n < most + !worst)
			continue;
		if (n > most || !worst || l->req->order > worst->req->order)
			worst = l;
		most = n;
	}
	if (!worst || !s->caps->state)
		return false;
	sched_preempt(s, worst);
	return true;
}

void sched_admit(struct sched *s)
{
	bool made_way = false;
	for (struct request *r; (r = queue_wait_next(s->queue, sched_now(s)));) {
		if (strict_runs(s) || (r->strict && s->n_running))
			return; /* nobody overtakes a strict one that waits for an empty engine */
		struct cells_family f = { 0 };
		struct slot *l = s->n_running < s->n_run ? place(s, r, &f) : NULL;
		if (l) {
			begin(s, r, l, &f);
			continue;
		}
		if (made_way || !make_way(s, r))
			return;
		made_way = true;
		/* The place is his, though the other stands before him in line now. */
		l = place(s, r, &f);
		if (!l)
			return;
		begin(s, r, l, &f);
	}
}

