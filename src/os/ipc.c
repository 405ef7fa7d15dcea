/* Channels: the second half of os/ipc.h. */
#include "os/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/ipc_wire.h"
#include "os/protocol.inc"

struct waiting {
	struct waiting *next;
	struct ipc_out m;
};
struct ipc {
	int fd, wake_fd;
	char *space;          /* one datagram; used by the receiving thread */
	pthread_mutex_t lock; /* below: any thread */
	struct waiting *first, **last;
	size_t queued_bytes;
	bool closed;
};

/* What our messages carry and what those of others must; process-wide as the build is. */
static uint64_t spoken = PROTOCOL_HASH;

uint64_t ipc_protocol_hash(void)
{
	return spoken;
}

void ipc_speak(uint64_t hash)
{
	spoken = hash;
}

enum err ipc_pair(int ret_fd[2])
{
	if (fault_hit(FAULT_SYSCALL) ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fd) < 0)
		return err_from_errno(errno);
	return OK;
}

enum err ipc_new(int fd, struct ipc **ret)
{
	AUTO(ipc) struct ipc *c = mem_zalloc(1, sizeof *c);
	if (!c) {
		(void)close(fd);
		return ERR_NOMEM;
	}
	c->fd = fd;
	c->wake_fd = -1;
	c->last = &c->first;
	(void)pthread_mutex_init(&c->lock, NULL);
	c->space = mem_alloc(LIMIT_IPC_MESSAGE);
	if (!c->space)
		return ERR_NOMEM;
	TRY(fd_nonblock(fd, true));
	*ret = TAKE(c);
	return OK;
}

static void drop_first(struct ipc *c)
{
	struct waiting *w = c->first;
	c->first = w->next;
	if (!c->first)
		c->last = &c->first;
	c->queued_bytes -= w->m.data.len + w->m.bulk;
	ipc_out_done(&w->m);
	mem_free(w);
}

struct ipc *ipc_free(struct ipc *c)
{
	if (!c)
		return NULL;
	while (c->first)
		drop_first(c);
	(void)close(c->fd);
	(void)pthread_mutex_destroy(&c->lock);
	mem_free(c->space);
	mem_free(c);
	return NULL;
}

int ipc_fd(const struct ipc *c)
{
	return c->fd;
}
void ipc_set_wake(struct ipc *c, int event_fd)
{
	c->wake_fd = event_fd;
}

/* ERR_AGAIN: the socket is full. */
static enum err send_now(struct ipc *c, const struct ipc_out *m)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * LIMIT_IPC_FDS)];
	} control = { .space = { 0 } };
	struct iovec data = { m->data.ptr, m->data.len };
	struct msghdr h = { .msg_iov = &data, .msg_iovlen = 1 };
	if (m->nfds) {
		h.msg_control = control.space;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * m->nfds);
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(sizeof(int) * m->nfds) };
		memcpy(CMSG_DATA(&control.head), m->fds, sizeof(int) * m->nfds);
	}
	ssize_t n;
	do
		n = fault_hit(FAULT_SYSCALL) ? -1 : sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return OK;
	enum err e = err_from_errno(errno);
	if (e == ERR_CLOSED)
		c->closed = true;
	return e;
}

/* Takes m's content into the queue. */
static enum err enqueue(struct ipc *c, struct ipc_out *m)
{
	size_t bytes = m->data.len + m->bulk;
	/* one message always fits, however big */
	if (c->first && bytes > LIMIT_IPC_QUEUE - c->queued_bytes)
		return ERR_LIMIT;
	struct waiting *w = mem_alloc(sizeof *w);
	if (!w)
		return ERR_NOMEM;
	*w = (struct waiting){ .m = *m };
	*m = (struct ipc_out){ 0 };
	*c->last = w;
	c->last = &w->next;
	c->queued_bytes += bytes;
	if (c->wake_fd >= 0) {
		uint64_t one = 1;
		/* full counter: the reader is being woken anyway */
		if (write(c->wake_fd, &one, sizeof one) < 0)
			(void)0;
	}
	return OK;
}

enum err ipc_send(struct ipc *c, struct ipc_out *m)
{
	enum err e = m->err;
	if (!e) {
		struct wire_header h;
		memcpy(&h, m->data.ptr, sizeof h);
		h.nfds = (uint16_t)m->nfds;
		h.bytes = (uint32_t)m->data.len;
		memcpy(m->data.ptr, &h, sizeof h);
		(void)pthread_mutex_lock(&c->lock);
		e = c->closed ? ERR_CLOSED : c->first ? ERR_AGAIN : send_now(c, m);
		if (e == ERR_AGAIN)
			e = enqueue(c, m);
		(void)pthread_mutex_unlock(&c->lock);
	}
	ipc_out_done(m);
	return e;
}

bool ipc_wants_write(const struct ipc *c)
{
	/* The lock is what makes "poll, then ask" safe against a sender between EAGAIN and
	 * queue. */
	struct ipc *locked = (struct ipc *)(uintptr_t)c;
	(void)pthread_mutex_lock(&locked->lock);
	bool wants = c->first != NULL && !c->closed;
	(void)pthread_mutex_unlock(&locked->lock);
	return wants;
}

enum err ipc_flush(struct ipc *c)
{
	enum err e = OK;
	(void)pthread_mutex_lock(&c->lock);
	while (c->first && !e) {
		e = send_now(c, &c->first->m);
		if (!e)
			drop_first(c);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return e == ERR_AGAIN ? OK : e;
}

static enum err wait_for(int fd, short events, int64_t until_ms, bool for_ever)
{
	for (;;) {
		int64_t left = until_ms - time_mono_ms();
		struct pollfd p = { .fd = fd, .events = events };
		int n = fault_hit(FAULT_SYSCALL) ? -1
						 : poll(&p, 1,
							   for_ever   ? -1
							   : left > 0 ? (int)left
								      : 0);
		if (n > 0)
			return OK;
		if (n == 0)
			return ERR_TIMEOUT;
		if (errno != EINTR)
			return err_from_errno(errno);
	}
}

enum err ipc_drain(struct ipc *c, int timeout_ms)
{
	int64_t until = time_mono_ms() + timeout_ms;
	for (;;) {
		TRY(ipc_flush(c));
		if (!ipc_wants_write(c))
			return OK;
		TRY(wait_for(c->fd, POLLOUT, until, timeout_ms < 0));
	}
}

/* Descriptors of every control message, however many there are; false: too many. */
static bool collect_fds(struct msghdr *h, struct ipc_in *in)
{
	bool ok = true;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (in->nfds < LIMIT_IPC_FDS) {
				in->fds[in->nfds++] = fd;
			} else {
				(void)close(fd);
				ok = false;
			}
		}
	}
	return ok;
}

/* Checks the header of `n` bytes in c->space and copies the rest out. */
static enum err accept_datagram(struct ipc *c, size_t n, struct ipc_in *in)
{
	struct wire_header h;
	if (n < sizeof h)
		return ERR_PROTOCOL;
	memcpy(&h, c->space, sizeof h);
	if (h.protocol != spoken || h.bytes != n || h.nfds != in->nfds)
		return ERR_PROTOCOL;
	in->mem_ = mem_alloc(n);
	if (!in->mem_)
		return ERR_NOMEM;
	memcpy(in->mem_, c->space, n);
	in->type = h.type;
	in->id = h.id;
	in->rest = (struct str){ (char *)in->mem_ + sizeof h, n - sizeof h };
	return OK;
}

enum err ipc_recv(struct ipc *c, struct ipc_in *ret)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * (LIMIT_IPC_FDS + 1))];
	} control;
	struct iovec data = { c->space, LIMIT_IPC_MESSAGE };
	struct msghdr h = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof control.space };
	ssize_t n;
	/* A peer that ended with a message of ours unread makes the first read fail; what it had
	 * sent
	 * before, often why it ended, is still there after that. */
	int reset = 0;
	*ret = (struct ipc_in){ 0 };
	do
		n = fault_hit(FAULT_SYSCALL) ? -1
					     : recvmsg(c->fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset++)));
	if (n < 0)
		return err_from_errno(errno);
	bool fits = collect_fds(&h, ret) && !(h.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	enum err e = n == 0 ? ERR_CLOSED : fits ? accept_datagram(c, (size_t)n, ret) : ERR_PROTOCOL;
	if (e)
		ipc_in_done(ret);
	return e;
}

enum err ipc_recv_wait(struct ipc *c, int timeout_ms, struct ipc_in *ret)
{
	int64_t until = time_mono_ms() + timeout_ms;
	for (;;) {
		enum err e = ipc_recv(c, ret);
		if (e != ERR_AGAIN)
			return e;
		TRY(wait_for(c->fd, POLLIN, until, timeout_ms < 0));
	}
}
