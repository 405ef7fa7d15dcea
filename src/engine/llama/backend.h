/* engine/llama/backend.h - the backend over libllama. See engine/backend.h for the calls. */
#pragma once

#include <stdio.h>

#include "engine/backend.h"
#include "proto/engine.h"

struct llama_backend;
extern const struct engine_backend_ops LLAMA_OPS;

/* Trusted parts: backends, CPU features, the drivers of the cards that are given and of no other.
 * Once a process, before the sandbox, with one thread; it has one again on return. Returns the
 * number of physical cores. */
uint32_t llama_backend_prepare(const struct card_use *cards, size_t n);
struct llama_backend_options { /* 0: chosen */
	uint32_t n_ctx;     /* positions of the longest request: cells of the shared pool */
	uint32_t n_ctx_own; /* positions of a stream of the own pool */
	uint32_t n_seq;     /* streams of the own pool */
	uint32_t n_threads, n_batch, n_ubatch;
	int32_t n_gpu_layers;
	unsigned n_cards;   /* 0: the processor; else those of llama_backend_prepare() */
	struct card_use card[CARDS_MAX];
	int flash;             /* -1 chosen, 0 off, 1 on; the same in both pools */
	uint32_t poll;         /* how long idle compute threads spin, 0 to 100 */
	uint64_t memory_bytes; /* what may be used in all, of what it computes in; 0: no limit */
	uint32_t cores;        /* used when n_threads is 0 */
	/* Open LoRA files (taken), each added to the model with scale 1. */
	FILE *adapter[ENGINE_ADAPTERS_MAX];
	unsigned n_adapters;
	/* Called around work whose length a foreign text decides (template, schema) with the
	 * seconds it may take, then with 0; may be NULL. */
	void (*guard)(unsigned seconds);
};
/* Loads the model from an open file (takes it); both pools are closed. Without sizes: 8,192
 * positions shared and 8 streams of 2,048, less when the model was trained for less or memory is
 * short. Flash attention: off on a CPU (many texts over one prefix are one matrix product then;
 * measured in bench/serving), on where a GPU computes. Errors: ERR_MODEL_BAD (info's detail says
 * why), ERR_UNSUPPORTED (the library does not see the cards), ERR_NOMEM. */
enum err llama_backend_new(FILE *model, const struct llama_backend_options *o,
	struct llama_backend **ret, struct err_info *info);
struct llama_backend *llama_backend_free_all(struct llama_backend *b);
/* For a model that writes: opens the own pool and computes a few tokens, so that the first request
 * finds warm pages. Errors: ERR_ENGINE, ERR_NOMEM. */
enum err llama_backend_warm_up(struct llama_backend *b);

/* Nobody asks: gives back what comes again by itself. Cheap. */
void llama_backend_rest(struct llama_backend *b);
/* Computes with so many of its threads from the next decode on. */
void llama_backend_threads(struct llama_backend *b, uint32_t n);

struct llama_backend_facts {
	uint32_t n_threads;
	uint64_t model_bytes, kv_bytes;
	bool has_template, gpu, flash;
	bool sees;          /* llama/vision.h: its projector is open */
	bool writes, ranks; /* writes false: an embedding model, it has no pools */
	uint32_t n_embd;    /* values of its vectors */
	char build[128], architecture[64], description[128];
	char template_hash[65]; /* SHA-256 of the template's source, hex */
	char cards[ENGINE_CARDS_TEXT_MAX + 1];
};
void llama_backend_facts(const struct llama_backend *b, struct llama_backend_facts *ret);
