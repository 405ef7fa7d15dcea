/* http/http.h - the listener: HTTP/1.1 and TLS 1.3 by libmicrohttpd, which stays inside.
 *
 * One or two threads run the sockets; they never block, never touch the database or IPC. When the
 * request is whole (or, for a streamed body, when its head is), it goes to a bounded pool; the
 * handler runs there and may read the database. It answers at once with http_reply(), or begins
 * a stream and returns: any thread may then http_write() until http_finish().
 * A request object is reference-counted: http_hold()/http_release(). After the client has gone,
 * writes are dropped and say so. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

struct http_server;
struct http_req;
struct route; /* http/route.h: one row of the table generated from api/routes.json */
enum dialect {
	DIALECT_TEAM,
	DIALECT_OLLAMA,
	DIALECT_OPENAI,
	DIALECT_ANTHROPIC,
	DIALECT_PLAIN,
	DIALECT_PAGE
};

/* Writes the body of an error in the form of `d` and says its media type; any thread, no I/O.
 * Used for what is refused before a handler runs (413, 408, 404, 431, ..). */
typedef void (*http_error_fn)(enum dialect d, const struct err_info *e, struct str request_id,
	struct buf *out, const char **ret_media_type);

typedef void (*http_handler)(struct http_req *q, void *app);
enum { HTTP_ADMIT_BYTES = 64 * 1024 };

/* Zero means the default in brackets. */
struct http_options {
	const int *listen_fds; /* borrowed for the call; the server owns them on OK */
	unsigned n_listen;
	int local_fd;                 /* Unix socket, -1 none */
	struct str tls_cert, tls_key; /* PEM; empty: plain */
	const char
		*behind_proxy; /* "10.0.0.0/8,127.0.0.1/32" or NULL: whose X-Forwarded-For counts */
	const char *hosts;     /* names that Host may carry on a loopback listener besides
				       * localhost, *.localhost and loopback addresses: "a.b,c",
				       * NULL */
	unsigned threads;      /* that run sockets [1] */
	unsigned workers;      /* that run handlers [8] */
	unsigned
		header_timeout_s; /* from the first byte of a request to the end of its head [15] */
	unsigned body_timeout_s;  /* for the body, plus 1 s per KiB that came [30] */
	unsigned idle_timeout_s;  /* between requests, and for a reader that takes nothing [75] */
	size_t max_connections, max_per_address; /* base/limits.h; proxies and the Unix socket are
						  * not counted per address */
	http_error_fn on_error;                  /* NULL: plain text */
	/* NULL, or called on a worker before a body of more than HTTP_ADMIT_BYTES is read: answers
	 * (then the body is not kept) or returns. So nobody without a right fills our memory. */
	http_handler admit;
};

/* `dispatch` is called on a worker for each request with a matched route; `app` is passed on.
 * Errors: ERR_IO (socket), ERR_INVALID (certificate), ERR_NOMEM; info says which. */
enum err http_start(const struct http_options *o, http_handler dispatch, void *app,
	struct http_server **ret, struct err_info *info);
struct http_server *http_stop(struct http_server *s, int grace_ms);
/* Replaces the certificate for new connections. */
enum err http_tls_set(
	struct http_server *s, struct str cert_pem, struct str key_pem, struct err_info *info);
struct http_stats {
	uint64_t requests, bytes_out;
	unsigned connections, streams;
};
void http_stats(struct http_server *s, struct http_stats *ret);

/* ---- the request; strings live as long as the request ---- */
const struct route *http_route(const struct http_req *q);
struct arena *http_arena(struct http_req *q);
struct str http_method(const struct http_req *q);
struct str http_path(const struct http_req *q);
struct str http_param(const struct http_req *q, const char *name);  /* {id} of the path, decoded */
struct str http_query(const struct http_req *q, const char *name);  /* decoded; STR_NONE: absent */
struct str http_header(const struct http_req *q, const char *name); /* duplicates were refused */
struct str http_cookie(const struct http_req *q, const char *name);
struct str http_body(const struct http_req *q); /* whole, unless streamed */
struct str http_request_id(const struct http_req *q);
struct str http_client_address(const struct http_req *q);        /* after --behind-proxy; "local" */
bool http_is_tls(const struct http_req *q);                      /* or a trusted proxy said https */
bool http_is_local(const struct http_req *q, unsigned *ret_uid); /* Unix socket: peer's uid */
/* For routes with body_max -1: next piece, blocks this worker. Empty at the end.
 * Errors: ERR_CLOSED, ERR_TIMEOUT. */
enum err http_body_next(struct http_req *q, struct str *ret);

/* ---- the answer ---- */
void http_set_header(struct http_req *q, const char *name, struct str value); /* before replying */
void http_reply(
	struct http_req *q, int status, const char *media_type, struct str body); /* copies */
/* The handler returns without an answer; any thread gives it later with http_reply() or
 * http_stream(). `on_gone` is called once, on any thread, if the client goes before that; after
 * http_reply() or http_stream() it is not called again. The request must be held. */
void http_later(struct http_req *q, void (*on_gone)(void *arg), void *arg);
/* Begins a stream. `on_close` is called once, on any thread, when the client went or after
 * http_finish() when all was sent: the last moment at which `arg` may be used by it. It may be
 * called before http_stream() returns (the client is gone already): hold no lock that it takes. */
void http_stream(struct http_req *q, int status, const char *media_type,
	void (*on_close)(void *arg), void *arg);
/* Copies; never blocks. Errors: ERR_CLOSED (client gone), ERR_LIMIT (client reads too slowly: over
 * 4 MiB unsent; the stream is cut). */
enum err http_write(struct http_req *q, struct str bytes);
/* The same for a stream without end, from a worker: waits while more than half a MiB is unsent,
 * so the reader sets the pace. Errors: ERR_CLOSED (the client went, also while this waits). */
enum err http_write_wait(struct http_req *q, struct str bytes);
/* Ends a stream that cannot be finished: the connection is cut, so that the client does not take it
 * for whole. */
void http_cut(struct http_req *q);
void http_finish(struct http_req *q);
bool http_gone(const struct http_req *q);
bool http_answered(struct http_req *q); /* a reply or stream was begun, or comes later */
int http_status(struct http_req *q);    /* of the answer begun; 0: none */
/* What the dispatcher wants the handler to find; borrowed, lives in http_arena(). */
void http_set_ctx(struct http_req *q, void *ctx);
void *http_ctx(const struct http_req *q);
void http_hold(struct http_req *q);
void http_release(struct http_req *q);
