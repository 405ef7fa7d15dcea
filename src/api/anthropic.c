/* POST /v1/messages and /v1/messages/count_tokens: Anthropic's answers, whole or as events. */
#include "api/anthropic.h"

#include <stdio.h>

#include "api/errors.h"
#include "base/hex.h"
#include "base/limits.h"

/* ---- parts of an answer ---- */

/* Their input_tokens are without what was read before; the sum is the whole prompt. */
static void usage(struct jw *w, uint32_t prompt, uint32_t cached, uint32_t answer)
{
	jw_key(w, "usage");
	jw_obj(w);
	jw_ki64(w, "input_tokens", (int64_t)prompt - cached);
	jw_ki64(w, "cache_creation_input_tokens", 0);
	jw_ki64(w, "cache_read_input_tokens", cached);
	jw_ki64(w, "output_tokens", answer);
	jw_end(w);
}

static void head(struct gen *g, struct jw *w)
{
	char id[48];
	snprintf(id, sizeof id, "msg_%.*s", STR_ARG(http_request_id(g->c->q)));
	jw_kstr(w, "id", str_from(id));
	jw_kstr(w, "type", STR("message"));
	jw_kstr(w, "role", STR("assistant"));
	jw_kstr(w, "model", str_from(g->shown_model));
}

static void stop(const struct gen *g, const struct gen_done *d, struct jw *w)
{
	const struct anthropic *a = g->of_form;
	bool string = a->stops && !g->calls && d->stop && d->stop <= g->options.of.n_stop;
	bool full = d->answer_tokens < (uint32_t)g->options.of.sampling.num_predict;
	const char *why = g->calls                    ? "tool_use"
			  : string                    ? "stop_sequence"
			  : d->reason != GEN_LENGTH ? "end_turn"
			  : full                      ? "model_context_window_exceeded"
						      : "max_tokens";
	jw_kstr(w, "stop_reason", str_from(why));
	jw_kstr(w, "stop_sequence", string ? g->options.of.stop[d->stop - 1] : STR_NONE);
}

/* Their form: a word with which they know it as theirs. Ours has nothing to prove: it says which
 * text it belongs to, and is not looked at when it comes back. */
static void signature(struct sha256 *of, char dst[2 * SHA256_LEN + 8])
{
	uint8_t sum[SHA256_LEN];
	sha256_end(of, sum);
	memcpy(dst, "tresor.", 7);
	hex_encode(sum, sizeof sum, dst + 7);
}

/* "call_12" is "toolu_12" here. */
static void tool_use_head(const json_t *call, struct jw *w)
{
	struct str id = str_from(json_string_value(json_object_get(call, "id")));
	char theirs[128];
	if (str_starts(id, STR("call_")))
		id = str_sub(id, 5, SIZE_MAX);
	snprintf(theirs, sizeof theirs, "toolu_%.*s", (int)(id.len < 100 ? id.len : 100),
		id.ptr ? id.ptr : "");
	jw_kstr(w, "type", STR("tool_use"));
	jw_kstr(w, "id", str_from(theirs));
	jw_kstr(w, "name", str_from(json_string_value(json_object_get(call, "name"))));
}

/* ---- in one piece ---- */

static void put_thinking(struct jw *w, struct str text, bool omit)
{
	char sign[2 * SHA256_LEN + 8];
	struct sha256 h;
	sha256_init(&h);
	sha256_add(&h, text.ptr, text.len);
	signature(&h, sign);
	jw_obj(w);
	jw_kstr(w, "type", STR("thinking"));
	jw_kstr(w, "thinking", omit ? STR("") : text);
	jw_kstr(w, "signature", str_from(sign));
	jw_end(w);
}

static void on_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct str text = buf_str(&g->text), thinking = buf_str(&g->thinking);
	const struct anthropic *a = g->of_form;
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	head(g, &w);
	jw_key(&w, "content");
	jw_arr(&w);
	if (thinking.len)
		put_thinking(&w, thinking, a->omit);
	if (text.len) {
		jw_obj(&w);
		jw_kstr(&w, "type", STR("text"));
		jw_kstr(&w, "text", text);
		jw_end(&w);
	}
	for (size_t i = 0; i < json_array_size(g->calls); i++) {
		const json_t *call = json_array_get(g->calls, i);
		jw_obj(&w);
		tool_use_head(call, &w);
		jw_key(&w, "input");
		jw_json(&w, json_object_get(call, "arguments"));
		jw_end(&w);
	}
	jw_end(&w);
	stop(g, d, &w);
	usage(&w, d->prompt_tokens, d->cached_tokens, d->answer_tokens);
	gen_origin_json(g, &w);
	call_warnings_json(g->c, &w);
	jw_end(&w);
}

/* ---- as events ---- */

static void begin_event(const char *type, struct jw *w, struct buf *out)
{
	(void)buf_addf(out, "event: %s\ndata: ", type);
	jw_init(w, out);
	jw_obj(w);
	jw_kstr(w, "type", str_from(type));
}

static void end_event(struct jw *w, struct buf *out)
{
	jw_end(w);
	(void)buf_add(out, STR("\n\n"));
}

static void on_begun(struct gen *g, struct buf *out)
{
	struct jw w;
	begin_event("message_start", &w, out);
	jw_key(&w, "message");
	jw_obj(&w);
	head(g, &w);
	jw_key(&w, "content");
	jw_arr(&w);
	jw_end(&w);
	jw_kstr(&w, "stop_reason", STR_NONE);
	jw_kstr(&w, "stop_sequence", STR_NONE);
	usage(&w, g->told.prompt_tokens, g->told.cached_tokens, 0);
	jw_end(&w);
	end_event(&w, out);
	begin_event("ping", &w, out);
	end_event(&w, out);
}

static void begin_delta(struct anthropic *a, const char *kind, struct jw *w, struct buf *out)
{
	begin_event("content_block_delta", w, out);
	jw_ki64(w, "index", a->index);
	jw_key(w, "delta");
	jw_obj(w);
	jw_kstr(w, "type", str_from(kind));
}

static void one_delta(
	struct anthropic *a, const char *kind, const char *field, struct str text, struct buf *out)
{
	struct jw w;
	begin_delta(a, kind, &w, out);
	jw_kstr(&w, field, text);
	jw_end(&w);
	end_event(&w, out);
}

static void close_block(struct anthropic *a, struct buf *out)
{
	char sign[2 * SHA256_LEN + 8];
	struct jw w;
	if (a->open == BLOCK_NONE)
		return;
	if (a->open == BLOCK_THINKING) {
		signature(&a->thought, sign);
		one_delta(a, "signature_delta", "signature", str_from(sign), out);
	}
	begin_event("content_block_stop", &w, out);
	jw_ki64(&w, "index", a->index++);
	end_event(&w, out);
	a->open = BLOCK_NONE;
}

static void begin_block(struct anthropic *a, struct jw *w, struct buf *out)
{
	begin_event("content_block_start", w, out);
	jw_ki64(w, "index", a->index);
	jw_key(w, "content_block");
	jw_obj(w);
}

static void open_block(struct anthropic *a, enum anthropic_block kind, struct buf *out)
{
	struct jw w;
	if (a->open == kind)
		return;
	close_block(a, out);
	begin_block(a, &w, out);
	if (kind == BLOCK_THINKING) {
		jw_kstr(&w, "type", STR("thinking"));
		jw_kstr(&w, "thinking", STR(""));
		jw_kstr(&w, "signature", STR(""));
		sha256_init(&a->thought);
	} else {
		jw_kstr(&w, "type", STR("text"));
		jw_kstr(&w, "text", STR(""));
	}
	jw_end(&w);
	end_event(&w, out);
	a->open = kind;
}

static void on_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	struct anthropic *a = g->of_form;
	if (!d->text.len)
		return;
	open_block(a, d->thinking ? BLOCK_THINKING : BLOCK_TEXT, out);
	if (d->thinking) {
		sha256_add(&a->thought, d->text.ptr, d->text.len);
		if (!a->omit)
			one_delta(a, "thinking_delta", "thinking", d->text, out);
	} else {
		one_delta(a, "text_delta", "text", d->text, out);
	}
}

/* A call is known whole: its input is one piece of JSON text. */
static void put_call(struct anthropic *a, const json_t *call, struct buf *out)
{
	AUTO_BUF struct buf args = BUF(LIMIT_ANSWER);
	struct jw w;
	begin_block(a, &w, out);
	tool_use_head(call, &w);
	jw_key(&w, "input");
	jw_obj(&w);
	jw_end(&w);
	jw_end(&w);
	end_event(&w, out);
	jw_init(&w, &args);
	jw_json(&w, json_object_get(call, "arguments"));
	if (args.err && !out->err)
		out->err = args.err;
	one_delta(a, "input_json_delta", "partial_json", buf_str(&args), out);
	begin_event("content_block_stop", &w, out);
	jw_ki64(&w, "index", a->index++);
	end_event(&w, out);
}

static void on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct anthropic *a = g->of_form;
	struct jw w;
	close_block(a, out);
	for (size_t i = 0; i < json_array_size(g->calls); i++)
		put_call(a, json_array_get(g->calls, i), out);
	begin_event("message_delta", &w, out);
	jw_key(&w, "delta");
	jw_obj(&w);
	stop(g, d, &w);
	jw_end(&w);
	usage(&w, d->prompt_tokens, d->cached_tokens, d->answer_tokens);
	gen_origin_json(g, &w);
	call_warnings_json(g->c, &w);
	end_event(&w, out);
	begin_event("message_stop", &w, out);
	end_event(&w, out);
}

/* The stream ends after it, without message_stop. */
static void on_failed(struct gen *g, const struct err_info *e, struct buf *out)
{
	const char *unused;
	(void)buf_add(out, STR("event: error\ndata: "));
	api_error_body(DIALECT_ANTHROPIC, e, http_request_id(g->c->q), out, &unused);
	(void)buf_add(out, STR("\n\n"));
}

/* Their clients look for this text and shorten the conversation. */
static void explain(struct gen *g, struct err_info *e)
{
	if (e->code == ERR_CONTEXT && g->too_long)
		(void)err_set(e, ERR_CONTEXT, "prompt is too long: %u tokens > %u maximum",
			g->too_long, g->holds);
}

static void on_counted(struct gen *g, uint64_t tokens, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_ki64(&w, "input_tokens", (int64_t)tokens);
	call_warnings_json(g->c, &w);
	jw_end(&w);
}

static const struct gen_form form = { .stream_type = "text/event-stream",
	.begun = on_begun,
	.delta = on_delta,
	.done = on_done,
	.whole = on_whole,
	.failed = on_failed,
	.explain = explain,
	.counted = on_counted };

static enum err begin(
	struct call *c, bool count, struct gen **ret, struct gen_request *r)
{
	json_t *body;
	struct str model = STR_NONE;
	struct gen *g;
	TRY(call_body(c, &body));
	TRY(json_want_str(body, "model", true, &model, &c->info));
	if (!model.len) /* only llama-server's routes may name none */
		return err_set(&c->info, ERR_INVALID, "you must provide a model");
	TRY(gen_new(c, model, "chat", &form, &g));
	g->of_form = ARENA_NEW(c->arena, struct anthropic);
	if (!g->of_form)
		return ERR_NOMEM;
	TRY(anthropic_read(g, body, count, r));
	*ret = g;
	return OK;
}

enum err anthropic_messages(struct call *c)
{
	struct gen_request r = { .kind = GEN_CHAT };
	struct gen *g;
	TRY(begin(c, false, &g, &r));
	return gen_start(g, &r);
}

enum err anthropic_count(struct call *c)
{
	struct gen_request r = { .kind = GEN_CHAT };
	struct gen *g;
	TRY(begin(c, true, &g, &r));
	return gen_count(g, &r);
}
