/* engine/beside.h - long texts and pictures are taken apart beside the scheduler.
 *
 * A template and a tokenizer need a second for a MiB: in the loop's thread everybody would wait for
 * somebody's document. One thread takes the messages that carry much, in their order; the loop
 * sleeps on beside_fd() and takes what became of them. Short messages do not come here, so they
 * wait behind no document. All functions but the work itself belong to the loop's thread. */
#pragma once

#include "engine/request.h"
#include "os/ipc.h"

struct beside;
struct beside_options {
	const struct engine_backend_ops *ops; /* .prompt and what else a request is made with are
						 called beside all others */
	void *backend;
	/* Messages that are no GEN_START: their answer into `out`. Errors: ERR_PROTOCOL. */
	enum err (*answer)(void *arg, struct ipc_in *m, struct ipc_out *out);
	void *arg;
	void (*begin)(void); /* in the thread, before any work; NULL: nothing */
	unsigned max;        /* messages; 0: 64 */
	uint64_t max_bytes;  /* of theirs, together, while there is more than one; 0: 512 MiB */
};
/* Errors: from errno, ERR_NOMEM. */
enum err beside_new(const struct beside_options *o, struct beside **ret);
struct beside *beside_free(struct beside *b); /* waits for the end of what is being done */
DEFINE_AUTO(beside)

/* Does it carry so much that it is not done between two batches? */
bool beside_wants(const struct ipc_in *m);
/* Takes the message over (`m` is empty then). Errors: ERR_BUSY, ERR_NOMEM; the message stays. */
enum err beside_put(struct beside *b, struct ipc_in *m);
unsigned beside_n(const struct beside *b); /* put and not yet taken, or left and not yet ended */
int beside_fd(const struct beside *b);     /* readable when there is something to take; borrowed */
/* It comes out with ERR_CANCELLED. False: it is not here. */
bool beside_cancel(struct beside *b, uint64_t id);
void beside_cancel_all(struct beside *b); /* nothing of what is here comes out */

struct beside_done {
	uint64_t id;
	enum err err;             /* ERR_PROTOCOL: the message was bad */
	struct request_error why; /* of a request that could not be made */
	int64_t deadline_ms;      /* of the request: from its arrival; 0: none */
	int64_t arrived_ms;       /* monotonic */
	struct request *request;  /* the caller's, like `out`; NULL: `out` is the answer */
	struct ipc_out out;
};
/* False: nothing is ready. */
bool beside_take(struct beside *b, struct beside_done *ret);
