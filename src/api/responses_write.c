/* The Response object, and the answer that is gathered for it. */
#include "api/responses.h"

#include <math.h>
#include <stdio.h>

#include "api/errors.h"
#include "base/time.h"

void resp_new_id(const char *prefix, char dst[RESP_ID_MAX])
{
	char id[ID_LEN + 1];
	id_new(id);
	snprintf(dst, RESP_ID_MAX, "%s%s", prefix, id);
}

/* ---- items ---- */

static void free_buf(void *buf)
{
	buf_done(buf);
}

static struct resp_item *new_item(struct resp *r, enum resp_kind kind)
{
	static const char *const prefixes[] = { "rs_", "msg_", "fc_" };
	struct resp_item *i = ARENA_NEW(r->items, struct resp_item);
	if (!i)
		return NULL;
	i->kind = kind;
	i->text = BUF(LIMIT_ANSWER);
	i->logprobs = BUF(LIMIT_ANSWER);
	if (arena_on_free(r->items, free_buf, &i->text) ||
		arena_on_free(r->items, free_buf, &i->logprobs))
		return NULL;
	resp_new_id(prefixes[kind], i->id);
	i->index = r->last ? r->last->index + 1 : 0;
	if (r->last)
		r->last->next = i;
	else
		r->first = i;
	r->last = i;
	return i;
}

struct resp_item *resp_item_for(
	struct resp *r, bool thinking, struct resp_item **ret_closed, bool *ret_opened)
{
	enum resp_kind kind = thinking ? RESP_REASONING : RESP_MESSAGE;
	*ret_closed = NULL;
	*ret_opened = false;
	if (r->open && r->open->kind == kind)
		return r->open;
	struct resp_item *i = new_item(r, kind);
	if (!i)
		return NULL;
	if (r->open)
		r->open->whole = true;
	*ret_closed = r->open;
	*ret_opened = true;
	r->open = i;
	return i;
}

enum err resp_item_add(struct resp *r, struct resp_item *i, const struct gen_delta *d)
{
	size_t before = i->logprobs.len;
	TRY(buf_add(&i->text, d->text));
	TRY(gen_add_logprobs(&i->logprobs, d->logprobs));
	r->bytes += d->text.len;
	r->logprob_bytes += i->logprobs.len - before;
	if (r->bytes > LIMIT_ANSWER || r->logprob_bytes > LIMIT_ANSWER)
		return ERR_LIMIT;
	bool too_long = r->bytes > RESP_STREAM_MAX || r->logprob_bytes > RESP_STREAM_LOGPROBS_MAX;
	return r->g->stream && too_long ? ERR_LIMIT : OK;
}

static enum err add_call(struct resp *r, const json_t *call, struct resp_item **ret)
{
	struct jw w;
	struct resp_item *i = new_item(r, RESP_CALL);
	if (!i)
		return ERR_NOMEM;
	i->call = call;
	i->whole = true;
	jw_init(&w, &i->text);
	jw_json(&w, json_object_get(call, "arguments"));
	*ret = i;
	return i->text.err;
}

enum err resp_finish(struct resp *r, const struct gen_done *d, struct resp_item **ret_calls)
{
	struct gen *g = r->g;
	struct resp_item *i = NULL;
	bool cut = d->reason == GEN_LENGTH && !g->calls;
	*ret_calls = NULL;
	r->status = cut ? RESP_INCOMPLETE : RESP_COMPLETED;
	r->completed_ms = time_now_ms();
	r->reason = d->reason;
	r->used = true;
	r->prompt_tokens = d->prompt_tokens;
	r->cached_tokens = d->cached_tokens;
	r->answer_tokens = d->answer_tokens;
	if (r->open)
		r->open->whole = !cut;
	for (size_t n = 0; n < json_array_size(g->calls); n++) {
		TRY(add_call(r, json_array_get(g->calls, n), &i));
		if (!n)
			*ret_calls = i;
	}
	return OK;
}

void resp_stopped(struct resp *r, const struct err_info *e)
{
	r->status = e->code == ERR_CANCELLED ? RESP_CANCELLED : RESP_FAILED;
	r->error = *e;
}

/* ---- items as JSON ---- */

static const char *item_status(const struct resp_item *i, bool empty)
{
	return empty ? "in_progress" : i->whole ? "completed" : "incomplete";
}

static void put_parts(const struct resp_item *i, struct jw *w)
{
	bool message = i->kind == RESP_MESSAGE;
	jw_obj(w);
	jw_kstr(w, "type", message ? STR("output_text") : STR("reasoning_text"));
	jw_kstr(w, "text", i->text.len ? buf_str(&i->text) : STR(""));
	if (message) {
		jw_key(w, "annotations");
		jw_raw(w, STR("[]"));
		jw_key(w, "logprobs");
		jw_arr(w);
		if (i->logprobs.len)
			jw_raw(w, str_sub(buf_str(&i->logprobs), 1, SIZE_MAX));
		jw_end(w);
	}
	jw_end(w);
}

static void put_call(const struct resp_item *i, bool empty, struct jw *w)
{
	jw_kstr(w, "call_id", str_from(json_string_value(json_object_get(i->call, "id"))));
	jw_kstr(w, "name", str_from(json_string_value(json_object_get(i->call, "name"))));
	jw_kstr(w, "arguments", empty ? STR("") : buf_str(&i->text));
}

void resp_item_json(const struct resp_item *i, bool empty, struct jw *w)
{
	static const char *const types[] = { "reasoning", "message", "function_call" };
	jw_obj(w);
	jw_kstr(w, "id", str_from(i->id));
	jw_kstr(w, "type", str_from(types[i->kind]));
	jw_kstr(w, "status", str_from(item_status(i, empty)));
	if (i->kind == RESP_MESSAGE)
		jw_kstr(w, "role", STR("assistant"));
	if (i->kind == RESP_REASONING) {
		jw_key(w, "summary");
		jw_raw(w, STR("[]"));
	}
	if (i->kind == RESP_CALL) {
		put_call(i, empty, w);
	} else {
		jw_key(w, "content");
		jw_arr(w);
		if (!empty)
			put_parts(i, w);
		jw_end(w);
	}
	jw_end(w);
}

/* ---- the Response ---- */

static const char *status_text(enum resp_status s)
{
	static const char *const texts[] = { "in_progress", "completed", "incomplete", "failed",
		"cancelled" };
	return texts[s];
}

/* What the request said, or what it is taken to have said. */
static const struct {
	const char *field, *otherwise;
} echoes[] = {
	{ "max_output_tokens", "null" },
	{ "max_tool_calls", "null" },
	{ "metadata", "{}" },
	{ "parallel_tool_calls", "true" },
	{ "previous_response_id", "null" },
	{ "prompt_cache_key", "null" },
	{ "safety_identifier", "null" },
	{ "tool_choice", "\"auto\"" },
	{ "top_logprobs", "0" },
	{ "truncation", "\"disabled\"" },
	{ "user", "null" },
};

static void put_field(struct jw *w, const char *key, const json_t *v, const char *otherwise)
{
	jw_key(w, key);
	if (!v || json_is_null(v))
		jw_raw(w, str_from(otherwise));
	else
		jw_json(w, v);
}

static void put_reasoning_and_text(const struct resp *r, struct jw *w)
{
	const json_t *thought = json_object_get(r->body, "reasoning");
	const json_t *text = json_object_get(r->body, "text");
	jw_key(w, "reasoning");
	jw_obj(w);
	put_field(w, "effort", json_object_get(thought, "effort"), "null");
	put_field(w, "summary", json_object_get(thought, "summary"), "null");
	jw_end(w);
	jw_key(w, "text");
	jw_obj(w);
	jw_key(w, "format");
	jw_raw(w, r->format.ptr ? r->format : STR("{\"type\":\"text\"}"));
	put_field(w, "verbosity", json_object_get(text, "verbosity"), "\"medium\"");
	jw_end(w);
}

static void put_request(const struct resp *r, bool stream, struct jw *w)
{
	const struct gen_sampling *s = &r->g->options.of.sampling;
	bool again = !stream || r->again;
	put_field(w, "instructions",
		again ? json_object_get(r->body, "instructions") : NULL, "null");
	for (size_t i = 0; i < sizeof echoes / sizeof *echoes; i++)
		put_field(w, echoes[i].field, json_object_get(r->body, echoes[i].field),
			echoes[i].otherwise);
	put_reasoning_and_text(r, w);
	jw_kstr(w, "service_tier", r->g->options.priority ? STR("flex") : STR("default"));
	jw_kbool(w, "store", r->store);
	jw_kf64(w, "temperature", round((double)s->temperature * 1e6) / 1e6);
	jw_kf64(w, "top_p", round((double)s->top_p * 1e6) / 1e6);
	jw_key(w, "tools");
	jw_raw(w, again && r->tools.ptr ? r->tools : STR("[]"));
}

/* Their words for what can go wrong on the way. */
static void put_error(const struct resp *r, struct jw *w)
{
	jw_key(w, "error");
	if (r->status != RESP_FAILED) {
		jw_null(w);
		return;
	}
	enum err e = r->error.code;
	bool busy = e == ERR_QUEUE || e == ERR_THROTTLED;
	bool theirs = err_http_status(e) == 400;
	jw_obj(w);
	jw_kstr(w, "code",
		busy     ? STR("rate_limit_exceeded")
		: theirs ? STR("invalid_prompt")
			 : STR("server_error"));
	jw_kstr(w, "message", str_from(r->error.detail[0] ? r->error.detail : err_text(e)));
	jw_end(w);
}

static void put_usage(const struct resp *r, struct jw *w)
{
	uint64_t thought = r->g->thinking_tokens;
	jw_key(w, "usage");
	if (!r->used) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_ki64(w, "input_tokens", r->prompt_tokens);
	jw_key(w, "input_tokens_details");
	jw_obj(w);
	jw_ki64(w, "cached_tokens", r->cached_tokens);
	jw_ki64(w, "cache_write_tokens", 0);
	jw_end(w);
	jw_ki64(w, "output_tokens", r->answer_tokens);
	jw_key(w, "output_tokens_details");
	jw_obj(w);
	jw_ki64(w, "reasoning_tokens",
		(int64_t)(thought < r->answer_tokens ? thought : r->answer_tokens));
	jw_end(w);
	jw_ki64(w, "total_tokens", (int64_t)r->prompt_tokens + r->answer_tokens);
	jw_end(w);
}

static void put_outcome(const struct resp *r, struct jw *w)
{
	put_error(r, w);
	jw_key(w, "incomplete_details");
	if (r->status == RESP_INCOMPLETE)
		jw_raw(w, STR("{\"reason\":\"max_output_tokens\"}"));
	else
		jw_null(w);
	jw_key(w, "output");
	jw_arr(w);
	if (r->status != RESP_IN_PROGRESS)
		for (const struct resp_item *i = r->first; i; i = i->next)
			resp_item_json(i, false, w);
	jw_end(w);
	put_usage(r, w);
}

void resp_object(struct resp *r, bool stream, struct jw *w)
{
	struct gen *g = r->g;
	jw_obj(w);
	jw_kstr(w, "id", str_from(r->id));
	jw_kstr(w, "object", STR("response"));
	jw_ki64(w, "created_at", g->created_s);
	jw_kstr(w, "status", str_from(status_text(r->status)));
	jw_kbool(w, "background", r->background);
	jw_key(w, "completed_at");
	if (r->status == RESP_COMPLETED)
		jw_i64(w, r->completed_ms / 1000);
	else
		jw_null(w);
	jw_kstr(w, "model", str_from(g->shown_model));
	put_outcome(r, w);
	put_request(r, stream, w);
	if (r->status != RESP_IN_PROGRESS) {
		gen_origin_json(g, w);
		call_warnings_json(g->c, w);
	}
	jw_end(w);
}
