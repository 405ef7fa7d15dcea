/* http/route.h - the table of routes, generated from api/routes.json (gen/routes.inc). */
#pragma once

#include "http/http.h"

enum {
	AUTH_NONE = 1,
	AUTH_SESSION = 2,
	AUTH_KEY = 4,
	AUTH_LOCAL = 8
}; /* credentials accepted;
	* the local socket is accepted wherever a session is */
struct route {
	const char *method, *path; /* "/team/v1/messages/{id}/stop" */
	http_handler handler;      /* void NAME(struct http_req *, void *app) */
	enum dialect dialect;
	unsigned action; /* enum action of vault/authorize.h */
	unsigned object; /* enum object_kind of vault/authorize.h */
	unsigned auth;   /* bits */
	bool changes, streams;
	long body_max;     /* bytes; -1: streamed */
	const char *scope; /* an API key needs this scope; NULL: no key can have it */
};
extern const struct route route_table[];
extern const size_t route_count;
enum { ROUTE_PARAMS_MAX = 4, ROUTE_SEGMENTS_MAX = 16 };
struct route_params {
	struct {
		struct str name, value;
	} p[ROUTE_PARAMS_MAX]; /* value: raw, still percent-encoded */
	unsigned n;
};
/* `path` is raw: it starts with '/', has no query, is not decoded. Fixed segments go before {x};
 * HEAD is answered by GET; a GET without a dot-free API prefix that nothing names is the page's.
 * NULL: none; *ret_other_method: the path exists with other methods (405). Thread-safe. */
const struct route *route_find(struct str method, struct str path, bool *ret_other_method);
/* As route_find, and fills the values of the {names}. */
const struct route *route_match(
	struct str method, struct str path, struct route_params *ret, bool *ret_other_method);
/* The dialect of an address that no route names: by its first segment. */
enum dialect route_dialect(struct str path);
/* Adds "GET, PUT": what the path takes, for Allow. */
void route_allowed(struct str path, struct buf *out);
