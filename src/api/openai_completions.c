/* POST /v1/completions: a text that goes on, or with suffix what stands between two. Source: OpenAI
 * API reference "Completions" (legacy). */
#include "api/errors.h"
#include "api/openai.h"

#include <stdio.h>

#include "base/limits.h"

enum { LOGPROBS_DEPTH = 8 };

struct completion {
	bool include_usage, echo;
	struct str prompt;
	bool tops; /* logprobs with the most likely tokens beside them */
	int64_t offset[GEN_CHOICES_MAX]; /* characters before the next token, by choice */
};

/* ---- what goes out ---- */

static const struct openai_kind kind = { "cmpl", "text_completion", "text_completion" };

static int64_t characters(const char *s)
{
	int64_t n = 0;
	for (; s && *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* {token: logprob}; of two tokens with one text the likelier, which comes first. */
static void put_top(const json_t *entry, struct jw *w)
{
	const json_t *top = json_object_get(entry, "top_logprobs");
	jw_obj(w);
	for (size_t i = 0; i < json_array_size(top); i++) {
		const json_t *one = json_array_get(top, i);
		const char *text = json_string_value(json_object_get(one, "token"));
		bool seen = !text;
		for (size_t k = 0; k < i && !seen; k++)
			seen = json_equal(json_object_get(one, "token"),
				json_object_get(json_array_get(top, k), "token"));
		if (!seen)
			jw_kf64(w, text, json_number_value(json_object_get(one, "logprob")));
	}
	jw_end(w);
}

static void put_column(const json_t *list, const char *theirs, const char *ours, struct jw *w)
{
	jw_key(w, theirs);
	jw_arr(w);
	for (size_t i = 0; i < json_array_size(list); i++)
		jw_json(w, json_object_get(json_array_get(list, i), ours));
	jw_end(w);
}

/* The chat's list of entries as this API's lists side by side. */
static void put_logprobs(const struct gen *g, struct str json, struct jw *w)
{
	struct completion *p = g->of_form;
	AUTO_JSON json_t *list = NULL;
	jw_key(w, "logprobs");
	if (!json.len || json_read(json, LIMIT_ANSWER, LOGPROBS_DEPTH, &list, NULL)) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	put_column(list, "tokens", "token", w);
	put_column(list, "token_logprobs", "logprob", w);
	jw_key(w, "top_logprobs");
	if (p->tops) {
		jw_arr(w);
		for (size_t i = 0; i < json_array_size(list); i++)
			put_top(json_array_get(list, i), w);
		jw_end(w);
	} else {
		jw_null(w);
	}
	jw_key(w, "text_offset");
	jw_arr(w);
	for (size_t i = 0; i < json_array_size(list); i++) {
		jw_i64(w, p->offset[g->index]);
		p->offset[g->index] += characters(json_string_value(
			json_object_get(json_array_get(list, i), "token")));
	}
	jw_end(w);
	jw_end(w);
}

static void put_choice(const struct gen *g, struct str text, struct str logprobs,
	const char *reason, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "text", text.len ? text : STR(""));
	jw_ki64(w, "index", g->index);
	put_logprobs(g, logprobs, w);
	jw_kstr(w, "finish_reason", str_from(reason));
	jw_end(w);
}

static void chunk(
	struct gen *g, struct str text, struct str logprobs, const char *reason, struct buf *out)
{
	const struct completion *p = g->of_form;
	struct jw w;
	openai_event(g, &kind, &w, out);
	put_choice(g, text, logprobs, reason, &w);
	openai_event_end(g, p->include_usage, reason != NULL, &w, out);
}

static void on_begun(struct gen *g, struct buf *out)
{
	const struct completion *p = g->of_form;
	if (p->echo)
		chunk(g, p->prompt, STR_NONE, NULL, out);
}

static void on_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	chunk(g, d->text, d->logprobs, NULL, out);
}

static void on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	const struct completion *p = g->of_form;
	chunk(g, STR_NONE, STR_NONE, gen_reason_text(d->reason), out);
	if (gen_is_last(g))
		openai_done(g, &kind, d, p->include_usage, out);
}

static void whole_choice(struct gen *g, const struct gen_done *d, struct jw *w)
{
	const struct completion *p = g->of_form;
	AUTO_BUF struct buf text = BUF(LIMIT_ANSWER + LIMIT_HTTP_BODY);
	if (p->echo)
		(void)buf_add(&text, p->prompt);
	(void)buf_add(&text, buf_str(&g->text));
	if (text.err && !w->out->err)
		w->out->err = text.err;
	put_choice(g, buf_str(&text), buf_str(&g->logprobs), gen_reason_text(d->reason), w);
}

static void on_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	openai_whole(g, &kind, d, whole_choice, out);
}

static void explain(struct gen *g, struct err_info *e)
{
	if (e->code == ERR_CONTEXT)
		g->c->param = "prompt";
	else if (e->code == ERR_UNSUPPORTED && strstr(e->detail, "cannot fill in"))
		g->c->param = "suffix";
	else if (str_starts(str_from(e->detail), STR("logit_bias")))
		g->c->param = "logit_bias";
}

static const struct gen_form form = { .stream_type = "text/event-stream",
	.begun = on_begun,
	.delta = on_delta,
	.done = on_done,
	.whole = on_whole,
	.failed = openai_failed,
	.explain = explain };

/* ---- what comes in ---- */

static const struct options_number numbers[] = {
	OPENAI_NUMBERS,
	{ "max_tokens", "num_predict" },
};
static const char *const others[] = { "model", "prompt", "suffix", "stream", "stream_options", "n",
	"best_of", "echo", "logprobs", "stop", "logit_bias", "service_tier", "temporary",
	"strict" };
static const struct options_fields fields = OPTIONS_FIELDS(numbers, others);

static void warn_unknown(struct call *c, const json_t *body)
{
	const char *field;
	json_t *v;
	json_object_foreach((json_t *)(uintptr_t)body, field, v)
	{
		bool known = json_is_null(v) || options_knows(&fields, field);
		if (!known && strcmp(field, "user") == 0)
			call_warn(c, "\"user\" has no effect here");
		else if (!known)
			call_warn(c, "\"%.40s\" is ignored: it is not known", field);
	}
}

static enum err read_prompt(struct call *c, const json_t *body, struct completion *p,
	struct gen_request *r)
{
	const json_t *v = json_object_get(body, "prompt");
	c->param = "prompt";
	if (json_array_size(v) == 1 && json_is_string(json_array_get(v, 0)))
		v = json_array_get(v, 0);
	if (json_is_array(v))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"prompt must be one text: lists of prompts and of token ids are not "
			"supported");
	if (!json_is_string(v))
		return err_set(&c->info, ERR_INVALID, "prompt must be a string");
	p->prompt = (struct str){ json_string_value(v), json_string_length(v) };
	r->input = p->prompt;
	c->param = "suffix";
	TRY(json_want_str(body, "suffix", false, &r->suffix, &c->info));
	r->kind = r->suffix.len ? GEN_INFILL : GEN_PROMPT;
	c->param = NULL;
	return OK;
}

static enum err read_numbers(struct gen *g, const json_t *body)
{
	struct call *c = g->c;
	const json_t *max = json_object_get(body, "max_tokens");
	TRY(options_numbers(c, body, &fields, &g->options));
	c->param = "max_tokens";
	if (json_is_number(max) && json_number_value(max) < 1)
		return err_set(&c->info, ERR_INVALID, "\"max_tokens\" must be at least 1");
	c->param = NULL;
	return OK;
}

static enum err read_choices(struct call *c, const json_t *body, int64_t *ret_n)
{
	int64_t best = 0;
	c->param = "n";
	if (json_want_i64(body, "n", false, 1, GEN_CHOICES_MAX, ret_n, NULL))
		return err_set(&c->info, ERR_INVALID, "n must be from 1 to %d", GEN_CHOICES_MAX);
	c->param = "best_of";
	TRY(json_want_i64(body, "best_of", false, 0, INT32_MAX, &best, &c->info));
	if (best > *ret_n)
		return err_set(&c->info, ERR_UNSUPPORTED,
			"best_of may not be more than n: answers are not thrown away");
	c->param = NULL;
	return OK;
}

/* logprobs: how many tokens beside the drawn one. */
static enum err read_logprobs(struct call *c, const json_t *body, struct completion *p,
	struct gen_request *r)
{
	int64_t n = -1;
	c->param = "logprobs";
	if (json_want_i64(body, "logprobs", false, 0, GEN_TOP_LOGPROBS_MAX, &n, NULL))
		return err_set(&c->info, ERR_INVALID, "logprobs must be a number from 0 to %d",
			GEN_TOP_LOGPROBS_MAX);
	c->param = "echo";
	TRY(json_want_bool(body, "echo", false, &p->echo, &c->info));
	if (p->echo && n >= 0)
		return err_set(&c->info, ERR_UNSUPPORTED,
			"echo does not go with logprobs: a prompt's are not computed");
	c->param = NULL;
	r->logprobs = n >= 0;
	r->top_logprobs = n > 0 ? (uint8_t)n : 0;
	p->tops = n > 0;
	return OK;
}

enum err openai_completions(struct call *c)
{
	json_t *body;
	struct gen *g;
	struct gen_request r = { .kind = GEN_PROMPT };
	struct str model = STR_NONE;
	int64_t n = 1;
	TRY(call_body(c, &body));
	c->param = "model";
	TRY(json_want_str(body, "model", true, &model, &c->info));
	if (!model.len) /* only llama-server's routes may name none */
		return err_set(&c->info, ERR_INVALID, "you must provide a model");
	TRY(gen_new(c, model, "generate", &form, &g));
	c->param = NULL;
	struct completion *p = ARENA_NEW(c->arena, struct completion);
	if (!p)
		return ERR_NOMEM;
	g->of_form = p;
	warn_unknown(c, body);
	TRY(openai_stream(g, body, &p->include_usage));
	TRY(read_numbers(g, body));
	TRY(options_stop(c, json_object_get(body, "stop"), &g->options));
	TRY(openai_run(g, body));
	TRY(read_logprobs(c, body, p, &r));
	TRY(openai_bias(c, body, &r));
	TRY(read_choices(c, body, &n));
	TRY(read_prompt(c, body, p, &r));
	if (n > 1)
		TRY(gen_choices(g, (unsigned)n));
	return gen_start(g, &r);
}
