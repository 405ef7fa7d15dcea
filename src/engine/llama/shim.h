/* engine/llama/shim.h - the C++ parts of llama.cpp behind C, with every exception caught.
 *
 * Chat templates (Jinja) and JSON schema to grammar exist only as C++ in llama-common; of libllama
 * itself those calls stand here that may throw. A reason goes into `why` (cut, terminated): it may
 * quote the request it is about, so it goes to whoever sent that and never to a log. */
#pragma once

#include <llama.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum shim_result { SHIM_OK, SHIM_INVALID, SHIM_NOMEM, SHIM_FAILED };
enum { SHIM_WHY = 300 };

/* Once, before the sandbox: backends, CPU features, time zone; llama-common's log thread ends.
 * Returns the number of physical cores. */
uint32_t shim_init(bool cards); /* false: no card's module is loaded */
/* Version of the library and hash of its source tree. */
void shim_build(char *ret, size_t size);
/* The last error the library logged; empty if none since the last call. */
void shim_last_error(char *ret, size_t size);

enum shim_result shim_model_load(FILE *file, struct llama_model_params p, struct llama_model **ret);
/* Reads a LoRA file for the model, which owns it from then on. Before its first context: what a
 * graph may hold is counted there. Leaves the file open. */
enum shim_result shim_adapter_load(
	FILE *file, struct llama_model *m, struct llama_adapter_lora **ret);
/* With all of these adapters, at scale 1. */
enum shim_result shim_context_new(struct llama_model *m, struct llama_context_params p,
	struct llama_adapter_lora **adapters, size_t n_adapters, struct llama_context **ret);
/* Which memory a context's cells and the mapped weights take: learned from the first batch it
 * computes. The library fills the cells with zeros, so all of them are resident before anything
 * lies in them; of weights that it lays out anew for this CPU the file's pages stay beside the
 * copy. */
struct shim_cells;
/* Into p. */
enum shim_result shim_cells_new(struct llama_context_params *p, struct shim_cells **ret);
void shim_cells_free(struct shim_cells *c); /* after its context; NULL is fine */
/* Gives the pages back; they read as zeros and are taken again when they are written. No cell may
 * be in use. Only memory of the machine itself, not a card's. */
void shim_cells_release(struct shim_cells *c);
/* Lets go of the mapped file's pages; those that are read come back from the page cache. */
void shim_weights_release(struct shim_cells *c);
void shim_context_bytes(const struct llama_context *c, uint64_t *ret_model, uint64_t *ret_kv,
	uint64_t *ret_compute);
/* llama_decode()'s values; -100 for an exception. */
int shim_decode(struct llama_context *c, struct llama_batch b);
/* Bytes that grow: room for `more` beyond n, or false. The caller's memory. */
struct shim_bytes {
	uint8_t *ptr;
	size_t n, cap;
	bool (*grow)(struct shim_bytes *b, size_t more);
};
/* Appends what llama_state_seq_get_data() would write of a sequence, and faster. SHIM_INVALID: it
 * has no cells. On an error `to` holds a part. */
enum shim_result shim_state_get(struct llama_context *c, int32_t seq, struct shim_bytes *to);
/* What llama_state_seq_set_data() does, from pieces that lie one behind the other. Anything but
 * SHIM_OK: the sequence may hold a part. */
struct state_piece;
enum shim_result shim_state_set(
	struct llama_context *c, int32_t seq, const struct state_piece *v, size_t n);
/* A pool of the CPU backend, however that was loaded; NULL if it has none. */
ggml_threadpool_t shim_threadpool_new(int n_threads, uint32_t poll);
struct shim_text {
	const char *ptr;
	size_t len;
};
/* Token count, or less than 0: minus the room needed; INT32_MIN: failed. `add`: with the marks that
 * the model has at a text's beginning and end; `special`: control tokens may be named in it. */
int32_t shim_tokenize(const struct llama_vocab *v, struct shim_text text, int32_t *tokens,
	int32_t max, bool add, bool special);
int32_t shim_piece(
	const struct llama_vocab *v, int32_t token, char *buf, int32_t size, bool special);

struct shim_quantize_wish {
	const char *in, *out; /* names */
	uint32_t type;        /* enum llama_ftype */
	int32_t threads;
	void (*progress)(void *arg, uint64_t done, uint64_t all); /* on the calling thread */
	void *arg;
};
/* Takes the library's log for itself: for a process that does nothing else. SHIM_INVALID: the
 * library says in `why` what it did not like. */
enum shim_result shim_quantize(const struct shim_quantize_wish *w, char why[SHIM_WHY]);

/* ---- chat templates ---- */

struct shim_templates;
/* `source` NULL: the model's own template, or one that fits its vocabulary. */
enum shim_result shim_templates_new(const struct llama_model *m, const char *source,
	struct shim_templates **ret, char why[SHIM_WHY]);
void shim_templates_free(struct shim_templates *t);
bool shim_templates_fits(
	const struct shim_templates *t); /* the model's own, or made for its tokens */
const char *shim_templates_source(const struct shim_templates *t);
const char *shim_templates_think(const struct shim_templates *t, bool end); /* "" if none */
struct shim_ask {
	const char *messages; /* JSON array in OpenAI's form */
	const char *tools;    /* JSON array, or "" */
	const char *choice;   /* "auto", "required" or "none" */
	const char *schema;   /* the answer's, or "" */
	bool one_call;
	int think;       /* enum gen_think */
	bool generation; /* the prompt ends where the model goes on */
};
/* Renders a prompt. `part` gets the text piece by piece; `input` tells text of the messages from
 * text of the template. */
enum shim_result shim_render(const struct shim_templates *t, const struct shim_ask *ask,
	void (*part)(void *arg, const char *text, size_t len, bool input), void *arg,
	char why[SHIM_WHY]);

/* ---- grammars ---- */

struct shim_grammar;
/* GBNF for a JSON schema; the caller frees *ret with free(). */
enum shim_result shim_schema(const char *schema, char **ret, char why[SHIM_WHY]);
enum shim_result shim_grammar_new(const struct llama_vocab *v, const char *gbnf,
	struct shim_grammar **ret, char why[SHIM_WHY]);
enum shim_result shim_grammar_clone(const struct shim_grammar *g, struct shim_grammar **ret);
void shim_grammar_free(struct shim_grammar *g); /* NULL is fine */
enum shim_result shim_grammar_mask(struct shim_grammar *g, llama_token_data_array *c);
/* SHIM_INVALID: the token is not allowed here. */
enum shim_result shim_grammar_accept(struct shim_grammar *g, int32_t token);
/* Does a new grammar allow every text, or none but the empty one? */
enum shim_result shim_grammar_probe(const struct shim_grammar *g, bool *ret_all, bool *ret_none);

/* ---- answers with calls ---- */

struct shim_chat; /* one answer being read */
/* *ret NULL: the template's answers are plain text around the reasoning tags. The messages are not
 * looked at. */
enum shim_result shim_chat_new(const struct shim_templates *t, const struct shim_ask *ask,
	struct shim_chat **ret, char why[SHIM_WHY]);
void shim_chat_free(struct shim_chat *c); /* NULL is fine */
bool shim_chat_shows(const struct shim_chat *c, int32_t token);
bool shim_chat_whole(const struct shim_chat *c); /* reads the reasoning as well */
bool shim_chat_lazy(const struct shim_chat *c);  /* its grammar rules from the first call on */
const char *shim_chat_force(const struct shim_chat *c); /* what begins the answer; "" nothing */
/* *ret NULL: nothing to hold the answer to. */
enum shim_result shim_chat_grammar(
	const struct shim_chat *c, struct shim_grammar **ret, char why[SHIM_WHY]);
enum shim_part { SHIM_THOUGHT, SHIM_ANSWER, SHIM_CALLS };
/* Reads on. `part` gets new text, with `end` the calls as a JSON array of {id, name, arguments}
 * (arguments: an object). *stopped: the answer ends here, by the template or because the one call
 * that was allowed is whole. SHIM_INVALID: with `end`, what was written does not follow the
 * template; what could not be read went to `part` as SHIM_ANSWER, as it is. */
enum shim_result shim_chat_split(struct shim_chat *c, const char *text, size_t len, bool end,
	void (*part)(void *arg, enum shim_part kind, const char *text, size_t len), void *arg,
	bool *stopped);

#ifdef __cplusplus
}
#endif
