/* bench/http - what the listener can do: small requests a second and stream events a second.
 *
 *   http_bench [RUNS] [SECONDS] [CONNECTIONS] [STREAMS]     default 5 2 32 1000
 *
 * Server and load generator share the machine and this process. Small requests: keep-alive, each
 * through a worker, an answer of 2 bytes with all security headers. Events: one writer gives a line
 * of 100 bytes to each stream in turn, and the next round when all have arrived. Prints median and
 * spread, and the processor time of both sides together, which a busy machine does not change. */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "http/route.h"
#include "os/threads.h"

enum { RUNS_MAX = 51, STREAMS_MAX = 4000, EVENT_BYTES = 100 };

static struct http_req *streams[STREAMS_MAX];
static atomic_uint n_streams;
static atomic_bool stop;

static void h_small(struct http_req *q, void *app)
{
	(void)app;
	http_reply(q, 200, "text/plain", STR("ok"));
}

static void closed(void *arg) { http_release(arg); }

static void h_stream(struct http_req *q, void *app)
{
	(void)app;
	http_hold(q);
	http_stream(q, 200, "text/event-stream", closed, q);
	http_hold(q); /* the writer's */
	streams[atomic_fetch_add(&n_streams, 1)] = q;
}

const struct route route_table[] = {
	{ .method = "GET", .path = "/small", .handler = h_small },
	{ .method = "GET", .path = "/stream", .handler = h_stream },
};
const size_t route_count = 2;

static void dispatch(struct http_req *q, void *app) { http_route(q)->handler(q, app); }

static struct http_server *serve(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	struct http_server *s = NULL;
	struct err_info info = { .code = OK };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096) ||
		getsockname(fd, (struct sockaddr *)&a, &len))
		DIE("no port");
	struct http_options o = {
		.listen_fds = &fd, .n_listen = 1, .local_fd = -1, .max_per_address = 100000
	};
	if (http_start(&o, dispatch, NULL, &s, &info))
		DIE(info.detail);
	*ret_port = ntohs(a.sin_port);
	return s;
}

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a))
		DIE("cannot connect");
	return fd;
}

static void ask(int fd, const char *path)
{
	char request[128];
	int n = snprintf(
		request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		DIE("cannot send");
}

static int watch(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
	return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

/* Requests a second. The answer is small: it arrives in one piece, so one read is one answer. */
static double small_requests(int port, unsigned n, double seconds)
{
	struct epoll_event ev[256];
	char answer[4096];
	uint64_t done = 0;
	int ep = epoll_create1(EPOLL_CLOEXEC), fds[STREAMS_MAX];
	for (unsigned i = 0; i < n; i++) {
		fds[i] = dial(port);
		if (watch(ep, fds[i]))
			DIE("epoll");
		ask(fds[i], "/small");
	}
	int64_t begin = time_mono_ns(), end = begin + (int64_t)(seconds * 1e9);
	while (time_mono_ns() < end) {
		int k = epoll_wait(ep, ev, 256, 100);
		for (int i = 0; i < k; i++) {
			ssize_t got = recv(ev[i].data.fd, answer, sizeof answer, 0);
			if (got < 2 || answer[got - 1] != 'k')
				DIE("not the answer");
			done++;
			ask(ev[i].data.fd, "/small");
		}
	}
	double took = (double)(time_mono_ns() - begin) / 1e9;
	for (unsigned i = 0; i < n; i++)
		(void)close(fds[i]);
	(void)close(ep);
	return (double)done / took;
}

static _Atomic uint64_t received;

static void *write_events(void *unused)
{
	char event[EVENT_BYTES];
	uint64_t sent = 0;
	memset(event, 'x', sizeof event);
	memcpy(event, "data: ", 6);
	memcpy(event + sizeof event - 2, "\n\n", 2);
	(void)unused;
	while (!stop) {
		for (unsigned i = 0; i < n_streams; i++, sent++) {
			enum err e = http_write(streams[i], (struct str){ event, sizeof event });
			if (e)
				DIE(err_text(e));
		}
		while (received < sent && !stop)
			(void)usleep(50);
	}
	return NULL;
}

/* An event is its 100 bytes; 'x' stands only in events. */
static uint64_t count_bytes(const char *p, ssize_t n)
{
	uint64_t x = 0;
	for (ssize_t i = 0; i < n; i++)
		x += p[i] == 'x';
	return x;
}

static double stream_events(int port, unsigned n, double seconds)
{
	static char block[1 << 16];
	struct epoll_event ev[256];
	uint64_t x = 0;
	pthread_t writer;
	int ep = epoll_create1(EPOLL_CLOEXEC), fds[STREAMS_MAX];
	for (unsigned i = 0; i < n; i++) {
		fds[i] = dial(port);
		if (watch(ep, fds[i]))
			DIE("epoll");
		ask(fds[i], "/stream");
	}
	while (n_streams < n)
		(void)usleep(1000);
	received = 0;
	if (thread_start("writer", 128 * 1024, write_events, NULL, &writer))
		DIE("no thread");
	int64_t begin = time_mono_ns(), end = begin + (int64_t)(seconds * 1e9);
	while (time_mono_ns() < end) {
		int k = epoll_wait(ep, ev, 256, 100);
		for (int i = 0; i < k; i++)
			x += count_bytes(block, recv(ev[i].data.fd, block, sizeof block, 0));
		received = x / (EVENT_BYTES - 8);
	}
	double took = (double)(time_mono_ns() - begin) / 1e9;
	stop = true;
	pthread_join(writer, NULL);
	for (unsigned i = 0; i < n; i++) {
		http_finish(streams[i]);
		http_release(streams[i]);
		(void)close(fds[i]);
	}
	(void)close(ep);
	n_streams = 0;
	stop = false;
	return (double)received / took;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double cpu_s(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report(const char *what, double *v, unsigned n, double seconds, double cpu)
{
	struct rusage u;
	double all = 0;
	for (unsigned i = 0; i < n; i++)
		all += v[i] * seconds;
	qsort(v, n, sizeof *v, by_value);
	getrusage(RUSAGE_SELF, &u);
	printf("%-16s median %8.0f/s (%.0f .. %.0f, %u runs), %.1f us of processor each, "
	       "peak memory %.1f MB\n",
		what, v[n / 2], v[0], v[n - 1], n, cpu * 1e6 / all, (double)u.ru_maxrss / 1024);
}

static unsigned number(char **argv, int argc, int at, unsigned fallback, unsigned max)
{
	uint64_t v = fallback;
	if (argc > at && (str_to_u64(str_from(argv[at]), &v) || !v || v > max))
		DIE("a number is out of range");
	return (unsigned)v;
}

int main(int argc, char **argv)
{
	struct rlimit files = { .rlim_cur = 16384, .rlim_max = 16384 };
	double v[RUNS_MAX];
	unsigned runs = number(argv, argc, 1, 5, RUNS_MAX), seconds = number(argv, argc, 2, 2, 60);
	unsigned conns = number(argv, argc, 3, 32, 1000),
		 n = number(argv, argc, 4, 1000, STREAMS_MAX);
	int port;
	(void)setrlimit(RLIMIT_NOFILE, &files);
	struct http_server *s = serve(&port);
	(void)small_requests(port, conns, 0.5); /* warm-up */
	double cpu = cpu_s();
	for (unsigned i = 0; i < runs; i++)
		v[i] = small_requests(port, conns, seconds);
	printf("%u connections, %u streams\n", conns, n);
	report("small requests", v, runs, seconds, cpu_s() - cpu);
	cpu = cpu_s();
	for (unsigned i = 0; i < runs; i++)
		v[i] = stream_events(port, n, seconds);
	report("events", v, runs, seconds, cpu_s() - cpu);
	http_stop(s, 1000);
	return 0;
}
