/* From logits to tokens, text and deltas; what was drafted is judged here. */
#include "engine/scheduler_int.h"

enum { DRAFT_PAUSE = 64 }; /* tokens until it is tried again where it did not pay */
static const float DRAFT_ACCEPTS_MIN = 0.35f;

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
		sched_finish(s, r, l, GEN_STOP);
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
	sched_finish(s, r, l, stopped ? GEN_STOP : GEN_LENGTH);
	return true;
broken:
	sched_finish_failed(s, l, ERR_ENGINE, "the answer could not be continued");
	return true;
}

bool sched_replay(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	for (size_t i = r->prompt_tokens; i < r->feed.n; i++)
		if (accept(s, l, r->feed.v[i], false))
			return true;
	if (request_may_go_on(r))
		return false;
	if (request_read_end(r, -1, &s->thought, &s->answer)) {
		sched_finish_failed(s, l, ERR_ENGINE, NULL);
		return true;
	}
	emit(s, r, NULL, 0);
	sched_finish(s, r, l, GEN_LENGTH);
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
	int64_t t = sched_now(s);
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
		sched_finish_failed(s, l, e == ERR_INVALID ? ERR_INVALID : ERR_ENGINE,
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
	if (right < drafted)
		r->may_draft = right > 1 ? right : 1;
	else
		r->may_draft = 2 * drafted < REQUEST_DRAFTS ? 2 * drafted : REQUEST_DRAFTS;
	r->accepts = r->accepts > 0 ? 0.8f * r->accepts + 0.2f * share : 0.5f + 0.2f * share;
	if (r->accepts < DRAFT_ACCEPTS_MIN) {
		r->draft_pause = DRAFT_PAUSE;
		r->accepts = 0;
	}
}

/* The next token, and the drafted ones behind it as long as each is what would have been drawn. */
void sched_draw_next(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	unsigned n = r->n_draft, right = 0;
	int32_t token = -1;
	note_token(s, r);
	r->n_draft = 0;
	if (!request_may_go_on(r)) { /* asked for no tokens at all */
		sched_finish(s, r, l, GEN_LENGTH);
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
