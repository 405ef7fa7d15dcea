#include "engine/llama/state.h"

#include <string.h>

#include "base/fault.h"

enum {
	HEAD = 8,      /* magic and sequence id */
	COUNT = 4,     /* number of streams; cells of a stream */
	CELL_META = 12 /* position, number of ids (1), id */
};

struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct reader *r, uint64_t n)
{
	if (r->bad || n > r->left) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->at;
	r->at += n;
	r->left -= (size_t)n;
	return p;
}

static uint32_t take_u32(struct reader *r)
{
	uint32_t v = 0;
	const uint8_t *p = take(r, sizeof v);
	if (p)
		memcpy(&v, p, sizeof v);
	return v;
}

static uint64_t take_u64(struct reader *r)
{
	uint64_t v = 0;
	const uint8_t *p = take(r, sizeof v);
	if (p)
		memcpy(&v, p, sizeof v);
	return v;
}

/* Bytes in, bytes out; `out` may be NULL: then only the length is counted. It may be where they are
 * read, too, when no more is written than was read before. */
struct writer {
	uint8_t *out;
	size_t n;
};

static void put(struct writer *w, const void *p, uint64_t n)
{
	if (w->out && p)
		memmove(w->out + w->n, p, n);
	w->n += n;
}

static void put_u32(struct writer *w, uint32_t v)
{
	put(w, &v, sizeof v);
}

static void put_u64(struct writer *w, uint64_t v)
{
	put(w, &v, sizeof v);
}

static const uint8_t *take_rows(struct reader *r, uint64_t cells, uint64_t row)
{
	if (row > 1 << 24) /* bytes of one cell in one layer */
		r->bad = true;
	return take(r, cells * (r->bad ? 0 : row));
}

enum { BLOCK = 32 }; /* cells and values at a time: both sides stay in the cache */

/* (cells, width) of 2-byte values to (width, cells), or back with the numbers exchanged. */
static void transpose(const uint16_t *in, size_t rows, size_t columns, uint16_t *out)
{
	for (size_t r0 = 0; r0 < rows; r0 += BLOCK)
		for (size_t c0 = 0; c0 < columns; c0 += BLOCK)
			for (size_t r = r0; r < rows && r < r0 + BLOCK; r++)
				for (size_t c = c0; c < columns && c < c0 + BLOCK; c++)
					memcpy(out + c * rows + r, in + r * columns + c,
						sizeof *out);
}

/* One layer's values. Only 2-byte types can change their order. */
static void values(struct reader *r, struct writer *w, uint64_t cells, bool from, bool to)
{
	uint32_t type = take_u32(r), element = from ? take_u32(r) : 2;
	uint64_t width = from ? take_u32(r) : 0, row = from ? element * width : take_u64(r);
	const uint8_t *data = take_rows(r, cells, row);
	if (r->bad || (from != to && (element != 2 || row % 2 || type != 1 /* f16 */))) {
		r->bad = true;
		return;
	}
	put_u32(w, type);
	if (to) {
		put_u32(w, element);
		put_u32(w, (uint32_t)(row / element));
	} else {
		put_u64(w, row);
	}
	if (from == to || !w->out)
		put(w, data, cells * row);
	else {
		size_t n = (size_t)(row / 2);
		void *out = w->out + w->n;
		transpose((const void *)data, from ? n : cells, from ? cells : n, out);
		w->n += cells * row;
	}
}

/* The cells of one stream: their positions, then keys and values layer by layer. */
static void cells_of(struct reader *r, struct writer *w, uint32_t cells, struct state_form to)
{
	put(w, take(r, (uint64_t)cells * CELL_META), (uint64_t)cells * CELL_META);
	uint32_t transposed = take_u32(r), layers = take_u32(r);
	put_u32(w, to.transposed);
	put_u32(w, layers);
	for (uint32_t i = 0; i < layers && !r->bad; i++) {
		uint32_t type = take_u32(r);
		uint64_t row = take_u64(r);
		const uint8_t *data = take_rows(r, cells, row);
		if (r->bad)
			return;
		put_u32(w, type);
		put_u64(w, row);
		put(w, data, cells * row);
	}
	for (uint32_t i = 0; i < layers && !r->bad; i++)
		values(r, w, cells, transposed, to.transposed);
}

/* Reads a section written for one form and writes it for another: the one stream that has cells
 * comes first, empty ones fill up. */
static void section(
	struct reader *r, struct writer *w, struct state_form from, struct state_form to)
{
	bool any = false;
	if (take_u32(r) != from.streams)
		r->bad = true;
	put_u32(w, to.streams);
	for (unsigned s = 0; s < from.streams && !r->bad; s++) {
		uint32_t n = take_u32(r);
		if (!n)
			continue;
		if (any)
			r->bad = true; /* one sequence lies in one stream */
		any = true;
		put_u32(w, n);
		cells_of(r, w, n, to);
	}
	for (unsigned s = any; s < to.streams; s++)
		put_u32(w, 0);
}

static bool run(const uint8_t *in, size_t len, unsigned sections, struct state_form from,
	struct state_form to, struct writer *w)
{
	struct reader r = { in, len, false };
	put(w, take(&r, HEAD), HEAD);
	for (unsigned i = 0; i < sections && !r.bad; i++)
		section(&r, w, from, to);
	return !r.bad && !r.left;
}

bool state_convert(const uint8_t *in, size_t len, unsigned sections, struct state_form from,
	struct state_form to, uint8_t **ret, size_t *ret_len)
{
	struct writer count = { 0 }, w = { 0 };
	if (!run(in, len, sections, from, to, &count))
		return false;
	w.out = mem_alloc(count.n);
	if (!w.out)
		return false;
	(void)run(in, len, sections, from, to, &w);
	*ret = w.out;
	*ret_len = w.n;
	return true;
}

bool state_narrow(uint8_t *bytes, size_t *len, unsigned sections, struct state_form from)
{
	struct writer count = { 0 }, w = { .out = bytes };
	struct state_form to = { 1, from.transposed };
	if (!run(bytes, *len, sections, from, to, &count))
		return false;
	(void)run(bytes, *len, sections, from, to, &w);
	*len = w.n;
	return true;
}

static const uint32_t NO_CELLS[255]; /* of the streams behind the first */

bool state_widen(const uint8_t *in, size_t len, unsigned sections, bool transposed,
	uint32_t streams, struct state_pieces *ret)
{
	struct reader r = { in, len, false };
	struct state_form one = { 1, transposed };
	*ret = (struct state_pieces){ .streams = streams };
	if (sections > STATE_SECTIONS || !streams ||
		streams > 1 + sizeof NO_CELLS / sizeof *NO_CELLS)
		return false;
	ret->v[ret->n++] = (struct state_piece){ take(&r, HEAD), HEAD };
	for (unsigned i = 0; i < sections && !r.bad; i++) {
		const uint8_t *from = r.at + COUNT;
		struct writer nowhere = { 0 };
		section(&r, &nowhere, one, one);
		if (r.bad)
			return false;
		ret->v[ret->n++] = (struct state_piece){ &ret->streams, sizeof ret->streams };
		ret->v[ret->n++] = (struct state_piece){ from, (size_t)(r.at - from) };
		ret->v[ret->n++] = (struct state_piece){ NO_CELLS, (streams - 1) * COUNT };
	}
	return !r.bad && !r.left;
}
