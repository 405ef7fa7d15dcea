/* Prompts by a template in Go: a request's messages have OpenAI's form, such templates go through
 * Ollama's. */
#include <string.h>
#include <time.h>

#include "base/fault.h"
#include "base/json.h"
#include "engine/llama/template.h"

void go_parts_done(struct go_parts *p)
{
	buf_wipe(&p->text);
	gotmpl_spans_done(&p->spans);
}

/* Takes the value. */
static enum err set(json_t *to, const char *key, json_t *value)
{
	return value && !json_object_set_new_nocheck(to, key, value) ? OK : ERR_NOMEM;
}

static enum err set_text(json_t *to, const char *key, const json_t *from, const char *as)
{
	json_t *v = json_object_get(from, as);
	return json_is_string(v) && json_string_length(v) ? set(to, key, json_incref(v)) : OK;
}

/* A text, or a list of parts with texts (pictures have become marks in them before). */
static enum err set_content(json_t *to, const json_t *m)
{
	const json_t *v = json_object_get(m, "content"), *part;
	AUTO_BUF struct buf text = BUF(LIMIT_IPC_BULK);
	size_t i;
	if (!json_is_array(v))
		return json_is_string(v) ? set_text(to, "content", m, "content") : OK;
	json_array_foreach((json_t *)(uintptr_t)v, i, part)
	{
		const json_t *t = json_object_get(part, "text");
		TRY(buf_add(&text, (struct str){ json_string_value(t), json_string_length(t) }));
	}
	return set(to, "content", json_stringn_nocheck(text.ptr ? text.ptr : "", text.len));
}

/* Arguments are text of an object there and an object here. */
static enum err add_call(json_t *list, const json_t *call, struct err_info *info)
{
	const json_t *from = json_object_get(call, "function"),
		     *args = json_object_get(from, "arguments");
	struct str text = { json_string_value(args), json_string_length(args) };
	AUTO_JSON json_t *one = json_object(), *f = json_object(), *doc = NULL;
	if (!one || !f)
		return ERR_NOMEM;
	if (json_is_string(args))
		TRY(json_read(text.len ? text : STR("{}"), LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &doc,
			info));
	else if (json_is_object(args))
		doc = json_incref((json_t *)(uintptr_t)args);
	TRY(set_text(one, "id", call, "id"));
	TRY(set_text(f, "name", from, "name"));
	TRY(set(f, "index", json_integer((json_int_t)json_array_size(list))));
	TRY(set(f, "arguments", json_is_object(doc) ? json_incref(doc) : json_object()));
	TRY(set(one, "function", json_incref(f)));
	return json_array_append(list, one) ? ERR_NOMEM : OK;
}

static enum err set_calls(json_t *to, const json_t *m, struct err_info *info)
{
	json_t *calls = json_object_get(m, "tool_calls"), *call;
	AUTO_JSON json_t *list = NULL;
	size_t i;
	if (!json_array_size(calls))
		return OK;
	list = json_array();
	if (!list)
		return ERR_NOMEM;
	json_array_foreach(calls, i, call)
		TRY(add_call(list, call, info));
	return set(to, "tool_calls", json_incref(list));
}

/* OpenAI's results of tools name a call, Ollama's the tool: the name stands with the call. */
static enum err set_tool_name(json_t *to, const json_t *all, const json_t *m)
{
	const json_t *id = json_object_get(m, "tool_call_id");
	const json_t *one;
	json_t *call;
	size_t i, k;
	if (json_is_string(json_object_get(m, "name")) || !json_is_string(id))
		return set_text(to, "tool_name", m, "name");
	json_array_foreach((json_t *)(uintptr_t)all, i, one)
	{
		json_array_foreach(json_object_get(one, "tool_calls"), k, call)
		{
			if (json_equal(json_object_get(call, "id"), id))
				return set_text(to, "tool_name",
					json_object_get(call, "function"), "name");
		}
	}
	return OK;
}

static enum err add_message(
	json_t *list, const json_t *all, const json_t *m, struct err_info *info)
{
	const char *role = json_string_value(json_object_get(m, "role"));
	AUTO_JSON json_t *to = json_object();
	if (!to)
		return ERR_NOMEM;
	if (role && !strcmp(role, "developer"))
		role = "system";
	TRY(set(to, "role", json_string(role ? role : "")));
	TRY(set_content(to, m));
	TRY(set_text(to, "thinking", m, "reasoning_content"));
	TRY(set_tool_name(to, all, m));
	TRY(set_text(to, "tool_call_id", m, "tool_call_id"));
	TRY(set_calls(to, m, info));
	return json_array_append(list, to) ? ERR_NOMEM : OK;
}

static enum err read_messages(struct str text, json_t **ret, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL, *list = json_array();
	size_t i;
	json_t *m;
	if (!list)
		return ERR_NOMEM;
	TRY(json_read(text, LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &all, info));
	json_array_foreach(all, i, m)
		TRY(add_message(list, all, m, info));
	*ret = json_incref(list);
	return OK;
}

static struct gotmpl_date today(void)
{
	time_t now = time(NULL);
	struct tm tm;
	(void)localtime_r(&now, &tm);
	return (struct gotmpl_date){ tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday };
}

/* As Ollama's routes say it: a model that can think does, unless it was told not to. */
static void set_think(const struct gotmpl *t, const struct gen_request *g, struct gotmpl_chat *c)
{
	struct str start, end;
	bool can = gotmpl_think_tags(t, &start, &end);
	c->think = g->think >= THINK_ON || (g->think == THINK_DEFAULT && can);
	c->think_set = can || g->think != THINK_DEFAULT;
	if (c->think)
		c->think_level = g->think == THINK_LOW	  ? STR("low")
				 : g->think == THINK_HIGH ? STR("high")
							  : STR("medium");
}

static enum err run(const struct gotmpl *t, const struct gotmpl_chat *c, struct go_parts *ret,
	struct err_info *info)
{
	struct err_info why = { .code = OK };
	ret->text = BUF(2 * (size_t)LIMIT_IPC_BULK);
	enum err e = gotmpl_chat_render(t, c, &ret->text, &ret->spans, &why);
	if (!e || e == ERR_NOMEM)
		return e;
	return err_set(info, e, "the model's chat template refused the messages: %s",
		why.detail[0] ? why.detail : err_text(e));
}

enum err go_render(const struct gotmpl *t, const struct gen_request *g, struct str messages,
	const char *tools, struct go_parts *ret, struct err_info *info)
{
	AUTO_JSON json_t *all = NULL, *list = NULL;
	struct gotmpl_chat c = { .today = today() };
	TRY(read_messages(messages, &all, info));
	if (*tools && !gotmpl_uses(t, "Tools"))
		return err_set(info, ERR_UNSUPPORTED, "this model does not support tools");
	if (*tools)
		TRY(json_read(str_from(tools), LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &list, info));
	c.messages = all;
	c.tools = list;
	set_think(t, g, &c);
	return run(t, &c, ret, info);
}

enum err go_render_gap(const struct gotmpl *t, const struct gen_request *g, struct go_parts *ret,
	struct err_info *info)
{
	struct gotmpl_chat c = { .prompt = g->input, .suffix = g->suffix, .today = today() };
	return run(t, &c, ret, info);
}
