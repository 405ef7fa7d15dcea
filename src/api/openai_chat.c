/* POST /v1/chat/completions: OpenAI's request in, one object or server-sent chunks out.
 * Source: OpenAI API reference "Chat completions" and its streaming events. What is not done is an
 * error that names the field; what has no effect is a warning. */
#include "api/errors.h"
#include "api/openai.h"
#include "api/pictures.h"

#include <stdio.h>

#include "base/limits.h"

struct chat {
	bool include_usage;
};

/* ---- what goes out ---- */

static const struct openai_kind kind = { "chatcmpl", "chat.completion", "chat.completion.chunk" };

/* [{index, id, type, function{name, arguments}}]: arguments are text here. */
static void put_calls(const struct gen *g, struct jw *w)
{
	jw_key(w, "tool_calls");
	jw_arr(w);
	for (size_t i = 0; i < json_array_size(g->calls); i++) {
		const json_t *c = json_array_get(g->calls, i);
		AUTO_BUF struct buf args = BUF(LIMIT_ANSWER);
		struct jw inner;
		jw_init(&inner, &args);
		jw_json(&inner, json_object_get(c, "arguments"));
		jw_obj(w);
		jw_ki64(w, "index", (int64_t)i);
		jw_kstr(w, "id", str_from(json_string_value(json_object_get(c, "id"))));
		jw_kstr(w, "type", STR("function"));
		jw_key(w, "function");
		jw_obj(w);
		jw_kstr(w, "name", str_from(json_string_value(json_object_get(c, "name"))));
		jw_kstr(w, "arguments", buf_str(&args));
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}

/* {content: [..]}, from a list that is JSON. */
static void put_logprobs(struct str list, struct jw *w)
{
	AUTO_JSON json_t *doc = NULL;
	jw_key(w, "logprobs");
	jw_obj(w);
	jw_key(w, "content");
	if (json_read(list, LIMIT_ANSWER, 8, &doc, NULL))
		jw_null(w);
	else
		jw_json(w, doc);
	jw_end(w);
}

/* One chunk; `reason` NULL: goes on; without a delta: with the calls. The role is in every chunk:
 * some clients need it there. */
static void chunk(struct gen *g, const struct gen_delta *d, const char *reason, struct buf *out)
{
	struct chat *chat = g->of_form;
	struct jw w;
	openai_event(g, &kind, &w, out);
	jw_obj(&w);
	jw_ki64(&w, "index", g->index);
	jw_key(&w, "delta");
	jw_obj(&w);
	jw_kstr(&w, "role", STR("assistant"));
	jw_kstr(&w, "content", d && !d->thinking && d->text.len ? d->text : STR(""));
	if (d && d->thinking)
		jw_kstr(&w, "reasoning", d->text);
	if (!d && !reason)
		put_calls(g, &w);
	jw_end(&w);
	if (d && d->logprobs.len)
		put_logprobs(d->logprobs, &w);
	jw_kstr(&w, "finish_reason", str_from(reason));
	jw_end(&w);
	openai_event_end(g, chat->include_usage, reason != NULL, &w, out);
}

static const char *finish_reason(const struct gen *g, const struct gen_done *d)
{
	return g->calls ? "tool_calls" : gen_reason_text(d->reason);
}

static void on_delta(struct gen *g, const struct gen_delta *d, struct buf *out)
{
	chunk(g, d, NULL, out);
}

static void on_done(struct gen *g, const struct gen_done *d, struct buf *out)
{
	const struct chat *chat = g->of_form;
	if (g->calls)
		chunk(g, NULL, NULL, out);
	chunk(g, NULL, finish_reason(g, d), out);
	if (gen_is_last(g))
		openai_done(g, &kind, d, chat->include_usage, out);
}

/* What was gathered of an answer in one piece; checked when it came. */
static void whole_logprobs(const struct gen *g, struct jw *w)
{
	jw_key(w, "logprobs");
	if (!g->logprobs.len) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_key(w, "content");
	jw_raw(w, buf_str(&g->logprobs));
	jw_end(w);
}

static void choice(struct gen *g, const struct gen_done *d, struct jw *w)
{
	struct str text = buf_str(&g->text), thinking = buf_str(&g->thinking);
	jw_obj(w);
	jw_ki64(w, "index", g->index);
	jw_key(w, "message");
	jw_obj(w);
	jw_kstr(w, "role", STR("assistant"));
	jw_kstr(w, "content", text.len ? text : g->calls ? STR_NONE : STR(""));
	if (thinking.len)
		jw_kstr(w, "reasoning", thinking);
	if (g->calls)
		put_calls(g, w);
	jw_kstr(w, "refusal", STR_NONE);
	jw_end(w);
	whole_logprobs(g, w);
	jw_kstr(w, "finish_reason", str_from(finish_reason(g, d)));
	jw_end(w);
}

static void on_whole(struct gen *g, const struct gen_done *d, struct buf *out)
{
	openai_whole(g, &kind, d, choice, out);
}

static void explain(struct gen *g, struct err_info *e)
{
	static const struct {
		const char *begins, *param;
	} fields[] = { { "schema", "response_format" }, { "grammar", "grammar" },
		{ "tools", "tools" }, { "tool_choice", "tool_choice" },
		{ "logit_bias", "logit_bias" }, { "logprobs", "logprobs" } };
	if (e->code == ERR_CONTEXT)
		g->c->param = "messages";
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (e->code != ERR_CONTEXT &&
			str_starts(str_from(e->detail), str_from(fields[i].begins)))
			g->c->param = fields[i].param;
}

static const struct gen_form form = { .stream_type = "text/event-stream",
	.delta = on_delta,
	.done = on_done,
	.whole = on_whole,
	.failed = openai_failed,
	.explain = explain };

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
	{ "functions", "functions are OpenAI's old form of tools: use tools" },
	{ "function_call", "functions are OpenAI's old form of tools: use tool_choice" },
	{ "audio", "audio is not supported" },
	{ "web_search_options", "web search is not supported" },
	{ "moderation", "moderation is not supported" },
};
/* Fields without an effect here: a warning. */
static const char *const no_effect[] = {
	"user",
	"metadata",
	"store",
	"prediction",
	"verbosity",
	"prompt_cache_key",
	"prompt_cache_retention",
	"safety_identifier",
	"modalities",
};
/* Numbers, with the name of Ollama's option that they are. */
static const struct options_number numbers[] = {
	OPENAI_NUMBERS,
	{ "max_tokens", "num_predict" },
	{ "max_completion_tokens", "num_predict" },
	/* not OpenAI's either */
	{ "reasoning_budget_tokens", "think_budget" },
	{ "thinking_budget_tokens", "think_budget" },
};
static const char *const others[] = { "model", "messages", "stream", "stream_options", "n", "stop",
	"response_format", "tools", "tool_choice", "parallel_tool_calls", "logprobs",
	"top_logprobs", "logit_bias", "reasoning_effort", "reasoning", "grammar", "service_tier",
	"temporary", "strict" };
static const struct options_fields fields = OPTIONS_FIELDS(numbers, others);

static bool known(const char *field)
{
	for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
		if (strcmp(unsupported[i].field, field) == 0)
			return true;
	return options_knows(&fields, field);
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
	TRY(options_numbers(c, body, &fields, &g->options));
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
		TRY(gen_json_text(c, schema, &r->schema));
	} else if (!str_eq(type, STR("text"))) {
		return bad(c, "response_format", ERR_INVALID,
			"response_format.type must be text, json_object or json_schema");
	}
	c->param = NULL;
	return OK;
}

/* "auto", "none", "required", {type: function, function: {name}}, or OpenAI's list of allowed ones,
 * which is not supported. */
static enum err read_choice(struct call *c, const json_t *v, struct gen_request *r)
{
	struct str name = STR_NONE, type = STR_NONE;
	json_t *f = NULL;
	c->param = "tool_choice";
	if (json_is_string(v)) {
		r->tool_choice = (struct str){ json_string_value(v), json_string_length(v) };
		if (!str_eq(r->tool_choice, STR("auto")) && !str_eq(r->tool_choice, STR("none")) &&
			!str_eq(r->tool_choice, STR("required")))
			return bad(c, "tool_choice", ERR_INVALID,
				"tool_choice must be auto, none, required or a function");
		c->param = NULL;
		return OK;
	}
	if (!json_is_object(v))
		return bad(
			c, "tool_choice", ERR_INVALID, "tool_choice must be a string or an object");
	TRY(json_want_str(v, "type", true, &type, &c->info));
	if (!str_eq(type, STR("function")))
		return bad(c, "tool_choice", ERR_UNSUPPORTED,
			"tool_choice.type must be function; other kinds are not supported");
	TRY(json_want_obj(v, "function", true, &f, &c->info));
	TRY(json_want_str(f, "name", true, &name, &c->info));
	char *text = arena_printf(c->arena, "=%.*s", STR_ARG(name));
	if (!text)
		return ERR_NOMEM;
	r->tool_choice = str_from(text);
	c->param = NULL;
	return OK;
}

static enum err read_tools(struct call *c, const json_t *body, struct gen_request *r)
{
	const json_t *choice = json_object_get(body, "tool_choice");
	json_t *tools = NULL;
	bool parallel = true;
	c->param = "tools";
	TRY(json_want_arr(body, "tools", false, &tools, &c->info));
	if (json_array_size(tools))
		TRY(gen_json_text(c, tools, &r->tools));
	c->param = "parallel_tool_calls";
	TRY(json_want_bool(body, "parallel_tool_calls", false, &parallel, &c->info));
	r->one_call = !parallel;
	c->param = NULL;
	return choice && !json_is_null(choice) ? read_choice(c, choice, r) : OK;
}

/* reasoning_effort, or the same as reasoning: {effort, max_tokens}. */
static enum err read_think(struct call *c, const json_t *body, struct gen *g, struct gen_request *r)
{
	json_t *more = NULL;
	struct str word = STR_NONE;
	c->param = "reasoning_effort";
	TRY(json_want_str(body, "reasoning_effort", false, &word, &c->info));
	c->param = "reasoning";
	TRY(json_want_obj(body, "reasoning", false, &more, &c->info));
	if (more) {
		TRY(json_want_str(more, "effort", false, &word, &c->info));
		TRY(options_number(c, "reasoning", "think_budget",
			json_object_get(more, "max_tokens"), &g->options));
	}
	c->param = more ? "reasoning" : "reasoning_effort";
	TRY(openai_effort(c, word, &r->think));
	c->param = NULL;
	return OK;
}

static enum err read_grammar(struct call *c, const json_t *body, struct gen_request *r)
{
	c->param = "grammar";
	TRY(json_want_str(body, "grammar", false, &r->grammar, &c->info));
	if (r->grammar.ptr && !r->grammar.len)
		return bad(c, "grammar", ERR_INVALID, "grammar: is empty");
	c->param = NULL;
	return OK;
}

/* Content: a string, or a list of parts: texts and pictures. `out` gets all text, `parts` all of it
 * in its order. */
static enum err read_content(struct call *c, const json_t *v, size_t at, struct buf *out,
	struct gen_parts *parts, struct pictures *pictures)
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
			gen_parts_picture(parts, pictures->n - 1);
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
		gen_parts_text(parts, text);
	}
	return OK;
}

static enum err read_message_tools(
	struct call *c, const json_t *m, size_t i, struct gen_messages *out)
{
	struct str name = STR_NONE, id = STR_NONE, thought = STR_NONE;
	if (json_want_str(m, "tool_call_id", false, &id, NULL) ||
		json_want_str(m, "name", false, &name, NULL) ||
		json_want_str(m, "reasoning", false, &thought, NULL))
		return err_set(&c->info, ERR_INVALID,
			"messages[%zu]: name, tool_call_id and reasoning must be strings", i);
	const char *role = json_string_value(json_object_get(m, "role"));
	if (name.len && role && strcmp(role, "tool") == 0)
		jw_kstr(&out->w, "name", name);
	if (id.len)
		jw_kstr(&out->w, "tool_call_id", id);
	if (thought.len)
		jw_kstr(&out->w, "reasoning_content", thought);
	return there(json_object_get(m, "tool_calls"))
		       ? gen_message_calls(c, out, json_object_get(m, "tool_calls"), i)
		       : OK;
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
		{ "tool", "tool" },
	};
	struct str role = STR_NONE, share;
	char where[48];
	AUTO_BUF struct buf content = BUF(LIMIT_HTTP_BODY);
	AUTO_PARTS struct gen_parts parts = { 0 };
	unsigned before = pictures->n;
	gen_parts_init(&parts);
	if (!json_is_object(m))
		return err_set(&c->info, ERR_INVALID, "messages[%zu] must be an object", i);
	if (json_want_str(m, "role", true, &role, NULL))
		return err_set(&c->info, ERR_INVALID, "messages[%zu].role must be a string", i);
	if (str_eq(role, STR("function")))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"messages[%zu]: the role function is OpenAI's old form: use tool", i);
	TRY(read_content(c, json_object_get(m, "content"), i, &content, &parts, pictures));
	snprintf(where, sizeof where, "messages[%zu].share", i);
	TRY(gen_share(g, m, where, &share));
	for (size_t k = 0; k < sizeof roles / sizeof roles[0]; k++)
		if (str_eq(role, str_from(roles[k].theirs))) {
			struct str text = buf_str(&content), ours = str_from(roles[k].ours);
			if (pictures->n > before)
				gen_message_begin_parts(out, ours, &parts, share);
			else
				gen_message_begin(out, ours, text.len ? text : STR(""), share);
			TRY(read_message_tools(c, m, i, out));
			gen_message_end(out);
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
	if (pictures->n && !g->model.projector_digest[0])
		return err_set(&c->info, ERR_UNSUPPORTED, "\"%s\" does not support vision",
			g->shown_model);
	pictures_give(pictures, r);
	r->input = gen_messages_end(out);
	TRY(out->buf.err);
	c->param = NULL;
	return OK;
}

static enum err read_n(struct call *c, const json_t *body, int64_t *ret)
{
	c->param = "n";
	if (json_want_i64(body, "n", false, 1, GEN_CHOICES_MAX, ret, NULL))
		return err_set(&c->info, ERR_INVALID, "n must be from 1 to %d", GEN_CHOICES_MAX);
	c->param = NULL;
	return OK;
}

enum err openai_chat(struct call *c)
{
	json_t *body;
	struct gen *g;
	struct gen_request r = { .kind = GEN_CHAT };
	int64_t n = 1;
	TRY(openai_begin(c, &form, &body, &g));
	struct chat *chat = ARENA_NEW(c->arena, struct chat);
	if (!chat)
		return ERR_NOMEM;
	g->of_form = chat;
	TRY(check_fields(c, body));
	TRY(openai_stream(g, body, &chat->include_usage));
	TRY(read_numbers(c, body, g));
	TRY(options_stop(c, json_object_get(body, "stop"), &g->options));
	TRY(read_format(c, body, &r));
	TRY(openai_run(g, body));
	TRY(read_grammar(c, body, &r));
	TRY(read_tools(c, body, &r));
	TRY(read_think(c, body, g, &r));
	TRY(openai_bias(c, body, &r));
	TRY(gen_logprobs(c, body, &r));
	TRY(read_n(c, body, &n));
	TRY(read_messages(g, body, &r));
	if (n > 1)
		TRY(gen_choices(g, (unsigned)n));
	return gen_start(g, &r);
}
