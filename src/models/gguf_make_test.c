#include "models/gguf_make_test.h"

#include "tests/test.h"

enum { MAX = 64 * 1024 * 1024 };

static void put(struct buf *b, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		CHECK_OK(buf_add_byte(b, (char)(v >> (8 * i))));
}

static void put_str(struct buf *b, struct str s)
{
	put(b, s.len, 8);
	CHECK_OK(buf_add(b, s));
}

void gguf_make_init(struct gguf_make *m)
{
	*m = (struct gguf_make){
		.kv = BUF(MAX), .tensors = BUF(MAX), .version = 3, .alignment = 32
	};
}

void gguf_make_done(struct gguf_make *m)
{
	buf_done(&m->kv);
	buf_done(&m->tensors);
}

void gguf_make_raw(struct gguf_make *m, const char *key, uint32_t kind, struct str bytes)
{
	put_str(&m->kv, str_from(key));
	put(&m->kv, kind, 4);
	CHECK_OK(buf_add(&m->kv, bytes));
	m->n_kv++;
}

void gguf_make_str(struct gguf_make *m, const char *key, struct str value)
{
	put_str(&m->kv, str_from(key));
	put(&m->kv, 8, 4);
	put_str(&m->kv, value);
	m->n_kv++;
}

void gguf_make_u32(struct gguf_make *m, const char *key, uint32_t value)
{
	put_str(&m->kv, str_from(key));
	put(&m->kv, 4, 4);
	put(&m->kv, value, 4);
	m->n_kv++;
}

void gguf_make_tokens(struct gguf_make *m, unsigned n)
{
	put_str(&m->kv, STR("tokenizer.ggml.tokens"));
	put(&m->kv, 9, 4);
	put(&m->kv, 8, 4);
	put(&m->kv, n, 8);
	for (unsigned i = 0; i < n; i++)
		put_str(&m->kv, STR("t"));
	m->n_kv++;
}

void gguf_make_tensor_raw(struct gguf_make *m, const char *name, uint32_t n_dims,
	const uint64_t *dims, uint32_t type, uint64_t offset)
{
	put_str(&m->tensors, str_from(name));
	put(&m->tensors, n_dims, 4);
	for (uint32_t i = 0; i < n_dims; i++)
		put(&m->tensors, dims[i], 8);
	put(&m->tensors, type, 4);
	put(&m->tensors, offset, 8);
	m->n_tensors++;
}

void gguf_make_tensor(struct gguf_make *m, const char *name, uint64_t width, uint64_t rows)
{
	const uint64_t dims[2] = { width, rows };
	gguf_make_tensor_raw(m, name, 2, dims, 0, m->at);
	m->at += (width * rows * 4 + m->alignment - 1) / m->alignment * m->alignment;
}

void gguf_make_model(struct gguf_make *m)
{
	gguf_make_plain(m);
	gguf_make_str(m, "tokenizer.chat_template", STR("{{ x }}"));
}

void gguf_make_plain(struct gguf_make *m)
{
	gguf_make_str(m, "general.architecture", STR("llama"));
	gguf_make_str(m, "general.name", STR("Kleines Modell"));
	gguf_make_str(m, "tokenizer.ggml.model", STR("gpt2"));
	gguf_make_u32(m, "llama.context_length", 128);
	gguf_make_u32(m, "llama.embedding_length", 32);
	gguf_make_u32(m, "llama.block_count", 2);
	gguf_make_u32(m, "llama.attention.head_count", 4);
	gguf_make_u32(m, "llama.attention.head_count_kv", 2);
	gguf_make_tokens(m, 5);
	gguf_make_tensor(m, "token_embd.weight", 32, 5);
	gguf_make_tensor(m, "blk.0.ffn_up.weight", 32, 3);
}

void gguf_make_file(struct gguf_make *m, uint64_t data, struct buf *out)
{
	CHECK_OK(buf_add(out, STR("GGUF")));
	put(out, m->version, 4);
	put(out, m->claim_tensors ? m->claim_tensors : m->n_tensors, 8);
	put(out, m->claim_kv ? m->claim_kv : m->n_kv, 8);
	CHECK_OK(buf_add(out, buf_str(&m->kv)));
	CHECK_OK(buf_add(out, buf_str(&m->tensors)));
	CHECK_OK(
		buf_add_zeros(out, (m->alignment - out->len % m->alignment) % m->alignment + data));
}
