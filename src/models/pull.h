/* models/pull.h - bringing a model into the house, whole or not at all; and sending one to a
 * registry.
 *
 * A pull runs on a thread of its own: manifest through egress, each blob by parallel ranges into
 * its writer's sink (egress sends straight to the writer), the digest, the GGUF check in the jail,
 * then the manifest. What was cut off goes on where it was; bytes once durable are not fetched
 * again. Two who pull the same name share one pull. Errors upstream are retried with growing
 * pauses; a stream without a byte for PULL_STALL_MS is begun anew.
 * A push goes the same way back (push.c): a jail job reads each blob into a socket, egress sends
 * it on, in parts; what the registry has is not sent. It is listed and watched like a pull.
 * Threads: every function may be called by any thread but the IPC loop; egress' callbacks come on
 * the IPC thread and only fill a mailbox. Sinks are called on the pull's thread, never inside
 * pulls_start(), one at a time, and not after pulls_unwatch() returned; a sink must not block and
 * must not call pulls_*(). */
#pragma once

#include "base/random.h"
#include "models/store.h"

enum {
	PULL_STREAMS = 4,
	PULL_RANGE_BYTES = 32 * 1024 * 1024,
	PULL_TRIES = 6, /* in a row without a new byte */
	PULL_STALL_MS = 30000,
	PULL_AT_ONCE = 3, /* others wait */
	PULL_KEPT = 32,   /* finished ones that pulls_list() still shows */
	PUSH_PART_BYTES = 64 * 1024 * 1024,
};

struct egress_client;
struct pulls;
struct pulls_options {
	struct model_store *store; /* borrowed, as all here */
	const struct model_blob_ops *ops;
	void *ops_arg;
	struct egress_client *egress;
	/* Number by which egress knows the log-in for a host, 0: there is none. May be NULL. */
	enum err (*login)(void *arg, const char *host, uint16_t port, uint64_t *ret);
	void *login_arg;
	uint64_t part_bytes;    /* of a push; 0: PUSH_PART_BYTES */
	unsigned streams;       /* 0: PULL_STREAMS */
	uint64_t range_bytes;   /* 0: PULL_RANGE_BYTES */
	int stall_ms, retry_ms; /* 0: default; first pause between tries, doubles */
};
enum err pulls_new(const struct pulls_options *o, struct pulls **ret);
/* Cancels and waits: egress_client_pump() must still be called meanwhile. */
struct pulls *pulls_free(struct pulls *p);
DEFINE_AUTO(pulls)

enum pull_state { PULL_RUNNING, PULL_DONE, PULL_FAILED };
struct pull_progress { /* a value */
	char id[ID_LEN + 1];
	char name[LIMIT_MODEL_NAME + 1]; /* what it will be called here */
	char source[LIMIT_MODEL_NAME + 1]; /* by which it can be pulled again */
	char licence[128]; /* its title: before the first large byte; empty: not known yet */
	enum pull_state state;
	bool push;
	char status[128]; /* Ollama's line: "pulling 1a2b3c4d5e6f", "verifying sha256 digest" */
	char digest[65];  /* of the layer this line is about; or empty */
	uint64_t total, completed;         /* bytes of that layer */
	uint64_t all_total, all_completed; /* bytes of the whole pull */
	struct err_info error;             /* FAILED */
	struct model_kept kept; /* DONE: the version that the name stood for, when it moved */
};
typedef void (*pull_sink)(const struct pull_progress *p, void *arg);

struct pull_request {
	struct str name, as; /* `as` empty: the name itself */
	bool insecure;       /* http is asked for; only where the allow-list says plain */
	bool push;           /* to where the name says; `as` is not used */
	const char *person;  /* who lets it in; NULL or empty: the operator */
};
/* Starts, or joins one that runs. `sink` may be NULL. *ret_watch is for pulls_unwatch().
 * Errors: ERR_INVALID (name), ERR_EGRESS (host not on the list, or not for pushes), ERR_UNSUPPORTED
 * (file:; a push to Hugging Face), ERR_NOT_FOUND (a push of what is not here),
 * ERR_BUSY, ERR_NOMEM. Then no sink call comes. */
enum err pulls_start(struct pulls *p, const struct pull_request *q, pull_sink sink, void *arg,
	char ret_id[ID_LEN + 1], uint64_t *ret_watch, struct err_info *info);
void pulls_unwatch(struct pulls *p, uint64_t watch);    /* 0 is fine; not from inside a sink */
enum err pulls_cancel(struct pulls *p, const char *id); /* what came is kept. ERR_NOT_FOUND */
/* Running ones first, then finished, newest first. Returns how many. */
size_t pulls_list(struct pulls *p, struct pull_progress *ret, size_t max);
enum err pulls_get(struct pulls *p, const char *id, struct pull_progress *ret);
/* Waits until it ended. Errors: the pull's, ERR_TIMEOUT, ERR_NOT_FOUND. */
enum err pulls_wait(struct pulls *p, const char *id, int timeout_ms, struct err_info *info);
