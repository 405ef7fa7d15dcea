/* chat/responses.h - answers of OpenAI's Responses API: those kept, and those being made.
 *
 * An answer belongs to a person and goes on from at most one other of theirs: a chain. The whole
 * chain is kept for RESPONSES_KEEP_DAYS after its newest answer, so that one in daily use loses
 * nothing. JSON goes in and out as text; what it means is src/api's business.
 *
 * A run is an answer being made that is to be kept. In the database:
 *
 *     nothing --response_add(running)--> running --response_end--> done --delete, sweep--> nothing
 *        `-----------response_add(done)------------------------------^
 *
 * `running` is for those that go on without a client; one that a stop of the server left so is
 * made `failed` by responses_recover(). */
#pragma once

#include "base/random.h"
#include "models/fleet.h"
#include "store/db.h"

enum { RESPONSES_KEEP_DAYS = 30, RESPONSES_LINKS_MAX = 10000 /* answers a chain */ };

struct responses;
enum err responses_new(struct db *db, struct fleet *fleet, struct responses **ret);
/* Cancels what runs and waits for it a little. */
struct responses *responses_free(struct responses *r);
DEFINE_AUTO(responses)
/* Call once at the start, before anything runs. */
enum err responses_recover(struct responses *r);
/* Deletes the chains whose time is over. Blocks: for a thread that may. */
enum err responses_sweep(struct responses *r);

/* ---- what is kept; ids have the form of id_new() ---- */

struct response_row {
	struct str id, person, previous, root; /* previous: STR_NONE, none */
	struct str input, body;                /* a JSON array; a JSON object */
	bool running;
};
/* Durable when it returns. Errors: ERR_CONFLICT (the person is gone), db's. */
enum err response_add(struct responses *r, const struct response_row *row);
/* The same for the end of one that was added as running. Errors: ERR_NOT_FOUND (deleted
 * meanwhile), db's. */
enum err response_end(struct responses *r, struct str id, struct str body);
/* Errors of these: ERR_NOT_FOUND, db's. `ret_owner` has ID_LEN + 1 bytes. */
enum err response_owner(struct responses *r, struct str id, char *ret_owner);
enum err response_body(struct responses *r, struct str id, struct buf *out);
enum err response_input(struct responses *r, struct str id, struct buf *out);
/* Stops it if it runs; what models read of its chain leaves their caches, too. */
enum err response_delete(struct responses *r, struct str id);
/* One for which no model has read anything yet: that it is there is enough. Errors: db's. */
enum err response_discard(struct responses *r, struct str id);
/* Of one person: stops and deletes everything. The caches are chat_forget_person()'s. */
enum err responses_forget_person(struct responses *r, const char *person);
/* Appends the items of `last` and of all it goes on from to `items`, the oldest first, as one JSON
 * array. `ret_root`: ID_LEN + 1 bytes. Errors: ERR_NOT_FOUND (there is no such answer of this
 * person), ERR_GONE (one before it is not there any more), ERR_CONFLICT (it is still being made),
 * ERR_TOO_LARGE (over `max_bytes` of items, or RESPONSES_LINKS_MAX), db's. */
enum err response_chain(struct responses *r, const char *person, struct str last, size_t max_bytes,
	struct buf *items, char *ret_root);

/* ---- what runs ---- */

/* In the memory of whoever makes the answer; theirs are the fields of the first line, set before
 * response_run_add(). The rest is under the module's lock. */
struct response_run {
	char id[ID_LEN + 1], person[ID_LEN + 1];
	bool background; /* response_cancel() may end it */
	struct response_run *next, *next_job;
	bool listed, cancelled;
	uint64_t fleet_id;
	void (*job)(void *arg);
	void *job_arg;
};
/* Errors: ERR_CLOSED (the server ends). */
enum err response_run_add(struct responses *r, struct response_run *run);
/* The fleet's number for it is known: it is cancelled now, if somebody wanted that before. After
 * its end this does nothing, but `run` must still be there. */
void response_run_started(struct responses *r, struct response_run *run, uint64_t fleet_id);
/* Calls job(arg) on a thread that may block, once. Never blocks, cannot fail. */
void response_run_later(
	struct responses *r, struct response_run *run, void (*job)(void *arg), void *arg);
/* The end: `run` is not looked at any more. */
void response_run_end(struct responses *r, struct response_run *run);
/* Was its end asked for (and not by a stop of the server)? */
bool response_run_cancelled(struct responses *r, struct response_run *run);
bool responses_closing(struct responses *r);
/* Ends one that runs in the background and waits until that is durable. One that is over is left
 * as it is. Errors: ERR_BUSY (could not be stored yet). */
enum err response_cancel(struct responses *r, struct str id);

extern const struct sql *const responses_sql[]; /* for db_prepare_check() */
extern const size_t responses_sql_count;
