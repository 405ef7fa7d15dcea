#include "engine/llama/state.h"

#include <string.h>

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

static void skip_rows(struct reader *r, uint64_t cells, uint64_t row)
{
	if (row > 1 << 24) /* bytes of one cell in one layer */
		r->bad = true;
	(void)take(r, cells * (r->bad ? 0 : row));
}

/* Past the cells of one stream: their positions, then keys and values layer by layer. */
static void skip_cells(struct reader *r, uint32_t cells)
{
	(void)take(r, (uint64_t)cells * CELL_META);
	uint32_t transposed = take_u32(r), layers = take_u32(r);
	for (uint32_t i = 0; i < layers && !r->bad; i++) {
		(void)take_u32(r); /* type */
		skip_rows(r, cells, take_u64(r));
	}
	for (uint32_t i = 0; i < layers && !r->bad; i++) {
		(void)take_u32(r);
		if (transposed) {
			uint64_t element = take_u32(r), width = take_u32(r);
			skip_rows(r, cells, element * width);
		} else {
			skip_rows(r, cells, take_u64(r));
		}
	}
}

size_t state_size_single(size_t len, unsigned streams, unsigned sections)
{
	size_t less = (size_t)(streams - 1) * COUNT * sections;
	return len > less ? len - less : 0;
}

size_t state_size_streams(size_t len, unsigned streams, unsigned sections)
{
	return len + (size_t)(streams - 1) * COUNT * sections;
}

static uint8_t *put(uint8_t *out, const void *p, size_t n)
{
	memcpy(out, p, n);
	return out + n;
}

static uint8_t *put_u32(uint8_t *out, uint32_t v)
{
	return put(out, &v, sizeof v);
}

/* Reads a section written for `from` streams and writes it for `to`: the one stream that has cells
 * comes first, empty ones fill up. Returns the end of what was written. */
static uint8_t *section(struct reader *r, unsigned from, unsigned to, uint8_t *out)
{
	uint32_t cells = 0;
	const uint8_t *body = NULL;
	size_t len = 0;
	if (take_u32(r) != from)
		r->bad = true;
	for (unsigned s = 0; s < from && !r->bad; s++) {
		uint32_t n = take_u32(r);
		if (!n)
			continue;
		if (cells)
			r->bad = true; /* one sequence lies in one stream */
		cells = n;
		body = r->at;
		skip_cells(r, n);
		len = (size_t)(r->at - body);
	}
	if (r->bad)
		return out;
	out = put_u32(out, to);
	out = put_u32(out, cells);
	if (cells)
		out = put(out, body, len);
	for (unsigned s = 1; s < to; s++)
		out = put_u32(out, 0);
	return out;
}

static bool convert(const uint8_t *in, size_t len, unsigned from, unsigned to, unsigned sections,
	uint8_t *out, size_t size)
{
	struct reader r = { in, len, false };
	const uint8_t *head = take(&r, HEAD), *begin = out;
	if (!head)
		return false;
	out = put(out, head, HEAD);
	for (unsigned i = 0; i < sections && !r.bad; i++)
		out = section(&r, from, to, out);
	return !r.bad && !r.left && (size_t)(out - begin) == size;
}

bool state_to_single(
	const uint8_t *in, size_t len, unsigned streams, unsigned sections, uint8_t *out)
{
	size_t size = state_size_single(len, streams, sections);
	return size && convert(in, len, streams, 1, sections, out, size);
}

bool state_to_streams(
	const uint8_t *in, size_t len, unsigned streams, unsigned sections, uint8_t *out)
{
	return convert(in, len, 1, streams, sections, out,
		state_size_streams(len, streams, sections));
}
