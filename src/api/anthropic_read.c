/* Requests to /v1/messages: everything but the messages. What is not done is an error that names
 * the field; what has no effect is a warning. */
#include "api/anthropic.h"

#include <stdio.h>

enum { BUDGET_MAX = 16 * 1024 * 1024 };

static bool there(const json_t *v)
{
	if (!v || json_is_null(v) || json_is_false(v))
		return false;
	if (json_is_array(v))
		return json_array_size(v) > 0;
	return !json_is_object(v) || json_object_size(v) > 0;
}

/* ---- fields ---- */

static const struct {
	const char *field, *text;
} unsupported[] = {
	{ "mcp_servers", "servers of tools are not called from here" },
	{ "container", "there are no containers here" },
};
static const struct options_number numbers[] = { { "max_tokens", "num_predict" },
	{ "temperature", "temperature" }, { "top_p", "top_p" }, { "top_k", "top_k" },
	{ "min_p", "min_p" }, { "seed", "seed" }, { "num_ctx", "num_ctx" } };
static const char *const others[] = { "model", "messages", "system", "stream", "stop_sequences",
	"tools", "tool_choice", "thinking", "metadata", "service_tier", "output_config",
	"cache_control",
	/* not Anthropic's: as in the other APIs */
	"temporary", "strict", "deadline_ms" };
static const struct options_fields fields = OPTIONS_FIELDS(numbers, others);

static enum err check_fields(struct call *c, const json_t *body)
{
	const char *field;
	json_t *v;
	for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
		if (there(json_object_get(body, unsupported[i].field)))
			return err_set(&c->info, ERR_UNSUPPORTED, "%s: %s", unsupported[i].field,
				unsupported[i].text);
	json_object_foreach((json_t *)(uintptr_t)body, field, v)
	{
		if (there(v) && !options_knows(&fields, field))
			call_warn(c, "\"%.40s\" is ignored: it is not known", field);
	}
	return OK;
}

static enum err read_numbers(struct gen *g, const json_t *body, bool count)
{
	struct call *c = g->c;
	int64_t max = 0;
	TRY(options_numbers(c, body, &fields, &g->options));
	return json_want_i64(body, "max_tokens", !count, 0, INT32_MAX, &max, &c->info);
}

static enum err read_stops(struct gen *g, const json_t *body)
{
	json_t *list = NULL;
	TRY(json_want_arr(body, "stop_sequences", false, &list, &g->c->info));
	if (!json_array_size(list)) /* the model's own stay */
		return OK;
	((struct anthropic *)g->of_form)->stops = true;
	return options_stop(g->c, list, &g->options);
}

/* "auto" may run before others there; here nothing comes before a person's turn. */
static enum err read_run(struct gen *g, const json_t *body)
{
	struct call *c = g->c;
	struct str tier = STR_NONE, user = STR_NONE;
	json_t *metadata = NULL;
	TRY(json_want_str(body, "service_tier", false, &tier, &c->info));
	if (tier.len && !str_eq(tier, STR("auto")) && !str_eq(tier, STR("standard_only")))
		return err_set(
			&c->info, ERR_INVALID, "service_tier must be auto or standard_only");
	TRY(json_want_obj(body, "metadata", false, &metadata, &c->info));
	if (metadata) /* who asks is whoever the key belongs to */
		TRY(json_want_str(metadata, "user_id", false, &user, &c->info));
	return options_run(c, body, &g->options);
}

/* ---- tools ---- */

static enum err put_tool(struct call *c, const json_t *tool, size_t i, struct jw *w)
{
	struct str type = STR_NONE, name = STR_NONE, about = STR_NONE;
	json_t *schema = NULL;
	if (!json_is_object(tool))
		return err_set(&c->info, ERR_INVALID, "tools[%zu] must be an object", i);
	if (json_want_str(tool, "type", false, &type, NULL) ||
		json_want_str(tool, "description", false, &about, NULL))
		return err_set(&c->info, ERR_INVALID,
			"tools[%zu]: type and description must be strings", i);
	if (type.len && !str_eq(type, STR("custom")))
		return err_set(&c->info, ERR_UNSUPPORTED,
			"tools[%zu]: \"%.*s\" is run or defined by Anthropic's servers, which are "
			"not asked; define a tool with an input_schema",
			i, (int)(type.len < 60 ? type.len : 60), type.ptr);
	if (json_want_str(tool, "name", true, &name, NULL) || !name.len)
		return err_set(&c->info, ERR_INVALID, "tools[%zu].name must be a string", i);
	if (json_want_obj(tool, "input_schema", true, &schema, NULL))
		return err_set(
			&c->info, ERR_INVALID, "tools[%zu].input_schema must be an object", i);
	jw_obj(w);
	jw_kstr(w, "type", STR("function"));
	jw_key(w, "function");
	jw_obj(w);
	jw_kstr(w, "name", name);
	if (about.ptr)
		jw_kstr(w, "description", about);
	jw_key(w, "parameters");
	jw_json(w, schema);
	jw_end(w);
	jw_end(w);
	return OK;
}

/* In the form of OpenAI's tools, which templates know. */
static enum err read_tools(struct call *c, const json_t *body, struct gen_request *r)
{
	AUTO_BUF struct buf text = BUF(LIMIT_HTTP_BODY);
	json_t *list = NULL;
	struct jw w;
	TRY(json_want_arr(body, "tools", false, &list, &c->info));
	if (!json_array_size(list))
		return OK;
	jw_init(&w, &text);
	jw_arr(&w);
	for (size_t i = 0; i < json_array_size(list); i++)
		TRY(put_tool(c, json_array_get(list, i), i, &w));
	jw_end(&w);
	TRY(text.err);
	char *copy = arena_str(c->arena, buf_str(&text));
	if (!copy)
		return ERR_NOMEM;
	r->tools = (struct str){ copy, text.len };
	return OK;
}

static enum err read_named(struct call *c, const json_t *choice, struct gen_request *r)
{
	struct str name = STR_NONE;
	if (json_want_str(choice, "name", true, &name, NULL) || !name.len)
		return err_set(&c->info, ERR_INVALID, "tool_choice.name must be a string");
	char *text = arena_printf(c->arena, "=%.*s", STR_ARG(name));
	if (!text)
		return ERR_NOMEM;
	r->tool_choice = str_from(text);
	return OK;
}

static enum err read_choice(struct call *c, const json_t *body, struct gen_request *r)
{
	static const struct {
		const char *theirs, *ours;
	} kinds[] = { { "auto", "auto" }, { "any", "required" }, { "none", "none" } };
	json_t *choice = NULL;
	struct str type = STR_NONE;
	TRY(json_want_obj(body, "tool_choice", false, &choice, &c->info));
	if (!choice)
		return OK;
	if (json_want_str(choice, "type", true, &type, NULL) ||
		json_want_bool(
			choice, "disable_parallel_tool_use", false, &r->one_call, NULL))
		return err_set(&c->info, ERR_INVALID,
			"tool_choice needs a type; disable_parallel_tool_use must be true or "
			"false");
	if (str_eq(type, STR("tool")))
		return read_named(c, choice, r);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_eq(type, str_from(kinds[i].theirs))) {
			r->tool_choice = str_from(kinds[i].ours);
			return OK;
		}
	return err_set(&c->info, ERR_INVALID, "tool_choice.type must be auto, any, tool or none");
}

/* ---- thinking and the answer's form ---- */

static enum err read_display(struct gen *g, const json_t *thinking)
{
	struct anthropic *a = g->of_form;
	struct str how = STR("summarized");
	if (json_want_str(thinking, "display", false, &how, NULL) ||
		(!str_eq(how, STR("summarized")) && !str_eq(how, STR("omitted"))))
		return err_set(&g->c->info, ERR_INVALID,
			"thinking.display must be summarized or omitted");
	a->omit = str_eq(how, STR("omitted"));
	return OK;
}

/* As with them, who does not ask for thinking gets none. */
static enum err read_thinking(
	struct gen *g, const json_t *body, bool count, struct gen_request *r)
{
	struct call *c = g->c;
	json_t *v = NULL;
	struct str type = STR("disabled");
	int64_t budget = 0;
	r->think = THINK_OFF;
	TRY(json_want_obj(body, "thinking", false, &v, &c->info));
	if (!v)
		return OK;
	if (json_want_str(v, "type", true, &type, NULL))
		return err_set(&c->info, ERR_INVALID, "thinking.type must be a string");
	if (str_eq(type, STR("disabled")))
		return OK;
	r->think = THINK_ON;
	TRY(read_display(g, v));
	if (str_eq(type, STR("adaptive")))
		return OK;
	if (!str_eq(type, STR("enabled")))
		return err_set(&c->info, ERR_INVALID,
			"thinking.type must be enabled, disabled or adaptive");
	if (json_want_i64(v, "budget_tokens", true, 1, BUDGET_MAX, &budget, NULL))
		return err_set(&c->info, ERR_INVALID,
			"thinking.budget_tokens must be a whole number from 1");
	if (!count && budget >= g->options.of.sampling.num_predict)
		return err_set(&c->info, ERR_INVALID,
			"max_tokens must be greater than thinking.budget_tokens");
	g->options.of.think_budget = budget;
	return OK;
}

static enum err read_effort(struct call *c, const json_t *config, struct gen_request *r)
{
	static const struct {
		const char *word;
		enum gen_think think;
	} efforts[] = { { "low", THINK_LOW }, { "medium", THINK_MEDIUM }, { "high", THINK_HIGH },
		{ "xhigh", THINK_HIGH }, { "max", THINK_HIGH } };
	struct str word = STR_NONE;
	TRY(json_want_str(config, "effort", false, &word, &c->info));
	if (!word.ptr)
		return OK;
	for (size_t i = 0; i < sizeof efforts / sizeof *efforts; i++) {
		if (!str_eq(word, str_from(efforts[i].word)))
			continue;
		if (r->think != THINK_OFF)
			r->think = efforts[i].think;
		else
			call_warn(c, "\"effort\" has no effect without thinking");
		return OK;
	}
	return err_set(&c->info, ERR_INVALID,
		"output_config.effort must be low, medium, high, xhigh or max");
}

static enum err read_output(struct call *c, const json_t *body, struct gen_request *r)
{
	json_t *config = NULL, *f = NULL, *schema = NULL;
	struct str type = STR_NONE;
	TRY(json_want_obj(body, "output_config", false, &config, &c->info));
	if (!config)
		return OK;
	TRY(read_effort(c, config, r));
	TRY(json_want_obj(config, "format", false, &f, &c->info));
	if (!f)
		return OK;
	if (json_want_str(f, "type", true, &type, NULL) || !str_eq(type, STR("json_schema")) ||
		json_want_obj(f, "schema", true, &schema, NULL))
		return err_set(&c->info, ERR_INVALID,
			"output_config.format must have the type json_schema and a schema");
	return gen_json_text(c, schema, &r->schema);
}

enum err anthropic_read(struct gen *g, const json_t *body, bool count, struct gen_request *r)
{
	struct call *c = g->c;
	TRY(check_fields(c, body));
	TRY(json_want_bool(body, "stream", false, &g->stream, &c->info));
	TRY(read_numbers(g, body, count));
	TRY(read_stops(g, body));
	TRY(read_run(g, body));
	TRY(read_tools(c, body, r));
	TRY(read_choice(c, body, r));
	TRY(read_thinking(g, body, count, r));
	TRY(read_output(c, body, r));
	if (count)
		g->stream = false;
	return anthropic_read_messages(g, body, r);
}
