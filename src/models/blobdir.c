#include "models/blobdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "models/name.h"
#include "os/fd.h"

enum {
	FILE_NAME_MAX = 8 + 64 + 24,      /* "sha256-", hex, "-partial.journal" */
	SPACE_RESERVE = 64 * 1024 * 1024, /* bytes left free for the database and the log */
	DIR_PATH_MAX = 4096,
};
#define PREFIX "sha256-"
#define MAKING "making-"
#define PARTIAL "-partial"
#define JOURNAL "-partial.journal"

struct blobdir {
	int dir;
	char path[DIR_PATH_MAX];
};

static enum err file_name(struct str digest, const char *suffix, char dst[FILE_NAME_MAX])
{
	if (!digest_ok(digest))
		return ERR_INVALID;
	(void)snprintf(dst, FILE_NAME_MAX, PREFIX "%.*s%s", STR_ARG(digest), suffix);
	return OK;
}

/* Whoever was making them is gone: the keeper, who opens the folder, is the only one who starts
 * them. */
static enum err remove_unmade(struct blobdir *d)
{
	DIR *dir = opendir(d->path);
	if (!dir)
		return err_from_errno(errno);
	for (struct dirent *f; (f = readdir(dir));)
		if (str_starts(str_from(f->d_name), STR(MAKING)))
			(void)unlinkat(d->dir, f->d_name, 0);
	(void)closedir(dir);
	return OK;
}

enum err blobdir_open(const char *data_dir, struct blobdir **ret)
{
	AUTO(blobdir) struct blobdir *d = mem_zalloc(1, sizeof *d);
	char manifests[DIR_PATH_MAX];
	if (!d)
		return ERR_NOMEM;
	d->dir = -1;
	TRY(path_join(manifests, sizeof manifests, data_dir, "models/manifests"));
	TRY(path_join(d->path, sizeof d->path, data_dir, "models/blobs"));
	TRY(dir_make(manifests, 0700));
	TRY(dir_make(d->path, 0700));
	TRY(fd_open(d->path, O_RDONLY | O_DIRECTORY, 0, &d->dir));
	TRY(remove_unmade(d));
	*ret = TAKE(d);
	return OK;
}

struct blobdir *blobdir_free(struct blobdir *d)
{
	if (d && d->dir >= 0)
		(void)close(d->dir);
	mem_free(d);
	return NULL;
}

static enum err open_at(
	struct blobdir *d, struct str digest, const char *suffix, int flags, int *ret)
{
	char name[FILE_NAME_MAX];
	TRY(file_name(digest, suffix, name));
	return fd_openat(d->dir, name, flags, 0600, ret);
}

static enum err remove_at(struct blobdir *d, struct str digest, const char *suffix)
{
	char name[FILE_NAME_MAX];
	TRY(file_name(digest, suffix, name));
	if (unlinkat(d->dir, name, 0) && errno != ENOENT)
		return err_from_errno(errno);
	return OK;
}

static enum err exists(struct blobdir *d, struct str digest)
{
	char name[FILE_NAME_MAX];
	struct stat st;
	TRY(file_name(digest, "", name));
	if (fstatat(d->dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_from_errno(errno);
	return OK;
}

/* Says early what would be said after hours: that the disk cannot hold it. */
static enum err check_space(struct blobdir *d, int file, uint64_t size, struct err_info *info)
{
	struct statvfs v;
	struct stat st;
	if (fstatvfs(d->dir, &v) || fstat(file, &st))
		return err_from_errno(errno);
	uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	uint64_t there = (uint64_t)st.st_blocks * 512;
	uint64_t missing = size > there ? size - there : 0;
	if (free_bytes >= missing && free_bytes - missing >= SPACE_RESERVE)
		return OK;
	(void)err_set(info, ERR_NOSPACE, "the disk has %llu MB free, the model needs %llu MB more",
		(unsigned long long)(free_bytes / 1000000),
		(unsigned long long)((missing + SPACE_RESERVE) / 1000000));
	err_hint(info, "make room on the disk and try again; what came is kept");
	return ERR_NOSPACE;
}

/* ---- files that are made here ---- */

static void making_name(uint64_t number, char dst[FILE_NAME_MAX])
{
	(void)snprintf(dst, FILE_NAME_MAX, MAKING "%" PRIu64, number);
}

enum err blobdir_make(
	struct blobdir *d, uint64_t number, uint64_t room, int *ret_file, struct err_info *info)
{
	char name[FILE_NAME_MAX];
	AUTO_FD int file = -1;
	making_name(number, name);
	TRY(fd_openat(d->dir, name, O_RDWR | O_CREAT | O_EXCL, 0600, &file));
	enum err e = check_space(d, file, room, info);
	if (e) {
		blobdir_unmake(d, number);
		return e;
	}
	*ret_file = TAKE_FD(file);
	return OK;
}

static enum err clone_file(struct blobdir *d, uint64_t number, int source)
{
	AUTO_FD int file = -1;
	TRY(blobdir_make(d, number, 0, &file, NULL));
	if (!ioctl(file, FICLONE, source))
		return OK;
	blobdir_unmake(d, number);
	return ERR_UNSUPPORTED;
}

static enum err link_file(struct blobdir *d, uint64_t number, int source, const struct stat *st,
	struct err_info *info)
{
	char name[FILE_NAME_MAX], from[40];
	if (st->st_uid != geteuid())
		return err_set(info, ERR_UNSUPPORTED,
			"it belongs to another user, who could change it later");
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(info, ERR_UNSUPPORTED,
			"others than its owner may write it and could change it later");
	making_name(number, name);
	(void)snprintf(from, sizeof from, "/proc/self/fd/%d", source);
	if (!linkat(AT_FDCWD, from, d->dir, name, AT_SYMLINK_FOLLOW))
		return OK;
	if (errno == EXDEV)
		return err_set(info, ERR_UNSUPPORTED, "it lies on another file system");
	return err_set(info, ERR_UNSUPPORTED, "the system allows no second name for it");
}

enum err blobdir_share(
	struct blobdir *d, uint64_t number, int source, bool *ret_linked, struct err_info *info)
{
	struct stat st;
	if (fstat(source, &st) || !S_ISREG(st.st_mode))
		return err_set(info, ERR_UNSUPPORTED, "it is not a file");
	enum err e = clone_file(d, number, source);
	*ret_linked = e == ERR_UNSUPPORTED;
	return *ret_linked ? link_file(d, number, source, &st, info) : e;
}

enum err blobdir_make_open(struct blobdir *d, uint64_t number, int *ret_fd, uint64_t *ret_size)
{
	char name[FILE_NAME_MAX];
	AUTO_FD int fd = -1;
	making_name(number, name);
	TRY(fd_openat(d->dir, name, O_RDONLY, 0, &fd));
	TRY(fd_size(fd, ret_size));
	*ret_fd = TAKE_FD(fd);
	return OK;
}

enum err blobdir_made(struct blobdir *d, uint64_t number, struct str digest)
{
	char from[FILE_NAME_MAX], to[FILE_NAME_MAX];
	AUTO_FD int file = -1;
	struct stat st;
	making_name(number, from);
	TRY(file_name(digest, "", to));
	TRY(fd_openat(d->dir, from, O_RDONLY, 0, &file));
	enum err e = exists(d, digest);
	if (e != ERR_NOT_FOUND) {
		blobdir_unmake(d, number);
		return e;
	}
	if (fstat(file, &st))
		return err_from_errno(errno);
	/* A file with a second name is somebody's else too: its rights stay as they are. */
	if (fsync(file) || (st.st_nlink == 1 && fchmod(file, 0400)) ||
		renameat(d->dir, from, d->dir, to))
		return err_from_errno(errno);
	return fsync(d->dir) ? err_from_errno(errno) : OK;
}

void blobdir_unmake(struct blobdir *d, uint64_t number)
{
	char name[FILE_NAME_MAX];
	making_name(number, name);
	(void)unlinkat(d->dir, name, 0);
}

enum err blobdir_stage(struct blobdir *d, struct str digest, uint64_t size, int *ret_file,
	int *ret_journal, struct err_info *info)
{
	AUTO_FD int file = -1;
	AUTO_FD int journal = -1;
	struct stat st;
	enum err e = exists(d, digest);
	if (e != ERR_NOT_FOUND)
		return e ? e : ERR_EXISTS;
	if (size > INT64_MAX)
		return err_set(info, ERR_TOO_LARGE, "the size claimed is absurd");
	TRY(open_at(d, digest, PARTIAL, O_RDWR | O_CREAT, &file));
	/* The writer inherits this lock with the descriptor and gives it back by ending. */
	if (flock(file, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? ERR_LOCKED : err_from_errno(errno);
	if (fstat(file, &st) || !S_ISREG(st.st_mode))
		return ERR_IO;
	if ((uint64_t)st.st_size > size && ftruncate(file, (off_t)size))
		return err_from_errno(errno);
	e = check_space(d, file, size, info);
	if (e) {
		if (!st.st_blocks) /* nothing came yet: leave nothing */
			(void)remove_at(d, digest, PARTIAL);
		return e;
	}
	TRY(open_at(d, digest, JOURNAL, O_RDWR | O_CREAT, &journal));
	*ret_file = TAKE_FD(file);
	*ret_journal = TAKE_FD(journal);
	return OK;
}

enum err blobdir_commit(struct blobdir *d, struct str digest)
{
	char from[FILE_NAME_MAX], to[FILE_NAME_MAX];
	AUTO_FD int file = -1;
	TRY(file_name(digest, PARTIAL, from));
	TRY(file_name(digest, "", to));
	enum err e = fd_openat(d->dir, from, O_RDONLY, 0, &file);
	if (e == ERR_NOT_FOUND)
		return exists(d, digest);
	TRY(e);
	if (fsync(file) || fchmod(file, 0400) || renameat(d->dir, from, d->dir, to))
		return err_from_errno(errno);
	(void)remove_at(d, digest, JOURNAL);
	return fsync(d->dir) ? err_from_errno(errno) : OK;
}

enum err blobdir_get(struct blobdir *d, struct str digest, int *ret_fd, uint64_t *ret_size)
{
	AUTO_FD int fd = -1;
	struct stat st;
	TRY(open_at(d, digest, "", O_RDONLY, &fd));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return ERR_IO;
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = TAKE_FD(fd);
	return OK;
}

enum err blobdir_delete(struct blobdir *d, struct str digest)
{
	TRY(remove_at(d, digest, ""));
	TRY(remove_at(d, digest, PARTIAL));
	TRY(remove_at(d, digest, JOURNAL));
	return fsync(d->dir) ? err_from_errno(errno) : OK;
}

static bool item_of(struct blobdir *d, const char *name, struct blobdir_item *i)
{
	struct str s = str_from(name);
	struct stat st;
	if (!str_starts(s, STR(PREFIX)))
		return false;
	struct str digest = str_sub(s, sizeof PREFIX - 1, 64);
	struct str rest = str_sub(s, sizeof PREFIX - 1 + 64, s.len);
	i->partial = str_eq(rest, STR(PARTIAL));
	if ((rest.len && !i->partial) || !digest_ok(digest) || str_copy(digest, i->digest, 65) ||
		fstatat(d->dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return false;
	i->size = (uint64_t)st.st_size;
	i->modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return true;
}

enum err blobdir_list(
	struct blobdir *d, enum err (*fn)(const struct blobdir_item *i, void *arg), void *arg)
{
	struct blobdir_item item = { .size = 0 }; /* no byte of it is left to chance */
	DIR *dir = opendir(d->path);
	enum err e = OK;
	if (!dir)
		return err_from_errno(errno);
	for (struct dirent *f; !e && (f = readdir(dir));)
		if (item_of(d, f->d_name, &item))
			e = fn(&item, arg);
	(void)closedir(dir);
	return e;
}

static enum err pack(const struct blobdir_item *i, void *arg)
{
	return buf_add(arg, (struct str){ (const char *)i, sizeof *i });
}

enum err blobdir_pack(struct blobdir *d, struct buf *out)
{
	return blobdir_list(d, pack, out);
}
