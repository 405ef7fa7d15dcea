/* os/threads.h - a thread, a lock, a bounded queue, a bounded pool. */
#pragma once

#include <pthread.h>

#include "base/auto.h"
#include "base/str.h"

/* A thread with a small stack, all signals blocked, and a name. */
enum err thread_start(const char *name, size_t stack_bytes, void *(*fn)(void *), void *arg,
		      pthread_t *ret);

/* The calling thread gives way to others: 1 (a little) to 19 (to all). Where the kernel refuses it
 * stays as it is. */
void thread_give_way(int nice);

/* A bounded first-in-first-out of pointers. Full: queue_put says ERR_BUSY at once. */
struct queue;
enum err queue_new(size_t limit, struct queue **ret);
struct queue *queue_free(struct queue *q);
DEFINE_AUTO(queue)
enum err queue_put(struct queue *q, void *item);
/* Waits up to timeout_ms (-1: for ever). NULL: closed and empty, or timed out. */
void *queue_take(struct queue *q, int timeout_ms);
void queue_close(struct queue *q);

/* Runs jobs on n threads. Full: pool_run says ERR_BUSY at once. */
struct pool;
enum err pool_new(const char *name, unsigned threads, size_t queue_limit, struct pool **ret);
struct pool *pool_free(struct pool *p); /* finishes what is queued */
DEFINE_AUTO(pool)
enum err pool_run(struct pool *p, void (*fn)(void *), void *arg);
