/* engine/drive.h - plays keeper and server for one engine: for tests and bench/serving. */
#pragma once

#include "os/ipc.h"
#include "proto/engine.h"

struct drive;
/* Starts engine_body() in a child on the open model (taken) and attaches as the server. `load`'s
 * model_fd is ignored. Call with one thread. Errors: from the system, ERR_NOMEM. */
enum err drive_start(int model_fd, const struct engine_load *load, struct drive **ret);
struct drive *drive_free(struct drive *d); /* kills the child if it runs */
DEFINE_AUTO(drive)
/* Waits for READY or REFUSED. ERR_MODEL_BAD etc. with `why` filled when refused; ERR_CLOSED when
 * the
 * engine died. `ret` borrows until drive_free. */
enum err drive_ready(
	struct drive *d, int timeout_ms, struct engine_info *ret, struct gen_failed *why);
enum err drive_ask(struct drive *d, uint64_t id, const struct gen_request *g);
enum err drive_cancel(struct drive *d, uint64_t id);
enum err drive_count(struct drive *d, uint64_t id, const struct gen_request *g);
/* The server's end; the caller may read and write it. */
struct ipc *drive_server(struct drive *d);
/* Closes the server's end and attaches a new one, as after a crash of the server. */
enum err drive_reattach(struct drive *d);
enum err drive_shutdown(struct drive *d);
/* Waits for the child's end; its wait status. */
enum err drive_wait(struct drive *d, int timeout_ms, int *ret_status);
int drive_pid(const struct drive *d);

struct drive_answer { /* one request, collected; the caller calls drive_answer_done */
	struct buf text, thought;
	struct buf calls, warnings, logprobs; /* logprobs: the arrays one after another */
	int32_t *tokens;
	size_t n_tokens, cap_tokens;
	bool begun, done, failed;
	struct gen_begun b;
	struct gen_done d;
	struct gen_failed f; /* detail points into detail_copy */
	char detail_copy[ERR_DETAIL_MAX];
	int64_t sent_ns, first_ns, last_ns; /* monotonic */
	uint64_t counted;
};
void drive_answer_done(struct drive_answer *a);
/* Reads events into a[id - first_id] until all n are over. Errors: ERR_CLOSED, ERR_TIMEOUT,
 * ERR_PROTOCOL (an event for no request, or out of order). */
enum err drive_collect(
	struct drive *d, struct drive_answer *a, uint64_t first_id, size_t n, int timeout_ms);
/* One request from start to end. */
enum err drive_one(
	struct drive *d, const struct gen_request *g, struct drive_answer *ret, int timeout_ms);
