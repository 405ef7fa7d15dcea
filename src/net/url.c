#include "net/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static enum err bad(struct err_info *info, const char *why)
{
	return err_set(info, ERR_INVALID, "not a usable address: %s", why);
}

/* Printable ASCII only, and none of the characters that parsers disagree about. */
static enum err check_bytes(struct str s, struct err_info *info)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c <= 0x20 || c >= 0x7f)
			return bad(info, "blanks, control or non-ASCII characters");
		if (strchr("\\\"<>^`{|}", c))
			return bad(info, "a character that needs percent-encoding");
		if (c == '#')
			return bad(info, "fragments are not allowed");
		if (c == '%' && !(i + 2 < s.len && is_hex(s.ptr[i + 1]) && is_hex(s.ptr[i + 2])))
			return bad(info, "a percent sign without two hex digits");
	}
	return OK;
}

/* "a.b-c.d" with labels of 1..63 letters, digits, '-' and '_' that do not begin or end with '-'. */
static bool name_ok(struct str h)
{
	size_t label = 0;
	for (size_t i = 0; i < h.len; i++) {
		char c = h.ptr[i];
		bool last = i + 1 == h.len || h.ptr[i + 1] == '.';
		if (c == '.') {
			if (!label)
				return false;
			label = 0;
			continue;
		}
		if (!is_alpha(c) && !is_digit(c) && c != '_' && (c != '-' || !label || last))
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0;
}

/* The last label is numeric ("1.2", "0x7f", "017700000001"): some resolvers take it as an
 * address. */
static bool looks_numeric(struct str h)
{
	size_t dot = 0;
	for (size_t i = 0; i < h.len; i++)
		if (h.ptr[i] == '.')
			dot = i + 1;
	struct str last = str_sub(h, dot, h.len);
	if (last.len >= 2 && last.ptr[0] == '0' && lower(last.ptr[1]) == 'x')
		return true;
	for (size_t i = 0; i < last.len; i++)
		if (!is_digit(last.ptr[i]))
			return false;
	return true;
}

static enum err host_ipv6(struct str h, struct url *u, struct err_info *info)
{
	struct in6_addr a;
	char text[INET6_ADDRSTRLEN];
	if (str_copy(h, text, sizeof text) || inet_pton(AF_INET6, text, &a) != 1)
		return bad(info, "not an IPv6 address between the brackets");
	/* One spelling: what inet_ntop writes. */
	if (!inet_ntop(AF_INET6, &a, u->host, sizeof u->host))
		return bad(info, "not an IPv6 address between the brackets");
	u->kind = URL_IPV6;
	return OK;
}

static enum err host_set(struct str h, struct url *u, struct err_info *info)
{
	if (!h.len)
		return bad(info, "the host is missing");
	if (h.ptr[h.len - 1] == '.')
		h.len--; /* the root label says the same */
	if (h.len > URL_HOST_MAX || !name_ok(h))
		return bad(info, "the host is not a name or an address");
	for (size_t i = 0; i < h.len; i++)
		u->host[i] = lower(h.ptr[i]);
	u->host[h.len] = '\0';
	if (!looks_numeric(h)) {
		u->kind = URL_NAME;
		return OK;
	}
	/* inet_pton takes only four decimal parts without leading zeros: one reading for all. */
	struct in_addr a;
	char again[INET_ADDRSTRLEN];
	if (inet_pton(AF_INET, u->host, &a) != 1 || !inet_ntop(AF_INET, &a, again, sizeof again) ||
		strcmp(again, u->host) != 0)
		return bad(info, "a numeric host that is not a plain IPv4 address");
	u->kind = URL_IPV4;
	return OK;
}

static enum err port_set(struct str p, struct url *u, struct err_info *info)
{
	uint64_t v = 0;
	if (p.len > 5 || str_to_u64(p, &v) || v == 0 || v > 65535)
		return bad(info, "the port is not a number from 1 to 65535");
	u->port = (uint16_t)v;
	return OK;
}

static enum err authority(struct str a, struct url *u, struct err_info *info)
{
	if (str_find_byte(a, '@', 0) != SIZE_MAX)
		return bad(info, "user names in addresses are not allowed");
	if (str_find_byte(a, '%', 0) != SIZE_MAX)
		return bad(info, "percent signs in the host");
	u->port = u->https ? 443 : 80;
	struct str host = a, port = STR_NONE;
	if (a.len && a.ptr[0] == '[') {
		size_t end = str_find_byte(a, ']', 0);
		if (end == SIZE_MAX)
			return bad(info, "the bracket of an IPv6 address is not closed");
		TRY(host_ipv6(str_sub(a, 1, end - 1), u, info));
		if (end + 1 < a.len && a.ptr[end + 1] != ':')
			return bad(info, "text after the IPv6 address");
		if (end + 1 < a.len)
			port = str_sub(a, end + 2, a.len);
		return port.ptr ? port_set(port, u, info) : OK;
	}
	size_t colon = str_find_byte(a, ':', 0);
	if (colon != SIZE_MAX) {
		host = str_sub(a, 0, colon);
		port = str_sub(a, colon + 1, a.len);
		TRY(port_set(port, u, info));
	}
	return host_set(host, u, info);
}

/* "." and ".." segments, also percent-encoded, mean other things to other readers. */
static bool has_dot_segment(struct str path)
{
	struct str rest = path, seg;
	while (str_next(&rest, '/', &seg)) {
		size_t dots = 0, i = 0;
		while (i < seg.len) {
			if (seg.ptr[i] == '.')
				i++;
			else if (i + 2 < seg.len && seg.ptr[i] == '%' && seg.ptr[i + 1] == '2' &&
				 lower(seg.ptr[i + 2]) == 'e')
				i += 3;
			else
				break;
			dots++;
		}
		if (i == seg.len && (dots == 1 || dots == 2))
			return true;
	}
	return false;
}

static enum err path_set(struct str rest, struct url *u, struct err_info *info)
{
	size_t q = str_find_byte(rest, '?', 0);
	u->query = q == SIZE_MAX ? STR_NONE : str_sub(rest, q + 1, rest.len);
	u->path = q == SIZE_MAX ? rest : str_sub(rest, 0, q);
	if (!u->path.len)
		u->path = STR("/");
	if (str_find_byte(u->path, '[', 0) != SIZE_MAX ||
		str_find_byte(u->path, ']', 0) != SIZE_MAX)
		return bad(info, "a character that needs percent-encoding");
	if (has_dot_segment(u->path))
		return bad(info, "the path has . or .. in it");
	return OK;
}

static bool starts_nocase(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq_nocase(str_sub(s, 0, prefix.len), prefix);
}

enum err url_parse(struct str text, struct url *ret, struct err_info *info)
{
	struct url u = { 0 };
	if (!text.len || text.len > URL_MAX)
		return bad(info, text.len ? "it is too long" : "it is empty");
	TRY(check_bytes(text, info));
	if (starts_nocase(text, STR("https://")))
		u.https = true;
	else if (!starts_nocase(text, STR("http://")))
		return bad(info, "it does not begin with https:// or http://");
	struct str rest = str_sub(text, u.https ? 8 : 7, text.len);
	size_t end = 0;
	while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
		end++;
	TRY(authority(str_sub(rest, 0, end), &u, info));
	TRY(path_set(str_sub(rest, end, rest.len), &u, info));
	*ret = u;
	return OK;
}

static enum err add_origin(const struct url *u, struct buf *out)
{
	TRY(buf_addf(out, "%s://%s%s%s", u->https ? "https" : "http",
		u->kind == URL_IPV6 ? "[" : "", u->host, u->kind == URL_IPV6 ? "]" : ""));
	if (u->port != (u->https ? 443 : 80))
		TRY(buf_addf(out, ":%u", u->port));
	return OK;
}

enum err url_resolve(const struct url *base, struct str location, struct buf *scratch,
	struct url *ret, struct err_info *info)
{
	buf_clear(scratch);
	if (str_starts(location, STR("//"))) {
		TRY(buf_addf(scratch, "%s:", base->https ? "https" : "http"));
	} else if (str_starts(location, STR("/"))) {
		TRY(add_origin(base, scratch));
	} else if (!starts_nocase(location, STR("http:")) &&
		   !starts_nocase(location, STR("https:"))) {
		return bad(info, "a redirect that is neither absolute nor begins with /");
	}
	/* A fragment in a Location is for browsers; it never travels. */
	size_t hash = str_find_byte(location, '#', 0);
	TRY(buf_add(scratch, hash == SIZE_MAX ? location : str_sub(location, 0, hash)));
	return url_parse(buf_str(scratch), ret, info);
}

enum err url_add(const struct url *u, struct buf *out)
{
	TRY(add_origin(u, out));
	TRY(buf_add(out, u->path));
	if (u->query.ptr) {
		TRY(buf_add_byte(out, '?'));
		TRY(buf_add(out, u->query));
	}
	return OK;
}

enum err url_add_encoded(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (is_alpha(c) || is_digit(c) || (c && strchr("-._~", c)))
			TRY(buf_add_byte(out, c));
		else
			TRY(buf_addf(out, "%%%02X", (unsigned char)c));
	}
	return OK;
}
