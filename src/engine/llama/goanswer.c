/* Answers of a model that was offered tools by a template in Go. Nothing holds a free answer to a
 * form: such a template shows one by example only. Where a call is required, a grammar holds it to
 * the tools' schemas. */
#include <string.h>

#include "base/fault.h"
#include "base/json.h"
#include "engine/llama/template.h"
#include "gotmpl/gotmpl_tools.h"

struct go_answer {
	struct gotools *tools;
	struct buf tag;    /* before a call */
	struct buf schema; /* of a call that is required; else empty */
	struct engine_think think;
	bool one_call;
};

struct go_answer *go_answer_free(struct go_answer *a)
{
	if (!a)
		return NULL;
	gotools_free(a->tools);
	buf_done(&a->tag);
	buf_wipe(&a->schema);
	mem_free(a);
	return NULL;
}

/* {"anyOf": [{"name": NAME, "arguments": ITS SCHEMA}, ..]} */
static void put_schema(const json_t *tools, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "anyOf");
	jw_arr(&w);
	for (size_t i = 0; i < json_array_size(tools); i++) {
		const json_t *f = json_object_get(json_array_get(tools, i), "function");
		jw_obj(&w);
		jw_kstr(&w, "type", STR("object"));
		jw_key(&w, "properties");
		jw_obj(&w);
		jw_key(&w, "name");
		jw_obj(&w);
		jw_key(&w, "const");
		jw_json(&w, json_object_get(f, "name"));
		jw_end(&w);
		jw_key(&w, "arguments");
		jw_json(&w, json_object_get(f, "parameters"));
		jw_end(&w);
		jw_key(&w, "required");
		jw_raw(&w, STR("[\"name\",\"arguments\"]"));
		jw_kbool(&w, "additionalProperties", false);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
}

enum err go_answer_new(const struct llama_template *t, const struct shim_ask *ask,
	struct go_answer **ret, struct err_info *info)
{
	AUTO_JSON json_t *tools = NULL;
	AUTO(go_answer) struct go_answer *a = mem_zalloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->tag = BUF(LIMIT_TEMPLATE);
	a->schema = BUF(LIMIT_IPC_BULK);
	a->think = t->think;
	a->one_call = ask->one_call;
	TRY(json_read(str_from(ask->tools), LIMIT_IPC_BULK, JSON_DEPTH_DEFAULT, &tools, info));
	TRY(buf_add(&a->tag, gotmpl_call_tag(t->go)));
	TRY(gotools_new(buf_str(&a->tag), tools, &a->tools));
	if (!strcmp(ask->choice, "required"))
		put_schema(tools, &a->schema);
	TRY(a->schema.err);
	*ret = TAKE(a);
	return OK;
}

/* A bracket alone is the call's own beginning. */
static struct str tag_of(const struct go_answer *a)
{
	struct str tag = buf_str(&a->tag);
	return str_eq(tag, STR("{")) || str_eq(tag, STR("[")) ? STR_NONE : tag;
}

struct str go_answer_force(const struct go_answer *a)
{
	return a->schema.len ? tag_of(a) : STR_NONE;
}

enum err go_answer_grammar(struct llama_backend *b, const struct go_answer *a,
	struct engine_grammar **ret, struct err_info *info)
{
	return a->schema.len ? llama_grammar_behind(b, tag_of(a), buf_str(&a->schema), ret, info)
			     : OK;
}

/* A tag may be a control token, which has no text for people. */
bool go_answer_shows(struct llama_backend *b, const struct go_answer *a, int32_t token)
{
	AUTO_BUF struct buf text = BUF(LIMIT_TEMPLATE);
	if (llama_op_piece_all(b, token, &text) || !text.len)
		return false;
	struct str s = buf_str(&text);
	return str_find(buf_str(&a->tag), s, 0) != SIZE_MAX ||
	       str_eq(s, str_from(a->think.start)) || str_eq(s, str_from(a->think.end));
}

enum err go_answer_split(
	struct go_answer *a, struct str text, bool end, struct engine_parts *parts)
{
	bool lost = false;
	TRY(gotools_add(a->tools, text, end, parts->answer, &lost));
	parts->stopped = a->one_call && gotools_count(a->tools) > 0;
	if (end)
		TRY(gotools_calls(a->tools, parts->calls));
	return lost ? ERR_BAD_JSON : OK;
}
