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

enum gguf_kind { /* of a value in the metadata */
	G_U8,
	G_I8,
	G_U16,
	G_I16,
	G_U32,
	G_I32,
	G_F32,
	G_BOOL,
	G_STRING,
	G_ARRAY,
	G_U64,
	G_I64,
	G_F64,
	G_KINDS
};
extern const uint8_t gguf_kind_bytes[G_KINDS]; /* 0: no fixed size */

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
/* A string of at most `max` bytes, terminated (max + 1 bytes of room); text that is not UTF-8 or
 * has a byte 0 is refused. */
enum err gguf_get_text(struct gguf_in *in, const char *what, char *dst, size_t max);
enum err gguf_skip_string(struct gguf_in *in);
