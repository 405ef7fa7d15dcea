/* net/egress_client.h - the server's side of egress: asynchronous fetches.
 *
 * Threads: egress_start() and egress_cancel() may be called by any thread; callbacks come on the
 * one thread that calls egress_client_pump() (the IPC thread), and must be short. After an egress
 * died, every running fetch ends with EGRESS_EV_FAILED, ERR_CLOSED; new ones get ERR_AGAIN until
 * egress_client_attach() brought the next one. */
#pragma once

#include "base/auto.h"
#include "net/allow.h"
#include "proto/egress.h"

struct egress_client;
enum err egress_client_new(struct egress_client **ret);
struct egress_client *egress_client_free(struct egress_client *c); /* fails what runs */
DEFINE_AUTO(egress_client)
/* The keeper sent ATTACH with a new egress: takes the channel, sends the policy. */
enum err egress_client_attach(struct egress_client *c, struct ipc *channel);
/* Sets the allow-list (copied) and sends it now and after each attach. */
enum err egress_client_policy(struct egress_client *c, const struct allow *a);
/* A copy of the list in force. */
void egress_client_allow(struct egress_client *c, struct allow *ret);
/* For poll: the channel's descriptor or -1; whether POLLOUT is wanted. IPC thread. */
int egress_client_fd(struct egress_client *c);
bool egress_client_wants_write(struct egress_client *c);
/* Reads and dispatches what is there, flushes. IPC thread. A dead or lying egress is dropped: its
 * channel is closed and egress_client_fd() is -1 until the next attach. */
void egress_client_pump(struct egress_client *c);

enum egress_event_kind {
	EGRESS_EV_HEAD,
	EGRESS_EV_DATA,
	EGRESS_EV_MOVED,
	EGRESS_EV_DONE,
	EGRESS_EV_FAILED
};
struct egress_event { /* strings are borrowed for the call */
	enum egress_event_kind kind;
	union {
		struct egress_head head;
		struct str data;
		uint64_t moved;
		struct egress_done done;
		struct egress_failed failed;
	};
};
typedef void (*egress_sink)(const struct egress_event *e, void *arg);
/* Checks the allow-list, sends. Copies; takes f's descriptors also on error. Exactly one DONE or
 * FAILED comes after OK, also after a cancel. Errors: ERR_INVALID, ERR_EGRESS, ERR_AGAIN (no
 * egress now), ERR_BUSY, ERR_NOMEM. */
enum err egress_start(struct egress_client *c, struct egress_fetch *f, egress_sink sink, void *arg,
	uint64_t *ret_id, struct err_info *info);
void egress_cancel(struct egress_client *c, uint64_t id); /* unknown ids are ignored */
