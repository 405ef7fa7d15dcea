#include "net/header.h"

#include "net/url.h"
#include "tests/test.h"

TEST(a_header_is_a_name_a_colon_and_clean_text)
{
	struct str name, value;
	CHECK(header_line_read(STR("location:  https://a.example/b \r"), &name, &value));
	CHECK_EQ_STR(name, STR("location"));
	CHECK_EQ_STR(value, STR("https://a.example/b"));
	CHECK(header_line_read(STR("x:"), &name, &value) && !value.len);
	CHECK(!header_line_read(STR("HTTP/1.1 200 OK"), &name, &value));
	CHECK(!header_line_read(STR(": x"), &name, &value));
	CHECK(!header_line_read(STR("x: a\x01z"), &name, &value));
	CHECK(!header_line_read(STR("x: \xff"), &name, &value));
}

TEST(a_content_range_is_half_open_and_strict)
{
	uint64_t from = 7, to = 7;
	int64_t whole = 7;
	/* RFC 9110 14.4: bytes 42-1233/1234 are 1192 bytes */
	CHECK(header_content_range(STR("bytes 42-1233/1234"), &from, &to, &whole));
	CHECK(from == 42 && to - from == 1192 && whole == 1234);
	CHECK(header_content_range(STR("bytes 0-0/*"), &from, &to, &whole));
	CHECK(from == 0 && to == 1 && whole == -1);
	static const char *const bad[] = { "", "bytes", "bytes */1234", "bytes 5-4/9",
		"bytes -1-4/9", "bytes 0-18446744073709551615/*", "items 0-1/2", "bytes 0-1",
		"bytes 0-1/", "bytes 0-1/9223372036854775808", "bytes 0 - 1/2" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (header_content_range(str_from(bad[i]), &from, &to, &whole))
			FAIL("taken: %s", bad[i]);
	CHECK(from == 0 && to == 1 && whole == -1);
}

static void token(const char *challenge, const char *want)
{
	AUTO_BUF struct buf out = BUF(URL_MAX);
	enum err e = header_token_url(str_from(challenge), &out);
	CHECK_EQ_INT(e, want ? OK : ERR_UPSTREAM);
	if (want)
		CHECK_EQ_STR(buf_str(&out), str_from(want));
}

TEST(a_challenge_says_where_to_ask_for_a_token)
{
	/* docs of the distribution registry: token authentication specification */
	token("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
	      "scope=\"repository:samalba/my-app:pull,push\"",
		"https://auth.docker.io/token?service=registry.docker.io"
		"&scope=repository%3Asamalba%2Fmy-app%3Apull%2Cpush");
	token("bearer scope=\"a\", realm=\"https://x.example/t?k=1\"",
		"https://x.example/t?k=1&scope=a");
	token("Basic realm=\"https://x.example/\"", NULL);
	token("Bearer realm=\"file:///etc/passwd\"", NULL);
	token("Bearer realm=\"https://x.example/", NULL);
	token("Bearer myrealm=\"https://x.example/\"", NULL);
	token("Bearer ", NULL);
}
