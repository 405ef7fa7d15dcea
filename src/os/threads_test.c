#include "os/threads.h"

#include <signal.h>
#include <stdatomic.h>

#include "base/time.h"
#include "tests/test.h"

static atomic_uint counter;

static void *name_and_signals(void *arg)
{
	char name[16] = "";
	sigset_t set;
	(void)pthread_getname_np(pthread_self(), name, sizeof name);
	(void)pthread_sigmask(SIG_BLOCK, NULL, &set);
	*(bool *)arg = strcmp(name, "a-long-thread-n") == 0 && sigismember(&set, SIGTERM) == 1;
	return NULL;
}

static void *slow_start(void *arg)
{
	struct timespec t = { 0, 20000000 }; /* so that the name is set by then */
	(void)nanosleep(&t, NULL);
	return name_and_signals(arg);
}

TEST(a_thread_has_a_name_and_no_signals)
{
	pthread_t t;
	sigset_t set;
	bool ok = false;
	CHECK_OK(thread_start("a-long-thread-name", 1, slow_start, &ok, &t));
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(ok);
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &set) == 0 && !sigismember(&set, SIGTERM));
}

TEST(a_queue_is_first_in_first_out_and_bounded)
{
	AUTO(queue) struct queue *q = NULL;
	int items[4];
	CHECK_OK(queue_new(3, &q));
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			CHECK_OK(queue_put(q, &items[i]));
		CHECK_ERR(queue_put(q, &items[3]), ERR_BUSY);
		for (int i = 0; i < 3; i++)
			CHECK(queue_take(q, 0) == &items[i]);
		CHECK(queue_take(q, 0) == NULL);
	}
	CHECK_ERR(queue_new(0, &q), ERR_LIMIT);
}

TEST(a_wait_has_an_end)
{
	AUTO(queue) struct queue *q = NULL;
	CHECK_OK(queue_new(1, &q));
	int64_t start = time_mono_ms();
	CHECK(queue_take(q, 60) == NULL);
	int64_t took = time_mono_ms() - start;
	CHECK(took >= 55 && took < 5000);
}

static void *closer(void *q)
{
	struct timespec t = { 0, 30000000 };
	(void)nanosleep(&t, NULL);
	queue_close(q);
	return NULL;
}

TEST(a_closed_queue_gives_what_is_left_and_wakes)
{
	AUTO(queue) struct queue *q = NULL;
	int item;
	pthread_t t;
	CHECK_OK(queue_new(2, &q));
	CHECK_OK(queue_put(q, &item));
	CHECK_OK(thread_start("closer", 0, closer, q, &t));
	CHECK(queue_take(q, -1) == &item);
	CHECK(queue_take(q, -1) == NULL);
	CHECK_ERR(queue_put(q, &item), ERR_CLOSED);
	CHECK(pthread_join(t, NULL) == 0);
}

enum { ITEMS = 20000, MAKERS = 4 };

static void *make(void *q)
{
	for (uintptr_t i = 1; i <= ITEMS; i++)
		while (queue_put(q, (void *)i) == ERR_BUSY)
			sched_yield();
	return NULL;
}

TEST(nothing_is_lost_between_threads)
{
	AUTO(queue) struct queue *q = NULL;
	pthread_t t[MAKERS];
	uint64_t sum = 0;
	CHECK_OK(queue_new(8, &q));
	for (int i = 0; i < MAKERS; i++)
		CHECK_OK(thread_start("maker", 0, make, q, &t[i]));
	for (int i = 0; i < MAKERS * ITEMS; i++)
		sum += (uintptr_t)queue_take(q, -1);
	for (int i = 0; i < MAKERS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK_EQ_INT(sum, (uint64_t)MAKERS * ITEMS * (ITEMS + 1) / 2);
}

static void count(void *arg) { atomic_fetch_add(&counter, *(unsigned *)arg); }

TEST(a_pool_finishes_what_is_queued)
{
	unsigned one = 1, taken = 0;
	AUTO(pool) struct pool *p = NULL;
	CHECK_OK(pool_new("worker", 3, 64, &p));
	for (int i = 0; i < 5000; i++)
		taken += pool_run(p, count, &one) == OK;
	p = pool_free(p);
	CHECK_EQ_INT(atomic_load(&counter), taken);
	CHECK(taken >= 64);
}

static void block(void *arg)
{
	while (!atomic_load((atomic_bool *)arg))
		sched_yield();
}

TEST(a_full_pool_says_busy)
{
	atomic_bool go = false;
	unsigned one = 1;
	AUTO(pool) struct pool *p = NULL;
	CHECK_OK(pool_new("worker", 1, 2, &p));
	CHECK_OK(pool_run(p, block, &go));
	enum err e = OK;
	for (int i = 0; i < 4 && !e; i++)
		e = pool_run(p, count, &one);
	CHECK_ERR(e, ERR_BUSY);
	atomic_store(&go, true);
}

TEST(failures_while_starting_leave_nothing_behind)
{
	for (int kind = 0; kind < FAULT_KINDS; kind++)
		FOR_EACH_FAULT((enum fault_kind)kind, n)
		{
			unsigned one = 1;
			AUTO(pool) struct pool *p = NULL;
			enum err e = pool_new("worker", 3, 4, &p);
			if (!e)
				e = pool_run(p, count, &one);
			CHECK_EQ_INT(e, fault_fired((enum fault_kind)kind) ? ERR_NOMEM : OK);
		}
}
