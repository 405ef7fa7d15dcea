#include "net/allow.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "net/proxy.h"
#include "tests/test.h"

static enum err ask(const struct allow *a, const char *text)
{
	struct url u;
	CHECK_OK(url_parse(str_from(text), &u, NULL));
	return allow_url(a, &u, NULL);
}

static struct sockaddr_storage address(const char *text, uint16_t port)
{
	struct sockaddr_storage s = { 0 };
	struct sockaddr_in *v4 = (void *)&s;
	struct sockaddr_in6 *v6 = (void *)&s;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		CHECK_EQ_INT(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
	return s;
}

TEST(only_what_is_listed_may_be_asked)
{
	static struct allow a;
	CHECK_ERR(ask(&a, "https://hf.co/"), ERR_EGRESS);
	allow_defaults(&a);
	CHECK_OK(ask(&a, "https://hf.co/x"));
	CHECK_OK(ask(&a, "https://cdn-lfs-us-1.HF.co/x"));
	CHECK_OK(ask(&a, "https://registry.ollama.ai/v2/"));
	CHECK_ERR(ask(&a, "https://hf.co:8443/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "http://hf.co/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "http://hf.co:443/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "https://evilhf.co/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "https://hf.co.evil.example/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "https://x.registry.ollama.ai/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "https://x.r2.cloudflarestorage.com/"), ERR_EGRESS);
	CHECK_ERR(ask(&a, "https://127.0.0.1/"), ERR_EGRESS);
}

TEST(entries_are_spelled_like_requests)
{
	static struct allow a;
	CHECK_OK(allow_add(&a, STR("Mirror.Example."), 8443, false));
	CHECK_OK(ask(&a, "https://mirror.example:8443/"));
	CHECK_OK(allow_add(&a, STR("127.0.0.1"), 5000, true));
	CHECK_OK(ask(&a, "http://127.0.0.1:5000/"));
	CHECK(allow_plain(&a, "127.0.0.1", 5000) && !allow_plain(&a, "mirror.example", 8443));
	CHECK_OK(allow_add(&a, STR("0:0::1"), 5000, true));
	CHECK_OK(ask(&a, "http://[::1]:5000/"));
	size_t n = a.n;
	CHECK_OK(allow_add(&a, STR("127.0.0.1"), 5000, false)); /* replaces */
	CHECK_EQ_INT(a.n, n);
	CHECK_ERR(ask(&a, "http://127.0.0.1:5000/"), ERR_EGRESS);
	static const char *const wrong[] = { "", "*.de", "*", "*.*.x.y", "a/b", "a:5", "u@h",
		"127.1", "*.127.0.0.1", "x y", "a?b" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (allow_add(&a, str_from(wrong[i]), 443, false) != ERR_INVALID)
			FAIL("taken: %s", wrong[i]);
	CHECK_ERR(allow_add(&a, (struct str){ "h.x\0.evil", 9 }, 443, false), ERR_INVALID);
	CHECK_ERR(allow_add(&a, STR("h"), 0, false), ERR_INVALID);
}

TEST(a_list_has_an_end)
{
	static struct allow a;
	char host[32];
	for (int i = 0; i < ALLOW_MAX; i++) {
		(void)snprintf(host, sizeof host, "h%d.example", i);
		CHECK_OK(allow_add(&a, str_from(host), 443, false));
	}
	CHECK_ERR(allow_add(&a, STR("one.more"), 443, false), ERR_LIMIT);
}

/* From the IANA special-purpose address registries. */
TEST(internal_addresses_are_not_public)
{
	static const char *const inner[] = {
		"0.0.0.0",
		"10.1.2.3",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.254",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.8",
		"192.0.2.1",
		"192.168.1.1",
		"198.18.0.1",
		"198.19.255.255",
		"198.51.100.7",
		"203.0.113.9",
		"224.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"fe80::1",
		"fc00::1",
		"fdff::1",
		"ff02::1",
		"2001:db8::1",
		"2001::1",
		"3fff::1",
		"::ffff:127.0.0.1",
		"::ffff:10.0.0.1",
		"64:ff9b::7f00:1",
		"64:ff9b::a9fe:a9fe",
		"2002:7f00:1::1",
		"2002:c0a8:101::1",
		"fec0::1",
		"::10.0.0.1",
	};
	static const char *const outer[] = {
		"1.1.1.1",
		"9.255.255.255",
		"11.0.0.0",
		"100.63.255.255",
		"100.128.0.0",
		"126.255.255.255",
		"172.15.255.255",
		"172.32.0.0",
		"192.167.255.255",
		"192.169.0.0",
		"198.17.255.255",
		"198.20.0.0",
		"223.255.255.255",
		"2606:4700::1111",
		"2a00:1450::1",
		"::ffff:1.1.1.1",
		"64:ff9b::101:101",
		"2002:101:101::1",
	};
	for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
		struct sockaddr_storage s = address(inner[i], 443);
		if (address_is_public((struct sockaddr *)&s))
			FAIL("public: %s", inner[i]);
	}
	for (size_t i = 0; i < sizeof outer / sizeof *outer; i++) {
		struct sockaddr_storage s = address(outer[i], 443);
		if (!address_is_public((struct sockaddr *)&s))
			FAIL("not public: %s", outer[i]);
	}
}

TEST(an_internal_address_counts_only_when_listed_itself)
{
	static struct allow a;
	struct sockaddr_storage inner = address("10.0.0.5", 443), other = address("10.0.0.5", 80),
				v6 = address("fd00::5", 443), outer = address("1.1.1.1", 443);
	CHECK_OK(allow_add(&a, STR("registry.firma.example"), 443, false));
	CHECK(!allow_address(&a, (struct sockaddr *)&inner));
	CHECK(allow_address(&a, (struct sockaddr *)&outer));
	CHECK_OK(allow_add(&a, STR("10.0.0.5"), 443, false));
	CHECK(allow_address(&a, (struct sockaddr *)&inner));
	CHECK(!allow_address(&a, (struct sockaddr *)&other));
	CHECK(!allow_address(&a, (struct sockaddr *)&v6));
	CHECK_OK(allow_add(&a, STR("fd00::5"), 443, false));
	CHECK(allow_address(&a, (struct sockaddr *)&v6));
	struct sockaddr unix_address = { .sa_family = AF_UNIX };
	CHECK(!allow_address(&a, &unix_address));
}

static bool proxied(const struct proxy *p, const char *text)
{
	struct url u;
	CHECK_OK(url_parse(str_from(text), &u, NULL));
	return proxy_for(p, &u) != NULL;
}

TEST(the_proxy_is_used_but_for_its_exceptions)
{
	CHECK_EQ_INT(setenv("HTTPS_PROXY", "http://proxy:3128", 1), 0);
	CHECK_EQ_INT(unsetenv("https_proxy") | unsetenv("http_proxy") | unsetenv("HTTP_PROXY"), 0);
	CHECK_EQ_INT(setenv("no_proxy", "intern.example, .firma.de,*.hf.co ,10.0.0.5:8443", 1), 0);
	struct proxy p;
	proxy_from_env(&p);
	CHECK(proxied(&p, "https://registry.ollama.ai/"));
	CHECK(!proxied(&p, "http://registry.ollama.ai/"));
	CHECK(!proxied(&p, "https://intern.example/") && !proxied(&p, "https://a.intern.example/"));
	CHECK(proxied(&p, "https://xintern.example/"));
	CHECK(!proxied(&p, "https://firma.de/") && !proxied(&p, "https://a.firma.de/"));
	CHECK(!proxied(&p, "https://cdn.hf.co/"));
	CHECK(!proxied(&p, "https://10.0.0.5:8443/") && proxied(&p, "https://10.0.0.5/"));
	CHECK(!proxied(&p, "https://localhost/") && !proxied(&p, "https://127.9.9.9/"));
	CHECK(!proxied(&p, "https://[::1]/"));
	CHECK_EQ_INT(setenv("no_proxy", "*", 1), 0);
	proxy_from_env(&p);
	CHECK(!proxied(&p, "https://registry.ollama.ai/"));
}

TEST(only_what_may_be_pushed_to_is_sent_to)
{
	static struct allow a;
	struct err_info info = { 0 };
	struct url u;
	a.n = 0;
	CHECK_OK(allow_add(&a, STR("reg.firma.de"), 443, false));
	CHECK_OK(allow_add(&a, STR("*.firma.de"), 443, false));
	CHECK_OK(url_parse(STR("https://reg.firma.de/v2/"), &u, NULL));
	CHECK_OK(allow_url(&a, &u, NULL));
	CHECK_ERR(allow_push(&a, &u, &info), ERR_EGRESS);
	CHECK(strstr(info.detail, "may not be sent") && strstr(info.detail, "--push"));
	CHECK_ERR(allow_add_push(&a, STR("other.de"), 443), ERR_NOT_FOUND);
	CHECK_ERR(allow_add_push(&a, STR("reg.firma.de"), 444), ERR_NOT_FOUND);
	CHECK_OK(allow_add_push(&a, STR("Reg.Firma.DE"), 443));
	CHECK_OK(allow_push(&a, &u, NULL));
	CHECK_OK(url_parse(STR("https://x.firma.de/v2/"), &u, NULL));
	CHECK_ERR(allow_push(&a, &u, NULL), ERR_EGRESS);
	CHECK_OK(allow_add_push(&a, STR("*.firma.de"), 443));
	CHECK_OK(allow_push(&a, &u, NULL));
	CHECK_OK(allow_add(&a, STR("reg.firma.de"), 443, false)); /* said anew: without */
	CHECK_OK(url_parse(STR("https://elsewhere.de/"), &u, NULL));
	CHECK_ERR(allow_push(&a, &u, NULL), ERR_EGRESS);
}

TEST(the_standard_list_is_never_pushed_to)
{
	static struct allow a;
	allow_defaults(&a);
	CHECK(a.n > 3);
	for (size_t i = 0; i < a.n; i++)
		CHECK(!a.at[i].push && !a.at[i].plain);
}
