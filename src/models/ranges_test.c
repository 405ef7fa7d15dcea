#include "models/ranges.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "models/journal.h"
#include "tests/test.h"

enum { SPACE = 200, ROUNDS = 20000 };

/* Compared with the plainest way there is: one flag a byte. */
TEST(ranges_say_what_flags_say)
{
	static struct ranges r;
	bool flag[SPACE] = { false };
	srandom(7);
	for (int round = 0; round < ROUNDS; round++) {
		if (round % 40 == 0) {
			r.n = 0;
			memset(flag, 0, sizeof flag);
		}
		uint64_t a = (uint64_t)random() % SPACE, b = a + (uint64_t)random() % 12;
		b = b > SPACE ? SPACE : b;
		CHECK_OK(ranges_add(&r, a, b));
		for (uint64_t i = a; i < b; i++)
			flag[i] = true;
		uint64_t total = 0, reach = (uint64_t)random() % SPACE, from = reach;
		for (int i = 0; i < SPACE; i++)
			total += flag[i];
		while (reach < SPACE && flag[reach])
			reach++;
		CHECK_EQ_INT(ranges_total(&r), total);
		CHECK_EQ_INT(ranges_reach(&r, from), reach);
		struct writer_range gap[SPACE];
		size_t n = ranges_gaps(&r, SPACE, gap, SPACE);
		uint64_t missing = 0;
		for (size_t i = 0; i < n; i++) {
			CHECK(gap[i].from < gap[i].to && (i == 0 || gap[i].from > gap[i - 1].to));
			for (uint64_t k = gap[i].from; k < gap[i].to; k++)
				CHECK(!flag[k]);
			missing += gap[i].to - gap[i].from;
		}
		CHECK_EQ_INT(missing + total, SPACE);
		for (size_t i = 1; i < r.n; i++)
			CHECK(r.at[i].from > r.at[i - 1].to); /* touching pieces are one */
	}
}

TEST(too_many_pieces_are_refused_unchanged)
{
	static struct ranges r;
	r.n = 0;
	for (uint64_t i = 0; i < WRITER_RANGES_MAX; i++)
		CHECK_OK(ranges_add(&r, i * 10, i * 10 + 5));
	CHECK_ERR(ranges_add(&r, 100000, 100001), ERR_LIMIT);
	CHECK_EQ_INT(ranges_total(&r), WRITER_RANGES_MAX * 5);
	CHECK_OK(ranges_add(&r, 5, 10)); /* joining two needs no room */
	CHECK_EQ_INT(r.n, WRITER_RANGES_MAX - 1);
	CHECK_ERR(ranges_add(&r, 2, 1), ERR_INVALID);
	CHECK_OK(ranges_add(&r, 3, 3));
}

TEST(a_gap_list_has_a_limit)
{
	static struct ranges r;
	struct writer_range gap[2];
	r.n = 0;
	CHECK_OK(ranges_add(&r, 1, 2));
	CHECK_OK(ranges_add(&r, 3, 4));
	CHECK_EQ_INT(ranges_gaps(&r, 10, gap, 2), 2);
	CHECK_EQ_INT(ranges_gaps(&r, 10, gap, 0), 0);
	CHECK_EQ_INT(ranges_reach(&r, UINT64_MAX - 1), UINT64_MAX - 1);
}

/* ---- the journal ---- */
static const uint8_t digest[SHA256_LEN] = { 1, 2, 3 };

static int open_file(void)
{
	char path[4200];
	(void)snprintf(path, sizeof path, "%s/journal", test_dir());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	return fd;
}

TEST(the_last_note_comes_back)
{
	static struct ranges r, back;
	struct journal j;
	int fd = open_file();
	CHECK_OK(journal_open(&j, fd, 1000, digest, &back));
	CHECK_EQ_INT(back.n, 0);
	for (uint64_t i = 0; i < 20; i++) {
		CHECK_OK(ranges_add(&r, i * 40, i * 40 + 20));
		CHECK_OK(journal_note(&j, &r));
		struct journal k;
		CHECK_OK(journal_open(&k, fd, 1000, digest, &back));
		CHECK_EQ_INT(back.n, r.n);
		CHECK_EQ_INT(ranges_total(&back), ranges_total(&r));
	}
	uint8_t other[SHA256_LEN] = { 9 };
	CHECK_OK(journal_open(&j, fd, 1000, other, &back));
	CHECK_EQ_INT(back.n, 0);
	CHECK_OK(journal_open(&j, fd, 999, digest, &back));
	CHECK_EQ_INT(back.n, 0);
	(void)close(fd);
}

/* A write that stops after any number of bytes, or leaves rubbish behind, gives the note before it
 * or the new one: never one that nobody made. */
TEST(a_torn_note_never_promises_more)
{
	static struct ranges one, two, back;
	static uint8_t before[2 * JOURNAL_SLOT_BYTES], after[2 * JOURNAL_SLOT_BYTES];
	struct journal j;
	int fd = open_file();
	CHECK_OK(journal_open(&j, fd, 1000, digest, &back));
	CHECK_OK(ranges_add(&one, 0, 100));
	CHECK_OK(journal_note(&j, &one));
	CHECK_OK(journal_note(&j, &one));
	CHECK_EQ_INT(ftruncate(fd, sizeof before), 0);
	CHECK_EQ_INT(pread(fd, before, sizeof before, 0), sizeof before);
	two = one;
	CHECK_OK(ranges_add(&two, 200, 300));
	CHECK_OK(journal_note(&j, &two));
	CHECK_EQ_INT(pread(fd, after, sizeof after, 0), sizeof after);
	size_t first = 0, last = 0;
	for (size_t i = 0; i < sizeof before; i++) {
		if (before[i] != after[i]) {
			last = i;
			first = first ? first : i;
		}
	}
	CHECK(first && last > first);
	for (size_t cut = first; cut <= last + 1; cut++) {
		for (int rubbish = 0; rubbish < 2; rubbish++) {
			static uint8_t now[2 * JOURNAL_SLOT_BYTES];
			memcpy(now, before, sizeof now);
			memcpy(now + first, after + first, cut - first);
			if (rubbish && cut <= last)
				now[cut] ^= 0x55;
			CHECK_EQ_INT(pwrite(fd, now, sizeof now, 0), sizeof now);
			struct journal k;
			CHECK_OK(journal_open(&k, fd, 1000, digest, &back));
			uint64_t total = ranges_total(&back);
			CHECK(total == 100 || (total == 200 && cut > last));
		}
	}
	(void)close(fd);
}

TEST(a_journal_that_cannot_be_written_says_so)
{
	static struct ranges r, back;
	CHECK_OK(ranges_add(&r, 0, 10));
	FOR_EACH_FAULT(FAULT_SYSCALL, n) {
		struct journal j;
		int fd = open_file();
		enum err e = journal_open(&j, fd, 1000, digest, &back);
		if (!e)
			e = journal_note(&j, &r);
		CHECK_EQ_INT(e != OK, fault_fired(FAULT_SYSCALL));
		(void)close(fd);
	}
}
