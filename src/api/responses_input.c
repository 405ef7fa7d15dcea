/* Input of a Response: everything that a client may send as an item, checked, and written as it is
 * kept. Pure but for warnings. What comes out is read again by responses_talk.c, also when it comes
 * back from the database. */
#include "api/responses.h"

#include <stdio.h>

enum { PLACE_MAX = 96, TYPE_SHOWN = 40 };

struct reader {
	struct gen *g;
	struct call *c;
	struct jw w; /* the list of items, open */
};

static enum err wrong(struct reader *r, enum err e, const char *where, const char *text)
{
	return err_set(&r->c->info, e, "%s%s", where, text);
}

static struct str str_of(const json_t *v)
{
	return (struct str){ json_string_value(v), json_string_length(v) };
}

/* `known`: words with a blank before and behind each. */
static void warn_unknown(struct reader *r, const json_t *o, const char *where, const char *known)
{
	const char *field;
	json_t *v;
	char word[64];
	json_object_foreach((json_t *)(uintptr_t)o, field, v)
	{
		snprintf(word, sizeof word, " %.40s ", field);
		if (!json_is_null(v) && !strstr(known, word))
			call_warn(r->c, "%s.%.40s is ignored", where, field);
	}
}

/* ---- what items have in common ---- */

static bool is_id(struct str s)
{
	if (!s.len || s.len > RESP_ITEM_ID_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char ch = s.ptr[i];
		if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') &&
			!(ch >= '0' && ch <= '9') && ch != '_' && ch != '-')
			return false;
	}
	return true;
}

/* Opens it: type, id (the client's, or a new one), status. */
static enum err begin_item(
	struct reader *r, const json_t *o, const char *where, const char *type, const char *prefix)
{
	struct str id = STR_NONE, status = STR_NONE;
	char own[RESP_ID_MAX];
	if (json_want_str(o, "id", false, &id, NULL) || (id.ptr && !is_id(id)))
		return wrong(r, ERR_INVALID, where,
			".id must be a string of at most 64 letters, digits, _ and -");
	if (json_want_str(o, "status", false, &status, NULL) ||
		(status.ptr && !str_eq(status, STR("completed")) &&
			!str_eq(status, STR("incomplete")) &&
			!str_eq(status, STR("in_progress"))))
		return wrong(r, ERR_INVALID, where,
			".status must be completed, incomplete or in_progress");
	resp_new_id(prefix, own);
	jw_obj(&r->w);
	jw_kstr(&r->w, "type", str_from(type));
	jw_kstr(&r->w, "id", id.ptr ? id : str_from(own));
	jw_kstr(&r->w, "status", status.ptr ? status : STR("completed"));
	return OK;
}

static enum err part_type(struct reader *r, const json_t *part, const char *where, struct str *ret)
{
	if (!json_is_object(part) || json_want_str(part, "type", true, ret, NULL))
		return wrong(r, ERR_INVALID, where, " must be an object with a type");
	return OK;
}

static enum err no_such_part(struct reader *r, struct str type, const char *where, const char *may)
{
	return err_set(&r->c->info, ERR_UNSUPPORTED, "%s: %s, not %.*s", where, may,
		(int)(type.len < TYPE_SHOWN ? type.len : TYPE_SHOWN), type.ptr);
}

/* ---- parts ---- */

static void put_text(struct reader *r, const char *type, struct str text)
{
	jw_obj(&r->w);
	jw_kstr(&r->w, "type", str_from(type));
	jw_kstr(&r->w, "text", text.ptr ? text : STR(""));
	if (type[0] == 'o') { /* output_text */
		jw_key(&r->w, "annotations");
		jw_raw(&r->w, STR("[]"));
	}
	jw_end(&r->w);
}

static enum err text_part(struct reader *r, const json_t *part, const char *where, const char *type)
{
	struct str text = STR_NONE;
	if (json_want_str(part, "text", true, &text, NULL))
		return wrong(r, ERR_INVALID, where, ".text must be a string");
	/* of output_text the rest is what the server said itself */
	warn_unknown(r, part, where, " type text annotations logprobs ");
	put_text(r, type, text);
	return OK;
}

/* The picture stays in the item as it came: it is looked at again with every answer that goes on
 * from this one. */
static enum err image_part(struct reader *r, const json_t *part, const char *where)
{
	struct str url = STR_NONE, detail = STR_NONE, file = STR_NONE;
	if (json_want_str(part, "file_id", false, &file, NULL) || file.ptr)
		return wrong(r, ERR_UNSUPPORTED, where, ".file_id: there are no stored files");
	if (json_want_str(part, "image_url", true, &url, NULL))
		return wrong(r, ERR_INVALID, where, ".image_url must be a string");
	if (!str_starts(url, STR("data:")))
		return wrong(r, ERR_INVALID, where,
			".image_url: a picture comes as \"data:image/png;base64,..\"; addresses "
			"are not fetched");
	if (json_want_str(part, "detail", false, &detail, NULL) ||
		(detail.ptr && !str_eq(detail, STR("auto")) && !str_eq(detail, STR("low")) &&
			!str_eq(detail, STR("high")) && !str_eq(detail, STR("original"))))
		return wrong(
			r, ERR_INVALID, where, ".detail must be auto, low, high or original");
	if (detail.ptr && !str_eq(detail, STR("auto")))
		call_warn(r->c, "%s.detail has no effect here", where);
	warn_unknown(r, part, where, " type image_url file_id detail ");
	jw_obj(&r->w);
	jw_kstr(&r->w, "type", STR("input_image"));
	jw_kstr(&r->w, "image_url", url);
	jw_kstr(&r->w, "detail", detail.ptr ? detail : STR("auto"));
	jw_end(&r->w);
	return OK;
}

static enum err input_part(struct reader *r, const json_t *part, const char *where)
{
	struct str type = STR_NONE;
	TRY(part_type(r, part, where, &type));
	if (str_eq(type, STR("input_text")))
		return text_part(r, part, where, "input_text");
	if (str_eq(type, STR("input_image")))
		return image_part(r, part, where);
	return no_such_part(
		r, type, where, "only input_text and input_image parts are supported");
}

static enum err output_part(struct reader *r, const json_t *part, const char *where)
{
	struct str type = STR_NONE, text = STR_NONE;
	TRY(part_type(r, part, where, &type));
	if (str_eq(type, STR("output_text")))
		return text_part(r, part, where, "output_text");
	if (!str_eq(type, STR("refusal")))
		return no_such_part(r, type, where,
			"an assistant's message has output_text and refusal parts");
	if (json_want_str(part, "refusal", true, &text, NULL))
		return wrong(r, ERR_INVALID, where, ".refusal must be a string");
	warn_unknown(r, part, where, " type refusal ");
	jw_obj(&r->w);
	jw_kstr(&r->w, "type", STR("refusal"));
	jw_kstr(&r->w, "refusal", text);
	jw_end(&r->w);
	return OK;
}

typedef enum err (*part_fn)(struct reader *r, const json_t *part, const char *where);

/* A list of parts under `key`. */
static enum err put_parts(struct reader *r, const json_t *list, const char *where, const char *key,
	part_fn part)
{
	char place[PLACE_MAX];
	jw_key(&r->w, key);
	jw_arr(&r->w);
	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(place, sizeof place, "%s.%s[%zu]", where, key, i);
		TRY(part(r, json_array_get(list, i), place));
	}
	jw_end(&r->w);
	return OK;
}

/* ---- items ---- */

static enum err put_message(struct reader *r, const json_t *m, const char *where)
{
	static const char *const roles[] = { "user", "assistant", "system", "developer" };
	const json_t *content = json_object_get(m, "content");
	struct str role = STR_NONE, share;
	char place[PLACE_MAX];
	bool known = false;
	if (json_want_str(m, "role", true, &role, NULL))
		return wrong(r, ERR_INVALID, where, ".role must be a string");
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		known |= str_eq(role, str_from(roles[i]));
	if (!known)
		return wrong(r, ERR_INVALID, where,
			".role must be user, assistant, system or developer");
	bool said = str_eq(role, STR("assistant"));
	snprintf(place, sizeof place, "%s.share", where);
	TRY(gen_share(r->g, m, place, &share));
	warn_unknown(r, m, where, " type id status role content share ");
	TRY(begin_item(r, m, where, "message", "msg_"));
	jw_kstr(&r->w, "role", role);
	if (share.len)
		jw_kstr(&r->w, "share", share);
	if (json_is_string(content)) {
		jw_key(&r->w, "content");
		jw_arr(&r->w);
		put_text(r, said ? "output_text" : "input_text", str_of(content));
		jw_end(&r->w);
	} else if (json_is_array(content)) {
		TRY(put_parts(r, content, where, "content", said ? output_part : input_part));
	} else {
		return wrong(
			r, ERR_INVALID, where, ".content must be a string or a list of parts");
	}
	jw_end(&r->w);
	return OK;
}

static enum err put_call(struct reader *r, const json_t *o, const char *where)
{
	struct str call = STR_NONE, name = STR_NONE, args = STR_NONE;
	AUTO_JSON json_t *doc = NULL;
	if (json_want_str(o, "call_id", true, &call, NULL) || !call.len ||
		json_want_str(o, "name", true, &name, NULL) || !name.len ||
		json_want_str(o, "arguments", true, &args, NULL))
		return wrong(r, ERR_INVALID, where,
			": call_id, name and arguments must be strings that say something");
	if (json_read(args.len ? args : STR("{}"), LIMIT_HTTP_BODY, JSON_DEPTH_DEFAULT, &doc,
		    NULL) ||
		!json_is_object(doc))
		return wrong(r, ERR_INVALID, where, ".arguments must be a JSON object");
	warn_unknown(r, o, where, " type id status call_id name arguments ");
	TRY(begin_item(r, o, where, "function_call", "fc_"));
	jw_kstr(&r->w, "call_id", call);
	jw_kstr(&r->w, "name", name);
	jw_kstr(&r->w, "arguments", args.len ? args : STR("{}"));
	jw_end(&r->w);
	return OK;
}

static enum err put_call_output(struct reader *r, const json_t *o, const char *where)
{
	const json_t *output = json_object_get(o, "output");
	struct str call = STR_NONE;
	if (json_want_str(o, "call_id", true, &call, NULL) || !call.len)
		return wrong(r, ERR_INVALID, where, ".call_id must be a string");
	if (!json_is_string(output) && !json_is_array(output))
		return wrong(r, ERR_INVALID, where, ".output must be a string or a list of parts");
	warn_unknown(r, o, where, " type id status call_id output ");
	TRY(begin_item(r, o, where, "function_call_output", "fco_"));
	jw_kstr(&r->w, "call_id", call);
	if (json_is_string(output))
		jw_kstr(&r->w, "output", str_of(output));
	else
		TRY(put_parts(r, output, where, "output", input_part));
	jw_end(&r->w);
	return OK;
}

static enum err thought_part(
	struct reader *r, const json_t *part, const char *where, const char *want)
{
	struct str type = STR_NONE;
	TRY(part_type(r, part, where, &type));
	if (!str_eq(type, str_from(want)))
		return err_set(&r->c->info, ERR_INVALID, "%s.type must be %s", where, want);
	return text_part(r, part, where, want);
}

static enum err summary_part(struct reader *r, const json_t *part, const char *where)
{
	return thought_part(r, part, where, "summary_text");
}

static enum err reasoning_part(struct reader *r, const json_t *part, const char *where)
{
	return thought_part(r, part, where, "reasoning_text");
}

static bool list_or_none(const json_t *v)
{
	return !v || json_is_null(v) || json_is_array(v);
}

static enum err put_reasoning(struct reader *r, const json_t *o, const char *where)
{
	const json_t *summary = json_object_get(o, "summary");
	const json_t *content = json_object_get(o, "content");
	const json_t *sealed = json_object_get(o, "encrypted_content");
	if (!list_or_none(summary) || !list_or_none(content))
		return wrong(r, ERR_INVALID, where, ": summary and content must be lists");
	if (sealed && !json_is_null(sealed))
		call_warn(r->c, "%s.encrypted_content cannot be read here and is left out", where);
	warn_unknown(r, o, where, " type id status summary content encrypted_content ");
	TRY(begin_item(r, o, where, "reasoning", "rs_"));
	TRY(put_parts(r, summary, where, "summary", summary_part));
	TRY(put_parts(r, content, where, "content", reasoning_part));
	jw_end(&r->w);
	return OK;
}

static enum err put_reference(struct reader *r, const json_t *o, const char *where)
{
	(void)o;
	return wrong(r, ERR_UNSUPPORTED, where,
		": item_reference is not supported: send the item itself, or use "
		"previous_response_id");
}

static const struct {
	const char *type;
	enum err (*put)(struct reader *r, const json_t *o, const char *where);
} kinds[] = {
	{ "message", put_message },
	{ "function_call", put_call },
	{ "function_call_output", put_call_output },
	{ "reasoning", put_reasoning },
	{ "item_reference", put_reference },
};

static enum err put_item(struct reader *r, const json_t *o, size_t at)
{
	char where[PLACE_MAX];
	struct str type = STR("message");
	snprintf(where, sizeof where, "input[%zu]", at);
	if (!json_is_object(o) || json_want_str(o, "type", false, &type, NULL))
		return wrong(r, ERR_INVALID, where, " must be an object with a type");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (str_eq(type, str_from(kinds[i].type)))
			return kinds[i].put(r, o, where);
	return err_set(&r->c->info, ERR_UNSUPPORTED,
		"%s: items of the type %.*s are not supported", where,
		(int)(type.len < TYPE_SHOWN ? type.len : TYPE_SHOWN), type.ptr);
}

enum err resp_input(struct gen *g, const json_t *input, struct buf *out)
{
	struct reader r = { .g = g, .c = g->c };
	jw_init(&r.w, out);
	jw_arr(&r.w);
	if (json_is_string(input)) {
		AUTO_JSON json_t *one = json_pack("{s:s, s:O}", "role", "user", "content", input);
		if (!one)
			return ERR_NOMEM;
		TRY(put_item(&r, one, 0));
	} else if (json_is_array(input)) {
		if (!json_array_size(input))
			return wrong(&r, ERR_INVALID, "input", " must not be empty");
		for (size_t i = 0; i < json_array_size(input); i++)
			TRY(put_item(&r, json_array_get(input, i), i));
	} else {
		return wrong(&r, ERR_INVALID, "input", " must be a string or a list of items");
	}
	jw_end(&r.w);
	if (out->err == ERR_LIMIT)
		return wrong(&r, ERR_TOO_LARGE, "input", " is too large");
	return out->err;
}
