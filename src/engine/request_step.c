/* One request while it answers: tokens drawn and taken, their text, the check at the end. */
#include "engine/request.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/random.h"
#include "engine/schema.h"

void request_warn(struct request *r, const char *fmt, ...)
{
	va_list ap;
	if (r->warnings.len)
		(void)buf_add_byte(&r->warnings, '\n');
	va_start(ap, fmt);
	(void)buf_addv(&r->warnings, fmt, ap);
	va_end(ap);
}

/* ---- drawing ---- */

/* The grammar rules the answer; reasoning before it is free, where the grammar does not know it. */
static bool grammar_rules(const struct request *r)
{
	return r->grammar && (r->grammar_whole || !text_thinking(r->text));
}

/* May the reasoning be opened here by its token, whatever the grammar says? */
static int32_t also_allowed(const struct request *r)
{
	return !r->chat && r->think_token >= 0 && text_open(r->text) ? r->think_token : -1;
}

/* Must a text be written for the model now? The budget of reasoning is used up, or a call has to
 * begin where the reasoning is over. Never inside a character. `token` -1: about to draw; else the
 * token that was drawn or resumed, and the same is found out again. */
static void begin_force(struct request *r, int32_t token)
{
	bool thinking = text_thinking(r->text);
	if (r->force || text_pending(r->text))
		return;
	if (thinking && r->has_budget && r->end_tag.n && r->thought_tokens >= r->budget)
		r->force = &r->end_tag;
	else if (!thinking && r->call_start.n && !r->call_begun &&
		 !(token >= 0 && token == r->think_token))
		r->force = &r->call_start;
	r->force_at = 0;
	r->call_begun |= r->force == &r->call_start;
}

/* A call has to begin, but the model may think first if that is what it wants to. */
static bool may_think_first(const struct request *r)
{
	return r->call_start.n && !r->call_begun && !text_thinking(r->text) &&
	       r->think_token >= 0 && !request_answer_tokens(r);
}

static enum err add_probability(struct request *r, struct jw *w, int32_t token, double logprob)
{
	AUTO_BUF struct buf text = BUF(64 * 1024);
	TRY(r->ops->piece_all ? r->ops->piece_all(r->backend, token, &text)
			      : r->ops->piece(r->backend, token, &text));
	struct str s = buf_str(&text);
	/* A byte 0 has no place in the JSON of ours; `bytes` has it. */
	bool zero = str_find_byte(s, 0, 0) != SIZE_MAX;
	jw_kstr(w, "token", zero ? STR("\xef\xbf\xbd") : s.len ? s : STR(""));
	/* Minus infinity is no JSON; OpenAI writes this number for it. */
	jw_kf64(w, "logprob", logprob > -9999 ? logprob : -9999);
	jw_key(w, "bytes");
	jw_arr(w);
	for (size_t i = 0; i < s.len; i++)
		jw_i64(w, (unsigned char)s.ptr[i]);
	jw_end(w);
	return OK;
}

/* Of the model's own distribution: r->row was copied before any option changed it. */
static enum err add_logprobs(struct request *r, int32_t token, uint32_t n_vocab)
{
	const struct engine_candidate *best;
	uint32_t n;
	struct jw w;
	double sum = sampler_log_sum(r->row, n_vocab);
	TRY(sampler_top(r->sampler, r->row, r->top_logprobs, &best, &n));
	TRY(buf_add_byte(&r->logprobs_json, r->logprobs_json.len ? ',' : '['));
	jw_init(&w, &r->logprobs_json);
	jw_obj(&w);
	TRY(add_probability(r, &w, token, (double)r->row[token] - sum));
	jw_key(&w, "top_logprobs");
	jw_arr(&w);
	for (uint32_t i = 0; i < n; i++) {
		jw_obj(&w);
		TRY(add_probability(r, &w, best[i].id, (double)best[i].logit - sum));
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	return r->logprobs_json.err;
}

enum err request_pick(struct request *r, float *logits, int32_t *ret)
{
	struct sampler_grammar g = { r->ops, r->backend, grammar_rules(r) ? r->grammar : NULL,
		also_allowed(r) };
	uint32_t n_vocab = r->ops->caps(r->backend)->n_vocab;
	bool told = r->logprobs && !text_thinking(r->text);
	bool first = may_think_first(r);
	if (!first)
		begin_force(r, -1);
	if (r->force) {
		*ret = r->force->v[r->force_at];
		return OK;
	}
	if (told)
		memcpy(r->row, logits, n_vocab * sizeof *logits);
	TRY(sampler_pick(r->sampler, logits, request_answer_tokens(r), &g, ret));
	if (first && *ret != r->think_token)
		*ret = r->call_start.v[0];
	if (told && !r->ops->is_end(r->backend, *ret))
		TRY(add_logprobs(r, *ret, n_vocab));
	return OK;
}

enum err request_accept(struct request *r, int32_t token)
{
	sampler_accept(r->sampler, token);
	begin_force(r, token);
	r->thought_tokens += text_thinking(r->text);
	if (r->force && (token != r->force->v[r->force_at] || ++r->force_at == r->force->n))
		r->force = NULL;
	if (grammar_rules(r) && !r->ops->is_end(r->backend, token) && token != also_allowed(r))
		return r->ops->grammar_accept(r->backend, r->grammar, token);
	return OK;
}

bool request_may_go_on(const struct request *r)
{
	uint32_t n = request_answer_tokens(r);
	if (r->sampling.num_predict >= 0 && n >= (uint32_t)r->sampling.num_predict)
		return false;
	return r->feed.n < r->limit;
}

struct str request_logprobs(struct request *r)
{
	struct buf *b = &r->logprobs_json;
	if (!b->len || b->err || (b->ptr[b->len - 1] != ']' && buf_add_byte(b, ']')))
		return STR_NONE;
	return buf_str(b);
}

void request_logprobs_sent(struct request *r)
{
	buf_clear(&r->logprobs_json);
}

/* ---- text ---- */

static enum err keep(struct request *r, const struct buf *answer, size_t from)
{
	return r->schema ? buf_add(&r->answer, buf_from(answer, from)) : OK;
}

static enum err token_text(struct request *r, int32_t token, struct buf *out)
{
	const struct engine_backend_ops *ops = r->ops;
	bool all = r->chat && ops->piece_all && ops->chat_shows(r->backend, r->chat, token);
	return (all ? ops->piece_all : ops->piece)(r->backend, token, out);
}

enum err request_read(struct request *r, int32_t token, struct buf *thought, struct buf *answer,
	bool *ret_stopped)
{
	size_t from = answer->len;
	buf_clear(&r->bytes);
	TRY(token_text(r, token, &r->bytes));
	TRY(text_add(r->text, buf_str(&r->bytes), thought, answer, ret_stopped));
	return keep(r, answer, from);
}

enum err request_read_end(struct request *r, int32_t token, struct buf *thought, struct buf *answer)
{
	bool stopped = false,
	     markup = token >= 0 && r->chat && r->ops->chat_shows(r->backend, r->chat, token);
	size_t from = answer->len;
	if (markup)
		TRY(request_read(r, token, thought, answer, &stopped));
	from = markup ? answer->len : from;
	TRY(text_end(r->text, thought, answer));
	return keep(r, answer, from);
}

/* ---- the end ---- */

static void check_schema(struct request *r)
{
	AUTO_JSON json_t *value = NULL;
	struct err_info info = { 0 };
	enum err e = json_read(
		str_trim(buf_str(&r->answer)), LIMIT_ANSWER, JSON_DEPTH_DEFAULT, &value, &info);
	if (!e)
		e = schema_validate(r->schema, value, &info);
	if (e)
		request_warn(r, "the answer does not follow the schema: %s",
			info.detail[0] ? info.detail : err_text(e));
}

/* An id as OpenAI's look; in strict mode the same every time. */
static void call_id(const struct request *r, size_t i, char ret[32])
{
	uint64_t n = r->strict ? (uint64_t)r->sampling.seed + r->feed.n * 64 + i : random_u64();
	snprintf(ret, 32, "call_%016llx", (unsigned long long)n);
}

/* The parser's calls with an id each; more than asked for are left out. */
static enum err finish_calls(struct request *r)
{
	AUTO_JSON json_t *all = NULL;
	AUTO_BUF struct buf out = BUF(LIMIT_ANSWER);
	struct jw w;
	TRY(json_read(buf_str(&r->calls), LIMIT_ANSWER, JSON_DEPTH_DEFAULT + 2, &all, NULL));
	size_t n = json_array_size(all);
	if (r->one_call && n > 1) {
		request_warn(r, "%zu further tool calls were left out: one was allowed", n - 1);
		n = 1;
	}
	jw_init(&w, &out);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		const json_t *c = json_array_get(all, i);
		struct str id = STR_NONE, name = STR_NONE;
		char fresh[32];
		json_t *args = NULL;
		TRY(json_want_str(c, "id", false, &id, NULL));
		TRY(json_want_str(c, "name", true, &name, NULL));
		TRY(json_want_obj(c, "arguments", true, &args, NULL));
		call_id(r, i, fresh);
		jw_obj(&w);
		jw_kstr(&w, "id", id.len ? id : str_from(fresh));
		jw_kstr(&w, "name", name);
		jw_key(&w, "arguments");
		jw_json(&w, args);
		jw_end(&w);
	}
	jw_end(&w);
	TRY(out.err);
	struct buf old = r->calls;
	r->calls = out;
	out = old;
	return OK;
}

void request_finish(struct request *r, struct gen_done *d)
{
	if (d->reason == GEN_CANCELLED)
		return;
	if (d->reason == GEN_STOP)
		d->stop = (uint8_t)text_stopped_by(r->text);
	if (r->calls.len && finish_calls(r)) {
		r->bad_calls = true;
		buf_clear(&r->calls);
	}
	if (r->bad_calls)
		request_warn(r,
			"the end of the answer could not be read as a tool call; it is given as "
			"the model wrote it");
	else if (r->needs_call && !r->calls.len)
		request_warn(r, "no tool was called before the answer ended");
	if (r->schema)
		check_schema(r);
	else if (r->cut_matters && d->reason == GEN_LENGTH)
		request_warn(r, "the answer was cut off before the grammar was satisfied");
	d->calls = buf_str(&r->calls);
	d->warnings = buf_str(&r->warnings);
}
