/* engine/llama/backend_int.h - private to engine/llama: what its files share. */
#pragma once

#include <pthread.h>

#include "engine/llama/backend.h"
#include "engine/llama/shim.h"
#include "engine/llama/specials.h"

struct gotmpl;
struct template_cache; /* template.c */
/* A chat template: `go` or `jinja`; neither: the model's own does not work. */
struct llama_template {
	struct gotmpl *go;
	struct shim_templates *jinja;
	struct engine_think think;
};
struct llama_backend {
	struct llama_model *model;
	struct llama_adapter_lora *adapter[ENGINE_ADAPTERS_MAX]; /* the model's own */
	unsigned n_adapters;
	struct llama_context *ctx[POOLS]; /* NULL: closed */
	struct llama_context_params params[POOLS];
	struct shim_cells *cells[POOLS]; /* of ctx */
	struct llama_context *last; /* decoded in last: the logits are its */
	unsigned sections;          /* of a state, see state.h */
	const struct llama_vocab *vocab;
	struct llama_template own;  /* of the model's file */
	char no_template[SHIM_WHY]; /* why it does not work */
	struct template_cache *brought; /* by requests; NULL until the first */
	pthread_mutex_t templates_lock;
	ggml_threadpool_t pool;
	uint32_t n_threads; /* in use now; facts has all */
	bool weights_rest;  /* little is read from the mapped file: its pages may go */
	struct llama_batch batch;
	struct engine_caps caps;
	struct llama_backend_facts facts;
	bool writes; /* text; else for vectors alone: no pools, no templates */
	struct specials specials; /* the control tokens' texts */
	void (*guard)(unsigned seconds);
	struct grammar_cache *grammars; /* grammar.c; NULL until the first */
	pthread_mutex_t grammars_lock;
	struct llama_vision *vision;    /* vision.c; NULL: it does not see */
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

/* Every context is made here: the model's adapters belong to each. */
static inline enum shim_result llama_context_new(
	struct llama_backend *b, struct llama_context_params p, struct llama_context **ret)
{
	return shim_context_new(b->model, p, b->adapter, b->n_adapters, ret);
}

/* What the library says may quote any bytes and be cut anywhere: one line of valid text. */
void llama_clean(char *text);

/* prompt.c: engine_backend_ops's calls of the same names */
enum err llama_op_prompt(void *backend, const struct gen_request *g,
	struct engine_picture *const *pictures, struct engine_prompt *ret, struct err_info *info);
/* Adds the tokens of a text; `special`: control tokens may be named in it. Errors: ERR_LIMIT,
 * ERR_NOMEM. */
enum err llama_tokens(
	const struct llama_backend *b, struct str s, bool special, struct tokens *out);
/* The same with the marks that the model has at a text's beginning and end. */
enum err llama_tokens_marked(const struct llama_backend *b, struct str s, bool add, bool special,
	struct tokens *out);
enum err llama_op_piece(void *backend, int32_t token, struct buf *out);
enum err llama_op_piece_all(void *backend, int32_t token, struct buf *out);
/* infill.c: the prompt of a GEN_INFILL. Errors: ERR_UNSUPPORTED (the model has no tokens for it),
 * ERR_INVALID (extra), ERR_LIMIT, ERR_NOMEM. */
enum err llama_infill(struct llama_backend *b, const struct gen_request *g,
	struct engine_prompt *ret, struct err_info *info);
/* grammar.c */
enum err llama_op_grammar_new(
	void *backend, struct str schema, struct engine_grammar **ret, struct err_info *info);
enum err llama_op_grammar_text(
	void *backend, struct str gbnf, struct engine_grammar **ret, struct err_info *info);
void llama_op_grammar_free(void *b, struct engine_grammar *g);
enum err llama_op_grammar_mask(
	void *backend, struct engine_grammar *g, struct engine_candidate *c, size_t n);
enum err llama_op_grammar_accept(void *b, struct engine_grammar *g, int32_t token);
enum err llama_grammar_wrap(struct shim_grammar *g, struct engine_grammar **ret); /* takes g */
/* As llama_op_grammar_new(), behind a text that comes first; may be empty. */
enum err llama_grammar_behind(struct llama_backend *b, struct str first, struct str schema,
	struct engine_grammar **ret, struct err_info *info);
struct grammar_cache *grammar_cache_free(struct grammar_cache *c);
/* ask.c: what the shim is asked for, from a request. The strings are the struct's. */
struct llama_ask {
	struct shim_ask ask;
	char *messages, *tools, *schema;
};
/* `messages` may be empty. Tools: none when tool_choice says so, one when it names it.
 * Errors: ERR_INVALID, ERR_BAD_JSON, ERR_NOMEM. */
enum err llama_ask_new(const struct gen_request *g, struct str messages, struct llama_ask *ret,
	struct err_info *info);
void llama_ask_done(struct llama_ask *a);
#define AUTO_ASK [[gnu::cleanup(llama_ask_done)]]
/* chat.c */
enum err llama_op_chat_new(void *backend, const struct gen_request *g, struct engine_chat **ret,
	struct err_info *info);
void llama_op_chat_free(void *b, struct engine_chat *c);
enum err llama_op_chat_grammar(void *backend, struct engine_chat *c, struct engine_grammar **ret,
	struct err_info *info);
bool llama_op_chat_whole(void *b, struct engine_chat *c);
bool llama_op_chat_lazy(void *b, struct engine_chat *c);
struct str llama_op_chat_force(void *b, struct engine_chat *c);
bool llama_op_chat_shows(void *b, struct engine_chat *c, int32_t token);
enum err llama_op_chat_split(
	void *b, struct engine_chat *c, struct str text, bool end, struct engine_parts *parts);
