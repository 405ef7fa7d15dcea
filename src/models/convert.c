#include "models/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "models/convert_int.h"

enum {
	PIECE = 1 << 20, /* bytes read at once */
	FILE_ALL_F32 = 0,
	FILE_MOSTLY_F16 = 1,
	FILE_MOSTLY_BF16 = 32,
};

struct tensor { /* of the new file */
	const struct make_part *part; /* borrowed */
	struct safetensor from; /* its name is borrowed from the part's header */
	struct convert_name to;
};
struct conversion {
	const struct make_part *parts;
	size_t n_parts;
	const struct make_sink *sink;
	struct convert_config config;
	struct safetensors file[CONVERT_PARTS_MAX]; /* of the parts that are such files */
	struct tensor *tensor; /* in the order of their places */
	size_t n_tensors;
	struct gguf_out out;
	uint64_t done, all; /* bytes */
	char mem[PIECE], wide[2 * PIECE];
};

/* ---- which tensors ---- */

static bool is_tensors(struct str name)
{
	return str_ends(name, STR(".safetensors"));
}

static enum err bad_tensor(
	struct err_info *info, const struct make_part *p, struct str name, const char *what)
{
	return err_set(info, ERR_MODEL_BAD, "%.*s: the tensor \"%.100s\" %s", STR_ARG(p->name),
		name.ptr, what);
}

static bool shape_fits(const struct safetensor *t, const struct convert_name *n)
{
	if (t->n_dims != n->n_dims)
		return false;
	for (unsigned i = 0; i < t->n_dims; i++)
		if (t->dim[i] != n->dim[i])
			return false;
	return true;
}

static enum err take_tensor(struct conversion *c, const struct make_part *p,
	const struct safetensor *t, struct err_info *info)
{
	struct convert_name to;
	enum convert_use use = convert_name(&c->config, t->name, &to);
	if (use == CONVERT_LEAVE)
		return OK;
	if (use == CONVERT_UNKNOWN)
		return bad_tensor(info, p, t->name, "belongs to no model that is supported");
	if (t->type == ST_OTHER)
		return bad_tensor(info, p, t->name, "is not of F32, F16 or BF16");
	if (!shape_fits(t, &to))
		return bad_tensor(info, p, t->name, "has not the shape that config.json says");
	struct tensor *at = &c->tensor[to.place];
	if (at->part)
		return bad_tensor(info, p, t->name, "is there twice");
	*at = (struct tensor){ p, *t, to };
	return OK;
}

static enum err read_part(struct conversion *c, size_t i, struct err_info *info)
{
	const struct make_part *p = &c->parts[i];
	struct safetensors *s = &c->file[i];
	char why[GGUF_WHY_MAX];
	enum err e = safetensors_read(p->read, p->arg, p->size, s, why);
	if (e == ERR_MODEL_BAD)
		return err_set(info, e, "%.*s: %s", STR_ARG(p->name), why);
	TRY(e);
	for (size_t k = 0; k < s->n; k++)
		TRY(take_tensor(c, p, &s->tensor[k], info));
	return OK;
}

static enum err read_tensors(struct conversion *c, struct err_info *info)
{
	bool any = false;
	c->n_tensors = convert_places(&c->config);
	c->tensor = mem_zalloc(c->n_tensors, sizeof *c->tensor);
	if (!c->tensor)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n_parts; i++)
		if (is_tensors(c->parts[i].name)) {
			any = true;
			TRY(read_part(c, i, info));
		}
	if (!any)
		return err_set(info, ERR_UNSUPPORTED, "the folder has no .safetensors file");
	for (size_t i = 0; i < c->n_tensors; i++)
		if (!c->tensor[i].part)
			return err_set(info, ERR_MODEL_BAD,
				"a tensor is missing: there are fewer than config.json needs");
	return OK;
}

/* ---- the header ---- */

static uint32_t type_of(const struct tensor *t)
{
	if (t->to.small || t->from.type == ST_F32)
		return GGUF_F32;
	return t->from.type == ST_F16 ? GGUF_F16 : GGUF_BF16;
}

static uint64_t bytes_of(const struct tensor *t)
{
	uint64_t n = t->to.dim[0] - t->to.skip;
	if (t->to.n_dims == 2)
		n *= t->to.dim[1];
	return n * (type_of(t) == GGUF_F32 ? 4 : 2);
}

static void put_tensors(struct conversion *c)
{
	for (size_t i = 0; i < c->n_tensors; i++) {
		const struct tensor *t = &c->tensor[i];
		uint64_t rows = t->to.dim[0] - t->to.skip;
		uint64_t dim[2] = { t->to.n_dims == 2 ? t->to.dim[1] : rows, rows };
		gguf_out_tensor(&c->out, str_from(t->to.name), t->to.n_dims, dim, type_of(t),
			bytes_of(t));
	}
	c->all = c->out.at;
}

static uint32_t file_type(const struct conversion *c)
{
	uint32_t type = FILE_ALL_F32;
	for (size_t i = 0; i < c->n_tensors; i++)
		if (type_of(&c->tensor[i]) == GGUF_BF16)
			return FILE_MOSTLY_BF16;
		else if (type_of(&c->tensor[i]) == GGUF_F16)
			type = FILE_MOSTLY_F16;
	return type;
}

static enum err put_head(struct conversion *c, struct buf *head, struct err_info *info)
{
	const struct convert_config *g = &c->config;
	struct gguf_out *o = &c->out;
	gguf_out_str(o, "general.architecture", STR("bert"));
	gguf_out_str(o, "general.type", STR("model"));
	gguf_out_u32(o, "general.file_type", file_type(c));
	gguf_out_u32(o, "bert.context_length", (uint32_t)g->positions);
	gguf_out_u32(o, "bert.embedding_length", (uint32_t)g->width);
	gguf_out_u32(o, "bert.feed_forward_length", (uint32_t)g->feed_forward);
	gguf_out_u32(o, "bert.block_count", (uint32_t)g->layers);
	gguf_out_u32(o, "bert.attention.head_count", (uint32_t)g->heads);
	gguf_out_f32(o, "bert.attention.layer_norm_epsilon", (float)g->norm_eps);
	gguf_out_bool(o, "bert.attention.causal", false);
	gguf_out_u32(o, "bert.pooling_type", g->pooling);
	TRY(convert_tokens(c->parts, c->n_parts, g, o, info));
	put_tensors(c);
	return gguf_out_head(o, head);
}

/* ---- the data ---- */

static float float_of(uint32_t bits)
{
	float f;
	memcpy(&f, &bits, sizeof f);
	return f;
}

/* IEEE 754 binary16, which not every compiler has a type for. */
static float half_of(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, rest = h & 1023;
	if (!exponent) /* below the normal ones: steps of 2^-24 */
		return (float)rest * (sign ? -0x1p-24f : 0x1p-24f);
	exponent = exponent == 31 ? 255 : exponent + 127 - 15;
	return float_of(sign | exponent << 23 | rest << 13);
}

static float wide_of(enum safetensors_type type, uint16_t half)
{
	return type == ST_F16 ? half_of(half) : float_of((uint32_t)half << 16);
}

/* `n` bytes of the source lie in mem; gives what of them goes into the file. */
static struct str as_written(struct conversion *c, const struct tensor *t, size_t n)
{
	if (t->from.type == ST_F32 || type_of(t) != GGUF_F32)
		return (struct str){ c->mem, n };
	for (size_t i = 0; i < n / 2; i++) {
		uint16_t half;
		memcpy(&half, c->mem + 2 * i, sizeof half);
		float f = wide_of(t->from.type, half);
		memcpy(c->wide + 4 * i, &f, sizeof f);
	}
	return (struct str){ c->wide, 2 * n };
}

static enum err write_tensor(struct conversion *c, const struct tensor *t)
{
	static const char zeros[GGUF_OUT_ALIGN];
	const struct make_sink *s = c->sink;
	uint64_t row = t->from.bytes / t->from.dim[0];
	uint64_t at = t->from.at + t->to.skip * row, end = t->from.at + t->from.bytes;
	while (at < end) {
		size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
		TRY(t->part->read(t->part->arg, at, c->mem, n));
		struct str out = as_written(c, t, n);
		TRY(s->write(s->arg, out.ptr, out.len));
		at += n;
		c->done += out.len;
		TRY(s->progress(s->arg, c->done, c->all));
	}
	uint64_t pad = gguf_out_pad(bytes_of(t));
	c->done += pad;
	return pad ? s->write(s->arg, zeros, (size_t)pad) : OK;
}

static enum err convert(struct conversion *c, struct err_info *info)
{
	AUTO_BUF struct buf head = BUF(GGUF_HEADER_MAX);
	TRY(convert_config_read(c->parts, c->n_parts, &c->config, info));
	TRY(read_tensors(c, info));
	TRY(put_head(c, &head, info));
	TRY(c->sink->write(c->sink->arg, head.ptr, head.len));
	for (size_t i = 0; i < c->n_tensors; i++)
		TRY(write_tensor(c, &c->tensor[i]));
	return OK;
}

static enum err check_parts(const struct make_part *parts, size_t n, struct err_info *info)
{
	if (!n || n > CONVERT_PARTS_MAX)
		return err_set(info, ERR_LIMIT, "a model of more than %d files", CONVERT_PARTS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (!parts[i].name.len || parts[i].name.len > CONVERT_NAME_MAX)
			return err_set(info, ERR_INVALID, "a file's name is too long or empty");
		for (size_t k = 0; k < i; k++)
			if (str_eq(parts[i].name, parts[k].name))
				return err_set(info, ERR_INVALID, "two files have one name");
	}
	return OK;
}

enum err convert_run(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info)
{
	TRY(check_parts(parts, n, info));
	struct conversion *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->parts = parts;
	c->n_parts = n;
	c->sink = sink;
	gguf_out_init(&c->out);
	enum err e = convert(c, info);
	for (size_t i = 0; i < n; i++)
		safetensors_done(&c->file[i]);
	gguf_out_done(&c->out);
	mem_free(c->tensor);
	mem_free(c);
	return e;
}
