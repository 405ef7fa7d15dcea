#include "engine/scheduler.h"

#include <string.h>

#include "base/fault.h"
#include "engine/cells.h"
#include "engine/draft.h"
#include "engine/queue.h"
#include "engine/request.h"

enum {
	WAITING_DEFAULT = 1024,
	CHUNK_MIN = 16,    /* tokens of prompt a step carries at least */
	CHUNK_FIRST = 64,  /* while nothing is measured */
	STUCK_MAX = 3,     /* tries with a batch that cannot shrink before it fails */
	LOWER_SHARE = 8,   /* one part in so many of a step is for prompts of lower classes */
	DRAFT_RUNNING = 2, /* with more than so many running, their batch is wide enough without */
	DRAFT_PAUSE = 64,  /* tokens until it is tried again where it did not pay */
};
static const int64_t GAP_DEFAULT_NS = 150 * 1000000LL, AGE_DEFAULT_NS = 15 * 1000000000LL,
		     PREEMPT_NS = 2 * 1000000000LL, TELL_NS = 500 * 1000000LL;
static const size_t RAM_DEFAULT = 256u << 20;
static const float DRAFT_ACCEPTS_MIN = 0.35f;

struct sched {
	const struct engine_backend_ops *ops;
	void *backend;
	const struct engine_caps *caps;
	struct sched_sink sink;
	struct cells *cells;
	struct queue_wait *queue;
	struct engine_token *batch; /* n_batch of them */
	size_t n_batch;
	uint32_t max_waiting, n_running, n_run;
	uint64_t orders, steps;
	uint32_t squeeze; /* halvings of the prompt share after ERR_AGAIN */
	uint32_t stuck;   /* ERR_AGAINs in a row with nothing left to give up */
	int64_t gap_ns, told_ns;
	double token_ns;   /* measured: what a token of prompt costs */
	double answer_ns;  /* measured: a step without prompts */
	double service_ns; /* measured: from admission to the end */
	bool no_drafts;
	struct engine_stats stats;
	struct buf bytes, thought, answer;
};

/* Iterates over the slots with a request. Its body may end the request. */
#define EACH_RUNNING(s, l)                                                                         \
	for (size_t l##_i = 0; l##_i < cells_n((s)->cells); l##_i++)                               \
		for (struct slot *l = cells_slot((s)->cells, l##_i); l && l->req; l = NULL)

struct sched *sched_free(struct sched *s)
{
	if (!s)
		return NULL;
	if (s->cells)
		sched_cancel_all(s);
	queue_wait_free(s->queue);
	cells_free(s->cells);
	mem_free(s->batch);
	buf_wipe(&s->bytes);
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
	s->bytes = BUF(1 << 20);
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

static int64_t now(const struct sched *s)
{
	return s->ops->now_ns(s->backend);
}

struct prefix *sched_tree(struct sched *s)
{
	return cells_tree(s->cells);
}

/* ---- ends ---- */

static void fail(struct sched *s, uint64_t id, enum err e, struct request_error *why)
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

static void smooth(double *to, double v)
{
	*to = *to > 0 ? 0.7 * *to + 0.3 * v : v;
}

/* The request is over; `l` is its slot or NULL. Frees it. */
static void finish(struct sched *s, struct request *r, struct slot *l, enum gen_reason reason)
{
	int64_t t = now(s), in = r->admitted_ns ? r->admitted_ns : t,
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
		smooth(&s->service_ns, (double)(t - in));
		leave(s, l);
	}
	s->sink.done(s->sink.arg, r->id, &d);
	request_free(r);
}

static void finish_failed(struct sched *s, struct slot *l, enum err e, const char *detail)
{
	struct request_error why = { 0 };
	if (detail)
		(void)err_set(&why.info, e, "%s", detail);
	struct request *r = l->req;
	uint64_t id = r->id;
	s->n_running--;
	cells_drop(s->cells, l); /* whatever is wrong with it is not kept */
	request_free(r);
	fail(s, id, e, &why);
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
	queue_wait_each(s->queue, now(s), cancel_waiting, s);
}

/* ---- the queue ---- */

void sched_add(struct sched *s, uint64_t id, const struct gen_request *g)
{
	struct request_error why = { 0 };
	struct request *r = NULL;
	enum err e = ERR_BUSY;
	if (queue_wait_n(s->queue) < s->max_waiting)
		e = request_new(s->ops, s->backend, id, g, &r, &why);
	if (!e) {
		r->added_ns = now(s);
		r->order = s->orders++;
		r->deadline_ns = g->deadline_ms ? r->added_ns + g->deadline_ms * 1000000 : 0;
		e = queue_wait_add(s->queue, r);
		if (e)
			r = request_free(r);
	}
	if (e)
		fail(s, id, e, &why);
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
	queue_wait_each(s->queue, now(s), mark_waiting, &(struct cancel){ s, id });
}

/* Ends of requests that wait no longer. */
static void drop_waiting(void *arg, struct request *r, uint32_t place)
{
	struct sched *s = arg;
	(void)place;
	if (r->cancelled) {
		queue_wait_take(s->queue, r);
		finish(s, r, NULL, GEN_CANCELLED);
	} else if (r->deadline_ns && now(s) > r->deadline_ns) {
		struct request_error why = { 0 };
		uint64_t id = r->id;
		(void)err_set(&why.info, ERR_TIMEOUT, "the answer was not begun in the time given");
		queue_wait_take(s->queue, r);
		request_free(r);
		fail(s, id, ERR_TIMEOUT, &why);
	}
}

static void drop_cancelled(struct sched *s)
{
	EACH_RUNNING(s, l)
	if (l->req->cancelled)
		finish(s, l->req, l, GEN_CANCELLED);
	queue_wait_each(s->queue, now(s), drop_waiting, s);
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
	int64_t t = now(s);
	if (!s->sink.queued || t - s->told_ns < TELL_NS)
		return;
	s->told_ns = t;
	queue_wait_each(s->queue, t, tell_place, s);
}

/* ---- admission ---- */

/* Sends the text of resumed tokens again and moves sampler and grammar past them. True: over. */
static bool replay(struct sched *s, struct slot *l);

static bool strict_runs(struct sched *s)
{
	EACH_RUNNING(s, l)
	if (l->req->strict)
		return true;
	return false;
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
	queue_wait_each(s->queue, now(s), compare_waiting, &p);
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
		r->admitted_ns = now(s);
}

/* The first tokens of its own go into a batch: now it is known what it did not have to read. */
static bool tell_begun(struct sched *s, struct slot *l)
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
	return r->n_resume && replay(s, l);
}

/* Its cells go to RAM, it waits at the head of its person's line. */
static void preempt(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	s->n_running--;
	s->stats.preempted++;
	cells_leave(s->cells, l, true);
	if (queue_wait_put_back(s->queue, r)) {
		struct request_error why = { 0 };
		uint64_t id = r->id;
		request_free(r);
		fail(s, id, ERR_NOMEM, &why);
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
	int64_t t = now(s);
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
	preempt(s, worst);
	return true;
}

static void admit(struct sched *s)
{
	bool made_way = false;
	for (struct request *r; (r = queue_wait_next(s->queue, now(s)));) {
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

/* ---- the batch ---- */

/* Where its tokens are computed now. */
static struct slot *place_of(struct slot *l)
{
	return l->reader ? l->reader : l;
}

static size_t left(const struct slot *l)
{
	return l->req->feed.n - (l->reader ? l->reader->kv.n : l->kv.n);
}

static void put(struct sched *s, struct slot *l, size_t n)
{
	const struct slot *at = place_of(l);
	l->out = s->n_batch + n - 1;
	for (size_t i = 0; i < n; i++) {
		size_t pos = at->kv.n + i;
		s->batch[s->n_batch++] = (struct engine_token){
			.token = l->req->feed.v[pos],
			.pos = (int32_t)pos,
			.seq = at->seq,
			.out = pos + 1 == l->req->feed.n,
		};
	}
	l->n_batch = n;
}

/* Guessed tokens behind the one that is due: computed with it, kept if they prove right. */
static void put_draft(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	size_t taken = s->n_batch + s->n_running; /* the others have their token in any case */
	size_t room = taken < s->caps->n_batch ? s->caps->n_batch - taken : 0;
	uint32_t may = r->limit > r->feed.n + 1 ? r->limit - (uint32_t)r->feed.n - 1 : 0;
	r->n_draft = 0;
	if (s->no_drafts || r->grammar || s->n_running > DRAFT_RUNNING || r->strict)
		return;
	if (r->draft_pause) {
		r->draft_pause--;
		return;
	}
	may = may < REQUEST_DRAFTS ? may : REQUEST_DRAFTS;
	may = may < room ? may : (uint32_t)room;
	r->n_draft = draft_lookup(&r->feed, r->draft, may);
	for (unsigned i = 0; i < r->n_draft; i++)
		s->batch[s->n_batch++] = (struct engine_token){ .token = r->draft[i],
			.pos = (int32_t)(l->kv.n + l->n_batch + i),
			.seq = l->seq,
			.out = true };
	s->stats.drafted += r->n_draft;
}

/* The tokens a strict request computes together depend on nothing but itself: its prompt in full
 * batches, then one at a time, as they were when it was drawn. */
static size_t strict_chunk(const struct sched *s, const struct slot *l)
{
	size_t prompt = l->req->prompt_tokens;
	if (l->kv.n >= prompt)
		return 1;
	size_t n = prompt - l->kv.n;
	return n < s->caps->n_batch ? n : s->caps->n_batch;
}

/* Tokens of prompt a step may carry: as many as fit into the gap; twice as many while nobody
 * answers, so that somebody new does not wait for long either. */
static size_t prompt_share(const struct sched *s, bool answering)
{
	double gap = (double)s->gap_ns * (answering ? 1 : 2) - (answering ? s->answer_ns : 0);
	size_t room = CHUNK_FIRST;
	if (s->token_ns > 0)
		room = gap > CHUNK_MIN * s->token_ns ? (size_t)(gap / s->token_ns) : CHUNK_MIN;
	room = room < s->caps->n_batch ? room : s->caps->n_batch;
	room >>= s->squeeze;
	return room ? room : 1;
}

static bool reads(const struct slot *l)
{
	return !l->leader && left(l) > 1 && !l->req->strict;
}

/* A border at which others could start from a state that cannot be divided: stop there. */
static size_t to_border(const struct sched *s, const struct slot *l, size_t n)
{
	const struct request *r = l->req;
	if (s->caps->state_part && !s->caps->swa_window)
		return n;
	const size_t border[] = { r->n_company, r->n_group, r->prompt_tokens };
	for (size_t i = 0; i < sizeof border / sizeof *border; i++)
		if (border[i] > l->kv.n && border[i] < l->kv.n + n)
			n = border[i] - l->kv.n;
	return n;
}

/* The prompts of a class that could take more of this step. */
static size_t hungry(struct sched *s, unsigned class, struct slot **v)
{
	size_t n = 0;
	EACH_RUNNING(s, l)
	if (reads(l) && l->req->priority == class && l->n_batch < left(l))
		v[n++] = l;
	return n;
}

static size_t of_person(struct slot *const *v, size_t n, uint64_t person)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += v[i]->req->person == person;
	return k;
}

static size_t persons(struct slot *const *v, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += !of_person(v, i, v[i]->req->person);
	return k;
}

/* Splits `room` among the prompts of a class: equally by person, then by request; what a short one
 * leaves over goes to the others. Shares go into n_batch of the slots. Returns what is left. */
static size_t share_out(struct sched *s, unsigned class, size_t room)
{
	struct slot *v[CELLS_SLOTS];
	for (size_t n; room && (n = hungry(s, class, v));) {
		size_t each = room / persons(v, n);
		for (size_t i = 0; i < n && room; i++) {
			size_t part = each / of_person(v, n, v[i]->req->person),
			       want = left(v[i]) - v[i]->n_batch;
			part = part ? part : 1;
			part = part < want ? part : want;
			part = part < room ? part : room;
			v[i]->n_batch += part;
			room -= part;
		}
	}
	return room;
}

/* How many tokens of its prompt each slot computes in this step. */
static void share_prompts(struct sched *s)
{
	bool answering = false, lower = false;
	EACH_RUNNING(s, l)
	{
		l->n_batch = 0;
		answering |= !l->leader && left(l) == 1;
		lower |= reads(l) && l->req->priority > 0;
	}
	size_t room = prompt_share(s, answering), kept = lower ? room / LOWER_SHARE : 0;
	room = share_out(s, 0, room - kept) + kept;
	room = share_out(s, 1, room);
	(void)share_out(s, 2, room);
}

/* The batch of one pool: a token for each that answers, then prompts. False: nothing to compute. */
static bool fill(struct sched *s, enum engine_pool p, size_t *ret_prompts)
{
	size_t prompts = 0;
	s->n_batch = 0;
	EACH_RUNNING(s, l)
	if (l->pool == p && !l->leader && !l->reader && !l->req->strict && left(l) == 1 &&
		!tell_begun(s, l)) {
		put(s, l, 1);
		put_draft(s, l);
	}
	EACH_RUNNING(s, l)
	{
		size_t room = s->caps->n_batch - s->n_batch, n = l->n_batch;
		if (place_of(l)->pool != p || l->leader || !left(l))
			continue;
		if (l->req->strict)
			n = strict_chunk(s, l);
		else if (left(l) == 1)
			continue;
		n = to_border(s, l, n < room ? n : room);
		if (l->reader && n >= left(l)) /* the last one is computed where it answers */
			n = left(l) - 1;
		l->n_batch = 0;
		if (!n || tell_begun(s, l))
			continue;
		put(s, l, n);
		prompts += n;
	}
	*ret_prompts = prompts;
	return s->n_batch > 0;
}

/* ---- after the batch ---- */

static void emit(struct sched *s, struct request *r, const int32_t *token, size_t n)
{
	struct gen_delta d = { .tokens = token, .n_tokens = n };
	if (s->thought.len) {
		d.text = buf_str(&s->thought);
		d.thinking = true;
		s->sink.delta(s->sink.arg, r->id, &d);
		d = (struct gen_delta){ 0 };
	}
	d.logprobs = request_logprobs(r);
	if (s->answer.len || d.n_tokens || d.logprobs.len) {
		d.text = buf_str(&s->answer);
		s->sink.delta(s->sink.arg, r->id, &d);
	}
	request_logprobs_sent(r);
	buf_clear(&s->thought);
	buf_clear(&s->answer);
}

/* A token that was drawn (or, with `told` false, resumed): grammar, feed, text, delta. Returns
 * true when the request is over; then it is freed. */
static bool accept(struct sched *s, struct slot *l, int32_t token, bool told)
{
	struct request *r = l->req;
	bool stopped = false;
	if (s->ops->is_end(s->backend, token)) {
		if (request_read_end(r, token, &s->thought, &s->answer))
			goto broken;
		emit(s, r, NULL, 0);
		finish(s, r, l, GEN_STOP);
		return true;
	}
	if (request_accept(r, token))
		goto broken;
	if (told && tokens_add(&r->feed, &token, 1))
		goto broken;
	if (request_read(r, token, &s->thought, &s->answer, &stopped))
		goto broken;
	bool length = told && !stopped && !request_may_go_on(r);
	if (length && request_read_end(r, -1, &s->thought, &s->answer))
		goto broken;
	emit(s, r, &token, told ? 1 : 0);
	if (!stopped && !length)
		return false;
	finish(s, r, l, stopped ? GEN_STOP : GEN_LENGTH);
	return true;
broken:
	finish_failed(s, l, ERR_ENGINE, "the answer could not be continued");
	return true;
}

static bool replay(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	for (size_t i = r->prompt_tokens; i < r->feed.n; i++)
		if (accept(s, l, r->feed.v[i], false))
			return true;
	if (request_may_go_on(r))
		return false;
	if (request_read_end(r, -1, &s->thought, &s->answer)) {
		finish_failed(s, l, ERR_ENGINE, NULL);
		return true;
	}
	emit(s, r, NULL, 0);
	finish(s, r, l, GEN_LENGTH);
	return true;
}

static void note_time(struct stats_times *t, int64_t ns)
{
	unsigned i = 0;
	while (i < STATS_BUCKETS - 1 && ns > (int64_t)STATS_BOUNDS_MS[i] * 1000000)
		i++;
	t->n[i]++;
	t->sum_us += (uint64_t)(ns > 0 ? ns : 0) / 1000;
}

static void note_token(struct sched *s, struct request *r)
{
	int64_t t = now(s);
	unsigned class = r->priority < STATS_CLASSES ? r->priority : STATS_CLASSES - 1;
	if (!r->first_ns) {
		r->first_ns = t;
		note_time(&s->stats.first[class], t - r->added_ns);
	} else if (r->last_ns) {
		note_time(&s->stats.between[class], t - r->last_ns);
	}
	r->last_ns = t;
}

/* Draws from the i-th row behind the slot's first wanted one. True: the request goes on. */
static bool draw(struct sched *s, struct slot *l, size_t i, int32_t *ret)
{
	struct request *r = l->req;
	float *logits = s->ops->logits(s->backend, l->out + i);
	enum err e = logits ? request_pick(r, logits, ret) : ERR_ENGINE;
	if (e) {
		finish_failed(s, l, e == ERR_INVALID ? ERR_INVALID : ERR_ENGINE,
			e == ERR_INVALID ? "the schema allows no further token"
					 : "the model gave no usable numbers");
		return false;
	}
	s->stats.tokens_out++;
	return !accept(s, l, *ret, true);
}

static void judge_drafts(struct sched *s, struct request *r, unsigned drafted, unsigned right)
{
	float share = (float)right / (float)drafted;
	s->stats.accepted += right;
	r->accepts = r->accepts > 0 ? 0.8f * r->accepts + 0.2f * share : 0.5f + 0.2f * share;
	if (r->accepts < DRAFT_ACCEPTS_MIN) {
		r->draft_pause = DRAFT_PAUSE;
		r->accepts = 0;
	}
}

/* The next token, and the drafted ones behind it as long as each is what would have been drawn. */
static void draw_next(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	unsigned n = r->n_draft, right = 0;
	int32_t token = -1;
	note_token(s, r);
	r->n_draft = 0;
	if (!request_may_go_on(r)) { /* asked for no tokens at all */
		finish(s, r, l, GEN_LENGTH);
		return;
	}
	size_t fed = l->kv.n - n; /* tokens in cells that are surely part of the text */
	while (draw(s, l, right, &token)) {
		if (right == n || token != r->draft[right])
			break;
		right++;
	}
	if (!l->req || l->req != r)
		return; /* over; what its cells hold beyond its text was cut when it left */
	if (n) {
		cells_cut(s->cells, l, fed + right);
		judge_drafts(s, r, n, right);
	}
}

static enum err commit(struct sched *s, enum engine_pool p)
{
	EACH_RUNNING(s, l)
	if (place_of(l)->pool == p && l->n_batch) {
		struct slot *at = place_of(l);
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
		smooth(&s->answer_ns, t);
	else if (prompts >= CHUNK_MIN)
		smooth(&s->token_ns,
			(t > s->answer_ns && s->n_batch > prompts ? t - s->answer_ns : t) /
				(double)prompts);
}

/* ---- what goes wrong ---- */

/* The backend had no cells for the batch: first a leaf goes, then prompts get less room, then the
 * newest request has to wait. With nothing left to give up the one that remains fails. */
static void make_room(struct sched *s, enum engine_pool p)
{
	if (p == POOL_SHARED && cells_give_up_leaf(s->cells))
		return;
	if (s->squeeze < 16 && s->n_batch > s->n_running) {
		s->squeeze++;
		return;
	}
	struct slot *newest = NULL;
	EACH_RUNNING(s, l)
	if (place_of(l)->pool == p && (!newest || l->req->order > newest->req->order))
		newest = l;
	if (newest && s->n_running > 1) {
		preempt(s, newest);
		return;
	}
	if (s->stuck++ < STUCK_MAX || !newest)
		return;
	finish_failed(s, newest, ERR_NOMEM, "the model's context is full");
}

/* The backend refused the batch and changed nothing; whose fault it is cannot be told. */
static void refuse_all(struct sched *s, enum engine_pool p)
{
	EACH_RUNNING(s, l)
	if (place_of(l)->pool == p && l->n_batch)
		finish_failed(s, l, ERR_ENGINE, "the model refused the input");
}

/* ---- the step ---- */

static enum err step_pool(struct sched *s, enum engine_pool p)
{
	size_t prompts;
	if (!fill(s, p, &prompts))
		return OK;
	int64_t from = now(s);
	enum err e = s->ops->decode(s->backend, p, s->batch, s->n_batch);
	if (e == ERR_AGAIN || e == ERR_INVALID) {
		EACH_RUNNING(s, l)
		l->req->n_draft = 0;
		if (e == ERR_AGAIN)
			make_room(s, p);
		else
			refuse_all(s, p);
		return OK;
	}
	if (e)
		return e;
	s->stats.tokens_in +=
		prompts; /* moves while a long prompt is read: progress to whoever watches */
	measure(s, now(s) - from, prompts);
	s->squeeze = s->stuck = 0;
	TRY(commit(s, p));
	EACH_RUNNING(s, l)
	if (place_of(l)->pool == p && l->n_batch) {
		l->n_batch = 0;
		if (l->reader && left(l) == 1)
			cells_read_done(s->cells, l);
		else if (l->kv.n == l->req->feed.n + l->req->n_draft)
			draw_next(s, l);
	}
	return OK;
}

enum err sched_step(struct sched *s)
{
	s->steps++;
	drop_cancelled(s);
	admit(s);
	tell_places(s);
	EACH_RUNNING(s, l)
	if (cells_followed(s->cells, l) && left(l) > CELLS_READ_MIN)
		cells_read_elsewhere(s->cells, l);
	cells_compact(s->cells);
	share_prompts(s);
	TRY(step_pool(s, POOL_READ));
	TRY(step_pool(s, POOL_SHARED));
	return step_pool(s, POOL_OWN);
}

bool sched_busy(const struct sched *s)
{
	return queue_wait_n(s->queue) || s->n_running;
}

bool sched_idle(struct sched *s)
{
	return cells_idle(s->cells);
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
	struct engine_prompt p = { 0 };
	enum err e = s->ops->prompt(s->backend, g, &p, info);
	if (!e)
		*ret = p.tokens.n;
	engine_prompt_done(&p);
	return e;
}
