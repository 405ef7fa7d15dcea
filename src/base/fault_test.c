#include "base/fault.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

TEST(sizes_are_checked_for_overflow)
{
	CHECK(mem_zalloc(SIZE_MAX / 2, 3) == NULL);
	void *p = mem_zalloc(0, 0);
	CHECK(p != NULL);
	mem_free(p);
	p = mem_alloc(0);
	CHECK(p != NULL);
	p = mem_realloc(p, 100);
	CHECK(p != NULL);
	mem_free(p);
	mem_free(NULL);
}

#ifdef TRESOR_FAULT
TEST(exactly_the_nth_call_fails)
{
	for (unsigned nth = 1; nth < 5; nth++) {
		fault_arm(FAULT_ALLOC, nth);
		for (unsigned i = 1; i < 8; i++) {
			void *p = mem_alloc(8);
			CHECK((p == NULL) == (i == nth));
			CHECK(fault_fired(FAULT_ALLOC) == (i >= nth));
			mem_free(p);
		}
		CHECK(!fault_fired(FAULT_SYSCALL));
	}
	fault_arm(FAULT_ALLOC, 0);
	CHECK(!fault_fired(FAULT_ALLOC) && !fault_hit(FAULT_ALLOC));
}

TEST(the_loop_visits_every_call_once)
{
	unsigned rounds = 0, failures = 0;
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		void *a = mem_alloc(1), *b = mem_zalloc(1, 1), *c = a ? mem_realloc(a, 2) : NULL;
		rounds++;
		failures += !a + !b + (a && !c);
		mem_free(c ? c : a);
		mem_free(b);
	}
	CHECK_EQ_INT(rounds, 4);
	CHECK_EQ_INT(failures, 3);
}
#endif

/* The harness itself: what fails must be seen to fail. */
static int status_of(void (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(2);
		fn();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}
static void fails_check(void) { CHECK(1 + 1 == 3); }
static void fails_int(void) { CHECK_EQ_INT(1, 2); }
static void fails_str(void) { CHECK_EQ_STR(STR("a"), STR("b")); }
static void fails_err(void) { CHECK_OK(ERR_BUSY); }
static void passes(void)
{
	CHECK_EQ_INT(2, 2);
	CHECK_EQ_Z("a", "a");
	CHECK_ERR(ERR_BUSY, ERR_BUSY);
}

TEST(checks_can_fail)
{
	CHECK(WEXITSTATUS(status_of(fails_check)) == 1);
	CHECK(WEXITSTATUS(status_of(fails_int)) == 1);
	CHECK(WEXITSTATUS(status_of(fails_str)) == 1);
	CHECK(WEXITSTATUS(status_of(fails_err)) == 1);
	CHECK(status_of(passes) == 0);
}
