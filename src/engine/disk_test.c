#include "engine/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "engine/disk_int.h"
#include "engine/disk_meta.h"
#include "os/fd.h"
#include "tests/test.h"

static const uint8_t key[KEY_LEN] = { 1, 2, 3 };
static const uint8_t fingerprint[32] = { 9, 9 };
enum { LIMIT = 1 << 20, TOKENS = 40 };

static int open_file(void)
{
	char path[600];
	int fd = -1;
	CHECK_OK(crypto_init());
	snprintf(path, sizeof path, "%s/f.kv", test_dir());
	CHECK_OK(fd_open(path, O_RDWR | O_CREAT, 0600, &fd));
	return fd;
}

static struct disk *open_disk(uint64_t limit)
{
	struct disk *d = NULL;
	CHECK_OK(disk_new(open_file(), key, fingerprint, limit, &d));
	return d;
}

static struct disk_stats stats(struct disk *d)
{
	struct disk_stats s;
	disk_stats(d, &s);
	return s;
}

static void tokens_of(uint64_t seed, int32_t t[TOKENS])
{
	for (int i = 0; i < TOKENS; i++)
		t[i] = (int32_t)(seed * 100 + (unsigned)i);
}

static void state_of(uint64_t seed, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		CHECK_OK(buf_add_byte(out, (char)(seed * 31 + i * 7)));
}

static enum err try_add(struct disk *d, uint64_t seed, uint64_t person, uint64_t object,
	uint64_t parent, uint32_t from, size_t bytes, uint64_t *ret)
{
	AUTO_BUF struct buf state = BUF(64 << 20);
	int32_t t[TOKENS];
	tokens_of(seed, t);
	state_of(seed, bytes, &state);
	struct disk_record r = { .level = DISK_PERSON, .scope = person, .person = person,
		.object = object, .parent = parent, .from = from, .n = TOKENS, .tokens = t };
	return disk_add(d, &r, buf_str(&state), ret);
}

static uint64_t add(struct disk *d, uint64_t seed, uint64_t person, uint64_t object,
	uint64_t parent, uint32_t from, size_t bytes)
{
	uint64_t id = 0;
	CHECK_OK(try_add(d, seed, person, object, parent, from, bytes, &id));
	CHECK(id != 0 && disk_has(d, id));
	disk_flush(d);
	return id;
}

static char got[4 << 20];

static void check_read(struct disk *d, uint64_t id, uint64_t seed, size_t bytes)
{
	AUTO_BUF struct buf want = BUF(64 << 20);
	state_of(seed, bytes, &want);
	CHECK_OK(disk_read(d, id, got, bytes));
	CHECK(memcmp(got, want.ptr, want.len) == 0);
	CHECK_ERR(disk_read(d, id, got, bytes + 1), ERR_INVALID);
}

static void check_gone(struct disk *d, uint64_t id)
{
	CHECK(!disk_has(d, id));
	CHECK_ERR(disk_read(d, id, got, 1), ERR_NOT_FOUND);
}

struct seen {
	size_t n;
	struct disk_record r[64];
	int32_t first[64], last[64];
};

static enum err see(void *arg, const struct disk_record *r)
{
	struct seen *s = arg;
	CHECK(s->n < 64);
	s->r[s->n] = *r;
	s->first[s->n] = r->tokens[0];
	s->last[s->n++] = r->tokens[r->n - 1];
	return OK;
}

static struct seen each(struct disk *d)
{
	struct seen s = { 0 };
	CHECK_OK(disk_each(d, see, &s));
	return s;
}

/* The whole file, searched for the sealed bytes of a record. */
static bool disk_holds(struct str bytes)
{
	char path[600];
	AUTO_BUF struct buf all = BUF(64 << 20);
	snprintf(path, sizeof path, "%s/f.kv", test_dir());
	CHECK_OK(file_read(path, &all));
	return str_find(buf_str(&all), bytes, 0) != SIZE_MAX;
}

TEST(what_was_added_is_read_now_and_after_a_restart)
{
	struct disk *d = open_disk(LIMIT * 8);
	int32_t t[TOKENS];
	AUTO_BUF struct buf plain = BUF(100);
	uint64_t a = add(d, 1, 10, 20, 0, 0, 3000), b = add(d, 2, 10, 21, a, TOKENS, 1),
		 c = add(d, 3, 11, 0, b, 2 * TOKENS, (2 << 20) + 5);
	tokens_of(1, t);
	state_of(1, 64, &plain);
	CHECK(!disk_holds((struct str){ (const char *)t, 16 }) && !disk_holds(buf_str(&plain)));
	for (int round = 0; round < 3; round++) {
		check_read(d, a, 1, 3000);
		check_read(d, b, 2, 1);
		check_read(d, c, 3, (2 << 20) + 5);
		struct seen s = each(d);
		CHECK_EQ_INT(s.n, 3);
		CHECK(s.r[0].id == a && s.r[1].id == b && s.r[2].id == c); /* parents first */
		CHECK(s.r[1].parent == a && s.r[1].from == TOKENS && s.r[1].n == TOKENS);
		CHECK(s.r[1].person == 10 && s.r[1].object == 21 && s.r[1].scope == 10 &&
			s.r[1].level == DISK_PERSON && s.r[2].state_bytes == (2 << 20) + 5);
		CHECK(s.first[2] == 300 && s.last[2] == 300 + TOKENS - 1);
		disk_free(d);
		d = open_disk(LIMIT * 8);
	}
	CHECK_EQ_INT(stats(d).records, 3);
	disk_free(d);
}

TEST(another_key_or_fingerprint_drops_all)
{
	static const uint8_t other[32] = { 7 };
	for (int which = 0; which < 2; which++) {
		struct disk *d = open_disk(LIMIT);
		uint64_t size;
		(void)add(d, 1, 10, 20, 0, 0, 3000);
		disk_free(d);
		CHECK_OK(disk_new(open_file(), which ? other : key, which ? fingerprint : other,
			LIMIT, &d));
		CHECK_EQ_INT(each(d).n, 0);
		AUTO_FD int fd = open_file();
		CHECK_OK(fd_size(fd, &size));
		CHECK_EQ_INT(size, 0); /* not only unseen: gone */
		disk_free(d);
		d = open_disk(LIMIT);
		CHECK_EQ_INT(each(d).n, 0);
		disk_free(d);
	}
}

TEST(bad_records_are_refused)
{
	AUTO(disk) struct disk *d = open_disk(LIMIT);
	int32_t t[2] = { 1, -1 };
	uint64_t id = 0, a = add(d, 1, 10, 20, 0, 0, 100);
	struct disk_record r = { .level = DISK_PERSON, .n = 1, .tokens = t };
	CHECK_ERR(disk_add(d, &r, STR(""), &id), ERR_INVALID);
	r.n = 0;
	CHECK_ERR(disk_add(d, &r, STR("x"), &id), ERR_INVALID);
	r = (struct disk_record){ .level = DISK_PERSON, .n = 1, .tokens = t, .from = 1 };
	CHECK_ERR(disk_add(d, &r, STR("x"), &id), ERR_INVALID); /* begins nowhere */
	r.parent = a;
	r.from = TOKENS + 1;
	CHECK_ERR(disk_add(d, &r, STR("x"), &id), ERR_INVALID); /* does not continue it */
	r.from = 0;
	CHECK_ERR(disk_add(d, &r, STR("x"), &id), ERR_INVALID); /* begins where it does */
	r.parent = a + 1;
	CHECK_ERR(disk_add(d, &r, STR("x"), &id), ERR_NOT_FOUND);
	r = (struct disk_record){ .level = (enum disk_level)3, .n = 1, .tokens = t };
	CHECK_ERR(disk_add(d, &r, STR("x"), &id), ERR_INVALID);
	CHECK_ERR(try_add(d, 1, 1, 1, 0, 0, LIMIT, &id), ERR_LIMIT);
	struct disk *none = NULL;
	CHECK_ERR(disk_new(open_file(), key, fingerprint, 0, &none), ERR_INVALID);
	CHECK_EQ_INT(stats(d).records, 1);
}

TEST(past_the_limit_the_oldest_leaves_go_and_never_a_beginning)
{
	AUTO(disk) struct disk *d = open_disk(64 * KVFILE_BLOCK);
	uint64_t root = add(d, 1, 10, 20, 0, 0, 4 * KVFILE_BLOCK), leaf[40];
	for (uint64_t i = 0; i < 40; i++) {
		leaf[i] = add(d, 100 + i, 10, 20, root, TOKENS, 4 * KVFILE_BLOCK);
		usleep(2000); /* uses are told apart by ms */
		if (i == 2)
			continue;
		if (disk_has(d, leaf[2]))
			disk_touch(d, leaf[2]);
	}
	struct disk_stats s = stats(d);
	CHECK(s.bytes <= 64 * KVFILE_BLOCK && s.bytes >= 50 * KVFILE_BLOCK);
	CHECK_EQ_INT(s.records + s.evicted, 41);
	check_read(d, root, 1, 4 * KVFILE_BLOCK);
	check_read(d, leaf[2], 102, 4 * KVFILE_BLOCK); /* used all the time */
	check_read(d, leaf[39], 139, 4 * KVFILE_BLOCK);
	check_gone(d, leaf[0]);
	check_gone(d, leaf[5]);
	AUTO_FD int fd = open_file();
	uint64_t size;
	CHECK_OK(fd_size(fd, &size));
	CHECK(size <= 64 * KVFILE_BLOCK); /* space is used again */
}

TEST(a_lower_limit_at_the_next_start_is_kept)
{
	struct disk *d = open_disk(LIMIT);
	for (uint64_t i = 0; i < 20; i++)
		(void)add(d, i, 10, 20, 0, 0, 5 * KVFILE_BLOCK);
	disk_free(d);
	d = open_disk(30 * KVFILE_BLOCK);
	CHECK(stats(d).bytes <= 30 * KVFILE_BLOCK);
	CHECK(stats(d).records >= 4);
	(void)add(d, 50, 10, 20, 0, 0, 5 * KVFILE_BLOCK);
	CHECK(stats(d).bytes <= 30 * KVFILE_BLOCK);
	disk_free(d);
}

TEST(purge_takes_the_records_what_continues_them_and_their_bytes)
{
	static const struct {
		uint64_t person, object;
		unsigned gone; /* bits of a..e */
	} cases[] = {
		{ 10, 20, 1 | 2 | 4 }, { 10, 0, 1 | 2 | 4 | 8 }, { 11, 20, 4 }, { 12, 0, 16 },
		{ 0, 0, 31 }, { 11, 99, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct disk *d = open_disk(LIMIT);
		uint64_t id[5];
		char sealed[5][64];
		id[0] = add(d, 1, 10, 20, 0, 0, 3000);
		id[1] = add(d, 2, 13, 29, id[0], TOKENS, 3000); /* of no use without a */
		id[2] = add(d, 3, 11, 20, id[1], 2 * TOKENS, 3000);
		id[3] = add(d, 4, 10, 21, 0, 0, 3000);
		id[4] = add(d, 5, 12, 0, 0, 0, 3000);
		AUTO_FD int fd = open_file();
		for (int k = 0; k < 5; k++)
			CHECK_OK(fd_pread_full(fd, sealed[k], 64,
				entry_find(d, id[k])->kv.offset + KVFILE_HEADER + 400));
		CHECK_OK(disk_purge(d, cases[i].person, cases[i].object));
		for (int round = 0; round < 2; round++) {
			for (unsigned k = 0; k < 5; k++) {
				bool gone = cases[i].gone & 1u << k;
				CHECK(disk_has(d, id[k]) == !gone);
				CHECK(disk_holds((struct str){ sealed[k], 64 }) == !gone);
			}
			disk_free(d);
			d = open_disk(LIMIT);
		}
		CHECK_OK(disk_purge(d, 0, 0));
		CHECK_EQ_INT(stats(d).bytes, 0);
		disk_free(d);
	}
}

TEST(what_is_queued_is_purged_too)
{
	for (int round = 0; round < 50; round++) {
		AUTO(disk) struct disk *d = open_disk(LIMIT * 16);
		uint64_t id[8], keep = 0;
		for (uint64_t i = 0; i < 8; i++)
			CHECK_OK(try_add(d, i, 10, 20, i ? id[i - 1] : 0, (uint32_t)i * TOKENS,
				200000, &id[i]));
		CHECK_OK(try_add(d, 9, 11, 20, 0, 0, 1000, &keep));
		check_read(d, id[7], 7, 200000); /* from the queue, or the disk already */
		CHECK_OK(round % 2 ? disk_purge(d, 10, 0) : disk_remove(d, id[0]));
		disk_flush(d);
		for (int i = 0; i < 8; i++)
			check_gone(d, id[i]);
		check_read(d, keep, 9, 1000);
		CHECK_EQ_INT(each(d).n, 1);
		CHECK_EQ_INT(stats(d).failed, 0);
		CHECK_OK(disk_purge(d, 0, 0));
	}
}

TEST(a_full_queue_refuses_and_nobody_waits)
{
	AUTO(disk) struct disk *d = open_disk(UINT64_C(1) << 30);
	uint64_t id, refused = 0;
	for (uint64_t i = 0; i < 4 * DISK_QUEUE_RECORDS && !refused; i++) {
		enum err e = try_add(d, i, 10, 20, 0, 0, 500000, &id);
		CHECK(e == OK || e == ERR_BUSY);
		refused += e == ERR_BUSY;
	}
	CHECK(stats(d).queued <= DISK_QUEUE_RECORDS);
	disk_flush(d);
	CHECK_EQ_INT(stats(d).queued, 0);
	CHECK_EQ_INT(stats(d).refused, refused);
	CHECK_EQ_INT(stats(d).records, stats(d).written);
	(void)add(d, 1, 10, 20, 0, 0, 10); /* and there is room again */
}

TEST(a_record_changed_on_disk_is_found_and_goes)
{
	AUTO(disk) struct disk *d = open_disk(LIMIT);
	uint64_t a = add(d, 1, 10, 20, 0, 0, 3000), b = add(d, 2, 10, 20, a, TOKENS, 100),
		 c = add(d, 3, 10, 20, 0, 0, 100);
	AUTO_FD int fd = open_file();
	uint8_t byte;
	CHECK_OK(fd_pread_full(fd, &byte, 1, entry_find(d, a)->kv.offset + 1500));
	byte ^= 4;
	CHECK_OK(fd_pwrite_full(fd, &byte, 1, entry_find(d, a)->kv.offset + 1500));
	CHECK_ERR(disk_read(d, a, got, 3000), ERR_CORRUPT);
	check_gone(d, a);
	check_gone(d, b);
	check_read(d, c, 3, 100);
}

/* The keeper removes records under a running engine: it finds nothing, and goes on. */
TEST(a_purge_by_the_keeper_meanwhile_is_survived)
{
	AUTO(disk) struct disk *d = open_disk(LIMIT);
	uint64_t a = add(d, 1, 10, 20, 0, 0, 3000), b = add(d, 2, 11, 20, 0, 0, 3000), n = 0;
	AUTO_FD int fd = open_file();
	CHECK_OK(kvfile_purge(fd, key, 10, 0, &n));
	CHECK_EQ_INT(n, 1);
	CHECK_ERR(disk_read(d, a, got, 3000), ERR_CORRUPT);
	check_read(d, b, 2, 3000);
	CHECK_OK(kvfile_purge(fd, key, 0, 0, &n)); /* cut to nothing */
	CHECK(disk_read(d, b, got, 3000) != OK);
	uint64_t c = add(d, 3, 11, 20, 0, 0, 3000);
	check_read(d, c, 3, 3000);
}

TEST(orphans_and_doubles_of_the_file_are_not_taken)
{
	struct disk *d = open_disk(LIMIT);
	uint64_t a = add(d, 1, 10, 20, 0, 0, 3000), b = add(d, 2, 11, 21, a, TOKENS, 100),
		 c = add(d, 3, 11, 21, b, 2 * TOKENS, 100), e = add(d, 4, 12, 0, 0, 0, 5000), n;
	struct kvfile_record copy = entry_find(d, e)->kv;
	char bytes[3 * KVFILE_BLOCK];
	AUTO_FD int fd = open_file();
	CHECK_OK(fd_cut(fd, LIMIT));
	CHECK_OK(fd_pread_full(fd, bytes, kvfile_length(&copy), copy.offset));
	CHECK_OK(fd_pwrite_full(fd, bytes, kvfile_length(&copy), LIMIT / 2));
	disk_free(d);
	CHECK_OK(kvfile_purge(fd, key, 10, 0, &n)); /* takes a; b and c hang in the air */
	CHECK_EQ_INT(n, 1);
	d = open_disk(LIMIT);
	check_gone(d, b);
	check_gone(d, c);
	check_read(d, e, 4, 5000);
	CHECK_EQ_INT(each(d).n, 1);
	CHECK_EQ_INT(stats(d).bytes, 2 * KVFILE_BLOCK);
	disk_free(d);
}

/* A kill at any byte of a write: the file ends there. */
TEST_TIMEOUT(a_file_cut_at_any_byte_opens_with_what_was_whole, 60)
{
	struct disk *d = open_disk(LIMIT);
	uint64_t a = add(d, 1, 10, 20, 0, 0, 300), b = add(d, 2, 10, 20, a, TOKENS, 300);
	uint64_t length = kvfile_length(&entry_find(d, b)->kv);
	static char bytes[2 * KVFILE_BLOCK];
	AUTO_FD int fd = open_file();
	CHECK_OK(fd_pread_full(fd, bytes, KVFILE_BLOCK + length, 0));
	disk_free(d);
	for (uint64_t cut = 0; cut <= KVFILE_BLOCK + length; cut += cut % 97 ? 1 : 3) {
		CHECK_OK(fd_cut(fd, 0));
		CHECK_OK(fd_pwrite_full(fd, bytes, cut, 0));
		d = open_disk(LIMIT);
		size_t want = cut == KVFILE_BLOCK + length ? 2 : cut >= length;
		CHECK_EQ_INT(each(d).n, want);
		if (want)
			check_read(d, a, 1, 300);
		if (want == 2)
			check_read(d, b, 2, 300);
		uint64_t again = add(d, 3, 10, 20, 0, 0, 100);
		check_read(d, again, 3, 100);
		disk_free(d);
	}
}

/* A session of adding, reading, purging and opening again with the n-th call failing: no crash, no
 * leak, nothing wrong ever read, and what a purge without error took is gone. */
static void live(enum fault_kind kind, unsigned nth, bool *ret_hit)
{
	struct disk *d = NULL;
	uint64_t a = 0, b = 0, c = 0;
	int fd = open_file();
	CHECK_OK(fd_cut(fd, 0));
	fault_arm(kind, nth);
	enum err e = disk_new(fd, key, fingerprint, 16 * KVFILE_BLOCK, &d), purged = ERR_IO;
	if (!e) {
		int32_t t[TOKENS] = { 0 };
		struct disk_record r = { .level = DISK_PERSON, .person = 10, .object = 20,
			.n = TOKENS, .tokens = t };
		(void)!!disk_add(d, &r, STR("the state of a"), &a);
		disk_flush(d);
		r.parent = a;
		r.from = a ? TOKENS : 0;
		(void)!!disk_add(d, &r, STR("the state of b"), &b);
		r = (struct disk_record){ .person = 11, .n = 1, .tokens = t };
		(void)!!disk_add(d, &r, STR("the state of c"), &c);
		disk_flush(d);
		if (a && disk_read(d, a, got, 14) == OK)
			CHECK(memcmp(got, "the state of a", 14) == 0);
		purged = disk_purge(d, 10, 20);
		CHECK(!disk_has(d, a) && !disk_has(d, b));
		disk_free(d);
	}
	*ret_hit = fault_fired(kind);
	fault_arm(kind, 0);
	d = open_disk(16 * KVFILE_BLOCK);
	struct seen s = each(d);
	for (size_t i = 0; i < s.n; i++)
		CHECK(purged != OK || s.r[i].person == 11);
	CHECK(*ret_hit || (s.n == 1 && s.r[0].id == c));
	disk_free(d);
}

TEST_TIMEOUT(every_failing_call_is_survived, 60)
{
	bool hit = true;
	for (unsigned n = 1; hit; n++)
		live(FAULT_SYSCALL, n, &hit);
}

TEST_TIMEOUT(every_failing_allocation_is_survived, 60)
{
	bool hit = true;
	for (unsigned n = 1; hit; n++)
		live(FAULT_ALLOC, n, &hit);
}

TEST(meta_says_what_was_put_and_nothing_else_passes)
{
	AUTO_BUF struct buf text = BUF(10000);
	int32_t t[3] = { 5, 6, 7 };
	struct disk_record r = { .level = DISK_GROUP, .scope = 3, .person = 4, .object = 5,
		.parent = 6, .from = 7, .n = 3, .tokens = t }, back;
	CHECK_OK(disk_meta_put(&r, &text));
	CHECK_EQ_INT(text.len, disk_meta_bytes(&r));
	CHECK_OK(disk_meta_get(buf_str(&text), &back));
	CHECK(back.level == DISK_GROUP && back.scope == 3 && back.person == 4 && back.object == 5 &&
		back.parent == 6 && back.from == 7 && back.n == 3 && back.tokens[2] == 7);
	for (size_t n = 0; n < text.len; n++)
		CHECK_ERR(disk_meta_get(str_sub(buf_str(&text), 0, n), &back), ERR_CORRUPT);
	CHECK_OK(buf_add_zeros(&text, 4));
	CHECK_ERR(disk_meta_get(buf_str(&text), &back), ERR_CORRUPT);
	buf_cut(&text, text.len - 4);
	uint32_t huge = UINT32_MAX;
	memcpy(text.ptr + 44, &huge, 4); /* a count that wraps */
	CHECK_ERR(disk_meta_get(buf_str(&text), &back), ERR_CORRUPT);
}
