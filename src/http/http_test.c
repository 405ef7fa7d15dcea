#include "http/http.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/crypto.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/time.h"
#include "http/http_test.h"
#include "http/route.h"

#define H "Host: localhost\r\n"

static void nap(int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	nanosleep(&t, NULL);
}

static bool eventually(_Atomic int *what, int at_least)
{
	for (int i = 0; i < 300 && *what < at_least; i++)
		nap(10);
	return *what >= at_least;
}

TEST(two_requests_in_one_packet_get_two_answers)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	send_z(fd, "GET /hello HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H
		   "Content-Length: 5\r\n\r\nabcde");
	AUTO_BUF struct buf h1 = BUF(9999), b1 = BUF(99), h2 = BUF(9999), b2 = BUF(99);
	CHECK_EQ_INT(recv_answer(fd, &h1, &b1), 200);
	CHECK_EQ_INT(recv_answer(fd, &h2, &b2), 200);
	CHECK_EQ_STR(buf_str(&b1), STR("hi"));
	CHECK_EQ_STR(buf_str(&b2), STR("abcde"));
	fixture_stop(&f);
}

TEST(every_answer_has_the_security_headers_and_an_id)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	static const char *const paths[] = { "/hello", "/nothing/here", "/item/%00" };
	for (int i = 0; i < 3; i++) {
		char request[200];
		AUTO_FD int fd = fixture_connect(&f);
		AUTO_BUF struct buf head = BUF(9999), body = BUF(9999);
		snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" H "\r\n", paths[i]);
		send_z(fd, request);
		CHECK(recv_answer(fd, &head, &body) >= 200);
		CHECK_EQ_STR(head_value(&head, "X-Content-Type-Options"), STR("nosniff"));
		CHECK_EQ_STR(head_value(&head, "Referrer-Policy"), STR("no-referrer"));
		CHECK_EQ_STR(head_value(&head, "X-Frame-Options"), STR("DENY"));
		CHECK_EQ_STR(head_value(&head, "Cross-Origin-Opener-Policy"), STR("same-origin"));
		CHECK_EQ_STR(head_value(&head, "Cross-Origin-Resource-Policy"), STR("same-origin"));
		CHECK_EQ_STR(head_value(&head, "Cache-Control"), STR("no-store"));
		CHECK(str_find(head_value(&head, "Content-Security-Policy"),
			      STR("frame-ancestors 'none'"), 0) != SIZE_MAX);
		CHECK_EQ_INT(head_value(&head, "X-Request-Id").len, ID_LEN);
		CHECK(!head_value(&head, "Strict-Transport-Security").ptr); /* no TLS here */
	}
	fixture_stop(&f);
}

TEST(routes_methods_and_parameters)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	static const struct {
		const char *request;
		int status;
		const char *body;
	} t[] = {
		{ "GET /item/a%2Fb%3Ac HTTP/1.1\r\n" H "\r\n", 200, "a/b:c" },
		{ "GET /item/%C3%BC HTTP/1.1\r\n" H "\r\n", 200, "\xc3\xbc" },
		{ "GET /item/default HTTP/1.1\r\n" H "\r\n", 200, "default" },
		{ "PUT /item/default HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200, "hi" },
		{ "DELETE /item/x HTTP/1.1\r\n" H "\r\n", 200, "x" },
		{ "PATCH /item/x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 405, NULL },
		{ "GET /item/ HTTP/1.1\r\n" H "\r\n", 200, "<page>" },
		{ "GET /query?x=a%26b+c&y HTTP/1.1\r\n" H "\r\n", 200, "a&b c" },
		{ "GET /query?x=1&x=2 HTTP/1.1\r\n" H "\r\n", 400, NULL },
		{ "GET /query?x=%zz HTTP/1.1\r\n" H "\r\n", 400, NULL },
		{ "GET /some/view HTTP/1.1\r\n" H "\r\n", 200, "<page>" },
		{ "GET /api/nothing HTTP/1.1\r\n" H "\r\n", 404, NULL },
		{ "GET /team/v1/nothing HTTP/1.1\r\n" H "\r\n", 404, NULL },
		{ "POST /some/view HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 405, NULL },
		{ "GET /item/../hello HTTP/1.1\r\n" H "\r\n", 400, NULL },
		{ "GET /item/%2e%2e HTTP/1.1\r\n" H "\r\n", 400, NULL },
		{ "GET /item/%ff HTTP/1.1\r\n" H "\r\n", 400, NULL },
		{ "GET http://localhost/hello HTTP/1.1\r\n" H "\r\n", 400, NULL },
		{ "GET /forget HTTP/1.1\r\n" H "\r\n", 500, NULL },
		{ "GET /hello HTTP/1.0\r\n" H "\r\n", 200, "hi" },
	};
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		AUTO_BUF struct buf body = BUF(9999);
		int got = ask(&f, t[i].request, &body);
		if (got != t[i].status)
			FAIL("%s: %d, wanted %d", t[i].request, got, t[i].status);
		if (t[i].body)
			CHECK_EQ_STR(buf_str(&body), str_from(t[i].body));
		else
			CHECK(str_starts(buf_str(&body), STR("{\"dialect\":")));
	}
	AUTO_FD int fd = fixture_connect(&f);
	AUTO_BUF struct buf head = BUF(9999), body = BUF(9999);
	send_z(fd, "PATCH /item/x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n");
	CHECK_EQ_INT(recv_answer(fd, &head, &body), 405);
	CHECK_EQ_STR(head_value(&head, "Allow"), STR("DELETE, GET"));
	fixture_stop(&f);
}

TEST(head_has_the_headers_of_get_and_no_body)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	AUTO_BUF struct buf all = BUF(9999);
	send_z(fd, "HEAD /hello HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	struct str got = recv_all(fd, 2000, &all);
	CHECK(str_starts(got, STR("HTTP/1.1 200 ")));
	CHECK_EQ_STR(head_value(&all, "Content-Length"), STR("2"));
	CHECK(str_ends(got, STR("\r\n\r\n")));
	fixture_stop(&f);
}

TEST(two_readings_of_one_request_are_refused)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	static const char *const bad[] = {
		"POST /echo HTTP/1.1\r\n" H
		"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H "Content-Length : 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H
		"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
		"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" H
		"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" H "Cookie: a=1\r\nCookie: b=2\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" H "X-Api-Key: a\r\nx-api-key: a\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" H "X-Forwarded-For: a\r\nX-Forwarded-For: b\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: \r\n\r\n",
		"GET /hello HTTP/1.1\r\n\r\n",
		"GET /hello HTTP/1.1\r\nHost: local host\r\n\r\n",
		"GET /he llo HTTP/1.1\r\n" H "\r\n",
		"GET /hello#x HTTP/1.1\r\n" H "\r\n",
		"GET /hel\x01lo HTTP/1.1\r\n" H "\r\n",
		"GET /hello HTTP/1.1\r\n" H "X(y): z\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" H "X-A: a\x01"
		"b\r\n\r\n",
		"GET /hello HTTP/1.1\r\nnonsense\r\n\r\n",
		"nonsense\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		AUTO_BUF struct buf all = BUF(1 << 20);
		AUTO_FD int fd = fixture_connect(&f);
		/* a second request behind it must not be answered as if it were one */
		send_z(fd, bad[i]);
		send_z(fd, "GET /hello HTTP/1.1\r\n" H "\r\n");
		struct str got = recv_all(fd, 2000, &all);
		if (str_find(got, STR("HTTP/1.1 200"), 0) != SIZE_MAX)
			FAIL("answered with 200: %s", bad[i]);
		if (got.len && !str_starts(got, STR("HTTP/1.1 4")) &&
			!str_starts(got, STR("HTTP/1.1 5")))
			FAIL("odd answer to %s", bad[i]);
		if (!closed_within(fd, 500))
			FAIL("left open: %s", bad[i]);
	}
	CHECK_EQ_INT(ask(&f, "GET /hello HTTP/1.1\r\n" H "\r\n", NULL), 200);
	fixture_stop(&f);
}

TEST(limits_of_head_and_body)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_BUF struct buf big = BUF(1 << 20), body = BUF(1 << 20);
	CHECK_OK(buf_addf(&big, "GET /hello HTTP/1.1\r\n" H "X-Big: "));
	for (int i = 0; i < 33 * 1024; i++)
		CHECK_OK(buf_add_byte(&big, 'x'));
	CHECK_OK(buf_addf(&big, "\r\n\r\n"));
	const char *z;
	CHECK_OK(buf_cstr(&big, &z));
	CHECK_EQ_INT(ask(&f, z, &body), 431);
	CHECK(str_find(buf_str(&body), STR("headers_too_large"), 0) != SIZE_MAX);

	buf_clear(&big);
	CHECK_OK(buf_addf(&big, "GET /hello HTTP/1.1\r\n" H));
	for (int i = 0; i < 120; i++)
		CHECK_OK(buf_addf(&big, "X-%d: y\r\n", i));
	CHECK_OK(buf_addf(&big, "\r\n"));
	CHECK_OK(buf_cstr(&big, &z));
	CHECK_EQ_INT(ask(&f, z, NULL), 431);

	buf_clear(&big);
	buf_clear(&body);
	CHECK_OK(buf_addf(&big, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1025\r\n\r\n"));
	CHECK_OK(buf_add_zeros(&big, 1025));
	AUTO_FD int fd = fixture_connect(&f);
	AUTO_BUF struct buf head = BUF(9999);
	send_all(fd, buf_str(&big));
	CHECK_EQ_INT(recv_answer(fd, &head, &body), 413);
	CHECK(str_find(buf_str(&body), STR("too_large"), 0) != SIZE_MAX);

	AUTO_FD int fd2 = fixture_connect(&f);
	buf_clear(&head);
	buf_clear(&body);
	send_z(fd2, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 20; i++)
		send_z(fd2,
			"40\r\n01234567890123456789012345678901"
			"23456789012345678901234567890123\r\n");
	send_z(fd2, "0\r\n\r\n");
	CHECK_EQ_INT(recv_answer(fd2, &head, &body), 413);

	/* told in advance: a client that asks first is refused before it sends */
	AUTO_FD int fd3 = fixture_connect(&f);
	buf_clear(&head);
	buf_clear(&body);
	send_z(fd3, "POST /echo HTTP/1.1\r\n" H
		    "Content-Length: 9999999999\r\nExpect: 100-continue\r\n\r\n");
	CHECK_EQ_INT(recv_answer(fd3, &head, &body), 413);
	CHECK(closed_within(fd3, 1000));
	fixture_stop(&f);
}

TEST(a_whole_megabyte_at_the_limit_arrives)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_BUF struct buf big = BUF(1 << 20), head = BUF(9999), body = BUF(1 << 20);
	CHECK_OK(buf_addf(&big, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1024\r\n\r\n"));
	CHECK_OK(buf_add_zeros(&big, 1024));
	AUTO_FD int fd = fixture_connect(&f);
	for (size_t i = 0; i < big.len; i += 100) { /* in many packets */
		send_all(fd, str_sub(buf_str(&big), i, 100));
		nap(1);
	}
	CHECK_EQ_INT(recv_answer(fd, &head, &body), 200);
	CHECK_EQ_INT(body.len, 1024);
	fixture_stop(&f);
}

TEST(slow_senders_are_told_and_closed_and_hurt_nobody)
{
	struct fixture f = { .o = { .header_timeout_s = 1, .body_timeout_s = 1 } };
	fixture_start(&f);
	AUTO_FD int head_fd = fixture_connect(&f);
	AUTO_FD int body_fd = fixture_connect(&f);
	AUTO_FD int quiet_fd = fixture_connect(&f);
	AUTO_FD int second_fd = fixture_connect(&f);
	AUTO_BUF struct buf h = BUF(9999), b = BUF(9999), all = BUF(9999), all2 = BUF(9999);
	send_z(second_fd, "GET /hello HTTP/1.1\r\n" H "\r\nGET /hello HTTP/1.1\r\nX-Slow: ");
	CHECK_EQ_INT(recv_answer(second_fd, &h, &b), 200);
	send_z(body_fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 20\r\n\r\n");
	int64_t begin = time_mono_ms();
	send_z(head_fd, "GET /hello HTTP/1.1\r\nX-Slow: ");
	/* a byte now and then must not buy more time */
	for (int i = 0; i < 30 && time_mono_ms() - begin < 3000; i++) {
		(void)!send(head_fd, "x", 1, MSG_NOSIGNAL);
		(void)!send(body_fd, "x", 1, MSG_NOSIGNAL);
		(void)!send(second_fd, "x", 1, MSG_NOSIGNAL);
		CHECK_EQ_INT(ask(&f, "GET /hello HTTP/1.1\r\n" H "\r\n", NULL), 200);
		nap(100);
	}
	CHECK(str_starts(recv_all(head_fd, 100, &all), STR("HTTP/1.1 408")));
	CHECK(str_starts(recv_all(body_fd, 100, &all2), STR("HTTP/1.1 408")));
	CHECK(str_find(buf_str(&all2), STR("\"slug\":\"timeout\""), 0) != SIZE_MAX);
	CHECK(closed_within(head_fd, 100));
	CHECK(closed_within(body_fd, 100));
	CHECK(closed_within(quiet_fd, 1000));
	CHECK(closed_within(second_fd, 1000));
	fixture_stop(&f);
}

TEST(a_page_elsewhere_cannot_use_its_own_name_for_us)
{
	struct fixture f = { .o = { .hosts = "ki.firma.de, box" } };
	fixture_start(&f);
	static const struct {
		const char *host;
		int status;
	} t[] = {
		{ "localhost", 200 },
		{ "localhost:7070", 200 },
		{ "127.0.0.1:1", 200 },
		{ "[::1]:7070", 200 },
		{ "a.localhost", 200 },
		{ "LOCALHOST", 200 },
		{ "ki.firma.de:443", 200 },
		{ "box", 200 },
		{ "evil.example", 403 },
		{ "localhost.evil.example", 403 },
		{ "xlocalhost", 403 },
		{ "127.0.0.1.evil.example", 403 },
		{ "192.168.0.1", 403 },
		{ ".localhost", 403 },
	};
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		char request[300];
		snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n",
			t[i].host);
		int got = ask(&f, request, NULL);
		if (got != t[i].status)
			FAIL("Host %s: %d", t[i].host, got);
	}
	fixture_stop(&f);
}

TEST(a_stream_arrives_whole_and_closes_once)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_BUF struct buf want = BUF(1 << 20), head = BUF(9999), body = BUF(1 << 20);
	for (int i = 0; i < 1000; i++)
		CHECK_OK(buf_addf(&want, "event %d\n", i));
	AUTO_FD int fd = fixture_connect(&f);
	for (int round = 0; round < 3; round++) { /* the connection is reused */
		buf_clear(&head);
		buf_clear(&body);
		send_z(fd, "GET /stream HTTP/1.1\r\n" H "\r\n");
		CHECK_EQ_INT(recv_answer(fd, &head, &body), 200);
		CHECK(str_eq(buf_str(&body), buf_str(&want)));
	}
	CHECK(eventually(&seen.on_close, 3));
	nap(50);
	CHECK_EQ_INT(seen.on_close, 3);
	fixture_stop(&f);
}

TEST(a_client_that_leaves_is_noticed_at_once)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	for (int i = 1; i <= 20; i++) {
		int fd = fixture_connect(&f);
		char block[4096];
		send_z(fd, "GET /quiet HTTP/1.1\r\n" H "\r\n");
		CHECK(recv(fd, block, sizeof block, 0) > 0);
		int64_t left = time_mono_ms();
		close(fd);
		CHECK(eventually(&seen.on_close, i));
		CHECK(seen.closed_ms - left < 1000);
	}
	struct http_stats st;
	http_stats(f.server, &st);
	for (int i = 0; i < 100 && (st.connections || st.streams); i++) {
		nap(10);
		http_stats(f.server, &st);
	}
	CHECK_EQ_INT(st.connections, 0);
	CHECK_EQ_INT(st.streams, 0);
	fixture_stop(&f);
	CHECK_EQ_INT(seen.on_close, 20);
}

TEST(an_answer_may_come_later_or_not_at_all)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_BUF struct buf body = BUF(99);
	CHECK_EQ_INT(ask(&f, "GET /later HTTP/1.1\r\n" H "\r\n", &body), 200);
	CHECK_EQ_STR(buf_str(&body), STR("later"));
	CHECK_EQ_INT(seen.on_gone, 0);
	seen.pause = true;
	int fd = fixture_connect(&f);
	send_z(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
	nap(100);
	int64_t left = time_mono_ms();
	close(fd);
	CHECK(eventually(&seen.on_gone, 1));
	CHECK(seen.closed_ms - left < 1000);
	/* a client that sent everything and left before it was looked at */
	for (int i = 0; i < 20; i++) {
		fd = fixture_connect(&f);
		send_z(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
		close(fd);
	}
	CHECK(eventually(&seen.on_gone, 15)); /* some are closed before they are read */
	seen.pause = false;
	nap(300);
	CHECK(seen.on_gone <= 21);
	fixture_stop(&f);
}

TEST(a_reader_that_takes_nothing_is_cut)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	int small = 4096;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	send_z(fd, "GET /flood HTTP/1.1\r\n" H "\r\n");
	CHECK(eventually(&seen.write_errors, 1));
	CHECK_EQ_INT(seen.last_write_error, ERR_LIMIT);
	CHECK(eventually(&seen.on_close, 1));
	nap(50);
	CHECK_EQ_INT(seen.on_close, 1);
	fixture_stop(&f);
}

TEST(a_stream_that_waits_for_its_reader_comes_whole_and_keeps_little)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	static char piece[65536];
	uint64_t got = 0;
	send_z(fd, "GET /patient HTTP/1.1\r\nConnection: close\r\n" H "\r\n");
	nap(300); /* 32 MiB are more than may lie unsent: without the wait the stream is cut */
	CHECK_EQ_INT(seen.write_errors, 0);
	for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;)
		got += (uint64_t)n;
	CHECK(got > UINT64_C(32) << 20);
	CHECK(eventually(&seen.on_close, 1));
	fixture_stop(&f);
}

TEST(a_waiting_writer_learns_that_its_reader_went)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	int fd = fixture_connect(&f);
	int small = 4096;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	send_z(fd, "GET /patient HTTP/1.1\r\n" H "\r\n");
	nap(200);
	close(fd);
	CHECK(eventually(&seen.write_errors, 1));
	CHECK_EQ_INT(seen.last_write_error, ERR_CLOSED);
	CHECK(eventually(&seen.on_close, 1));
	fixture_stop(&f);
}

TEST(a_fast_reader_of_a_flood_gets_megabytes_until_it_leaves)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	int fd = fixture_connect(&f);
	static char block[1 << 18];
	size_t total = 0;
	send_z(fd, "GET /flood HTTP/1.1\r\n" H "\r\n");
	while (total < 3 << 20) {
		ssize_t n = recv(fd, block, sizeof block, 0);
		if (n <= 0)
			break;
		total += (size_t)n;
	}
	CHECK(total >= 3 << 20);
	close(fd);
	CHECK(eventually(&seen.on_close, 1));
	fixture_stop(&f);
}

static void send_upload(int fd, size_t bytes, struct sha256 *h)
{
	char block[65536];
	for (size_t at = 0; at < bytes; at += sizeof block) {
		memset(block, (int)(at >> 16), sizeof block);
		sha256_add(h, block, sizeof block);
		send_all(fd, (struct str){ block, sizeof block });
	}
}

TEST(a_streamed_body_arrives_whole_with_back_pressure)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	AUTO_BUF struct buf head = BUF(9999), body = BUF(9999);
	struct sha256 h;
	uint8_t want[32];
	char line[200];
	size_t bytes = 24 << 20;
	snprintf(line, sizeof line, "POST /upload HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n",
		bytes);
	send_z(fd, line);
	sha256_init(&h);
	send_upload(fd, bytes, &h);
	sha256_end(&h, want);
	CHECK_EQ_INT(recv_answer(fd, &head, &body), 200);
	CHECK_EQ_STR(buf_str(&body), STR("25165824"));
	CHECK(memcmp(want, seen.upload_sha, 32) == 0);

	/* while the handler does not read, the sender must come to a stop */
	seen.pause = true;
	seen.upload_bytes = 0;
	buf_clear(&head);
	buf_clear(&body);
	send_z(fd, line);
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	static char block[65536];
	size_t sent = 0;
	for (int idle = 0; idle < 20;) {
		ssize_t n = send(fd, block, sizeof block, flags);
		if (n > 0) {
			sent += (size_t)n;
			idle = 0;
		} else {
			idle++;
			nap(10);
		}
		CHECK(sent < bytes);
	}
	seen.pause = false;
	while (sent < bytes) {
		size_t n = bytes - sent < sizeof block ? bytes - sent : sizeof block;
		send_all(fd, (struct str){ block, n });
		sent += n;
	}
	CHECK_EQ_INT(recv_answer(fd, &head, &body), 200);
	CHECK_EQ_STR(buf_str(&body), STR("25165824"));
	fixture_stop(&f);
}

TEST(a_streamed_body_can_be_refused_before_and_in_the_middle)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	static const struct {
		const char *query;
		int status;
	} t[] = { { "refuse", 403 }, { "early", 409 } };
	for (int i = 0; i < 2; i++) {
		AUTO_FD int fd = fixture_connect(&f);
		AUTO_BUF struct buf head = BUF(9999), body = BUF(9999);
		struct sha256 h;
		char line[200];
		size_t bytes = 4 << 20;
		snprintf(line, sizeof line,
			"POST /upload?x=%s HTTP/1.1\r\n" H "Content-Length: %zu\r\n\r\n",
			t[i].query, bytes);
		send_z(fd, line);
		sha256_init(&h);
		send_upload(fd, bytes, &h);
		CHECK_EQ_INT(recv_answer(fd, &head, &body), t[i].status);
	}
	fixture_stop(&f);
}

TEST(a_sender_that_leaves_in_the_middle_ends_the_reader)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	int fd = fixture_connect(&f);
	send_z(fd, "POST /upload HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\nabc");
	nap(50);
	close(fd);
	struct http_stats st = { .connections = 1 };
	for (int i = 0; i < 200 && st.connections; i++) {
		nap(10);
		http_stats(f.server, &st);
	}
	CHECK_EQ_INT(st.connections, 0);
	int64_t begin = time_mono_ms();
	fixture_stop(&f); /* would wait for a handler that is stuck */
	CHECK(time_mono_ms() - begin < 900);
}

TEST(connections_are_limited_in_all_and_per_address)
{
	struct fixture f = { .o = { .max_connections = 12, .max_per_address = 5 } };
	fixture_start(&f);
	int fd[6];
	AUTO_BUF struct buf all = BUF(9999), h = BUF(9999), b = BUF(99);
	for (int i = 0; i < 5; i++) {
		fd[i] = fixture_connect(&f);
		buf_clear(&h);
		buf_clear(&b);
		send_z(fd[i], "GET /hello HTTP/1.1\r\n" H "\r\n");
		CHECK_EQ_INT(recv_answer(fd[i], &h, &b), 200);
	}
	fd[5] = fixture_connect(&f);
	send_z(fd[5], "GET /hello HTTP/1.1\r\n" H "\r\n");
	CHECK(str_starts(recv_all(fd[5], 2000, &all), STR("HTTP/1.1 429")));
	close(fd[5]);
	/* the machine's own socket is not counted */
	AUTO_FD int local = local_connect(&f);
	buf_clear(&h);
	buf_clear(&b);
	send_z(local, "GET /local HTTP/1.1\r\n\r\n");
	CHECK_EQ_INT(recv_answer(local, &h, &b), 200);
	close(fd[0]);
	for (int i = 0; i < 100; i++) {
		struct http_stats st;
		http_stats(f.server, &st);
		if (st.connections == 5)
			break;
		nap(10);
	}
	CHECK_EQ_INT(ask(&f, "GET /hello HTTP/1.1\r\n" H "\r\n", NULL), 200);
	for (int i = 1; i < 5; i++)
		close(fd[i]);
	fixture_stop(&f);
}

TEST(the_local_socket_tells_who_is_there)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = local_connect(&f);
	AUTO_BUF struct buf h = BUF(9999), b = BUF(99);
	char want[32];
	snprintf(want, sizeof want, "1 %u", geteuid());
	send_z(fd, "GET /local HTTP/1.1\r\nHost: whatever.example\r\n\r\n");
	CHECK_EQ_INT(recv_answer(fd, &h, &b), 200);
	CHECK_EQ_STR(buf_str(&b), str_from(want));
	AUTO_BUF struct buf b2 = BUF(99);
	CHECK_EQ_INT(ask(&f, "GET /local HTTP/1.1\r\n" H "\r\n", &b2), 200);
	CHECK_EQ_STR(buf_str(&b2), STR("0 12345"));
	fixture_stop(&f);
}

TEST(a_proxy_is_believed_only_at_its_address)
{
	static const char request[] =
		"POST /echo HTTP/1.1\r\n" H
		"X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
		"Content-Length: 0\r\n\r\n";
	for (int trusted = 0; trusted < 2; trusted++) {
		struct fixture f = { .o = { .behind_proxy =
						     trusted ? "127.0.0.0/8" : "10.0.0.0/8" } };
		fixture_start(&f);
		AUTO_FD int fd = fixture_connect(&f);
		AUTO_BUF struct buf h = BUF(9999), b = BUF(99);
		send_z(fd, request);
		CHECK_EQ_INT(recv_answer(fd, &h, &b), 200);
		CHECK_EQ_STR(head_value(&h, "X-Client"),
			trusted ? STR("203.0.113.9") : STR("127.0.0.1"));
		CHECK_EQ_STR(head_value(&h, "X-Tls"), trusted ? STR("yes") : STR("no"));
		CHECK_EQ_INT(head_value(&h, "Strict-Transport-Security").ptr != NULL, trusted);
		fixture_stop(&f);
	}
}

TEST(stopping_ends_streams_and_waiters_and_their_memory)
{
	struct fixture f = { .server = NULL };
	seen.pause = true;
	fixture_start(&f);
	int fd[30];
	for (int i = 0; i < 30; i++) {
		fd[i] = fixture_connect(&f);
		send_z(fd[i], i % 3 == 0   ? "GET /quiet HTTP/1.1\r\n" H "\r\n"
			      : i % 3 == 1 ? "GET /later HTTP/1.1\r\n" H "\r\n"
					   : "POST /upload HTTP/1.1\r\n" H
					     "Content-Length: 10\r\n\r\n");
	}
	nap(200);
	int64_t begin = time_mono_ms();
	f.server = http_stop(f.server, 100);
	CHECK(time_mono_ms() - begin < 2000);
	CHECK_EQ_INT(seen.on_close, 10);
	CHECK_EQ_INT(seen.on_gone, 10);
	seen.pause = false;
	nap(200); /* late answers find nobody, and must not touch the freed server */
	for (int i = 0; i < 30; i++) {
		CHECK(closed_within(fd[i], 500));
		close(fd[i]);
	}
}

TEST(requests_under_way_are_finished_before_the_stop)
{
	struct fixture f = { .server = NULL };
	fixture_start(&f);
	AUTO_FD int fd = fixture_connect(&f);
	AUTO_BUF struct buf h = BUF(9999), b = BUF(99);
	send_z(fd, "GET /later HTTP/1.1\r\n" H "\r\n");
	nap(20);
	f.server = http_stop(f.server, 2000);
	CHECK_EQ_INT(recv_answer(fd, &h, &b), 200);
}

TEST(a_start_that_runs_out_of_memory_leaves_nothing_behind)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct http_server *s = NULL;
		struct err_info info = { .code = OK };
		struct http_options o = { .local_fd = -1, .hosts = "x" };
		enum err e = http_start(&o, NULL, NULL, &s, &info);
		if (e) {
			CHECK(fault_fired(FAULT_ALLOC));
			CHECK(!s);
		} else {
			http_stop(s, 0);
		}
	}
}
