/* models/journal.h - which ranges of a partial file are durable, in a file that may tear.
 *
 * Two slots written in turn, each with a sequence number and a SHA-256 over itself: a write that
 * tears leaves the other slot. A journal of another size or digest counts as empty. */
#pragma once

#include "models/ranges.h"

enum { JOURNAL_SLOT_BYTES = 32 * 1024 };

struct journal {
	int fd; /* borrowed */
	uint64_t size, seq;
	uint8_t digest[SHA256_LEN];
};
/* Reads what is there into *ret (empty when nothing usable is). Errors: ERR_IO. */
enum err journal_open(struct journal *j, int fd, uint64_t size, const uint8_t digest[SHA256_LEN],
		      struct ranges *ret);
/* Writes and makes durable; the data was made durable by the caller before.
 * Errors: ERR_NOSPACE, ERR_IO. */
enum err journal_note(struct journal *j, const struct ranges *r);
