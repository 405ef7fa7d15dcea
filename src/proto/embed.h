/* proto/embed.h - texts to vectors, and documents to scores: between the server and an engine.
 *
 * server -> engine   ENGINE_EMBED; GEN_CANCEL as for a generation
 * engine -> server   exactly one of ENGINE_EMBEDDED, GEN_FAILED, GEN_DONE (cancelled) */
#pragma once

#include "proto/engine.h"

enum {
	EMBED_INPUTS_MAX = 2048,            /* texts a request, as OpenAI has it */
	EMBED_VALUES_MAX = 4 * 1024 * 1024, /* floats of an answer */
};

struct embed_request { /* everything borrowed */
	/* The inputs, one after the other: as text, or (texts empty) as token ids without the
	 * model's own marks at beginning and end. `lens` says how many bytes or ids each has. */
	struct str texts;
	const int32_t *tokens;
	size_t n_tokens;
	const int32_t *lens;
	size_t n;
	bool rank; /* scores of the inputs for `query` instead of vectors; needs a model
				with a classifier; texts only */
	struct str query;
	uint32_t dimensions; /* the first so many values; 0: all */
	bool normalise;      /* to length 1, after cutting to `dimensions` */
	bool truncate;       /* an input that is too long is cut at its end; else ERR_CONTEXT */
	uint64_t person;
};
struct embed_done {          /* everything borrowed */
	const float *values; /* n rows of `dim`; scores: dim is 1 */
	size_t n_values;
	const int32_t *counts; /* tokens computed of each input, with the model's marks */
	size_t n;
	uint32_t dim;
	uint32_t truncated; /* inputs that were cut */
	uint32_t longest;   /* tokens an input may have */
	int64_t queue_ns, compute_ns;
};

/* As in proto/engine.h. The get checks that the lengths add up to what is there. */
void embed_request_put(struct ipc_out *m, const struct embed_request *v);
enum err embed_request_get(struct ipc_in *m, struct embed_request *v);
void embed_done_put(struct ipc_out *m, const struct embed_done *v);
enum err embed_done_get(struct ipc_in *m, struct embed_done *v);
