/* models/gguf_out.h - builds the header of a GGUF file (version 3, alignment 32) piece by piece.
 *
 * The pairs come first, then the tensors in the order in which their data will follow. Errors stick
 * and come from gguf_out_head(). Pure: whoever uses it writes the bytes. */
#pragma once

#include "base/buf.h"

enum { GGUF_OUT_ALIGN = 32 };
enum gguf_out_type { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_BF16 = 30 }; /* ggml's numbers */

struct gguf_out {
	struct buf kv, tensors;
	uint64_t n_kv, n_tensors;
	uint64_t at; /* bytes of the tensors' data so far, aligned */
};
void gguf_out_init(struct gguf_out *o);
void gguf_out_done(struct gguf_out *o);

void gguf_out_str(struct gguf_out *o, const char *key, struct str v);
void gguf_out_u32(struct gguf_out *o, const char *key, uint32_t v);
void gguf_out_f32(struct gguf_out *o, const char *key, float v);
void gguf_out_bool(struct gguf_out *o, const char *key, bool v);
/* Arrays. After gguf_out_texts() come n times gguf_out_text(), two pieces that make one text. */
void gguf_out_texts(struct gguf_out *o, const char *key, uint64_t n);
void gguf_out_text(struct gguf_out *o, struct str a, struct str b);
void gguf_out_i32s(struct gguf_out *o, const char *key, const int32_t *v, uint64_t n);
void gguf_out_f32s(struct gguf_out *o, const char *key, const float *v, uint64_t n);
void gguf_out_u8s(struct gguf_out *o, const char *key, struct str bytes);
/* `pair` is a whole pair as it stands in another file. */
void gguf_out_pair(struct gguf_out *o, struct str pair);

/* `dim`: the fastest first, as in the file. `bytes` is the size of its data. */
void gguf_out_tensor(struct gguf_out *o, struct str name, unsigned n_dims, const uint64_t *dim,
	uint32_t ggml_type, uint64_t bytes);
/* Everything before the first tensor's data, padded. Errors: ERR_NOMEM, ERR_LIMIT. */
enum err gguf_out_head(const struct gguf_out *o, struct buf *out);
/* Bytes that follow a tensor's `bytes`, so that the next one begins aligned. */
uint64_t gguf_out_pad(uint64_t bytes);
