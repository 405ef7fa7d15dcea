/* Whole files and folders: the second half of os/fd.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/random.h"
#include "os/fd.h"

enum { TREE_DEPTH_MAX = 64, READ_PIECE = 64 * 1024 };

static enum err failed(void) { return err_from_errno(errno); }

enum err file_read(const char *path, struct buf *out)
{
	AUTO_FD int fd = -1;
	size_t start = out->len, got = 0;
	TRY(fd_open(path, O_RDONLY, 0, &fd));
	do {
		size_t room = out->max - out->len;
		/* at the limit one byte more is asked for, to tell "fits exactly" from "longer" */
		char one;
		enum err e = OK;
		if (room == 0) {
			e = fd_read(fd, &one, 1, &got);
			if (!e && got > 0)
				e = ERR_LIMIT;
		} else {
			e = buf_reserve(out, room < READ_PIECE ? room : READ_PIECE);
			if (!e)
				e = fd_read(fd, out->ptr + out->len,
					    room < READ_PIECE ? room : READ_PIECE, &got);
			if (!e)
				out->len += got;
		}
		if (e) {
			buf_cut(out, start);
			return e;
		}
	} while (got > 0);
	return OK;
}

/* The folder part of `path`, "." when there is none. */
static enum err parent_of(const char *path, char dst[PATH_MAX])
{
	struct str s = str_from(path);
	while (s.len > 0 && s.ptr[s.len - 1] != '/')
		s.len--;
	while (s.len > 1 && s.ptr[s.len - 1] == '/')
		s.len--;
	return str_copy(s.len ? s : STR("."), dst, PATH_MAX);
}

static enum err write_temp(const char *temp, struct str content, mode_t mode)
{
	AUTO_FD int fd = -1;
	TRY(fd_open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode, &fd));
	if (fchmod(fd, mode) < 0) /* the umask must not decide */
		return failed();
	TRY(fd_write_full(fd, content.ptr, content.len));
	return fd_sync(fd);
}

enum err file_write_atomic(const char *path, struct str content, mode_t mode)
{
	char temp[PATH_MAX], folder[PATH_MAX];
	TRY(parent_of(path, folder));
	if (snprintf(temp, sizeof temp, "%s.%016llx.tmp", path,
		     (unsigned long long)random_u64()) >= (int)sizeof temp)
		return ERR_LIMIT;
	enum err e = write_temp(temp, content, mode);
	if (!e && (fault_hit(FAULT_SYSCALL) || rename(temp, path) < 0))
		e = failed();
	if (e) {
		(void)unlink(temp);
		return e;
	}
	return fd_sync_dir(folder);
}

enum err dir_make(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	TRY(str_copy(str_from(path), part, sizeof part));
	for (char *p = part + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char end = *p;
		*p = '\0';
		if ((fault_hit(FAULT_SYSCALL) || mkdir(part, mode) < 0) && errno != EEXIST)
			return failed();
		*p = end;
		if (!end)
			break;
	}
	struct stat st;
	if (stat(path, &st) < 0)
		return failed();
	return S_ISDIR(st.st_mode) ? OK : ERR_EXISTS;
}

/* Takes `dir`. Never follows a link. */
static enum err empty_dir(int dir, unsigned depth)
{
	DIR *d = depth < TREE_DEPTH_MAX ? fdopendir(dir) : NULL;
	if (!d) {
		(void)close(dir);
		return depth < TREE_DEPTH_MAX ? failed() : ERR_LIMIT;
	}
	enum err e = OK;
	for (struct dirent *f; !e && (f = readdir(d));) {
		if (strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0)
			continue;
		if (!fault_hit(FAULT_SYSCALL) && unlinkat(dirfd(d), f->d_name, 0) == 0)
			continue;
		if (errno != EISDIR) {
			e = failed();
			break;
		}
		int sub = openat(
			dirfd(d), f->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		e = sub < 0 ? failed() : empty_dir(sub, depth + 1);
		if (!e && unlinkat(dirfd(d), f->d_name, AT_REMOVEDIR) < 0)
			e = failed();
	}
	(void)closedir(d);
	return e;
}

enum err dir_remove_tree(const char *path)
{
	int dir;
	TRY(fd_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &dir));
	TRY(empty_dir(dir, 0));
	return rmdir(path) < 0 ? failed() : OK;
}

enum err path_join(char *dst, size_t size, const char *a, const char *b)
{
	size_t n = strlen(a);
	bool slash = n > 0 && a[n - 1] != '/';
	int len = snprintf(dst, size, "%s%s%s", a, slash ? "/" : "", b);
	return len < 0 || (size_t)len >= size ? ERR_LIMIT : OK;
}

enum err file_lock(const char *path, int *ret_fd, long *ret_holder)
{
	AUTO_FD int fd = -1;
	char text[24];
	TRY(fd_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &fd));
	if (fault_hit(FAULT_SYSCALL) || flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return failed();
		ssize_t n = pread(fd, text, sizeof text, 0);
		int64_t pid = 0;
		if (n <= 0 || str_to_i64(str_trim((struct str){ text, (size_t)n }), &pid) != OK)
			pid = 0;
		if (ret_holder)
			*ret_holder = (long)pid;
		return ERR_LOCKED;
	}
	int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0)
		return failed();
	TRY(fd_pwrite_full(fd, text, (size_t)n, 0));
	*ret_fd = TAKE_FD(fd);
	return OK;
}
