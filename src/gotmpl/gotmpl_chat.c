/* A conversation through a template: Execute() of Ollama's template/template.go. */
#include "gotmpl/gotmpl_int.h"

#include <stdio.h>

enum { MESSAGES_MAX = 100000, JOINED_MAX = 64 * 1024 * 1024 };

/* The conversation as Ollama's collate() leaves it. */
struct collated {
	json_t *messages; /* owned: array of messages */
	json_t *system;	  /* owned: string, all system messages */
};

static struct str str_of(const json_t *msg, const char *key)
{
	const json_t *j = json_object_get(msg, key);
	return (struct str){ json_string_value(j), json_string_length(j) };
}

static json_t *to_json(struct str s)
{
	return json_stringn_nocheck(s.ptr ? s.ptr : "", s.len);
}

/* Takes the value. */
static enum err set(json_t *obj, const char *key, json_t *value)
{
	return value && json_object_set_new_nocheck(obj, key, value) == 0 ? OK : ERR_NOMEM;
}

/* Roles compare in lower case from here on. */
static enum err lower_role(json_t *msg)
{
	struct str role = str_of(msg, "role");
	AUTO_BUF struct buf b = BUF(JOINED_MAX);
	for (size_t i = 0; i < role.len; i++)
		(void)buf_add_byte(&b, (char)(role.ptr[i] >= 'A' && role.ptr[i] <= 'Z'
						      ? role.ptr[i] | 0x20
						      : role.ptr[i]));
	TRY(b.err);
	return set(msg, "role", to_json(buf_str(&b)));
}

static enum err add_joined(struct buf *b, bool first, struct str text)
{
	if (!first)
		TRY(buf_add(b, STR("\n\n")));
	return buf_add(b, text);
}

/* A copy that shares the values. jansson's own, json_copy(), loses members without memory. */
static enum err copy_message(const json_t *from, json_t **ret)
{
	AUTO_JSON json_t *copy = json_object();
	const char *key;
	json_t *value;
	if (!copy)
		return ERR_NOMEM;
	json_object_foreach((json_t *)(uintptr_t)from, key, value)
	{
		TRY(set(copy, key, json_incref(value)));
	}
	*ret = TAKE(copy);
	return OK;
}

/* The message at *i and those of its role that follow it, as one; tools' answers stay apart. */
static enum err join_run(const json_t *messages, size_t *i, json_t *into)
{
	AUTO_JSON json_t *msg = NULL;
	AUTO_BUF struct buf text = BUF(JOINED_MAX);
	size_t first = *i;
	TRY(copy_message(json_array_get(messages, first), &msg));
	TRY(lower_role(msg));
	struct str role = str_of(msg, "role");
	for (++*i; *i < json_array_size(messages) && !str_eq(role, STR("tool")); ++*i) {
		const json_t *more = json_array_get(messages, *i);
		if (!str_eq_nocase(role, str_of(more, "role")))
			break;
		if (*i == first + 1)
			TRY(add_joined(&text, true, str_of(msg, "content")));
		TRY(add_joined(&text, false, str_of(more, "content")));
	}
	if (*i > first + 1)
		TRY(set(msg, "content", to_json(buf_str(&text))));
	return json_array_append(into, msg) == 0 ? OK : ERR_NOMEM;
}

static enum err collate(const json_t *messages, struct collated *c)
{
	AUTO_BUF struct buf system = BUF(JOINED_MAX);
	bool first = true;
	c->messages = json_array();
	if (!c->messages)
		return ERR_NOMEM;
	for (size_t i = 0; i < json_array_size(messages);)
		TRY(join_run(messages, &i, c->messages));
	for (size_t i = 0; i < json_array_size(messages); i++) {
		const json_t *m = json_array_get(messages, i);
		if (!str_eq_nocase(str_of(m, "role"), STR("system")))
			continue;
		TRY(add_joined(&system, first, str_of(m, "content")));
		first = false;
	}
	c->system = to_json(buf_str(&system));
	return c->system ? OK : ERR_NOMEM;
}

/* What every execution is given. */
static enum err new_data(const struct gotmpl_chat *c, json_t **ret)
{
	AUTO_JSON json_t *data = json_object();
	if (!data)
		return ERR_NOMEM;
	TRY(set(data, "Think", json_boolean(c->think)));
	TRY(set(data, "ThinkLevel", to_json(c->think_level)));
	TRY(set(data, "IsThinkSet", json_boolean(c->think_set)));
	*ret = TAKE(data);
	return OK;
}

static enum err run(struct gstate *s, const json_t *data, bool bare)
{
	struct gval root = gotmpl_val(GO_ROOT, data);
	return gotmpl_execute(s, &root, bare);
}

static enum err fill_in(struct gstate *s, const struct gotmpl_chat *c, json_t *data)
{
	TRY(set(data, "Prompt", to_json(c->prompt)));
	TRY(set(data, "Suffix", to_json(c->suffix)));
	TRY(set(data, "Response", to_json(STR(""))));
	return run(s, data, false);
}

static enum err by_messages(struct gstate *s, const struct gotmpl_chat *c,
			    const struct collated *all, json_t *data)
{
	TRY(set(data, "System", json_incref(all->system)));
	TRY(set(data, "Messages", json_array_size(all->messages) ? json_incref(all->messages)
								  : json_null()));
	/* Not changed: what is set here is only read. */
	json_t *tools = (json_t *)(uintptr_t)c->tools;
	TRY(set(data, "Tools", tools ? json_incref(tools) : json_null()));
	TRY(set(data, "Response", to_json(STR(""))));
	return run(s, data, false);
}

struct turn {
	struct str system, prompt, response;
};

static enum err run_turn(struct gstate *s, json_t *data, struct turn *t, bool last)
{
	TRY(set(data, "System", to_json(t->system)));
	TRY(set(data, "Prompt", to_json(t->prompt)));
	TRY(set(data, "Response", to_json(t->response)));
	*t = (struct turn){ STR_NONE, STR_NONE, STR_NONE };
	return run(s, data, last);
}

static enum err turn_by_turn(struct gstate *s, const struct collated *all, json_t *data)
{
	struct turn t = { STR_NONE, STR_NONE, STR_NONE };
	for (size_t i = 0; i < json_array_size(all->messages); i++) {
		const json_t *m = json_array_get(all->messages, i);
		struct str role = str_of(m, "role"), content = str_of(m, "content");
		bool system = str_eq(role, STR("system")), user = str_eq(role, STR("user"));
		if ((t.response.len && (system || user)) || (t.prompt.len && system))
			TRY(run_turn(s, data, &t, false));
		if (system)
			t.system = content;
		else if (user)
			t.prompt = content;
		else if (str_eq(role, STR("assistant")))
			t.response = content;
	}
	return run_turn(s, data, &t, true);
}

static enum err check(const struct gotmpl_chat *c, struct err_info *info)
{
	if (json_array_size(c->messages) > MESSAGES_MAX)
		return err_set(info, ERR_LIMIT, "more than %d messages", MESSAGES_MAX);
	TRY(gotmpl_check_type(GO_MESSAGES, c->messages, "messages", 0, info));
	for (size_t i = 0; i < json_array_size(c->messages); i++)
		if (!json_is_object(json_array_get(c->messages, i)))
			return err_set(info, ERR_INVALID, "messages[%zu] must be an object", i);
	return gotmpl_check_type(GO_TOOLS, c->tools, "tools", 0, info);
}

static enum err render(struct gstate *s, const struct gotmpl_chat *c, const struct collated *all)
{
	AUTO_JSON json_t *data = NULL;
	TRY(new_data(c, &data));
	if (c->prompt.len && c->suffix.len)
		return fill_in(s, c, data);
	return gotmpl_uses(s->t, "Messages") ? by_messages(s, c, all, data)
					     : turn_by_turn(s, all, data);
}

enum err gotmpl_chat_render(const struct gotmpl *t, const struct gotmpl_chat *c, struct buf *out,
			    struct gotmpl_spans *spans, struct err_info *info)
{
	struct gstate s;
	struct collated all = { NULL, NULL };
	TRY(out->err);
	TRY(check(c, info));
	struct gmark mark = gotmpl_mark(out, spans);
	enum err e = gotmpl_state_init(&s, t, c->today, out, spans, info);
	e = e ? e : collate(c->messages, &all);
	e = e ? e : render(&s, c, &all);
	gotmpl_state_done(&s);
	json_decref(all.messages);
	json_decref(all.system);
	if (e)
		gotmpl_rewind(out, spans, &mark);
	return e;
}
