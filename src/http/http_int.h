/* http/http_int.h - what the files of src/http share; nobody else includes it.
 *
 * Threads: the watch thread accepts, keeps deadlines and sees clients leave; MHD's threads run the
 * sockets and call access.c; workers run handlers; any thread may answer.
 * Locks, in this order: req.lock (one request), then server.lock (the list of connections). MHD's
 * own lock comes last: MHD_resume_connection is called with req.lock held, and MHD calls nothing
 * of ours while it holds its lock.
 * A connection's record lives in the table from accept until MHD's CLOSED notice, which comes
 * before MHD closes the descriptor: so under server.lock a descriptor in the table is ours. */
#pragma once

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/random.h"
#include "http/decode.h"
#include "http/route.h"
#include "os/threads.h"

enum conn_phase {
	CONN_PEEK, /* TLS listener: waits for the first byte, to tell TLS from plain HTTP */
	CONN_HEAD, /* a request line and head are awaited or came in part */
	CONN_BODY,
	CONN_WORK, /* ours to answer: no deadline */
	CONN_IDLE, /* between two requests */
	CONN_PHASES
};
struct http_conn {
	struct http_conn *next, *prev; /* server's list, guarded by server.lock */
	struct http_server *server;
	int fd;
	uint32_t generation; /* tells a reused descriptor from its predecessor */
	enum conn_phase phase;
	int64_t deadline_ms; /* monotonic; INT64_MAX none */
	int64_t body_began_ms;
	struct net_addr addr;
	unsigned uid;                       /* local: of the peer */
	bool local, tls, loopback, proxied; /* proxied: the peer is a trusted proxy */
	bool given, started;                /* given to MHD; MHD said STARTED */
	bool hup;                           /* the client closed its side */
	bool aborted;                       /* http_stop() dealt with it */
	struct http_req *req;               /* current; borrowed, cleared before its last release */
};

struct http_listener {
	int fd;
	bool local, tls, loopback;
};
struct addr_count;

enum { DAEMONS_MAX = 8, LISTENERS_MAX = 9 };
struct http_server {
	pthread_mutex_t lock;
	struct http_conn *conns;  /* list */
	struct http_conn **by_fd; /* n_by_fd entries */
	size_t n_by_fd, n_conns;
	struct addr_count *by_addr[1024];
	struct http_listener listener[LISTENERS_MAX];
	unsigned n_listener;
	struct MHD_Daemon *plain[DAEMONS_MAX], *tls[DAEMONS_MAX];
	unsigned n_daemons, next_daemon;
	struct pool *pool;
	struct tls_store *certs;
	struct http_options o; /* with defaults filled in; strings are copies below */
	struct net_list proxies;
	char *hosts;
	http_handler dispatch;
	void *app;
	int epoll_fd, wake_fd;
	pthread_t watch;
	uint32_t generation;
	int64_t accept_again_ms; /* after EMFILE */
	atomic_bool stopping, aborting;
	atomic_uint busy, streams; /* requests between head and last byte */
	_Atomic uint64_t requests, bytes_out;
};

struct header {
	struct str name, value;
};
enum {
	HEADERS_MAX = 100, /* in a request, count */
	OUT_HEADERS_MAX = 24,
	OUT_LIMIT = 4 * 1024 * 1024, /* unsent bytes of a stream before it is cut */
	OUT_ENOUGH = 512 * 1024, /* with so many unsent, http_write_wait() waits */
	IN_LIMIT = 1024 * 1024,      /* unread bytes of a streamed body before the sender waits */
	DISCARD_MAX =
		32 * 1024 * 1024, /* bytes of a refused body read so that the answer arrives */
};
enum req_state {
	REQ_HEAD,     /* made by the request line; head not looked at yet */
	REQ_RECEIVE,  /* the body comes in */
	REQ_WORK,     /* a worker has it, or somebody answers later */
	REQ_ANSWERED, /* status, headers and body are set; MHD has to pick them up */
	REQ_STREAM,   /* out is being sent as it comes */
	REQ_DONE
};
struct http_req {
	atomic_uint refs;
	pthread_mutex_t lock;
	pthread_cond_t more;        /* a streamed body: pieces came, or the end */
	struct http_server *server; /* not touched once `gone` */
	struct http_conn *conn;     /* valid while mhd is */
	struct MHD_Connection *mhd; /* NULL once MHD is through with this request */
	struct arena *arena;
	enum req_state state;
	bool suspended, counted, stream_counted;
	atomic_bool gone; /* the client went */
	bool http_1_1;
	bool must_close;               /* after this answer */
	bool admitting;                /* http_options.admit has it; the body waits */
	bool to_run;                   /* a worker is to have it */
	bool queued;                   /* MHD has the answer */
	struct MHD_Response *response; /* made, on its way to MHD */
	/* from the request */
	struct str raw_target, method, path, raw_query;
	const struct route *route;
	struct route_params params; /* decoded in place by head.c */
	struct header *headers;
	size_t n_headers;
	struct query_pair *query;
	size_t n_query;
	char id[ID_LEN + 1], address[48];
	bool tls, local;
	unsigned uid;
	enum dialect dialect;
	void *ctx;
	/* body */
	struct buf body;
	uint64_t body_bytes; /* as announced; UINT64_MAX: chunked */
	uint64_t body_max, body_seen, discarded;
	bool streamed, body_begun, body_end; /* begun: MHD was told to go on after the head */
	struct buf piece;                    /* what http_body_next gave out */
	/* the answer */
	int status;
	const char *media_type;
	struct header out_header[OUT_HEADERS_MAX];
	unsigned n_out_header;
	struct buf out; /* body, or unsent bytes of a stream */
	size_t out_at;
	bool is_stream, finished, later;
	void (*on_close)(void *arg);
	void *on_close_arg;
};

/* conn.c: the table of connections; all with server.lock held unless said otherwise */
struct http_conn *conn_add(struct http_server *s, int fd, const struct http_listener *l,
	const struct net_addr *addr, enum err *ret_why);
void conn_remove(struct http_conn *c);
struct http_conn *conn_of_fd(struct http_server *s, int fd);
void conn_phase(struct http_conn *c, enum conn_phase p); /* takes the lock itself */
void conn_phase_locked(struct http_conn *c, enum conn_phase p);
void conns_free(struct http_server *s);

/* watch.c */
void *watch_main(void *server);
void watch_wake(struct http_server *s);
enum err watch_open(struct http_server *s); /* epoll, wake-up, listeners */
enum err watch_add(struct http_server *s, int fd, uint64_t mark);
void watch_close_listeners(struct http_server *s); /* only on the watch thread or without it */
/* Cuts a connection: MHD sees the end of the stream. With server.lock. */
void conn_cut(struct http_conn *c);

/* tls.c */
enum err tls_store_new(
	struct str cert_pem, struct str key_pem, struct tls_store **ret, struct err_info *info);
enum err tls_store_set(
	struct tls_store *t, struct str cert_pem, struct str key_pem, struct err_info *info);
struct tls_store *tls_store_free(struct tls_store *t);
void *tls_callback(void); /* for MHD_OPTION_HTTPS_CERT_CALLBACK */

/* access.c: MHD's callbacks */
void *access_uri(void *server, const char *uri, struct MHD_Connection *m);
enum MHD_Result access_handler(void *server, struct MHD_Connection *m, const char *url,
	const char *method, const char *version, const char *data, size_t *data_size, void **req);
void access_completed(
	void *server, struct MHD_Connection *m, void **req, enum MHD_RequestTerminationCode how);
void access_connection(void *server, struct MHD_Connection *m, void **socket_context,
	enum MHD_ConnectionNotificationCode what);

/* head.c: reads and judges the head of a request, finds its route.
 * Errors: what to answer; the connection closes after it. */
enum err head_read(struct http_req *q, struct err_info *info);
bool head_host_ok(const struct http_server *s, struct str host);

/* req.c */
struct http_req *req_new(struct http_server *s, struct http_conn *c, struct MHD_Connection *m);
void req_gone(struct http_req *q);  /* the client went; any thread */
void req_abort(struct http_req *q); /* the server stops */
void req_left(struct http_req *q);  /* tells whoever streams or answers later */
void req_fail(struct http_req *q, const struct err_info *e); /* sets an error answer; locked */
void req_resume_locked(struct http_req *q);
struct MHD_Response *req_response_locked(struct http_req *q);
/* The bytes of an error answer on the wire, for connections MHD cannot answer on any more. */
void raw_error(struct http_server *s, enum dialect d, const struct err_info *e, struct str id,
	struct buf *out);
