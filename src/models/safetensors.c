#include "models/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/json.h"

enum { LENGTH_BYTES = 8, HEADER_DEPTH = 4 };

[[gnu::format(printf, 2, 3)]]
static enum err bad(char *why, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(why, GGUF_WHY_MAX, fmt, ap);
	va_end(ap);
	return ERR_MODEL_BAD;
}

void safetensors_done(struct safetensors *s)
{
	json_decref(s->header);
	mem_free(s->tensor);
	*s = (struct safetensors){ 0 };
}

static const struct {
	const char *name;
	enum safetensors_type type;
	unsigned bytes;
} types[] = {
	{ "F32", ST_F32, 4 }, { "F16", ST_F16, 2 }, { "BF16", ST_BF16, 2 }, { "F64", ST_OTHER, 8 },
	{ "I64", ST_OTHER, 8 }, { "I32", ST_OTHER, 4 }, { "I16", ST_OTHER, 2 },
	{ "I8", ST_OTHER, 1 }, { "U64", ST_OTHER, 8 }, { "U32", ST_OTHER, 4 },
	{ "U16", ST_OTHER, 2 }, { "U8", ST_OTHER, 1 }, { "BOOL", ST_OTHER, 1 },
	{ "F8_E4M3", ST_OTHER, 1 }, { "F8_E5M2", ST_OTHER, 1 },
};

/* Its bytes by type and shape. */
static enum err read_shape(const json_t *o, struct safetensor *t, uint64_t *ret_bytes, char *why)
{
	const char *dtype = json_string_value(json_object_get(o, "dtype"));
	const json_t *shape = json_object_get(o, "shape"), *dim;
	uint64_t bytes = 0;
	size_t i;
	for (i = 0; dtype && i < sizeof types / sizeof *types; i++)
		if (!strcmp(dtype, types[i].name)) {
			t->type = types[i].type;
			bytes = types[i].bytes;
		}
	if (!bytes)
		return bad(why, "a tensor has a type that is not known");
	if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_DIMS_MAX)
		return bad(why, "a tensor has no sensible shape");
	json_array_foreach(shape, i, dim)
	{
		json_int_t n = json_integer_value(dim);
		if (!json_is_integer(dim) || n < 0 ||
			__builtin_mul_overflow(bytes, (uint64_t)n, &bytes))
			return bad(why, "a tensor has absurd dimensions");
		t->dim[t->n_dims++] = (uint64_t)n;
	}
	*ret_bytes = bytes;
	return OK;
}

static enum err read_tensor(
	const json_t *o, uint64_t data, uint64_t size, struct safetensor *t, char *why)
{
	uint64_t bytes = 0;
	const json_t *place = json_object_get(o, "data_offsets");
	const json_t *from = json_array_get(place, 0), *to = json_array_get(place, 1);
	TRY(read_shape(o, t, &bytes, why));
	if (!json_is_integer(from) || !json_is_integer(to) || json_array_size(place) != 2)
		return bad(why, "a tensor does not say where it lies");
	json_int_t a = json_integer_value(from), b = json_integer_value(to);
	if (a < 0 || b < a || (uint64_t)b > size - data)
		return bad(why, "a tensor lies outside the file");
	if ((uint64_t)(b - a) != bytes)
		return bad(why, "a tensor's size does not fit its shape");
	t->at = data + (uint64_t)a;
	t->bytes = bytes;
	return OK;
}

static int by_place(const void *a, const void *b)
{
	const struct safetensor *x = a, *y = b;
	return x->at != y->at ? (x->at > y->at) - (x->at < y->at)
			      : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static enum err read_tensors(
	struct safetensors *s, uint64_t data, uint64_t size, char *why)
{
	const char *name;
	json_t *o;
	size_t n = json_object_size(s->header);
	if (n > GGUF_TENSORS_MAX)
		return bad(why, "it claims too many tensors");
	s->tensor = mem_zalloc(n + 1, sizeof *s->tensor);
	if (!s->tensor)
		return ERR_NOMEM;
	json_object_foreach(s->header, name, o)
	{
		if (!strcmp(name, "__metadata__"))
			continue;
		struct safetensor *t = &s->tensor[s->n++];
		t->name = str_from(name);
		TRY(read_tensor(o, data, size, t, why));
	}
	if (!s->n)
		return bad(why, "it has no tensors");
	qsort(s->tensor, s->n, sizeof *s->tensor, by_place);
	for (size_t i = 0; i < s->n; i++) {
		if (s->tensor[i].at != data)
			return bad(why, "%s",
				s->tensor[i].at < data ? "two tensors overlap"
						       : "there is a hole between two tensors");
		data += s->tensor[i].bytes;
	}
	return data == size ? OK : bad(why, "there are bytes behind its tensors");
}

static enum err read_header(
	gguf_read_fn read, void *arg, uint64_t size, struct safetensors *s, char *why)
{
	uint8_t raw[LENGTH_BYTES];
	uint64_t n = 0;
	struct err_info info = { 0 };
	if (size < LENGTH_BYTES + 2)
		return bad(why, "the file is too short");
	TRY(read(arg, 0, raw, sizeof raw));
	for (unsigned i = LENGTH_BYTES; i-- > 0;)
		n = n << 8 | raw[i];
	if (n > size - LENGTH_BYTES)
		return bad(why, "the file ends inside its header");
	if (n > SAFETENSORS_HEADER_MAX)
		return bad(why, "the header is too large");
	AUTO_MEM char *text = mem_alloc((size_t)n + 1);
	if (!text)
		return ERR_NOMEM;
	TRY(read(arg, LENGTH_BYTES, text, (size_t)n));
	if (!n || text[0] != '{')
		return bad(why, "it is not a safetensors file");
	enum err e = json_read((struct str){ text, (size_t)n }, SAFETENSORS_HEADER_MAX,
		HEADER_DEPTH, &s->header, &info);
	if (e == ERR_NOMEM)
		return e;
	if (e || !json_is_object(s->header))
		return bad(why, "its header is not readable: %.120s", info.detail);
	return read_tensors(s, LENGTH_BYTES + n, size, why);
}

enum err safetensors_read(gguf_read_fn read, void *arg, uint64_t size, struct safetensors *ret,
	char why[GGUF_WHY_MAX])
{
	struct safetensors s = { 0 };
	why[0] = '\0';
	enum err e = read_header(read, arg, size, &s, why);
	if (e)
		safetensors_done(&s);
	else
		*ret = s;
	return e;
}
