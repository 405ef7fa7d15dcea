#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "os/ipc.h"
#include "tests/test.h"

extern char **environ;

/* What the spawned copy of this program does: tells how it was started, over descriptor 3. */
static void report(const char *role)
{
	char link[128] = "";
	unsigned long fds = 0;
	int death = 0;
	struct ipc *c = NULL;
	struct ipc_out o;
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			fds |= 1ul << fd;
	sigset_t mask;
	(void)sigprocmask(SIG_BLOCK, NULL, &mask);
	(void)prctl(PR_GET_PDEATHSIG, &death);
	if (readlink("/proc/self/fd/0", link, sizeof link - 1) < 0 ||
		ipc_new(SPAWN_KEEPER_FD, &c) != OK)
		_exit(9);
	ipc_out_init(&o, 1, 1);
	ipc_put_str(&o, str_from(role));
	ipc_put_u64(&o, fds);
	ipc_put_u64(&o, (uint64_t)death);
	ipc_put_bool(&o, sigismember(&mask, SIGUSR1) == 1);
	ipc_put_bool(&o, signal(SIGPIPE, SIG_DFL) == SIG_DFL);
	ipc_put_str(&o, str_from(link));
	for (char **e = environ; *e; e++)
		ipc_put_str(&o, str_from(*e));
	_exit(ipc_send(c, &o) == OK ? 42 : 8);
}

[[gnu::constructor]] static void as_child(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[0], "tresor") == 0 && strcmp(argv[1], "role") == 0) {
		if (strcmp(argv[2], "sleeper") == 0)
			for (;;)
				(void)pause();
		report(argv[2]);
	}
}

static int wait_exit(pid_t pid, int pidfd)
{
	int status = 0;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	CHECK(poll(&p, 1, 10000) == 1);
	CHECK(waitpid(pid, &status, 0) == pid);
	(void)close(pidfd);
	return status;
}

TEST(a_role_starts_with_just_what_it_needs)
{
	static const char *const env[] = { "EXTRA=1", NULL };
	int fd[2], pidfd = -1;
	pid_t pid = 0;
	sigset_t usr1;
	AUTO(ipc) struct ipc *c = NULL;
	AUTO_IPC_IN struct ipc_in m = { 0 };
	CHECK(setenv("TZ", "Europe/Berlin", 1) == 0 && setenv("SECRET", "x", 1) == 0);
	CHECK(unsetenv("LANG") == 0 && unsetenv("TRESOR_LOG") == 0);
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	(void)sigemptyset(&usr1);
	(void)sigaddset(&usr1, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &usr1, NULL) == 0);
	CHECK(dup2(2, 30) == 30 && dup2(2, 4) == 4 && dup2(2, 5) == 5); /* not inherited */
	CHECK_OK(spawn_init());
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(spawn_role("server", fd[1], env, &pid, &pidfd));
	CHECK(fcntl(fd[1], F_GETFD) < 0 && errno == EBADF); /* taken */
	CHECK(fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	CHECK_OK(ipc_new(fd[0], &c));
	CHECK_OK(ipc_recv_wait(c, 10000, &m));
	CHECK_EQ_STR(ipc_get_str(&m), STR("server"));
	CHECK_EQ_INT(ipc_get_u64(&m), 0xf); /* 0 to 3 */
	CHECK_EQ_INT(ipc_get_u64(&m), SIGKILL);
	CHECK(!ipc_get_bool(&m)); /* no signal is blocked */
	CHECK(ipc_get_bool(&m));  /* none is ignored */
	CHECK_EQ_STR(ipc_get_str(&m), STR("/dev/null"));
	CHECK_EQ_STR(ipc_get_str(&m), STR("TZ=Europe/Berlin"));
	CHECK_EQ_STR(ipc_get_str(&m), STR("EXTRA=1"));
	CHECK_OK(ipc_end(&m)); /* and SECRET is not there */
	int status = wait_exit(pid, pidfd);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

TEST(low_descriptors_do_not_get_in_the_way)
{
	/* The channel's end may itself be one of the numbers that are filled. */
	for (int low = 0; low < 6; low++) {
		pid_t helper = fork();
		if (helper == 0) {
			int fd[2], pidfd = -1;
			pid_t pid = 0;
			struct ipc *c = NULL;
			struct ipc_in m = { 0 };
			for (int k = 3; k < 8; k++) /* the lasting ones go above */
				(void)dup2(2, k);
			bool ok = spawn_init() == OK && ipc_pair(fd) == OK;
			for (int k = 0; k < 8; k++) /* the passing ones get low numbers */
				if (k != 2)
					(void)close(k);
			ok = ok && (low == 2 || dup2(fd[1], low) == low);
			ok = ok &&
			     spawn_role("x", low == 2 ? fd[1] : low, NULL, &pid, &pidfd) == OK;
			(void)close(fd[1]);
			ok = ok && ipc_new(fd[0], &c) == OK && ipc_recv_wait(c, 10000, &m) == OK;
			ok = ok && str_eq(ipc_get_str(&m), STR("x")) && ipc_get_u64(&m) == 0xf;
			_exit(ok ? 0 : 1);
		}
		int status = 0;
		CHECK(waitpid(helper, &status, 0) == helper);
		if (status != 0)
			FAIL("with the channel at %d: status %x", low, (unsigned)status);
	}
}

TEST(children_end_with_their_parent)
{
	int report_pipe[2];
	CHECK(pipe(report_pipe) == 0);
	pid_t parent = fork();
	if (parent == 0) {
		int fd[2], pidfd = -1;
		pid_t pid = 0;
		bool ok = spawn_init() == OK && ipc_pair(fd) == OK &&
			  spawn_role("sleeper", fd[1], NULL, &pid, &pidfd) == OK;
		ok = ok && write(report_pipe[1], &pid, sizeof pid) == (ssize_t)sizeof pid;
		_exit(ok ? 0 : 1);
	}
	pid_t child = 0;
	int status = 0;
	CHECK(read(report_pipe[0], &child, sizeof child) == (ssize_t)sizeof child);
	CHECK(waitpid(parent, &status, 0) == parent && status == 0);
	for (int k = 0; k < 500; k++) {
		char path[64], state = 'Z';
		(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
		FILE *f = fopen(path, "r");
		if (f) {
			if (fscanf(f, "%*d %*s %c", &state) != 1)
				state = 'Z';
			(void)fclose(f);
		}
		if (state == 'Z' || state == 'X')
			return;
		(void)usleep(10000);
	}
	FAIL("process %d still runs", (int)child);
}

TEST(failures_are_reported_and_leave_no_process)
{
	CHECK_OK(spawn_init());
	FOR_EACH_FAULT(FAULT_SYSCALL, n)
	{
		int fd[2], pidfd = -1;
		pid_t pid = 0;
		CHECK(pipe(fd) == 0);
		enum err e = spawn_role("sleeper", fd[1], NULL, &pid, &pidfd);
		CHECK_EQ_INT(e, fault_fired(FAULT_SYSCALL) ? ERR_IO : OK);
		CHECK(fcntl(fd[1], F_GETFD) < 0);
		if (e) {
			CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
			CHECK_EQ_INT(pidfd, -1);
		} else {
			CHECK(kill(pid, SIGKILL) == 0);
			CHECK(WTERMSIG(wait_exit(pid, pidfd)) == SIGKILL);
		}
		(void)close(fd[0]);
	}
}

TEST(modules_lie_beside_the_binary)
{
	CHECK_OK(spawn_init());
	CHECK(spawn_module_dir()[0] == '/');
	CHECK(access(spawn_module_dir(), X_OK) == 0);
}
