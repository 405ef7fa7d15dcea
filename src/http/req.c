/* A request from the handler's side: answers, streams, reading a body piece by piece. */
#include "http/http_int.h"

#include <stdio.h>

#include "base/fault.h"

struct http_req *req_new(struct http_server *s, struct http_conn *c, struct MHD_Connection *m)
{
	struct http_req *q = mem_zalloc(1, sizeof *q);
	if (!q)
		return NULL;
	if (arena_new(LIMIT_REQUEST_ARENA, &q->arena)) {
		mem_free(q);
		return NULL;
	}
	q->refs = 1;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->more, NULL);
	q->server = s;
	q->conn = c;
	q->mhd = m;
	q->dialect = DIALECT_PLAIN;
	id_new(q->id);
	return q;
}

void http_hold(struct http_req *q)
{
	q->refs++;
}

void http_release(struct http_req *q)
{
	if (--q->refs)
		return;
	buf_wipe(&q->body); /* prompts, passwords */
	buf_wipe(&q->piece);
	buf_wipe(&q->out);
	arena_free(q->arena);
	pthread_cond_destroy(&q->more);
	pthread_mutex_destroy(&q->lock);
	mem_free(q);
}

void req_resume_locked(struct http_req *q)
{
	if (q->suspended && q->mhd) {
		q->suspended = false;
		MHD_resume_connection(q->mhd);
	}
}

/* ---- errors before a handler ---- */

static void plain_error(enum dialect d, const struct err_info *e, struct str id, struct buf *out,
	const char **ret_media_type)
{
	(void)d, (void)id;
	*ret_media_type = "text/plain; charset=utf-8";
	(void)buf_addf(out, "%s\n", e->detail[0] ? e->detail : err_text(e->code));
}

static const char *error_body(struct http_server *s, enum dialect d, const struct err_info *e,
	struct str id, struct buf *out)
{
	const char *media_type = "text/plain; charset=utf-8";
	(s->o.on_error ? s->o.on_error : plain_error)(d, e, id, out, &media_type);
	return media_type;
}

void req_fail(struct http_req *q, const struct err_info *e)
{
	q->out.max = 64 * 1024;
	q->media_type = error_body(q->server, q->dialect, e, str_from(q->id), &q->out);
	q->status = err_http_status(e->code);
	q->is_stream = false;
	q->state = REQ_ANSWERED;
}

void raw_error(struct http_server *s, enum dialect d, const struct err_info *e, struct str id,
	struct buf *out)
{
	AUTO_BUF struct buf body = BUF(8 * 1024);
	const char *media_type = error_body(s, d, e, id, &body);
	(void)buf_addf(out,
		"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Connection: close\r\nX-Content-Type-Options: nosniff\r\n\r\n%.*s",
		err_http_status(e->code), err_slug(e->code), media_type, body.len, (int)body.len,
		body.len ? body.ptr : "");
}

/* ---- the response ---- */

static const struct {
	const char *name, *value;
} always[] = {
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()" },
	{ "Content-Security-Policy",
		"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'" },
	{ "Cache-Control", "no-store" },
};

static bool was_set(const struct http_req *q, const char *name)
{
	for (unsigned i = 0; i < q->n_out_header; i++)
		if (str_eq_nocase(q->out_header[i].name, str_from(name)))
			return true;
	return false;
}

static bool add_headers(const struct http_req *q, struct MHD_Response *r)
{
	bool ok = true;
	for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
		if (!was_set(q, always[i].name))
			ok &= MHD_add_response_header(r, always[i].name, always[i].value) ==
			      MHD_YES;
	for (unsigned i = 0; i < q->n_out_header; i++)
		ok &= MHD_add_response_header(
			      r, q->out_header[i].name.ptr, q->out_header[i].value.ptr) == MHD_YES;
	ok &= MHD_add_response_header(r, "X-Request-Id", q->id) == MHD_YES;
	if (q->dialect == DIALECT_ANTHROPIC) /* the name its clients know */
		ok &= MHD_add_response_header(r, "Request-Id", q->id) == MHD_YES;
	if (q->media_type)
		ok &= MHD_add_response_header(r, "Content-Type", q->media_type) == MHD_YES;
	if (q->tls)
		ok &= MHD_add_response_header(r, "Strict-Transport-Security", "max-age=31536000") ==
		      MHD_YES;
	if (q->is_stream) /* nginx: pass each piece on at once */
		ok &= MHD_add_response_header(r, "X-Accel-Buffering", "no") == MHD_YES;
	if (q->must_close || q->server->stopping)
		ok &= MHD_add_response_header(r, "Connection", "close") == MHD_YES;
	return ok;
}

static void cut_locked(struct http_req *q)
{
	if (!q->conn)
		return;
	pthread_mutex_lock(&q->server->lock);
	conn_cut(q->conn);
	pthread_mutex_unlock(&q->server->lock);
}

/* MHD wants more of a stream: gives what is there, or goes to sleep until http_write(). */
static ssize_t read_stream(void *arg, uint64_t at, char *dst, size_t max)
{
	struct http_req *q = arg;
	ssize_t rc;
	(void)at;
	pthread_mutex_lock(&q->lock);
	size_t have = q->out.len - q->out_at;
	if (q->gone || q->server->aborting) {
		/* The socket is cut (cut_locked), so the last chunk reaches nobody, and MHD
		 * closes on
		 * the failed write. END_WITH_ERROR would leave the connection open until its
		 * timeout: MHD 0.9.75 forgets to clean up on that path when it was suspended. */
		cut_locked(q);
		rc = MHD_CONTENT_READER_END_OF_STREAM;
	} else if (have) {
		size_t n = have < max ? have : max;
		memcpy(dst, q->out.ptr + q->out_at, n);
		q->out_at += n;
		q->server->bytes_out += n;
		if (q->out_at == q->out.len) {
			buf_clear(&q->out);
			q->out_at = 0;
		}
		rc = (ssize_t)n;
		if (q->out.len - q->out_at < OUT_ENOUGH)
			pthread_cond_broadcast(&q->more);
	} else if (q->finished) {
		rc = MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		q->suspended = true;
		MHD_suspend_connection(q->mhd);
		rc = 0;
	}
	pthread_mutex_unlock(&q->lock);
	return rc;
}

struct MHD_Response *req_response_locked(struct http_req *q)
{
	struct MHD_Response *r;
	if (q->is_stream) {
		r = MHD_create_response_from_callback(
			MHD_SIZE_UNKNOWN, 16 * 1024, read_stream, q, NULL);
		if (r && !q->stream_counted) {
			q->stream_counted = true;
			q->server->streams++;
		}
	} else {
		/* the bytes stay ours: the request outlives the response */
		r = MHD_create_response_from_buffer(
			q->out.len, q->out.len ? q->out.ptr : "", MHD_RESPMEM_PERSISTENT);
		q->server->bytes_out += q->out.len;
	}
	if (r && !add_headers(q, r)) {
		MHD_destroy_response(r);
		return NULL;
	}
	return r;
}

/* ---- the handler's calls ---- */

void http_set_header(struct http_req *q, const char *name, struct str value)
{
	char *v = arena_str(q->arena, value);
	if (!v || str_has_control(value) || q->n_out_header == OUT_HEADERS_MAX)
		return; /* a header that cannot be sent whole is not sent */
	struct str n = str_from(name);
	for (unsigned i = 0; i < q->n_out_header; i++)
		if (str_eq_nocase(q->out_header[i].name, n) &&
			!str_eq_nocase(n, STR("Set-Cookie"))) {
			q->out_header[i].value = (struct str){ v, value.len };
			return;
		}
	q->out_header[q->n_out_header++] = (struct header){ n, { v, value.len } };
}

/* May an answer be given now? A stream may follow http_later(). */
static bool open_locked(const struct http_req *q)
{
	return q->state == REQ_WORK && q->mhd;
}

static void set_answer(struct http_req *q, int status, const char *media_type)
{
	char *type = media_type ? arena_str(q->arena, str_from(media_type)) : NULL;
	q->status = status;
	q->media_type = type;
	q->state = REQ_ANSWERED;
}

void http_reply(struct http_req *q, int status, const char *media_type, struct str body)
{
	pthread_mutex_lock(&q->lock);
	if (open_locked(q)) {
		q->on_close = NULL; /* of http_later(): over now */
		set_answer(q, status, media_type);
		q->out.max = body.len;
		if (buf_add(&q->out, body)) {
			struct err_info e = { .code = ERR_NOMEM };
			req_fail(q, &e);
		}
		req_resume_locked(q);
	}
	pthread_mutex_unlock(&q->lock);
}

void http_later(struct http_req *q, void (*on_gone)(void *arg), void *arg)
{
	pthread_mutex_lock(&q->lock);
	q->later = true;
	q->on_close = on_gone;
	q->on_close_arg = arg;
	bool gone = q->gone;
	pthread_mutex_unlock(&q->lock);
	if (gone)
		req_left(q);
}

void http_stream(struct http_req *q, int status, const char *media_type,
	void (*on_close)(void *arg), void *arg)
{
	pthread_mutex_lock(&q->lock);
	bool lost = !open_locked(q);
	if (lost) {
		lost = !q->later; /* else http_later()'s call has told it, or will */
	} else {
		set_answer(q, status, media_type);
		q->is_stream = true;
		q->on_close = on_close;
		q->on_close_arg = arg;
		q->out.max = OUT_LIMIT;
		req_resume_locked(q);
	}
	pthread_mutex_unlock(&q->lock);
	if (lost && on_close)
		on_close(arg);
}

enum err http_write(struct http_req *q, struct str bytes)
{
	enum err e = OK;
	pthread_mutex_lock(&q->lock);
	if (!q->is_stream || q->gone || q->finished || !q->mhd) {
		e = ERR_CLOSED;
	} else if (q->out.len - q->out_at + bytes.len > OUT_LIMIT) {
		e = ERR_LIMIT;
	} else {
		if (q->out_at && q->out.len + bytes.len > OUT_LIMIT) {
			buf_drop_front(&q->out, q->out_at);
			q->out_at = 0;
		}
		e = buf_add(&q->out, bytes);
	}
	if (e == ERR_LIMIT ||
		e == ERR_NOMEM) { /* a reader this slow is cut; on_close comes from MHD */
		q->gone = true;
		cut_locked(q);
	}
	if (e != ERR_CLOSED)
		req_resume_locked(q);
	pthread_mutex_unlock(&q->lock);
	return e;
}

enum err http_write_wait(struct http_req *q, struct str bytes)
{
	pthread_mutex_lock(&q->lock);
	while (q->is_stream && !q->gone && !q->finished && q->mhd &&
		q->out.len - q->out_at >= OUT_ENOUGH)
		pthread_cond_wait(&q->more, &q->lock);
	pthread_mutex_unlock(&q->lock);
	return http_write(q, bytes);
}

void http_cut(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	q->gone = true;
	cut_locked(q);
	req_resume_locked(q);
	pthread_mutex_unlock(&q->lock);
}

void http_finish(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	q->finished = true;
	req_resume_locked(q);
	pthread_mutex_unlock(&q->lock);
}

bool http_gone(const struct http_req *q)
{
	return q->gone;
}

bool http_answered(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	bool yes = q->status != 0 || q->later;
	pthread_mutex_unlock(&q->lock);
	return yes;
}

int http_status(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	int status = q->status;
	pthread_mutex_unlock(&q->lock);
	return status;
}

/* ---- the client went ---- */

/* Tells the owner of a stream or of an answer that comes later, once. */
void req_left(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	void (*fn)(void *) = NULL;
	void *arg = q->on_close_arg;
	if (q->is_stream || q->later) {
		fn = q->on_close;
		q->on_close = NULL;
		if (q->state == REQ_WORK)
			q->state = REQ_DONE; /* nobody is there to be answered */
		req_resume_locked(q);
	}
	pthread_mutex_unlock(&q->lock);
	if (fn)
		fn(arg);
}

void req_gone(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	q->gone = true;
	pthread_cond_broadcast(&q->more);
	bool tell = q->is_stream ? !q->finished : q->later;
	pthread_mutex_unlock(&q->lock);
	if (tell)
		req_left(q);
}

/* After this nothing of the server is touched for `q`: MHD is resumed, sees that we abort, and lets
 * the connection go. */
void req_abort(struct http_req *q)
{
	req_gone(q);
	pthread_mutex_lock(&q->lock);
	pthread_cond_broadcast(&q->more);
	req_resume_locked(q);
	pthread_mutex_unlock(&q->lock);
}

/* ---- a streamed body ---- */

enum err http_body_next(struct http_req *q, struct str *ret)
{
	enum err e = OK;
	pthread_mutex_lock(&q->lock);
	buf_clear(&q->piece);
	while (!q->body.len && !q->body_end && q->mhd && q->state == REQ_WORK) {
		if (q->suspended) {
			if (q->body_begun)
				conn_phase(q->conn, CONN_BODY);
			req_resume_locked(q);
		}
		pthread_cond_wait(&q->more, &q->lock);
	}
	if (q->body.len) {
		struct buf spare = q->piece;
		q->piece = q->body;
		q->body = spare;
	} else if (!q->body_end) {
		e = ERR_CLOSED;
	}
	if (!e)
		*ret = buf_str(&q->piece);
	pthread_mutex_unlock(&q->lock);
	return e;
}
