/* net/fetch.h - one transfer inside egress, over libcurl. Private to egress.so.
 *
 * States: OPEN (libcurl works on it) -> HELD (the sink is full; libcurl is paused) -> OPEN .. ->
 * ended: DONE or FAILED was sent and the object is gone. Used by egress' one loop thread. */
#pragma once

#include <curl/curl.h>
#include <poll.h>

#include "net/allow.h"
#include "net/proxy.h"
#include "proto/egress.h"

struct fetch;
struct fetch_env {           /* what all transfers share; outlives them */
	CURLM *multi;
	struct ipc *server;      /* where the events go; borrowed */
	const struct allow *allow;
	const struct proxy *proxy;
	const char *ca_file;     /* PEM of all trusted CAs, or NULL: libcurl's default */
	const char *agent;
	/* The keeper's log-in of that number: "user:password", or NULL. Borrowed for the call. */
	const char *(*login)(void *arg, uint64_t number, const struct url *u);
	void *login_arg;
};
/* Checks the request against the allow-list and begins. Takes f's descriptors. On error the answer
 * FAILED was sent already. Errors: ERR_EGRESS, ERR_INVALID, ERR_NOMEM. */
enum err fetch_start(const struct fetch_env *env, uint64_t id, struct egress_fetch *f,
		     struct fetch **ret);
/* libcurl says it is over. What came, also before a failure, goes to the sink first; then the last
 * events are sent. True when the object may be freed (else the sink still has to take bytes: call
 * fetch_push()). */
bool fetch_over(struct fetch *f, CURLcode code);
/* The sink may have room again. True when everything is done and the object may be freed. */
bool fetch_push(struct fetch *f);
/* Is the sink to be polled for POLLOUT? -1: no. */
int fetch_waits_for(const struct fetch *f);
/* Is the source to be polled for POLLIN? -1: no. fetch_feed() goes on when it is readable. */
int fetch_reads_from(const struct fetch *f);
void fetch_feed(struct fetch *f);
/* Looks at the clock: a stalled or over-long transfer fails. True: free it. Also sends MOVED. */
bool fetch_tick(struct fetch *f, int64_t now_ms);
void fetch_fail(struct fetch *f, enum err e, const char *why); /* sends FAILED */
struct fetch *fetch_free(struct fetch *f);
uint64_t fetch_id(const struct fetch *f);
