/* http/decode.h - what a request says in text, read strictly: percent-encoding (RFC 3986 2.1),
 * query strings, cookies (RFC 6265 4.2), addresses and networks. Pure. */
#pragma once

#include "base/arena.h"

/* Decodes %XX into the arena. Refused: a broken escape, a decoded byte below 0x20 or 0x7f, text
 * that is not UTF-8. `plus` makes '+' a blank (query strings).
 * Errors: ERR_INVALID, ERR_NOMEM. */
enum err decode_percent(struct arena *a, struct str s, bool plus, struct str *ret);

enum { QUERY_PAIRS_MAX = 64 };
struct query_pair {
	struct str name, value;
};
/* Splits "a=1&b=2". A name that comes twice is refused. Errors: ERR_INVALID, ERR_LIMIT,
 * ERR_NOMEM. */
enum err decode_query(struct arena *a, struct str s, struct query_pair **ret, size_t *ret_n);

/* The value of a cookie; STR_NONE when absent, or when it is there twice with different values. */
struct str decode_cookie(struct str header, const char *name);

/* An address in 16 bytes; IPv4 as ::ffff:a.b.c.d. */
struct net_addr {
	uint8_t b[16];
};
/* "10.0.0.1", "::1", "[::1]", also with ":port". Errors: ERR_INVALID. */
enum err net_addr_parse(struct str s, struct net_addr *ret);
void net_addr_text(const struct net_addr *a, char dst[48]);
bool net_addr_loopback(const struct net_addr *a);

enum { NET_LIST_MAX = 32 };
struct net_list {
	struct {
		struct net_addr net;
		unsigned bits;
	} n[NET_LIST_MAX];
	unsigned count;
};
/* "10.0.0.0/8,::1/128". NULL or "" is an empty list. Errors: ERR_INVALID, ERR_LIMIT. */
enum err net_list_parse(const char *text, struct net_list *ret);
bool net_list_has(const struct net_list *l, const struct net_addr *a);
/* The client of a request that came through proxies: the rightmost address of X-Forwarded-For that
 * is not a trusted proxy; false when the header is empty or not a list of addresses. */
bool net_forwarded(const struct net_list *trusted, struct str header, struct net_addr *ret);
