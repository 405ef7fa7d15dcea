/* models/gguf.h - reads the header of a GGUF file (versions 2 and 3) without trusting a byte of it.
 *
 * Every count, length, type and offset is bounded before it is used and every sum is checked for
 * overflow; memory taken does not depend on what the file claims. Accepted only if each tensor
 * lies inside the file, aligned, and none overlaps another, and the hyper-parameters are sane for
 * a language model. Format: ggml docs/gguf.md. Pure: reads only through the callback. */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"

enum {
	GGUF_KV_MAX = 8192,                     /* metadata pairs */
	GGUF_TENSORS_MAX = 65536,
	GGUF_STRING_MAX = 4 * 1024 * 1024,      /* bytes of one string */
	GGUF_TEMPLATE_MAX = 256 * 1024,         /* bytes of the chat template */
	GGUF_ARRAY_MAX = 4 * 1024 * 1024,       /* elements */
	GGUF_KEY_MAX = 256,                     /* bytes of a key */
	GGUF_TENSOR_NAME_MAX = 128,
	GGUF_DIMS_MAX = 4,
	GGUF_HEADER_MAX = 256 * 1024 * 1024,    /* bytes before the first tensor */
	GGUF_TYPES = 48,                        /* ggml type numbers known at most */
	GGUF_WHY_MAX = 200,
	GGUF_SUMMARY_MAX = 12 * 1024,           /* bytes of the JSON: stays inside one message */
};

/* Reads exactly n bytes at `at`. Errors: ERR_IO. Never asked beyond `size`. */
typedef enum err (*gguf_read_fn)(void *arg, uint64_t at, void *dst, size_t n);

struct gguf_summary { /* a value; texts are cut to fit and valid UTF-8 */
	unsigned version;
	uint64_t tensor_count, kv_count, file_bytes, tensor_bytes, parameters; /* elements of all */
	uint64_t header_bytes;
	char architecture[64], name[128], size_label[32], licence[128];
	char quantization[24];          /* "Q4_K_M", by general.file_type, else the main type */
	uint64_t context, embedding, layers, heads, kv_heads, head_dim, vocab, experts,
		experts_used, sliding_window;
	char tokenizer[32], pre_tokenizer[64];
	bool has_template;
	uint32_t template_bytes;
	uint8_t template_sha256[SHA256_LEN];
	uint32_t type_count[GGUF_TYPES]; /* tensors by ggml type */
	bool embedding_model;            /* has a pooling type: not for chat */
	bool thinks; /* by the words of its template, see gguf_template_thinks() */
	bool fills;  /* it has a token for what stands between two texts */
	/* Not a model but what belongs to one; fewer fields are set: the eyes of another model
	 * (mmproj), or a LoRA adapter (models/adapter.h). */
	bool projector, adapter;
};

/* Reads the header of a file of `size` bytes. Errors: ERR_MODEL_BAD (why[] says what is wrong with
 * the file, in words), the callback's, ERR_NOMEM. */
enum err gguf_check(gguf_read_fn read, void *arg, uint64_t size, struct gguf_summary *ret,
		    char why[GGUF_WHY_MAX]);
enum err gguf_check_bytes(struct str bytes, struct gguf_summary *ret, char why[GGUF_WHY_MAX]);
/* Does a chat template in Jinja speak of reasoning? Only the engine knows for sure. */
bool gguf_template_thinks(struct str text);
/* What is in the header, for people: {"info": {key: value}, "tensors": [{name, type, shape}],
 * "template": text}. Lists of the metadata are null without `lists`. Bytes that are no text become
 * U+FFFD. The file must have passed gguf_check(). Errors: as there, ERR_LIMIT (out's). */
enum { GGUF_DESCRIPTION_MAX = 48 * 1024 * 1024 };
enum err gguf_describe(gguf_read_fn read, void *arg, uint64_t size, bool lists, struct buf *out,
	char why[GGUF_WHY_MAX]);
/* "137M", "8.0B" as Ollama prints parameter_size. */
void gguf_parameters_text(uint64_t parameters, char dst[16]);
const char *gguf_type_name(unsigned ggml_type); /* "Q4_K"; "?" for unknown */
/* The summary as one JSON object; gguf_summary_read is its inverse.
 * Errors: buf's; of read ERR_INVALID, ERR_BAD_JSON, ERR_NOMEM. */
enum err gguf_summary_json(const struct gguf_summary *s, struct buf *out);
enum err gguf_summary_read(struct str json, struct gguf_summary *ret);
