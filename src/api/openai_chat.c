/* POST /v1/chat/completions: OpenAI's request in, one object or server-sent chunks out.
 * Source: OpenAI API reference "Chat completions" and its streaming events. What is not done is an
 * error that names the field; what has no effect is a warning. */
#include "api/errors.h"
#include "api/gen.h"
#include "api/pictures.h"

#include <ctype.h>
#include <stdio.h>

#include "base/limits.h"

struct chat {
	bool include_usage;
};

/* ---- what goes out ---- */

static void fingerprint(const struct gen *g, char dst[96])
{
	snprintf(dst, 96, "fp_%.12s_%.60s", g->model.model_digest,
		g->build[0] ? g->build : "unknown");
	for (char *p = dst; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '.' && *p != '_')
			*p = '-';
}

static void head(struct gen *g, const char *object, struct jw *w, struct buf *out)
{
	char id[48], fp[96];
	snprintf(id, sizeof id, "chatcmpl-%.*s", STR_ARG(http_request_id(g->c->q)));
	fingerprint(g, fp);
	jw_init(w, out);
	jw_obj(w);
	jw_kstr(w, "id", str_from(id));
	jw_kstr(w, "object", str_from(object));
	jw_ki64(w, "created", g->created_s);
	jw_kstr(w, "model", str_from(g->shown_model));
	jw_kstr(w, "system_fingerprint", str_from(fp));
}

static void usage(const struct gen_done *d, struct jw *w)
{
	jw_key(w, "usage");
	jw_obj(w);
	jw_ki64(w, "prompt_tokens", d->prompt_tokens);
	jw_ki64(w, "completion_tokens", d->answer_tokens);
	jw_ki64(w, "total_tokens", (int64_t)d->prompt_tokens + d->answer_tokens);
	jw_key(w, "prompt_tokens_details");
	jw_obj(w);
	jw_ki64(w, "cached_tokens", d->cached_tokens);
	jw_end(w);
	jw_end(w);
}

static void begin_event(struct gen *g, struct jw *w, struct buf *out)
{
	(void)buf_add(out, STR("data: "));
	head(g, "chat.completion.chunk", w, out);
}

static void end_event(struct jw *w, struct buf *out)
{
	jw_end(w);
	(void)buf_add(out, STR("\n\n"));
}

/* One chunk; `reason` NULL: goes on. The role is in every chunk: some clients need it there. */
static void chunk(struct gen *g, const struct gen_delta *d, const char *reason, struct buf *out)
{
	struct chat *chat = g->of_form;
	struct jw w;
	begin_event(g, &w, out);
	jw_key(&w, "choices");
	jw_arr(&w);
	jw_obj(&w);
	jw_ki64(&w, "index", 0);
	jw_key(&w, "delta");
	jw_obj(&w);
	jw_kstr(&w, "role", STR("assistant"));
	jw_kstr(&w, "content", d && !d->thinking ? d->text : STR(""));
	if (d && d->thinking)
		jw_kstr(&w, "reasoning", d->text);
	jw_end(&w);
	jw_kstr(&w, "finish_reason", str_from(reason));
	jw_end(&w);
	jw_end(&w);
	if (chat->include_usage) {
		jw_key(&w, "usage");
		jw_null(&w);
	}
	if (reason) {
		gen_origin_json(g, &w);
		call_warnings_json(g->c, &w);
	}
	end_event(&w, out);
}

static void on_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	chunk(g, d, NULL, out);
}

static void on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct chat *chat = g->of_form;
	struct jw w;
	chunk(g, NULL, gen_reason_text(d->reason), out);
	if (chat->include_usage) {
		begin_event(g, &w, out);
		jw_key(&w, "choices");
		jw_arr(&w);
		jw_end(&w);
		usage(d, &w);
		end_event(&w, out);
	}
	(void)buf_add(out, STR("data: [DONE]\n\n"));
}

static void on_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	struct str text = buf_str(&g->text), thinking = buf_str(&g->thinking);
	struct jw w;
	head(g, "chat.completion", &w, out);
	jw_key(&w, "choices");
	jw_arr(&w);
	jw_obj(&w);
	jw_ki64(&w, "index", 0);
	jw_key(&w, "message");
	jw_obj(&w);
	jw_kstr(&w, "role", STR("assistant"));
	jw_kstr(&w, "content", text.len ? text : STR(""));
	if (thinking.len)
		jw_kstr(&w, "reasoning", thinking);
	jw_kstr(&w, "refusal", STR_NONE);
	jw_end(&w);
	jw_kstr(&w, "logprobs", STR_NONE);
	jw_kstr(&w, "finish_reason", str_from(gen_reason_text(d->reason)));
	jw_end(&w);
	jw_end(&w);
	usage(d, &w);
	gen_origin_json(g, &w);
	call_warnings_json(g->c, &w);
	jw_end(&w);
}

/* The stream ends after an error, without [DONE]: so that nobody takes it for a whole answer. */
static void on_failed(struct gen *g, const struct err_info *e, struct buf *out)
{
	(void)g;
	(void)buf_add(out, STR("data: "));
	error_openai(e, NULL, out);
	(void)buf_add(out, STR("\n\n"));
}

static void explain(struct gen *g, struct err_info *e)
{
	if (e->code == ERR_CONTEXT)
		g->c->param = "messages";
}

static const struct gen_form form = { "text/event-stream", on_delta, on_done, on_whole, on_failed,
	explain };

/* ---- what comes in ---- */

static bool there(const json_t *v)
{
	if (!v || json_is_null(v) || json_is_false(v))
		return false;
	if (json_is_array(v))
		return json_array_size(v) > 0;
	if (json_is_object(v))
		return json_object_size(v) > 0;
	return true;
}

static enum err bad(struct call *c, const char *param, enum err e, const char *text)
{
	c->param = param;
	return err_set(&c->info, e, "%s", text);
}

/* Fields with a meaning that we do not have: an error, because the answer would be another. */
static const struct {
	const char *field, *text;
} unsupported[] = {
	{ "tools", "tools are not supported by this server yet" },
	{ "functions", "functions are not supported by this server yet" },
	{ "function_call", "functions are not supported by this server yet" },
	{ "logprobs", "logprobs are not supported" },
	{ "top_logprobs", "logprobs are not supported" },
	{ "logit_bias", "logit_bias is not supported" },
	{ "audio", "audio is not supported" },
	{ "web_search_options", "web search is not supported" },
};
/* Fields without an effect here: a warning. */
static const char *const no_effect[] = {
	"user",
	"metadata",
	"store",
	"parallel_tool_calls",
	"tool_choice",
	"prediction",
	"reasoning_effort",
	"reasoning",
	"verbosity",
	"prompt_cache_key",
	"prompt_cache_retention",
	"safety_identifier",
	"modalities",
};
/* Numbers, with the name of Ollama's option that they are. */
static const struct {
	const char *field, *option;
} numbers[] = {
	{ "temperature", "temperature" },
	{ "top_p", "top_p" },
	{ "seed", "seed" },
	{ "max_tokens", "num_predict" },
	{ "max_completion_tokens", "num_predict" },
	{ "presence_penalty", "presence_penalty" },
	{ "frequency_penalty", "frequency_penalty" },
	/* not OpenAI's: what servers beside it take in the same place */
	{ "top_k", "top_k" },
	{ "min_p", "min_p" },
	{ "typical_p", "typical_p" },
	{ "repeat_penalty", "repeat_penalty" },
	{ "repeat_last_n", "repeat_last_n" },
	{ "num_ctx", "num_ctx" },
	{ "deadline_ms", "deadline_ms" },
};
static const char *const others[] = { "model", "messages", "stream", "stream_options", "n", "stop",
	"response_format", "service_tier", "temporary" };

static bool known(const char *field)
{
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (strcmp(numbers[i].field, field) == 0)
			return true;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (strcmp(others[i], field) == 0)
			return true;
	for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
		if (strcmp(unsupported[i].field, field) == 0)
			return true;
	return false;
}

static enum err check_fields(struct call *c, const json_t *body)
{
	const char *field;
	json_t *v;
	for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
		if (there(json_object_get(body, unsupported[i].field)))
			return bad(c, unsupported[i].field, ERR_UNSUPPORTED, unsupported[i].text);
	json_object_foreach((json_t *)(uintptr_t)body, field, v)
	{
		bool listed = false;
		for (size_t i = 0; i < sizeof no_effect / sizeof no_effect[0]; i++)
			listed |= strcmp(no_effect[i], field) == 0;
		if (listed && there(v))
			call_warn(c, "\"%s\" has no effect here", field);
		else if (!listed && !known(field))
			call_warn(c, "\"%.40s\" is ignored: it is not known", field);
	}
	return OK;
}

static enum err read_numbers(struct call *c, const json_t *body, struct gen *g)
{
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		TRY(options_number(c, numbers[i].field, numbers[i].option,
			json_object_get(body, numbers[i].field), &g->options));
	int64_t n = 1;
	c->param = "n";
	TRY(json_want_i64(body, "n", false, INT64_MIN, INT64_MAX, &n, &c->info));
	if (n != 1)
		return bad(c, "n", ERR_UNSUPPORTED, "only n = 1 is supported");
	c->param = NULL;
	const json_t *max = json_object_get(body, "max_tokens");
	const json_t *newer = json_object_get(body, "max_completion_tokens");
	if ((json_is_number(max) && json_number_value(max) < 1) ||
		(json_is_number(newer) && json_number_value(newer) < 1))
		return bad(c, json_is_number(max) ? "max_tokens" : "max_completion_tokens",
			ERR_INVALID, "must be at least 1");
	return OK;
}

static enum err read_format(struct call *c, const json_t *body, struct gen_request *r)
{
	json_t *f = NULL, *named = NULL, *schema = NULL;
	struct str type = STR_NONE;
	c->param = "response_format";
	TRY(json_want_obj(body, "response_format", false, &f, &c->info));
	if (!f) {
		c->param = NULL;
		return OK;
	}
	TRY(json_want_str(f, "type", true, &type, &c->info));
	if (str_eq(type, STR("json_object"))) {
		r->schema = STR("json");
	} else if (str_eq(type, STR("json_schema"))) {
		TRY(json_want_obj(f, "json_schema", true, &named, &c->info));
		TRY(json_want_obj(named, "schema", true, &schema, &c->info));
		AUTO_BUF struct buf text = BUF(LIMIT_HTTP_BODY);
		struct jw w;
		jw_init(&w, &text);
		jw_json(&w, schema);
		char *copy = text.err ? NULL : arena_str(c->arena, buf_str(&text));
		if (!copy)
			return ERR_NOMEM;
		r->schema = (struct str){ copy, text.len };
	} else if (!str_eq(type, STR("text"))) {
		return bad(c, "response_format", ERR_INVALID,
			"response_format.type must be text, json_object or json_schema");
	}
	c->param = NULL;
	return OK;
}

static enum err read_stream(struct call *c, const json_t *body, struct gen *g, struct chat *chat)
{
	json_t *options = NULL;
	c->param = "stream";
	TRY(json_want_bool(body, "stream", false, &g->stream, &c->info));
	c->param = "stream_options";
	TRY(json_want_obj(body, "stream_options", false, &options, &c->info));
	if (options && !g->stream)
		return bad(c, "stream_options", ERR_INVALID,
			"stream_options is only allowed with stream");
	if (options)
		TRY(json_want_bool(
			options, "include_usage", false, &chat->include_usage, &c->info));
	c->param = NULL;
	return OK;
}

/* When it has to be ready: "flex" waits for whatever is more urgent. */
static enum err read_run(struct call *c, const json_t *body, struct gen *g)
{
	struct str tier = STR_NONE;
	c->param = "service_tier";
	TRY(json_want_str(body, "service_tier", false, &tier, &c->info));
	if (str_eq(tier, STR("flex")))
		g->options.priority = 2;
	else if (str_eq(tier, STR("priority")))
		call_warn(c, "\"service_tier\": requests without it are first already");
	else if (tier.len && !str_eq(tier, STR("auto")) && !str_eq(tier, STR("default")))
		return bad(c, "service_tier", ERR_INVALID,
			"service_tier must be auto, default, flex or priority");
	c->param = "temporary";
	TRY(options_run(c, body, &g->options));
	c->param = NULL;
	return OK;
}

/* Content: a string, or a list of parts: texts and pictures. */
static enum err read_content(
	struct call *c, const json_t *v, size_t at, struct buf *out, struct pictures *pictures)
{
	size_t i;
	json_t *part;
	if (!v || json_is_null(v))
		return OK;
	if (json_is_string(v))
		return buf_add(out, (struct str){ json_string_value(v), json_string_length(v) });
	if (!json_is_array(v))
		return err_set(&c->info, ERR_INVALID,
			"messages[%zu].content must be a string or a list of "
			"parts",
			at);
	json_array_foreach((json_t *)(uintptr_t)v, i, part)
	{
		struct str type = STR_NONE, text = STR_NONE;
		if (!json_is_object(part) || json_want_str(part, "type", true, &type, NULL))
			return err_set(&c->info, ERR_INVALID,
				"messages[%zu].content[%zu] has no type", at, i);
		if (str_eq(type, STR("image_url"))) {
			TRY(pictures_add_part(pictures, part, at, i));
			continue;
		}
		if (!str_eq(type, STR("text")))
			return err_set(&c->info, ERR_UNSUPPORTED,
				"messages[%zu].content[%zu]: only text and image_url parts "
				"are supported, not %.*s",
				at, i, (int)(type.len < 30 ? type.len : 30), type.ptr);
		if (json_want_str(part, "text", true, &text, NULL))
			return err_set(&c->info, ERR_INVALID,
				"messages[%zu].content[%zu].text must be a "
				"string",
				at, i);
		TRY(buf_add(out, text));
	}
	return OK;
}

static enum err read_message(struct gen *g, const json_t *m, size_t i, struct gen_messages *out,
	struct pictures *pictures)
{
	struct call *c = g->c;
	static const struct {
		const char *theirs, *ours;
	} roles[] = {
		{ "system", "system" },
		{ "developer", "system" },
		{ "user", "user" },
		{ "assistant", "assistant" },
	};
	struct str role = STR_NONE, share;
	char where[48];
	AUTO_BUF struct buf content = BUF(LIMIT_HTTP_BODY);
	if (!json_is_object(m))
		return err_set(&c->info, ERR_INVALID, "messages[%zu] must be an object", i);
	if (json_want_str(m, "role", true, &role, NULL))
		return err_set(&c->info, ERR_INVALID, "messages[%zu].role must be a string", i);
	if (str_eq(role, STR("tool")) || str_eq(role, STR("function")) ||
		there(json_object_get(m, "tool_calls")))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"messages[%zu]: tools are not supported by this "
			"server yet",
			i);
	TRY(read_content(c, json_object_get(m, "content"), i, &content, pictures));
	snprintf(where, sizeof where, "messages[%zu].share", i);
	TRY(gen_share(g, m, where, &share));
	for (size_t k = 0; k < sizeof roles / sizeof roles[0]; k++)
		if (str_eq(role, str_from(roles[k].theirs))) {
			struct str text = buf_str(&content);
			gen_message_add(
				out, str_from(roles[k].ours), text.len ? text : STR(""), share);
			return OK;
		}
	return err_set(&c->info, ERR_INVALID, "messages[%zu].role is not known", i);
}

static enum err read_messages(struct gen *g, const json_t *body, struct gen_request *r)
{
	struct call *c = g->c;
	json_t *list = NULL, *m;
	struct gen_messages *out;
	struct pictures *pictures;
	size_t i;
	c->param = "messages";
	TRY(json_want_arr(body, "messages", true, &list, &c->info));
	if (json_array_size(list) == 0)
		return err_set(&c->info, ERR_INVALID, "messages must not be empty");
	bool system = false;
	json_array_foreach(list, i, m)
	{
		const char *role = json_string_value(json_object_get(m, "role"));
		system |= role && (strcmp(role, "system") == 0 || strcmp(role, "developer") == 0);
	}
	TRY(gen_messages_new(c, &out));
	gen_messages_of_model(g, out, system);
	TRY(pictures_new(c, &pictures));
	json_array_foreach(list, i, m) TRY(read_message(g, m, i, out, pictures));
	if (pictures->n)
		return err_set(&c->info, ERR_UNSUPPORTED, "\"%s\" does not support vision",
			g->shown_model);
	r->input = gen_messages_end(out);
	TRY(out->buf.err);
	c->param = NULL;
	return OK;
}

enum err openai_chat(struct call *c)
{
	json_t *body;
	struct gen *g;
	struct gen_request r = { .kind = GEN_CHAT };
	struct str model = STR_NONE;
	TRY(call_body(c, &body));
	c->param = "model";
	TRY(json_want_str(body, "model", false, &model, &c->info));
	if (!model.len)
		return err_set(&c->info, ERR_INVALID, "you must provide a model");
	TRY(gen_new(c, model, "chat", &form, &g));
	c->param = NULL;
	struct chat *chat = ARENA_NEW(c->arena, struct chat);
	if (!chat)
		return ERR_NOMEM;
	g->of_form = chat;
	TRY(check_fields(c, body));
	TRY(read_stream(c, body, g, chat));
	TRY(read_numbers(c, body, g));
	TRY(options_stop(c, json_object_get(body, "stop"), &g->options));
	TRY(read_format(c, body, &r));
	TRY(read_run(c, body, g));
	TRY(read_messages(g, body, &r));
	return gen_start(g, &r);
}
