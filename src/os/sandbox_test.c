#include "os/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/ipc.h"
#include "os/threads.h"
#include "tests/test.h"

#ifdef __has_feature /* Clang's way of saying __SANITIZE_ADDRESS__ */
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

enum { SETUP_FAILED = 99, WORKED = 0 };
static const enum sandbox_profile every[] = { SANDBOX_SERVER, SANDBOX_EGRESS, SANDBOX_ENGINE_CPU,
					      SANDBOX_ENGINE_GPU, SANDBOX_JAIL };

static struct sandbox_path paths[4];
static size_t n_paths;

/* ThreadSanitizer has a thread of its own, and entering needs to be alone. */
static void skip_if_threaded(void)
{
#ifdef __SANITIZE_THREAD__
	SKIP("not under ThreadSanitizer");
#endif
}

/* Runs `attempt` in a locked child of the profile. Returns its errno (0: it worked), or minus the
 * signal that killed it. */
static int try_in(enum sandbox_profile p, int (*attempt)(void))
{
	int status = 0;
	skip_if_threaded();
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		if (sandbox_enter(p, paths, n_paths, NULL) != OK || sandbox_lock(p) != OK)
			_exit(SETUP_FAILED);
		errno = 0;
		int rc = attempt();
		_exit(rc >= 0 ? WORKED : errno);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	CHECK(WEXITSTATUS(status) != SETUP_FAILED);
	return WEXITSTATUS(status);
}

static int inet_socket(void) { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }
static int inet6_udp(void) { return socket(AF_INET6, SOCK_DGRAM, 0); }
static int raw_socket(void) { return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }
static int packet_socket(void) { return socket(AF_PACKET, SOCK_RAW, 0); }
static int unix_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static int route_socket(void) { return socket(AF_NETLINK, SOCK_RAW, 0); }
static int open_passwd(void) { return open("/etc/passwd", O_RDONLY); }
static int make_file(void) { return open("/tmp/tresor-sandbox-test", O_WRONLY | O_CREAT, 0600); }
static int exec_true(void) { return execl("/bin/true", "true", (char *)NULL); }
static int fork_child(void) { return (int)syscall(SYS_fork); }
static int clone_child(void) { return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }
static int new_namespace(void) { return unshare(CLONE_NEWUSER); }
static int trace(void) { return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static int kill_parent(void) { return kill(getppid(), 0); }
static int kill_everybody(void) { return kill(-1, 0); }
static int signal_self(void)
{
	(void)signal(SIGUSR1, SIG_IGN);
	return raise(SIGUSR1);
}
static int uring(void) { return (int)syscall(SYS_io_uring_setup, 1, NULL); }
static int mount_it(void) { return (int)syscall(SYS_mount, "x", "/tmp", "tmpfs", 0, NULL); }
static int set_uid(void) { return (int)syscall(SYS_setuid, 0); }
static int link_it(void) { return symlink("/etc/passwd", "/tmp/tresor-sandbox-link"); }
static int unknown_call(void) { return (int)syscall(499); }
static int clone3_it(void) { return (int)syscall(SYS_clone3, NULL, 0); }
static int listen_it(void) { return (int)syscall(SYS_listen, 0, 1); }
static int map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED ? -1 : 0;
}
static int make_code(void)
{
	static char page[8192];
	void *p = (void *)(((uintptr_t)page + 4095) & ~(uintptr_t)4095);
	return mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}
/* No profile may take a port; for egress that is Landlock's doing. */
static int bind_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return bind(inet_socket(), (struct sockaddr *)&a, sizeof a);
}
#ifdef __x86_64__
static int x32_call(void) { return (int)syscall(0x40000000 | SYS_getpid); }
#endif
static int tty_ioctl(void) { return ioctl(0, TCGETS, &(char[256]){ 0 }); }
static int drm_ioctl(void) { return ioctl(-1, _IOWR('d', 0, long), NULL); }
static int compare_files(void) { return (int)syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0); }
static int odd_ioctl(void) { return ioctl(-1, TIOCSTI, "x"); }
static void *nothing(void *arg) { return arg; }
static int start_thread(void)
{
	pthread_t t;
	return thread_start("t", 0, nothing, NULL, &t) == OK && pthread_join(t, NULL) == 0 ? 0 : -1;
}

struct expectation {
	int (*attempt)(void);
	const char *name;
	int want[5]; /* server, egress, engine cpu, engine gpu, jail: errno, or minus the signal */
};
#define TRY_(fn) fn, #fn
static const struct expectation table[] = {
	{ TRY_(inet_socket), { -SIGSYS, 0, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(inet6_udp), { -SIGSYS, 0, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(raw_socket), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(packet_socket), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(unix_socket), { EACCES, EACCES, -SIGSYS, EACCES, -SIGSYS } },
	{ TRY_(route_socket), { EACCES, 0, -SIGSYS, EACCES, -SIGSYS } },
	{ TRY_(open_passwd), { EACCES, EACCES, EACCES, EACCES, EACCES } },
	{ TRY_(make_file), { EACCES, EACCES, EACCES, EACCES, EACCES } },
	{ TRY_(exec_true), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(fork_child), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(clone_child), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(new_namespace), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(trace), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(kill_parent), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(kill_everybody), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(signal_self), { 0, 0, 0, 0, 0 } },
	{ TRY_(uring), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(mount_it), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(set_uid), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(link_it), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(listen_it), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
#ifdef __x86_64__
	{ TRY_(x32_call), { -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS, -SIGSYS } },
#endif
	{ TRY_(bind_port), { -SIGSYS, EACCES, -SIGSYS, -SIGSYS, -SIGSYS } },
	{ TRY_(unknown_call), { ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS } },
	{ TRY_(clone3_it), { ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS } },
	{ TRY_(map_code), { EACCES, EACCES, EACCES, 0, EACCES } },
	{ TRY_(make_code), { EACCES, EACCES, EACCES, 0, EACCES } },
	{ TRY_(tty_ioctl), { ENOTTY, ENOTTY, ENOTTY, ENOTTY, ENOTTY } },
	{ TRY_(drm_ioctl), { ENOSYS, ENOSYS, ENOSYS, EBADF, ENOSYS } },
	{ TRY_(odd_ioctl), { ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS } },
	{ TRY_(compare_files), { -SIGSYS, -SIGSYS, -SIGSYS, EACCES, -SIGSYS } },
	{ TRY_(start_thread), { 0, 0, 0, 0, -SIGSYS } },
};

TEST_TIMEOUT(each_profile_refuses_what_it_must, 120)
{
	struct sandbox_report r;
	sandbox_probe(&r);
	if (!r.seccomp || r.landlock_abi < 4)
		SKIP("this kernel has no seccomp, or no Landlock that knows networks (ABI 4)");
	for (size_t p = 0; p < 5; p++)
		for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
			int got = try_in(every[p], table[i].attempt);
			if (got != table[i].want[p])
				FAIL("profile %zu, %s: %d instead of %d", p, table[i].name, got,
				     table[i].want[p]);
		}
}

#ifdef __x86_64__
static int ask_amx(void) { return syscall(SYS_arch_prctl, 0x1023, 18) ? -1 : 0; }
static int ask_other(void) { return syscall(SYS_arch_prctl, 0x1023, 17) ? -1 : 0; }
static int set_fs(void) { return syscall(SYS_arch_prctl, 0x1002, 0) ? -1 : 0; }

TEST(engines_alone_may_ask_for_the_matrix_unit_and_for_nothing_else)
{
	for (size_t p = 0; p < 5; p++) {
		bool engine = every[p] == SANDBOX_ENGINE_CPU || every[p] == SANDBOX_ENGINE_GPU;
		int got = try_in(every[p], ask_amx);
		if (engine) /* the kernel decides: whether this processor has one */
			CHECK(got == 0 || got == EOPNOTSUPP || got == EINVAL);
		else
			CHECK_EQ_INT(got, ENOSYS);
		CHECK_EQ_INT(try_in(every[p], ask_other), ENOSYS);
		CHECK_EQ_INT(try_in(every[p], set_fs), ENOSYS);
	}
}
#endif

/* ---- what each role needs must still work ---- */

static struct ipc *chan;
static int file_fd, listen_fd;

static int ordinary_work(void)
{
	void *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *m = malloc(10 << 20), b[4];
	struct stat st;
	struct ipc_out o;
	struct ipc_in in;
	static char big[100000];
	if (p == MAP_FAILED || !m || munmap(p, 1 << 20) ||
		mprotect(m, 1, PROT_READ | PROT_WRITE) < 0)
		(void)0;
	if (!m || fstat(file_fd, &st) || pread(file_fd, b, 4, 0) != 4 ||
		pwrite(file_fd, b, 4, 4) != 4)
		return -1;
	free(m);
	ipc_out_init(&o, 7, 8);
	ipc_put_str(&o, (struct str){ big, sizeof big });
	if (ipc_send(chan, &o) != OK || ipc_recv_wait(chan, 1000, &in) != OK)
		return -1;
	return ipc_get_str(&in).len == sizeof big && ipc_end(&in) == OK ? 0 : -1;
}

TEST(every_profile_can_talk_and_use_what_it_was_given)
{
	int fd[2];
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &chan));
	struct ipc *peer = NULL;
	CHECK_OK(ipc_new(fd[1], &peer));
	file_fd = memfd_create("f", MFD_CLOEXEC);
	CHECK(write(file_fd, "12345678", 8) == 8);
	for (size_t p = 0; p < 5; p++) {
		static char big[100000];
		struct ipc_out o;
		struct ipc_in in;
		ipc_out_init(&o, 7, 8);
		ipc_put_str(&o, (struct str){ big, sizeof big });
		CHECK_OK(ipc_send(peer, &o));
		CHECK_EQ_INT(try_in(every[p], ordinary_work), 0);
		CHECK_OK(ipc_recv(peer, &in));
		CHECK_EQ_INT(ipc_get_str(&in).len, sizeof big);
		CHECK_OK(ipc_end(&in));
		ipc_in_done(&in);
	}
	chan = ipc_free(chan);
	ipc_free(peer);
}

/* An accepted connection on a socket made before; the server has no other network. */
static int serve_one(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), wake = eventfd(0, EFD_CLOEXEC);
	if (ep < 0 || wake < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listen_fd, &ev) < 0 ||
	    epoll_wait(ep, &ev, 1, 5000) != 1)
		return -1;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fd >= 0 && send(fd, "ok", 2, MSG_NOSIGNAL) == 2 ? 0 : -1;
}

TEST(the_server_accepts_on_inherited_sockets)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	char b[2];
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(listen_fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(listen_fd, 5) == 0);
	CHECK(getsockname(listen_fd, (struct sockaddr *)&a, &len) == 0);
	int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(c, (struct sockaddr *)&a, len) == 0);
	CHECK_EQ_INT(try_in(SANDBOX_SERVER, serve_one), 0);
	CHECK(read(c, b, 2) == 2 && memcmp(b, "ok", 2) == 0);
}

static char inside[128], outside[128];

static int use_data_directory(void)
{
	char path[160], to[160];
	(void)snprintf(path, sizeof path, "%s/db", inside);
	(void)snprintf(to, sizeof to, "%s/sub", inside);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fd < 0 || pwrite(fd, "x", 1, 0) != 1 || fdatasync(fd) || fcntl(fd, F_SETLK, &l) ||
	    ftruncate(fd, 0) || mkdir(to, 0700))
		return -1;
	(void)snprintf(to, sizeof to, "%s/sub/db2", inside);
	if (rename(path, to) || unlink(to) || access(inside, R_OK))
		return -1;
	return 0;
}
static int read_outside(void) { return open(outside, O_RDONLY); }
static int write_readable(void)
{
	char path[160];
	(void)snprintf(path, sizeof path, "%s/new", inside);
	return open(path, O_WRONLY | O_CREAT, 0600);
}
static int read_listed(void)
{
	char path[160];
	(void)snprintf(path, sizeof path, "%s/file", inside);
	return open(path, O_RDONLY);
}
static int climb_out(void)
{
	char path[160];
	(void)snprintf(path, sizeof path, "%s/../outside", inside);
	return open(path, O_RDONLY);
}

TEST(files_open_only_below_the_listed_paths)
{
	(void)snprintf(inside, sizeof inside, "%s/data", test_dir());
	(void)snprintf(outside, sizeof outside, "%s/outside", test_dir());
	CHECK_OK(dir_make(inside, 0700));
	CHECK_OK(file_write_atomic(outside, STR("x"), 0644));
	paths[0] = (struct sandbox_path){ inside, SANDBOX_READ | SANDBOX_WRITE };
	paths[1] = (struct sandbox_path){ "/does/not/exist", SANDBOX_READ };
	n_paths = 2;
	CHECK_EQ_INT(try_in(SANDBOX_SERVER, use_data_directory), 0);
	CHECK_EQ_INT(try_in(SANDBOX_SERVER, read_outside), EACCES);
	CHECK_EQ_INT(try_in(SANDBOX_SERVER, climb_out), EACCES);
	(void)snprintf(outside, sizeof outside, "%.100s/file", inside);
	CHECK_OK(file_write_atomic(outside, STR("x"), 0644));
	paths[0].rights = SANDBOX_READ;
	CHECK_EQ_INT(try_in(SANDBOX_SERVER, read_listed), 0);
	CHECK_EQ_INT(try_in(SANDBOX_SERVER, write_readable), EACCES);
	CHECK_EQ_INT(try_in(SANDBOX_EGRESS, read_listed), 0);
	CHECK_EQ_INT(try_in(SANDBOX_JAIL, read_listed), EACCES); /* the filter has no open at all */
}

/* ---- the state that /proc shows ---- */

static bool status_has(const char *line)
{
	char text[8192];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, line) != NULL;
}

static int entered(enum sandbox_profile p)
{
	/* /proc as this process sees it must be allowed for the look */
	static const struct sandbox_path proc[] = { { "/proc", SANDBOX_READ } };
	const struct sandbox_limits limits = {
		.open_files = 40, .file_bytes_mib = 3, .cpu_seconds = 50
	};
	struct rlimit l;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || sandbox_enter(p, proc, 1, &limits) != OK)
		return 1;
	if (!status_has("\nNoNewPrivs:\t1") || !status_has("\nCapEff:\t0000000000000000") ||
		!status_has("\nCapPrm:\t0000000000000000"))
		return 2;
	/* an ordinary user may not shrink the bounding set; no_new_privs makes it harmless */
	if (geteuid() == 0 && !status_has("\nCapBnd:\t0000000000000000"))
		return 2;
	int death_signal = 0;
	if (prctl(PR_GET_DUMPABLE) != 0 || prctl(PR_GET_PDEATHSIG, &death_signal) ||
		death_signal != SIGKILL)
		return 3;
	if (getrlimit(RLIMIT_CORE, &l) || l.rlim_max != 0 || getrlimit(RLIMIT_NOFILE, &l) ||
	    l.rlim_cur != 40 || l.rlim_max != 40 || getrlimit(RLIMIT_FSIZE, &l) ||
	    l.rlim_max != 3 << 20 || getrlimit(RLIMIT_CPU, &l) || l.rlim_max != 50)
		return 4;
	if (sandbox_lock(p) != OK)
		return 5;
	return 0;
}

static int exit_code_of(int (*fn)(enum sandbox_profile), enum sandbox_profile p)
{
	int status = 0;
	skip_if_threaded();
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(p));
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(rights_limits_and_flags_are_gone_after_entering)
{
	for (size_t p = 0; p < 5; p++)
		CHECK_EQ_INT(exit_code_of(entered, every[p]), 0);
}

static int mode_after_lock(enum sandbox_profile p)
{
	int fd = open("/proc/self/status", O_RDONLY);
	char text[8192];
	if (sandbox_lock(p) != OK)
		return 1;
	ssize_t n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "\nSeccomp:\t2") ? 0 : 2;
}

TEST(the_lock_shows_as_seccomp_mode_2)
{
	for (size_t p = 0; p < 5; p++)
		CHECK_EQ_INT(exit_code_of(mode_after_lock, every[p]), 0);
}

static int network_is_empty(enum sandbox_profile p)
{
	struct stat before, after;
	static const struct sandbox_path proc[] = { { "/proc", SANDBOX_READ } };
	if (stat("/proc/self/ns/net", &before) || sandbox_enter(p, proc, 1, NULL) != OK ||
	    stat("/proc/thread-self/ns/net", &after))
		return errno == EACCES ? 77 : 1;
	return before.st_ino != after.st_ino ? 0 : 2;
}

TEST(all_but_egress_are_in_a_network_of_their_own)
{
	struct sandbox_report r;
	sandbox_probe(&r);
	if (!r.net_namespaces)
		SKIP("network namespaces are not allowed here");
	for (size_t p = 0; p < 5; p++) {
		int rc = exit_code_of(network_is_empty, every[p]);
		if (rc == 77)
			SKIP("/proc cannot be looked at from inside");
		/* without the right to it the server stays, to see the true ids of local peers */
		bool stays = every[p] == SANDBOX_EGRESS ||
			     (every[p] == SANDBOX_SERVER && geteuid() != 0);
		CHECK_EQ_INT(rc, stays ? 2 : 0);
	}
}

static int as_nobody(enum sandbox_profile p)
{
	if (setgid(65534) || setuid(65534))
		return 77;
	if (sandbox_enter(p, NULL, 0, NULL) != OK || geteuid() != 65534)
		return 1;
	return sandbox_lock(p) == OK ? 0 : 2;
}

TEST(an_ordinary_user_can_enter_too)
{
	if (geteuid() != 0)
		SKIP("needs root to become somebody else");
	for (size_t p = 0; p < 5; p++)
		CHECK_EQ_INT(exit_code_of(as_nobody, every[p]), 0);
}

static void *lock_late(void *arg)
{
	while (!__atomic_load_n((int *)arg, __ATOMIC_ACQUIRE))
		(void)usleep(1000);
	(void)socket(AF_INET, SOCK_STREAM, 0); /* a thread that was there before the lock */
	return NULL;
}

static int other_thread_is_bound(enum sandbox_profile p)
{
	pthread_t t;
	int go = 0;
	if (thread_start("other", 0, lock_late, &go, &t) != OK || sandbox_lock(p) != OK)
		return 1;
	__atomic_store_n(&go, 1, __ATOMIC_RELEASE);
	(void)pthread_join(t, NULL);
	return 2;
}

TEST(the_lock_binds_threads_that_run_already)
{
	CHECK_EQ_INT(exit_code_of(other_thread_is_bound, SANDBOX_ENGINE_CPU), -SIGSYS);
}

static int enter_with_threads(enum sandbox_profile p)
{
	pthread_t t;
	int go = 0;
	if (thread_start("other", 0, lock_late, &go, &t) != OK)
		return 9;
	return sandbox_enter(p, NULL, 0, NULL) == ERR_INTERNAL ? 0 : 1;
}

TEST(entering_with_two_threads_is_refused)
{
	CHECK_EQ_INT(exit_code_of(enter_with_threads, SANDBOX_JAIL), 0);
}

static int memory_limit(enum sandbox_profile p)
{
	const struct sandbox_limits l = { .memory_bytes = 256 << 20 };
	if (sandbox_enter(p, NULL, 0, &l) != OK || sandbox_lock(p) != OK)
		return 1;
	void *m = mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return m == MAP_FAILED && errno == ENOMEM ? 0 : 2;
}

TEST(memory_is_limited)
{
#if defined(__SANITIZE_ADDRESS__) || ADDRESS_SANITIZER
	SKIP("the sanitizer's own memory is over any limit");
#endif
	CHECK_EQ_INT(exit_code_of(memory_limit, SANDBOX_JAIL), 0);
}

static int faulty(enum sandbox_profile p)
{
	/* one child a fault: what was given up cannot be taken back for the next round */
	for (unsigned n = 1; n < 100; n++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			fault_arm(FAULT_SYSCALL, n);
			enum err e = sandbox_enter(p, NULL, 0, NULL);
			if (!e)
				e = sandbox_lock(p);
			bool hit = fault_fired(FAULT_SYSCALL);
			_exit(hit ? (e == ERR_IO ? 10 : 11) : (e == OK ? 12 : 13));
		}
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
			return 1;
		if (WEXITSTATUS(status) == 12)
			return 0;
		if (WEXITSTATUS(status) != 10)
			return 2;
	}
	return 3;
}

TEST(a_step_that_fails_is_an_error)
{
	for (size_t p = 0; p < 5; p++)
		CHECK_EQ_INT(exit_code_of(faulty, every[p]), 0);
}

TEST(other_descriptors_are_closed)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		for (int fd = 3; fd < 40; fd++)
			(void)dup2(2, fd);
		const int keep[] = { 30, 2, 7, 30, -1, 8 };
		fd_close_others(keep, 6);
		for (int fd = 0; fd < 64; fd++) {
			bool is_open = fcntl(fd, F_GETFD) >= 0;
			if (is_open != (fd == 2 || fd == 7 || fd == 8 || fd == 30))
				_exit(1);
		}
		fd_close_others(NULL, 0);
		_exit(fcntl(2, F_GETFD) < 0 ? 0 : 2);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ_INT(status, 0);
}

TEST(the_probe_says_what_there_is)
{
	struct sandbox_report r;
	sandbox_probe(&r);
	CHECK(r.seccomp); /* every kernel that we run on */
	CHECK(r.landlock_abi >= 0 && r.landlock_abi < 100);
}

/* What an engine that loads a projector does: one file by its name, then none. */
static int load_then_lock(enum sandbox_profile p)
{
	struct sandbox_report r;
	char mine[64];
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	sandbox_probe(&r);
	(void)snprintf(mine, sizeof mine, "/proc/self/fd/%d", fd);
	struct sandbox_path only = { mine, SANDBOX_READ };
	enum err e = sandbox_enter(p, &only, 1, NULL);
	if (!r.landlock_abi)
		return e == ERR_UNSUPPORTED ? 0 : 1;
	if (fd < 0 || e || sandbox_lock(p))
		return SETUP_FAILED;
	if (open(mine, O_RDONLY | O_CLOEXEC) < 0)
		return 2;
	if (open("/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 3;
	if (open(mine, O_RDWR | O_CLOEXEC) >= 0)
		return 4;
	if (sandbox_lock(SANDBOX_ENGINE_CPU))
		return 5;
	return open(mine, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 6;
}

TEST(a_projector_is_the_one_file_that_opens_and_only_while_it_is_loaded)
{
	CHECK_EQ_INT(exit_code_of(load_then_lock, SANDBOX_ENGINE_LOAD), 0);
}
