/* engine/embed.h - texts to vectors: many requests share a batch, in turns.
 *
 * A queue beside the scheduler, over a backend that knows no IPC. One step computes one batch, made
 * of the next inputs of all requests in turn: a question of one line does not wait for somebody's
 * two thousand paragraphs. One thread calls all of it. */
#pragma once

#include "engine/vec.h"
#include "proto/embed.h"

struct embed_caps {
	uint32_t n_embd;  /* values of a row */
	uint32_t n_input; /* tokens an input may have */
	uint32_t n_batch; /* tokens worth computing together; one longer input goes alone */
	uint32_t n_seq;   /* inputs a batch may have */
	uint32_t n_vocab;
	bool ranks; /* rows are of one value: how well a document fits a query */
};
struct embed_text {
	struct tokens tokens;
	size_t cut_from, cut_to; /* what may be shortened, from its end; the model's marks stay */
};
void embed_text_done(struct embed_text *t);
struct embed_row {             /* one input of a batch */
	const int32_t *tokens; /* 1..n_input ids, each below n_vocab */
	uint32_t n;
};
struct embed_ops {
	const struct embed_caps *(*caps)(void *b);
	/* The tokens of one input with the model's marks. Errors: ERR_LIMIT, ERR_NOMEM. */
	enum err (*text)(void *b, struct str text, struct embed_text *ret);
	enum err (*marks)(void *b, const int32_t *tokens, size_t n, struct embed_text *ret);
	enum err (*pair)(void *b, struct str query, struct str document, struct embed_text *ret);
	/* n rows into `out`. Errors: ERR_INVALID (refused; nothing changed), ERR_NOMEM,
	 * ERR_ENGINE (the engine ends). */
	enum err (*compute)(void *b, const struct embed_row *v, size_t n, float *out);
	int64_t (*now_ns)(void *b); /* monotonic */
};

/* Called inside embedder_add(), _step() and _cancel(); may not call back. */
struct embed_sink {
	void (*done)(void *arg, uint64_t id, const struct embed_done *v);
	void (*failed)(void *arg, uint64_t id, const struct gen_failed *v);
	void *arg;
};

struct embedder;
/* Borrows ops and backend. Errors: ERR_NOMEM. */
enum err embedder_new(const struct embed_ops *ops, void *backend, const struct embed_sink *sink,
	struct embedder **ret);
struct embedder *embedder_free(struct embedder *e); /* no sink calls */
DEFINE_AUTO(embedder)
/* Copies the request. What is wrong with it is told to the sink. */
void embedder_add(struct embedder *e, uint64_t id, const struct embed_request *r);
bool embedder_cancel(struct embedder *e, uint64_t id); /* no sink call; false: unknown */
void embedder_cancel_all(struct embedder *e);
bool embedder_busy(const struct embedder *e);
unsigned embedder_waiting(const struct embedder *e); /* requests */
uint64_t embedder_tokens(const struct embedder *e);  /* computed so far */
/* Computes one batch. Errors: ERR_ENGINE: the engine has to end. */
enum err embedder_step(struct embedder *e);
