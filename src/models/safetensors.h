/* models/safetensors.h - reads the header of a safetensors file without trusting a byte of it.
 *
 * Eight bytes length, a JSON object, the tensors' bytes. Accepted only if every tensor's size is
 * what its type and shape say, and the tensors cover the rest of the file without a hole and
 * without an overlap (as the format demands). Format: github.com/huggingface/safetensors. Pure:
 * reads only through the callback of models/gguf.h. */
#pragma once

#include "base/json.h"
#include "models/gguf.h"

enum {
	SAFETENSORS_HEADER_MAX = 16 * 1024 * 1024, /* bytes of the JSON */
	SAFETENSORS_DIMS_MAX = 8,
};
enum safetensors_type { ST_F32, ST_F16, ST_BF16, ST_OTHER };

struct safetensor {
	struct str name; /* borrowed from the header */
	enum safetensors_type type;
	unsigned n_dims;
	uint64_t dim[SAFETENSORS_DIMS_MAX]; /* as written: the slowest first */
	uint64_t at, bytes;                 /* in the file */
};
struct safetensors {
	json_t *header; /* owned */
	struct safetensor *tensor; /* owned; by place in the file */
	size_t n;
};
/* Errors: ERR_MODEL_BAD (why[] says what is wrong, in words), the callback's, ERR_NOMEM. */
enum err safetensors_read(gguf_read_fn read, void *arg, uint64_t size, struct safetensors *ret,
	char why[GGUF_WHY_MAX]);
void safetensors_done(struct safetensors *s); /* a zeroed one is fine */
