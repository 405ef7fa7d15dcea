/* models/convert_int.h - private to models/convert*.c. */
#pragma once

#include "base/json.h"
#include "models/convert.h"
#include "models/gguf_out.h"
#include "models/safetensors.h"

struct convert_config { /* of config.json and the pooling's */
	bool roberta; /* positions begin behind the padding's */
	uint64_t width, layers, heads, feed_forward, positions, vocab, types, position_offset;
	double norm_eps;
	unsigned pooling; /* as in GGUF */
};
enum { POOLING_MEAN = 1, POOLING_CLS = 2, POOLING_LAST = 3 };

/* The part of that name; NULL: not there. */
const struct make_part *convert_find(
	const struct make_part *parts, size_t n, const char *name);
[[gnu::format(printf, 3, 4)]]
enum err convert_bad(struct err_info *info, const char *file, const char *fmt, ...);
/* The JSON of a part; caller owns. `max` bytes. */
enum err convert_json(const struct make_part *p, size_t max, json_t **ret, struct err_info *info);
enum err convert_config_read(const struct make_part *parts, size_t n,
	struct convert_config *ret, struct err_info *info);
/* Adds everything under tokenizer.ggml. */
enum err convert_tokens(const struct make_part *parts, size_t n, const struct convert_config *c,
	struct gguf_out *o, struct err_info *info);

enum convert_use { CONVERT_TAKE, CONVERT_LEAVE, CONVERT_UNKNOWN };
struct convert_name {
	char name[GGUF_TENSOR_NAME_MAX]; /* as libllama has it */
	unsigned n_dims;
	uint64_t dim[2]; /* what it must have in the source, slowest first */
	uint64_t skip;   /* rows that are left out at the beginning */
	bool small;      /* kept as F32 */
	unsigned place;  /* of those that a model must have, each once; < convert_places() */
};
/* What becomes of a tensor of that name. */
enum convert_use convert_name(
	const struct convert_config *c, struct str name, struct convert_name *ret);
unsigned convert_places(const struct convert_config *c);
