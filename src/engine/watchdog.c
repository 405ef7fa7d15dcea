#include "engine/watchdog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "os/threads.h"

enum { TICK_MS = 200, IDLE_TICKS = 25, STACK = 128 * 1024 };

/* One watchdog a process. */
static _Atomic int64_t deadline_ms[WATCH_KINDS]; /* monotonic; 0: not armed */
static atomic_bool awake;
static _Atomic(void (*)(enum watch)) on_expiry;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

static void check(int64_t now, bool *ret_armed)
{
	for (int k = 0; k < WATCH_KINDS; k++) {
		int64_t d = atomic_load(&deadline_ms[k]);
		*ret_armed |= d != 0;
		if (!d || now <= d)
			continue;
		log_error("work did not come to an end",
			KV_Z("what", k == WATCH_STEP ? "batch" : "template or schema"));
		void (*fn)(enum watch) = atomic_load(&on_expiry);
		if (fn)
			fn((enum watch)k);
		_exit(WATCHDOG_EXIT);
	}
}

static void *run(void *arg)
{
	(void)arg;
	for (unsigned idle = 0;;) {
		pthread_mutex_lock(&lock);
		while (!atomic_load(&awake))
			pthread_cond_wait(&wake, &lock);
		pthread_mutex_unlock(&lock);
		nanosleep(&(struct timespec){ .tv_nsec = TICK_MS * 1000000L }, NULL);
		bool armed = false;
		check(time_mono_ms(), &armed);
		idle = armed ? 0 : idle + 1;
		if (idle < IDLE_TICKS)
			continue;
		idle = 0;
		/* An arm between these two lines sees `awake` false and signals. */
		atomic_store(&awake, false);
		for (int k = 0; k < WATCH_KINDS; k++)
			if (atomic_load(&deadline_ms[k]))
				atomic_store(&awake, true);
	}
	return NULL;
}

enum err watchdog_start(void)
{
	pthread_t t;
	return thread_start("watchdog", STACK, run, NULL, &t);
}

void watchdog_arm(enum watch kind, unsigned seconds)
{
	atomic_store(&deadline_ms[kind], seconds ? time_mono_ms() + (int64_t)seconds * 1000 : 0);
	if (!seconds || atomic_exchange(&awake, true))
		return;
	pthread_mutex_lock(&lock);
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
}

void watchdog_on_expiry(void (*fn)(enum watch))
{
	atomic_store(&on_expiry, fn);
}
