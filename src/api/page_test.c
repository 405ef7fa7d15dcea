#include "api/page.h"

#include <stdio.h>

#include "api/test_app.h"

static int get(const struct test_app *t, const char *path, const char *lines, struct buf *head,
	struct buf *out)
{
	char request[512];
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path,
		lines);
	return call_raw(t, request, head, out);
}

TEST(views_get_the_page_files_get_themselves)
{
	static const struct {
		const char *path;
		int status;
		const char *type;
	} t_[] = {
		{ "/", 200, "text/html; charset=utf-8" },
		{ "/chat/01abc", 200, "text/html; charset=utf-8" },
		{ "/index.html", 200, "text/html; charset=utf-8" },
		{ "/assets/app-1a2b3c4d.js", 200, "text/javascript; charset=utf-8" },
		{ "/assets/gone-ffffffff.js", 404, "text/plain; charset=utf-8" },
		{ "/favicon.ico", 404, "text/plain; charset=utf-8" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof t_ / sizeof t_[0]; i++) {
		AUTO_BUF struct buf head = BUF(8192), out = BUF(65536);
		CHECK_EQ_INT(get(&t, t_[i].path, "", &head, &out), t_[i].status);
		CHECK_EQ_STR(head_value(&head, "Content-Type"), str_from(t_[i].type));
		if (t_[i].status != 200)
			continue;
		/* without Accept-Encoding it came inflated: as the other program compressed it */
		CHECK(str_starts(buf_str(&out), t_[i].type[5] == 'h'
							? STR("<!doctype html><title>Tresor")
							: STR("console.log(\"tresor\");\n")));
		struct str csp = head_value(&head, "Content-Security-Policy");
		CHECK(str_find(csp, STR("script-src 'self' 'sha256-abc=';"), 0) != SIZE_MAX);
		CHECK(str_find(csp, STR("unsafe"), 0) == SIZE_MAX);
		CHECK(str_find(csp, STR("frame-ancestors 'none'"), 0) != SIZE_MAX);
	}
	test_app_stop(&t);
}

TEST(gzip_as_stored_for_those_who_take_it)
{
	static const struct {
		const char *accept;
		bool gzip;
	} t_[] = {
		{ "Accept-Encoding: gzip, deflate, br\r\n", true },
		{ "Accept-Encoding: GZIP;q=0.5\r\n", true },
		{ "Accept-Encoding: *\r\n", true },
		{ "Accept-Encoding: gzip;q=0\r\n", false },
		{ "Accept-Encoding: br\r\n", false },
		{ "Accept-Encoding: xgzip\r\n", false },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof t_ / sizeof t_[0]; i++) {
		AUTO_BUF struct buf head = BUF(8192), out = BUF(65536);
		CHECK_EQ_INT(get(&t, "/", t_[i].accept, &head, &out), 200);
		CHECK_EQ_INT(
			str_eq(head_value(&head, "Content-Encoding"), STR("gzip")), t_[i].gzip);
		CHECK_EQ_STR(head_value(&head, "Vary"), STR("Accept-Encoding"));
		if (t_[i].gzip)
			CHECK(out.len == page_files[1].gz_len &&
				memcmp(out.ptr, page_files[1].gz, out.len) == 0);
	}
	test_app_stop(&t);
}

TEST(what_has_not_changed_is_not_sent_again)
{
	struct test_app t;
	AUTO_BUF struct buf head = BUF(8192), out = BUF(65536), h2 = BUF(8192), o2 = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(get(&t, "/assets/app-1a2b3c4d.js", "", &head, &out), 200);
	CHECK_EQ_STR(
		head_value(&head, "Cache-Control"), STR("public, max-age=31536000, immutable"));
	CHECK_EQ_STR(head_value(&head, "ETag"), STR("\"aa11\""));
	AUTO_FD int fd = test_connect(&t);
	send_z(fd,
		"GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: W/\"x\", "
			"\"bb22\"\r\nConnection: close\r\n\r\n");
	struct str all = recv_all(fd, 2000, &o2);
	CHECK(str_starts(all, STR("HTTP/1.1 304")));
	CHECK(str_ends(all, STR("\r\n\r\n")));
	CHECK_EQ_INT(get(&t, "/", "If-None-Match: \"old\"\r\n", &h2, NULL), 200);
	CHECK_EQ_STR(head_value(&h2, "Cache-Control"), STR("no-cache"));
	test_app_stop(&t);
}
