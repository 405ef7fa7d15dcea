/* models/adapter.h - the LoRA adapters of a model: what they make of it, and whether one fits it.
 *
 * An adapter is a GGUF of its own (general.type "adapter", adapter.type "lora"): for some tensors W
 * of a model a pair A, B whose product, scaled by alpha / rank, is added to W while computing. With
 * other adapters it is another model, so whatever is kept by a model's digest (engines, caches,
 * measurements, crashes) is kept by one over weights and adapters. Pure. */
#pragma once

#include "base/json.h"
#include "proto/engine.h"

struct model_adapters { /* a value. n 0: there are none, and the rest says nothing */
	char weights[65]; /* the model's own file */
	char digest[ENGINE_ADAPTERS_MAX][65]; /* in the manifest's order */
	unsigned n;
};
/* What the model is known by: 64 hex digits that no file's digest and no other list gives. */
void adapters_identity(const struct model_adapters *a, char ret[65]);
/* The file of the weights of what is known by `digest`. */
static inline const char *adapters_weights(const struct model_adapters *a, const char *digest)
{
	return a->n ? a->weights : digest;
}
/* In the middle of a message: check ipc_end(). */
void adapters_put(struct ipc_out *m, const struct model_adapters *a);
void adapters_get(struct ipc_in *m, struct model_adapters *ret);

/* May this adapter be used with this model? Both as gguf_describe() tells them, of files that
 * passed gguf_check(). Every pair must be whole, belong to a tensor of the model and have its
 * shape; what libllama would leave out without a word, or end at, is refused. Errors:
 * ERR_MODEL_BAD (info says what), ERR_NOMEM. */
enum err adapter_fits(const json_t *model, const json_t *adapter, struct err_info *info);
