#include "http/http_test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/crypto.h"
#include "base/limits.h"
#include "base/time.h"
#include "http/route.h"
#include "os/threads.h"

struct seen seen;

/* ---- handlers ---- */

static void h_hello(struct http_req *q, void *app)
{
	(void)app;
	http_reply(q, 200, "text/plain", STR("hi"));
}
static void h_echo(struct http_req *q, void *app)
{
	(void)app;
	seen.handlers++;
	http_set_header(q, "X-Client", http_client_address(q));
	http_set_header(q, "X-Tls", http_is_tls(q) ? STR("yes") : STR("no"));
	http_reply(q, 200, "application/octet-stream", http_body(q));
}
static void h_item(struct http_req *q, void *app)
{
	(void)app;
	http_reply(q, 200, "text/plain", http_param(q, "id"));
}
static void h_query(struct http_req *q, void *app)
{
	(void)app;
	http_reply(q, 200, "text/plain", http_query(q, "x"));
}
static void closed(void *arg)
{
	seen.closed_ms = time_mono_ms();
	seen.on_close++;
	http_release(arg);
}
static void *stream_thread(void *arg)
{
	struct http_req *q = arg;
	char line[64];
	for (int i = 0; i < 1000; i++) {
		int n = snprintf(line, sizeof line, "event %d\n", i);
		if (http_write(q, (struct str){ line, (size_t)n }))
			break;
		if (i % 50 == 0) {
			struct timespec t = { .tv_nsec = 1000000 };
			nanosleep(&t, NULL); /* lets the connection fall asleep in between */
		}
	}
	http_finish(q);
	http_release(q);
	return NULL;
}
static void spawn(void *(*fn)(void *), struct http_req *q)
{
	pthread_t t;
	http_hold(q);
	CHECK_OK(thread_start("test", 128 * 1024, fn, q, &t));
	pthread_detach(t);
}
static void h_stream(struct http_req *q, void *app)
{
	(void)app;
	http_hold(q); /* closed() releases */
	http_stream(q, 200, "text/plain", closed, q);
	spawn(stream_thread, q);
}
/* Writes for ever, until told that nobody reads. */
static void *flood_thread(void *arg)
{
	struct http_req *q = arg;
	static char block[64 * 1024];
	enum err e;
	struct timespec t = { .tv_nsec =
				      2000000 }; /* about 32 MiB/s: a reader that reads keeps up */
	while (!(e = http_write(q, (struct str){ block, sizeof block }))) {
		seen.wrote++;
		nanosleep(&t, NULL);
	}
	seen.last_write_error = (int)e;
	seen.write_errors++;
	http_finish(q);
	http_release(q);
	return NULL;
}
static void h_flood(struct http_req *q, void *app)
{
	(void)app;
	http_hold(q);
	http_stream(q, 200, "text/plain", closed, q);
	spawn(flood_thread, q);
}
/* More than may lie unsent, at the reader's pace, from the worker. */
static void h_patient(struct http_req *q, void *app)
{
	static char block[64 * 1024];
	enum err e = OK;
	(void)app;
	http_hold(q); /* closed() gives one back */
	http_hold(q);
	http_stream(q, 200, "application/octet-stream", closed, q);
	for (int i = 0; i < 600 && !e; i++)
		e = http_write_wait(q, (struct str){ block, sizeof block });
	if (e) {
		seen.last_write_error = (int)e;
		seen.write_errors++;
	}
	http_finish(q);
	http_release(q);
}
/* A stream nobody writes to: ends when the client goes. */
static void h_quiet(struct http_req *q, void *app)
{
	(void)app;
	http_hold(q);
	http_stream(q, 200, "text/event-stream", closed, q);
	(void)http_write(q, STR(": hello\n\n"));
}
static void gone(void *arg)
{
	(void)arg;
	seen.closed_ms = time_mono_ms();
	seen.on_gone++;
}
static void *later_thread(void *arg)
{
	struct http_req *q = arg;
	struct timespec t = { .tv_nsec = 50 * 1000000 };
	nanosleep(&t, NULL);
	while (seen.pause)
		nanosleep(&t, NULL);
	http_reply(q, 200, "text/plain", STR("later"));
	http_release(q);
	return NULL;
}
static void h_later(struct http_req *q, void *app)
{
	(void)app;
	http_hold(q);
	http_later(q, gone, NULL);
	spawn(later_thread, q);
	http_release(q);
}
static void h_upload(struct http_req *q, void *app)
{
	struct sha256 h;
	struct str piece = STR("x");
	char text[64];
	(void)app;
	if (str_eq(http_query(q, "x"), STR("refuse"))) {
		http_reply(q, 403, "text/plain", STR("refused"));
		return;
	}
	sha256_init(&h);
	while (piece.len) {
		if (http_body_next(q, &piece))
			return;
		sha256_add(&h, piece.ptr, piece.len);
		seen.upload_bytes += piece.len;
		while (seen.pause) {
			struct timespec t = { .tv_nsec = 1000000 };
			nanosleep(&t, NULL);
		}
		if (str_eq(http_query(q, "x"), STR("early"))) {
			http_reply(q, 409, "text/plain", STR("enough"));
			return;
		}
	}
	sha256_end(&h, seen.upload_sha);
	snprintf(text, sizeof text, "%llu", (unsigned long long)seen.upload_bytes);
	http_reply(q, 200, "text/plain", str_from(text));
}
static void h_forget(struct http_req *q, void *app)
{
	(void)q, (void)app;
}
static void h_page(struct http_req *q, void *app)
{
	(void)app;
	http_reply(q, 200, "text/html", STR("<page>"));
}
static void h_local(struct http_req *q, void *app)
{
	unsigned uid = 12345;
	char text[32];
	(void)app;
	bool local = http_is_local(q, &uid);
	snprintf(text, sizeof text, "%d %u", local, uid);
	http_reply(q, 200, "text/plain", str_from(text));
}

#define R(m, p, h, max)                                                                            \
	{                                                                                          \
		.method = m, .path = p, .handler = h, .dialect = DIALECT_TEAM, .body_max = max     \
	}
const struct route route_table[] = {
	R("GET", "/hello", h_hello, 100),
	R("POST", "/echo", h_echo, 1024),
	R("GET", "/item/{id}", h_item, 0),
	R("PUT", "/item/default", h_hello, 0),
	R("GET", "/query", h_query, 0),
	R("GET", "/stream", h_stream, 0),
	R("GET", "/flood", h_flood, 0),
	R("GET", "/quiet", h_quiet, 0),
	R("GET", "/patient", h_patient, 0),
	R("GET", "/later", h_later, 0),
	R("POST", "/upload", h_upload, -1),
	R("GET", "/forget", h_forget, 0),
	R("GET", "/local", h_local, 0),
	R("DELETE", "/item/{id}", h_item, 0),
	{ .method = "GET",
		.path = "/",
		.handler = h_page,
		.dialect = DIALECT_PAGE,
		.body_max = 10 },
};
const size_t route_count = sizeof route_table / sizeof route_table[0];

static void dispatch(struct http_req *q, void *app)
{
	http_route(q)->handler(q, app);
}

static void on_error(enum dialect d, const struct err_info *e, struct str id, struct buf *out,
	const char **ret_media_type)
{
	*ret_media_type = "application/json";
	CHECK_OK(
		buf_addf(out, "{\"dialect\":%d,\"slug\":\"%s\",\"detail\":", d, err_slug(e->code)));
	CHECK_OK(json_add_str(out, str_from(e->detail)));
	CHECK_OK(buf_addf(out, ",\"id\":\"%.*s\"}", STR_ARG(id)));
}

/* ---- server ---- */

void fixture_start(struct fixture *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	socklen_t len = sizeof a;
	struct err_info info = { .code = OK };
	int on = 1;
	f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(f->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	CHECK(bind(f->listen_fd, (struct sockaddr *)&a, sizeof a) == 0);
	CHECK(listen(f->listen_fd, 128) == 0);
	CHECK(getsockname(f->listen_fd, (struct sockaddr *)&a, &len) == 0);
	f->port = ntohs(a.sin_port);
	snprintf(f->local, sizeof f->local, "%s/s", test_dir());
	CHECK(snprintf(u.sun_path, sizeof u.sun_path, "%s", f->local) < (int)sizeof u.sun_path);
	f->o.local_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlink(f->local);
	CHECK(bind(f->o.local_fd, (struct sockaddr *)&u, sizeof u) == 0);
	CHECK(listen(f->o.local_fd, 16) == 0);
	f->o.listen_fds = &f->listen_fd;
	f->o.n_listen = 1;
	f->o.on_error = on_error;
	enum err e = http_start(&f->o, dispatch, NULL, &f->server, &info);
	if (e)
		FAIL("http_start: %s %s", err_slug(e), info.detail);
}

void fixture_stop(struct fixture *f)
{
	f->server = http_stop(f->server, 1000);
}

int fixture_connect(const struct fixture *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)f->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
	return fd;
}

int local_connect(const struct fixture *f)
{
	struct sockaddr_un u = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(snprintf(u.sun_path, sizeof u.sun_path, "%s", f->local) < (int)sizeof u.sun_path);
	CHECK(connect(fd, (struct sockaddr *)&u, sizeof u) == 0);
	return fd;
}

int ask(const struct fixture *f, const char *request, struct buf *body)
{
	AUTO_BUF struct buf head = BUF(65536);
	AUTO_BUF struct buf own = BUF(1 << 20);
	AUTO_FD int fd = fixture_connect(f);
	send_z(fd, request);
	return recv_answer(fd, &head, body ? body : &own);
}
