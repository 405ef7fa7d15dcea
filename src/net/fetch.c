#include "net/fetch.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "net/header.h"
#include "os/fd.h"
#include "proto/sink.h"

enum {
	CURL_BYTES = 256 * 1024,    /* of one write callback at most */
	INLINE_PIECE = 12 * 1024,   /* of one DATA message */
	ERROR_BODY_MAX = 16 * 1024, /* of an answer that is not 2xx */
	CONNECT_MS = 10000,
	STALL_MS = 30000,
	MOVED_MS = 200,
	WHY_MAX = 300,
};

struct fetch {
	const struct fetch_env *env;
	uint64_t id, from, to, max_bytes, sink_at, bytes, told;
	CURL *easy;
	struct curl_slist *headers;
	bool has_range, head_sent, over, held, to_sink, refused, cut, failed;
	bool proxied, is_head;
	int sink_fd, source_fd; /* source: where an upload's bytes come from */
	uint64_t source_left, source_done;
	bool hungry; /* the source had nothing: libcurl is paused until it has */
	uint32_t status, stall_ms;
	int64_t moved_ms, told_ms; /* last byte; last MOVED */
	enum err fail;
	char why[WHY_MAX], host[URL_HOST_MAX + 1];
	struct buf head, body; /* header lines of the answer; the request's body */
	size_t pend_at, pend_n;
	char pend[CURL_BYTES];
};

/* ---- events ---- */
static void send_event(struct fetch *f, struct ipc_out *m)
{
	/* A server that does not read is found by its own channel's end; nothing to do here. */
	(void)ipc_send(f->env->server, m);
	ipc_out_done(m);
}

void fetch_fail(struct fetch *f, enum err e, const char *why)
{
	struct ipc_out m;
	if (f->failed)
		return;
	f->failed = true;
	ipc_out_init(&m, EGRESS_FAILED, f->id);
	egress_failed_put(&m, &(struct egress_failed){ e, str_from(why), f->bytes - f->pend_n });
	send_event(f, &m);
}

static size_t stop(struct fetch *f, enum err e, const char *why)
{
	if (!f->fail) {
		f->fail = e;
		(void)snprintf(f->why, sizeof f->why, "%s", why);
	}
	return CURL_WRITEFUNC_ERROR;
}

static void send_done(struct fetch *f)
{
	struct ipc_out m;
	ipc_out_init(&m, EGRESS_DONE, f->id);
	egress_done_put(&m, &(struct egress_done){ f->status, f->bytes });
	send_event(f, &m);
}

/* ---- the answer's head ---- */
static struct str head_value(const struct egress_head *h, const char *name)
{
	for (unsigned i = 0; i < h->n_headers; i++)
		if (str_eq(h->header[i].name, str_from(name)))
			return h->header[i].value;
	return STR_NONE;
}

/* Decides where a 2xx body goes. A server that answers another part than asked for would put bytes
 * in wrong places: the digest would tell hours later, so it is refused here. */
static enum err place_body(struct fetch *f, struct egress_head *h)
{
	uint64_t from = 0, to = 0;
	f->to_sink = f->sink_fd >= 0 && h->status >= 200 && h->status < 300;
	if (h->status == 206) {
		struct str range = head_value(h, "content-range");
		if (!f->has_range || !header_content_range(range, &from, &to, &h->whole) ||
			from != f->from || to > f->to) {
			(void)stop(f, ERR_UPSTREAM,
				"the server sent another part than it was asked for");
			return ERR_UPSTREAM;
		}
	} else if (h->status == 200) {
		h->whole = h->length;
		if (f->has_range && f->from > 0) {
			(void)stop(f, ERR_UNSUPPORTED, "the server does not send parts of a file");
			return ERR_UNSUPPORTED;
		}
		f->cut = f->has_range; /* the whole comes: take what was asked for, then leave */
	}
	return OK;
}

static enum err send_head(struct fetch *f)
{
	struct egress_head h = { .status = f->status, .length = -1, .whole = -1 };
	struct str rest = buf_str(&f->head), line;
	uint64_t n = 0;
	while (h.n_headers < EGRESS_HEADERS_MAX && str_next(&rest, '\n', &line))
		if (header_line_read(
			    line, &h.header[h.n_headers].name, &h.header[h.n_headers].value))
			h.n_headers++;
	struct str length = head_value(&h, "content-length");
	if (length.ptr && !str_to_u64(length, &n) && n <= INT64_MAX)
		h.length = (int64_t)n;
	TRY(place_body(f, &h));
	struct ipc_out m;
	ipc_out_init(&m, EGRESS_HEAD, f->id);
	egress_head_put(&m, &h);
	send_event(f, &m);
	f->head_sent = true;
	return OK;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	struct str line = str_trim((struct str){ p, size * n });
	long status = 0;
	f->moved_ms = time_mono_ms();
	if (str_starts(line, STR("HTTP/"))) { /* a new head: 1xx or the final one */
		buf_clear(&f->head);
		(void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
		f->status = (uint32_t)status;
		return size * n;
	}
	if (!line.len) {
		(void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
		f->status = (uint32_t)status;
		if (f->status >= 200 && !f->head_sent && send_head(f))
			return 0;
		return size * n;
	}
	size_t start = f->head.len, colon = str_find_byte(line, ':', 0);
	if (buf_add(&f->head, line) || buf_add_byte(&f->head, '\n')) {
		(void)stop(f, ERR_UPSTREAM, "the server's headers are too large");
		return 0;
	}
	for (size_t i = 0; colon != SIZE_MAX && i < colon; i++)
		f->head.ptr[start + i] = (char)tolower((unsigned char)f->head.ptr[start + i]);
	return size * n;
}

/* ---- the body ---- */
static void send_inline(struct fetch *f, const char *p, size_t n)
{
	while (n) {
		struct ipc_out m;
		size_t piece = n < INLINE_PIECE ? n : INLINE_PIECE;
		ipc_out_init(&m, EGRESS_DATA, f->id);
		ipc_put_str(&m, (struct str){ p, piece });
		send_event(f, &m);
		p += piece;
		n -= piece;
	}
}

/* Moves pending bytes into the sink. ERR_AGAIN: the sink is full. */
static enum err flush(struct fetch *f)
{
	while (f->pend_n) {
		size_t n = f->pend_n < SINK_FRAME_MAX ? f->pend_n : SINK_FRAME_MAX;
		TRY(sink_send(f->sink_fd, f->sink_at, f->pend + f->pend_at, n, false));
		f->sink_at += n;
		f->pend_at += n;
		f->pend_n -= n;
	}
	f->pend_at = 0;
	return OK;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	size_t len = size * n, take = len;
	uint64_t max = f->max_bytes;
	f->moved_ms = time_mono_ms();
	if (f->status < 200 || f->status > 299) {
		if (f->bytes < ERROR_BODY_MAX && f->bytes + len <= ERROR_BODY_MAX)
			send_inline(f, p, len);
		f->bytes += len;
		return f->bytes > EGRESS_INLINE_MAX
			       ? stop(f, ERR_UPSTREAM, "the error page is too large")
			       : len;
	}
	if (f->to_sink && f->pend_n) {
		enum err e = flush(f);
		if (e == ERR_AGAIN) {
			f->held = true;
			/* libcurl keeps these bytes and brings them again */
			return CURL_WRITEFUNC_PAUSE;
		}
		if (e)
			return stop(f, ERR_CLOSED, "the writer is gone");
	}
	if (f->bytes + len > max) {
		if (!f->cut)
			return stop(f, ERR_TOO_LARGE, "the server sent more than it was asked for");
		take = (size_t)(max - f->bytes);
	}
	f->bytes += take;
	if (!f->to_sink) {
		send_inline(f, p, take);
	} else {
		memcpy(f->pend, p, take);
		f->pend_n = take;
		enum err e = flush(f);
		if (e && e != ERR_AGAIN)
			return stop(f, ERR_CLOSED, "the writer is gone");
	}
	/* Enough of a whole file: leaving is no failure. */
	return take == len ? len : CURL_WRITEFUNC_ERROR;
}

/* ---- an upload's bytes ---- */
static size_t on_source(char *dst, size_t size, size_t n, void *arg)
{
	struct fetch *f = arg;
	size_t room = size * n, got = 0;
	if (room > f->source_left)
		room = (size_t)f->source_left;
	if (!room)
		return 0;
	enum err e = fd_read(f->source_fd, dst, room, &got);
	if (e == ERR_AGAIN) {
		f->hungry = true;
		return CURL_READFUNC_PAUSE;
	}
	if (e || !got) {
		(void)stop(f, ERR_CLOSED, "the process that reads the model ended");
		return CURL_READFUNC_ABORT;
	}
	f->source_left -= got;
	f->source_done += got;
	f->moved_ms = time_mono_ms();
	return got;
}

int fetch_reads_from(const struct fetch *f)
{
	return f->hungry && !f->over ? f->source_fd : -1;
}

void fetch_feed(struct fetch *f)
{
	f->hungry = false;
	(void)curl_easy_pause(f->easy, CURLPAUSE_CONT);
}

/* ---- the connection ---- */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct fetch *f = arg;
	if (purpose != CURLSOCKTYPE_IPCXN)
		return CURL_SOCKET_BAD;
	/* The proxy is the administrator's word; every other address must pass. This is the address
	 * that will be connected: no second look-up can change it. */
	if (!f->proxied && !allow_address(f->env->allow, &a->addr)) {
		f->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static bool header_allowed(const struct egress_header *h)
{
	static const char *const ours[] = { "host", "content-length", "transfer-encoding",
		"connection", "upgrade", "te", "trailer", "expect", "range" };
	if (!h->name.len || str_has_control(h->value) || str_starts(h->name, STR("Proxy-")))
		return false;
	for (size_t i = 0; i < h->name.len; i++)
		if (!isalnum((unsigned char)h->name.ptr[i]) && h->name.ptr[i] != '-')
			return false;
	for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
		if (str_eq_nocase(h->name, str_from(ours[i])))
			return false;
	return true;
}

static enum err add_headers(struct fetch *f, const struct egress_fetch *q)
{
	for (unsigned i = 0; i < q->n_headers; i++) {
		AUTO_BUF struct buf line = BUF(EGRESS_HEADER_BYTES);
		const char *z;
		if (!header_allowed(&q->header[i]))
			return ERR_INVALID;
		TRY(buf_addf(&line, "%.*s: %.*s", STR_ARG(q->header[i].name),
			STR_ARG(q->header[i].value)));
		TRY(buf_cstr(&line, &z));
		struct curl_slist *more = curl_slist_append(f->headers, z);
		if (!more)
			return ERR_NOMEM;
		f->headers = more;
	}
	return OK;
}

#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (curl_easy_setopt(f->easy, option, value) != CURLE_OK)                          \
			return ERR_NOMEM;                                                          \
	} while (0)

/* Only these methods, so that no other can be smuggled in. */
static const char *sending_method(struct str m)
{
	static const char *const known[] = { "POST", "PUT", "PATCH" };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (str_eq(m, str_from(known[i])))
			return known[i];
	return NULL;
}

static enum err set_sending(struct fetch *f, const struct egress_fetch *q)
{
	const char *method = sending_method(q->method);
	if (!method)
		return ERR_INVALID;
	if (f->source_fd >= 0) {
		TRY(fd_nonblock(f->source_fd, true));
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_READFUNCTION, on_source);
		SET(CURLOPT_READDATA, f);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)f->source_left);
	} else {
		TRY(buf_add(&f->body, q->body));
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body.len);
		SET(CURLOPT_POSTFIELDS, f->body.ptr ? f->body.ptr : "");
	}
	SET(CURLOPT_CUSTOMREQUEST, method);
	/* No question whether the body is wanted: many registries never answer that. */
	f->headers = curl_slist_append(f->headers, "Expect:");
	return f->headers ? OK : ERR_NOMEM;
}

static enum err set_login(struct fetch *f, const struct egress_fetch *q, const struct url *u)
{
	if (!q->login)
		return OK;
	const char *pair = f->env->login ? f->env->login(f->env->login_arg, q->login, u) : NULL;
	if (!pair)
		return ERR_EGRESS;
	SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	SET(CURLOPT_USERPWD, pair);
	return OK;
}

static enum err set_request(struct fetch *f, const struct egress_fetch *q, const char *url)
{
	char range[48];
	SET(CURLOPT_URL, url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_USERAGENT, f->env->agent);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	if (str_eq(q->method, STR("HEAD")))
		SET(CURLOPT_NOBODY, 1L);
	else if (!str_eq(q->method, STR("GET")))
		TRY(set_sending(f, q));
	if (f->has_range) {
		(void)snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)f->from,
			(unsigned long long)(f->to - 1));
		SET(CURLOPT_RANGE, range);
	}
	TRY(add_headers(f, q));
	SET(CURLOPT_HTTPHEADER, f->headers);
	return OK;
}

static enum err set_connection(struct fetch *f, const struct egress_fetch *q, const struct url *u)
{
	const char *proxy = proxy_for(f->env->proxy, u);
	f->proxied = proxy != NULL;
	SET(CURLOPT_PROXY, proxy ? proxy : "");
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
	SET(CURLOPT_OPENSOCKETDATA, f);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_CAPATH, NULL); /* hundreds of files a connection, and not readable from here */
	if (f->env->ca_file)
		SET(CURLOPT_CAINFO, f->env->ca_file);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(q->connect_ms ? q->connect_ms : CONNECT_MS));
	if (q->total_ms)
		SET(CURLOPT_TIMEOUT_MS, (long)q->total_ms);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_BUFFERSIZE, (long)CURL_BYTES);
	return OK;
}

static enum err set_callbacks(struct fetch *f)
{
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, f);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, f);
	SET(CURLOPT_PRIVATE, f);
	return curl_multi_add_handle(f->env->multi, f->easy) == CURLM_OK ? OK : ERR_NOMEM;
}

static enum err prepare(struct fetch *f, const struct egress_fetch *q, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(URL_MAX + 64);
	struct url u;
	const char *z;
	TRY(url_parse(q->url, &u, info));
	TRY(egress_only_asks(q->method) ? allow_url(f->env->allow, &u, info)
				       : allow_push(f->env->allow, &u, info));
	memcpy(f->host, u.host, sizeof f->host);
	TRY(url_add(&u, &text));
	TRY(buf_cstr(&text, &z));
	f->easy = curl_easy_init();
	if (!f->easy)
		return ERR_NOMEM;
	TRY(set_request(f, q, z));
	TRY(set_connection(f, q, &u));
	if (set_login(f, q, &u))
		return err_set(info, ERR_EGRESS, "there is no log-in for %s", u.host);
	return set_callbacks(f);
}

enum err fetch_start(
	const struct fetch_env *env, uint64_t id, struct egress_fetch *q, struct fetch **ret)
{
	struct err_info info = { 0 };
	struct fetch *f = mem_zalloc(1, sizeof *f);
	if (!f) {
		if (q->sink_fd >= 0)
			(void)close(TAKE_FD(q->sink_fd));
		if (q->source_fd >= 0)
			(void)close(TAKE_FD(q->source_fd));
		struct fetch none = { .env = env, .id = id };
		fetch_fail(&none, ERR_NOMEM, err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	f->env = env;
	f->id = id;
	f->sink_fd = TAKE_FD(q->sink_fd);
	f->source_fd = TAKE_FD(q->source_fd);
	f->source_left = q->source_bytes;
	f->has_range = q->has_range;
	f->from = q->from;
	f->to = q->to;
	f->max_bytes = q->has_range ? q->to - q->from : q->max_bytes;
	if (f->sink_fd < 0 && f->max_bytes > EGRESS_INLINE_MAX)
		f->max_bytes = EGRESS_INLINE_MAX;
	f->sink_at = q->sink_offset;
	f->stall_ms = q->stall_ms ? q->stall_ms : STALL_MS;
	f->moved_ms = time_mono_ms();
	f->head = BUF(EGRESS_HEADER_BYTES);
	f->body = BUF(EGRESS_INLINE_MAX);
	enum err e = prepare(f, q, &info);
	if (e) {
		fetch_fail(f, e, info.detail[0] ? info.detail : err_text(e));
		(void)fetch_free(f);
		return e;
	}
	*ret = f;
	return OK;
}

/* ---- ends ---- */
static enum err explain(struct fetch *f, CURLcode code)
{
	const char *why = "the connection was cut";
	enum err e = ERR_UPSTREAM;
	if (f->fail)
		return f->fail;
	if (f->refused && code == CURLE_COULDNT_CONNECT) {
		e = ERR_EGRESS;
		why = "the name leads to an address of an internal network that is not on the list";
	} else if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) {
		why = "the name could not be resolved";
	} else if (code == CURLE_COULDNT_CONNECT) {
		why = "no connection could be made";
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		e = ERR_TIMEOUT;
		why = "it took too long";
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		e = ERR_EGRESS;
		why = "the server's certificate is not trusted (a company's own CA is set by "
		      "TRESOR_CA_FILE)";
	} else if (code == CURLE_SSL_CACERT_BADFILE) {
		e = ERR_EGRESS;
		why = "the file of trusted certificates cannot be read";
	} else if (code == CURLE_SSL_CONNECT_ERROR) {
		why = "no encrypted connection could be made";
	} else if (code == CURLE_OUT_OF_MEMORY) {
		e = ERR_NOMEM;
		why = err_text(ERR_NOMEM);
	}
	(void)snprintf(f->why, sizeof f->why, "%s: %s", f->host, why);
	return e;
}

static void send_moved(struct fetch *f, int64_t now)
{
	struct ipc_out m;
	uint64_t moved = f->source_fd >= 0 ? f->source_done : f->bytes - f->pend_n;
	if ((!f->to_sink && f->source_fd < 0) || moved == f->told || now - f->told_ms < MOVED_MS)
		return;
	f->told = moved;
	f->told_ms = now;
	ipc_out_init(&m, EGRESS_MOVED, f->id);
	ipc_put_u64(&m, moved);
	send_event(f, &m);
}

bool fetch_over(struct fetch *f, CURLcode code)
{
	bool enough = f->cut && f->bytes == f->max_bytes && !f->fail;
	f->over = true;
	if (code != CURLE_OK && !enough)
		f->fail = explain(f, code);
	return fetch_push(f); /* what came before a failure is good: it is not fetched again */
}

bool fetch_push(struct fetch *f)
{
	enum err e = f->to_sink ? flush(f) : OK;
	if (e == ERR_AGAIN)
		return false;
	if (f->over && f->fail) {
		fetch_fail(f, f->fail, f->why);
		return true;
	}
	if (e) {
		fetch_fail(f, ERR_CLOSED, "the writer is gone");
		return true;
	}
	if (f->over) {
		send_done(f);
		return true;
	}
	if (f->held) {
		f->held = false;
		f->moved_ms = time_mono_ms();
		(void)curl_easy_pause(f->easy, CURLPAUSE_CONT);
	}
	return false;
}

int fetch_waits_for(const struct fetch *f)
{
	return f->pend_n ? f->sink_fd : -1;
}

bool fetch_tick(struct fetch *f, int64_t now_ms)
{
	send_moved(f, now_ms);
	/* A full sink is our own slowness, not the server's. */
	if (f->held || f->hungry || f->pend_n || now_ms - f->moved_ms < (int64_t)f->stall_ms)
		return false;
	(void)snprintf(f->why, sizeof f->why, "%s: nothing came for %u seconds", f->host,
		f->stall_ms / 1000);
	fetch_fail(f, ERR_TIMEOUT, f->why);
	return true;
}

uint64_t fetch_id(const struct fetch *f)
{
	return f->id;
}

struct fetch *fetch_free(struct fetch *f)
{
	if (!f)
		return NULL;
	if (f->easy) {
		(void)curl_multi_remove_handle(f->env->multi, f->easy);
		curl_easy_cleanup(f->easy);
	}
	curl_slist_free_all(f->headers);
	if (f->sink_fd >= 0)
		(void)close(f->sink_fd);
	if (f->source_fd >= 0)
		(void)close(f->source_fd);
	buf_done(&f->head);
	buf_done(&f->body);
	mem_free(f);
	return NULL;
}
