/* proto/egress.h - what the server and egress say to each other.
 *
 * server -> egress   EGRESS_POLICY (first; before it everything is refused), EGRESS_FETCH,
 *                    EGRESS_CANCEL
 * keeper -> egress   EGRESS_LOGIN: u64 number, str host, u64 port, str user, str password. The
 *                    server names it by its number and never sees it again
 * egress -> server   for each FETCH: at most one EGRESS_HEAD, EGRESS_DATA.. (inline body only),
 *                    EGRESS_MOVED.. (bytes gone to the sink, or out of the source, about every
 *                    200 ms), then exactly one
 *                    EGRESS_DONE or EGRESS_FAILED
 * The message header's id is the fetch's id, chosen by the server. Redirects are not followed: a
 * 3xx comes back as HEAD and the asker asks again, so each hop passes the allow-list. */
#pragma once

#include "os/ipc.h"

enum egress_msg {
	EGRESS_POLICY = 0x400, EGRESS_FETCH, EGRESS_CANCEL,
	EGRESS_HEAD, EGRESS_DATA, EGRESS_MOVED, EGRESS_DONE, EGRESS_FAILED, EGRESS_LOGIN,
};
enum {
	EGRESS_HEADERS_MAX = 32,
	EGRESS_HEADER_BYTES = 64 * 1024,      /* of an answer's headers in all */
	EGRESS_INLINE_MAX = 16 * 1024 * 1024, /* bytes of an inline body at most */
	EGRESS_FETCHES_MAX = 64,              /* at once */
	EGRESS_LOGINS_MAX = 16, /* that egress keeps; more push the oldest out */
};

struct egress_header { struct str name, value; };
struct egress_policy_entry { struct str host; uint16_t port; bool plain, push; };

struct egress_fetch {               /* strings borrowed */
	struct str method; /* GET, HEAD; POST, PUT, PATCH only to a host that may be pushed to */
	struct str url;
	struct egress_header header[EGRESS_HEADERS_MAX];
	unsigned n_headers;
	struct str body;            /* of a method that has one */
	uint64_t login; /* number of an EGRESS_LOGIN for this host, sent as Basic; 0: none */
	bool has_range;
	uint64_t from, to;          /* half open; sent as Range: bytes=from-(to-1) */
	uint64_t max_bytes;         /* more is ERR_TOO_LARGE; for a range it is to - from */
	int sink_fd; /* -1: the body comes inline. Else 2xx bytes go there as the frames
	                             * of models/writer.h; owned by the struct's holder */
	int source_fd; /* -1: `body`. Else the body is read from here, exactly source_bytes;
	                             * owned by the struct's holder */
	uint64_t source_bytes;
	uint64_t sink_offset;       /* place of the body's first byte (= from for a range) */
	uint32_t connect_ms, stall_ms, total_ms; /* 0: 10 s, 30 s, none */
};
struct egress_head {                /* strings borrowed */
	uint32_t status;
	struct egress_header header[EGRESS_HEADERS_MAX]; /* names in lower case; the first 32 */
	unsigned n_headers;
	int64_t length;             /* of this body, -1 unknown */
	int64_t whole;              /* of the whole thing, from Content-Range; -1 unknown */
};
struct egress_done { uint32_t status; uint64_t bytes; };
struct egress_failed { enum err code; struct str detail; uint64_t bytes; }; /* bytes: delivered */

/* Each pair: put appends the fields, get reads them and checks the end. Errors: ERR_PROTOCOL. */
void egress_policy_put(struct ipc_out *m, const struct egress_policy_entry *e, size_t n);
enum err egress_policy_get(
	struct ipc_in *m, struct egress_policy_entry *e, size_t max, size_t *ret_n);
void egress_fetch_put(struct ipc_out *m, struct egress_fetch *f); /* takes its descriptors */
enum err egress_fetch_get(struct ipc_in *m, struct egress_fetch *f);
void egress_head_put(struct ipc_out *m, const struct egress_head *h);
enum err egress_head_get(struct ipc_in *m, struct egress_head *h);
void egress_done_put(struct ipc_out *m, const struct egress_done *d);
enum err egress_done_get(struct ipc_in *m, struct egress_done *d);
void egress_failed_put(struct ipc_out *m, const struct egress_failed *f);
enum err egress_failed_get(struct ipc_in *m, struct egress_failed *f);
struct egress_login { uint64_t number; struct str host; uint16_t port; struct str user, password; };
void egress_login_put(struct ipc_out *m, const struct egress_login *l);
enum err egress_login_get(struct ipc_in *m, struct egress_login *l);
/* GET and HEAD: what sends nothing but a question. */
bool egress_only_asks(struct str method);
/* EGRESS_DATA carries one str, EGRESS_MOVED one u64 (bytes so far), EGRESS_CANCEL nothing. */
