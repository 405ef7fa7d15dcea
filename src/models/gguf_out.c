#include "models/gguf_out.h"

#include "models/gguf.h"

/* The machines that this runs on are little endian, and so is the format. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little endian");

enum { K_U8 = 0, K_U32 = 4, K_I32 = 5, K_F32 = 6, K_BOOL = 7, K_STR = 8, K_ARRAY = 9, VERSION = 3 };

void gguf_out_init(struct gguf_out *o)
{
	*o = (struct gguf_out){ .kv = BUF(GGUF_HEADER_MAX), .tensors = BUF(GGUF_HEADER_MAX) };
}

void gguf_out_done(struct gguf_out *o)
{
	buf_done(&o->kv);
	buf_done(&o->tensors);
}

/* ---- pieces; errors stick in the buf ---- */

static void put(struct buf *b, const void *p, size_t n)
{
	(void)!!buf_add(b, (struct str){ p, n });
}

static void put_u32(struct buf *b, uint32_t v) { put(b, &v, sizeof v); }
static void put_u64(struct buf *b, uint64_t v) { put(b, &v, sizeof v); }

static void put_str(struct buf *b, struct str s)
{
	put_u64(b, s.len);
	put(b, s.ptr, s.len);
}

static void key_of(struct gguf_out *o, const char *key, uint32_t kind)
{
	put_str(&o->kv, str_from(key));
	put_u32(&o->kv, kind);
	o->n_kv++;
}

static void array_of(struct gguf_out *o, const char *key, uint32_t kind, uint64_t n)
{
	key_of(o, key, K_ARRAY);
	put_u32(&o->kv, kind);
	put_u64(&o->kv, n);
}

/* ---- pairs ---- */

void gguf_out_str(struct gguf_out *o, const char *key, struct str v)
{
	key_of(o, key, K_STR);
	put_str(&o->kv, v);
}

void gguf_out_u32(struct gguf_out *o, const char *key, uint32_t v)
{
	key_of(o, key, K_U32);
	put_u32(&o->kv, v);
}

void gguf_out_f32(struct gguf_out *o, const char *key, float v)
{
	key_of(o, key, K_F32);
	put(&o->kv, &v, sizeof v);
}

void gguf_out_bool(struct gguf_out *o, const char *key, bool v)
{
	key_of(o, key, K_BOOL);
	(void)!!buf_add_byte(&o->kv, v ? 1 : 0);
}

void gguf_out_texts(struct gguf_out *o, const char *key, uint64_t n)
{
	array_of(o, key, K_STR, n);
}

void gguf_out_text(struct gguf_out *o, struct str a, struct str b)
{
	put_u64(&o->kv, a.len + b.len);
	put(&o->kv, a.ptr, a.len);
	put(&o->kv, b.ptr, b.len);
}

void gguf_out_i32s(struct gguf_out *o, const char *key, const int32_t *v, uint64_t n)
{
	array_of(o, key, K_I32, n);
	put(&o->kv, v, n * sizeof *v);
}

void gguf_out_f32s(struct gguf_out *o, const char *key, const float *v, uint64_t n)
{
	array_of(o, key, K_F32, n);
	put(&o->kv, v, n * sizeof *v);
}

void gguf_out_u8s(struct gguf_out *o, const char *key, struct str bytes)
{
	array_of(o, key, K_U8, bytes.len);
	put(&o->kv, bytes.ptr, bytes.len);
}

void gguf_out_pair(struct gguf_out *o, struct str pair)
{
	put(&o->kv, pair.ptr, pair.len);
	o->n_kv++;
}

/* ---- tensors ---- */

uint64_t gguf_out_pad(uint64_t bytes)
{
	return (GGUF_OUT_ALIGN - bytes % GGUF_OUT_ALIGN) % GGUF_OUT_ALIGN;
}

void gguf_out_tensor(struct gguf_out *o, struct str name, unsigned n_dims, const uint64_t *dim,
	uint32_t ggml_type, uint64_t bytes)
{
	put_str(&o->tensors, name);
	put_u32(&o->tensors, n_dims);
	put(&o->tensors, dim, n_dims * sizeof *dim);
	put_u32(&o->tensors, ggml_type);
	put_u64(&o->tensors, o->at);
	o->n_tensors++;
	o->at += bytes + gguf_out_pad(bytes);
}

enum err gguf_out_head(const struct gguf_out *o, struct buf *out)
{
	TRY(o->kv.err);
	TRY(o->tensors.err);
	put(out, "GGUF", 4);
	put_u32(out, VERSION);
	put_u64(out, o->n_tensors);
	put_u64(out, o->n_kv);
	put(out, o->kv.ptr, o->kv.len);
	put(out, o->tensors.ptr, o->tensors.len);
	TRY(out->err);
	return buf_add_zeros(out, (size_t)gguf_out_pad(out->len));
}
