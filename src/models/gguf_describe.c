/* The header in words: what gguf_check() read and did not keep. */
#include "models/gguf_int.h"

#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/json.h"

struct describe {
	struct gguf_in in;
	struct jw w;
	bool lists;
	struct buf text; /* of the string being read */
	struct buf template_;
};

/* Text of at most GGUF_STRING_MAX bytes into d->text; a byte 0 is no text either. */
static enum err read_string(struct describe *d)
{
	uint64_t n;
	buf_clear(&d->text);
	TRY(gguf_get_uint(&d->in, 8, &n));
	if (n > GGUF_STRING_MAX || n > d->in.size - d->in.at)
		return gguf_bad(&d->in, "a string in the metadata is too long");
	TRY(buf_reserve(&d->text, (size_t)n));
	TRY(gguf_get(&d->in, d->text.ptr, (size_t)n));
	d->text.len = (size_t)n;
	for (size_t i = 0; i < d->text.len; i++)
		if (!d->text.ptr[i])
			d->text.ptr[i] = (char)0xff;
	return OK;
}

static void put_float(struct jw *w, enum gguf_kind kind, uint64_t raw)
{
	double v;
	uint32_t bits = (uint32_t)raw;
	float f;
	memcpy(&f, &bits, sizeof f);
	memcpy(&v, &raw, sizeof v);
	jw_f64(w, kind == G_F32 ? (double)f : v);
}

static enum err put_scalar(struct describe *d, enum gguf_kind kind)
{
	unsigned bytes = gguf_kind_bytes[kind];
	uint64_t raw;
	if (kind == G_STRING) {
		TRY(read_string(d));
		jw_str(&d->w, buf_str(&d->text));
		return d->w.out->err;
	}
	TRY(gguf_get_uint(&d->in, bytes, &raw));
	if (kind == G_F32 || kind == G_F64)
		put_float(&d->w, kind, raw);
	else if (kind == G_BOOL)
		jw_bool(&d->w, raw != 0);
	else if (kind == G_I8 || kind == G_I16 || kind == G_I32 || kind == G_I64)
		jw_i64(&d->w, (int64_t)(raw << (64 - 8 * bytes)) >> (64 - 8 * bytes));
	else if (raw <= INT64_MAX)
		jw_i64(&d->w, (int64_t)raw);
	else
		jw_f64(&d->w, (double)raw); /* JSON of ours has no such integers */
	return d->w.out->err;
}

static enum err put_list(struct describe *d)
{
	uint64_t item, n;
	TRY(gguf_get_uint(&d->in, 4, &item));
	TRY(gguf_get_uint(&d->in, 8, &n));
	if (item >= G_KINDS || item == G_ARRAY || n > GGUF_ARRAY_MAX)
		return gguf_bad(&d->in, "an array in the metadata has an unknown type");
	if (d->lists)
		jw_arr(&d->w);
	else
		jw_null(&d->w);
	if (!d->lists && item != G_STRING)
		return gguf_skip(&d->in, n * gguf_kind_bytes[item]);
	for (uint64_t i = 0; i < n; i++)
		TRY(d->lists ? put_scalar(d, (enum gguf_kind)item) : gguf_skip_string(&d->in));
	if (d->lists)
		jw_end(&d->w);
	return d->w.out->err;
}

static enum err put_pair(struct describe *d)
{
	char key[GGUF_KEY_MAX + 1];
	uint64_t kind;
	TRY(gguf_get_text(&d->in, "a key of the metadata", key, GGUF_KEY_MAX));
	TRY(gguf_get_uint(&d->in, 4, &kind));
	if (kind >= G_KINDS)
		return gguf_bad(&d->in, "the metadata has a value of an unknown type");
	if (kind == G_STRING && !strcmp(key, "tokenizer.chat_template")) { /* stands by itself */
		TRY(read_string(d));
		return buf_add(&d->template_, buf_str(&d->text));
	}
	jw_key(&d->w, key);
	return kind == G_ARRAY ? put_list(d) : put_scalar(d, (enum gguf_kind)kind);
}

static enum err put_tensor(struct describe *d)
{
	char name[GGUF_TENSOR_NAME_MAX + 1];
	uint64_t n_dims, dim, type;
	TRY(gguf_get_text(&d->in, "a tensor's name", name, GGUF_TENSOR_NAME_MAX));
	TRY(gguf_get_uint(&d->in, 4, &n_dims));
	if (n_dims > GGUF_DIMS_MAX)
		return gguf_bad(&d->in, "a tensor has too many dimensions");
	jw_obj(&d->w);
	jw_kstr(&d->w, "name", str_from(name));
	jw_key(&d->w, "shape");
	jw_arr(&d->w);
	for (uint64_t i = 0; i < n_dims; i++) {
		TRY(gguf_get_uint(&d->in, 8, &dim));
		jw_i64(&d->w, dim <= INT64_MAX ? (int64_t)dim : INT64_MAX);
	}
	jw_end(&d->w);
	TRY(gguf_get_uint(&d->in, 4, &type));
	jw_kstr(&d->w, "type",
		str_from(gguf_type_name(type < GGUF_TYPES ? (unsigned)type : GGUF_TYPES)));
	jw_end(&d->w);
	return gguf_skip(&d->in, 8); /* where it lies */
}

static enum err describe(struct describe *d)
{
	uint64_t tensors, pairs;
	TRY(gguf_skip(&d->in, 8)); /* what it is, and its version */
	TRY(gguf_get_uint(&d->in, 8, &tensors));
	TRY(gguf_get_uint(&d->in, 8, &pairs));
	if (tensors > GGUF_TENSORS_MAX || pairs > GGUF_KV_MAX)
		return gguf_bad(&d->in, "it claims too much");
	jw_obj(&d->w);
	jw_key(&d->w, "info");
	jw_obj(&d->w);
	for (uint64_t i = 0; i < pairs; i++)
		TRY(put_pair(d));
	jw_end(&d->w);
	jw_key(&d->w, "tensors");
	jw_arr(&d->w);
	for (uint64_t i = 0; i < tensors; i++)
		TRY(put_tensor(d));
	jw_end(&d->w);
	struct str t = buf_str(&d->template_);
	jw_kstr(&d->w, "template", t.len ? t : STR(""));
	jw_end(&d->w);
	return d->w.out->err;
}

enum err gguf_describe(gguf_read_fn read, void *arg, uint64_t size, bool lists, struct buf *out,
	char why[GGUF_WHY_MAX])
{
	struct describe *d = mem_zalloc(1, sizeof *d);
	why[0] = '\0';
	if (!d)
		return ERR_NOMEM;
	d->in.read = read;
	d->in.arg = arg;
	d->in.size = size;
	d->in.why = why;
	d->lists = lists;
	d->text = BUF(GGUF_STRING_MAX + 1);
	d->template_ = BUF(GGUF_STRING_MAX + 1);
	jw_init(&d->w, out);
	enum err e = describe(d);
	buf_done(&d->text);
	buf_done(&d->template_);
	mem_free(d);
	return e;
}
