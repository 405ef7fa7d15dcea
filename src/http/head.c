/* The head of a request: what MHD parsed is judged once more, strictly, before anybody acts on it.
 * MHD is lenient where two readers could differ (RFC 9112 section 11.2, request smuggling). */
#include "http/http_int.h"

#include <ctype.h>

/* Twice the same of these would let a proxy and us disagree about who asks for what. */
static const char *const single[] = {
	"authorization",
	"connection",
	"content-encoding",
	"content-length",
	"content-type",
	"cookie",
	"expect",
	"forwarded",
	"host",
	"idempotency-key",
	"if-none-match",
	"last-event-id",
	"origin",
	"proxy-authorization",
	"range",
	"referer",
	"sec-fetch-site",
	"te",
	"transfer-encoding",
	"upgrade",
	"user-agent",
	"x-api-key",
	"x-csrf-token",
	"x-forwarded-for",
	"x-forwarded-host",
	"x-forwarded-proto",
	"x-real-ip",
	"x-http-method-override",
};

static bool is_token(struct str s)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.ptr[i]) &&
			!memchr(others, s.ptr[i], sizeof others - 1))
			return false;
	return s.len > 0;
}

static bool must_be_single(struct str name)
{
	for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
		if (str_eq_nocase(name, str_from(single[i])))
			return true;
	return false;
}

struct collect {
	struct http_req *q;
	struct header h[HEADERS_MAX];
	size_t n, bytes;
	enum err err;
};

static enum MHD_Result collect_one(void *arg, enum MHD_ValueKind kind, const char *key,
	size_t key_len, const char *value, size_t value_len)
{
	struct collect *c = arg;
	(void)kind;
	c->bytes += key_len + value_len + 4;
	if (c->n == HEADERS_MAX || c->bytes > LIMIT_HTTP_HEADER) {
		c->err = ERR_HEADERS;
		return MHD_NO;
	}
	struct str v = str_trim((struct str){ value ? value : "", value ? value_len : 0 });
	c->h[c->n++] = (struct header){ { key, key_len }, v };
	return MHD_YES;
}

static enum err keep(struct http_req *q, const struct collect *c)
{
	q->headers = ARENA_ARRAY(q->arena, struct header, c->n + 1);
	if (!q->headers)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->n; i++) {
		char *name = arena_str(q->arena, c->h[i].name);
		char *value = arena_str(q->arena, c->h[i].value);
		if (!name || !value)
			return ERR_NOMEM;
		q->headers[i].name = (struct str){ name, c->h[i].name.len };
		q->headers[i].value = (struct str){ value, c->h[i].value.len };
	}
	q->n_headers = c->n;
	return OK;
}

static bool value_ok(struct str v)
{
	for (size_t i = 0; i < v.len; i++)
		if (((unsigned char)v.ptr[i] < 0x20 && v.ptr[i] != '\t') || v.ptr[i] == 0x7f)
			return false;
	return true;
}

static enum err check_headers(struct http_req *q, struct err_info *info)
{
	for (size_t i = 0; i < q->n_headers; i++) {
		struct str name = q->headers[i].name;
		if (!is_token(name) || !value_ok(q->headers[i].value))
			return err_set(info, ERR_INVALID, "a header is not valid");
		if (!must_be_single(name))
			continue;
		for (size_t j = 0; j < i; j++)
			if (str_eq_nocase(q->headers[j].name, name))
				return err_set(info, ERR_INVALID, "header \"%.*s\" came twice",
					STR_ARG(name));
	}
	return OK;
}

/* How long the body is, in exactly one of two ways. */
static enum err check_framing(struct http_req *q, struct err_info *info)
{
	struct str te = http_header(q, "Transfer-Encoding"), cl = http_header(q, "Content-Length");
	uint64_t n = 0;
	if (te.ptr && cl.ptr)
		return err_set(info, ERR_INVALID, "both Content-Length and Transfer-Encoding");
	if (te.ptr && (!q->http_1_1 || !str_eq_nocase(te, STR("chunked"))))
		return err_set(info, ERR_INVALID, "this Transfer-Encoding is not supported");
	if (cl.ptr && str_to_u64(cl, &n))
		return err_set(info, ERR_INVALID, "Content-Length is not a number");
	struct str coding = http_header(q, "Content-Encoding");
	if (coding.len && !str_eq_nocase(coding, STR("identity")))
		return err_set(info, ERR_UNSUPPORTED, "a compressed body is not supported");
	q->body_bytes = cl.ptr ? n : te.ptr ? UINT64_MAX : 0;
	return OK;
}

static struct str host_name(struct str host)
{
	if (host.len && host.ptr[0] == '[') {
		size_t end = str_find_byte(host, ']', 0);
		return end == SIZE_MAX ? host : str_sub(host, 0, end + 1);
	}
	return str_sub(host, 0, str_find_byte(host, ':', 0));
}

static bool host_chars_ok(struct str host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!isalnum((unsigned char)host.ptr[i]) && !memchr(".-:[]_", host.ptr[i], 6))
			return false;
	return host.len > 0 && host.len < 256;
}

/* On loopback a page in somebody's browser could reach us under a name of its own that it points
 * to 127.0.0.1 (DNS rebinding): so only names that are ours. */
bool head_host_ok(const struct http_server *s, struct str host)
{
	struct str name = host_name(host), rest = str_from(s->hosts), field;
	struct net_addr a;
	if (str_eq_nocase(name, STR("localhost")))
		return true;
	if (name.len > 10 && str_eq_nocase(str_sub(name, name.len - 10, 10), STR(".localhost")))
		return true;
	if (!net_addr_parse(name, &a) && net_addr_loopback(&a))
		return true;
	while (str_next(&rest, ',', &field))
		if (str_eq_nocase(name, str_trim(field)) && name.len)
			return true;
	return false;
}

static enum err check_host(struct http_req *q, struct err_info *info)
{
	struct str host = http_header(q, "Host");
	if (q->local)
		return OK;
	if (!host_chars_ok(host))
		return err_set(info, ERR_INVALID, "the Host header is missing or not valid");
	if (q->conn->loopback && !head_host_ok(q->server, host)) {
		(void)err_set(info, ERR_FORBIDDEN, "host \"%.*s\" is not a name of this server",
			STR_ARG(host_name(host)));
		err_hint(info, "use localhost, or name this host in tresor.conf (hosts = ...)");
		return ERR_FORBIDDEN;
	}
	return OK;
}

/* Who asks, and over what: a proxy's word counts only from a proxy's address. */
static void find_client(struct http_req *q)
{
	const struct http_conn *c = q->conn;
	struct net_addr a = c->addr;
	q->tls = c->tls;
	q->local = c->local;
	q->uid = c->uid;
	if (c->proxied) {
		(void)net_forwarded(&q->server->proxies, http_header(q, "X-Forwarded-For"), &a);
		if (str_eq_nocase(http_header(q, "X-Forwarded-Proto"), STR("https")))
			q->tls = true;
	}
	if (c->local)
		(void)str_copy(STR("local"), q->address, sizeof q->address);
	else
		net_addr_text(&a, q->address);
}

static enum err check_target(struct http_req *q, struct err_info *info)
{
	struct str t = q->raw_target;
	for (size_t i = 0; i < t.len; i++)
		if (t.ptr[i] <= 0x20 || t.ptr[i] >= 0x7f || t.ptr[i] == '#')
			return err_set(
				info, ERR_INVALID, "the address has bytes that must be encoded");
	if (!t.len || t.ptr[0] != '/')
		return err_set(info, ERR_INVALID, "the address must begin with a slash");
	size_t mark = str_find_byte(t, '?', 0);
	q->path = str_sub(t, 0, mark);
	q->raw_query = mark == SIZE_MAX ? STR("") : str_sub(t, mark + 1, SIZE_MAX);
	q->dialect = route_dialect(q->path);
	struct str path = q->path, segment, plain;
	while (str_next(&path, '/', &segment)) {
		if (decode_percent(q->arena, segment, false, &plain))
			return err_set(info, ERR_INVALID, "the address is not properly encoded");
		if (str_eq(plain, STR(".")) || str_eq(plain, STR("..")))
			return err_set(info, ERR_INVALID, "the address has a dot segment");
	}
	if (decode_query(q->arena, q->raw_query, &q->query, &q->n_query))
		return err_set(info, ERR_INVALID,
			"the query is not properly encoded, or names one "
			"parameter twice");
	return OK;
}

static enum err find_route(struct http_req *q, struct err_info *info)
{
	bool other;
	q->route = route_match(q->method, q->path, &q->params, &other);
	if (!q->route && other) {
		AUTO_BUF struct buf allow = BUF(256);
		route_allowed(q->path, &allow);
		if (!allow.err)
			http_set_header(q, "Allow", buf_str(&allow));
		return err_set(info, ERR_METHOD, "this address does not take this method");
	}
	if (!q->route)
		return err_set(info, ERR_NOT_FOUND, "there is nothing at this address");
	q->dialect = q->route->dialect;
	for (unsigned i = 0; i < q->params.n; i++)
		TRY(decode_percent(q->arena, q->params.p[i].value, false, &q->params.p[i].value));
	q->streamed = q->route->body_max < 0;
	q->body_max = q->streamed ? UINT64_MAX : (uint64_t)q->route->body_max;
	if (q->body_bytes != UINT64_MAX && q->body_bytes > q->body_max)
		return err_set(info, ERR_TOO_LARGE, "the body has %llu bytes, the limit is %llu",
			(unsigned long long)q->body_bytes, (unsigned long long)q->body_max);
	return OK;
}

enum err head_read(struct http_req *q, struct err_info *info)
{
	struct collect c = { .q = q };
	MHD_get_connection_values_n(q->mhd, MHD_HEADER_KIND, collect_one, &c);
	if (c.err)
		return err_set(info, c.err, "the request's headers are too large");
	TRY(keep(q, &c));
	find_client(q);
	TRY(check_target(q, info)); /* first: it tells the dialect of every later error */
	TRY(check_headers(q, info));
	TRY(check_framing(q, info));
	TRY(check_host(q, info));
	return find_route(q, info);
}

static struct str find_header(const struct http_req *q, struct str name)
{
	for (size_t i = 0; i < q->n_headers; i++)
		if (str_eq_nocase(q->headers[i].name, name))
			return q->headers[i].value;
	return STR_NONE;
}

struct str http_header(const struct http_req *q, const char *name)
{
	return find_header(q, str_from(name));
}

struct str http_cookie(const struct http_req *q, const char *name)
{
	return decode_cookie(find_header(q, STR("Cookie")), name);
}

struct str http_param(const struct http_req *q, const char *name)
{
	for (unsigned i = 0; i < q->params.n; i++)
		if (str_eq(q->params.p[i].name, str_from(name)))
			return q->params.p[i].value;
	return STR_NONE;
}

struct str http_query(const struct http_req *q, const char *name)
{
	for (size_t i = 0; i < q->n_query; i++)
		if (str_eq(q->query[i].name, str_from(name)))
			return q->query[i].value;
	return STR_NONE;
}

const struct route *http_route(const struct http_req *q)
{
	return q->route;
}
void http_set_ctx(struct http_req *q, void *ctx)
{
	q->ctx = ctx;
}
void *http_ctx(const struct http_req *q)
{
	return q->ctx;
}
struct arena *http_arena(struct http_req *q)
{
	return q->arena;
}
struct str http_method(const struct http_req *q)
{
	return q->method;
}
struct str http_path(const struct http_req *q)
{
	return q->path;
}
struct str http_body(const struct http_req *q)
{
	return buf_str(&q->body);
}
struct str http_request_id(const struct http_req *q)
{
	return str_from(q->id);
}
struct str http_client_address(const struct http_req *q)
{
	return str_from(q->address);
}
bool http_is_tls(const struct http_req *q)
{
	return q->tls;
}
bool http_is_local(const struct http_req *q, unsigned *ret_uid)
{
	if (q->local && ret_uid)
		*ret_uid = q->uid;
	return q->local;
}
