#include <string.h>

#include "base/fault.h"
#include "store/db_int.h"

/* The write-ahead log of SQLite (https://www.sqlite.org/fileformat2.html, section 4): a header of
 * 32 bytes, then frames of 24 + page bytes. Each frame repeats the header's salts and carries a
 * checksum that goes on from the frame before it (of the stored, encrypted bytes).
 *
 * SQLite takes the first frame that does not fit as the end of the log. After a power cut that is
 * right: the last transaction was never acknowledged. But when bytes in the middle were damaged, it
 * would silently forget acknowledged transactions. The two differ: with synchronous=FULL a
 * transaction's frames are durable before the next one's are written. So when a commit frame at or
 * after the first bad frame is directly continued by a frame whose checksum builds on it,
 * everything up to that commit was durable once, and the bad frame is damage. What is left of
 * older, longer, never finished transactions cannot look like that: its frames do not build on a
 * newer commit. */

enum { WAL_HEADER = 32, FRAME_HEADER = 24, FRAME = FRAME_HEADER + DB_PAGE_BYTES };
enum { WAL_MAGIC = 0x377f0682 }; /* lowest bit: checksums over big-endian words */

struct sum {
	uint32_t a, b;
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static struct sum sum_add(struct sum s, bool big_endian, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		s.a += (big_endian ? be32(p + i) : le32(p + i)) + s.b;
		s.b += (big_endian ? be32(p + i + 4) : le32(p + i + 4)) + s.a;
	}
	return s;
}

static struct sum stored_sum(const uint8_t *p) { return (struct sum){ be32(p), be32(p + 4) }; }
static bool sum_eq(struct sum x, struct sum y) { return x.a == y.a && x.b == y.b; }

/* Does frame `f` build on a frame (or header) whose stored checksum is `before`? */
static bool builds_on(const uint8_t *f, struct sum before, bool big_endian)
{
	struct sum s = sum_add(before, big_endian, f, 8);
	s = sum_add(s, big_endian, f + FRAME_HEADER, DB_PAGE_BYTES);
	return sum_eq(s, stored_sum(f + 16));
}

struct scan {
	wal_read_fn read;
	void *arg;
	uint64_t frames;
	bool big_endian;
	uint8_t salts[8];
	uint8_t *frame; /* FRAME bytes */
};

static enum err read_frame(const struct scan *s, uint64_t at)
{
	return s->read(s->arg, WAL_HEADER + at * FRAME, s->frame, FRAME);
}

/* After frame `bad` did not fit: was anything at or after it durable? */
static enum err look_behind(const struct scan *s, uint64_t bad)
{
	bool commit_before = false; /* the frame before is a commit with our salts */
	struct sum before = { 0, 0 };
	for (uint64_t i = bad; i < s->frames; i++) {
		TRY(read_frame(s, i));
		bool ours = memcmp(s->frame + 8, s->salts, 8) == 0 && be32(s->frame) != 0;
		if (ours && commit_before && builds_on(s->frame, before, s->big_endian))
			return ERR_CORRUPT;
		commit_before = ours && be32(s->frame + 4) != 0;
		before = stored_sum(s->frame + 16);
	}
	return OK;
}

static enum err scan_frames(struct scan *s, struct sum before)
{
	for (uint64_t i = 0; i < s->frames; i++) {
		TRY(read_frame(s, i));
		if (memcmp(s->frame + 8, s->salts, 8) != 0 || be32(s->frame) == 0 ||
		    !builds_on(s->frame, before, s->big_endian))
			return look_behind(s, i);
		before = stored_sum(s->frame + 16);
	}
	return OK;
}

/* The header's 32 bytes lie in one sector and are synced before the first frame: frames that build
 * on each other behind a bad header mean that the header was good once. */
static enum err header_bad(struct scan *s)
{
	if (s->frames < 2)
		return OK;
	for (int big = 0; big < 2; big++) {
		TRY(read_frame(s, 0));
		struct sum first = stored_sum(s->frame + 16);
		memcpy(s->salts, s->frame + 8, 8);
		TRY(read_frame(s, 1));
		if (memcmp(s->frame + 8, s->salts, 8) == 0 && be32(s->frame) != 0 &&
		    builds_on(s->frame, first, big))
			return ERR_CORRUPT;
	}
	return OK;
}

enum err wal_check(wal_read_fn read, void *arg, uint64_t size)
{
	uint8_t h[WAL_HEADER];
	AUTO_MEM uint8_t *frame = NULL;
	if (size <= WAL_HEADER)
		return OK;
	TRY(read(arg, 0, h, sizeof h));
	if (!(frame = mem_alloc(FRAME)))
		return ERR_NOMEM;
	struct scan s = { .read = read, .arg = arg, .frames = (size - WAL_HEADER) / FRAME,
			  .frame = frame, .big_endian = be32(h) & 1 };
	struct sum before = sum_add((struct sum){ 0, 0 }, s.big_endian, h, 24);
	if ((be32(h) & ~1u) != WAL_MAGIC || be32(h + 8) != DB_PAGE_BYTES ||
	    !sum_eq(before, stored_sum(h + 24)))
		return header_bad(&s);
	memcpy(s.salts, h + 16, 8);
	return scan_frames(&s, before);
}
