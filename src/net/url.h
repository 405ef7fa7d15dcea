/* net/url.h - the one URL parser: a strict subset of RFC 3986 and the WHATWG URL standard.
 *
 * Only http and https; no user info, no fragment; the host is ASCII (no IDNA; "xn--" labels are
 * taken as they are) or an address literal; anything that one parser reads so and another
 * otherwise is refused: blanks, control bytes, backslashes, percent signs in the host, numeric
 * hosts that are
 * not a plain dotted quad, an empty host, a port 0 or over 65535. Path and query stay raw.
 * Whatever goes out is built from the parsed parts, never from the text. Pure. */
#pragma once

#include "base/buf.h"

enum { URL_MAX = 8192, URL_HOST_MAX = 253 };

struct url { /* path and query borrow from the text */
	bool https;
	char host[URL_HOST_MAX + 1]; /* lower case; IPv6 without brackets; no trailing dot */
	enum { URL_NAME, URL_IPV4, URL_IPV6 } kind;
	uint16_t port;
	struct str path;  /* begins with '/'; "/" when the text has none */
	struct str query; /* without '?'; STR_NONE when absent */
};
/* Errors: ERR_INVALID (info says why). */
enum err url_parse(struct str text, struct url *ret, struct err_info *info);
/* A Location header against the URL it came from: absolute, "//host/..", or "/path..". */
enum err url_resolve(const struct url *base, struct str location, struct buf *scratch,
	struct url *ret, struct err_info *info);
/* Writes the one spelling: scheme, host, port unless default, path, query. */
enum err url_add(const struct url *u, struct buf *out);
/* Percent-encodes for a query value. */
enum err url_add_encoded(struct buf *out, struct str s);
