#include "models/blobs_fake_test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hex.h"
#include "models/reader_job.h"
#include "models/writer.h"
#include "os/fd.h"
#include "proto/sink.h"
#include "tests/test.h"

void test_blobs_open(struct test_blobs *b, const char *dir)
{
	*b = (struct test_blobs){ 0 };
	CHECK_OK(str_copy(str_from(dir), b->dir, sizeof b->dir));
	CHECK_OK(blobdir_open(dir, &b->blobs));
}

void test_blobs_close(struct test_blobs *b)
{
	b->blobs = blobdir_free(b->blobs);
}

static enum err stage(void *arg, const char *digest, uint64_t size, struct ipc **ret_control,
	int *ret_sink, struct err_info *info)
{
	struct test_blobs *b = arg;
	struct writer_job j = { .size = size, .source_fd = -1 };
	int control[2], sink[2];
	TRY(blobdir_stage(b->blobs, str_from(digest), size, &j.file_fd, &j.journal_fd, info));
	CHECK_OK(hex_decode(str_from(digest), j.digest, sizeof j.digest));
	CHECK_OK(ipc_pair(control));
	CHECK_OK(sink_pair(sink));
	j.sink_fd = sink[1];
	if (fork() == 0) {
		(void)close(control[0]);
		(void)close(sink[0]);
		if (ipc_new(control[1], &j.control))
			_exit(99);
		_exit(writer_job_main(&j));
	}
	(void)close(control[1]);
	(void)close(sink[1]);
	(void)close(j.file_fd);
	(void)close(j.journal_fd);
	*ret_sink = sink[0];
	return ipc_new(control[0], ret_control);
}

static enum err stage_local(
	void *arg, const char *starter, struct ipc **ret_control, struct err_info *info)
{
	return ERR_NOT_FOUND;
}

static enum err commit(void *arg, const char *digest, struct err_info *info)
{
	struct test_blobs *b = arg;
	return b->fail_commit ? b->fail_commit : blobdir_commit(b->blobs, str_from(digest));
}

static enum err remove_blob(void *arg, const char *digest)
{
	struct test_blobs *b = arg;
	b->removed++;
	return blobdir_delete(b->blobs, str_from(digest));
}

static enum err read_fd(void *arg, uint64_t at, void *dst, size_t n)
{
	return fd_pread_full(*(int *)arg, dst, n, at);
}

static enum err check(
	void *arg, const char *digest, struct gguf_summary *ret, struct err_info *info)
{
	struct test_blobs *b = arg;
	AUTO_FD int fd = -1;
	uint64_t size;
	char why[GGUF_WHY_MAX];
	TRY(blobdir_get(b->blobs, str_from(digest), &fd, &size));
	enum err e = gguf_check(read_fd, &fd, size, ret, why);
	return e ? err_set(info, e, "not a usable model: %s", why) : OK;
}

static enum err describe(
	void *arg, const char *digest, bool lists, json_t **ret, struct err_info *info)
{
	struct test_blobs *b = arg;
	AUTO_FD int fd = -1;
	AUTO_BUF struct buf json = BUF(GGUF_DESCRIPTION_MAX);
	uint64_t size;
	char why[GGUF_WHY_MAX];
	TRY(blobdir_get(b->blobs, str_from(digest), &fd, &size));
	enum err e = gguf_describe(read_fd, &fd, size, lists, &json, why);
	if (e)
		return err_set(info, e, "%s", why);
	return json_read(buf_str(&json), GGUF_DESCRIPTION_MAX, 8, ret, info);
}

struct call {
	enum err (*fn)(const char *, uint64_t, bool, int64_t, void *);
	void *arg;
};

static enum err pass_on(const struct blobdir_item *i, void *arg)
{
	const struct call *c = arg;
	return c->fn(i->digest, i->size, i->partial, i->modified_ms, c->arg);
}

static enum err list(void *arg,
	enum err (*fn)(
		const char *digest, uint64_t size, bool partial, int64_t modified_ms, void *fn_arg),
	void *fn_arg)
{
	struct test_blobs *b = arg;
	struct call c = { fn, fn_arg };
	return blobdir_list(b->blobs, pass_on, &c);
}

static enum err read_part(void *arg, const char *digest, uint64_t from, uint64_t to, int *ret_fd,
	struct err_info *info)
{
	struct test_blobs *b = arg;
	AUTO_FD int fd = -1;
	int pair[2];
	uint64_t size;
	TRY(blobdir_get(b->blobs, str_from(digest), &fd, &size));
	if (from > to || to > size || lseek(fd, (off_t)from, SEEK_SET) < 0)
		return err_set(info, ERR_INVALID, "range");
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	if (fork() == 0) {
		(void)close(pair[0]);
		_exit(reader_job_main(fd, to - from, pair[1]));
	}
	(void)close(pair[1]);
	*ret_fd = pair[0];
	return OK;
}

const struct model_blob_ops test_blob_ops = { stage, stage_local, commit, remove_blob, check,
	describe, list, read_part };

void test_blobs_put(struct test_blobs *b, struct str bytes, char ret_digest[65])
{
	uint8_t sum[SHA256_LEN];
	int file, journal;
	sha256_of(bytes.ptr, bytes.len, sum);
	hex_encode(sum, sizeof sum, ret_digest);
	CHECK_OK(blobdir_stage(b->blobs, str_from(ret_digest), bytes.len, &file, &journal, NULL));
	CHECK_OK(fd_write_full(file, bytes.ptr, bytes.len));
	(void)close(file);
	(void)close(journal);
	CHECK_OK(blobdir_commit(b->blobs, str_from(ret_digest)));
}

bool test_blobs_has(struct test_blobs *b, const char *digest)
{
	int fd;
	uint64_t size;
	if (blobdir_get(b->blobs, str_from(digest), &fd, &size))
		return false;
	(void)close(fd);
	return true;
}

static enum err count_one(const struct blobdir_item *i, void *arg)
{
	++*(unsigned *)arg;
	return OK;
}

unsigned test_blobs_count(struct test_blobs *b)
{
	unsigned n = 0;
	CHECK_OK(blobdir_list(b->blobs, count_one, &n));
	return n;
}
