/* Anthropic's system text and messages as the messages a template knows: a tool's result is a
 * message of its own there, and stands before what the person adds to it. */
#include "api/anthropic.h"

#include <stdio.h>

#include "api/pictures.h"

enum { PLACE_MAX = 96 };

struct reader {
	struct gen *g;
	struct gen_messages *out;
	struct pictures *pictures;
	json_t *tools;     /* id of a tool_use -> its name; owned */
	struct str share;  /* of the message being read */
	/* what the message has said since the last tool's result */
	struct buf text;
	struct gen_parts parts;
	bool any, pictured;
	/* of an answer */
	struct buf thought;
	json_t *calls; /* in OpenAI's form; owned */
};

static void reader_done(struct reader *r)
{
	json_decref(r->tools);
	json_decref(r->calls);
	buf_done(&r->text);
	buf_done(&r->thought);
	gen_parts_done(&r->parts);
}
#define AUTO_READER [[gnu::cleanup(reader_done)]]

static enum err wrong(struct reader *r, enum err e, const char *where, const char *text)
{
	return err_set(&r->g->c->info, e, "%s%s", where, text);
}

enum err anthropic_block_type(
	struct call *c, const json_t *block, const char *where, struct str *ret)
{
	if (!json_is_object(block) || json_want_str(block, "type", true, ret, NULL))
		return err_set(
			&c->info, ERR_INVALID, "%s must be an object with a type", where);
	return OK;
}

/* ---- what is gathered of a message ---- */

static void forget(struct reader *r)
{
	buf_clear(&r->text);
	gen_parts_done(&r->parts);
	gen_parts_init(&r->parts);
	r->any = r->pictured = false;
}

static enum err add_text(struct reader *r, struct str text)
{
	gen_parts_text(&r->parts, text);
	r->any = true;
	return buf_add(&r->text, text);
}

/* The person's message so far, if there is one. */
static void flush_user(struct reader *r)
{
	struct str text = buf_str(&r->text);
	if (!r->any)
		return;
	if (r->pictured)
		gen_message_begin_parts(r->out, STR("user"), &r->parts, r->share);
	else
		gen_message_begin(r->out, STR("user"), text.len ? text : STR(""), r->share);
	gen_message_end(r->out);
	forget(r);
}

static enum err flush_assistant(struct reader *r, size_t at)
{
	struct str text = buf_str(&r->text);
	struct jw *w = gen_message_begin(
		r->out, STR("assistant"), text.len ? text : STR(""), r->share);
	if (r->thought.len)
		jw_kstr(w, "reasoning_content", buf_str(&r->thought));
	if (json_array_size(r->calls))
		TRY(gen_message_calls(r->g->c, r->out, r->calls, at));
	gen_message_end(r->out);
	buf_clear(&r->thought);
	json_array_clear(r->calls);
	forget(r);
	return OK;
}

/* ---- blocks ---- */

static enum err block_text(struct reader *r, const json_t *b, const char *where)
{
	struct str text = STR_NONE;
	if (json_want_str(b, "text", true, &text, NULL))
		return wrong(r, ERR_INVALID, where, ".text must be a string");
	return add_text(r, text);
}

static enum err block_image(struct reader *r, const json_t *b, const char *where)
{
	json_t *source = NULL;
	struct str type = STR_NONE, data = STR_NONE;
	if (json_want_obj(b, "source", true, &source, NULL) ||
		json_want_str(source, "type", true, &type, NULL))
		return wrong(r, ERR_INVALID, where, ".source must be an object with a type");
	if (str_eq(type, STR("url")))
		return wrong(r, ERR_UNSUPPORTED, where,
			".source: addresses are not fetched; send the picture as base64");
	if (!str_eq(type, STR("base64")))
		return wrong(r, ERR_UNSUPPORTED, where,
			".source: only base64 is supported: there are no stored files");
	if (json_want_str(source, "data", true, &data, NULL))
		return wrong(r, ERR_INVALID, where, ".source.data must be a string");
	TRY(pictures_add_base64(r->pictures, where, data));
	gen_parts_picture(&r->parts, r->pictures->n - 1);
	r->any = r->pictured = true;
	return OK;
}

/* Of documents only those that are text already. */
static enum err block_document(struct reader *r, const json_t *b, const char *where)
{
	json_t *source = NULL;
	struct str type = STR_NONE, data = STR_NONE;
	if (json_want_obj(b, "source", true, &source, NULL) ||
		json_want_str(source, "type", true, &type, NULL))
		return wrong(r, ERR_INVALID, where, ".source must be an object with a type");
	if (!str_eq(type, STR("text")))
		return wrong(r, ERR_UNSUPPORTED, where,
			".source: of documents only those of the type text are read");
	if (json_want_str(source, "data", true, &data, NULL))
		return wrong(r, ERR_INVALID, where, ".source.data must be a string");
	return add_text(r, data);
}

static enum err result_block(
	struct reader *r, const json_t *b, const char *where, struct buf *text)
{
	struct str type, s = STR_NONE;
	TRY(anthropic_block_type(r->g->c, b, where, &type));
	if (str_eq(type, STR("image"))) /* follows as the person's: templates have no other place */
		return block_image(r, b, where);
	if (!str_eq(type, STR("text")) || json_want_str(b, "text", true, &s, NULL))
		return wrong(r, ERR_UNSUPPORTED, where,
			": a tool's result is text or images");
	return buf_add(text, s);
}

static enum err result_text(
	struct reader *r, const json_t *content, const char *where, struct buf *text)
{
	char place[PLACE_MAX];
	if (!content || json_is_null(content))
		return OK;
	if (json_is_string(content))
		return buf_add(text,
			(struct str){ json_string_value(content), json_string_length(content) });
	if (!json_is_array(content))
		return wrong(r, ERR_INVALID, where, ".content must be a string or a list");
	for (size_t i = 0; i < json_array_size(content); i++) {
		snprintf(place, sizeof place, "%s.content[%zu]", where, i);
		TRY(result_block(r, json_array_get(content, i), place, text));
	}
	return OK;
}

static enum err block_result(struct reader *r, const json_t *b, const char *where)
{
	AUTO_BUF struct buf text = BUF(LIMIT_HTTP_BODY);
	struct str id = STR_NONE;
	bool failed = false;
	if (json_want_str(b, "tool_use_id", true, &id, NULL) ||
		json_want_bool(b, "is_error", false, &failed, NULL))
		return wrong(r, ERR_INVALID, where,
			": tool_use_id must be a string, is_error true or false");
	const char *name = json_string_value(json_object_get(r->tools, id.ptr));
	if (!name)
		return wrong(r, ERR_INVALID, where,
			": its tool_use_id is of no tool_use block before it");
	flush_user(r);
	if (failed) /* templates have no sign of their own for it */
		TRY(buf_add(&text, STR("Error: ")));
	TRY(result_text(r, json_object_get(b, "content"), where, &text));
	struct str s = buf_str(&text);
	struct jw *w = gen_message_begin(r->out, STR("tool"), s.len ? s : STR(""), r->share);
	jw_kstr(w, "name", str_from(name));
	jw_kstr(w, "tool_call_id", id);
	gen_message_end(r->out);
	return OK;
}

static enum err block_use(struct reader *r, const json_t *b, const char *where)
{
	json_t *input = NULL;
	struct str id = STR_NONE, name = STR_NONE;
	if (json_want_str(b, "id", true, &id, NULL) || !id.len ||
		json_want_str(b, "name", true, &name, NULL) || !name.len ||
		json_want_obj(b, "input", true, &input, NULL))
		return wrong(r, ERR_INVALID, where,
			": id and name must be strings, input an object");
	/* texts from JSON end with a zero byte and have none inside */
	json_t *call = json_pack("{s:s, s:{s:s, s:O}}", "id", id.ptr, "function", "name", name.ptr,
		"arguments", input);
	if (!call || json_array_append_new(r->calls, call) ||
		json_object_set_new(r->tools, id.ptr, json_string(name.ptr)))
		return ERR_NOMEM;
	return OK;
}

static enum err block_thinking(struct reader *r, const json_t *b, const char *where)
{
	struct str text = STR_NONE;
	if (json_want_str(b, "thinking", true, &text, NULL))
		return wrong(r, ERR_INVALID, where, ".thinking must be a string");
	return buf_add(&r->thought, text);
}

static enum err block_redacted(struct reader *r, const json_t *b, const char *where)
{
	(void)b;
	call_warn(r->g->c, "%s: redacted thinking cannot be read here and is left out", where);
	return OK;
}

static const struct {
	const char *type;
	enum err (*user)(struct reader *r, const json_t *b, const char *where);
	enum err (*assistant)(struct reader *r, const json_t *b, const char *where);
} blocks[] = {
	{ "text", block_text, block_text },
	{ "image", block_image, NULL },
	{ "document", block_document, NULL },
	{ "tool_result", block_result, NULL },
	{ "tool_use", NULL, block_use },
	{ "thinking", NULL, block_thinking },
	{ "redacted_thinking", NULL, block_redacted },
};

static enum err read_block(struct reader *r, const json_t *b, bool user, const char *where)
{
	struct str type;
	TRY(anthropic_block_type(r->g->c, b, where, &type));
	if (json_object_get(b, "share"))
		return wrong(r, ERR_INVALID, where,
			": \"share\" stands beside a message's role, or in a block of system");
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		if (!str_eq(type, str_from(blocks[i].type)))
			continue;
		if (user ? !blocks[i].user : !blocks[i].assistant)
			return err_set(&r->g->c->info, ERR_INVALID,
				"%s: a %s block does not belong into a message of this role", where,
				blocks[i].type);
		return (user ? blocks[i].user : blocks[i].assistant)(r, b, where);
	}
	return err_set(&r->g->c->info, ERR_UNSUPPORTED,
		"%s: blocks of the type %.*s are not supported", where,
		(int)(type.len < 40 ? type.len : 40), type.ptr);
}

/* ---- messages ---- */

static enum err read_content(struct reader *r, const json_t *v, bool user, size_t at)
{
	char where[PLACE_MAX];
	snprintf(where, sizeof where, "messages[%zu].content", at);
	if (json_is_string(v))
		return add_text(r, (struct str){ json_string_value(v), json_string_length(v) });
	if (!json_is_array(v))
		return wrong(r, ERR_INVALID, where, " must be a string or a list of blocks");
	for (size_t i = 0; i < json_array_size(v); i++) {
		snprintf(where, sizeof where, "messages[%zu].content[%zu]", at, i);
		TRY(read_block(r, json_array_get(v, i), user, where));
	}
	return OK;
}

/* System text in the middle of a conversation: text alone. */
static enum err read_system_message(struct reader *r, const json_t *v, size_t at)
{
	char where[PLACE_MAX];
	struct str type;
	snprintf(where, sizeof where, "messages[%zu].content", at);
	if (json_is_string(v))
		TRY(add_text(r, (struct str){ json_string_value(v), json_string_length(v) }));
	else if (!json_is_array(v))
		return wrong(r, ERR_INVALID, where, " must be a string or a list of blocks");
	for (size_t i = 0; i < json_array_size(v); i++) {
		snprintf(where, sizeof where, "messages[%zu].content[%zu]", at, i);
		TRY(anthropic_block_type(r->g->c, json_array_get(v, i), where, &type));
		if (!str_eq(type, STR("text")))
			return wrong(r, ERR_INVALID, where, ": a system message is text alone");
		TRY(block_text(r, json_array_get(v, i), where));
	}
	gen_message_add(r->out, STR("system"), r->text.len ? buf_str(&r->text) : STR(""), r->share);
	forget(r);
	return OK;
}

static enum err read_message(struct reader *r, const json_t *m, size_t at)
{
	struct call *c = r->g->c;
	struct str role = STR_NONE, share;
	char where[PLACE_MAX];
	if (!json_is_object(m) || json_want_str(m, "role", true, &role, NULL))
		return err_set(
			&c->info, ERR_INVALID, "messages[%zu] must be an object with a role", at);
	bool user = str_eq(role, STR("user")), system = str_eq(role, STR("system"));
	if (!user && !system && !str_eq(role, STR("assistant")))
		return err_set(&c->info, ERR_INVALID,
			"messages[%zu].role must be user, assistant or system", at);
	snprintf(where, sizeof where, "messages[%zu].share", at);
	TRY(gen_share(r->g, m, where, &share));
	if (!user || !str_eq(share, r->share)) /* turns of the same role are one */
		flush_user(r);
	else if (r->any)
		TRY(add_text(r, STR("\n")));
	r->share = share;
	if (system)
		return read_system_message(r, json_object_get(m, "content"), at);
	TRY(read_content(r, json_object_get(m, "content"), user, at));
	return user ? OK : flush_assistant(r, at);
}

/* ---- system ---- */

static enum err system_block(struct reader *r, const json_t *b, size_t i)
{
	struct call *c = r->g->c;
	struct str type, text = STR_NONE, share;
	char where[PLACE_MAX];
	snprintf(where, sizeof where, "system[%zu]", i);
	TRY(anthropic_block_type(c, b, where, &type));
	if (!str_eq(type, STR("text")) || json_want_str(b, "text", true, &text, NULL))
		return wrong(r, ERR_INVALID, where, " must be a text block");
	snprintf(where, sizeof where, "system[%zu].share", i);
	TRY(gen_share(r->g, b, where, &share));
	if (r->any && !str_eq(share, r->share)) { /* what may be shared ends where it ends */
		gen_message_add(r->out, STR("system"), buf_str(&r->text), r->share);
		forget(r);
	}
	if (r->any)
		TRY(buf_add(&r->text, STR("\n")));
	r->share = share;
	return add_text(r, text);
}

static enum err read_system(struct reader *r, const json_t *system)
{
	if (!system || json_is_null(system))
		return OK;
	if (json_is_string(system))
		TRY(add_text(r,
			(struct str){ json_string_value(system), json_string_length(system) }));
	else if (!json_is_array(system))
		return wrong(
			r, ERR_INVALID, "system", " must be a string or a list of text blocks");
	for (size_t i = 0; i < json_array_size(system); i++)
		TRY(system_block(r, json_array_get(system, i), i));
	if (r->text.len)
		gen_message_add(r->out, STR("system"), buf_str(&r->text), r->share);
	forget(r);
	r->share = STR_NONE;
	return OK;
}

static bool has_text(const json_t *system)
{
	return json_is_string(system) ? json_string_length(system) > 0
				      : json_array_size(system) > 0;
}

static enum err reader_init(struct reader *r, struct gen *g)
{
	*r = (struct reader){ .g = g };
	r->text = r->thought = BUF(LIMIT_HTTP_BODY);
	gen_parts_init(&r->parts);
	r->tools = json_object();
	r->calls = json_array();
	if (!r->tools || !r->calls)
		return ERR_NOMEM;
	TRY(gen_messages_new(g->c, &r->out));
	return pictures_new(g->c, &r->pictures);
}

enum err anthropic_read_messages(struct gen *g, const json_t *body, struct gen_request *req)
{
	struct call *c = g->c;
	AUTO_READER struct reader r = { 0 };
	json_t *list = NULL;
	const json_t *system = json_object_get(body, "system");
	TRY(json_want_arr(body, "messages", true, &list, &c->info));
	size_t n = json_array_size(list);
	if (!n)
		return err_set(&c->info, ERR_INVALID, "messages must not be empty");
	TRY(reader_init(&r, g));
	TRY(read_system(&r, system));
	gen_messages_of_model(g, r.out, has_text(system));
	for (size_t i = 0; i < n; i++)
		TRY(read_message(&r, json_array_get(list, i), i));
	flush_user(&r);
	const char *last = json_string_value(json_object_get(json_array_get(list, n - 1), "role"));
	if (last && strcmp(last, "assistant") == 0)
		return err_set(&c->info, ERR_UNSUPPORTED,
			"the beginning of an answer cannot be given: the last message must be the "
			"user's");
	if (r.pictures->n && !g->model.projector_digest[0])
		return err_set(&c->info, ERR_UNSUPPORTED, "\"%s\" does not support vision",
			g->shown_model);
	pictures_give(r.pictures, req);
	req->input = gen_messages_end(r.out);
	return r.out->buf.err;
}
