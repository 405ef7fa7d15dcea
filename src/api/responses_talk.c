/* Items of a Response as the messages that a template knows: reasoning, text and calls that follow
 * each other are one message of the assistant; a call's result is a message of its own. Each item
 * was checked by responses_input.c, or was written by this server. */
#include "api/responses.h"

#include <stdio.h>

struct talk {
	struct gen *g;
	struct gen_messages *out;
	struct pictures *pictures;
	json_t *names; /* call_id -> name; owned */
	/* of the assistant's message that is being gathered */
	struct buf text, thought;
	json_t *calls; /* in the form of chat completions; owned */
	struct str share;
	bool any, texted;
};

static void talk_done(struct talk *t)
{
	json_decref(t->names);
	json_decref(t->calls);
	buf_done(&t->text);
	buf_done(&t->thought);
}
#define AUTO_TALK [[gnu::cleanup(talk_done)]]

static struct str field(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return (struct str){ json_string_value(v), json_string_length(v) };
}

static bool is(const json_t *o, const char *key, const char *word)
{
	return str_eq(field(o, key), str_from(word));
}

static struct str or_empty(struct str s)
{
	return s.len ? s : STR("");
}

/* Kept items keep it; whether the person still may is asked each time. */
static struct str share_of(struct talk *t, const json_t *item)
{
	bool wide = field(item, "share").len > 0;
	return wide && !authorize(&t->g->c->who, ACTION_CACHE_SHARE, NULL) ? STR("company")
									   : STR_NONE;
}

static enum err flush(struct talk *t)
{
	if (!t->any)
		return OK;
	struct jw *w = gen_message_begin(
		t->out, STR("assistant"), or_empty(buf_str(&t->text)), t->share);
	if (t->thought.len)
		jw_kstr(w, "reasoning_content", buf_str(&t->thought));
	if (json_array_size(t->calls))
		TRY(gen_message_calls(t->g->c, t->out, t->calls, 0));
	gen_message_end(t->out);
	buf_clear(&t->text);
	buf_clear(&t->thought);
	json_array_clear(t->calls);
	t->any = t->texted = false;
	t->share = STR_NONE;
	return OK;
}

/* ---- the assistant's ---- */

static enum err say(struct talk *t, const json_t *m)
{
	const json_t *content = json_object_get(m, "content");
	if (t->texted || json_array_size(t->calls))
		TRY(flush(t));
	t->any = t->texted = true;
	t->share = share_of(t, m);
	for (size_t i = 0; i < json_array_size(content); i++) {
		const json_t *part = json_array_get(content, i);
		const char *key = is(part, "type", "refusal") ? "refusal" : "text";
		TRY(buf_add(&t->text, field(part, key)));
	}
	return OK;
}

static enum err think(struct talk *t, const json_t *o)
{
	const json_t *content = json_object_get(o, "content");
	if (!json_array_size(content)) /* of others often that is all there is */
		content = json_object_get(o, "summary");
	if (t->texted || json_array_size(t->calls))
		TRY(flush(t));
	t->any = true;
	for (size_t i = 0; i < json_array_size(content); i++)
		TRY(buf_add(&t->thought, field(json_array_get(content, i), "text")));
	return OK;
}

static enum err call(struct talk *t, const json_t *o)
{
	struct str id = field(o, "call_id"), name = field(o, "name");
	/* texts from JSON end with a zero byte and have none inside */
	json_t *one = json_pack("{s:s, s:{s:s, s:O}}", "id", id.ptr, "function", "name", name.ptr,
		"arguments", json_object_get(o, "arguments"));
	t->any = true;
	if (!one || json_array_append_new(t->calls, one) ||
		json_object_set_new(t->names, id.ptr, json_string(name.ptr)))
		return ERR_NOMEM;
	return OK;
}

/* ---- the others' ---- */

static enum err add_parts(struct talk *t, const json_t *list, const char *where, struct buf *text,
	struct gen_parts *parts)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *part = json_array_get(list, i);
		if (is(part, "type", "input_image")) {
			TRY(pictures_add_url(t->pictures, where, field(part, "image_url")));
			gen_parts_picture(parts, t->pictures->n - 1);
		} else {
			TRY(buf_add(text, field(part, "text")));
			gen_parts_text(parts, field(part, "text"));
		}
	}
	return OK;
}

static enum err hear(struct talk *t, const json_t *m, const char *where)
{
	AUTO_BUF struct buf text = BUF(LIMIT_REQUEST_ARENA);
	AUTO_PARTS struct gen_parts parts = { 0 };
	struct str role = is(m, "role", "user") ? STR("user") : STR("system");
	unsigned before = t->pictures->n;
	gen_parts_init(&parts);
	TRY(flush(t));
	TRY(add_parts(t, json_object_get(m, "content"), where, &text, &parts));
	if (t->pictures->n > before)
		gen_message_begin_parts(t->out, role, &parts, share_of(t, m));
	else
		gen_message_begin(t->out, role, or_empty(buf_str(&text)), share_of(t, m));
	gen_message_end(t->out);
	return OK;
}

static enum err result(struct talk *t, const json_t *o, const char *where)
{
	AUTO_BUF struct buf text = BUF(LIMIT_REQUEST_ARENA);
	AUTO_PARTS struct gen_parts parts = { 0 };
	const json_t *output = json_object_get(o, "output");
	struct str id = field(o, "call_id");
	const char *name = json_string_value(json_object_get(t->names, id.ptr));
	unsigned before = t->pictures->n;
	if (!name)
		return err_set(&t->g->c->info, ERR_INVALID,
			"%s: its call_id is of no function_call before it", where);
	gen_parts_init(&parts);
	TRY(flush(t));
	if (json_is_string(output))
		TRY(buf_add(&text, field(o, "output")));
	else
		TRY(add_parts(t, output, where, &text, &parts));
	struct jw *w = gen_message_begin(
		t->out, STR("tool"), or_empty(buf_str(&text)), STR_NONE);
	jw_kstr(w, "name", str_from(name));
	jw_kstr(w, "tool_call_id", id);
	gen_message_end(t->out);
	if (t->pictures->n > before) { /* as the person's: templates have no other place */
		gen_message_begin_parts(t->out, STR("user"), &parts, STR_NONE);
		gen_message_end(t->out);
	}
	return OK;
}

static enum err one_item(struct talk *t, const json_t *o, const char *where)
{
	if (is(o, "type", "reasoning"))
		return think(t, o);
	if (is(o, "type", "function_call"))
		return call(t, o);
	if (is(o, "type", "function_call_output"))
		return result(t, o, where);
	return is(o, "role", "assistant") ? say(t, o) : hear(t, o, where);
}

/* ---- all of it ---- */

static bool has_system(const json_t *items)
{
	for (size_t i = 0; i < json_array_size(items); i++) {
		const json_t *o = json_array_get(items, i);
		if (is(o, "role", "system") || is(o, "role", "developer"))
			return true;
	}
	return false;
}

static enum err talk_init(struct talk *t, struct gen *g)
{
	*t = (struct talk){ .g = g };
	t->text = t->thought = BUF(LIMIT_REQUEST_ARENA);
	t->names = json_object();
	t->calls = json_array();
	if (!t->names || !t->calls)
		return ERR_NOMEM;
	TRY(gen_messages_new(g->c, &t->out));
	return pictures_new(g->c, &t->pictures);
}

enum err resp_talk(struct gen *g, struct str instructions, const json_t *items, size_t before,
	struct gen_request *q)
{
	AUTO_TALK struct talk t = { 0 };
	char where[48];
	TRY(talk_init(&t, g));
	if (instructions.len)
		gen_message_add(t.out, STR("system"), instructions, STR_NONE);
	gen_messages_of_model(g, t.out, instructions.len || has_system(items));
	for (size_t i = 0; i < json_array_size(items); i++) {
		if (i < before)
			snprintf(where, sizeof where, "item %zu of what came before", i);
		else
			snprintf(where, sizeof where, "input[%zu]", i - before);
		TRY(one_item(&t, json_array_get(items, i), where));
	}
	TRY(flush(&t));
	if (t.pictures->n && !g->model.projector_digest[0])
		return err_set(&g->c->info, ERR_UNSUPPORTED, "\"%s\" does not support vision",
			g->shown_model);
	pictures_give(t.pictures, q);
	q->input = gen_messages_end(t.out);
	return t.out->buf.err;
}
