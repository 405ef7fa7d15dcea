/* os/fd.h - files and descriptors: the wrappers everybody uses (CLOEXEC always, EINTR retried,
 * short reads and writes finished, n-th-syscall failure injection). Errors: from errno. */
#pragma once

#include <sys/types.h>

#include "base/buf.h"

enum err fd_open(const char *path, int flags, mode_t mode, int *ret);
enum err fd_openat(int dir, const char *name, int flags, mode_t mode,
	int *ret); /* no symlinks (RESOLVE_BENEATH) */
enum err fd_read(int fd, void *p, size_t n, size_t *ret_n);        /* one read; 0 = end */
enum err fd_read_full(int fd, void *p, size_t n);                  /* ERR_IO when short */
enum err fd_write_full(int fd, const void *p, size_t n);
enum err fd_pread_full(int fd, void *p, size_t n, uint64_t at);
enum err fd_pwrite_full(int fd, const void *p, size_t n, uint64_t at);
enum err fd_sync(int fd);      /* fdatasync */
enum err fd_sync_dir(const char *path);
enum err fd_memfd(const char *name, struct str content, int *ret); /* sealed, read-only content */
enum err fd_dup(int fd, int *ret);
enum err fd_nonblock(int fd, bool on);
/* Gives the range's space back; it reads as zeros, the size stays. Where the file system cannot,
 * zeros are written as far as the file goes. */
enum err fd_punch(int fd, uint64_t at, uint64_t n);
/* The first offset from `at` on that is not in a hole; `at` where the file system cannot tell.
 * Errors: ERR_NOT_FOUND (only a hole, or the end), from errno. */
enum err fd_next_data(int fd, uint64_t at, uint64_t *ret);
enum err fd_size(int fd, uint64_t *ret);
enum err fd_cut(int fd, uint64_t size); /* ftruncate */
/* Reads a whole small file; ERR_LIMIT over out->max. */
enum err file_read(const char *path, struct buf *out);
/* Writes whole: temporary file beside it, fsync, rename, fsync of the folder. */
enum err file_write_atomic(const char *path, struct str content, mode_t mode);
enum err dir_make(const char *path, mode_t mode); /* with parents; exists is fine */
enum err dir_remove_tree(const char *path);
/* Joins with '/', into the caller's memory. ERR_LIMIT. */
enum err path_join(char *dst, size_t size, const char *a, const char *b);
/* Takes an exclusive lock (flock) and writes our pid; *ret_fd holds it. ERR_LOCKED: *ret_holder is
 * the pid written there (0 if unknown). */
enum err file_lock(const char *path, int *ret_fd, long *ret_holder);
