#include "http/decode.h"

#include <arpa/inet.h>
#include <stdio.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err decode_percent(struct arena *a, struct str s, bool plus, struct str *ret)
{
	char *out = arena_take(a, s.len + 1, 1);
	size_t n = 0;
	if (!out)
		return ERR_NOMEM;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '%') {
			int hi = i + 1 < s.len ? hex_value(s.ptr[i + 1]) : -1;
			int lo = i + 2 < s.len ? hex_value(s.ptr[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return ERR_INVALID;
			c = (char)(hi * 16 + lo);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[n++] = c;
	}
	struct str text = { out, n };
	if (str_has_control(text) || !str_is_utf8(text))
		return ERR_INVALID;
	*ret = text;
	return OK;
}

static enum err add_pair(struct arena *a, struct str field, struct query_pair *pairs, size_t *n)
{
	size_t eq = str_find_byte(field, '=', 0);
	struct str name = eq == SIZE_MAX ? field : str_sub(field, 0, eq);
	struct str value = eq == SIZE_MAX ? STR("") : str_sub(field, eq + 1, SIZE_MAX);
	struct query_pair p;
	if (*n == QUERY_PAIRS_MAX)
		return ERR_LIMIT;
	TRY(decode_percent(a, name, true, &p.name));
	TRY(decode_percent(a, value, true, &p.value));
	for (size_t i = 0; i < *n; i++)
		if (str_eq(pairs[i].name, p.name))
			return ERR_INVALID; /* two readers could pick different ones */
	pairs[(*n)++] = p;
	return OK;
}

enum err decode_query(struct arena *a, struct str s, struct query_pair **ret, size_t *ret_n)
{
	struct query_pair pairs[QUERY_PAIRS_MAX];
	size_t n = 0;
	struct str field;
	while (str_next(&s, '&', &field))
		if (field.len)
			TRY(add_pair(a, field, pairs, &n));
	struct query_pair *copy = NULL;
	if (n) {
		copy = ARENA_ARRAY(a, struct query_pair, n);
		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, pairs, n * sizeof pairs[0]);
	}
	*ret = copy;
	*ret_n = n;
	return OK;
}

struct str decode_cookie(struct str header, const char *name)
{
	struct str want = str_from(name), found = STR_NONE, field;
	while (str_next(&header, ';', &field)) {
		field = str_trim(field);
		size_t eq = str_find_byte(field, '=', 0);
		if (eq == SIZE_MAX || !str_eq(str_sub(field, 0, eq), want))
			continue;
		struct str value = str_sub(field, eq + 1, SIZE_MAX);
		if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
			value = str_sub(value, 1, value.len - 2);
		if (found.ptr && !str_eq(found, value))
			return STR_NONE; /* somebody planted a second one */
		found = value;
	}
	return found;
}

/* Cuts "[v6]:port", "v4:port" or "[v6]" down to the address. */
static struct str without_port(struct str s)
{
	if (s.len && s.ptr[0] == '[') {
		size_t end = str_find_byte(s, ']', 0);
		return end == SIZE_MAX ? s : str_sub(s, 1, end - 1);
	}
	size_t colon = str_find_byte(s, ':', 0);
	if (colon != SIZE_MAX && str_find_byte(s, ':', colon + 1) == SIZE_MAX)
		return str_sub(s, 0, colon);
	return s;
}

enum err net_addr_parse(struct str s, struct net_addr *ret)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;
	if (str_copy(without_port(s), text, sizeof text) || !text[0])
		return ERR_INVALID;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		memset(ret->b, 0, 10);
		memset(ret->b + 10, 0xff, 2);
		memcpy(ret->b + 12, &v4, 4);
		return OK;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return ERR_INVALID;
	memcpy(ret->b, &v6, 16);
	return OK;
}

static bool is_v4(const struct net_addr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
	return memcmp(a->b, prefix, sizeof prefix) == 0;
}

void net_addr_text(const struct net_addr *a, char dst[48])
{
	const char *s = is_v4(a) ? inet_ntop(AF_INET, a->b + 12, dst, 48)
				 : inet_ntop(AF_INET6, a->b, dst, 48);
	if (!s)
		dst[0] = 0;
}

bool net_addr_loopback(const struct net_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };
	return is_v4(a) ? a->b[12] == 127 : memcmp(a->b, one, 16) == 0;
}

static enum err add_net(struct str field, struct net_list *l)
{
	size_t slash = str_find_byte(field, '/', 0);
	struct str addr = slash == SIZE_MAX ? field : str_sub(field, 0, slash);
	uint64_t bits;
	if (l->count == NET_LIST_MAX)
		return ERR_LIMIT;
	struct net_addr *net = &l->n[l->count].net;
	TRY(net_addr_parse(addr, net));
	uint64_t most = is_v4(net) ? 32 : 128;
	bits = most;
	if (slash != SIZE_MAX)
		TRY(str_to_u64(str_sub(field, slash + 1, SIZE_MAX), &bits));
	if (bits > most)
		return ERR_INVALID;
	l->n[l->count].bits = (unsigned)(bits + 128 - most);
	l->count++;
	return OK;
}

enum err net_list_parse(const char *text, struct net_list *ret)
{
	struct str rest = str_from(text), field;
	struct net_list l = { .count = 0 };
	while (str_next(&rest, ',', &field)) {
		field = str_trim(field);
		if (field.len)
			TRY(add_net(field, &l));
	}
	*ret = l;
	return OK;
}

static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	if (memcmp(a, b, whole) != 0)
		return false;
	return !rest || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool net_list_has(const struct net_list *l, const struct net_addr *a)
{
	for (unsigned i = 0; i < l->count; i++)
		if (same_prefix(l->n[i].net.b, a->b, l->n[i].bits))
			return true;
	return false;
}

bool net_forwarded(const struct net_list *trusted, struct str header, struct net_addr *ret)
{
	struct net_addr found = { { 0 } };
	bool any = false;
	while (header.len) { /* from the right: each proxy appends whom it saw */
		size_t comma = header.len;
		while (comma > 0 && header.ptr[comma - 1] != ',')
			comma--;
		struct str field = str_trim(str_sub(header, comma, SIZE_MAX));
		if (net_addr_parse(field, &found))
			return false;
		any = true;
		if (!net_list_has(trusted, &found))
			break;
		header = str_sub(header, 0, comma ? comma - 1 : 0);
	}
	if (any)
		*ret = found;
	return any;
}
