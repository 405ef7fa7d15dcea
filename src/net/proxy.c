#include "net/proxy.h"

#include <stdlib.h>
#include <string.h>

static void take(const char *lower, const char *upper, char *dst, size_t size)
{
	const char *v = getenv(lower);
	if (!v || !*v)
		v = getenv(upper);
	dst[0] = '\0';
	/* A proxy too long to keep is better missed loudly (no connection) than cut. */
	if (v && str_copy(str_from(v), dst, size))
		dst[0] = '\0';
}

void proxy_from_env(struct proxy *ret)
{
	take("https_proxy", "HTTPS_PROXY", ret->https, sizeof ret->https);
	take("http_proxy", "HTTP_PROXY", ret->http, sizeof ret->http);
	take("no_proxy", "NO_PROXY", ret->none, sizeof ret->none);
}

static bool entry_matches(struct str e, const struct url *u)
{
	struct str host = str_from(u->host);
	if (u->kind != URL_IPV6) {
		size_t colon = str_find_byte(e, ':', 0);
		if (colon != SIZE_MAX && str_find_byte(e, ':', colon + 1) == SIZE_MAX) {
			uint64_t port = 0;
			if (str_to_u64(str_sub(e, colon + 1, e.len), &port) || port != u->port)
				return false;
			e = str_sub(e, 0, colon);
		}
	}
	if (str_starts(e, STR("*.")))
		e = str_sub(e, 1, e.len);
	if (str_starts(e, STR(".")))
		e = str_sub(e, 1, e.len);
	if (!e.len || host.len < e.len)
		return false;
	struct str tail = str_sub(host, host.len - e.len, e.len);
	if (!str_eq_nocase(tail, e))
		return false;
	return host.len == e.len || (u->kind == URL_NAME && host.ptr[host.len - e.len - 1] == '.');
}

static bool is_here(const struct url *u)
{
	return !strcmp(u->host, "localhost") || !strcmp(u->host, "::1") ||
	       (u->kind == URL_IPV4 && !strncmp(u->host, "127.", 4));
}

const char *proxy_for(const struct proxy *p, const struct url *u)
{
	const char *proxy = u->https ? p->https : p->http;
	struct str rest = str_from(p->none), entry;
	if (!*proxy || is_here(u))
		return NULL;
	while (str_next(&rest, ',', &entry)) {
		entry = str_trim(entry);
		if (str_eq(entry, STR("*")) || entry_matches(entry, u))
			return NULL;
	}
	return proxy;
}
