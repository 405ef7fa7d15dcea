#include "http/http_int.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fault.h"
#include "base/time.h"

/* How many connections an address has; kept while it has any. */
struct addr_count {
	struct addr_count *next;
	struct net_addr addr;
	size_t n;
};

static unsigned bucket_of(const struct net_addr *a)
{
	uint32_t h =
		2166136261u; /* FNV-1a: spreads neighbours; an attacker gains a long list, capped
				   * by max_connections */
	for (int i = 0; i < 16; i++)
		h = (h ^ a->b[i]) * 16777619u;
	return (h ^ h >> 16) % 1024;
}

static struct addr_count **find_count(struct http_server *s, const struct net_addr *a)
{
	struct addr_count **at = &s->by_addr[bucket_of(a)];
	while (*at && memcmp((*at)->addr.b, a->b, 16) != 0)
		at = &(*at)->next;
	return at;
}

static enum err count_up(struct http_server *s, const struct net_addr *a)
{
	struct addr_count **at = find_count(s, a);
	if (!*at) {
		*at = mem_zalloc(1, sizeof **at);
		if (!*at)
			return ERR_NOMEM;
		(*at)->addr = *a;
	}
	if ((*at)->n >= s->o.max_per_address)
		return ERR_THROTTLED;
	(*at)->n++;
	return OK;
}

static void count_down(struct http_server *s, const struct net_addr *a)
{
	struct addr_count **at = find_count(s, a), *gone = *at;
	if (gone && --gone->n == 0) {
		*at = gone->next;
		mem_free(gone);
	}
}

static bool counted(const struct http_conn *c)
{
	return !c->local && !c->proxied;
}

static enum err table_fits(struct http_server *s, int fd)
{
	if ((size_t)fd < s->n_by_fd)
		return OK;
	size_t n = (size_t)fd + 64;
	struct http_conn **p = mem_realloc(s->by_fd, n * sizeof *p);
	if (!p)
		return ERR_NOMEM;
	memset(p + s->n_by_fd, 0, (n - s->n_by_fd) * sizeof *p);
	s->by_fd = p;
	s->n_by_fd = n;
	return OK;
}

static unsigned peer_uid(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return (unsigned)-1;
	return who.uid;
}

struct http_conn *conn_add(struct http_server *s, int fd, const struct http_listener *l,
	const struct net_addr *addr, enum err *ret_why)
{
	struct http_conn *old = conn_of_fd(s, fd);
	if (old)
		conn_remove(old); /* MHD refused it without telling and closed the descriptor */
	*ret_why = ERR_BUSY;
	if (s->n_conns >= s->o.max_connections && !l->local)
		return NULL;
	*ret_why = table_fits(s, fd);
	if (*ret_why)
		return NULL;
	struct http_conn *c = mem_zalloc(1, sizeof *c);
	*ret_why = ERR_NOMEM;
	if (!c)
		return NULL;
	*c = (struct http_conn){ .server = s,
		.fd = fd,
		.generation = ++s->generation,
		.addr = *addr,
		.local = l->local,
		.tls = l->tls,
		.loopback = l->loopback };
	c->proxied = !l->local && net_list_has(&s->proxies, addr);
	if (l->local)
		c->uid = peer_uid(fd);
	if (counted(c)) {
		*ret_why = count_up(s, addr);
		if (*ret_why) {
			mem_free(c);
			return NULL;
		}
	}
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->by_fd[fd] = c;
	s->n_conns++;
	conn_phase_locked(c, l->tls ? CONN_PEEK : CONN_HEAD);
	return c;
}

void conn_remove(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (c->next)
		c->next->prev = c->prev;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	s->by_fd[c->fd] = NULL;
	s->n_conns--;
	if (counted(c))
		count_down(s, &c->addr);
	mem_free(c);
}

struct http_conn *conn_of_fd(struct http_server *s, int fd)
{
	return fd >= 0 && (size_t)fd < s->n_by_fd ? s->by_fd[fd] : NULL;
}

void conn_phase_locked(struct http_conn *c, enum conn_phase p)
{
	const struct http_options *o = &c->server->o;
	int64_t now = time_mono_ms();
	if (p == CONN_HEAD && c->phase == CONN_HEAD && c->deadline_ms)
		return; /* the first request of a connection: its time runs since accept */
	c->phase = p;
	c->body_began_ms = now;
	switch (p) {
	case CONN_PEEK:
	case CONN_HEAD:
		c->deadline_ms = now + o->header_timeout_s * 1000;
		break;
	case CONN_BODY:
		c->deadline_ms = now + o->body_timeout_s * 1000;
		break;
	case CONN_IDLE:
		c->deadline_ms = now + (o->idle_timeout_s + o->header_timeout_s) * 1000;
		break;
	default:
		c->deadline_ms = INT64_MAX;
	}
}

void conn_phase(struct http_conn *c, enum conn_phase p)
{
	pthread_mutex_lock(&c->server->lock);
	conn_phase_locked(c, p);
	pthread_mutex_unlock(&c->server->lock);
}

void conns_free(struct http_server *s)
{
	while (s->conns)
		conn_remove(s->conns);
	mem_free(s->by_fd);
	s->by_fd = NULL;
}
