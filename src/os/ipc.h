/* os/ipc.h - typed messages between two roles over a SOCK_SEQPACKET socket pair.
 *
 * One datagram is one message: header (protocol hash of this build, type, request id), then typed
 * fields. Getters check the type tag and the length; ipc_end() insists that the message was read
 * to its last byte. Byte strings over LIMIT_IPC_INLINE travel as a sealed memfd, transparently.
 * Trust is a property of the peer: only the keeper's messages may be fatal to their reader; for
 * every other peer a bad message gives ERR_PROTOCOL, and the reader closes that channel. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/limits.h"

/* ---- building ---- */
struct ipc_out { /* zero-initialise with ipc_out_init; errors stick */
	struct buf data;
	int fds[LIMIT_IPC_FDS]; /* owned once put */
	unsigned nfds;
	size_t bulk; /* bytes that travel by memfd */
	enum err err;
};
void ipc_out_init(struct ipc_out *m, uint16_t type, uint64_t id);
void ipc_out_done(struct ipc_out *m); /* frees, closes descriptors not sent */
#define AUTO_IPC_OUT [[gnu::cleanup(ipc_out_done)]]
void ipc_out_set_id(struct ipc_out *m, uint64_t id);
void ipc_put_u64(struct ipc_out *m, uint64_t v);
void ipc_put_i64(struct ipc_out *m, int64_t v);
void ipc_put_f64(struct ipc_out *m, double v);
void ipc_put_bool(struct ipc_out *m, bool v);
void ipc_put_str(struct ipc_out *m, struct str s); /* any bytes, any length up to LIMIT_IPC_BULK */
void ipc_put_i32s(struct ipc_out *m, const int32_t *v, size_t n);
void ipc_put_fd(struct ipc_out *m, int fd);        /* takes fd */

/* ---- reading ---- */
struct ipc_in { /* filled by ipc_recv; strings borrow until ipc_in_done */
	uint16_t type;
	uint64_t id;
	struct str rest;
	int fds[LIMIT_IPC_FDS]; /* those not taken are closed by ipc_in_done */
	unsigned nfds, next_fd;
	enum err err; /* sticky */
	void *mem_;   /* datagram */
	struct ipc_map_ *maps_;
};
void ipc_in_done(struct ipc_in *m);
#define AUTO_IPC_IN [[gnu::cleanup(ipc_in_done)]]
/* What was read is not what it may be: the message is ERR_PROTOCOL from here on. */
void ipc_want(struct ipc_in *m, bool ok);
uint64_t ipc_get_u64(struct ipc_in *m); /* 0 after an error; check ipc_end() */
int64_t ipc_get_i64(struct ipc_in *m);
double ipc_get_f64(struct ipc_in *m);
bool ipc_get_bool(struct ipc_in *m);
struct str ipc_get_str(struct ipc_in *m);
/* Borrowed, aligned; *ret_n counts values. */
const int32_t *ipc_get_i32s(struct ipc_in *m, size_t *ret_n);
int ipc_get_fd(struct ipc_in *m);      /* the caller owns it; -1 after an error */
bool ipc_more(const struct ipc_in *m); /* fields are left and no error yet: for lists to the end */
enum err ipc_end(struct ipc_in *m);    /* OK, or ERR_PROTOCOL if anything was wrong or is left */

/* ---- channels ---- */
struct ipc;
/* Makes a connected pair of descriptors, close-on-exec. Errors: from errno. */
enum err ipc_pair(int ret_fd[2]);
/* Takes fd. The channel is non-blocking for sending (a bounded queue) and for receiving.
 * Used by one thread for receiving; ipc_send may be called by any thread. */
enum err ipc_new(int fd, struct ipc **ret);
struct ipc *ipc_free(struct ipc *c); /* closes */
DEFINE_AUTO(ipc)
int ipc_fd(const struct ipc *c); /* for poll; borrowed */
/* Sends or queues; takes the message's content (m is reusable after ipc_out_init). When the socket
 * is full the rest waits in the queue: poll for POLLOUT while ipc_wants_write() and call
 * ipc_flush(). Errors: m's sticky error, ERR_LIMIT (queue full), ERR_CLOSED, ERR_NOMEM. */
enum err ipc_send(struct ipc *c, struct ipc_out *m);
bool ipc_wants_write(const struct ipc *c);
/* `event_fd` (an eventfd, borrowed; -1: none) is written when a send of any thread had to
 * queue, so that the thread that sleeps in poll without POLLOUT learns of it. Set before other
 * threads send. */
void ipc_set_wake(struct ipc *c, int event_fd);
enum err ipc_flush(struct ipc *c);
/* Blocks until the queue is empty or timeout. Errors: ERR_TIMEOUT, ERR_CLOSED. */
enum err ipc_drain(struct ipc *c, int timeout_ms);
/* Next message. Errors: ERR_AGAIN (none now), ERR_CLOSED (peer gone), ERR_PROTOCOL (other build,
 * bad header), ERR_NOMEM. */
enum err ipc_recv(struct ipc *c, struct ipc_in *ret);
/* Waits for the next message. timeout_ms -1: for ever. Errors: as above and ERR_TIMEOUT. */
enum err ipc_recv_wait(struct ipc *c, int timeout_ms, struct ipc_in *ret);
/* 64 bits that differ between builds whose messages differ (hash of src/proto and build id). */
uint64_t ipc_protocol_hash(void);
/* For a private module of another build that is known to have the same messages: from now on it
 * speaks as the program that loaded it. Before its first message, with one thread. */
void ipc_speak(uint64_t hash);
