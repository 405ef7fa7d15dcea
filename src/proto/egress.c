#include "proto/egress.h"

#include <string.h>

enum { HOST_MAX = 256, POLICY_MAX = 1024 };

bool egress_only_asks(struct str method)
{
	return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
}

static void put_headers(struct ipc_out *m, const struct egress_header *h, unsigned n)
{
	ipc_put_u64(m, n);
	for (unsigned i = 0; i < n; i++) {
		ipc_put_str(m, h[i].name);
		ipc_put_str(m, h[i].value);
	}
}

static unsigned get_headers(struct ipc_in *m, struct egress_header *h)
{
	uint64_t n = ipc_get_u64(m);
	if (n > EGRESS_HEADERS_MAX)
		m->err = ERR_PROTOCOL;
	for (uint64_t i = 0; i < n && !m->err; i++) {
		h[i].name = ipc_get_str(m);
		h[i].value = ipc_get_str(m);
		if (h[i].name.len + h[i].value.len > EGRESS_HEADER_BYTES)
			m->err = ERR_PROTOCOL;
	}
	return m->err ? 0 : (unsigned)n;
}

static uint32_t get_u32(struct ipc_in *m)
{
	uint64_t v = ipc_get_u64(m);
	if (v > UINT32_MAX)
		m->err = ERR_PROTOCOL;
	return m->err ? 0 : (uint32_t)v;
}

void egress_policy_put(struct ipc_out *m, const struct egress_policy_entry *e, size_t n)
{
	ipc_put_u64(m, n);
	for (size_t i = 0; i < n; i++) {
		ipc_put_str(m, e[i].host);
		ipc_put_u64(m, e[i].port);
		ipc_put_bool(m, e[i].plain);
		ipc_put_bool(m, e[i].push);
	}
}

enum err egress_policy_get(
	struct ipc_in *m, struct egress_policy_entry *e, size_t max, size_t *ret_n)
{
	uint64_t n = ipc_get_u64(m);
	if (n > max || n > POLICY_MAX)
		return ERR_PROTOCOL;
	for (uint64_t i = 0; i < n && !m->err; i++) {
		e[i].host = ipc_get_str(m);
		uint64_t port = ipc_get_u64(m);
		e[i].plain = ipc_get_bool(m);
		e[i].push = ipc_get_bool(m);
		if (e[i].host.len > HOST_MAX || !port || port > 65535)
			m->err = ERR_PROTOCOL;
		e[i].port = (uint16_t)port;
	}
	TRY(ipc_end(m));
	*ret_n = (size_t)n;
	return OK;
}

void egress_fetch_put(struct ipc_out *m, struct egress_fetch *f)
{
	ipc_put_str(m, f->method);
	ipc_put_str(m, f->url);
	put_headers(m, f->header, f->n_headers);
	ipc_put_str(m, f->body);
	ipc_put_bool(m, f->has_range);
	ipc_put_u64(m, f->from);
	ipc_put_u64(m, f->to);
	ipc_put_u64(m, f->max_bytes);
	ipc_put_u64(m, f->sink_offset);
	ipc_put_u64(m, f->connect_ms);
	ipc_put_u64(m, f->stall_ms);
	ipc_put_u64(m, f->total_ms);
	ipc_put_u64(m, f->login);
	ipc_put_u64(m, f->source_bytes);
	ipc_put_bool(m, f->sink_fd >= 0);
	if (f->sink_fd >= 0)
		ipc_put_fd(m, f->sink_fd);
	ipc_put_bool(m, f->source_fd >= 0);
	if (f->source_fd >= 0)
		ipc_put_fd(m, f->source_fd);
	f->sink_fd = f->source_fd = -1;
}

enum err egress_fetch_get(struct ipc_in *m, struct egress_fetch *f)
{
	struct egress_fetch v = { .sink_fd = -1, .source_fd = -1 };
	v.method = ipc_get_str(m);
	v.url = ipc_get_str(m);
	v.n_headers = get_headers(m, v.header);
	v.body = ipc_get_str(m);
	v.has_range = ipc_get_bool(m);
	v.from = ipc_get_u64(m);
	v.to = ipc_get_u64(m);
	v.max_bytes = ipc_get_u64(m);
	v.sink_offset = ipc_get_u64(m);
	v.connect_ms = get_u32(m);
	v.stall_ms = get_u32(m);
	v.total_ms = get_u32(m);
	v.login = ipc_get_u64(m);
	v.source_bytes = ipc_get_u64(m);
	if (ipc_get_bool(m))
		v.sink_fd = ipc_get_fd(m);
	if (ipc_get_bool(m))
		v.source_fd = ipc_get_fd(m);
	enum err e = ipc_end(m);
	if (!e && v.has_range && v.from >= v.to)
		e = ERR_PROTOCOL;
	if (e) {
		if (v.sink_fd >= 0)
			(void)close(v.sink_fd);
		if (v.source_fd >= 0)
			(void)close(v.source_fd);
		return ERR_PROTOCOL;
	}
	*f = v;
	return OK;
}

void egress_head_put(struct ipc_out *m, const struct egress_head *h)
{
	ipc_put_u64(m, h->status);
	put_headers(m, h->header, h->n_headers);
	ipc_put_i64(m, h->length);
	ipc_put_i64(m, h->whole);
}

enum err egress_head_get(struct ipc_in *m, struct egress_head *h)
{
	*h = (struct egress_head){ 0 };
	h->status = get_u32(m);
	h->n_headers = get_headers(m, h->header);
	h->length = ipc_get_i64(m);
	h->whole = ipc_get_i64(m);
	if (h->status < 100 || h->status > 999 || h->length < -1 || h->whole < -1)
		return ERR_PROTOCOL;
	return ipc_end(m);
}

void egress_done_put(struct ipc_out *m, const struct egress_done *d)
{
	ipc_put_u64(m, d->status);
	ipc_put_u64(m, d->bytes);
}

enum err egress_done_get(struct ipc_in *m, struct egress_done *d)
{
	d->status = get_u32(m);
	d->bytes = ipc_get_u64(m);
	return ipc_end(m);
}

void egress_failed_put(struct ipc_out *m, const struct egress_failed *f)
{
	ipc_put_u64(m, f->code);
	ipc_put_str(m, f->detail);
	ipc_put_u64(m, f->bytes);
}

enum err egress_failed_get(struct ipc_in *m, struct egress_failed *f)
{
	uint64_t code = ipc_get_u64(m);
	f->detail = ipc_get_str(m);
	f->bytes = ipc_get_u64(m);
	TRY(ipc_end(m));
	if (code == OK || code >= ERR_COUNT_ || f->detail.len > ERR_DETAIL_MAX ||
	    !str_is_utf8(f->detail) || str_has_control(f->detail))
		return ERR_PROTOCOL;
	f->code = (enum err)code;
	return OK;
}

void egress_login_put(struct ipc_out *m, const struct egress_login *l)
{
	ipc_put_u64(m, l->number);
	ipc_put_str(m, l->host);
	ipc_put_u64(m, l->port);
	ipc_put_str(m, l->user);
	ipc_put_str(m, l->password);
}

enum err egress_login_get(struct ipc_in *m, struct egress_login *l)
{
	struct egress_login v = { .number = ipc_get_u64(m), .host = ipc_get_str(m) };
	uint64_t port = ipc_get_u64(m);
	v.user = ipc_get_str(m);
	v.password = ipc_get_str(m);
	TRY(ipc_end(m));
	if (!v.number || !port || port > 65535 || v.host.len > HOST_MAX)
		return ERR_PROTOCOL;
	v.port = (uint16_t)port;
	*l = v;
	return OK;
}
