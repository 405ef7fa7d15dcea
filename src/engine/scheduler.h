/* engine/scheduler.h - many requests, one model: which tokens go into the next batch.
 *
 * States of a request: waiting (no cells), running (in a slot; reads its prompt, then answers),
 * over. Transitions: add -> waiting; step admits waiting -> running when a slot is free and its
 * cells suffice to the end, so that what has started never starves; running -> waiting only if the
 * backend says it has no cells all the same (preempted, newest first; it computes again); cancel,
 * end, stop string or limit -> over. Exactly one of done and failed is called for each id added.
 *
 * Invariants: 1. a slot's `kv` lists exactly the tokens in the cells of its sequence. 2. the cells
 * of a free slot (a kept leaf) are used again only for the same person, after a comparison of
 * tokens, never for strict. 3. a strict request runs alone, from empty cells, in pieces that
 * depend on its own tokens only. 4. decode before prefill: each answering request has its token in
 * every batch; prompts share what is left, in chunks measured to keep the gap between tokens.
 *
 * Pure C over engine_backend_ops, one thread, no I/O; time is the backend's. */
#pragma once

#include "engine/backend.h"

struct sched;
/* called inside sched_add, sched_step and sched_cancel_all; may not call back */
struct sched_sink {
	void (*begun)(void *arg, uint64_t id, const struct gen_begun *v);
	void (*delta)(void *arg, uint64_t id, const struct gen_delta *v);
	void (*done)(void *arg, uint64_t id, const struct gen_done *v);
	void (*failed)(void *arg, uint64_t id, const struct gen_failed *v);
	void *arg;
};
struct sched_options {
	const struct engine_backend_ops *ops; /* borrowed, as backend */
	void *backend;
	struct sched_sink sink;
	uint32_t max_waiting; /* 0: 1024 */
	int64_t gap_ns;       /* wanted gap between tokens while prompts are read; 0: 150 ms */
	int64_t age_ns;       /* waiting this long lifts a request by one class; 0: 15 s */
};
enum err sched_new(const struct sched_options *o, struct sched **ret);
struct sched *sched_free(struct sched *s); /* no sink calls */
DEFINE_AUTO(sched)
/* Copies the request. Failures (too long, invalid, queue full: ERR_BUSY) come through the sink. */
void sched_add(struct sched *s, uint64_t id, const struct gen_request *g);
/* Takes effect with the next step, which calls done with GEN_CANCELLED. Unknown ids are ignored. */
void sched_cancel(struct sched *s, uint64_t id);
void sched_cancel_all(struct sched *s); /* at once, without sink calls: nobody listens any more */
/* Forgets what was read for the person (`object` 0), for one conversation of theirs, or (both 0)
 * for anybody. What still runs for them is not kept when it ends. */
void sched_purge(struct sched *s, const struct engine_purge *p);
/* One batch. Errors: ERR_ENGINE (the backend is lost), ERR_NOMEM; then the engine has to end. */
enum err sched_step(struct sched *s);
bool sched_busy(const struct sched *s); /* anything waiting or running */
void sched_stats(const struct sched *s, struct engine_stats *ret);
/* Tokens of the request's prompt. Errors: the backend's prompt(). */
enum err sched_count(
	struct sched *s, const struct gen_request *g, uint64_t *ret, struct err_info *info);
