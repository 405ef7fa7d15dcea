#include "models/merge.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/fault.h"
#include "models/gguf_int.h"
#include "models/gguf_out.h"

enum { PIECE = 1 << 20, K_STRING = 8, K_ARRAY = 9, K_KINDS = 13, ALIGN_MAX = 64 * 1024 };
static const uint8_t kind_bytes[K_KINDS] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

struct tensor {
	char name[GGUF_TENSOR_NAME_MAX];
	unsigned n_dims;
	uint64_t dim[GGUF_DIMS_MAX], type, offset, bytes;
};
struct part {
	const struct make_part *file; /* borrowed */
	uint64_t n_pairs, n_tensors, number, count, align, data; /* data: where the bytes begin */
	struct tensor *tensor;
};
struct merge {
	struct gguf_in in;
	char why[GGUF_WHY_MAX], mem[PIECE];
	struct part part[MERGE_PARTS_MAX];
	size_t n;
	struct gguf_out out;
	uint64_t done;
};

/* ---- reading a part's header ---- */

static enum err skip_value(struct gguf_in *in, uint64_t kind)
{
	uint64_t n = 1, item = kind;
	if (kind == K_ARRAY) {
		TRY(gguf_get_uint(in, 4, &item));
		TRY(gguf_get_uint(in, 8, &n));
	}
	if (item >= K_KINDS || item == K_ARRAY || n > GGUF_ARRAY_MAX)
		return gguf_bad(in, "the metadata has a value of an unknown type");
	if (item != K_STRING)
		return gguf_skip(in, n * kind_bytes[item]);
	for (uint64_t len; n; n--) {
		TRY(gguf_get_uint(in, 8, &len));
		TRY(gguf_skip(in, len));
	}
	return OK;
}

static enum err get_name(struct gguf_in *in, char *dst, size_t size)
{
	uint64_t n;
	TRY(gguf_get_uint(in, 8, &n));
	if (!n || n >= size)
		return gguf_bad(in, "a name in it is empty or too long");
	dst[n] = '\0';
	TRY(gguf_get(in, dst, (size_t)n));
	return memchr(dst, 0, (size_t)n) ? gguf_bad(in, "a name in it is not text") : OK;
}

/* Keeps the whole pair from `from` on. */
static enum err keep_pair(struct merge *m, const struct part *p, uint64_t from)
{
	uint64_t n = m->in.at - from;
	if (n > GGUF_HEADER_MAX)
		return gguf_bad(&m->in, "the header is too large");
	AUTO_MEM char *bytes = mem_alloc((size_t)n);
	if (!bytes)
		return ERR_NOMEM;
	TRY(p->file->read(p->file->arg, from, bytes, (size_t)n));
	gguf_out_pair(&m->out, (struct str){ bytes, (size_t)n });
	return m->out.kv.err;
}

static enum err walk_pair(struct merge *m, struct part *p, bool keep)
{
	static const struct {
		const char *key;
		size_t at;
	} own[] = { { "split.no", offsetof(struct part, number) },
		{ "split.count", offsetof(struct part, count) },
		{ "general.alignment", offsetof(struct part, align) } };
	char key[GGUF_KEY_MAX + 1];
	uint64_t kind, from = m->in.at;
	TRY(get_name(&m->in, key, sizeof key));
	TRY(gguf_get_uint(&m->in, 4, &kind));
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcmp(key, own[i].key) && kind < K_KINDS && kind != K_STRING &&
			kind != K_ARRAY)
			return gguf_get_uint(&m->in, kind_bytes[kind],
				(uint64_t *)(void *)((char *)p + own[i].at));
	TRY(skip_value(&m->in, kind));
	return keep && strncmp(key, "split.", 6) != 0 ? keep_pair(m, p, from) : OK;
}

static enum err walk_tensor(struct gguf_in *in, struct tensor *t)
{
	uint64_t n, elements = 1, end;
	TRY(get_name(in, t->name, 64));
	TRY(gguf_get_uint(in, 4, &n));
	if (!n || n > GGUF_DIMS_MAX)
		return gguf_bad(in, "a tensor has absurd dimensions");
	t->n_dims = (unsigned)n;
	for (unsigned i = 0; i < n; i++) {
		TRY(gguf_get_uint(in, 8, &t->dim[i]));
		if (!t->dim[i] || __builtin_mul_overflow(elements, t->dim[i], &elements))
			return gguf_bad(in, "a tensor has absurd dimensions");
	}
	TRY(gguf_get_uint(in, 4, &t->type));
	TRY(gguf_get_uint(in, 8, &t->offset));
	const struct gguf_type *g =
		gguf_type_find((unsigned)(t->type > GGUF_TYPES ? GGUF_TYPES : t->type));
	if (!g || elements % g->block ||
		__builtin_mul_overflow(elements / g->block, (uint64_t)g->bytes, &t->bytes) ||
		__builtin_add_overflow(t->offset, t->bytes, &end))
		return gguf_bad(in, "a tensor has an unknown type or absurd dimensions");
	return OK;
}

static enum err walk_tensors(struct merge *m, struct part *p)
{
	if (!p->align || p->align > ALIGN_MAX || (p->align & (p->align - 1)))
		return gguf_bad(&m->in, "the alignment is not a sensible power of two");
	p->tensor = mem_zalloc((size_t)p->n_tensors + 1, sizeof *p->tensor);
	if (!p->tensor)
		return ERR_NOMEM;
	for (uint64_t i = 0; i < p->n_tensors; i++)
		TRY(walk_tensor(&m->in, &p->tensor[i]));
	p->data = (m->in.at + p->align - 1) / p->align * p->align;
	uint64_t room = p->data <= m->in.size ? m->in.size - p->data : 0;
	for (uint64_t i = 0; i < p->n_tensors; i++)
		if (p->tensor[i].offset > room || p->tensor[i].bytes > room - p->tensor[i].offset)
			return gguf_bad(&m->in, "a tensor lies outside the file");
	return OK;
}

static enum err read_start(struct merge *m, struct part *p)
{
	uint8_t magic[4];
	uint64_t version;
	TRY(gguf_get(&m->in, magic, sizeof magic));
	TRY(gguf_get_uint(&m->in, 4, &version));
	if (memcmp(magic, "GGUF", 4) != 0 || version != 3)
		return gguf_bad(&m->in, "it is not a GGUF file of version 3");
	TRY(gguf_get_uint(&m->in, 8, &p->n_tensors));
	TRY(gguf_get_uint(&m->in, 8, &p->n_pairs));
	if (p->n_tensors > GGUF_TENSORS_MAX || p->n_pairs > GGUF_KV_MAX)
		return gguf_bad(&m->in, "it claims too many tensors or pairs");
	return OK;
}

/* `keep`: its pairs are the new file's. */
static enum err walk_part(struct merge *m, struct part *p, bool keep)
{
	m->in.size = p->file->size;
	m->in.at = m->in.window_at = m->in.window_n = 0;
	m->in.read = p->file->read;
	m->in.arg = p->file->arg;
	p->number = UINT64_MAX;
	p->count = 0;
	p->align = GGUF_OUT_ALIGN;
	TRY(read_start(m, p));
	for (uint64_t i = 0; i < p->n_pairs; i++)
		TRY(walk_pair(m, p, keep));
	return keep ? OK : walk_tensors(m, p);
}

/* ---- all of them ---- */

static enum err read_parts(struct merge *m, const struct make_part *files, struct err_info *info)
{
	for (size_t i = 0; i < m->n; i++) {
		struct part p = { .file = &files[i] };
		enum err e = walk_part(m, &p, false);
		if (!e && (p.count != m->n || p.number >= m->n))
			e = gguf_bad(&m->in, "it is part %llu of %llu, and there are %zu files",
				(unsigned long long)p.number + 1, (unsigned long long)p.count,
				m->n);
		else if (!e && m->part[p.number].file)
			e = gguf_bad(&m->in, "it is there twice");
		if (e) {
			mem_free(p.tensor);
			return e == ERR_MODEL_BAD ? err_set(info, e,
							    "file %zu of the model: %s", i + 1,
							    m->why)
						  : e;
		}
		m->part[p.number] = p;
	}
	return OK;
}

static enum err put_head(struct merge *m, struct buf *head, struct err_info *info)
{
	struct part again = { .file = m->part[0].file };
	enum err e = walk_part(m, &again, true);
	if (e)
		return err_set(info, e, "the first part: %s", m->why[0] ? m->why : err_text(e));
	for (size_t i = 0; i < m->n; i++)
		for (uint64_t k = 0; k < m->part[i].n_tensors; k++) {
			const struct tensor *t = &m->part[i].tensor[k];
			gguf_out_tensor(&m->out, str_from(t->name), t->n_dims, t->dim,
				(uint32_t)t->type, t->bytes);
		}
	return gguf_out_head(&m->out, head);
}

static enum err copy_tensor(struct merge *m, const struct part *p, const struct tensor *t,
	const struct make_sink *s)
{
	static const char zeros[GGUF_OUT_ALIGN];
	uint64_t at = p->data + t->offset, end = at + t->bytes;
	while (at < end) {
		size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
		TRY(p->file->read(p->file->arg, at, m->mem, n));
		TRY(s->write(s->arg, m->mem, n));
		at += n;
		m->done += n;
		TRY(s->progress(s->arg, m->done, m->out.at));
	}
	uint64_t pad = gguf_out_pad(t->bytes);
	m->done += pad;
	return pad ? s->write(s->arg, zeros, (size_t)pad) : OK;
}

static enum err merge(struct merge *m, const struct make_part *files, const struct make_sink *sink,
	struct err_info *info)
{
	AUTO_BUF struct buf head = BUF(GGUF_HEADER_MAX);
	TRY(read_parts(m, files, info));
	TRY(put_head(m, &head, info));
	TRY(sink->write(sink->arg, head.ptr, head.len));
	for (size_t i = 0; i < m->n; i++)
		for (uint64_t k = 0; k < m->part[i].n_tensors; k++)
			TRY(copy_tensor(m, &m->part[i], &m->part[i].tensor[k], sink));
	return OK;
}

enum err merge_run(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info)
{
	if (n < 2 || n > MERGE_PARTS_MAX)
		return err_set(info, ERR_LIMIT, "a model of 2 to %d parts can be put together",
			MERGE_PARTS_MAX);
	struct merge *m = mem_zalloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	m->n = n;
	m->in.why = m->why;
	gguf_out_init(&m->out);
	enum err e = merge(m, parts, sink, info);
	for (size_t i = 0; i < n; i++)
		mem_free(m->part[i].tensor);
	gguf_out_done(&m->out);
	mem_free(m);
	return e;
}
