/* models/gguf_int.h - private to models/gguf*.c: the reader of bytes and the table of types. */
#pragma once

#include "models/gguf.h"

struct gguf_type {
	const char *name;
	uint16_t block;     /* elements of a block; 0: no such type (any more) */
	uint16_t bytes;     /* of a block */
};
const struct gguf_type *gguf_type_find(unsigned ggml_type); /* NULL: unknown */
const char *gguf_file_type_text(uint64_t file_type);        /* NULL: unknown */

enum { GGUF_WINDOW = 64 * 1024 };
struct gguf_in { /* a cursor over the file with a window of it in memory */
	gguf_read_fn read;
	void *arg;
	uint64_t size, at, window_at;
	size_t window_n;
	char *why;                  /* GGUF_WHY_MAX bytes */
	uint8_t window[GGUF_WINDOW];
};
/* Says what is wrong with the file and gives ERR_MODEL_BAD. */
[[gnu::format(printf, 2, 3)]] enum err gguf_bad(struct gguf_in *in, const char *fmt, ...);
/* Little endian. Errors: ERR_MODEL_BAD (the file ends), the callback's. */
enum err gguf_get(struct gguf_in *in, void *dst, size_t n);
enum err gguf_skip(struct gguf_in *in, uint64_t n);
enum err gguf_get_uint(struct gguf_in *in, unsigned bytes, uint64_t *ret);
