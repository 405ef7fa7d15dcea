#include "net/url.h"

#include <string.h>

#include "tests/test.h"

/* Expected parts were compared with Python's urllib.parse and with the WHATWG rules by hand. */
static const struct {
	const char *text, *host, *path, *query;
	uint16_t port;
	bool https;
	int kind;
} good[] = {
	{ "https://hf.co/a", "hf.co", "/a", NULL, 443, true, URL_NAME },
	{ "HTTPS://HF.Co", "hf.co", "/", NULL, 443, true, URL_NAME },
	{ "http://127.0.0.1:5000/v2/?n=1", "127.0.0.1", "/v2/", "n=1", 5000, false, URL_IPV4 },
	{ "https://a.example.:8443?x", "a.example", "/", "x", 8443, true, URL_NAME },
	{ "https://[::1]:80/x?", "::1", "/x", "", 80, true, URL_IPV6 },
	{ "https://[2001:0DB8:0:0::0001]/", "2001:db8::1", "/", NULL, 443, true, URL_IPV6 },
	{ "http://a_b.xn--mnchen-3ya.de/%2F/..a?/../", "a_b.xn--mnchen-3ya.de", "/%2F/..a", "/../",
		80, false, URL_NAME },
	{ "https://h/a@b:c", "h", "/a@b:c", NULL, 443, true, URL_NAME },
};

static const char *const bad[] = {
	"",
	"http:",
	"http://",
	"https:///x",
	"ftp://h/",
	"//h/",
	"h",
	"file:///etc/passwd",
	"http://h:0/",
	"http://h:65536/",
	"http://h:/",
	"http://h:+80/",
	"http://h:080808/",
	"http://u@h/",
	"http://u:p@h/",
	"http://h\\@evil/",
	"http://h/a b",
	"http://h/\t",
	"http://h/#f",
	"http://h%2e/",
	"http://m\xc3\xbcnchen.de/",
	"http://h/\xc3\xbc",
	"http://1/",
	"http://127.1/",
	"http://0x7f.1/",
	"http://0177.0.0.1/",
	"http://127.0.0.01/",
	"http://127.0.0.1.1/",
	"http://2130706433/",
	"http://0x7f000001/",
	"http://a.0x7f/",
	"http://256.1.1.1/",
	"http://[::1/",
	"http://[::1]x/",
	"http://[fe80::1%25eth0]/",
	"http://[1.2.3.4]/",
	"http://::1/",
	"http://a..b/",
	"http://.a/",
	"http://-a.b/",
	"http://a-.b/",
	"http://a,b/",
	"http://h/%",
	"http://h/%2",
	"http://h/%zz",
	"http://h/../a",
	"http://h/a/./b",
	"http://h/%2e%2E/a",
	"http://h/.%2e",
	"http://h/[x]",
	"http://h/<x>",
	"http://h/{x}",
	"http://h/^",
	"http://h/\"",
	"http://h/`",
	"http://h/|",
	"http://h\x7f/",
	"http://h\n.evil/",
	" http://h/",
	"http://h/ ",
};

TEST(good_addresses_are_read)
{
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct url u;
		CHECK_OK(url_parse(str_from(good[i].text), &u, NULL));
		CHECK_EQ_Z(u.host, good[i].host);
		CHECK_EQ_STR(u.path, str_from(good[i].path));
		CHECK_EQ_STR(u.query, str_from(good[i].query));
		CHECK(!u.query.ptr == !good[i].query);
		CHECK_EQ_INT(u.port, good[i].port);
		CHECK_EQ_INT(u.https, good[i].https);
		CHECK_EQ_INT(u.kind, good[i].kind);
	}
}

TEST(what_two_parsers_could_read_differently_is_refused)
{
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct url u;
		struct err_info info = { 0 };
		if (url_parse(str_from(bad[i]), &u, &info) != ERR_INVALID)
			FAIL("taken: %s", bad[i]);
		CHECK(info.detail[0]);
	}
	struct url u;
	CHECK_ERR(url_parse((struct str){ "http://h\0x/", 11 }, &u, NULL), ERR_INVALID);
	char label[80] = "http://";
	memset(label + 7, 'a', 64);
	CHECK_ERR(url_parse(str_from(label), &u, NULL), ERR_INVALID);
	label[7 + 63] = '\0';
	CHECK_OK(url_parse(str_from(label), &u, NULL));
}

TEST(writing_gives_one_spelling)
{
	static const char *const pairs[][2] = {
		{ "HTTPS://A.Example.:443/x?y", "https://a.example/x?y" },
		{ "http://h:80", "http://h/" },
		{ "https://h:80", "https://h:80/" },
		{ "https://[0::1]:8443/?", "https://[::1]:8443/?" },
	};
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		AUTO_BUF struct buf out = BUF(URL_MAX);
		struct url u;
		CHECK_OK(url_parse(str_from(pairs[i][0]), &u, NULL));
		CHECK_OK(url_add(&u, &out));
		CHECK_EQ_STR(buf_str(&out), str_from(pairs[i][1]));
	}
}

TEST(redirects_are_resolved)
{
	static const struct {
		const char *location, *want;
	} rows[] = {
		{ "/b?c", "https://h:8443/b?c" },
		{ "//other/b", "https://other/b" },
		{ "http://x.example/", "http://x.example/" },
		{ "https://x.example/a#frag", "https://x.example/a" },
		{ "b", NULL },
		{ "", NULL },
		{ "ftp://h/", NULL },
		{ "../b", NULL },
		{ "/../b", NULL },
		{ "javascript:alert(1)", NULL },
		{ "///x", NULL },
		{ "//u@evil/", NULL },
	};
	struct url base;
	CHECK_OK(url_parse(STR("https://h:8443/a/c?d"), &base, NULL));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_BUF struct buf scratch = BUF(URL_MAX);
		AUTO_BUF struct buf out = BUF(URL_MAX);
		struct url u;
		enum err e = url_resolve(&base, str_from(rows[i].location), &scratch, &u, NULL);
		if (!rows[i].want) {
			CHECK_ERR(e, ERR_INVALID);
			continue;
		}
		CHECK_OK(e);
		CHECK_OK(url_add(&u, &out));
		CHECK_EQ_STR(buf_str(&out), str_from(rows[i].want));
	}
}

TEST(query_values_are_encoded)
{
	AUTO_BUF struct buf out = BUF(200);
	CHECK_OK(url_add_encoded(&out, (struct str){ "a b&c=\xc3\xbc/~-._\0", 14 }));
	CHECK_EQ_STR(buf_str(&out), STR("a%20b%26c%3D%C3%BC%2F~-._%00"));
}
