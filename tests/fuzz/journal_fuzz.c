/* The journal of a partial download: whatever lies in it, the ranges it gives are ordered and
 * inside the file. The sums are made right, or no changed slot would get past them. */
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/err.h"
#include "models/journal.h"
#include "os/fd.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD = 8 + 8 + 8 + SHA256_LEN + 8, SIZE = 1 << 20 };

static void mend(uint8_t *slot, const uint8_t digest[SHA256_LEN])
{
	uint64_t n = 0, size = SIZE;
	memcpy(slot, "TRSRPRT1", 8);
	memcpy(slot + 16, &size, 8); /* little endian, as the journal */
	memcpy(slot + 24, digest, SHA256_LEN);
	memcpy(&n, slot + HEAD - 8, 8);
	if (n <= (JOURNAL_SLOT_BYTES - HEAD - SHA256_LEN) / 16)
		sha256_of(slot, HEAD + n * 16, slot + HEAD + n * 16);
}

FUZZ
{
	static uint8_t file[2 * JOURNAL_SLOT_BYTES];
	static const uint8_t digest[SHA256_LEN] = { 1, 2, 3 };
	struct journal j;
	struct ranges r;
	AUTO_FD int fd = -1;
	memset(file, 0, sizeof file);
	for (size_t i = 0; i < 2; i++) {
		size_t at = i * size / 2, n = size / 2;
		memcpy(file + i * JOURNAL_SLOT_BYTES + HEAD - 8, data + at,
			n < JOURNAL_SLOT_BYTES - HEAD ? n : JOURNAL_SLOT_BYTES - HEAD);
		mend(file + i * JOURNAL_SLOT_BYTES, digest);
	}
	if (fd_memfd("journal", (struct str){ (const char *)file, sizeof file }, &fd))
		DIE("no memory file");
	enum err e = journal_open(&j, fd, SIZE, digest, &r);
	if (e)
		DIE("a journal that cannot be used counts as empty");
	for (size_t i = 0; i < r.n; i++)
		if (r.at[i].from >= r.at[i].to || r.at[i].to > SIZE ||
			(i && r.at[i].from <= r.at[i - 1].to))
			DIE("ranges that are none");
}
