/* models/gguf_make_test.h - for tests: writes GGUF files, right ones and wrong ones. */
#pragma once

#include "base/buf.h"

struct gguf_make {
	struct buf kv, tensors;
	uint64_t n_kv, n_tensors, at; /* at: where the next tensor's data begins */
	unsigned version;
	uint64_t claim_kv, claim_tensors; /* 0: the truth */
	uint64_t alignment;
};
void gguf_make_init(struct gguf_make *m);
void gguf_make_done(struct gguf_make *m);
void gguf_make_str(struct gguf_make *m, const char *key, struct str value);
void gguf_make_u32(struct gguf_make *m, const char *key, uint32_t value);
/* Any value: `kind` is its type number, `bytes` what follows. */
void gguf_make_raw(struct gguf_make *m, const char *key, uint32_t kind, struct str bytes);
void gguf_make_tokens(struct gguf_make *m, unsigned n);
/* An F32 tensor of rows x width at the next free place. */
void gguf_make_tensor(struct gguf_make *m, const char *name, uint64_t width, uint64_t rows);
void gguf_make_tensor_raw(struct gguf_make *m, const char *name, uint32_t n_dims,
	const uint64_t *dims, uint32_t type, uint64_t offset);
/* Everything a small usable model needs. */
void gguf_make_model(struct gguf_make *m);
void gguf_make_plain(struct gguf_make *m); /* the same without a template */
/* The file; `data` bytes of zeros follow the header. */
void gguf_make_file(struct gguf_make *m, uint64_t data, struct buf *out);
