/* Blocking calls over the keeper's channel, for many threads: second half of proto/keeper.h.
 *
 * Whoever waits for an answer has a struct call on its stack, in the list `calls`. One thread
 * at a time reads the channel (`reading`): the one in keeper_link_pump(), or, before any pump
 * ran, a caller itself. Messages that are no answers and were read by a caller wait in `kept`
 * for the pump. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/fault.h"
#include "base/time.h"
#include "proto/keeper.h"

enum { KEPT_MAX = 4096 /* the keeper sends a handful */, STEP_MS = 20 };

struct call {
	struct call *next;
	uint64_t id;
	struct ipc_in *ret;
	bool done;
};
struct kept {
	struct kept *next;
	struct ipc_in m;
};
struct keeper_link {
	struct ipc *c;
	pthread_mutex_t lock;
	pthread_cond_t answered; /* monotonic clock */
	struct call *calls;
	struct kept *kept, **kept_last;
	unsigned n_kept;
	uint64_t next_id;
	bool pumped;  /* a pump thread exists: callers leave the reading to it */
	bool reading; /* some caller reads */
	enum err broken;
};

enum err keeper_link_new(struct ipc *c, struct keeper_link **ret)
{
	pthread_condattr_t attr;
	struct keeper_link *k = mem_zalloc(1, sizeof *k);
	if (!k) {
		(void)ipc_free(c);
		return ERR_NOMEM;
	}
	k->c = c;
	k->kept_last = &k->kept;
	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&k->answered, &attr);
	(void)pthread_condattr_destroy(&attr);
	*ret = k;
	return OK;
}

static struct kept *take_kept(struct keeper_link *k)
{
	struct kept *first = k->kept;
	if (first) {
		k->kept = first->next;
		k->n_kept--;
	}
	if (!k->kept)
		k->kept_last = &k->kept;
	return first;
}

struct keeper_link *keeper_link_free(struct keeper_link *k)
{
	if (!k)
		return NULL;
	for (struct kept *p; (p = take_kept(k));) {
		ipc_in_done(&p->m);
		mem_free(p);
	}
	(void)ipc_free(k->c);
	(void)pthread_cond_destroy(&k->answered);
	(void)pthread_mutex_destroy(&k->lock);
	mem_free(k);
	return NULL;
}

int keeper_link_fd(const struct keeper_link *k) { return ipc_fd(k->c); }

/* With the lock. Gives an answer to who waits for it, and drops one that nobody waits for any more.
 * Takes m's content when it returns true; false: the message is no answer. */
static bool deliver(struct keeper_link *k, struct ipc_in *m)
{
	if (m->type != ANSWER)
		return false;
	for (struct call *w = k->calls; w; w = w->next) {
		if (w->id != m->id || w->done)
			continue;
		*w->ret = *m;
		*m = (struct ipc_in){ 0 };
		w->done = true;
		(void)pthread_cond_broadcast(&k->answered);
		return true;
	}
	ipc_in_done(m);
	return true;
}

/* With the lock: the channel is unusable from now on, everybody wakes. */
static enum err break_link(struct keeper_link *k, enum err e)
{
	if (!k->broken)
		k->broken = e;
	(void)pthread_cond_broadcast(&k->answered);
	return e;
}

static void hand_out_kept(struct keeper_link *k, void (*on)(struct ipc_in *, void *), void *arg)
{
	for (;;) {
		(void)pthread_mutex_lock(&k->lock);
		struct kept *p = take_kept(k);
		(void)pthread_mutex_unlock(&k->lock);
		if (!p)
			return;
		on(&p->m, arg);
		ipc_in_done(&p->m);
		mem_free(p);
	}
}

enum err keeper_link_pump(struct keeper_link *k, void (*on)(struct ipc_in *m, void *arg), void *arg)
{
	(void)pthread_mutex_lock(&k->lock);
	k->pumped = true;
	while (k->reading) /* a caller that began before; it stops at its next step */
		(void)pthread_cond_wait(&k->answered, &k->lock);
	(void)pthread_mutex_unlock(&k->lock);
	hand_out_kept(k, on, arg);
	enum err e = ipc_flush(k->c);
	while (!e) {
		struct ipc_in m = { 0 };
		e = ipc_recv(k->c, &m);
		if (e)
			break;
		(void)pthread_mutex_lock(&k->lock);
		bool answer = deliver(k, &m);
		(void)pthread_mutex_unlock(&k->lock);
		if (!answer)
			on(&m, arg);
		ipc_in_done(&m);
	}
	if (e == ERR_AGAIN)
		return OK;
	(void)pthread_mutex_lock(&k->lock);
	(void)break_link(k, e);
	(void)pthread_mutex_unlock(&k->lock);
	return e;
}

void keeper_link_unpump(struct keeper_link *k)
{
	(void)pthread_mutex_lock(&k->lock);
	k->pumped = false;
	(void)pthread_cond_broadcast(&k->answered);
	(void)pthread_mutex_unlock(&k->lock);
}

void keeper_link_close(struct keeper_link *k)
{
	(void)pthread_mutex_lock(&k->lock);
	(void)break_link(k, ERR_CLOSED);
	(void)pthread_mutex_unlock(&k->lock);
}

/* Takes m's content. */
static enum err keep(struct keeper_link *k, struct ipc_in *m)
{
	struct kept *p = k->n_kept < KEPT_MAX ? mem_alloc(sizeof *p) : NULL;
	if (!p) {
		ipc_in_done(m);
		return ERR_NOMEM;
	}
	*p = (struct kept){ .m = *m };
	*k->kept_last = p;
	k->kept_last = &p->next;
	k->n_kept++;
	return OK;
}

/* With the lock, which is let go while waiting: reads one message as the only reader. */
static void read_one(struct keeper_link *k, int timeout_ms)
{
	struct ipc_in m = { 0 };
	k->reading = true;
	(void)pthread_mutex_unlock(&k->lock);
	enum err e = ipc_recv_wait(k->c, timeout_ms, &m);
	(void)pthread_mutex_lock(&k->lock);
	k->reading = false;
	if (!e && !deliver(k, &m))
		e = keep(k, &m);
	if (e && e != ERR_TIMEOUT)
		(void)break_link(k, e);
	(void)pthread_cond_broadcast(&k->answered);
}

static void wait_answered(struct keeper_link *k, int64_t ms)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	(void)pthread_cond_timedwait(&k->answered, &k->lock, &t);
}

/* With the lock. */
static enum err wait_for_answer(struct keeper_link *k, const struct call *w, int timeout_ms)
{
	int64_t until = time_mono_ms() + (timeout_ms < 0 ? INT32_MAX : timeout_ms);
	while (!w->done) {
		int64_t left = until - time_mono_ms();
		if (k->broken)
			return k->broken;
		if (left <= 0)
			return ERR_TIMEOUT;
		if (k->pumped || k->reading)
			wait_answered(k, left);
		else /* short steps: a pump may start meanwhile and take over */
			read_one(k, left < STEP_MS ? (int)left : STEP_MS);
	}
	return OK;
}

static void forget(struct keeper_link *k, struct call *w)
{
	struct call **at = &k->calls;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

/* Sends `m` under a fresh id; the answer may come before this returns. */
static enum err call_and_wait(struct keeper_link *k, struct ipc_out *m, int timeout_ms,
			      struct ipc_in *ret)
{
	struct call w = { .ret = ret };
	(void)pthread_mutex_lock(&k->lock);
	w.id = ++k->next_id;
	w.next = k->calls;
	k->calls = &w;
	enum err e = k->broken;
	(void)pthread_mutex_unlock(&k->lock);
	ipc_out_set_id(m, w.id);
	if (!e) {
		e = ipc_send(k->c, m);
		if (!e)
			e = ipc_drain(k->c, timeout_ms);
	} else {
		ipc_out_done(m);
	}
	(void)pthread_mutex_lock(&k->lock);
	if (!e)
		e = wait_for_answer(k, &w, timeout_ms);
	forget(k, &w);
	(void)pthread_mutex_unlock(&k->lock);
	return e;
}

enum err keeper_call(struct keeper_link *k, struct ipc_out *m, int timeout_ms, struct ipc_in *ret,
		     struct err_info *info)
{
	enum err code;
	struct str detail;
	*ret = (struct ipc_in){ 0 };
	enum err e = call_and_wait(k, m, timeout_ms, ret);
	if (!e)
		e = answer_get(ret, &code, &detail);
	if (e) {
		ipc_in_done(ret);
		return err_set(info, e, "%s", err_text(e));
	}
	if (code == OK)
		return OK;
	(void)err_set(info, code, "%.*s", STR_ARG(detail));
	ipc_in_done(ret);
	return code;
}

enum err keeper_tell(struct keeper_link *k, struct ipc_out *m)
{
	TRY(ipc_send(k->c, m));
	return ipc_drain(k->c, -1);
}
