#include "models/blobdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/blobs_fake_test.h"
#include "os/fd.h"
#include "tests/test.h"

#define D "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

TEST(only_digests_are_names)
{
	static const char *const bad[] = {
		"",
		"..",
		"../../x",
		"/etc/passwd",
		"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
		D "0",
		D "-partial",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd/f",
	};
	struct test_blobs b;
	int f, j;
	uint64_t size;
	test_blobs_open(&b, test_dir());
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct str d = str_from(bad[i]);
		CHECK_ERR(blobdir_stage(b.blobs, d, 10, &f, &j, NULL), ERR_INVALID);
		CHECK_ERR(blobdir_get(b.blobs, d, &f, &size), ERR_INVALID);
		CHECK_ERR(blobdir_commit(b.blobs, d), ERR_INVALID);
		CHECK_ERR(blobdir_delete(b.blobs, d), ERR_INVALID);
	}
	test_blobs_close(&b);
}

TEST(a_blob_appears_when_it_is_committed)
{
	struct test_blobs b;
	char digest[65], byte;
	int fd, f, j;
	uint64_t size;
	test_blobs_open(&b, test_dir());
	CHECK_ERR(blobdir_get(b.blobs, STR(D), &fd, &size), ERR_NOT_FOUND);
	CHECK_ERR(blobdir_commit(b.blobs, STR(D)), ERR_NOT_FOUND);
	CHECK_OK(blobdir_delete(b.blobs, STR(D)));
	CHECK_OK(blobdir_stage(b.blobs, STR(D), 10, &f, &j, NULL));
	CHECK_ERR(blobdir_get(b.blobs, STR(D), &fd, &size), ERR_NOT_FOUND);
	(void)close(f);
	(void)close(j);
	test_blobs_put(&b, STR("hallo"), digest);
	CHECK_OK(blobdir_get(b.blobs, str_from(digest), &fd, &size));
	CHECK_EQ_INT(size, 5);
	CHECK_EQ_INT(write(fd, "x", 1), -1); /* read-only */
	CHECK_EQ_INT(pread(fd, &byte, 1, 0), 1);
	CHECK_EQ_INT(byte, 'h');
	(void)close(fd);
	CHECK_OK(blobdir_commit(b.blobs, str_from(digest))); /* a second time is fine */
	CHECK_ERR(blobdir_stage(b.blobs, str_from(digest), 5, &f, &j, NULL), ERR_EXISTS);
	CHECK_EQ_INT(test_blobs_count(&b), 2);
	CHECK_OK(blobdir_delete(b.blobs, str_from(digest)));
	CHECK_OK(blobdir_delete(b.blobs, STR(D)));
	CHECK_EQ_INT(test_blobs_count(&b), 0);
	test_blobs_close(&b);
}

TEST(two_writers_never_share_a_file)
{
	struct test_blobs b;
	int f, j, f2, j2;
	test_blobs_open(&b, test_dir());
	CHECK_OK(blobdir_stage(b.blobs, STR(D), 10, &f, &j, NULL));
	CHECK_ERR(blobdir_stage(b.blobs, STR(D), 10, &f2, &j2, NULL), ERR_LOCKED);
	(void)close(f);
	(void)close(j);
	CHECK_OK(blobdir_stage(b.blobs, STR(D), 10, &f, &j, NULL));
	(void)close(f);
	(void)close(j);
	test_blobs_close(&b);
}

TEST(what_does_not_fit_is_told_before_it_comes)
{
	struct test_blobs b;
	struct err_info info = { 0 };
	int f, j;
	test_blobs_open(&b, test_dir());
	CHECK_ERR(blobdir_stage(b.blobs, STR(D), UINT64_C(1) << 60, &f, &j, &info), ERR_NOSPACE);
	CHECK(strstr(info.detail, "MB free") && info.hint[0]);
	CHECK_EQ_INT(test_blobs_count(&b), 0);
	CHECK_ERR(blobdir_stage(b.blobs, STR(D), UINT64_MAX, &f, &j, &info), ERR_TOO_LARGE);
	test_blobs_close(&b);
}

TEST(a_longer_leftover_is_cut)
{
	struct test_blobs b;
	struct stat st;
	int f, j;
	test_blobs_open(&b, test_dir());
	CHECK_OK(blobdir_stage(b.blobs, STR(D), 100, &f, &j, NULL));
	CHECK_EQ_INT(ftruncate(f, 100), 0);
	(void)close(f);
	(void)close(j);
	CHECK_OK(blobdir_stage(b.blobs, STR(D), 10, &f, &j, NULL));
	CHECK_EQ_INT(fstat(f, &st), 0);
	CHECK_EQ_INT(st.st_size, 10);
	(void)close(f);
	(void)close(j);
	test_blobs_close(&b);
}

TEST(links_and_strangers_in_the_folder_are_not_followed)
{
	struct test_blobs b;
	char path[4300];
	int f, j;
	uint64_t size;
	test_blobs_open(&b, test_dir());
	(void)snprintf(path, sizeof path, "%s/models/blobs/sha256-" D, test_dir());
	CHECK_EQ_INT(symlink("/etc/passwd", path), 0);
	CHECK(blobdir_get(b.blobs, STR(D), &f, &size) != OK);
	(void)snprintf(path, sizeof path, "%s/models/blobs/sha256-" D "-partial", test_dir());
	CHECK_EQ_INT(symlink("/tmp/never", path), 0);
	CHECK(blobdir_stage(b.blobs, STR(D), 10, &f, &j, NULL) != OK);
	(void)snprintf(path, sizeof path, "%s/models/blobs/readme.txt", test_dir());
	CHECK_OK(file_write_atomic(path, STR("x"), 0600));
	CHECK_EQ_INT(test_blobs_count(&b), 0);
	test_blobs_close(&b);
}

/* ---- made here, or shared ---- */

static unsigned entries(const struct test_blobs *b)
{
	char path[4200];
	unsigned n = 0;
	(void)snprintf(path, sizeof path, "%s/models/blobs", b->dir);
	DIR *dir = opendir(path);
	CHECK(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n - 2;
}

TEST(a_file_that_is_made_has_no_name_until_it_is_whole)
{
	struct test_blobs b;
	int fd, again;
	uint64_t size;
	struct stat st;
	test_blobs_open(&b, test_dir());
	CHECK_OK(blobdir_make(b.blobs, 7, 100, &fd, NULL));
	CHECK_ERR(blobdir_make(b.blobs, 7, 100, &again, NULL), ERR_EXISTS);
	CHECK_OK(fd_write_full(fd, "hallo", 5));
	CHECK_EQ_INT(test_blobs_count(&b), 0);
	CHECK_ERR(blobdir_made(b.blobs, 8, STR(D)), ERR_NOT_FOUND);
	CHECK_ERR(blobdir_made(b.blobs, 7, STR("../x")), ERR_INVALID);
	CHECK_OK(blobdir_made(b.blobs, 7, STR(D)));
	CHECK_OK(blobdir_get(b.blobs, STR(D), &again, &size));
	CHECK(size == 5 && !fstat(again, &st) && (st.st_mode & 0777) == 0400);
	(void)close(fd);
	(void)close(again);
	/* another one with the same bytes: one of them is enough */
	CHECK_OK(blobdir_make(b.blobs, 8, 0, &fd, NULL));
	CHECK_OK(blobdir_made(b.blobs, 8, STR(D)));
	CHECK_EQ_INT(entries(&b), 1);
	(void)close(fd);
	/* nobody wants this one, and this one was being made when the keeper ended */
	CHECK_OK(blobdir_make(b.blobs, 9, 0, &fd, NULL));
	blobdir_unmake(b.blobs, 9);
	(void)close(fd);
	CHECK_OK(blobdir_make(b.blobs, 10, 0, &fd, NULL));
	(void)close(fd);
	CHECK_EQ_INT(entries(&b), 2);
	test_blobs_close(&b);
	CHECK_OK(blobdir_open(b.dir, &b.blobs));
	CHECK_EQ_INT(entries(&b), 1);
	struct err_info info = { 0 };
	CHECK_ERR(blobdir_make(b.blobs, 11, (uint64_t)1 << 62, &fd, &info), ERR_NOSPACE);
	CHECK(strstr(info.detail, "MB more"));
	CHECK_EQ_INT(entries(&b), 1);
	test_blobs_close(&b);
}

TEST(a_file_is_shared_when_nobody_else_can_write_it)
{
	struct test_blobs b;
	char path[4200];
	struct stat ours, theirs;
	struct err_info info = { 0 };
	bool linked = false;
	int source, fd;
	uint64_t size;
	test_blobs_open(&b, test_dir());
	(void)snprintf(path, sizeof path, "%s/theirs", b.dir);
	CHECK_OK(file_write_atomic(path, STR("hallo"), 0644));
	CHECK_OK(fd_open(path, O_RDONLY, 0, &source));
	CHECK_OK(blobdir_share(b.blobs, 1, source, &linked, &info));
	CHECK_OK(blobdir_made(b.blobs, 1, STR(D)));
	CHECK_OK(blobdir_get(b.blobs, STR(D), &fd, &size));
	CHECK(!fstat(fd, &ours) && !stat(path, &theirs));
	CHECK_EQ_INT(size, 5);
	CHECK((theirs.st_mode & 0777) == 0644); /* its rights are not ours to change */
	CHECK(linked == (ours.st_ino == theirs.st_ino));
	(void)close(fd);
	CHECK_OK(blobdir_delete(b.blobs, STR(D)));
	CHECK(!stat(path, &theirs) && theirs.st_nlink == 1);
	if (linked) {
		CHECK(!chmod(path, 0664));
		CHECK_ERR(blobdir_share(b.blobs, 2, source, &linked, &info), ERR_UNSUPPORTED);
		CHECK(strstr(info.detail, "others"));
	}
	int null;
	CHECK_OK(fd_open("/dev/null", O_RDONLY, 0, &null));
	CHECK_ERR(blobdir_share(b.blobs, 3, null, &linked, &info), ERR_UNSUPPORTED);
	CHECK_EQ_INT(entries(&b), 0);
	(void)close(null);
	(void)close(source);
	test_blobs_close(&b);
}
