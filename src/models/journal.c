#include "models/journal.h"

#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "os/fd.h"

/* A slot, little endian: magic, sequence, size, digest, count, count x (from, to), SHA-256 of all
 * before it. Binary, because a jail writes it and nobody else reads it. */
static const char MAGIC[8] = "TRSRPRT1";
enum { HEAD = 8 + 8 + 8 + SHA256_LEN + 8, SLOTS = 2 };
_Static_assert(
	HEAD + WRITER_RANGES_MAX * 16 + SHA256_LEN <= JOURNAL_SLOT_BYTES, "a slot holds all");

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* The slot's ranges and sequence, if it is whole and belongs to this blob. */
static bool slot_read(
	const struct journal *j, const uint8_t *slot, struct ranges *ret, uint64_t *ret_seq)
{
	uint8_t sum[SHA256_LEN];
	uint64_t n = get64(slot + HEAD - 8);
	if (memcmp(slot, MAGIC, sizeof MAGIC) != 0 || n > WRITER_RANGES_MAX)
		return false;
	size_t used = HEAD + (size_t)n * 16;
	sha256_of(slot, used, sum);
	if (memcmp(sum, slot + used, sizeof sum) != 0 || get64(slot + 16) != j->size ||
		memcmp(slot + 24, j->digest, sizeof j->digest) != 0)
		return false;
	ret->n = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t from = get64(slot + HEAD + i * 16), to = get64(slot + HEAD + i * 16 + 8);
		if (to > j->size || ranges_add(ret, from, to))
			return false;
	}
	*ret_seq = get64(slot + 8);
	return true;
}

/* Reads a slot, or as much of it as there is; the rest is zero. */
static enum err slot_load(int fd, unsigned slot, uint8_t mem[JOURNAL_SLOT_BYTES])
{
	struct stat st;
	uint64_t at = (uint64_t)slot * JOURNAL_SLOT_BYTES;
	memset(mem, 0, JOURNAL_SLOT_BYTES);
	if (fstat(fd, &st))
		return ERR_IO;
	if ((uint64_t)st.st_size <= at)
		return OK;
	uint64_t n = (uint64_t)st.st_size - at;
	return fd_pread_full(fd, mem, n < JOURNAL_SLOT_BYTES ? (size_t)n : JOURNAL_SLOT_BYTES, at);
}

enum err journal_open(struct journal *j, int fd, uint64_t size, const uint8_t digest[SHA256_LEN],
	struct ranges *ret)
{
	*j = (struct journal){ .fd = fd, .size = size };
	memcpy(j->digest, digest, sizeof j->digest);
	ret->n = 0;
	AUTO_MEM uint8_t *mem = mem_alloc(JOURNAL_SLOT_BYTES);
	AUTO_MEM struct ranges *found = mem_alloc(sizeof *found);
	if (!mem || !found)
		return ERR_NOMEM;
	for (unsigned i = 0; i < SLOTS; i++) {
		uint64_t seq;
		TRY(slot_load(fd, i, mem));
		if (slot_read(j, mem, found, &seq) && seq > j->seq) {
			j->seq = seq;
			*ret = *found;
		}
	}
	return OK;
}

enum err journal_note(struct journal *j, const struct ranges *r)
{
	AUTO_MEM uint8_t *mem = mem_alloc(JOURNAL_SLOT_BYTES);
	if (!mem)
		return ERR_NOMEM;
	uint64_t seq = j->seq + 1;
	memcpy(mem, MAGIC, sizeof MAGIC);
	put64(mem + 8, seq);
	put64(mem + 16, j->size);
	memcpy(mem + 24, j->digest, sizeof j->digest);
	put64(mem + HEAD - 8, r->n);
	for (size_t i = 0; i < r->n; i++) {
		put64(mem + HEAD + i * 16, r->at[i].from);
		put64(mem + HEAD + i * 16 + 8, r->at[i].to);
	}
	size_t used = HEAD + r->n * 16;
	sha256_of(mem, used, mem + used);
	TRY(fd_pwrite_full(j->fd, mem, used + SHA256_LEN, seq % SLOTS * JOURNAL_SLOT_BYTES));
	TRY(fd_sync(j->fd));
	j->seq = seq;
	return OK;
}
