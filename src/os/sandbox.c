/* The system call filter of each role, as one table.
 *
 * Three answers: allowed; not in the table: ENOSYS, so that a library which tries something
 * new falls back; and calls whose use can only be an attack: the process is killed. A few calls
 * that libraries try in good faith get EACCES instead of a kill (opening a file, mapping code). */
#include "os/sandbox.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

#include "base/fault.h"

/* Columns of the tables: one bit a profile. */
enum {
	S = 1 << SANDBOX_SERVER,
	E = 1 << SANDBOX_EGRESS,
	C_ONLY = 1 << SANDBOX_ENGINE_CPU,
	L = 1 << SANDBOX_ENGINE_LOAD,
	C = C_ONLY | L,
	G = 1 << SANDBOX_ENGINE_GPU,
	J = 1 << SANDBOX_JAIL,
	THREADED = S | E | C | G,
	FILES = S | E | G | L,
	ALL = THREADED | J,
};

struct allowed {
	const char *name;
	unsigned profiles;
};

static const struct allowed allowed[] = {
	/* descriptors it has */
	{ "read", ALL }, { "write", ALL }, { "readv", ALL }, { "writev", ALL },
	{ "pread64", ALL }, { "pwrite64", ALL }, { "lseek", ALL }, { "close", ALL },
	{ "fstat", ALL }, { "fcntl", ALL }, { "fsync", ALL }, { "fdatasync", ALL },
	{ "ftruncate", ALL }, { "fallocate", S | C | G | J }, { "copy_file_range", S | J },
	{ "sendfile", S }, { "sync_file_range", S }, { "fadvise64", S | C | G | J },
	{ "dup", THREADED }, { "dup2", THREADED }, { "dup3", THREADED },
	{ "close_range", THREADED }, { "preadv", S }, { "pwritev", S }, { "flock", S },
	/* memory; mmap and mprotect stand below */
	{ "munmap", ALL }, { "mremap", ALL }, { "brk", ALL }, { "madvise", ALL },
	{ "mlock", S | C | G }, { "munlock", S | C | G }, { "mincore", C | G },
	{ "memfd_create", ALL }, { "membarrier", THREADED },
	/* messages */
	{ "sendmsg", ALL }, { "recvmsg", ALL }, { "shutdown", ALL },
	{ "sendto", S | E }, { "recvfrom", S | E }, { "sendmmsg", E }, { "recvmmsg", E },
	{ "accept4", S }, { "accept", S }, { "getsockname", S | E }, { "getpeername", S | E },
	{ "getsockopt", S | E | C | G }, { "setsockopt", S | E }, { "connect", E }, { "bind", E },
	/* waiting */
	{ "poll", ALL }, { "ppoll", ALL }, { "select", S | E }, { "pselect6", S | E },
	{ "epoll_create1", THREADED }, { "epoll_ctl", THREADED }, { "epoll_wait", THREADED },
	{ "epoll_pwait", THREADED }, { "epoll_pwait2", THREADED }, { "eventfd2", THREADED },
	{ "pipe2", S | E | G }, { "timerfd_create", THREADED }, { "timerfd_settime", THREADED },
	{ "signalfd4", THREADED }, { "nanosleep", THREADED }, { "clock_nanosleep", THREADED },
	/* threads; clone stands below */
	{ "futex", ALL }, { "set_robust_list", THREADED }, { "rseq", THREADED },
	{ "sched_yield", THREADED }, { "sched_getaffinity", THREADED },
	{ "sched_setaffinity", C | G }, { "getcpu", THREADED },
	/* itself */
	{ "exit", ALL }, { "exit_group", ALL }, { "restart_syscall", ALL },
	{ "rt_sigaction", ALL }, { "rt_sigprocmask", ALL }, { "rt_sigreturn", ALL },
	{ "sigaltstack", ALL }, { "rt_sigtimedwait", THREADED }, { "getpid", ALL },
	{ "gettid", ALL }, { "getppid", ALL }, { "getuid", THREADED }, { "geteuid", THREADED },
	{ "getgid", THREADED }, { "getegid", THREADED }, { "getrusage", ALL },
	{ "getrandom", ALL }, { "clock_gettime", ALL }, { "clock_getres", ALL },
	{ "gettimeofday", ALL }, { "time", ALL }, { "times", THREADED }, { "sysinfo", THREADED },
	{ "uname", THREADED }, { "umask", S },
	/* files by name: Landlock says which */
	{ "open", FILES }, { "openat", FILES }, { "openat2", S }, { "stat", FILES },
	{ "lstat", FILES }, { "statx", FILES }, { "access", FILES }, { "faccessat", FILES },
	{ "faccessat2", FILES }, { "readlink", FILES }, { "readlinkat", FILES },
	{ "getdents64", FILES }, { "getcwd", FILES }, { "statfs", S | G }, { "fstatfs", S | G },
	{ "unlink", S }, { "unlinkat", S }, { "rename", S }, { "renameat", S },
	{ "renameat2", S }, { "mkdir", S }, { "mkdirat", S }, { "rmdir", S }, { "fchmod", S },
	{ "fchown", S }, { "utimensat", S },
	/* a graphics driver */
	{ "mbind", G }, { "set_mempolicy", G }, { "get_mempolicy", G }, { "mknodat", 0 },
	{ "sched_getparam", G }, { "sched_getscheduler", G }, { "sched_get_priority_max", C | G },
	{ "sched_get_priority_min", C | G },
	/* a second, tighter filter after loading */
	{ "seccomp", C | G },
};

/* Killed in every profile unless allowed above or below. */
static const char *const deadly[] = {
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev",
	"process_madvise", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "kcmp", "tkill",
	"rt_sigqueueinfo", "rt_tgsigqueueinfo", "listen", "accept", "accept4", "connect", "bind",
	"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen",
	"fsconfig", "fsmount", "fspick", "mount_setattr", "setns", "unshare", "bpf",
	"perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
	"io_uring_register", "add_key", "request_key", "keyctl", "init_module",
	"finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon",
	"swapoff", "syslog", "acct", "quotactl", "iopl", "ioperm", "modify_ldt",
	"open_by_handle_at", "name_to_handle_at", "fanotify_init", "settimeofday",
	"clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "setuid",
	"setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid",
	"setfsgid", "capset", "personality", "mknod", "mknodat", "symlink", "symlinkat", "link",
	"linkat", "chmod", "fchmodat", "chown", "lchown", "fchownat", "setxattr", "lsetxattr",
	"fsetxattr", "vhangup", "lookup_dcookie", "remap_file_pages", "process_mrelease",
	"memfd_secret", "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl", "migrate_pages",
	"move_pages", "shmget", "shmat", "msgget", "semget", "mq_open",
};

/* Refused politely: libraries try these and live with a no. */
static const struct allowed polite[] = {
	{ "open", C_ONLY | J }, { "openat", C_ONLY | J }, { "openat2", C | J },
	{ "access", C_ONLY | J }, { "faccessat", C_ONLY | J }, { "faccessat2", C_ONLY | J },
	{ "stat", C_ONLY | J }, { "lstat", C_ONLY | J }, { "statx", C_ONLY | J },
	{ "readlink", C_ONLY | J }, { "readlinkat", C_ONLY | J }, { "getcwd", C_ONLY | J },
	{ "sched_setscheduler", THREADED }, { "setpriority", S | E },
	{ "kcmp", G }, /* a driver asks whether two of its own descriptors are one */
};

/* A call that depends on its arguments. `n` conditions must all hold. */
struct special {
	const char *name;
	unsigned profiles;
	uint32_t action;
	unsigned n;
	struct scmp_arg_cmp when[3];
};
#define IS(arg, value) { (arg), SCMP_CMP_EQ, (value), 0 }
#define BITS(arg, mask, value) { (arg), SCMP_CMP_MASKED_EQ, (mask), (value) }
#define IOCTL_CLASS(letter) BITS(1, 0xff00, (letter) << 8)
enum {
	NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
			 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
	SOCK_TYPE = 0xf,
	PR_SET_VMA_ = 0x53564d41,
	REQ_XCOMP_PERM = 0x1023, /* ARCH_REQ_XCOMP_PERM of asm/prctl.h */
	XFEATURE_XTILEDATA = 18,
};

static const struct special specials[] = {
	/* threads of itself, no processes; clone3 hides its flags in memory, so it is not there */
	{ "clone", THREADED, SCMP_ACT_ALLOW, 1,
		{ BITS(0, CLONE_THREAD | CLONE_VM | NEW_NAMESPACES, CLONE_THREAD | CLONE_VM) } },
	{ "clone", ALL, SCMP_ACT_KILL_PROCESS, 1, { BITS(0, CLONE_THREAD, 0) } },
	{ "clone", J, SCMP_ACT_KILL_PROCESS, 1, { BITS(0, CLONE_THREAD, CLONE_THREAD) } },
	/* a thread may give way to others; nobody but itself is named */
	{ "setpriority", C | G, SCMP_ACT_ALLOW, 2, { IS(0, PRIO_PROCESS), IS(1, 0) } },
	/* no new code after the lock; a driver may */
	{ "mmap", G, SCMP_ACT_ALLOW, 0, { { 0 } } },
	{ "mprotect", G, SCMP_ACT_ALLOW, 0, { { 0 } } },
	{ "mmap", S | E | C | J, SCMP_ACT_ALLOW, 1, { BITS(2, PROT_EXEC, 0) } },
	{ "mprotect", S | E | C | J, SCMP_ACT_ALLOW, 1, { BITS(2, PROT_EXEC, 0) } },
	{ "mmap", S | E | C | J, SCMP_ACT_ERRNO(EACCES), 1, { BITS(2, PROT_EXEC, PROT_EXEC) } },
	{ "mprotect", S | E | C | J, SCMP_ACT_ERRNO(EACCES), 1, { BITS(2, PROT_EXEC, PROT_EXEC) } },
	/* sockets: the world is egress's alone */
	{ "socket", S | C | G | J, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_INET) } },
	{ "socket", S | C | G | J, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_INET6) } },
	{ "socket", ALL, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_PACKET) } },
	{ "socket", ALL, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_VSOCK) } },
	{ "socket", ALL, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_ALG) } },
	{ "socket", C | J, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_UNIX) } },
	{ "socket", C | J, SCMP_ACT_KILL_PROCESS, 1, { IS(0, AF_NETLINK) } },
	{ "socket", S | E | G, SCMP_ACT_ERRNO(EACCES), 1, { IS(0, AF_UNIX) } }, /* nscd, syslog */
	{ "socket", S | G, SCMP_ACT_ERRNO(EACCES), 1, { IS(0, AF_NETLINK) } },
	{ "socket", E, SCMP_ACT_ALLOW, 2, { IS(0, AF_INET), BITS(1, SOCK_TYPE, SOCK_STREAM) } },
	{ "socket", E, SCMP_ACT_ALLOW, 2, { IS(0, AF_INET), BITS(1, SOCK_TYPE, SOCK_DGRAM) } },
	{ "socket", E, SCMP_ACT_ALLOW, 2, { IS(0, AF_INET6), BITS(1, SOCK_TYPE, SOCK_STREAM) } },
	{ "socket", E, SCMP_ACT_ALLOW, 2, { IS(0, AF_INET6), BITS(1, SOCK_TYPE, SOCK_DGRAM) } },
	{ "socket", E, SCMP_ACT_KILL_PROCESS, 2, { IS(0, AF_INET), BITS(1, SOCK_TYPE, SOCK_RAW) } },
	{ "socket", E, SCMP_ACT_KILL_PROCESS, 2,
		{ IS(0, AF_INET6), BITS(1, SOCK_TYPE, SOCK_RAW) } },
	/* glibc asks the kernel which addresses it has before it sorts a host's */
	{ "socket", E, SCMP_ACT_ALLOW, 2, { IS(0, AF_NETLINK), IS(2, 0) } },
	{ "socketpair", S | E, SCMP_ACT_ALLOW, 1, { IS(0, AF_UNIX) } },
	/* stat of a descriptor; by name only where files may be opened by name */
	{ "newfstatat", FILES, SCMP_ACT_ALLOW, 0, { { 0 } } },
	{ "newfstatat", C_ONLY | J, SCMP_ACT_ALLOW, 1, { BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH) } },
	{ "newfstatat", C_ONLY | J, SCMP_ACT_ERRNO(EACCES), 1, { BITS(3, AT_EMPTY_PATH, 0) } },
	{ "prctl", ALL, SCMP_ACT_ALLOW, 1, { IS(0, PR_SET_NAME) } },
	{ "prctl", ALL, SCMP_ACT_ALLOW, 1, { IS(0, PR_GET_NAME) } },
	{ "prctl", ALL, SCMP_ACT_ALLOW, 1, { IS(0, PR_SET_VMA_) } },
	{ "prctl", C | G, SCMP_ACT_ALLOW, 1, { IS(0, PR_SET_NO_NEW_PRIVS) } },
	/* the kernel lets a process use AMX only after it asked; the library asks when it loads */
	{ "arch_prctl", C | G, SCMP_ACT_ALLOW, 2,
		{ IS(0, REQ_XCOMP_PERM), IS(1, XFEATURE_XTILEDATA) } },
	{ "ioctl", ALL, SCMP_ACT_ERRNO(ENOTTY), 1, { IS(1, TCGETS) } },
	{ "ioctl", S | E, SCMP_ACT_ALLOW, 1, { IS(1, FIONREAD) } },
	{ "ioctl", S | E, SCMP_ACT_ALLOW, 1, { IS(1, FIONBIO) } },
	/* ioctl classes of graphics drivers: NVIDIA (and its UVM, whose numbers have no class
	 * letter), DRM, AMD's KFD, dma-buf, sync files */
	{ "ioctl", G, SCMP_ACT_ALLOW, 1, { IOCTL_CLASS('F') } },
	{ "ioctl", G, SCMP_ACT_ALLOW, 1, { IOCTL_CLASS(0) } },
	{ "ioctl", G, SCMP_ACT_ALLOW, 1, { IOCTL_CLASS('d') } },
	{ "ioctl", G, SCMP_ACT_ALLOW, 1, { IOCTL_CLASS('K') } },
	{ "ioctl", G, SCMP_ACT_ALLOW, 1, { IOCTL_CLASS('b') } },
	{ "ioctl", G, SCMP_ACT_ALLOW, 1, { IOCTL_CLASS('>') } },
};

static enum err add(scmp_filter_ctx f, uint32_t action, const char *name, unsigned n,
		    const struct scmp_arg_cmp *when)
{
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR || nr < 0)
		return OK; /* libseccomp or this processor does not know it: ENOSYS stays */
	int rc = seccomp_rule_add_array(f, action, nr, n, when);
	return rc == 0 ? OK : err_from_errno(-rc);
}

static const struct allowed *find(
	const struct allowed *list, size_t n, const char *name, unsigned bit)
{
	for (size_t i = 0; i < n; i++)
		if ((list[i].profiles & bit) && strcmp(list[i].name, name) == 0)
			return &list[i];
	return NULL;
}

static enum err add_tables(scmp_filter_ctx f, unsigned bit)
{
	const size_t n_allowed = sizeof allowed / sizeof *allowed;
	for (size_t i = 0; i < n_allowed; i++)
		if (allowed[i].profiles & bit)
			TRY(add(f, SCMP_ACT_ALLOW, allowed[i].name, 0, NULL));
	for (size_t i = 0; i < sizeof polite / sizeof *polite; i++)
		if (polite[i].profiles & bit)
			TRY(add(f, SCMP_ACT_ERRNO(EACCES), polite[i].name, 0, NULL));
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
		if (!find(allowed, n_allowed, deadly[i], bit) &&
			!find(polite, sizeof polite / sizeof *polite, deadly[i], bit))
			TRY(add(f, SCMP_ACT_KILL_PROCESS, deadly[i], 0, NULL));
	for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
		if (specials[i].profiles & bit)
			TRY(add(f, specials[i].action, specials[i].name, specials[i].n,
				specials[i].when));
	return OK;
}

/* Signals to itself only: abort() and raise() need that. */
static enum err add_own_signals(scmp_filter_ctx f)
{
	struct scmp_arg_cmp me = IS(0, 0), other = IS(0, 0);
	me.datum_a = other.datum_a = (scmp_datum_t)getpid();
	other.op = SCMP_CMP_NE;
	TRY(add(f, SCMP_ACT_ALLOW, "tgkill", 1, &me));
	TRY(add(f, SCMP_ACT_KILL_PROCESS, "tgkill", 1, &other));
	TRY(add(f, SCMP_ACT_ALLOW, "kill", 1, &me));
	return add(f, SCMP_ACT_KILL_PROCESS, "kill", 1, &other);
}

enum err sandbox_lock(enum sandbox_profile p)
{
	if (fault_hit(FAULT_ALLOC))
		return ERR_NOMEM;
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!f)
		return ERR_NOMEM;
	enum err e = add_tables(f, 1u << p);
	if (!e)
		e = add_own_signals(f);
	int rc = 0;
	if (!e &&
		((rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) != 0 ||
			(rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 1)) != 0 ||
			(rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1)) != 0 ||
			(rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2)) != 0 ||
			(rc = fault_hit(FAULT_SYSCALL) ? -EIO : seccomp_load(f)) != 0))
		e = err_from_errno(-rc);
	seccomp_release(f);
	return e;
}
