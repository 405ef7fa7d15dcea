#include "http/http_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"

enum {
	POOL_BYTES =
		2 * LIMIT_HTTP_HEADER, /* MHD's memory per connection: a head and a piece of body */
	LOCAL_PLACES = 1024, /* of the worker queue, beside one for each counted connection */
	STOP_STEP_MS = 10,
};

static void defaults(struct http_options *o)
{
	static const struct {
		size_t at;
		unsigned value;
	} d[] = {
		{ offsetof(struct http_options, threads), 1 },
		{ offsetof(struct http_options, workers), 8 },
		{ offsetof(struct http_options, header_timeout_s), 15 },
		{ offsetof(struct http_options, body_timeout_s), 30 },
		{ offsetof(struct http_options, idle_timeout_s), 75 },
	};
	for (size_t i = 0; i < sizeof d / sizeof d[0]; i++) {
		unsigned *v = (unsigned *)((char *)o + d[i].at);
		if (!*v)
			*v = d[i].value;
	}
	if (o->threads > DAEMONS_MAX)
		o->threads = DAEMONS_MAX;
	if (!o->max_connections)
		o->max_connections = LIMIT_HTTP_CONNECTIONS;
	if (!o->max_per_address)
		o->max_per_address = LIMIT_HTTP_PER_ADDRESS;
}

static bool bound_to_loopback(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	struct net_addr n = { { 0 } };
	if (getsockname(fd, (struct sockaddr *)&a, &len))
		return false;
	if (a.ss_family == AF_INET) {
		memset(n.b + 10, 0xff, 2);
		memcpy(n.b + 12, &((struct sockaddr_in *)&a)->sin_addr, 4);
	} else if (a.ss_family == AF_INET6) {
		memcpy(n.b, &((struct sockaddr_in6 *)&a)->sin6_addr, 16);
	}
	return net_addr_loopback(&n);
}

static enum err add_listener(struct http_server *s, int fd, bool local, bool tls)
{
	int flags = 0;
	socklen_t len = sizeof flags;
	if (s->n_listener == LISTENERS_MAX)
		return ERR_LIMIT;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &flags, &len) || !flags)
		return ERR_INVALID;
	s->listener[s->n_listener++] = (struct http_listener){
		.fd = fd, .local = local, .tls = tls, .loopback = !local && bound_to_loopback(fd)
	};
	return OK;
}

/* Decoding is ours (decode.c): MHD's is lenient. */
static size_t leave_as_is(void *arg, struct MHD_Connection *m, char *s)
{
	(void)arg, (void)m;
	return strlen(s);
}

static struct MHD_Daemon *start_daemon(struct http_server *s, bool tls)
{
	struct MHD_OptionItem tls_options[] = {
		{ MHD_OPTION_HTTPS_PRIORITIES, 0,
			(void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3" },
		{ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, tls_callback() },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
			 MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | (tls ? MHD_USE_TLS : 0);
	return MHD_start_daemon(flags, 0, NULL, NULL, access_handler, s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)(s->o.max_connections * 2 + 64), MHD_OPTION_CONNECTION_TIMEOUT,
		s->o.idle_timeout_s, MHD_OPTION_NOTIFY_COMPLETED, access_completed, s,
		MHD_OPTION_NOTIFY_CONNECTION, access_connection, s, MHD_OPTION_URI_LOG_CALLBACK,
		access_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, leave_as_is, NULL, MHD_OPTION_ARRAY,
		tls ? tls_options : none, MHD_OPTION_END);
}

static enum err start_daemons(struct http_server *s, bool tls, struct err_info *info)
{
	s->n_daemons = s->o.threads;
	for (unsigned i = 0; i < s->n_daemons; i++) {
		s->plain[i] = start_daemon(s, false);
		if (tls)
			s->tls[i] = start_daemon(s, true);
		if (!s->plain[i] || (tls && !s->tls[i]))
			return err_set(info, ERR_IO, "the HTTP server could not start");
	}
	return OK;
}

static void stop_daemons(struct http_server *s)
{
	for (unsigned i = 0; i < s->n_daemons; i++) {
		if (s->plain[i])
			MHD_stop_daemon(s->plain[i]);
		if (s->tls[i])
			MHD_stop_daemon(s->tls[i]);
	}
}

static enum err prepare(struct http_server *s, struct err_info *info)
{
	const struct http_options *o = &s->o;
	bool tls = o->tls_cert.len > 0;
	if (net_list_parse(o->behind_proxy, &s->proxies))
		return err_set(info, ERR_INVALID, "behind_proxy is not a list of networks");
	TRY(str_dup(str_from(o->hosts ? o->hosts : ""), &s->hosts));
	if (tls)
		TRY(tls_store_new(o->tls_cert, o->tls_key, &s->certs, info));
	for (unsigned i = 0; i < o->n_listen; i++)
		if (add_listener(s, o->listen_fds[i], false, tls))
			return err_set(info, ERR_IO, "descriptor %d is no listening socket",
				o->listen_fds[i]);
	if (o->local_fd >= 0 && add_listener(s, o->local_fd, true, false))
		return err_set(info, ERR_IO, "the local socket does not listen");
	/* a connection has one request at a time: who got in never finds the queue full */
	TRY(pool_new("http-work", o->workers, o->max_connections + LOCAL_PLACES, &s->pool));
	TRY(start_daemons(s, tls, info));
	TRY(watch_open(s));
	return thread_start("http-watch", 256 * 1024, watch_main, s, &s->watch);
}

/* Everything but the listening sockets, which are the caller's until OK. */
static void tear_down(struct http_server *s)
{
	stop_daemons(s);
	pool_free(s->pool);
	conns_free(s);
	tls_store_free(s->certs);
	if (s->epoll_fd >= 0)
		(void)close(s->epoll_fd);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	mem_free(s->hosts);
	pthread_mutex_destroy(&s->lock);
	mem_free(s);
}

enum err http_start(const struct http_options *o, http_handler dispatch, void *app,
	struct http_server **ret, struct err_info *info)
{
	struct http_server *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->o = *o;
	defaults(&s->o);
	s->dispatch = dispatch;
	s->app = app;
	s->epoll_fd = s->wake_fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	enum err e = prepare(s, info);
	if (e) {
		tear_down(s);
		return e;
	}
	*ret = s;
	return OK;
}

enum err http_tls_set(
	struct http_server *s, struct str cert_pem, struct str key_pem, struct err_info *info)
{
	if (!s->certs)
		return err_set(info, ERR_INVALID, "this server has no TLS listener");
	return tls_store_set(s->certs, cert_pem, key_pem, info);
}

void http_stats(struct http_server *s, struct http_stats *ret)
{
	pthread_mutex_lock(&s->lock);
	unsigned n = (unsigned)s->n_conns;
	pthread_mutex_unlock(&s->lock);
	*ret = (struct http_stats){ .requests = s->requests,
		.bytes_out = s->bytes_out,
		.connections = n,
		.streams = s->streams };
}

/* Tells everybody who waits that their client is gone, and cuts the connections. */
static void abort_all(struct http_server *s)
{
	for (;;) {
		struct http_req *q = NULL;
		pthread_mutex_lock(&s->lock);
		for (struct http_conn *c = s->conns; c; c = c->next) {
			if (c->req && !c->aborted) {
				c->aborted = true;
				q = c->req;
				http_hold(q);
				conn_cut(c);
				break;
			}
		}
		pthread_mutex_unlock(&s->lock);
		if (!q)
			return;
		req_abort(q);
		http_release(q);
	}
}

struct http_server *http_stop(struct http_server *s, int grace_ms)
{
	if (!s)
		return NULL;
	int64_t until = time_mono_ms() + grace_ms;
	s->stopping = true;
	while (s->busy > s->streams && time_mono_ms() < until) {
		struct timespec step = { .tv_nsec = STOP_STEP_MS * 1000000L };
		nanosleep(&step, NULL);
	}
	s->aborting = true;
	watch_wake(s);
	pthread_join(s->watch, NULL);
	watch_close_listeners(s);
	abort_all(s);
	s->pool = pool_free(s->pool); /* handlers end: nothing they wait for stays */
	abort_all(s);
	tear_down(s);
	return NULL;
}
