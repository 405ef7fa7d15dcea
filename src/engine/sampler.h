/* engine/sampler.h - picks the next token from logits, with all of Ollama's options.
 *
 * Order as llama.cpp's default: penalties, top_k, typical_p, top_p, min_p, temperature, draw;
 * mirostat 1 and 2 replace all after the penalties. Pure C over one row of logits, because a list
 * of all candidates, as libllama's chain builds it, costs more than the rest of a step for a
 * large vocabulary: top_k and the maximum are found in one pass over the row.
 * Randomness is a function of seed and position alone, so that a request continued after a crash
 * draws the same numbers. Temperature 0 takes the most likely token (the lowest id among equals).
 * Penalties: arXiv 1909.05858 as corrected in llama.cpp; mirostat: arXiv 2007.14966;
 * typical: arXiv 2202.00666. */
#pragma once

#include "engine/backend.h"

struct sampler;
/* Errors: ERR_INVALID (an option out of its range; detail names it), ERR_NOMEM. */
enum err sampler_new(const struct gen_sampling *o, uint32_t n_vocab, uint32_t n_ctx,
	struct sampler **ret, struct err_info *info);
struct sampler *sampler_free(struct sampler *s);
DEFINE_AUTO(sampler)
/* Remembers a token of the prompt or the answer for the penalties. Ids out of range are ignored. */
void sampler_accept(struct sampler *s, int32_t token);

struct sampler_grammar { /* what may come next; ops NULL: everything */
	const struct engine_backend_ops *ops;
	void *backend;
	struct engine_grammar *grammar;
	int32_t also; /* a token that may come all the same; -1: none */
};
/* With a grammar the token is drawn freely first and only looked up in it; if it is not allowed,
 * one
 * is drawn from the allowed tokens with a random number of its own. Without top_k and the like that
 * is exactly the allowed part of the distribution, p(t)/p(allowed): p(t) comes from the first draw
 * and p(refused) p(t)/p(allowed) from the second. llama-server does the same.
 * `logits` has n_vocab values and may be changed. `position` counts the tokens drawn before.
 * Errors: ERR_ENGINE (no finite logit, or the grammar failed), ERR_INVALID (the grammar allows no
 * token), ERR_NOMEM. */
enum err sampler_pick(struct sampler *s, float *logits, uint64_t position,
	const struct sampler_grammar *g, int32_t *ret);
/* What is added to logits before everything else: pairs of token and thousandths, copied. Errors:
 * ERR_INVALID (no such token), ERR_NOMEM. */
enum err sampler_bias(struct sampler *s, const int32_t *pairs, size_t n, struct err_info *info);
/* Logarithm of the sum of e to the logits: a token's log probability is its logit less this. Pure.
 * */
double sampler_log_sum(const float *logits, uint32_t n);
/* The `k` largest finite logits, best first; returns how many. Pure but for scratch memory of `s`;
 * they are valid until the next call. Errors: ERR_NOMEM. */
enum err sampler_top(struct sampler *s, const float *logits, uint32_t k,
	const struct engine_candidate **ret, uint32_t *ret_n);
/* A number in [0, 1) from seed and position (SplitMix64). */
double sampler_random(uint64_t seed, uint64_t position);
