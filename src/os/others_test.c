#include "os/others.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"
#include "os/cores.h"
#include "tests/test.h"

TEST(busy_is_all_but_idle_and_waiting)
{
	uint64_t v = 0;
	/* proc(5): user nice system idle iowait irq softirq steal guest guest_nice */
	CHECK(others_busy(STR("cpu  10 20 30 4000 500 6 7 80 9 1\ncpu0 1 2 3 4 5 6 7\n"), &v));
	CHECK_EQ_INT(v, 10 + 20 + 30 + 6 + 7);
	CHECK(!others_busy(STR("cpu0 1 2 3 4 5 6 7 8\n"), &v));
	CHECK(!others_busy(STR("cpu  1 2 3 4 5 6\n"), &v));
	CHECK(!others_busy(STR("cpu  1 2 x 4 5 6 7\n"), &v));
	CHECK(!others_busy(STR(""), &v));
}

enum { SPIN_MS = 400 };

static void *spin(void *until)
{
	while (time_mono_ns() < *(int64_t *)until)
		;
	return NULL;
}

static uint64_t spent_ns(void)
{
	struct timespec t;
	CHECK(!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t));
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Whoever else runs here adds to it: so only what must be there is looked for. */
TEST(who_is_not_ours_is_seen)
{
	struct others *o = NULL;
	CHECK_OK(others_new(&o));
	CHECK_EQ_INT(others_measure(o, 0, time_mono_ns()), 0);
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 2; i++) {
		int64_t until = time_mono_ns() + SPIN_MS * 1000000LL;
		uint64_t before = spent_ns();
		pthread_t t;
		CHECK(!pthread_create(&t, NULL, spin, &until));
		pthread_join(t, NULL);
		uint64_t spent = spent_ns() - before;
		least = spent < least ? spent : least;
		uint32_t seen = others_measure(o, 0, time_mono_ns());
		if (i) /* a tick is a hundredth of a second */
			CHECK(seen + 10 >= least / 1000000 * 100 / SPIN_MS);
	}
	others_free(o);
}

/* The time is the caller's, so nothing has to be waited for. */
TEST(a_moment_of_others_is_not_held_against_anybody)
{
	struct others *o = NULL;
	const int64_t ms = 1000000, at = 1000 * ms;
	int64_t until = time_mono_ns() + 100 * ms;
	CHECK_OK(others_new(&o));
	CHECK_EQ_INT(others_measure(o, 0, at), 0);
	spin(&until); /* said to have been done within a millisecond: 100 cores' work */
	CHECK_EQ_INT(others_measure(o, 0, at + ms), 0);
	CHECK_EQ_INT(others_measure(o, UINT64_MAX / 4, at + 2 * ms), 0);
	/* nor what happened while nobody looked */
	until = time_mono_ns() + 100 * ms;
	spin(&until);
	CHECK_EQ_INT(others_measure(o, 0, at + (3 + OTHERS_OLD_MS) * ms), 0);
	until = time_mono_ns() + 100 * ms;
	spin(&until);
	CHECK_EQ_INT(others_measure(o, 0, at + (4 + OTHERS_OLD_MS) * ms), 0);
	until = time_mono_ns() + 100 * ms;
	spin(&until);
	CHECK(others_measure(o, 0, at + (5 + OTHERS_OLD_MS) * ms) > 100);
	others_free(o);
}

TEST(an_engine_leaves_cores_to_others)
{
	int fd = -1;
	struct cores *a = NULL, *keeper = NULL;
	CHECK_OK(cores_page_new(&fd));
	CHECK_OK(cores_new(fd, 0, &a));
	CHECK_OK(cores_new(fd, CORES_PLACES - 1, &keeper));
	CHECK(!cores_busy(keeper));
	cores_work(a, true);
	CHECK(cores_busy(keeper));
	static const struct {
		uint32_t hundredths, all, part;
	} t[] = { { 49, 2, 2 }, { 50, 2, 1 }, { 149, 4, 3 }, { 1000, 4, 1 }, { 100, 1, 1 },
		{ 0, 4, 4 }, { UINT32_MAX, 4, 1 } };
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		cores_others(keeper, t[i].hundredths);
		CHECK_EQ_INT(cores_part(a, t[i].all), t[i].part);
	}
	cores_free(a);
	cores_free(keeper);
	close(fd);
}
