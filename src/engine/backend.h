/* engine/backend.h - what the scheduler needs from a model, so that it knows no library.
 *
 * Two backends: engine/llama (libllama) and engine/fake (a virtual clock, for tests). One thread
 * calls all of it. The memory of a model is cells; a sequence id names the cells of one text. The
 * caller keeps to the capabilities: positions of a sequence are added without gaps, a decode
 * carries at most n_batch tokens, partial removal and copying only where the caps say so. Kept
 * leaves (texts not running, held for reuse) are ordinary sequences: max_seqs counts both. */
#pragma once

#include "engine/vec.h"
#include "proto/engine.h"

struct engine_caps {
	uint32_t n_ctx;       /* cells in all */
	uint32_t n_ctx_seq;   /* positions one sequence may hold */
	uint32_t n_ctx_train; /* what the model was trained for */
	uint32_t n_batch;     /* tokens a decode may carry */
	uint32_t n_ubatch;    /* tokens computed at a time */
	uint32_t n_vocab;
	uint32_t n_seq;      /* sequences decoded together */
	uint32_t max_seqs;   /* sequence ids in all, 0..max_seqs-1 */
	uint32_t swa_window; /* positions a sliding window sees; 0: no window */
	bool shared_cells;   /* one pool for all sequences; else n_ctx_seq cells belong to each */
	bool partial_rm;     /* kv_rm of the end of a sequence works */
	bool partial_cp;     /* kv_cp of the start of a sequence works and shares the cells */
	bool can_shift;
};
struct engine_token {
	int32_t token, pos, seq;
	bool out; /* logits wanted */
};
struct engine_prompt {
	struct tokens tokens;
	bool thinking; /* the prompt ends inside the reasoning part */
};
void engine_prompt_done(struct engine_prompt *p);
struct engine_think {
	struct str start, end;
}; /* tags around reasoning; empty: the model has none */
struct engine_candidate {
	int32_t id;
	float logit, p; /* p is the sampler's scratch */
};
struct engine_grammar; /* the backend's */

struct engine_backend_ops {
	const struct engine_caps *(*caps)(void *b);
	const struct engine_think *(*think)(void *b);
	int64_t (*now_ns)(void *b); /* monotonic */
	/* The tokens of the request's input (GEN_CHAT: through the chat template). `ret` is
	 * initialised by the caller. Errors: ERR_INVALID (messages or tools the template cannot
	 * take), ERR_UNSUPPORTED (no template), ERR_LIMIT, ERR_NOMEM. */
	enum err (*prompt)(void *b, const struct gen_request *g, struct engine_prompt *ret,
		struct err_info *info);
	/* Adds the bytes a token stands for; control tokens give none. Errors: buf's. */
	enum err (*piece)(void *b, int32_t token, struct buf *out);
	bool (*is_end)(void *b, int32_t token);

	/* Computes a batch. Errors: ERR_AGAIN (no cells; nothing changed: free some or send less),
	 * ERR_INVALID (refused; nothing changed), ERR_ENGINE (the state is lost: the engine
	 * ends). */
	enum err (*decode)(void *b, const struct engine_token *v, size_t n);
	/* The row of the i-th token of the last batch, n_vocab values; the caller may change it.
	 * Valid until the next decode; NULL if it was not wanted. */
	float *(*logits)(void *b, size_t i);
	/* Removes positions [from, to) of a sequence; to < 0: to its end. False: a part cannot be
	 * removed and nothing was. Removing all (from 0, to -1) always works. */
	bool (*kv_rm)(void *b, int32_t seq, int32_t from, int32_t to);
	void (*kv_cp)(void *b, int32_t from_seq, int32_t to_seq, int32_t from, int32_t to);
	int32_t (*kv_first)(void *b, int32_t seq); /* smallest position still held; -1: none */
	void (*kv_clear)(void *b);                 /* forgets every sequence */

	/* A grammar from a JSON schema; "json" allows any object. Never one that allows everything.
	 * Errors: ERR_INVALID (detail says why), ERR_LIMIT, ERR_NOMEM. */
	enum err (*grammar_new)(
		void *b, struct str schema, struct engine_grammar **ret, struct err_info *info);
	void (*grammar_free)(void *b, struct engine_grammar *g); /* NULL is fine */
	/* Sets the logit of what is not allowed next to -INFINITY. Errors: ERR_ENGINE. */
	enum err (*grammar_mask)(
		void *b, struct engine_grammar *g, struct engine_candidate *c, size_t n);
	/* Moves past a token. Errors: ERR_INVALID (not allowed here; the grammar is of no more
	 * use). */
	enum err (*grammar_accept)(void *b, struct engine_grammar *g, int32_t token);
};
