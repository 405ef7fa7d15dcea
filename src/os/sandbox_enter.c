/* All of os/sandbox.h but the system call filter: what is given up while there is one thread.
 *
 * Order matters: namespaces first (a process that is not dumpable cannot write its own uid_map),
 * then capabilities, limits, no_new_privs, Landlock. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "os/fd.h"
#include "os/sandbox.h"

/* ---- Landlock by system call: glibc has no wrappers, the header may be older than the kernel - */

struct ruleset_attr {
	uint64_t fs, net, scoped;
};
struct path_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

enum { RULE_PATH = 1, CREATE_VERSION = 1 };
enum {
	FS_EXECUTE = 1 << 0, FS_WRITE_FILE = 1 << 1, FS_READ_FILE = 1 << 2, FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4, FS_REMOVE_FILE = 1 << 5, FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8, FS_REFER = 1 << 13, FS_TRUNCATE = 1 << 14, FS_IOCTL_DEV = 1 << 15,
	FS_ABI_1 = (1 << 13) - 1,
	FS_FILE_ONLY = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
	NET_BIND_TCP = 1 << 0, NET_CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT_UNIX = 1 << 0, SCOPE_SIGNAL = 1 << 1,
};

static int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
	return abi < 0 ? 0 : (int)abi;
}

static uint64_t handled_fs(int abi)
{
	return FS_ABI_1 | (abi >= 2 ? FS_REFER : 0u) | (abi >= 3 ? FS_TRUNCATE : 0u) |
	       (abi >= 5 ? FS_IOCTL_DEV : 0u);
}

static uint64_t rights_of(enum sandbox_profile p, unsigned rights)
{
	uint64_t r = 0;
	if (rights & SANDBOX_READ)
		r |= FS_READ_FILE | FS_READ_DIR;
	if (rights & SANDBOX_WRITE)
		r |= FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE |
		     FS_REMOVE_DIR | FS_REFER | (p == SANDBOX_ENGINE_GPU ? FS_IOCTL_DEV : 0u);
	if (rights & SANDBOX_EXEC)
		r |= FS_EXECUTE;
	return r;
}

/* A path that is not there gives no right and is no error: lists name files of several systems. */
static enum err allow_path(int ruleset, uint64_t handled, enum sandbox_profile p,
			   const struct sandbox_path *path)
{
	struct stat st;
	AUTO_FD int fd = open(path->path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? OK : err_from_errno(errno);
	if (fstat(fd, &st) < 0)
		return err_from_errno(errno);
	struct path_attr attr = { .allowed = rights_of(p, path->rights) & handled,
		.parent_fd = fd };
	if (!S_ISDIR(st.st_mode))
		attr.allowed &= FS_FILE_ONLY;
	if (!attr.allowed)
		return OK;
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &attr, 0) < 0)
		return err_from_errno(errno);
	return OK;
}

/* What libraries open behind our back and must get: without it SQLite would seed its random numbers
 * from the clock, and times would be told in UTC. */
static const struct sandbox_path always[] = {
	{ "/dev/urandom", SANDBOX_READ },
	{ "/etc/localtime", SANDBOX_READ },
	{ "/usr/share/zoneinfo", SANDBOX_READ },
};

static enum err enter_landlock(enum sandbox_profile p, const struct sandbox_path *paths, size_t n)
{
	int abi = landlock_abi();
	if (abi == 0) /* an old kernel; sandbox_probe() tells, seccomp still holds: but not here */
		return p == SANDBOX_ENGINE_LOAD ? ERR_UNSUPPORTED : OK;
	struct ruleset_attr attr = { .fs = handled_fs(abi) };
	size_t size = sizeof attr.fs;
	if (abi >= 4) {
		attr.net = NET_BIND_TCP | (p == SANDBOX_EGRESS ? 0u : NET_CONNECT_TCP);
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof attr;
	}
	AUTO_FD int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0 || fcntl(ruleset, F_SETFD, FD_CLOEXEC) < 0)
		return err_from_errno(errno);
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		TRY(allow_path(ruleset, attr.fs, p, &always[i]));
	for (size_t i = 0; i < n; i++)
		TRY(allow_path(ruleset, attr.fs, p, &paths[i]));
	if (fault_hit(FAULT_SYSCALL) || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return err_from_errno(errno);
	return OK;
}

/* ---- namespaces and capabilities ---- */

static void write_proc(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		(void)0; /* without a map our ids show as 65534, which harms nobody */
	(void)close(fd);
}

/* An empty network. With the right to it no user namespace is needed; else one is made, but not for
 * the server: it must see the true user ids of peers on its local socket, and in a user namespace
 * everybody but the owner would look the same. */
static void leave_network(enum sandbox_profile p)
{
	char map[64];
	unsigned uid = geteuid(), gid = getegid();
	if (p == SANDBOX_EGRESS || unshare(CLONE_NEWNET | CLONE_NEWIPC) == 0)
		return;
	if (p == SANDBOX_SERVER || unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) < 0)
		return; /* not allowed here: the filter has no socket() for these profiles */
	write_proc("/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof map, "%u %u 1", uid, uid);
	write_proc("/proc/self/uid_map", map);
	(void)snprintf(map, sizeof map, "%u %u 1", gid, gid);
	write_proc("/proc/self/gid_map", map);
}

static enum err drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno == EINVAL)
			break; /* past the last one; EPERM: an ordinary user has none to drop */
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (fault_hit(FAULT_SYSCALL) || syscall(SYS_capset, &head, none) < 0)
		return err_from_errno(errno);
	return OK;
}

static enum err limit(__rlimit_resource_t what, uint64_t value)
{
	struct rlimit now;
	if (fault_hit(FAULT_SYSCALL) || getrlimit(what, &now) < 0)
		return err_from_errno(errno);
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value)
		value = now.rlim_max; /* already tighter */
	struct rlimit l = { value, value };
	return setrlimit(what, &l) < 0 ? err_from_errno(errno) : OK;
}

static enum err set_limits(const struct sandbox_limits *l)
{
	TRY(limit(RLIMIT_CORE, 0));
	if (!l)
		return OK;
	if (l->memory_bytes)
		TRY(limit(RLIMIT_AS, l->memory_bytes));
	if (l->cpu_seconds)
		TRY(limit(RLIMIT_CPU, l->cpu_seconds));
	if (l->open_files)
		TRY(limit(RLIMIT_NOFILE, l->open_files));
	if (l->file_bytes_mib)
		TRY(limit(RLIMIT_FSIZE, (uint64_t)l->file_bytes_mib << 20));
	return OK;
}

/* Threads of this process; 1 when /proc cannot say. */
static uint64_t thread_count(void)
{
	char text[4096];
	AUTO_FD int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (n <= 0)
		return 1;
	uint64_t count = 1;
	struct str field, rest = { text, (size_t)n };
	while (str_next(&rest, '\n', &field))
		if (str_starts(field, STR("Threads:")) &&
			str_to_u64(str_trim(str_sub(field, 8, SIZE_MAX)), &count) != OK)
			count = 1;
	return count;
}

/* A thread that was joined a moment ago is counted until the kernel has taken it down. */
static bool is_alone(void)
{
	enum { TRIES = 50, WAIT_MS = 2 };
	for (unsigned i = 0; i < TRIES; i++) {
		if (thread_count() == 1)
			return true;
		(void)poll(NULL, 0, WAIT_MS);
	}
	return false;
}

enum err sandbox_enter(enum sandbox_profile p, const struct sandbox_path *paths, size_t n_paths,
		       const struct sandbox_limits *limits)
{
	int death_signal = 0;
	if (!is_alone())
		return ERR_INTERNAL; /* Landlock would bind this thread only */
	(void)prctl(PR_GET_PDEATHSIG, &death_signal);
	leave_network(p);
	TRY(drop_capabilities());
	TRY(set_limits(limits));
	if (fault_hit(FAULT_SYSCALL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_from_errno(errno);
	/* the kernel may forget it when rights change; the role must still end with the keeper */
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0)
		return err_from_errno(errno);
	return enter_landlock(p, paths, n_paths);
}

/* Whether a child may unshare `flags`. */
static bool may_unshare(int flags)
{
	int status = 1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(flags) == 0 ? 0 : 1);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void sandbox_probe(struct sandbox_report *ret)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;
	*ret = (struct sandbox_report){
		.landlock_abi = landlock_abi(),
		.seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0,
		.user_namespaces = may_unshare(CLONE_NEWUSER),
		.net_namespaces = may_unshare(CLONE_NEWNET) ||
				  may_unshare(CLONE_NEWUSER | CLONE_NEWNET),
	};
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

void fd_close_others(const int *keep, size_t n)
{
	int sorted[64];
	unsigned from = 0;
	if (n > sizeof sorted / sizeof *sorted)
		DIE("too many descriptors to keep");
	if (n)
		memcpy(sorted, keep, n * sizeof *keep);
	qsort(sorted, n, sizeof *sorted, by_number);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < 0 || (unsigned)sorted[i] < from)
			continue; /* none, or twice */
		if ((unsigned)sorted[i] > from)
			(void)syscall(SYS_close_range, from, (unsigned)sorted[i] - 1, 0u);
		from = (unsigned)sorted[i] + 1;
	}
	(void)syscall(SYS_close_range, from, ~0u, 0u);
}
