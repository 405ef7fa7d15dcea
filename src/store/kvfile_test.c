#include "store/kvfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/hex.h"
#include "os/fd.h"
#include "tests/test.h"

/* tests/kat/kvfile.py */
#define KAT_FILE_KEY                                                                             \
	"510a5d788242a39dfc0db0936b7f0d5f6cbd95c98838c144a4a6f21ae9992f3b"
#define KAT_HEADER                                                                               \
	"54524b5630303031efcdab89674523017b68e5cf8b010000c0c62d0000000000" \
	"3c00000000000000150bb7859498ef0a664a2a57b76924e14bebff2329157d4a" \
	"85adacea88a9e57ae82000c181a986e2ccd9eae1d893db890000000000000000" \
	"9c1635920a64cfb903ff2774c358c6f30dcb0a80a830722f6529d3a3b592be40"

static const uint8_t cache_key[KEY_LEN] = { 5, 4, 3 };
static uint8_t file_key[KEY_LEN];
static struct kvfile_keys keys;

static int open_file(const char *name)
{
	char path[600];
	int fd = -1;
	CHECK_OK(crypto_init());
	snprintf(path, sizeof path, "%s/%s", test_dir(), name);
	CHECK_OK(fd_open(path, O_RDWR | O_CREAT, 0600, &fd));
	kvfile_key(cache_key, STR("model"), file_key);
	kvfile_keys_of(file_key, &keys);
	return fd;
}

static void fill(char *p, size_t n, uint64_t id)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + id);
}

/* A whole record at `offset`; returns the offset behind it. */
static enum err put(int fd, uint64_t id, uint64_t person, uint64_t object, uint64_t offset,
	size_t state, struct kvfile_record *ret)
{
	static char plain[3 * KVFILE_CHUNK];
	AUTO_BUF struct buf scratch = BUF(2 * KVFILE_CHUNK);
	struct kvfile_record r = {
		.offset = offset, .id = id, .state_bytes = state, .meta_bytes = 5, .used_ms = 1
	};
	kvfile_tag(&keys, person, object, &r);
	fill(plain, state, id);
	TRY(kvfile_put_part(fd, &keys, &r, 0, STR("hello"), &scratch));
	for (uint64_t n = 1; n < kvfile_parts(&r); n++)
		TRY(kvfile_put_part(fd, &keys, &r, n,
			str_sub((struct str){ plain, state }, (size_t)(n - 1) * KVFILE_CHUNK,
				KVFILE_CHUNK),
			&scratch));
	TRY(kvfile_put(fd, &keys, &r));
	*ret = r;
	return OK;
}

static uint64_t put_ok(int fd, uint64_t id, uint64_t person, uint64_t object, uint64_t offset,
	size_t state)
{
	struct kvfile_record r;
	CHECK_OK(put(fd, id, person, object, offset, state, &r));
	return offset + kvfile_space(&r);
}

static enum err get(int fd, const struct kvfile_record *r, struct buf *out)
{
	AUTO_BUF struct buf scratch = BUF(2 * KVFILE_CHUNK);
	for (uint64_t n = 1; n < kvfile_parts(r); n++)
		TRY(kvfile_get_part(fd, &keys, r, n, &scratch, out));
	return OK;
}

struct seen {
	size_t n;
	struct kvfile_record r[64];
};

static enum err see(void *arg, const struct kvfile_record *r)
{
	struct seen *s = arg;
	CHECK(s->n < 64);
	s->r[s->n++] = *r;
	return OK;
}

static struct seen walk(int fd)
{
	struct seen s = { 0 };
	CHECK_OK(kvfile_walk(fd, &keys, see, &s));
	return s;
}

TEST(header_is_as_written_down)
{
	AUTO_FD int fd = open_file("f");
	uint8_t key[KEY_LEN], other[KEY_LEN], fingerprint[32], b[KVFILE_HEADER];
	char hex[2 * KVFILE_HEADER + 1];
	struct kvfile_record r = { .id = 0x0123456789ABCDEF,
		.used_ms = 1700000000123,
		.state_bytes = 3000000,
		.meta_bytes = 60 };
	char digest[64];
	memset(digest, 'a', sizeof digest);
	memset(fingerprint, 7, sizeof fingerprint);
	for (uint8_t i = 0; i < KEY_LEN; i++)
		key[i] = i;
	kvfile_key(key, (struct str){ digest, 64 }, other);
	hex_encode(other, KEY_LEN, hex);
	CHECK_EQ_Z(hex, KAT_FILE_KEY);
	kvfile_keys_of(other, &keys);
	kvfile_tag(&keys, 0x1122334455667788, 0x99AABBCCDDEEFF00, &r);
	kvfile_fingerprint(&keys, fingerprint, r.fingerprint);
	CHECK_OK(kvfile_put(fd, &keys, &r));
	CHECK_OK(fd_pread_full(fd, b, sizeof b, 0));
	hex_encode(b, sizeof b, hex);
	CHECK_EQ_Z(hex, KAT_HEADER);
}

TEST(what_was_put_is_walked_and_read)
{
	AUTO_FD int fd = open_file("f");
	uint64_t at = put_ok(fd, 1, 10, 0, 0, 1);
	at = put_ok(fd, 2, 10, 20, at, KVFILE_CHUNK);
	at = put_ok(fd, 3, 11, 20, at + 5 * KVFILE_BLOCK, 2 * KVFILE_CHUNK + 17);
	struct seen s = walk(fd);
	CHECK_EQ_INT(s.n, 3);
	for (size_t i = 0; i < 3; i++) {
		AUTO_BUF struct buf got = BUF(4 * KVFILE_CHUNK);
		CHECK_EQ_INT(s.r[i].id, i + 1);
		CHECK_EQ_INT(s.r[i].used_ms, 1);
		CHECK_OK(get(fd, &s.r[i], &got));
		CHECK_EQ_INT(got.len, s.r[i].state_bytes);
		for (size_t k = 0; k < got.len; k++)
			CHECK(got.ptr[k] == (char)(k * 7 + i + 1));
	}
	CHECK(memcmp(s.r[0].person, s.r[1].person, KVFILE_TAG) == 0);
	CHECK(memcmp(s.r[1].object, s.r[2].object, KVFILE_TAG) != 0); /* of another person */
}

TEST(another_key_sees_nothing)
{
	AUTO_FD int fd = open_file("f");
	(void)put_ok(fd, 1, 10, 0, 0, 1000);
	kvfile_key(cache_key, STR("another model"), file_key);
	kvfile_keys_of(file_key, &keys);
	CHECK_EQ_INT(walk(fd).n, 0);
}

TEST(every_changed_bit_is_found)
{
	AUTO_FD int fd = open_file("f");
	struct kvfile_record r;
	CHECK_OK(put(fd, 1, 10, 20, 0, 300, &r));
	for (uint64_t at = 0; at < kvfile_length(&r); at++) {
		AUTO_BUF struct buf got = BUF(1000), scratch = BUF(1000);
		uint8_t b, bad;
		CHECK_OK(fd_pread_full(fd, &b, 1, at));
		bad = (uint8_t)(b ^ 1u << at % 8);
		CHECK_OK(fd_pwrite_full(fd, &bad, 1, at));
		bool walked = walk(fd).n == 1;
		bool read = walked && kvfile_get_part(fd, &keys, &r, 0, &scratch, &got) == OK &&
			    get(fd, &r, &got) == OK;
		CHECK(walked == (at >= KVFILE_HEADER) && !read);
		CHECK_OK(fd_pwrite_full(fd, &b, 1, at));
	}
	AUTO_BUF struct buf whole = BUF(1000);
	CHECK_OK(get(fd, &r, &whole));
}

TEST(pieces_cannot_change_places)
{
	AUTO_FD int fd = open_file("f");
	AUTO_BUF struct buf one = BUF(2 * KVFILE_CHUNK), two = BUF(2 * KVFILE_CHUNK),
			    got = BUF(4 * KVFILE_CHUNK);
	struct kvfile_record r;
	CHECK_OK(put(fd, 1, 10, 20, 0, 2 * KVFILE_CHUNK, &r));
	uint64_t at = KVFILE_HEADER + 5 + SEAL_EXTRA, len = KVFILE_CHUNK + SEAL_EXTRA;
	CHECK_OK(buf_add_zeros(&one, len));
	CHECK_OK(buf_add_zeros(&two, len));
	CHECK_OK(fd_pread_full(fd, one.ptr, len, at));
	CHECK_OK(fd_pread_full(fd, two.ptr, len, at + len));
	CHECK_OK(fd_pwrite_full(fd, two.ptr, len, at));
	CHECK_OK(fd_pwrite_full(fd, one.ptr, len, at + len));
	CHECK_ERR(get(fd, &r, &got), ERR_CORRUPT);
}

/* kill -9 at any byte: a write that ended early. What was before stays, the torn one is not. */
TEST(a_file_cut_at_any_byte_keeps_the_records_before)
{
	AUTO_FD int whole = open_file("whole");
	uint64_t second = put_ok(whole, 1, 10, 20, 0, 200), end;
	struct kvfile_record r;
	CHECK_OK(put(whole, 2, 10, 20, second, 100, &r));
	end = second + kvfile_length(&r);
	char bytes[2 * KVFILE_BLOCK];
	CHECK(end <= sizeof bytes);
	CHECK_OK(fd_pread_full(whole, bytes, end, 0));
	for (uint64_t cut = 0; cut <= end; cut++) {
		AUTO_FD int fd = open_file("cut");
		CHECK_OK(fd_cut(fd, 0));
		CHECK_OK(fd_pwrite_full(fd, bytes, cut, 0));
		size_t want = cut == end ? 2 : cut >= KVFILE_HEADER + 5 + 200 + 2 * SEAL_EXTRA;
		CHECK_EQ_INT(walk(fd).n, want);
		uint64_t size, n = 0;
		if (cut % 61) /* each syncs */
			continue;
		CHECK_OK(kvfile_tidy(fd, &keys));
		CHECK_OK(fd_size(fd, &size));
		CHECK(size <= want * KVFILE_BLOCK);
		CHECK_EQ_INT(walk(fd).n, want);
		CHECK_OK(kvfile_purge(fd, file_key, 10, 0, &n));
		CHECK_EQ_INT(n, want);
	}
}

static bool all_zero(int fd, uint64_t at, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint8_t b;
		CHECK_OK(fd_pread_full(fd, &b, 1, at + i));
		if (b)
			return false;
	}
	return true;
}

TEST(purge_takes_what_it_names_and_its_bytes)
{
	static const struct {
		uint64_t person, object;
		unsigned gone; /* bit i: record i + 1 */
	} cases[] = { { 10, 0, 3 }, { 10, 20, 2 }, { 11, 20, 4 }, { 12, 0, 0 }, { 11, 21, 0 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		AUTO_FD int fd = open_file("f");
		uint64_t at[4] = { 0 }, n = 0, before, after;
		struct stat st;
		CHECK_OK(fd_cut(fd, 0));
		at[1] = put_ok(fd, 1, 10, 0, 0, 5000);
		at[2] = put_ok(fd, 2, 10, 20, at[1], 9000);
		at[3] = put_ok(fd, 3, 11, 20, at[2], 7000);
		CHECK_OK(fd_cut(fd, at[3]));
		CHECK(fstat(fd, &st) == 0);
		before = (uint64_t)st.st_blocks;
		CHECK_OK(kvfile_purge(fd, file_key, cases[i].person, cases[i].object, &n));
		CHECK_EQ_INT(n, (unsigned)__builtin_popcount(cases[i].gone));
		struct seen s = walk(fd);
		CHECK_EQ_INT(s.n, 3 - n);
		for (unsigned k = 0; k < 3; k++) {
			bool gone = cases[i].gone & 1u << k;
			CHECK(all_zero(fd, at[k], at[k + 1] - at[k]) == gone);
		}
		CHECK(fstat(fd, &st) == 0);
		after = (uint64_t)st.st_blocks;
		CHECK(n ? after < before : after == before); /* the space is given back */
	}
}

TEST(purging_everything_empties_the_file)
{
	AUTO_FD int fd = open_file("f");
	uint64_t size, n;
	(void)put_ok(fd, 1, 10, 0, 0, 5000);
	CHECK_OK(kvfile_purge(fd, file_key, 0, 0, &n));
	CHECK_OK(fd_size(fd, &size));
	CHECK_EQ_INT(size, 0);
}

/* An engine that was taken over may write anything: lengths that wrap, sizes that are absurd. */
TEST(hostile_lengths_are_no_records)
{
	static const uint64_t states[] = { 0, UINT64_MAX, UINT64_MAX - 4095, INT64_MAX,
		KVFILE_STATE_MAX + 1, 1 << 20 };
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		AUTO_FD int fd = open_file("f");
		struct kvfile_record r = {
			.id = 1, .state_bytes = states[i], .meta_bytes = 5, .used_ms = 1
		};
		CHECK_OK(kvfile_put(fd, &keys, &r));
		CHECK_EQ_INT(walk(fd).n, 0);
	}
	static const uint32_t metas[] = { 0, UINT32_MAX, KVFILE_META_MAX + 1, KVFILE_META_MAX };
	for (size_t i = 0; i < sizeof metas / sizeof *metas; i++) {
		AUTO_FD int fd = open_file("f");
		struct kvfile_record r = {
			.id = 1, .state_bytes = 1, .meta_bytes = metas[i], .used_ms = 1
		};
		CHECK_OK(kvfile_put(fd, &keys, &r));
		CHECK_EQ_INT(walk(fd).n, 0);
	}
	AUTO_FD int fd = open_file("f");
	struct kvfile_record none = { .id = 0, .state_bytes = 1, .meta_bytes = 1 };
	CHECK_OK(kvfile_put(fd, &keys, &none));
	CHECK_OK(fd_cut(fd, KVFILE_BLOCK));
	CHECK_EQ_INT(walk(fd).n, 0);
}

TEST(a_file_with_more_rubbish_than_anybody_writes_is_emptied)
{
	AUTO_FD int fd = open_file("f");
	uint64_t size, n;
	struct seen s = { 0 };
	for (uint64_t i = 0; i <= KVFILE_WALK_MAX; i++)
		CHECK(pwrite(fd, "x", 1, (off_t)(i * KVFILE_BLOCK)) == 1);
	CHECK_OK(fd_cut(fd, (KVFILE_WALK_MAX + 1) * (uint64_t)KVFILE_BLOCK));
	CHECK_ERR(kvfile_walk(fd, &keys, see, &s), ERR_LIMIT);
	CHECK_OK(kvfile_purge(fd, file_key, 10, 0, &n));
	CHECK_OK(fd_size(fd, &size));
	CHECK_EQ_INT(size, 0);
}

TEST(a_hole_of_any_size_costs_nothing)
{
	AUTO_FD int fd = open_file("f");
	uint64_t far = UINT64_C(1) << 40;
	(void)put_ok(fd, 1, 10, 0, 0, 100);
	(void)put_ok(fd, 2, 10, 0, far, 100);
	struct seen s = walk(fd);
	CHECK_EQ_INT(s.n, 2);
	CHECK_EQ_INT(s.r[1].offset, far);
}

TEST(a_purge_that_meets_any_failing_call_says_so_or_has_purged)
{
	bool hit = true;
	for (unsigned n = 1; hit; n++) {
		AUTO_FD int fd = open_file("f");
		uint64_t removed, at;
		CHECK_OK(fd_cut(fd, 0));
		at = put_ok(fd, 1, 10, 0, 0, 5000);
		at = put_ok(fd, 2, 11, 0, at, 5000);
		(void)put_ok(fd, 3, 10, 0, at, 5000);
		fault_arm(FAULT_SYSCALL, n);
		enum err e = kvfile_purge(fd, file_key, 10, 0, &removed);
		hit = fault_fired(FAULT_SYSCALL);
		fault_arm(FAULT_SYSCALL, 0);
		struct seen s = walk(fd);
		for (size_t i = 0; i < s.n && !e; i++)
			CHECK_EQ_INT(s.r[i].id, 2);
		CHECK(hit || (!e && s.n == 1));
	}
}
