#include "tests/test.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef TRESOR_SOURCE_ROOT
#define TRESOR_SOURCE_ROOT "."
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { TIMEOUT_FACTOR = 4 };
#else
enum { TIMEOUT_FACTOR = 1 };
#endif

/* Read by the sanitizers' runtimes, where they are linked in. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__ubsan_default_options(void) { return "halt_on_error=1:print_stacktrace=1"; }

enum { EXIT_SKIP = 77, FAULT_ROUNDS_MAX = 20000 };

/* The linker makes these two at the ends of the section that TEST() fills. */
extern const struct test *const __start_tresor_tests[];
extern const struct test *const __stop_tresor_tests[];

/* Shared with the forked child, so that a reason gets out even of a sandbox. */
struct shared {
	char skip_reason[200];
	char dir[64];
};
static struct shared *shared;

void test_fail_(const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "# %s:%d: ", file, line);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	fflush(stderr);
	_exit(1);
}

void test_skip_(const char *why)
{
	snprintf(shared->skip_reason, sizeof shared->skip_reason, "%s", why);
	_exit(EXIT_SKIP);
}

void test_eq_int_(const char *file, int line, const char *ta, const char *tb, int64_t a, int64_t b)
{
	if (a != b)
		test_fail_(file, line, "%s == %s: %" PRId64 " against %" PRId64, ta, tb, a, b);
}

/* Printable form, so that a difference in control bytes can be seen. */
static void show(const char *label, struct str s)
{
	fprintf(stderr, "#   %s (%zu bytes): ", label, s.len);
	for (size_t i = 0; i < s.len && i < 2000; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c < 0x20 || c == 0x7f)
			fprintf(stderr, "\\x%02x", c);
		else
			fputc(c, stderr);
	}
	fputc('\n', stderr);
}

void test_eq_str_(const char *file, int line, const char *ta, const char *tb, struct str a,
		  struct str b)
{
	if (str_eq(a, b) && !a.ptr == !b.ptr)
		return;
	show(ta, a);
	show(tb, b);
	test_fail_(file, line, "%s == %s", ta, tb);
}

void test_eq_err_(const char *file, int line, const char *what, enum err got, enum err want)
{
	if (got != want)
		test_fail_(file, line, "%s: gave %s, expected %s", what, err_slug(got),
			   err_slug(want));
}

bool test_fault_next_(enum fault_kind k, unsigned n)
{
	bool fired = fault_fired(k);
	fault_arm(k, 0);
	if (n > FAULT_ROUNDS_MAX)
		test_fail_(__FILE__, __LINE__, "more than %d rounds of faults", FAULT_ROUNDS_MAX);
	return fired;
}

const char *test_path(const char *below_source_root)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/%s", TRESOR_SOURCE_ROOT, below_source_root);
	return path;
}

const char *test_dir(void)
{
	if (!shared->dir[0]) {
		memcpy(shared->dir, "/tmp/tresor-test-XXXXXX", 24);
		if (!mkdtemp(shared->dir))
			test_fail_(__FILE__, __LINE__, "mkdtemp: %s", strerror(errno));
	}
	return shared->dir;
}

/* The parent removes it, so that also a crashed test leaves nothing. */
static void remove_dir(const char *dir)
{
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
}

static void run_child(const struct test *t)
{
	(void)setpgid(0, 0);
	(void)dup2(2, 1);
	t->fn();
	fault_arm(FAULT_ALLOC, 0);
	fault_arm(FAULT_SYSCALL, 0);
	exit(0); /* not _exit: the leak checker runs at exit */
}

/* Waits for the end of `pid`; false: it had to be killed after the timeout. */
static bool wait_child(pid_t pid, unsigned timeout_s, int *status)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int n = 0;
	do
		n = poll(&p, 1, (int)(timeout_s * 1000 * TIMEOUT_FACTOR));
	while (n < 0 && errno == EINTR);
	(void)kill(-pid, SIGKILL); /* also children that the test left behind */
	if (n == 0)
		(void)kill(pid, SIGKILL);
	(void)close(p.fd);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return n != 0;
}

/* Returns 0 passed or skipped, 1 failed. */
static int run_one(const struct test *t, unsigned number)
{
	memset(shared, 0, sizeof *shared);
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (pid == 0)
		run_child(t);
	int status = 0;
	bool in_time = wait_child(pid, t->timeout_s, &status);
	if (shared->dir[0])
		remove_dir(shared->dir);
	if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("ok %u - %s\n", number, t->name);
		return 0;
	}
	if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP) {
		printf("ok %u - %s # SKIP %s\n", number, t->name, shared->skip_reason);
		return 0;
	}
	printf("not ok %u - %s\n", number, t->name);
	if (!in_time)
		printf("# timed out after %u s\n", t->timeout_s * TIMEOUT_FACTOR);
	else if (WIFSIGNALED(status))
		printf("# killed by signal %d (%s)\n", WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
	else
		printf("# exit code %d\n", WEXITSTATUS(status));
	return 1;
}

static bool wanted(const struct test *t, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(t->name, argv[i]))
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	size_t total = (size_t)(__stop_tresor_tests - __start_tresor_tests);
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < total; i++)
			puts(__start_tresor_tests[i]->name);
		return 0;
	}
	unsigned n = 0, failed = 0, number = 0;
	for (size_t i = 0; i < total; i++)
		n += wanted(__start_tresor_tests[i], argc, argv);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || n == 0) {
		fprintf(stderr, "no test to run\n");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%u\n", n);
	for (size_t i = 0; i < total; i++)
		if (wanted(__start_tresor_tests[i], argc, argv))
			failed += (unsigned)run_one(__start_tresor_tests[i], ++number);
	return failed > 0;
}
