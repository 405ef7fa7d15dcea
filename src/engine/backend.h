/* engine/backend.h - what the scheduler needs from a model, so that it knows no library.
 *
 * Two backends: engine/llama (libllama) and engine/fake (a virtual clock, for tests). One thread
 * calls all of it; what request_new() and request_count() need (caps, think, prompt, and all that
 * makes a picture, a chat or a grammar) is called by a second one at the same time, see
 * engine/beside.h. The memory of a model is cells; a sequence id names the cells of one text.
 *
 * Sequences live in one of two pools. In POOL_SHARED all cells are one pool: a copied prefix takes
 * no cells, but every token pays for every cell in use, its own or not. In POOL_OWN each sequence
 * has cells of its own (a stream): nothing is shared and nobody pays for others. So texts with a
 * common beginning run in the first, the rest in the second. A pool's memory is taken when it is
 * opened; texts move between pools, and to and from RAM, as states. Where prompts are read faster
 * with another layout of cells than answers are written, POOL_READ has that: all its cells are one
 * pool, one long prompt at a time is read there and moves on.
 *
 * The caller keeps to the capabilities: positions of a sequence are added without gaps, a decode
 * carries at most n_batch tokens of one pool, partial removal and copying only where the caps say
 * so. */
#pragma once

#include "engine/media.h"
#include "proto/engine.h"

enum engine_pool { POOL_SHARED, POOL_OWN, POOL_READ, POOLS };
struct engine_pool_caps {
	uint32_t n_cells; /* in all; 0: the backend has no such pool */
	uint32_t n_ctx;   /* positions one sequence may hold */
	uint32_t n_seq;   /* sequence ids 0..n_seq-1, kept leaves included */
};
struct engine_caps {
	struct engine_pool_caps pool[POOLS];
	uint32_t n_ctx;       /* positions the longest request may have: the larger pool's */
	uint32_t n_ctx_train; /* what the model was trained for */
	uint32_t n_batch;     /* tokens a decode may carry */
	uint32_t n_ubatch;    /* tokens computed at a time */
	uint32_t read_tile;   /* POOL_READ is slow in smaller batches than this; at least 1 */
	uint32_t n_outputs;   /* tokens of a batch whose logits may be wanted */
	uint32_t n_vocab;
	uint32_t n_run;      /* requests worth running together */
	uint32_t swa_window; /* positions a sliding window sees; 0: no window */
	uint64_t cell_bytes; /* of K and V, about */
	bool partial_rm;     /* kv_rm of a part of a sequence works */
	bool partial_cp;     /* POOL_SHARED: kv_cp of a range works and shares the cells */
	bool state;          /* state_get and state_set work; also from one pool to the other */
	bool state_part; /* a state of a part of a text (after kv_rm of its beginning) is of use; if
			    not, states are of whole texts */
};
struct engine_token {
	int32_t token, pos, seq;
	bool out; /* logits wanted */
};
struct engine_prompt {
	struct tokens tokens;
	struct media_list media; /* where pictures stand in it */
	bool thinking; /* the prompt ends inside the reasoning part */
	uint32_t n_left_out; /* tokens of gen_request.extra for which there is no room */
	/* The first so many tokens come from messages that everybody in the company, or the
	 * group (the company's included), may share: n_company <= n_group. */
	uint32_t n_company, n_group;
};
void engine_prompt_done(struct engine_prompt *p);
enum { ENGINE_TAG_MAX = 127 }; /* bytes */
/* Tags around reasoning, as a template writes them; empty: it has none. */
struct engine_think {
	char start[ENGINE_TAG_MAX + 1], end[ENGINE_TAG_MAX + 1];
};
struct engine_candidate {
	int32_t id;
	float logit, p; /* p is the sampler's scratch */
};
struct engine_grammar; /* the backend's */
/* How one answer is written by a model that is offered tools, or whose template wraps every answer:
 * which text is reasoning, answer and calls. The backend's. */
struct engine_chat;
struct engine_parts { /* borrowed buffers */
	struct buf *thought, *answer, *calls;
	bool stopped; /* the template says that the answer ends here */
};

struct engine_backend_ops {
	const struct engine_caps *(*caps)(void *b);
	/* Of the request's template, after prompt() took it. Errors: as prompt(). */
	enum err (*think)(void *b, const struct gen_request *g, struct engine_think *ret);
	int64_t (*now_ns)(void *b); /* monotonic */
	/* The tokens of the request's input (GEN_CHAT: through the chat template; GEN_INFILL: with
	 * the model's tokens for it), its pictures as picture_new() made them. `ret` is initialised
	 * by the caller. Errors: ERR_INVALID (messages or tools the template cannot take),
	 * ERR_UNSUPPORTED (no template, or no tokens to fill in between texts), ERR_LIMIT,
	 * ERR_NOMEM. */
	enum err (*prompt)(void *b, const struct gen_request *g,
		struct engine_picture *const *pictures, struct engine_prompt *ret,
		struct err_info *info);
	/* Adds the bytes a token stands for; control tokens give none. Errors: buf's. */
	enum err (*piece)(void *b, int32_t token, struct buf *out);
	bool (*is_end)(void *b, int32_t token);

	/* Takes or gives back the memory of a pool; all its sequences are empty after that. A
	 * closed pool takes no other call. Errors: ERR_NOMEM, ERR_ENGINE; then it is closed. */
	enum err (*pool_open)(void *b, enum engine_pool p);
	void (*pool_close)(void *b, enum engine_pool p);

	/* Computes a batch. Errors: ERR_AGAIN (no cells; nothing changed: free some or send less),
	 * ERR_INVALID (refused; nothing changed), ERR_ENGINE (the state is lost: the engine
	 * ends). */
	enum err (*decode)(void *b, enum engine_pool p, const struct engine_token *v, size_t n);
	/* The row of the i-th token of the last batch, n_vocab values; the caller may change it.
	 * Valid until the next decode; NULL if it was not wanted. */
	float *(*logits)(void *b, size_t i);
	/* Removes positions [from, to) of a sequence; to < 0: to its end. False: a part cannot be
	 * removed and nothing was. Removing all (from 0, to -1) always works. */
	bool (*kv_rm)(void *b, enum engine_pool p, int32_t seq, int32_t from, int32_t to);
	/* POOL_SHARED: lets `to_seq` share positions [from, to) of `from_seq`; it must hold none
	 * of them. */
	void (*kv_cp)(void *b, int32_t from_seq, int32_t to_seq, int32_t from, int32_t to);
	int32_t (*kv_first)(
		void *b, enum engine_pool p, int32_t seq); /* smallest position; -1: none */
	void (*kv_clear)(void *b, enum engine_pool p); /* forgets all; gives pages back */

	/* The state of all that a sequence holds; the caller frees *ret (mem_free). Errors:
	 * ERR_NOMEM, ERR_UNSUPPORTED (it cannot be saved). */
	enum err (*state_get)(
		void *b, enum engine_pool p, int32_t seq, void **ret, size_t *ret_size);
	/* Into an empty sequence. The bytes must be what state_get() gave to the same build and
	 * model. False: no cells for it; the sequence is empty. */
	bool (*state_set)(void *b, enum engine_pool p, int32_t seq, const void *from, size_t size);

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

	/* ---- the rest may be NULL: a backend without it ---- */

	/* Prepares a picture for this model; borrows its descriptor. Errors: ERR_UNSUPPORTED (the
	 * model does not see), ERR_INVALID (cannot be prepared), ERR_LIMIT (more rows at once than
	 * a batch holds), ERR_NOMEM. */
	enum err (*picture_new)(void *b, const struct gen_picture *g, struct engine_picture **ret,
		struct err_info *info);
	void (*picture_free)(void *b, struct engine_picture *p); /* NULL is fine */
	/* Its rows, which take a second and more: begins to compute them on a thread of its own
	 * (one at a time: ERR_BUSY); OK when they are there, ERR_AGAIN as long as they are not.
	 * Errors: ERR_NOMEM, ERR_ENGINE; asked again it says the same. */
	enum err (*picture_rows)(void *b, struct engine_picture *p);
	/* Computes rows [from, from + n) of a run whose picture is ready, at positions from
	 * m->at + from on: as decode, without logits. */
	enum err (*decode_rows)(void *b, enum engine_pool p, const struct engine_media *m,
		uint32_t from, uint32_t n, int32_t seq);

	/* A grammar from GBNF text with the rule `root`. Errors: as grammar_new. */
	enum err (*grammar_text)(
		void *b, struct str gbnf, struct engine_grammar **ret, struct err_info *info);
	/* As piece, control tokens included. */
	enum err (*piece_all)(void *b, int32_t token, struct buf *out);
	/* *ret NULL: the answer is plain text around the tags of think(). Else the text of tokens
	 * for which chat_shows() is true goes through chat_split(). Errors: as prompt. */
	enum err (*chat_new)(void *b, const struct gen_request *g, struct engine_chat **ret,
		struct err_info *info);
	void (*chat_free)(void *b, struct engine_chat *c); /* NULL is fine */
	/* The grammar that holds the calls to the tools' schemas, or the answer to the request's
	 * schema; *ret NULL: none. Errors: ERR_INVALID, ERR_NOMEM. */
	enum err (*chat_grammar)(
		void *b, struct engine_chat *c, struct engine_grammar **ret, struct err_info *info);
	/* Does chat_split() want the reasoning as well, or only what follows it? And does its
	 * grammar rule from the first call on, rather than from the first token? */
	bool (*chat_whole)(void *b, struct engine_chat *c);
	bool (*chat_lazy)(void *b, struct engine_chat *c);
	/* Text with which the answer has to begin, behind its reasoning: a call was asked for. */
	struct str (*chat_force)(void *b, struct engine_chat *c);
	/* Must the text of this control token reach chat_split()? */
	bool (*chat_shows)(void *b, struct engine_chat *c, int32_t token);
	/* Adds what the answer's next characters turned out to be: text of the reasoning, text of
	 * the answer; with `end` also the calls, a JSON array. Markup appears in none of them.
	 * Errors: ERR_BAD_JSON (with `end`: the rest could not be read and went to the answer as it
	 * is), ERR_NOMEM, ERR_ENGINE, buf's. */
	enum err (*chat_split)(void *b, struct engine_chat *c, struct str text, bool end,
		struct engine_parts *parts);
};
