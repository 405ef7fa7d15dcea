#include "models/blobs_fake_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hex.h"
#include "models/convert.h"
#include "models/convert_adapter.h"
#include "models/make.h"
#include "models/merge.h"
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

/* ---- made here: the real jobs, as children; the quantiser's place takes a copier ---- */

static int run_job(struct ipc *ch, const struct make_wish *w, const int *fd)
{
	static const make_fn jobs[] = { [MAKE_CONVERT] = convert_run, [MAKE_MERGE] = merge_run,
		[MAKE_ADAPTER] = convert_adapter_run };
	char piece[4096];
	size_t n = 0;
	if (w->kind != MAKE_QUANTIZE)
		return make_job_main(ch, fd, (unsigned)w->n + 1, w->what, jobs[w->kind]);
	while (!fd_read(fd[1], piece, sizeof piece, &n) && n)
		if (fd_write_full(fd[0], piece, n))
			return make_end(ch, ERR_IO, NULL);
	return make_progress(ch, 1, 2) ? 3 : make_end(ch, OK, NULL);
}

static enum err make(void *arg, const struct make_wish *w, uint64_t *ret_number,
	struct ipc **ret_job, struct err_info *info)
{
	struct test_blobs *b = arg;
	int fd[MAKE_PARTS_MAX + 1], pair[2];
	uint64_t size;
	TRY(blobdir_make(b->blobs, ++b->made, w->room, &fd[0], info));
	for (size_t i = 0; i < w->n; i++)
		CHECK_OK(blobdir_get(b->blobs, str_from(w->part[i]), &fd[i + 1], &size));
	CHECK_OK(ipc_pair(pair));
	b->job = fork();
	if (b->job == 0) {
		struct ipc *ch;
		(void)close(pair[0]);
		_exit(ipc_new(pair[1], &ch) ? 99 : run_job(ch, w, fd));
	}
	(void)close(pair[1]);
	for (size_t i = 0; i <= w->n; i++)
		(void)close(fd[i]);
	*ret_number = b->made;
	return ipc_new(pair[0], ret_job);
}

static enum err name_it(
	struct test_blobs *b, uint64_t number, char ret_digest[65], struct err_info *info)
{
	AUTO_FD int fd = -1;
	uint64_t size;
	uint8_t sum[SHA256_LEN];
	TRY(blobdir_make_open(b->blobs, number, &fd, &size));
	AUTO_MEM char *bytes = malloc(size + 1);
	TRY(fd_pread_full(fd, bytes, size, 0));
	sha256_of(bytes, size, sum);
	hex_encode(sum, sizeof sum, ret_digest);
	return blobdir_made(b->blobs, number, str_from(ret_digest));
}

static enum err made(void *arg, uint64_t number, char ret_digest[65], struct err_info *info)
{
	struct test_blobs *b = arg;
	int status = -1;
	CHECK(waitpid(b->job, &status, 0) == b->job);
	CHECK_EQ_INT(status, 0);
	return name_it(b, number, ret_digest, info);
}

static enum err unmake(void *arg, uint64_t number)
{
	struct test_blobs *b = arg;
	(void)waitpid(b->job, NULL, 0);
	blobdir_unmake(b->blobs, number);
	return OK;
}

static enum err share(void *arg, const char *folder, const char *digest, bool *ret_linked,
	struct err_info *info)
{
	struct test_blobs *b = arg;
	char path[4300], is[65];
	AUTO_FD int fd = -1;
	(void)snprintf(path, sizeof path, "%s/blobs/sha256-%s", folder, digest);
	TRY(fd_open(path, O_RDONLY, 0, &fd));
	TRY(blobdir_share(b->blobs, ++b->made, fd, ret_linked, info));
	TRY(name_it(b, b->made, is, info));
	if (!strcmp(is, digest))
		return OK;
	TRY(blobdir_delete(b->blobs, str_from(is)));
	return err_set(info, ERR_DIGEST, "its bytes do not have the digest in its name");
}

static enum err stage_file(void *arg, const char *folder, const char *digest,
	struct ipc **ret_control, struct err_info *info)
{
	struct test_blobs *b = arg;
	struct writer_job j = { .sink_fd = -1 };
	char path[4300];
	int control[2];
	(void)snprintf(path, sizeof path, "%s/blobs/sha256-%s", folder, digest);
	TRY(fd_open(path, O_RDONLY, 0, &j.source_fd));
	TRY(fd_size(j.source_fd, &j.size));
	TRY(blobdir_stage(b->blobs, str_from(digest), j.size, &j.file_fd, &j.journal_fd, info));
	CHECK_OK(hex_decode(str_from(digest), j.digest, sizeof j.digest));
	CHECK_OK(ipc_pair(control));
	if (fork() == 0)
		_exit(ipc_new(control[1], &j.control) ? 99 : writer_job_main(&j));
	(void)close(control[1]);
	(void)close(j.source_fd);
	(void)close(j.file_fd);
	(void)close(j.journal_fd);
	return ipc_new(control[0], ret_control);
}

const struct model_blob_ops test_blob_ops = { .stage = stage,
	.stage_local = stage_local,
	.commit = commit,
	.remove = remove_blob,
	.check = check,
	.describe = describe,
	.make = make,
	.made = made,
	.unmake = unmake,
	.share = share,
	.stage_file = stage_file,
	.list = list,
	.read = read_part };

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

void test_blobs_age(struct test_blobs *b, const char *digest, int64_t ms)
{
	int fd;
	uint64_t size;
	struct stat st;
	CHECK_OK(blobdir_get(b->blobs, str_from(digest), &fd, &size));
	CHECK_EQ_INT(fstat(fd, &st), 0);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
		{ .tv_sec = st.st_mtim.tv_sec - ms / 1000 } };
	CHECK_EQ_INT(futimens(fd, times), 0);
	(void)close(fd);
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
