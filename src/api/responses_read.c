/* A request to /v1/responses, field by field. What is not done is an error that names the field;
 * what has no effect is a warning. */
#include "api/responses.h"

#include <stdio.h>

#include "api/openai.h"

enum { TYPE_SHOWN = 40 };

static enum err bad(struct call *c, const char *param, enum err e, const char *text)
{
	c->param = param;
	return err_set(&c->info, e, "%s", text);
}

static enum err in_arena(struct call *c, const struct buf *text, struct str *ret)
{
	TRY(text->err);
	char *copy = arena_str(c->arena, buf_str(text));
	if (!copy)
		return ERR_NOMEM;
	*ret = (struct str){ copy, text->len };
	return OK;
}

/* ---- which fields there are ---- */

/* Fields with a meaning that we do not have: an error, because the answer would be another. */
static const struct {
	const char *field, *text;
} unsupported[] = {
	{ "conversation", "conversations are not kept by this API: use previous_response_id" },
	{ "prompt", "there are no stored prompts: send instructions and input" },
	{ "context_management", "context_management is not supported: use truncation" },
	{ "moderation", "moderation is not supported" },
	{ "access_programs", "access_programs are not supported" },
};
/* Fields without an effect here: a warning. */
static const char *const no_effect[] = { "user", "safety_identifier", "prompt_cache_key",
	"prompt_cache_options", "prompt_cache_retention", "max_tool_calls", "background_options",
	"image" };
/* Numbers, with the name of Ollama's option that they are. */
static const struct options_number numbers[] = {
	OPENAI_NUMBERS,
	{ "max_output_tokens", "num_predict" },
};
static const char *const others[] = { "model", "input", "instructions", "previous_response_id",
	"store", "background", "stream", "stream_options", "metadata", "tools", "tool_choice",
	"parallel_tool_calls", "text", "reasoning", "truncation", "include", "top_logprobs",
	"service_tier", "stop", "temporary", "strict" };
static const struct options_fields fields = OPTIONS_FIELDS(numbers, others);

static bool there(const json_t *v)
{
	return v && !json_is_null(v) && !json_is_false(v);
}

static enum err check_fields(struct call *c, const json_t *body)
{
	const char *field;
	json_t *v;
	for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
		if (there(json_object_get(body, unsupported[i].field)))
			return bad(c, unsupported[i].field, ERR_UNSUPPORTED, unsupported[i].text);
	json_object_foreach((json_t *)(uintptr_t)body, field, v)
	{
		bool listed = false, refused = false;
		for (size_t i = 0; i < sizeof no_effect / sizeof *no_effect; i++)
			listed |= strcmp(no_effect[i], field) == 0;
		for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
			refused |= strcmp(unsupported[i].field, field) == 0;
		if (listed && there(v))
			call_warn(c, "\"%s\" has no effect here", field);
		else if (!listed && !refused && !options_knows(&fields, field))
			call_warn(c, "\"%.40s\" is ignored: it is not known", field);
	}
	return OK;
}

/* What the Response says again has the type that its clients expect. */
static enum err check_echoes(struct call *c, const json_t *body)
{
	static const char *const texts[] = { "user", "safety_identifier", "prompt_cache_key" };
	struct str s = STR_NONE;
	int64_t n = 0;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		c->param = texts[i];
		TRY(json_want_str(body, texts[i], false, &s, &c->info));
	}
	c->param = "max_tool_calls";
	TRY(json_want_i64(body, "max_tool_calls", false, 1, INT32_MAX, &n, &c->info));
	c->param = "max_output_tokens";
	TRY(json_want_i64(body, "max_output_tokens", false, 1, INT32_MAX, &n, &c->info));
	c->param = NULL;
	return OK;
}

/* ---- how it is told ---- */

static enum err read_stream(struct resp *r, struct call *c)
{
	json_t *options = NULL;
	bool obscure = false;
	c->param = "stream";
	TRY(json_want_bool(r->body, "stream", false, &r->g->stream, &c->info));
	c->param = "stream_options";
	TRY(json_want_obj(r->body, "stream_options", false, &options, &c->info));
	if (options && !r->g->stream)
		return err_set(&c->info, ERR_INVALID, "stream_options is only allowed with stream");
	if (options)
		TRY(json_want_bool(options, "include_obfuscation", false, &obscure, &c->info));
	if (obscure)
		call_warn(c, "\"stream_options.include_obfuscation\" has no effect here");
	c->param = NULL;
	return OK;
}

static enum err read_include(struct resp *r, struct call *c, struct gen_request *q)
{
	static const char *const useless[] = { "file_search_call.results",
		"web_search_call.results", "web_search_call.action.sources",
		"computer_call_output.output.image_url", "code_interpreter_call.outputs",
		"reasoning.encrypted_content" };
	json_t *list = NULL;
	int64_t top = 0;
	c->param = "include";
	TRY(json_want_arr(r->body, "include", false, &list, &c->info));
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));
		bool known = word && strcmp(word, "message.input_image.image_url") == 0;
		if (word && strcmp(word, "message.output_text.logprobs") == 0)
			known = q->logprobs = true;
		for (size_t k = 0; word && k < sizeof useless / sizeof *useless; k++)
			if (strcmp(word, useless[k]) == 0) {
				call_warn(c, "include \"%s\" has no effect here", word);
				known = true;
			}
		if (!known)
			return err_set(
				&c->info, ERR_INVALID, "include[%zu] is not known", i);
	}
	c->param = "top_logprobs";
	if (json_want_i64(r->body, "top_logprobs", false, 0, GEN_TOP_LOGPROBS_MAX, &top, NULL))
		return err_set(&c->info, ERR_INVALID, "top_logprobs must be between 0 and 20");
	if (top && !q->logprobs)
		call_warn(c, "\"top_logprobs\" has no effect without \"include\": "
			     "[\"message.output_text.logprobs\"]");
	q->top_logprobs = q->logprobs ? (uint8_t)top : 0;
	c->param = NULL;
	return OK;
}

static enum err read_truncation(struct resp *r, struct call *c, struct gen_request *q)
{
	struct str word = STR_NONE;
	c->param = "truncation";
	TRY(json_want_str(r->body, "truncation", false, &word, &c->info));
	q->truncate = str_eq(word, STR("auto"));
	if (word.ptr && !q->truncate && !str_eq(word, STR("disabled")))
		return bad(c, c->param, ERR_INVALID, "truncation must be auto or disabled");
	c->param = NULL;
	return OK;
}

static size_t characters(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
	return n;
}

static enum err read_metadata(struct resp *r, struct call *c)
{
	json_t *map = NULL, *v;
	const char *key;
	c->param = "metadata";
	TRY(json_want_obj(r->body, "metadata", false, &map, &c->info));
	if (json_object_size(map) > RESP_METADATA_MAX)
		return err_set(&c->info, ERR_INVALID, "metadata may have %d pairs",
			RESP_METADATA_MAX);
	json_object_foreach(map, key, v)
	{
		struct str value = { json_string_value(v), json_string_length(v) };
		if (characters(str_from(key)) > RESP_METADATA_KEY_MAX)
			return err_set(&c->info, ERR_INVALID,
				"metadata: a key may have %d characters", RESP_METADATA_KEY_MAX);
		if (!json_is_string(v) || characters(value) > RESP_METADATA_VALUE_MAX)
			return err_set(&c->info, ERR_INVALID,
				"metadata.%.64s must be a string of at most %d characters", key,
				RESP_METADATA_VALUE_MAX);
	}
	c->param = NULL;
	return OK;
}

/* ---- the form of the answer ---- */

static enum err put_schema(struct resp *r, struct call *c, const json_t *f, struct gen_request *q)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	struct str name = STR_NONE, about = STR_NONE;
	json_t *schema = NULL;
	bool strict = true;
	struct jw w;
	TRY(json_want_str(f, "name", true, &name, &c->info));
	TRY(json_want_str(f, "description", false, &about, &c->info));
	TRY(json_want_bool(f, "strict", false, &strict, &c->info));
	TRY(json_want_obj(f, "schema", true, &schema, &c->info));
	TRY(gen_json_text(c, schema, &q->schema));
	if (!strict)
		call_warn(c, "text.format.strict: the schema is always kept to");
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("json_schema"));
	jw_kstr(&w, "name", name);
	jw_kstr(&w, "description", about);
	jw_key(&w, "schema");
	jw_raw(&w, q->schema);
	jw_kbool(&w, "strict", strict);
	jw_end(&w);
	return in_arena(c, &out, &r->format);
}

static enum err read_text(struct resp *r, struct call *c, struct gen_request *q)
{
	json_t *text = NULL, *f = NULL;
	struct str type = STR_NONE, words = STR_NONE;
	c->param = "text.format";
	TRY(json_want_obj(r->body, "text", false, &text, &c->info));
	if (text)
		TRY(json_want_obj(text, "format", false, &f, &c->info));
	if (f)
		TRY(json_want_str(f, "type", true, &type, &c->info));
	if (str_eq(type, STR("json_object"))) {
		q->schema = STR("json");
		r->format = STR("{\"type\":\"json_object\"}");
	} else if (str_eq(type, STR("json_schema"))) {
		TRY(put_schema(r, c, f, q));
	} else if (f && !str_eq(type, STR("text"))) {
		return bad(c, c->param, ERR_INVALID,
			"text.format.type must be text, json_object or json_schema");
	}
	c->param = "text.verbosity";
	if (text)
		TRY(json_want_str(text, "verbosity", false, &words, &c->info));
	if (words.ptr && !str_eq(words, STR("low")) && !str_eq(words, STR("medium")) &&
		!str_eq(words, STR("high")))
		return bad(c, c->param, ERR_INVALID, "text.verbosity must be low, medium or high");
	if (words.ptr)
		call_warn(c, "\"text.verbosity\" has no effect here");
	c->param = NULL;
	return OK;
}

static bool is_summary(struct str s)
{
	return !s.ptr || str_eq(s, STR("auto")) || str_eq(s, STR("concise")) ||
	       str_eq(s, STR("detailed"));
}

static enum err read_reasoning(struct resp *r, struct call *c, struct gen_request *q)
{
	json_t *o = NULL;
	struct str effort = STR_NONE, summary = STR_NONE, older = STR_NONE;
	const char *field;
	json_t *v;
	c->param = "reasoning";
	TRY(json_want_obj(r->body, "reasoning", false, &o, &c->info));
	if (!o) {
		c->param = NULL;
		return OK;
	}
	c->param = "reasoning.effort";
	TRY(json_want_str(o, "effort", false, &effort, &c->info));
	TRY(openai_effort(c, effort, &q->think));
	c->param = "reasoning.summary";
	TRY(json_want_str(o, "summary", false, &summary, &c->info));
	TRY(json_want_str(o, "generate_summary", false, &older, &c->info));
	if (!is_summary(summary) || !is_summary(older))
		return bad(c, c->param, ERR_INVALID,
			"reasoning.summary must be auto, concise or detailed");
	if (summary.ptr || older.ptr)
		call_warn(c, "\"reasoning.summary\": no summaries are made; the reasoning itself "
			     "comes as reasoning_text");
	TRY(options_number(c, "reasoning.max_tokens", "think_budget",
		json_object_get(o, "max_tokens"), &r->g->options));
	json_object_foreach(o, field, v) if (there(v) && strcmp(field, "effort") != 0 &&
					     strcmp(field, "summary") != 0 &&
					     strcmp(field, "generate_summary") != 0 &&
					     strcmp(field, "max_tokens") != 0)
		call_warn(c, "\"reasoning.%.40s\" has no effect here", field);
	c->param = NULL;
	return OK;
}

/* ---- tools ---- */

/* A tool twice: as templates know it, and as the Response says it again. */
struct tool {
	struct str name, about, schema;
	bool strict, has_strict;
};

static void put_tool_fields(const struct tool *t, bool again, struct jw *w)
{
	jw_kstr(w, "name", t->name);
	if (t->about.ptr || again)
		jw_kstr(w, "description", t->about);
	if (t->schema.ptr || again) {
		jw_key(w, "parameters");
		jw_raw(w, t->schema.ptr ? t->schema : STR("null"));
	}
	if (t->has_strict || again)
		jw_kbool(w, "strict", !t->has_strict || t->strict);
}

static void put_tool(const struct tool *t, bool again, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "type", STR("function"));
	if (!again) {
		jw_key(w, "function");
		jw_obj(w);
	}
	put_tool_fields(t, again, w);
	if (!again)
		jw_end(w);
	jw_end(w);
}

static enum err read_tool(struct call *c, const json_t *o, size_t at, struct tool *ret)
{
	static const char *const known = " type name description parameters strict ";
	struct str type = STR_NONE;
	json_t *schema = NULL, *v;
	const char *field;
	char word[64];
	*ret = (struct tool){ .name = STR_NONE };
	if (!json_is_object(o) || json_want_str(o, "type", true, &type, NULL))
		return err_set(
			&c->info, ERR_INVALID, "tools[%zu] must be an object with a type", at);
	if (!str_eq(type, STR("function")))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"tools[%zu]: only tools of the type function are supported, not %.*s", at,
			(int)(type.len < TYPE_SHOWN ? type.len : TYPE_SHOWN), type.ptr);
	if (json_want_str(o, "name", true, &ret->name, NULL) || !ret->name.len)
		return err_set(&c->info, ERR_INVALID, "tools[%zu].name must be a string", at);
	if (json_want_str(o, "description", false, &ret->about, NULL) ||
		json_want_bool(o, "strict", false, &ret->strict, NULL) ||
		json_want_obj(o, "parameters", false, &schema, NULL))
		return err_set(&c->info, ERR_INVALID,
			"tools[%zu]: description must be a string, strict true or false, "
			"parameters an object",
			at);
	ret->has_strict = json_is_boolean(json_object_get(o, "strict"));
	json_object_foreach((json_t *)(uintptr_t)o, field, v)
	{
		snprintf(word, sizeof word, " %.40s ", field);
		if (there(v) && !strstr(known, word))
			call_warn(c, "tools[%zu].%.40s has no effect here", at, field);
	}
	return schema ? gen_json_text(c, schema, &ret->schema) : OK;
}

static enum err read_tools(struct resp *r, struct call *c, struct gen_request *q)
{
	AUTO_BUF struct buf theirs = BUF(LIMIT_REQUEST_ARENA), again = BUF(LIMIT_REQUEST_ARENA);
	struct jw a, b;
	struct tool t;
	json_t *list = NULL;
	c->param = "tools";
	TRY(json_want_arr(r->body, "tools", false, &list, &c->info));
	jw_init(&a, &theirs);
	jw_init(&b, &again);
	jw_arr(&a);
	jw_arr(&b);
	for (size_t i = 0; i < json_array_size(list); i++) {
		TRY(read_tool(c, json_array_get(list, i), i, &t));
		put_tool(&t, false, &a);
		put_tool(&t, true, &b);
	}
	jw_end(&a);
	jw_end(&b);
	if (json_array_size(list)) {
		TRY(in_arena(c, &theirs, &q->tools));
		TRY(in_arena(c, &again, &r->tools));
	}
	c->param = NULL;
	return OK;
}

/* "auto", "none", "required", or {type: function, name}. */
static enum err read_choice(struct resp *r, struct call *c, struct gen_request *q)
{
	const json_t *v = json_object_get(r->body, "tool_choice");
	struct str word = { json_string_value(v), json_string_length(v) };
	struct str type = STR_NONE, name = STR_NONE;
	bool parallel = true;
	c->param = "parallel_tool_calls";
	TRY(json_want_bool(r->body, "parallel_tool_calls", false, &parallel, &c->info));
	q->one_call = !parallel;
	c->param = "tool_choice";
	if (json_is_string(v)) {
		q->tool_choice = word;
		if (!str_eq(word, STR("auto")) && !str_eq(word, STR("none")) &&
			!str_eq(word, STR("required")))
			return bad(c, c->param, ERR_INVALID,
				"tool_choice must be auto, none, required or a function");
	} else if (json_is_object(v)) {
		TRY(json_want_str(v, "type", true, &type, &c->info));
		if (!str_eq(type, STR("function")))
			return err_set(&c->info, ERR_UNSUPPORTED,
				"tool_choice.type must be function, not %.*s",
				(int)(type.len < TYPE_SHOWN ? type.len : TYPE_SHOWN), type.ptr);
		TRY(json_want_str(v, "name", true, &name, &c->info));
		char *text = arena_printf(c->arena, "=%.*s", STR_ARG(name));
		if (!text)
			return ERR_NOMEM;
		q->tool_choice = str_from(text);
	} else if (v && !json_is_null(v)) {
		return bad(c, c->param, ERR_INVALID, "tool_choice must be a string or an object");
	}
	c->param = NULL;
	return OK;
}

/* ---- what is kept ---- */

static enum err read_store(struct resp *r, struct call *c)
{
	bool person = c->who.person[0] != '\0', store = person;
	c->param = "store";
	TRY(json_want_bool(r->body, "store", false, &store, &c->info));
	c->param = "background";
	TRY(json_want_bool(r->body, "background", false, &r->background, &c->info));
	if (store && !person)
		call_warn(c, "\"store\": only a person's answers are kept");
	r->store = store && person;
	if (r->background && !person)
		return bad(c, c->param, ERR_FORBIDDEN, "only a person's answers are kept");
	if (r->background && !store)
		return bad(c, c->param, ERR_INVALID, "background needs store to be true");
	c->param = NULL;
	return OK;
}

static enum err no_previous(struct call *c, struct str id, const char *why)
{
	c->code = "previous_response_not_found";
	return err_set(&c->info, ERR_INVALID, "Previous response with id '%.*s' %s",
		(int)(id.len < 60 ? id.len : 60), id.ptr ? id.ptr : "", why);
}

/* Its items and those before it, as one list; NULL: there is none. Owned. */
static enum err read_previous(struct resp *r, struct call *c, json_t **ret)
{
	AUTO_BUF struct buf items = BUF(RESP_CHAIN_MAX + 1024 * 1024);
	struct str theirs = STR_NONE, id;
	c->param = "previous_response_id";
	TRY(json_want_str(r->body, "previous_response_id", false, &theirs, &c->info));
	if (!theirs.ptr)
		return OK;
	id = str_sub(theirs, 5, SIZE_MAX);
	if (!str_starts(theirs, STR("resp_")) || !id_ok(id) || !c->who.person[0])
		return no_previous(c, theirs, "not found.");
	enum err e = response_chain(
		c->app->responses, c->who.person, id, RESP_CHAIN_MAX, &items, r->root);
	if (e == ERR_NOT_FOUND)
		return no_previous(c, theirs, "not found.");
	if (e == ERR_GONE)
		return no_previous(
			c, theirs, "goes on from one that was deleted or is no longer kept.");
	if (e == ERR_CONFLICT)
		return err_set(&c->info, e, "the response before this one is still being made");
	if (e == ERR_TOO_LARGE || e == ERR_LIMIT)
		return err_set(&c->info, ERR_TOO_LARGE,
			"the responses before this one have more than %d MiB or %d links",
			RESP_CHAIN_MAX / 1024 / 1024, RESPONSES_LINKS_MAX);
	TRY(e);
	TRY(str_copy(id, r->previous, sizeof r->previous));
	TRY(json_read(buf_str(&items), items.len, LIMIT_JSON_DEPTH, ret, NULL));
	c->param = NULL;
	return OK;
}

static enum err read_input(struct resp *r, struct call *c, struct gen_request *q)
{
	AUTO_BUF struct buf kept = BUF(RESP_INPUT_MAX);
	AUTO_JSON json_t *items = NULL, *own = NULL;
	struct str instructions = STR_NONE;
	c->param = "instructions";
	TRY(json_want_str(r->body, "instructions", false, &instructions, &c->info));
	r->again = instructions.len + r->tools.len <= RESP_AGAIN_MAX;
	if (!r->again && r->g->stream)
		call_warn(c, "the events do not repeat instructions and tools: they are too long");
	c->param = "input";
	TRY(resp_input(r->g, json_object_get(r->body, "input"), &kept));
	TRY(in_arena(c, &kept, &r->input));
	TRY(json_read(r->input, r->input.len, LIMIT_JSON_DEPTH, &own, NULL));
	TRY(read_previous(r, c, &items));
	size_t before = json_array_size(items);
	if (!items)
		items = json_incref(own);
	else if (json_array_extend(items, own))
		return ERR_NOMEM;
	c->param = "input";
	TRY(resp_talk(r->g, instructions, items, before, q));
	c->param = NULL;
	return OK;
}

enum err resp_read(struct resp *r, struct gen_request *q)
{
	struct gen *g = r->g;
	struct call *c = g->c;
	TRY(check_fields(c, r->body));
	TRY(check_echoes(c, r->body));
	TRY(options_numbers(c, r->body, &fields, &g->options));
	TRY(options_stop(c, json_object_get(r->body, "stop"), &g->options));
	TRY(openai_run(g, r->body));
	TRY(read_text(r, c, q));
	TRY(read_reasoning(r, c, q));
	TRY(read_tools(r, c, q));
	TRY(read_choice(r, c, q));
	TRY(read_include(r, c, q));
	TRY(read_truncation(r, c, q));
	TRY(read_metadata(r, c));
	TRY(read_store(r, c));
	if (!r->count)
		TRY(read_stream(r, c));
	TRY(read_input(r, c, q));
	if (!r->root[0] && r->store)
		TRY(str_copy(str_sub(str_from(r->id), 5, SIZE_MAX), r->root, sizeof r->root));
	q->object = r->root[0] ? gen_number(str_from(r->root)) : 0;
	return OK;
}
