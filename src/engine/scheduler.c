#include "engine/scheduler.h"

#include <string.h>

#include "base/fault.h"
#include "engine/request.h"

enum {
	SLOTS_MAX = 256,
	WAITING_DEFAULT = 1024,
	REUSE_MIN = 16, /* tokens in common below which a free slot is better left alone */
	CHUNK_MIN = 16, /* tokens of prompt a batch carries at least */
	STUCK_MAX = 3,  /* tries with a batch that cannot shrink before it fails */
};
static const int64_t GAP_DEFAULT_NS = 150 * 1000000LL, AGE_DEFAULT_NS = 15 * 1000000000LL;

struct slot {
	struct request *req;   /* NULL: free; what its cells hold is a kept leaf */
	struct tokens kv;      /* the tokens in its cells */
	uint64_t person, used; /* used: step of the last use */
	size_t n_batch;        /* tokens of it in the batch being made */
	size_t out;            /* index of its last token in there */
};
struct sched {
	const struct engine_backend_ops *ops;
	void *backend;
	const struct engine_caps *caps;
	struct sched_sink sink;
	uint32_t max_waiting, n_waiting, n_running, n_slots;
	struct request *waiting, *waiting_last; /* in order of arrival; preempted ones in front */
	struct slot slot[SLOTS_MAX];
	struct engine_token *batch; /* n_batch of them */
	size_t n_batch;
	uint64_t steps, orders;
	uint32_t next_prompt; /* slot whose prompt is served first; moves on every step */
	uint32_t squeeze;     /* halvings of the prompt share after ERR_AGAIN */
	uint32_t stuck;       /* ERR_AGAINs in a row with nothing left to give up */
	int64_t gap_ns, age_ns;
	double token_ns; /* measured: what a token of prompt costs */
	uint64_t tokens_in, tokens_out;
	struct buf bytes, thought, answer;
};

struct sched *sched_free(struct sched *s)
{
	if (!s)
		return NULL;
	sched_cancel_all(s);
	for (uint32_t i = 0; i < s->n_slots; i++)
		tokens_done(&s->slot[i].kv);
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
	s->gap_ns = o->gap_ns ? o->gap_ns : GAP_DEFAULT_NS;
	s->age_ns = o->age_ns ? o->age_ns : AGE_DEFAULT_NS;
	s->n_slots = s->caps->pool[POOL_OWN].n_seq;
	if (s->n_slots > SLOTS_MAX)
		s->n_slots = SLOTS_MAX;
	if (s->n_slots > s->caps->n_batch)
		s->n_slots = s->caps->n_batch;
	s->bytes = BUF(1 << 20);
	s->thought = BUF(LIMIT_ANSWER);
	s->answer = BUF(LIMIT_ANSWER);
	TRY(o->ops->pool_open(o->backend, POOL_OWN));
	s->batch = mem_zalloc(s->caps->n_batch, sizeof *s->batch);
	if (!s->batch)
		return ERR_NOMEM;
	*ret = TAKE(s);
	return OK;
}

static int64_t now(const struct sched *s)
{
	return s->ops->now_ns(s->backend);
}

/* ---- ends ---- */

static void free_slot(struct sched *s, struct slot *l)
{
	l->req = NULL;
	l->used = s->steps;
	s->n_running--;
}

/* Forgets what a slot's cells hold. */
static void empty_slot(struct sched *s, struct slot *l)
{
	if (l->kv.n)
		(void)s->ops->kv_rm(s->backend, POOL_OWN, (int32_t)(l - s->slot), 0, -1);
	l->kv.n = 0;
}

static void fail(struct sched *s, uint64_t id, enum err e, struct request_error *why)
{
	struct err_info *i = &why->info;
	const char *text = i->detail[0] ? i->detail : err_text(e);
	struct gen_failed f = { e, str_from(text), why->prompt_tokens, why->context_tokens };
	s->sink.failed(s->sink.arg, id, &f);
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
	if (l)
		free_slot(s, l);
	s->sink.done(s->sink.arg, r->id, &d);
	request_free(r);
}

static void finish_failed(struct sched *s, struct slot *l, enum err e, const char *detail)
{
	struct request_error why = { 0 };
	if (detail)
		(void)err_set(&why.info, e, "%s", detail);
	uint64_t id = l->req->id;
	request_free(l->req);
	free_slot(s, l);
	fail(s, id, e, &why);
}

void sched_cancel_all(struct sched *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req) {
			request_free(s->slot[i].req);
			free_slot(s, &s->slot[i]);
		}
	while (s->waiting) {
		struct request *r = s->waiting;
		s->waiting = r->next;
		request_free(r);
	}
	s->waiting_last = NULL;
	s->n_waiting = 0;
}

/* ---- the queue ---- */

static void put_last(struct sched *s, struct request *r)
{
	r->next = NULL;
	if (s->waiting)
		s->waiting_last->next = r;
	else
		s->waiting = r;
	s->waiting_last = r;
	s->n_waiting++;
}

static void take_out(struct sched *s, struct request *r)
{
	struct request **p = &s->waiting, *before = NULL;
	while (*p != r) {
		before = *p;
		p = &before->next;
	}
	*p = r->next;
	if (s->waiting_last == r)
		s->waiting_last = before;
	s->n_waiting--;
}

void sched_add(struct sched *s, uint64_t id, const struct gen_request *g)
{
	struct request_error why = { 0 };
	struct request *r = NULL;
	enum err e = ERR_BUSY;
	if (s->n_waiting < s->max_waiting)
		e = request_new(s->ops, s->backend, id, g, &r, &why);
	if (!e && false && request_cells(r) > s->caps->n_ctx) {
		/* limit is n_ctx_seq, so this is a backend that promises too much */
		e = ERR_CONTEXT;
		r = request_free(r);
	}
	if (e) {
		fail(s, id, e, &why);
		return;
	}
	r->added_ns = now(s);
	r->order = s->orders++;
	put_last(s, r);
}

void sched_cancel(struct sched *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req && s->slot[i].req->id == id)
			s->slot[i].req->cancelled = true;
	for (struct request *r = s->waiting; r; r = r->next)
		if (r->id == id)
			r->cancelled = true;
}

static void drop_cancelled(struct sched *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req && s->slot[i].req->cancelled)
			finish(s, s->slot[i].req, &s->slot[i], GEN_CANCELLED);
	for (struct request *r = s->waiting, *next; r; r = next) {
		next = r->next;
		if (r->cancelled) {
			take_out(s, r);
			finish(s, r, NULL, GEN_CANCELLED);
		}
	}
}

/* Smaller goes first: class lifted by age, then how much its person has running, then arrival. */
static bool before(
	const struct sched *s, const struct request *a, const struct request *b, int64_t t)
{
	int64_t ca = a->priority - (t - a->added_ns) / s->age_ns;
	int64_t cb = b->priority - (t - b->added_ns) / s->age_ns;
	ca = ca < 0 ? 0 : ca;
	cb = cb < 0 ? 0 : cb;
	if (ca != cb)
		return ca < cb;
	uint32_t na = 0, nb = 0;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req) {
			na += s->slot[i].req->person == a->person;
			nb += s->slot[i].req->person == b->person;
		}
	/* After one age of waiting arrival alone decides, or a busy person's request could
	 * starve. */
	bool old = t - a->added_ns > s->age_ns || t - b->added_ns > s->age_ns;
	if (na != nb && !old)
		return na < nb;
	return a->order < b->order;
}

/* ---- admission ---- */

static struct request *next_waiting(const struct sched *s)
{
	int64_t t = now(s);
	struct request *best = NULL;
	for (struct request *r = s->waiting; r; r = r->next)
		if (!best || before(s, r, best, t))
			best = r;
	return best;
}

/* Cells promised to running requests, and held by free slots (shared pool only). */
static uint64_t cells_promised(const struct sched *s)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req)
			n += request_cells(s->slot[i].req);
	return n;
}

static struct slot *oldest_leaf(struct sched *s, const struct slot *but)
{
	struct slot *best = NULL;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *l = &s->slot[i];
		if (l != but && !l->req && l->kv.n && (!best || l->used < best->used))
			best = l;
	}
	return best;
}

/* A free slot for `r`: one whose leaf it continues, else an empty one, else the one not used for
 * longest. NULL: none is free. */
static struct slot *choose_slot(struct sched *s, const struct request *r)
{
	struct slot *match = NULL, *empty = NULL, *old = NULL;
	size_t most = 0;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *l = &s->slot[i];
		if (l->req)
			continue;
		if (!l->kv.n) {
			empty = empty ? empty : l;
			continue;
		}
		old = !old || l->used < old->used ? l : old;
		size_t n = l->person == r->person ? tokens_common(&l->kv, &r->feed) : 0;
		if (n > most && (n >= REUSE_MIN || n == l->kv.n)) {
			most = n;
			match = l;
		}
	}
	return match ? match : empty ? empty : old;
}

/* Keeps the tokens that leaf and request have in common and removes the rest. At least the last
 * token of the request is left to compute: its logits are needed. */
static void keep_common(struct sched *s, struct slot *l, const struct request *r)
{
	int32_t seq = (int32_t)(l - s->slot);
	size_t n = l->person == r->person ? tokens_common(&l->kv, &r->feed) : 0;
	if (n == r->feed.n)
		n--;
	if (n && n < l->kv.n) {
		/* The next token looks back over the window; those cells must still be there. */
		int64_t need = (int64_t)n - s->caps->swa_window;
		bool there = !s->caps->swa_window ||
			     s->ops->kv_first(s->backend, POOL_OWN, seq) <= (need > 0 ? need : 0);
		if (!s->caps->partial_rm || !there ||
			!s->ops->kv_rm(s->backend, POOL_OWN, seq, (int32_t)n, -1))
			n = 0;
	}
	if (!n)
		empty_slot(s, l);
	l->kv.n = n;
}

/* Sends the text of resumed tokens again and moves sampler and grammar past them. True: over. */
static bool replay(struct sched *s, struct slot *l);

static void begin(struct sched *s, struct request *r, struct slot *l)
{
	take_out(s, r);
	if (r->strict) {
		/* The layout of cells may change a sum's order: strict starts from nothing. */
		if (false) {
			s->ops->kv_clear(s->backend, POOL_OWN);
			for (uint32_t i = 0; i < s->n_slots; i++)
				s->slot[i].kv.n = 0;
		}
		empty_slot(s, l);
	} else {
		keep_common(s, l, r);
	}
	l->person = r->person;
	l->req = r;
	s->n_running++;
	if (r->begun) /* preempted before; what it was told stays */
		return;
	r->begun = true;
	r->admitted_ns = now(s);
	r->cached_tokens = l->kv.n < r->prompt_tokens ? (uint32_t)l->kv.n : r->prompt_tokens;
	s->tokens_in += r->prompt_tokens - r->cached_tokens;
	struct gen_begun b = { r->prompt_tokens, r->cached_tokens, r->truncated_tokens,
		r->sampling.seed };
	s->sink.begun(s->sink.arg, r->id, &b);
	if (r->n_resume)
		(void)replay(s, l);
}

static void admit(struct sched *s)
{
	for (struct request *r; s->n_running < s->n_slots && (r = next_waiting(s));) {
		bool strict_runs = false;
		for (uint32_t i = 0; i < s->n_slots; i++)
			strict_runs |= s->slot[i].req && s->slot[i].req->strict;
		if (strict_runs || (r->strict && s->n_running))
			return; /* nobody overtakes a strict one that waits for an empty engine */
		struct slot *l = r->strict ? &s->slot[0] : choose_slot(s, r);
		if (!l)
			return;
		if (false) {
			uint64_t need = cells_promised(s) + request_cells(r), kept = 0;
			if (need > s->caps->n_ctx)
				return;
			for (uint32_t i = 0; i < s->n_slots; i++)
				kept += s->slot[i].req || &s->slot[i] == l ? 0 : s->slot[i].kv.n;
			for (struct slot *o;
				need + kept > s->caps->n_ctx && (o = oldest_leaf(s, l));) {
				kept -= o->kv.n;
				empty_slot(s, o);
			}
		}
		begin(s, r, l);
	}
}

/* ---- the batch ---- */

static size_t left(const struct slot *l)
{
	return l->req->feed.n - l->kv.n;
}

static void put(struct sched *s, struct slot *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t pos = l->kv.n + l->n_batch;
		l->out = s->n_batch;
		s->batch[s->n_batch++] = (struct engine_token){
			.token = l->req->feed.v[pos],
			.pos = (int32_t)pos,
			.seq = (int32_t)(l - s->slot),
			.out = pos + 1 == l->req->feed.n,
		};
		l->n_batch++;
	}
}

/* Tokens of prompt the batch may carry: while somebody answers, as many as fit into the gap. */
static size_t prompt_share(const struct sched *s, bool answering)
{
	size_t room = s->caps->n_batch - s->n_batch;
	if (answering && s->token_ns > 0) {
		double fit = (double)s->gap_ns / s->token_ns;
		if (fit < (double)room)
			room = fit < CHUNK_MIN ? CHUNK_MIN : (size_t)fit;
	}
	room >>= s->squeeze;
	return room ? room : 1;
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

static void fill(struct sched *s)
{
	s->n_batch = 0;
	uint32_t prompts = 0;
	bool answering = false;
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *l = &s->slot[i];
		l->n_batch = 0;
		if (!l->req)
			continue;
		if (l->req->strict) {
			put(s, l, strict_chunk(s, l));
			return;
		}
		if (left(l) == 1) {
			put(s, l, 1);
			answering = true;
		} else {
			prompts++;
		}
	}
	if (!prompts)
		return;
	/* Equal shares, what a short one leaves over goes to those after it. */
	size_t room = prompt_share(s, answering), limit = s->caps->n_batch - s->n_batch;
	room = room < limit ? room : limit;
	for (uint32_t k = 0; k < s->n_slots && room; k++) {
		struct slot *l = &s->slot[(s->next_prompt + k) % s->n_slots];
		if (!l->req || left(l) <= 1 || l->n_batch)
			continue;
		size_t share = (room + prompts - 1) / prompts,
		       n = left(l) < share ? left(l) : share;
		put(s, l, n);
		room -= n;
		prompts--;
	}
	s->next_prompt = (s->next_prompt + 1) % s->n_slots;
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

static void draw_next(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	int32_t token = -1;
	if (!r->first_ns)
		r->first_ns = now(s);
	if (!request_may_go_on(r)) { /* asked for no tokens at all */
		finish(s, r, l, GEN_LENGTH);
		return;
	}
	float *logits = s->ops->logits(s->backend, l->out);
	enum err e = logits ? request_pick(r, logits, &token) : ERR_ENGINE;
	if (e) {
		finish_failed(s, l, e == ERR_INVALID ? ERR_INVALID : ERR_ENGINE,
			e == ERR_INVALID ? "the schema allows no further token"
					 : "the model gave no usable numbers");
		return;
	}
	s->tokens_out++;
	(void)accept(s, l, token, true);
}

static enum err commit(struct sched *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *l = &s->slot[i];
		if (l->req && l->n_batch) {
			TRY(tokens_add(&l->kv, l->req->feed.v + l->kv.n, l->n_batch));
			l->used = s->steps;
		}
	}
	return OK;
}

/* What a token of prompt costs, smoothed; a batch of answers alone says nothing about it. */
static void measure(struct sched *s, int64_t ns)
{
	if (s->n_batch < CHUNK_MIN || ns <= 0)
		return;
	double each = (double)ns / (double)s->n_batch;
	s->token_ns = s->token_ns > 0 ? 0.7 * s->token_ns + 0.3 * each : each;
}

/* Puts the newest running request back to the head of the queue; its tokens are computed again. */
static bool preempt(struct sched *s)
{
	struct slot *newest = NULL;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req && (!newest || s->slot[i].req->order > newest->req->order))
			newest = &s->slot[i];
	if (!newest || s->n_running < 2)
		return false;
	struct request *r = newest->req;
	free_slot(s, newest);
	empty_slot(s, newest);
	r->next = s->waiting;
	s->waiting = r;
	s->waiting_last = s->waiting_last ? s->waiting_last : r;
	s->n_waiting++;
	return true;
}

/* The backend had no cells for the batch: first the leaf that lay idle longest goes, then prompts
 * get less room, then the newest request has to wait. With nothing left to give up the one that
 * remains fails. */
static void make_room(struct sched *s)
{
	struct slot *leaf = oldest_leaf(s, NULL);
	if (leaf) {
		empty_slot(s, leaf);
		return;
	}
	if (s->squeeze < 16 && s->n_batch > s->n_running) {
		s->squeeze++;
		return;
	}
	if (preempt(s) || s->stuck++ < STUCK_MAX)
		return;
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req) {
			finish_failed(s, &s->slot[i], ERR_NOMEM, "the model's context is full");
			empty_slot(s, &s->slot[i]);
		}
}

/* The backend refused the batch and changed nothing; whose fault it is cannot be told. */
static void refuse_all(struct sched *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->slot[i].req && s->slot[i].n_batch) {
			finish_failed(s, &s->slot[i], ERR_ENGINE, "the model refused the input");
			empty_slot(s, &s->slot[i]);
		}
}

enum err sched_step(struct sched *s)
{
	s->steps++;
	drop_cancelled(s);
	admit(s);
	fill(s);
	if (!s->n_batch)
		return OK;
	int64_t from = now(s);
	enum err e = s->ops->decode(s->backend, POOL_OWN, s->batch, s->n_batch);
	if (e == ERR_AGAIN)
		make_room(s);
	else if (e == ERR_INVALID)
		refuse_all(s);
	if (e)
		return e == ERR_AGAIN || e == ERR_INVALID ? OK : e;
	measure(s, now(s) - from);
	s->squeeze = s->stuck = 0;
	TRY(commit(s));
	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct slot *l = &s->slot[i];
		if (l->req && l->n_batch && l->kv.n == l->req->feed.n)
			draw_next(s, l);
	}
	return OK;
}

bool sched_busy(const struct sched *s)
{
	return s->n_waiting || s->n_running;
}

void sched_stats(const struct sched *s, struct engine_stats *ret)
{
	*ret = (struct engine_stats){
		.active = s->n_running,
		.waiting = s->n_waiting,
		.cells = s->caps->n_ctx,
		.tokens_in = s->tokens_in,
		.tokens_out = s->tokens_out,
	};
	for (uint32_t i = 0; i < s->n_slots; i++)
		ret->cells_used += (uint32_t)s->slot[i].kv.n;
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
