/* JSON schema to a grammar of libllama's. */
#include "engine/llama/backend_int.h"

#include <string.h>

#include "base/fault.h"
#include "base/json.h"

enum {
	SCHEMA_SECONDS = 5,
	SCHEMA_MAX = 256 * 1024,
	GBNF_MAX = 2 * 1024 * 1024,
};
struct engine_grammar {
	struct llama_sampler *g;
};

static enum err compile(
	struct llama_backend *b, struct str schema, char **ret_gbnf, struct err_info *info)
{
	AUTO_MEM char *text = NULL;
	char why[SHIM_WHY] = "";
	if (str_eq(schema, STR("json"))) {
		TRY(str_dup(STR("{\"type\":\"object\"}"), &text));
	} else {
		AUTO_JSON json_t *check = NULL;
		if (schema.len > SCHEMA_MAX)
			return err_set(
				info, ERR_INVALID, "schema: longer than %d bytes", SCHEMA_MAX);
		TRY(json_read(schema, SCHEMA_MAX, JSON_DEPTH_DEFAULT, &check, info));
		if (!json_is_object(check) || !json_object_size(check))
			return err_set(info, ERR_INVALID,
				"schema: must be an object that demands something");
		TRY(str_dup(schema, &text));
	}
	enum shim_result e = shim_schema(text, ret_gbnf, why);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID, "schema: %s", why);
	if (strlen(*ret_gbnf) > GBNF_MAX)
		return err_set(info, ERR_INVALID, "schema: its grammar is too large");
	return OK;
}

enum err llama_op_grammar_new(
	void *backend, struct str schema, struct engine_grammar **ret, struct err_info *info)
{
	struct llama_backend *b = llama_self(backend);
	AUTO_MEM char *gbnf = NULL;
	struct engine_grammar *g = mem_zalloc(1, sizeof *g);
	if (!g)
		return ERR_NOMEM;
	llama_guard(b, SCHEMA_SECONDS);
	enum err e = compile(b, schema, &gbnf, info);
	if (!e && shim_grammar_new(b->vocab, gbnf, &g->g) != SHIM_OK)
		e = err_set(info, ERR_INVALID, "schema: no grammar can be made of it");
	llama_guard(b, 0);
	if (e) {
		mem_free(g);
		return e;
	}
	*ret = g;
	return OK;
}

void llama_op_grammar_free(void *b, struct engine_grammar *g)
{
	(void)b;
	if (g)
		llama_sampler_free(g->g);
	mem_free(g);
}

_Static_assert(
	sizeof(struct engine_candidate) == sizeof(llama_token_data), "candidates are handed on");

enum err llama_op_grammar_mask(
	void *backend, struct engine_grammar *g, struct engine_candidate *c, size_t n)
{
	struct llama_backend *b = llama_self(backend);
	llama_token_data_array a = { (llama_token_data *)c, n, -1, false };
	llama_guard(b, SCHEMA_SECONDS);
	enum shim_result e = shim_grammar_mask(g->g, &a);
	llama_guard(b, 0);
	return e ? ERR_ENGINE : OK;
}

enum err llama_op_grammar_accept(void *b, struct engine_grammar *g, int32_t token)
{
	(void)b;
	return shim_grammar_accept(g->g, token) ? ERR_INVALID : OK;
}
