/* engine/scheduler.h - many requests, one model: which tokens go into the next batch.
 *
 * States of a request: waiting (engine/queue.h: no cells), running (in a slot of engine/cells.h;
 * follows another that reads the same, or reads its prompt, then answers), over. Transitions: add
 * ->
 * waiting; step admits waiting -> running when a slot is free and its cells suffice to the end, so
 * that what has started never starves; running -> waiting when the backend has no cells all the
 * same, or when somebody without anything running waits while another has much (preempted: its
 * cells go to RAM and come back, nothing is computed again); cancel, end, stop string or limit ->
 * over. Exactly one of done and failed is called for each id added.
 *
 * Where it runs: texts with a beginning in common (marked as shared by group or company, or shared
 * with something that runs) go to the shared pool, all others to streams of their own.
 *
 * Invariants: 1. a slot's `kv` lists exactly the tokens in its cells. 2. what was read for one
 * scope
 * is never used in another, and never for strict. 3. a strict request runs alone, from empty cells,
 * in pieces that depend on its own tokens only. 4. decode before prefill: each answering request
 * has its token in every step; prompts share what is left of the wanted gap between tokens, equally
 * by person, classes in order. 5. drafted tokens never change an answer: each is drawn from the
 * model's own numbers and kept only if it is the drafted one.
 *
 * Pure C over engine_backend_ops, one thread, no I/O; time is the backend's. */
#pragma once

#include "engine/backend.h"
#include "engine/prefix.h"

struct request;
struct sched;
/* called inside sched_add, sched_step and sched_cancel_all; may not call back */
struct sched_sink {
	void (*begun)(void *arg, uint64_t id, const struct gen_begun *v);
	void (*delta)(void *arg, uint64_t id, const struct gen_delta *v);
	void (*done)(void *arg, uint64_t id, const struct gen_done *v);
	void (*failed)(void *arg, uint64_t id, const struct gen_failed *v);
	void (*queued)(void *arg, uint64_t id, const struct gen_queued *v); /* may be NULL */
	void *arg;
};
struct sched_options {
	const struct engine_backend_ops *ops; /* borrowed, as backend */
	void *backend;
	struct sched_sink sink;
	uint32_t max_waiting; /* 0: 1024 */
	int64_t gap_ns;       /* wanted gap between tokens while prompts are read; 0: 150 ms */
	int64_t age_ns;       /* waiting this long lifts a request by one class; 0: 15 s */
	size_t ram_bytes;     /* RAM tier of the prefix cache; 0: 256 MiB */
	const struct prefix_disk *disk; /* tier below; NULL: none */
	bool no_drafts;
};
enum err sched_new(const struct sched_options *o, struct sched **ret);
struct sched *sched_free(struct sched *s); /* no sink calls */
DEFINE_AUTO(sched)
/* Copies the request. Failures (too long, invalid, queue full: ERR_BUSY) come through the sink. */
void sched_add(struct sched *s, uint64_t id, const struct gen_request *g);
/* The same with a request that is made already; takes it. `deadline_ms`: from arrival, which was
 * `ago_ms` ago; 0: none. */
void sched_take(struct sched *s, struct request *r, int64_t deadline_ms, int64_t ago_ms);
/* Takes effect with the next step, which calls done with GEN_CANCELLED. Unknown ids are ignored. */
void sched_cancel(struct sched *s, uint64_t id);
void sched_cancel_all(struct sched *s); /* at once, without sink calls: nobody listens any more */
/* One batch of each pool. Errors: ERR_ENGINE (the backend is lost), ERR_NOMEM; then the engine has
 * to end. */
enum err sched_step(struct sched *s);
bool sched_busy(const struct sched *s); /* anything waiting or running */
bool sched_strict(struct sched *s); /* a strict request runs or waits: threads must stay all */
/* The last step computed nothing: all that runs waits for rows of pictures. Try again later. */
bool sched_waits(const struct sched *s);
/* Nothing is busy: moves a leaf's text to lower tiers. True: call again. */
bool sched_idle(struct sched *s);
/* Nothing has been busy for long: gives back what is for reading long prompts alone, which takes a
 * tenth of a second to be made again. */
void sched_rest(struct sched *s);
bool sched_may_rest(const struct sched *s); /* there is something to give back */
void sched_save(struct sched *s); /* before the end: all that was read goes to lower tiers */
/* Nothing is busy: forgets everything in every tier, because cells will be laid out otherwise, and
 * gives the pools' memory back; the next request opens them. */
void sched_close(struct sched *s);
/* What was read for a person, or for one object of a person's, is forgotten in every tier. */
void sched_purge(struct sched *s, const struct engine_purge *p);
struct prefix *sched_tree(struct sched *s); /* to recall what lies on disk */
void sched_stats(const struct sched *s, struct engine_stats *ret);
/* Tokens of the request's prompt; the one function that another thread may call beside the others.
 * Errors: the backend's prompt(). */
enum err sched_count(
	struct sched *s, const struct gen_request *g, uint64_t *ret, struct err_info *info);
