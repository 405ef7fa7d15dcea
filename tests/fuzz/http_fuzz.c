/* What stands in a request's line and headers: paths, queries, cookies, addresses, names of
 * hosts. */
#include "base/arena.h"
#include "http/decode.h"
#include "http/route.h"
#include "tests/fuzz/fuzz.h"

#define R(m, p, d)                                                                                 \
	{                                                                                          \
		.method = m, .path = p, .dialect = d                                               \
	}
const struct route route_table[] = {
	R("GET", "/a/{id}", DIALECT_TEAM),
	R("PUT", "/a/default", DIALECT_TEAM),
	R("GET", "/a/{id}/b/{name}", DIALECT_TEAM),
	R("POST", "/api/chat", DIALECT_OLLAMA),
	R("GET", "/", DIALECT_PAGE),
};
const size_t route_count = sizeof route_table / sizeof route_table[0];

/* Encoding what came out must decode to the same again. */
static void check_round_trip(struct arena *a, struct str plain)
{
	AUTO_BUF struct buf encoded = BUF(1 << 20);
	struct str again;
	for (size_t i = 0; i < plain.len; i++)
		if (buf_addf(&encoded, "%%%02X", (unsigned char)plain.ptr[i]))
			return;
	if (!encoded.len)
		return;
	if (decode_percent(a, buf_str(&encoded), false, &again) || !str_eq(again, plain))
		DIE("decoding is not stable");
}

static void routes(struct str path)
{
	static const char *const methods[] = { "GET", "PUT", "HEAD", "POST", "X" };
	for (int i = 0; i < 5; i++) {
		struct route_params p;
		bool other;
		const struct route *r = route_match(str_from(methods[i]), path, &p, &other);
		if (r && other)
			DIE("found and not found");
		if (p.n > ROUTE_PARAMS_MAX)
			DIE("too many parameters");
		for (unsigned k = 0; k < p.n; k++)
			if (str_find_byte(p.p[k].value, '/', 0) != SIZE_MAX || !p.p[k].value.len)
				DIE("a parameter with a slash, or empty");
	}
	AUTO_BUF struct buf allow = BUF(4096);
	route_allowed(path, &allow);
}

FUZZ
{
	struct str s = { (const char *)data, size }, out;
	struct query_pair *pairs;
	struct net_addr addr, client;
	struct net_list list;
	size_t n;
	char text[48];
	AUTO(arena) struct arena *a = NULL;
	if (size > 8192 || arena_new(1 << 20, &a))
		return;
	routes(s);
	if (!decode_percent(a, s, size % 2, &out)) {
		if (str_has_control(out) || !str_is_utf8(out))
			DIE("let something through");
		check_round_trip(a, out);
	}
	if (!decode_query(a, s, &pairs, &n))
		for (size_t i = 0; i < n; i++)
			for (size_t k = 0; k < i; k++)
				if (str_eq(pairs[i].name, pairs[k].name))
					DIE("one name twice");
	(void)decode_cookie(s, "tresor_session");
	if (!net_addr_parse(s, &addr)) {
		struct net_addr again;
		net_addr_text(&addr, text);
		if (net_addr_parse(str_from(text), &again) ||
			memcmp(&addr, &again, sizeof addr) != 0)
			DIE("an address does not read back");
	}
	char *z = arena_str(a, s);
	if (z && !net_list_parse(z, &list) && list.count > NET_LIST_MAX)
		DIE("too many networks");
	if (!net_list_parse("10.0.0.0/8", &list) && net_forwarded(&list, s, &client) && !size)
		DIE("a client out of nothing");
}
