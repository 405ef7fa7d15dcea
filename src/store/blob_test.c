#include "store/blob.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "os/fd.h"
#include "tests/test.h"

static const uint8_t blob_key[KEY_LEN] = { 1, 2, 3 }, name_key[KEY_LEN] = { 4, 5, 6 };

static struct blobs *open_blobs(void)
{
	struct blobs *b = NULL;
	char dir[600];
	snprintf(dir, sizeof dir, "%s/blobs", test_dir());
	CHECK_OK(blobs_open(dir, blob_key, name_key, &b));
	return b;
}

static const char *file_of(const char *id)
{
	static char path[700];
	snprintf(path, sizeof path, "%s/blobs/%.2s/%s", test_dir(), id, id + 2);
	return path;
}

static struct str content_of(size_t n)
{
	static char big[300000];
	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i * 31 + i / 7);
	return (struct str){ big, n };
}

TEST(contents_of_every_size_come_back)
{
	static const size_t sizes[] = { 0, 1, 65535, 65536, 65537, 131072, 300000 };
	AUTO(blobs) struct blobs *b = open_blobs();
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		AUTO_BUF struct buf out = BUF(1 << 20);
		char id[BLOB_ID_LEN + 1], again[BLOB_ID_LEN + 1];
		CHECK_OK(blob_put(b, content_of(sizes[i]), id));
		CHECK_OK(blob_put(b, content_of(sizes[i]), again));
		CHECK_EQ_Z(id, again);
		CHECK_OK(buf_add(&out, STR("before")));
		CHECK_OK(blob_get(b, id, &out));
		CHECK_EQ_INT(out.len, 6 + sizes[i]);
		CHECK(sizes[i] == 0 ||
			memcmp(out.ptr + 6, content_of(sizes[i]).ptr, sizes[i]) == 0);
		CHECK_OK(blob_delete(b, id));
		CHECK_ERR(blob_get(b, id, &out), ERR_NOT_FOUND);
		CHECK_ERR(blob_delete(b, id), ERR_NOT_FOUND);
	}
}

TEST(a_name_is_a_keyed_hash_of_the_content)
{
	/* python3: hmac.new(bytes([4,5,6])+bytes(29), b"hello", "sha256").hexdigest() */
	AUTO(blobs) struct blobs *b = open_blobs();
	char id[BLOB_ID_LEN + 1];
	CHECK_OK(blob_put(b, STR("hello"), id));
	CHECK_EQ_Z(id, "5293a497c3016c5ff69d99d6828236d246c11db607c57e2524d9c7282cbb9cf3");
	AUTO_BUF struct buf out = BUF(100);
	CHECK_ERR(blob_get(b, "../../../../etc/passwd", &out), ERR_NOT_FOUND);
	CHECK_ERR(blob_get(b, "ABC", &out), ERR_NOT_FOUND);
}

static void rewrite(const char *path, const struct buf *raw, size_t len)
{
	CHECK_OK(file_write_atomic(path, (struct str){ raw->ptr, len }, 0600));
}

TEST(changed_cut_swapped_and_foreign_chunks_are_found)
{
	enum { CHUNK = 65536 + SEAL_EXTRA };
	AUTO(blobs) struct blobs *b = open_blobs();
	AUTO_BUF struct buf raw = BUF(1 << 20), bad = BUF(1 << 20), out = BUF(1 << 20),
			    other = BUF(1 << 20);
	char id[BLOB_ID_LEN + 1], id2[BLOB_ID_LEN + 1];
	CHECK_OK(blob_put(b, content_of(200000), id));
	CHECK_OK(file_read(file_of(id), &raw));
	for (size_t at = 0; at < raw.len; at += 9973) { /* every ten thousandth byte, and magic */
		raw.ptr[at] ^= 4;
		rewrite(file_of(id), &raw, raw.len);
		CHECK_ERR(blob_get(b, id, &out), ERR_CORRUPT);
		CHECK_EQ_INT(out.len, 0);
		raw.ptr[at] ^= 4;
	}
	static const size_t cuts[] = { 0, 7, 8, 60, 8 + CHUNK, 8 + 2 * CHUNK, 8 + 3 * CHUNK };
	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		rewrite(file_of(id), &raw, cuts[i]);
		CHECK_ERR(blob_get(b, id, &out), ERR_CORRUPT);
	}
	CHECK_OK(buf_add(&bad, str_sub(buf_str(&raw), 0, 8))); /* chunks 1 and 0 swapped */
	CHECK_OK(buf_add(&bad, str_sub(buf_str(&raw), 8 + CHUNK, CHUNK)));
	CHECK_OK(buf_add(&bad, str_sub(buf_str(&raw), 8, CHUNK)));
	CHECK_OK(buf_add(&bad, str_sub(buf_str(&raw), 8 + 2 * CHUNK, SIZE_MAX)));
	CHECK_EQ_INT(bad.len, raw.len);
	rewrite(file_of(id), &bad, bad.len);
	CHECK_ERR(blob_get(b, id, &out), ERR_CORRUPT);
	CHECK_OK(blob_put(b, content_of(199999), id2)); /* another blob's bytes under this name */
	CHECK_OK(file_read(file_of(id2), &other));
	rewrite(file_of(id), &other, other.len);
	CHECK_ERR(blob_get(b, id, &out), ERR_CORRUPT);
	rewrite(file_of(id), &raw, raw.len);
	CHECK_OK(blob_get(b, id, &out));
	CHECK_EQ_INT(out.len, 200000);
}

TEST(putting_survives_every_call_that_fails)
{
	AUTO(blobs) struct blobs *b = open_blobs();
	AUTO_BUF struct buf out = BUF(1 << 20);
	char id[BLOB_ID_LEN + 1];
	for (enum fault_kind k = 0; k < FAULT_KINDS; k++) {
		for (unsigned n = 1;; n++) {
			fault_arm(k, n);
			enum err e = blob_put(b, content_of(100000), id);
			bool hit = fault_fired(k);
			fault_arm(k, 0);
			CHECK(e == OK || hit);
			CHECK_OK(blob_put(
				b, content_of(100000), id)); /* nothing half is in the way */
			buf_clear(&out);
			CHECK_OK(blob_get(b, id, &out));
			CHECK_EQ_INT(out.len, 100000);
			CHECK_OK(blob_delete(b, id));
			if (!hit)
				break;
		}
	}
}
