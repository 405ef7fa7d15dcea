/* os/sandbox.h - gives rights up. Order: close descriptors, Landlock while there is one thread,
 * load trusted code, then sandbox_lock() (seccomp with TSYNC), then the first foreign byte.
 *
 * Unknown system calls get ENOSYS, forbidden ones kill. The profile table is in sandbox.c and in
 * docs/architecture.md; tests/roles reads /proc to hold it true. Kernel without Landlock or user
 * namespaces: sandbox_report() says so, nothing is silent. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

enum sandbox_profile {
	SANDBOX_SERVER, /* sockets it was given (accept), files in the data directory; no connect */
	SANDBOX_EGRESS, /* outgoing inet sockets, DNS and CA files read-only; nothing else */
	SANDBOX_ENGINE_CPU, /* memory, threads, its descriptors; no socket(), no open() */
	SANDBOX_ENGINE_LOAD, /* the same, and opens what Landlock lets it, until _CPU is locked;
				ERR_UNSUPPORTED without Landlock */
	SANDBOX_ENGINE_GPU, /* plus devices, driver libraries and ioctl classes by name */
	SANDBOX_JAIL,       /* read, write, memory, exit; no threads, no open, no socket */
};
struct sandbox_path {
	const char *path;
	enum { SANDBOX_READ = 1, SANDBOX_WRITE = 2, SANDBOX_EXEC = 4 } rights; /* bits */
};
struct sandbox_limits { /* 0 = leave */
	size_t memory_bytes;  /* RLIMIT_AS */
	unsigned cpu_seconds, open_files, file_bytes_mib;
};
/* no_new_privs, no core dumps, PR_SET_DUMPABLE 0, user + network namespace where allowed and the
 * profile wants it, rlimits, Landlock with just `paths`. One thread only. */
enum err sandbox_enter(enum sandbox_profile p, const struct sandbox_path *paths, size_t n_paths,
		       const struct sandbox_limits *limits);
/* The seccomp filter, for all threads. After that no right comes back. */
enum err sandbox_lock(enum sandbox_profile p);
/* What the kernel offers: for doctor and the preflight. */
struct sandbox_report {
	int landlock_abi; /* 0: none */
	bool seccomp, user_namespaces, net_namespaces;
};
void sandbox_probe(struct sandbox_report *ret);
/* Closes every descriptor but the listed ones (ascending or not). */
void fd_close_others(const int *keep, size_t n);
