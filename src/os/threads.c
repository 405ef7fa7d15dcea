#include "os/threads.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/fault.h"

enum { STACK_DEFAULT = 256 * 1024 };

enum err thread_start(const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg,
		      pthread_t *ret)
{
	pthread_attr_t attr;
	sigset_t all, old;
	char short_name[16]; /* the kernel's limit */
	if (stack_bytes == 0)
		stack_bytes = STACK_DEFAULT;
	if (stack_bytes < (size_t)PTHREAD_STACK_MIN)
		stack_bytes = (size_t)PTHREAD_STACK_MIN;
	if (fault_hit(FAULT_SYSCALL) || pthread_attr_init(&attr) != 0)
		return ERR_NOMEM;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* inherited by the new thread */
	int rc = pthread_attr_setstacksize(&attr, stack_bytes);
	if (rc == 0)
		rc = pthread_create(ret, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	if (rc != 0)
		return rc == EAGAIN ? ERR_NOMEM : err_from_errno(rc);
	(void)snprintf(short_name, sizeof short_name, "%s", name);
	(void)pthread_setname_np(*ret, short_name);
	return OK;
}

void thread_give_way(int nice)
{
	(void)setpriority(PRIO_PROCESS, 0, nice); /* 0: on Linux this thread */
}

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t more;
	size_t limit, first, count;
	bool closed;
	void *items[];
};

enum err queue_new(size_t limit, struct queue **ret)
{
	pthread_condattr_t attr;
	if (limit == 0 || limit > SIZE_MAX / sizeof(void *) - sizeof(struct queue))
		return ERR_LIMIT;
	struct queue *q = mem_zalloc(1, sizeof *q + limit * sizeof *q->items);
	if (!q)
		return ERR_NOMEM;
	q->limit = limit;
	(void)pthread_mutex_init(&q->lock, NULL); /* these cannot fail on Linux */
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&q->more, &attr);
	(void)pthread_condattr_destroy(&attr);
	*ret = q;
	return OK;
}

struct queue *queue_free(struct queue *q)
{
	if (q) {
		(void)pthread_cond_destroy(&q->more);
		(void)pthread_mutex_destroy(&q->lock);
	}
	mem_free(q);
	return NULL;
}

enum err queue_put(struct queue *q, void *item)
{
	enum err e = OK;
	(void)pthread_mutex_lock(&q->lock);
	if (q->closed) {
		e = ERR_CLOSED;
	} else if (q->count == q->limit) {
		e = ERR_BUSY;
	} else {
		q->items[(q->first + q->count++) % q->limit] = item;
		(void)pthread_cond_signal(&q->more);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return e;
}

static struct timespec deadline(int timeout_ms)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ms / 1000;
	t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

void *queue_take(struct queue *q, int timeout_ms)
{
	void *item = NULL;
	struct timespec until = deadline(timeout_ms > 0 ? timeout_ms : 0);
	(void)pthread_mutex_lock(&q->lock);
	while (q->count == 0 && !q->closed) {
		int rc = timeout_ms < 0 ? pthread_cond_wait(&q->more, &q->lock) :
					  pthread_cond_timedwait(&q->more, &q->lock, &until);
		if (rc == ETIMEDOUT)
			break;
	}
	if (q->count > 0) {
		item = q->items[q->first];
		q->first = (q->first + 1) % q->limit;
		q->count--;
	}
	(void)pthread_mutex_unlock(&q->lock);
	return item;
}

void queue_close(struct queue *q)
{
	(void)pthread_mutex_lock(&q->lock);
	q->closed = true;
	(void)pthread_cond_broadcast(&q->more);
	(void)pthread_mutex_unlock(&q->lock);
}

struct job {
	void (*fn)(void *);
	void *arg;
};
struct pool {
	struct queue *jobs;
	unsigned started;
	pthread_t threads[];
};

static void *work(void *arg)
{
	struct pool *p = arg;
	for (struct job *j; (j = queue_take(p->jobs, -1));) {
		j->fn(j->arg);
		mem_free(j);
	}
	return NULL;
}

enum err pool_new(const char *name, unsigned threads, size_t queue_limit, struct pool **ret)
{
	AUTO(pool) struct pool *p = mem_zalloc(1, sizeof *p + threads * sizeof *p->threads);
	if (!p)
		return ERR_NOMEM;
	TRY(queue_new(queue_limit, &p->jobs));
	for (; p->started < threads; p->started++)
		/* 512 KiB: handlers hold path and error buffers on their stacks */
		TRY(thread_start(name, 512 * 1024, work, p, &p->threads[p->started]));
	*ret = TAKE(p);
	return OK;
}

struct pool *pool_free(struct pool *p)
{
	if (!p)
		return NULL;
	if (p->jobs)
		queue_close(p->jobs);
	for (unsigned i = 0; i < p->started; i++)
		(void)pthread_join(p->threads[i], NULL);
	queue_free(p->jobs);
	mem_free(p);
	return NULL;
}

enum err pool_run(struct pool *p, void (*fn)(void *), void *arg)
{
	struct job *j = mem_alloc(sizeof *j);
	if (!j)
		return ERR_NOMEM;
	*j = (struct job){ fn, arg };
	enum err e = queue_put(p->jobs, j);
	if (e)
		mem_free(j);
	return e;
}
