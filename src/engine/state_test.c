/* States written out by hand as llama-kv-cache.cpp of the pinned version writes them. */
#include "engine/llama/state.h"

#include <string.h>

#include "base/buf.h"
#include "base/fault.h"
#include "tests/test.h"

enum { LAYERS = 2, WIDTH = 3, CELLS = 5 };

static void u32(struct buf *b, uint32_t v)
{
	CHECK_OK(buf_add(b, (struct str){ (const char *)&v, sizeof v }));
}

static void u64(struct buf *b, uint64_t v)
{
	CHECK_OK(buf_add(b, (struct str){ (const char *)&v, sizeof v }));
}

/* Halves that name layer, cell and column, so that one in the wrong place shows. */
static void half(struct buf *b, unsigned what, unsigned layer, unsigned cell, unsigned column)
{
	uint16_t v = (uint16_t)(what << 12 | layer << 8 | cell << 4 | column);
	CHECK_OK(buf_add(b, (struct str){ (const char *)&v, sizeof v }));
}

static void values(struct buf *b, unsigned section, unsigned layer, uint32_t n, bool transposed)
{
	u32(b, 1); /* f16 */
	if (!transposed) {
		u64(b, WIDTH * 2);
		for (unsigned c = 0; c < n; c++)
			for (unsigned w = 0; w < WIDTH; w++)
				half(b, 2 + section, layer, c, w);
		return;
	}
	u32(b, 2);
	u32(b, WIDTH);
	for (unsigned w = 0; w < WIDTH; w++)
		for (unsigned c = 0; c < n; c++)
			half(b, 2 + section, layer, c, w);
}

static void section(struct buf *b, unsigned i, uint32_t n, unsigned stream, struct state_form f)
{
	u32(b, f.streams);
	for (unsigned s = 0; s < f.streams; s++) {
		if (s != stream || !n) {
			u32(b, 0);
			continue;
		}
		u32(b, n);
		for (unsigned c = 0; c < n; c++) {
			u32(b, c);
			u32(b, 1);
			u32(b, 7); /* id */
		}
		u32(b, f.transposed);
		u32(b, LAYERS);
		for (unsigned l = 0; l < LAYERS; l++) {
			u32(b, 1);
			u64(b, WIDTH * 2);
			for (unsigned c = 0; c < n; c++)
				for (unsigned w = 0; w < WIDTH; w++)
					half(b, i, l, c, w);
		}
		for (unsigned l = 0; l < LAYERS; l++)
			values(b, i, l, n, f.transposed);
	}
}

static struct buf state(unsigned sections, unsigned stream, struct state_form f)
{
	struct buf b = BUF(1 << 16);
	u32(&b, 0xaf143cd8);
	u32(&b, 7);
	for (unsigned i = 0; i < sections; i++)
		section(&b, i, i ? CELLS - 2 : CELLS, stream, f);
	return b;
}

static bool same(struct str a, struct str b)
{
	return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len);
}

static void join(const struct state_pieces *p, struct buf *out)
{
	for (unsigned i = 0; i < p->n; i++)
		CHECK_OK(buf_add(out, (struct str){ p->v[i].ptr, p->v[i].len }));
}

TEST(a_stream_among_many_becomes_the_only_one)
{
	for (unsigned sections = 1; sections <= STATE_SECTIONS; sections++)
		for (unsigned stream = 0; stream < 8; stream++)
			for (int transposed = 0; transposed < 2; transposed++) {
				struct state_form many = { 8, transposed }, one = { 1, transposed };
				struct buf in = state(sections, stream, many),
					   want = state(sections, 0, one);
				size_t n = in.len;
				CHECK(state_narrow((uint8_t *)in.ptr, &n, sections, many));
				CHECK(same((struct str){ in.ptr, n }, buf_str(&want)));
				buf_done(&in);
				buf_done(&want);
			}
}

TEST(pieces_make_it_one_of_many_and_borrow_the_rest)
{
	for (unsigned sections = 1; sections <= STATE_SECTIONS; sections++)
		for (int transposed = 0; transposed < 2; transposed++) {
			struct state_form many = { 8, transposed }, one = { 1, transposed };
			struct buf in = state(sections, 0, one), want = state(sections, 0, many),
				   got = BUF(1 << 16);
			struct state_pieces p;
			const uint8_t *bytes = (const uint8_t *)in.ptr;
			CHECK(state_widen(bytes, in.len, sections, transposed, 8, &p));
			join(&p, &got);
			CHECK(same(buf_str(&got), buf_str(&want)));
			buf_done(&in);
			buf_done(&want);
			buf_done(&got);
		}
}

TEST(values_change_their_order_and_back)
{
	struct state_form a = { 8, true }, b = { 1, false };
	for (int turn = 0; turn < 2; turn++) {
		struct state_form from = turn ? b : a, to = turn ? a : b;
		struct buf in = state(2, 0, from), want = state(2, 0, to);
		uint8_t *got = NULL;
		size_t n = 0;
		CHECK(state_convert((const uint8_t *)in.ptr, in.len, 2, from, to, &got, &n));
		CHECK(same((struct str){ (const char *)got, n }, buf_str(&want)));
		mem_free(got);
		buf_done(&in);
		buf_done(&want);
	}
}

TEST(a_state_without_cells_is_one)
{
	struct buf in = BUF(1 << 10), want = BUF(1 << 10), got = BUF(1 << 10);
	struct state_pieces p;
	u32(&in, 0xaf143cd8);
	u32(&in, 7);
	u32(&want, 0xaf143cd8);
	u32(&want, 7);
	section(&in, 0, 0, 0, (struct state_form){ 1, true });
	section(&want, 0, 0, 0, (struct state_form){ 8, true });
	CHECK(state_widen((const uint8_t *)in.ptr, in.len, 1, true, 8, &p));
	join(&p, &got);
	CHECK(same(buf_str(&got), buf_str(&want)));
	buf_done(&in);
	buf_done(&want);
	buf_done(&got);
}

/* Cut anywhere, with another number of streams, or with bytes behind it: refused, nothing read past
 * its end (each copy is as long as what it holds). */
TEST(what_is_no_state_is_refused)
{
	struct state_form many = { 8, true }, one = { 1, true };
	struct buf wide = state(2, 3, many), narrow = state(2, 0, one);
	struct state_pieces p;
	for (size_t n = 0; n < wide.len; n++) {
		uint8_t *copy = mem_alloc(n);
		size_t len = n;
		memcpy(copy, wide.ptr, n);
		CHECK(!state_narrow(copy, &len, 2, many));
		mem_free(copy);
	}
	for (size_t n = 0; n < narrow.len; n++) {
		uint8_t *copy = mem_alloc(n);
		memcpy(copy, narrow.ptr, n);
		CHECK(!state_widen(copy, n, 2, true, 8, &p));
		mem_free(copy);
	}
	size_t len = wide.len;
	CHECK(!state_narrow((uint8_t *)wide.ptr, &len, 2, (struct state_form){ 4, true }));
	CHECK(!state_widen((const uint8_t *)wide.ptr, wide.len, 2, true, 8, &p));
	CHECK(!state_widen((const uint8_t *)narrow.ptr, narrow.len, 1, true, 8, &p));
	CHECK(!state_widen((const uint8_t *)narrow.ptr, narrow.len, 3, true, 8, &p));
	CHECK(!state_widen((const uint8_t *)narrow.ptr, narrow.len, 2, true, 257, &p));
	CHECK(!state_widen((const uint8_t *)narrow.ptr, narrow.len, 2, true, 0, &p));
	buf_done(&wide);
	buf_done(&narrow);
}
