/* net/proxy.h - the company's proxy, from the environment, read once. Pure but for that. */
#pragma once

#include "net/url.h"

struct proxy {
	char https[512], http[512]; /* "http://proxy:3128"; may carry user:password; empty: none */
	char none[2048];            /* NO_PROXY */
};
void proxy_from_env(struct proxy *ret);
/* The proxy for this URL, or NULL: connect ourselves. Addresses of this machine never go by proxy.
 * NO_PROXY: "*", names (also for all names below), addresses, each with an optional ":port". */
const char *proxy_for(const struct proxy *p, const struct url *u);
