#include "engine/beside.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/threads.h"
#include "proto/engine.h"

enum {
	MAX_DEFAULT = 64,
	STACK_BYTES = 8 << 20, /* templates call themselves */
	GIVE_WAY = 5, /* a third of a core while all of them compute */
};

static const uint64_t BYTES_DEFAULT = 512ull << 20;

enum state { WAITS, AT_WORK, READY };
struct job {
	struct job *next;
	enum state state;
	bool cancelled, dropped; /* comes out with an error; does not come out */
	struct ipc_in m;
	uint64_t bytes;
	struct beside_done done;
};

struct beside {
	struct beside_options o;
	int bell; /* eventfd */
	pthread_t thread;
	bool up;
	unsigned n;     /* jobs */
	uint64_t bytes; /* that came with them */
	/* under the lock: */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *first; /* in the order they came */
	bool stop;
};

static void job_free(struct job *j)
{
	ipc_in_done(&j->m);
	request_free(j->done.request);
	ipc_out_done(&j->done.out);
	mem_free(j);
}

/* ---- the thread ---- */

static enum err make_request(struct beside *b, struct job *j)
{
	struct gen_request g;
	TRY(gen_request_get(&j->m, &g));
	j->done.deadline_ms = g.deadline_ms;
	enum err e = request_new(
		b->o.ops, b->o.backend, j->m.id, &g, &j->done.request, &j->done.why);
	gen_request_done(&g);
	return e;
}

static void work(struct beside *b, struct job *j)
{
	j->done.err = j->m.type == GEN_START ? make_request(b, j)
					     : b->o.answer(b->o.arg, &j->m, &j->done.out);
	ipc_in_done(&j->m); /* it may hold 64 MiB */
}

static struct job *next_waiting(struct beside *b)
{
	struct job *j = b->first;
	while (j && j->state != WAITS)
		j = j->next;
	return j;
}

static void *run(void *arg)
{
	struct beside *b = arg;
	thread_give_way(GIVE_WAY);
	if (b->o.begin)
		b->o.begin();
	(void)pthread_mutex_lock(&b->lock);
	while (!b->stop) {
		struct job *j = next_waiting(b);
		if (!j) {
			(void)pthread_cond_wait(&b->more, &b->lock);
			continue;
		}
		bool skip = j->cancelled || j->dropped;
		j->state = AT_WORK;
		(void)pthread_mutex_unlock(&b->lock);
		if (!skip)
			work(b, j);
		(void)pthread_mutex_lock(&b->lock);
		j->state = READY;
		(void)!!eventfd_write(b->bell, 1);
	}
	(void)pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* ---- the loop's side ---- */

enum err beside_new(const struct beside_options *o, struct beside **ret)
{
	AUTO(beside) struct beside *b = mem_zalloc(1, sizeof *b);
	if (!b)
		return ERR_NOMEM;
	b->o = *o;
	b->o.max = o->max ? o->max : MAX_DEFAULT;
	b->o.max_bytes = o->max_bytes ? o->max_bytes : BYTES_DEFAULT;
	(void)pthread_mutex_init(&b->lock, NULL);
	(void)pthread_cond_init(&b->more, NULL);
	b->bell = fault_hit(FAULT_SYSCALL) ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->bell < 0)
		return err_from_errno(errno);
	TRY(thread_start("beside", STACK_BYTES, run, b, &b->thread));
	b->up = true;
	*ret = TAKE(b);
	return OK;
}

struct beside *beside_free(struct beside *b)
{
	if (!b)
		return NULL;
	if (b->up) {
		(void)pthread_mutex_lock(&b->lock);
		b->stop = true;
		(void)pthread_cond_signal(&b->more);
		(void)pthread_mutex_unlock(&b->lock);
		(void)pthread_join(b->thread, NULL);
	}
	for (struct job *j = b->first, *next; j; j = next) {
		next = j->next;
		job_free(j);
	}
	if (b->bell >= 0)
		(void)close(b->bell);
	(void)pthread_cond_destroy(&b->more);
	(void)pthread_mutex_destroy(&b->lock);
	mem_free(b);
	return NULL;
}

/* What is long, and pixels, came by a descriptor. */
bool beside_wants(const struct ipc_in *m)
{
	return m->nfds > 0;
}

static uint64_t bytes_of(const struct ipc_in *m)
{
	uint64_t all = m->rest.len, n;
	for (unsigned i = 0; i < m->nfds; i++)
		all += fd_size(m->fds[i], &n) ? 0 : n;
	return all;
}

enum err beside_put(struct beside *b, struct ipc_in *m)
{
	uint64_t bytes = bytes_of(m);
	if (b->n >= b->o.max || (b->n && b->bytes + bytes > b->o.max_bytes))
		return ERR_BUSY;
	struct job *j = mem_zalloc(1, sizeof *j);
	if (!j)
		return ERR_NOMEM;
	j->m = *m;
	*m = (struct ipc_in){ 0 };
	j->done.id = j->m.id;
	j->done.arrived_ms = time_mono_ms();
	j->bytes = bytes;
	b->n++;
	b->bytes += bytes;
	(void)pthread_mutex_lock(&b->lock);
	struct job **at = &b->first;
	while (*at)
		at = &(*at)->next;
	*at = j;
	(void)pthread_cond_signal(&b->more);
	(void)pthread_mutex_unlock(&b->lock);
	return OK;
}

unsigned beside_n(const struct beside *b)
{
	return b->n;
}

int beside_fd(const struct beside *b)
{
	return b->bell;
}

bool beside_cancel(struct beside *b, uint64_t id)
{
	bool found = false;
	(void)pthread_mutex_lock(&b->lock);
	for (struct job *j = b->first; j; j = j->next)
		if (j->done.id == id && !j->dropped)
			found = j->cancelled = true;
	(void)pthread_mutex_unlock(&b->lock);
	return found;
}

void beside_cancel_all(struct beside *b)
{
	(void)pthread_mutex_lock(&b->lock);
	for (struct job *j = b->first; j; j = j->next)
		j->dropped = true;
	(void)pthread_mutex_unlock(&b->lock);
}

/* The first that is ready; none overtakes, but for those that nobody waits for. */
static struct job *unlink_ready(struct beside *b)
{
	(void)pthread_mutex_lock(&b->lock);
	struct job *j = b->first;
	if (j && j->state == READY)
		b->first = j->next;
	else
		j = NULL;
	(void)pthread_mutex_unlock(&b->lock);
	b->n -= j ? 1 : 0;
	b->bytes -= j ? j->bytes : 0;
	return j;
}

bool beside_take(struct beside *b, struct beside_done *ret)
{
	eventfd_t rung;
	(void)!!eventfd_read(b->bell, &rung);
	for (struct job *j; (j = unlink_ready(b));) {
		if (j->dropped) {
			job_free(j);
			continue;
		}
		*ret = j->done;
		j->done.request = NULL;
		j->done.out = (struct ipc_out){ 0 };
		if (j->cancelled) {
			request_free(ret->request);
			ipc_out_done(&ret->out);
			ret->request = NULL;
			ret->err = ERR_CANCELLED;
		}
		job_free(j);
		return true;
	}
	return false;
}
