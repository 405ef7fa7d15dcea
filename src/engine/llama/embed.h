/* engine/llama/embed.h - vectors and scores over libllama; see engine/embed.h for the calls.
 *
 * A context of its own beside the pools of generation: pooling as the model says (mean where it
 * says nothing), several inputs of a batch as several sequences, flash attention only for inputs
 * over 1,024 tokens (it rounds K and V to 16 bits). */
#pragma once

#include "engine/embed.h"
#include "engine/llama/backend.h"

struct llama_embed;
struct llama_model;
extern const struct embed_ops LLAMA_EMBED_OPS;

/* What the file says about the model, without a context: does it write text, rank documents, how
 * many values has a vector. Errors: ERR_MODEL_BAD (neither), info says why. */
struct llama_embed_kind {
	bool writes, ranks;
	uint32_t n_embd;
};
enum err llama_embed_kind(
	const struct llama_model *m, struct llama_embed_kind *ret, struct err_info *info);

/* Makes the context; borrows the backend. Inputs may have as many tokens as the model was trained
 * for, at most 8,192, less when memory is short or `n_input` (0: chosen) says so.
 * Errors: ERR_MODEL_BAD (info says why), ERR_NOMEM. */
enum err llama_embed_new(struct llama_backend *b, uint32_t n_input, uint64_t memory_bytes,
	struct llama_embed **ret, struct err_info *info);
struct llama_embed *llama_embed_free(struct llama_embed *e);
uint64_t llama_embed_bytes(const struct llama_embed *e); /* of the context, measured */
