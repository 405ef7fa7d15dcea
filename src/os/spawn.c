#include "os/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "os/fd.h"

enum { ENV_MAX = 32, KEEPER_TEMP_FD = 10 };

/* Our own binary, held since start (process-wide by nature). */
static int self_fd = -1;
static char module_dir[PATH_MAX];

static bool has_module(const char *dir)
{
	char path[PATH_MAX];
	return path_join(path, sizeof path, dir, "cli.so") == OK && access(path, R_OK) == 0;
}

static enum err find_module_dir(void)
{
	char self[PATH_MAX], beside[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n < 0)
		return err_from_errno(errno);
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (!slash)
		return ERR_NOT_FOUND;
	*slash = '\0';
	TRY(path_join(module_dir, sizeof module_dir, self, "../lib/tresor"));
	if (!has_module(self) && has_module(module_dir))
		return OK;
	TRY(str_copy(str_from(self), beside, sizeof beside));
	return str_copy(str_from(beside), module_dir, sizeof module_dir);
}

enum err spawn_init(void)
{
	if (self_fd < 0)
		TRY(fd_open("/proc/self/exe", O_RDONLY, 0, &self_fd));
	return find_module_dir();
}

const char *spawn_module_dir(void)
{
	if (!module_dir[0] && find_module_dir())
		module_dir[0] = '\0';
	return module_dir;
}

struct child {
	const char *const *argv, *const *env;
	int keeper_end, null_fd, report_fd;
	pid_t parent;
};

/* Between fork and exec: async-signal-safe calls only. */
[[gnu::noreturn]] static void become(const struct child *c)
{
	sigset_t none;
	/* above the places that the dup2s below fill: none may be its own target, since dup2 onto
	 * itself would keep the close-on-exec flag */
	int null = fcntl(c->null_fd, F_DUPFD, KEEPER_TEMP_FD);
	int keeper = fcntl(c->keeper_end, F_DUPFD, KEEPER_TEMP_FD);
	int report = fcntl(c->report_fd, F_DUPFD, KEEPER_TEMP_FD);
	int self = fcntl(self_fd, F_DUPFD, KEEPER_TEMP_FD);
	bool ok = keeper >= 0 && report >= 0 && self >= 0 && null >= 0 && dup2(null, 0) >= 0 &&
		  dup2(null, 1) >= 0 && dup2(keeper, SPAWN_KEEPER_FD) >= 0 &&
		  dup2(report, 4) >= 0 && dup2(self, 5) >= 0 &&
		  fcntl(4, F_SETFD, FD_CLOEXEC) == 0 && fcntl(5, F_SETFD, FD_CLOEXEC) == 0 &&
		  syscall(SYS_close_range, 6u, ~0u, 0u) == 0;
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* what we ignore would stay ignored */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	ok = ok && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
	/* the parent may have died before that took effect */
	if (ok && getppid() == c->parent)
		(void)syscall(SYS_execveat, 5, "", c->argv, c->env, AT_EMPTY_PATH);
	int why = errno;
	if (write(4, &why, sizeof why) < 0)
		(void)0;
	_exit(127);
}

/* LANG, TZ and TRESOR_LOG as we have them, then the caller's. `texts` holds the copies. */
static void make_env(char texts[3][256], const char *const *extra, const char *env[ENV_MAX + 1])
{
	static const char *const keep[] = { "LANG", "TZ", "TRESOR_LOG" };
	size_t n = 0;
	for (size_t i = 0; i < 3; i++) {
		const char *v = getenv(keep[i]);
		if (v && snprintf(texts[i], 256, "%s=%s", keep[i], v) < 256)
			env[n++] = texts[i];
	}
	for (; extra && *extra && n < ENV_MAX; extra++)
		env[n++] = *extra;
	env[n] = NULL;
}

/* Waits until the child has executed; OK, or why it could not. */
static enum err await_exec(int report_fd)
{
	int why = 0;
	ssize_t n;
	do
		n = read(report_fd, &why, sizeof why);
	while (n < 0 && errno == EINTR);
	return n == 0 ? OK : n == (ssize_t)sizeof why ? err_from_errno(why) : ERR_IO;
}

static int open_pidfd(pid_t pid)
{
	int fd = fault_hit(FAULT_SYSCALL) ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

enum err spawn_role(
	const char *role, int keeper_end, const char *const *env, pid_t *ret_pid, int *ret_pidfd)
{
	AUTO_FD int keeper = keeper_end, null_fd = -1, report_in = -1, report_out = -1;
	char texts[3][256];
	const char *full_env[ENV_MAX + 1], *argv[] = { "tresor", "role", role, NULL };
	int pipe_fds[2];
	if (self_fd < 0)
		DIE("spawn_role before spawn_init");
	make_env(texts, env, full_env);
	TRY(fd_open("/dev/null", O_RDWR, 0, &null_fd));
	if (fault_hit(FAULT_SYSCALL) || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_from_errno(errno);
	report_in = pipe_fds[0];
	report_out = pipe_fds[1];
	struct child c = { argv, full_env, keeper, null_fd, report_out, getpid() };
	pid_t pid = fault_hit(FAULT_SYSCALL) ? -1 : fork();
	if (pid < 0)
		return err_from_errno(errno);
	if (pid == 0)
		become(&c);
	(void)close(TAKE_FD(report_out));
	/* no race: a child that ended stays a zombie until somebody waits for it, and only we do */
	AUTO_FD int pidfd = open_pidfd(pid);
	enum err e = pidfd < 0 ? err_from_errno(errno) : await_exec(report_in);
	if (e) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return e;
	}
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(pidfd);
	return OK;
}

void spawn_die_with_parent(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
}
