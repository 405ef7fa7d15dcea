/* The watch thread: accepts connections (MHD is given each with its first look already taken),
 * keeps every deadline, and sees clients leave, which MHD does not notice while suspended. */
#include "http/http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"

enum { EVENTS = 128, ACCEPT_BURST = 64, SWEEP_MS = 200, TLS_HANDSHAKE_BYTE = 0x16 };
#define MARK_LISTENER (UINT64_C(1) << 63)
#define MARK_WAKE (UINT64_C(1) << 62)

void watch_wake(struct http_server *s)
{
	uint64_t one = 1;
	ssize_t n = write(s->wake_fd, &one, sizeof one);
	(void)n; /* full means that it is awake already */
}

void conn_cut(struct http_conn *c)
{
	if (!c->given || c->started)
		(void)shutdown(c->fd, SHUT_RDWR);
}

/* Writes what fits without waiting: the connection is being given up. */
static void send_last_words(int fd, enum dialect d, enum err e, const char *detail,
	struct http_server *s, const char *id)
{
	AUTO_BUF struct buf out = BUF(16 * 1024);
	struct err_info info = { .code = e };
	(void)err_set(&info, e, "%s", detail);
	raw_error(s, d, &info, str_from(id), &out);
	ssize_t n = send(fd, out.ptr, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n;
}

/* Lets the peer read what was sent: a close with unread input would reset the connection. */
static void close_politely(int fd)
{
	char sink[4096];
	(void)shutdown(fd, SHUT_WR);
	while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0)
		;
	(void)close(fd);
}

static void drop_unserved(struct http_server *s, struct http_conn *c)
{
	int fd = c->fd;
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	conn_remove(c);
	close_politely(fd);
}

/* Hands the connection to MHD. With server.lock; MHD takes the descriptor in any case. */
static void give_to_mhd(struct http_server *s, struct http_conn *c)
{
	struct MHD_Daemon **d = c->tls ? s->tls : s->plain;
	unsigned i = s->next_daemon++ % s->n_daemons;
	struct sockaddr_un nobody = { .sun_family = AF_UNIX };
	struct epoll_event ev = { .events = EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)c->generation << 24 | (unsigned)c->fd };
	c->given = true;
	conn_phase_locked(c, CONN_HEAD);
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	/* MHD only looks at the family (TCP options or not); who it is stands in our record */
	struct sockaddr_in tcp = { .sin_family = AF_INET };
	const struct sockaddr *a = c->local ? (void *)&nobody : (void *)&tcp;
	if (MHD_add_connection(d[i], c->fd, a, c->local ? sizeof nobody : sizeof tcp) != MHD_YES)
		conn_remove(c);
}

static void refuse(struct http_server *s, int fd, bool tls, enum err why)
{
	if (!tls)
		send_last_words(fd, DIALECT_PLAIN, why == ERR_NOMEM ? ERR_BUSY : why,
			why == ERR_THROTTLED ? "too many connections from this address"
					     : "too many connections",
			s, "");
	close_politely(fd);
}

static void addr_of(const struct sockaddr_storage *from, struct net_addr *ret)
{
	memset(ret, 0, sizeof *ret);
	if (from->ss_family == AF_INET) {
		memset(ret->b + 10, 0xff, 2);
		memcpy(ret->b + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else if (from->ss_family == AF_INET6) {
		memcpy(ret->b, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	}
}

/* One accept; false: nothing more to take now. */
static bool accept_one(struct http_server *s, const struct http_listener *l)
{
	struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof from;
	struct net_addr addr;
	enum err why;
	int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			s->accept_again_ms = time_mono_ms() + 100;
		return errno == EINTR || errno == ECONNABORTED;
	}
	if (!l->local) {
		int on = 1;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	}
	addr_of(&from, &addr);
	pthread_mutex_lock(&s->lock);
	struct http_conn *c = s->stopping ? NULL : conn_add(s, fd, l, &addr, &why);
	if (c) {
		struct epoll_event ev = {
			.events = l->tls ? EPOLLIN | EPOLLRDHUP : EPOLLRDHUP | EPOLLET,
			.data.u64 = (uint64_t)c->generation << 24 | (unsigned)fd,
		};
		if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
			why = ERR_NOMEM;
			conn_remove(c);
			c = NULL;
		} else if (!l->tls) {
			give_to_mhd(s, c);
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (!c)
		refuse(s, fd, l->tls, s->stopping ? ERR_BUSY : why);
	return true;
}

/* The first byte on a TLS listener: a handshake begins with 0x16, everything else is plain. */
static void peek(struct http_server *s, struct http_conn *c)
{
	unsigned char first;
	ssize_t n = recv(c->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == 1 && first == TLS_HANDSHAKE_BYTE) {
		give_to_mhd(s, c);
		return;
	}
	if (n == 1)
		send_last_words(c->fd, DIALECT_PLAIN, ERR_INVALID,
			"this port speaks only TLS: use https://", s, "");
	drop_unserved(s, c);
}

static void connection_event(struct http_server *s, uint64_t mark, uint32_t events)
{
	struct http_req *q = NULL;
	pthread_mutex_lock(&s->lock);
	struct http_conn *c = conn_of_fd(s, (int)(mark & 0xffffff));
	if (c && (c->generation & 0xffffffff) == (uint32_t)(mark >> 24)) {
		if (c->phase == CONN_PEEK) {
			peek(s, c);
		} else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
			c->hup = true; /* comes once: a request read later must know it, too */
			q = c->req;
			if (q)
				http_hold(q);
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (q) {
		req_gone(q);
		http_release(q);
	}
}

static void overdue(struct http_server *s, struct http_conn *c)
{
	if (c->phase == CONN_PEEK) {
		drop_unserved(s, c);
		return;
	}
	if (c->phase != CONN_IDLE && !c->tls && c->started)
		send_last_words(c->fd,
			c->phase == CONN_BODY && c->req ? c->req->dialect : DIALECT_PLAIN,
			ERR_TIMEOUT, "the request came too slowly", s, "");
	c->deadline_ms = INT64_MAX;
	conn_cut(c);
}

static void sweep(struct http_server *s)
{
	int64_t now = time_mono_ms();
	pthread_mutex_lock(&s->lock);
	for (struct http_conn *c = s->conns, *next; c; c = next) {
		next = c->next;
		if (c->deadline_ms <= now)
			overdue(s, c);
	}
	pthread_mutex_unlock(&s->lock);
}

static void accept_all(struct http_server *s, unsigned i)
{
	if (s->accept_again_ms > time_mono_ms())
		return;
	for (int n = 0; n < ACCEPT_BURST && !s->stopping; n++)
		if (!accept_one(s, &s->listener[i]))
			return;
}

void *watch_main(void *server)
{
	struct http_server *s = server;
	struct epoll_event ev[EVENTS];
	int64_t next_sweep = 0;
	while (!s->aborting) {
		int n = epoll_wait(s->epoll_fd, ev, EVENTS, SWEEP_MS);
		for (int i = 0; i < n; i++) {
			uint64_t mark = ev[i].data.u64;
			if (mark == MARK_WAKE) {
				uint64_t count;
				ssize_t got = read(s->wake_fd, &count, sizeof count);
				(void)got;
			} else if (mark & MARK_LISTENER) {
				accept_all(s, (unsigned)(mark & 0xff));
			} else {
				connection_event(s, mark, ev[i].events);
			}
		}
		if (time_mono_ms() >= next_sweep) {
			sweep(s);
			next_sweep = time_mono_ms() + SWEEP_MS;
		}
	}
	return NULL;
}

enum err watch_add(struct http_server *s, int fd, uint64_t mark)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = mark };
	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? err_from_errno(errno) : OK;
}

enum err watch_open(struct http_server *s)
{
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->wake_fd < 0)
		return err_from_errno(errno);
	TRY(watch_add(s, s->wake_fd, MARK_WAKE));
	for (unsigned i = 0; i < s->n_listener; i++)
		TRY(watch_add(s, s->listener[i].fd, MARK_LISTENER | i));
	return OK;
}

void watch_close_listeners(struct http_server *s)
{
	for (unsigned i = 0; i < s->n_listener; i++) {
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listener[i].fd, NULL);
		(void)close(s->listener[i].fd);
	}
	s->n_listener = 0;
}
