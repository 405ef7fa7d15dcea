/* engine/llama/backend_int.h - private to engine/llama: what its files share. */
#pragma once

#include "engine/llama/backend.h"
#include "engine/llama/shim.h"

struct llama_backend {
	struct llama_model *model;
	struct llama_context *ctx[POOLS]; /* NULL: closed */
	struct llama_context_params params[POOLS];
	struct llama_context *last; /* decoded in last: the logits are its */
	unsigned sections;          /* of a state, see state.h */
	const struct llama_vocab *vocab;
	struct shim_templates *templates; /* NULL: none that works */
	char no_template[SHIM_WHY];       /* why not */
	ggml_threadpool_t pool;
	struct llama_batch batch;
	struct engine_caps caps;
	struct engine_think think;
	struct llama_backend_facts facts;
	bool writes; /* text; else for vectors alone: no pools, no templates */
	bool special_first[256]; /* first bytes of control tokens' texts */
	void (*guard)(unsigned seconds);
};

static inline struct llama_backend *llama_self(void *b)
{
	return b;
}

/* Seconds a foreign text's work may take; 0: over. */
static inline void llama_guard(struct llama_backend *b, unsigned seconds)
{
	if (b->guard)
		b->guard(seconds);
}

/* What the library says may quote any bytes and be cut anywhere: one line of valid text. */
void llama_clean(char *text);

/* prompt.c: engine_backend_ops's calls of the same names */
enum err llama_op_prompt(void *backend, const struct gen_request *g, struct engine_prompt *ret,
	struct err_info *info);
/* Adds the tokens of a text; `special`: control tokens may be named in it. Errors: ERR_LIMIT,
 * ERR_NOMEM. */
enum err llama_tokens(
	const struct llama_backend *b, struct str s, bool special, struct tokens *out);
enum err llama_op_piece(void *backend, int32_t token, struct buf *out);
/* grammar.c */
enum err llama_op_grammar_new(
	void *backend, struct str schema, struct engine_grammar **ret, struct err_info *info);
void llama_op_grammar_free(void *b, struct engine_grammar *g);
enum err llama_op_grammar_mask(
	void *backend, struct engine_grammar *g, struct engine_candidate *c, size_t n);
enum err llama_op_grammar_accept(void *b, struct engine_grammar *g, int32_t token);
