#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

static enum err failed(void) { return err_from_errno(errno); }

enum err fd_open(const char *path, int flags, mode_t mode, int *ret)
{
	int fd;
	do
		fd = fault_hit(FAULT_SYSCALL) ? -1 : open(path, flags | O_CLOEXEC, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return failed();
	*ret = fd;
	return OK;
}

enum err fd_openat(int dir, const char *name, int flags, mode_t mode, int *ret)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;
	do
		fd = fault_hit(FAULT_SYSCALL) ? -1 :
						syscall(SYS_openat2, dir, name, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: a rename went on */
	if (fd < 0)
		return failed();
	*ret = (int)fd;
	return OK;
}

enum err fd_read(int fd, void *p, size_t n, size_t *ret_n)
{
	ssize_t got;
	do
		got = fault_hit(FAULT_SYSCALL) ? -1 : read(fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return failed();
	*ret_n = (size_t)got;
	return OK;
}

enum err fd_read_full(int fd, void *p, size_t n)
{
	for (size_t done = 0, got; done < n; done += got) {
		TRY(fd_read(fd, (char *)p + done, n - done, &got));
		if (got == 0)
			return ERR_IO;
	}
	return OK;
}

enum err fd_write_full(int fd, const void *p, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t put =
			fault_hit(FAULT_SYSCALL) ? -1 : write(fd, (const char *)p + done, n - done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? failed() : ERR_IO;
		done += (size_t)put;
	}
	return OK;
}

enum err fd_pread_full(int fd, void *p, size_t n, uint64_t at)
{
	for (size_t done = 0; done < n;) {
		ssize_t got = fault_hit(FAULT_SYSCALL) ?
				      -1 :
				      pread(fd, (char *)p + done, n - done, (off_t)(at + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? failed() : ERR_IO;
		done += (size_t)got;
	}
	return OK;
}

enum err fd_pwrite_full(int fd, const void *p, size_t n, uint64_t at)
{
	for (size_t done = 0; done < n;) {
		ssize_t put = fault_hit(FAULT_SYSCALL) ? -1
						       : pwrite(fd, (const char *)p + done,
								 n - done, (off_t)(at + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? failed() : ERR_IO;
		done += (size_t)put;
	}
	return OK;
}

enum err fd_sync(int fd)
{
	int rc;
	do
		rc = fault_hit(FAULT_SYSCALL) ? -1 : fdatasync(fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? failed() : OK;
}

enum err fd_sync_dir(const char *path)
{
	AUTO_FD int fd = -1;
	TRY(fd_open(path, O_RDONLY | O_DIRECTORY, 0, &fd));
	int rc;
	do
		rc = fault_hit(FAULT_SYSCALL) ? -1 : fsync(fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? failed() : OK;
}

enum err fd_memfd(const char *name, struct str content, int *ret)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	AUTO_FD int fd =
		fault_hit(FAULT_SYSCALL) ? -1 : memfd_create(name, flags | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	if (fd < 0)
		return failed();
	TRY(fd_write_full(fd, content.ptr, content.len));
	if (fault_hit(FAULT_SYSCALL) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return failed();
	*ret = TAKE_FD(fd);
	return OK;
}

enum err fd_dup(int fd, int *ret)
{
	int copy = fault_hit(FAULT_SYSCALL) ? (errno = EMFILE, -1) : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return err_from_errno(errno);
	*ret = copy;
	return OK;
}

enum err fd_nonblock(int fd, bool on)
{
	int flags = fault_hit(FAULT_SYSCALL) ? -1 : fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return failed();
	return OK;
}

static enum err write_zeros(int fd, uint64_t at, uint64_t n)
{
	static const char zeros[16 * 1024];
	uint64_t size;
	TRY(fd_size(fd, &size));
	uint64_t end = at < size && n > size - at ? size : at + n;
	while (at < end) {
		size_t piece = end - at < sizeof zeros ? (size_t)(end - at) : sizeof zeros;
		TRY(fd_pwrite_full(fd, zeros, piece, at));
		at += piece;
	}
	return OK;
}

enum err fd_punch(int fd, uint64_t at, uint64_t n)
{
	uint64_t size;
	int rc;
	TRY(fd_size(fd, &size));
	if (!n || at >= size)
		return OK;
	do
		rc = fault_hit(FAULT_SYSCALL) ? -1
					      : fallocate(fd,
							FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
							(off_t)at, (off_t)n);
	while (rc < 0 && errno == EINTR);
	if (rc < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
		return write_zeros(fd, at, n);
	return rc < 0 ? failed() : OK;
}

enum err fd_next_data(int fd, uint64_t at, uint64_t *ret)
{
	off_t next = fault_hit(FAULT_SYSCALL) ? -1 : lseek(fd, (off_t)at, SEEK_DATA);
	if (next < 0 && errno == ENXIO)
		return ERR_NOT_FOUND;
	if (next < 0 && errno != EINVAL)
		return failed();
	*ret = next < 0 ? at : (uint64_t)next;
	return OK;
}

enum err fd_size(int fd, uint64_t *ret)
{
	struct stat st;
	if (fault_hit(FAULT_SYSCALL) || fstat(fd, &st) < 0)
		return failed();
	*ret = (uint64_t)st.st_size;
	return OK;
}

enum err fd_cut(int fd, uint64_t size)
{
	int rc;
	do
		rc = fault_hit(FAULT_SYSCALL) ? -1 : ftruncate(fd, (off_t)size);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? failed() : OK;
}
