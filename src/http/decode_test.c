#include "http/decode.h"

#include "base/buf.h"
#include "tests/test.h"

static struct arena *fresh(void)
{
	struct arena *a;
	CHECK_OK(arena_new(1 << 20, &a));
	return a;
}

TEST(percent_decoding_is_strict)
{
	static const struct {
		const char *in;
		bool plus;
		const char *out;
	} t[] = {
		{ "abc", false, "abc" },
		{ "a%20b", false, "a b" },
		{ "a+b", false, "a+b" },
		{ "a+b", true, "a b" },
		{ "%C3%bc", false, "\xc3\xbc" },
		{ "hf.co%2Fx%2Fy%3AQ4", false, "hf.co/x/y:Q4" },
		{ "", false, "" },
		/* refused */
		{ "%", false, NULL },
		{ "%4", false, NULL },
		{ "%zz", false, NULL },
		{ "%00", false, NULL },
		{ "a%0Ab", false, NULL },
		{ "%7f", false, NULL },
		{ "%C3", false, NULL },
		{ "%C0%AF", false, NULL },
		{ "%ED%A0%80", false, NULL },
		{ "%F5%80%80%80", false, NULL },
		{ "%2", true, NULL },
		{ "% 20", true, NULL },
	};
	AUTO(arena) struct arena *a = fresh();
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct str got = STR_NONE;
		enum err e = decode_percent(a, str_from(t[i].in), t[i].plus, &got);
		CHECK_ERR(e, t[i].out ? OK : ERR_INVALID);
		if (t[i].out)
			CHECK_EQ_STR(got, str_from(t[i].out));
	}
}

TEST(a_query_with_one_name_twice_is_refused)
{
	AUTO(arena) struct arena *a = fresh();
	struct query_pair *q;
	size_t n;
	CHECK_OK(decode_query(a, STR("a=1&b=x%26y&c&d="), &q, &n));
	CHECK_EQ_INT(n, 4);
	CHECK_EQ_STR(q[1].value, STR("x&y"));
	CHECK_EQ_STR(q[2].name, STR("c"));
	CHECK_ERR(decode_query(a, STR("a=1&a=2"), &q, &n), ERR_INVALID);
	CHECK_ERR(decode_query(a, STR("a=1&%61=2"), &q, &n), ERR_INVALID);
	AUTO_BUF struct buf many = BUF(4096);
	for (int i = 0; i <= QUERY_PAIRS_MAX; i++)
		CHECK_OK(buf_addf(&many, "k%d=1&", i));
	CHECK_ERR(decode_query(a, buf_str(&many), &q, &n), ERR_LIMIT);
	CHECK_OK(decode_query(a, STR(""), &q, &n));
	CHECK_EQ_INT(n, 0);
}

TEST(a_planted_second_cookie_hides_both)
{
	CHECK_EQ_STR(decode_cookie(STR("a=1; s=tok; b=2"), "s"), STR("tok"));
	CHECK_EQ_STR(decode_cookie(STR("s=\"tok\""), "s"), STR("tok"));
	CHECK_EQ_STR(decode_cookie(STR("s=x;s=x"), "s"), STR("x"));
	CHECK(!decode_cookie(STR("s=x; s=y"), "s").ptr);
	CHECK(!decode_cookie(STR("ss=x; xs=y"), "s").ptr);
	CHECK(!decode_cookie(STR_NONE, "s").ptr);
}

TEST(addresses_and_networks)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "10.1.2.3", "10.1.2.3" },
		{ "10.1.2.3:80", "10.1.2.3" },
		{ "[::1]:443", "::1" },
		{ "2001:db8::1", "2001:db8::1" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "", NULL },
		{ "localhost", NULL },
		{ "1.2.3", NULL },
		{ "1.2.3.4.5", NULL },
		{ "[::1", NULL },
	};
	struct net_addr a;
	char text[48];
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		CHECK_ERR(net_addr_parse(str_from(t[i].in), &a), t[i].out ? OK : ERR_INVALID);
		if (!t[i].out)
			continue;
		net_addr_text(&a, text);
		CHECK_EQ_Z(text, t[i].out);
	}
	struct net_list l;
	CHECK_OK(net_list_parse("10.0.0.0/8, 192.168.1.7,2001:db8::/33", &l));
	static const struct {
		const char *addr;
		bool in;
	} m[] = {
		{ "10.255.0.1", true },
		{ "11.0.0.1", false },
		{ "192.168.1.7", true },
		{ "192.168.1.6", false },
		{ "2001:db8:7fff::", true },
		{ "2001:db8:8000::", false },
		{ "::ffff:10.0.0.9", true },
	};
	for (size_t i = 0; i < sizeof m / sizeof m[0]; i++) {
		CHECK_OK(net_addr_parse(str_from(m[i].addr), &a));
		CHECK_EQ_INT(net_list_has(&l, &a), m[i].in);
	}
	CHECK_ERR(net_list_parse("10.0.0.0/33", &l), ERR_INVALID);
	CHECK_ERR(net_list_parse("ten", &l), ERR_INVALID);
	CHECK_OK(net_list_parse(NULL, &l));
	CHECK_EQ_INT(l.count, 0);
}

TEST(the_client_behind_proxies_is_the_last_untrusted)
{
	struct net_list l;
	struct net_addr a;
	char text[48];
	CHECK_OK(net_list_parse("10.0.0.0/8", &l));
	static const struct {
		const char *header, *client;
	} t[] = {
		{ "1.2.3.4", "1.2.3.4" },
		{ "6.6.6.6, 1.2.3.4, 10.0.0.2",
			"1.2.3.4" }, /* 6.6.6.6 is what the client claimed */
		{ "10.0.0.3, 10.0.0.2", "10.0.0.3" },
		{ "", NULL },
		{ "1.2.3.4, nonsense", NULL },
		{ "unknown", NULL },
	};
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		bool ok = net_forwarded(&l, str_from(t[i].header), &a);
		CHECK_EQ_INT(ok, t[i].client != NULL);
		if (!ok)
			continue;
		net_addr_text(&a, text);
		CHECK_EQ_Z(text, t[i].client);
	}
}
