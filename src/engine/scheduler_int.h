/* engine/scheduler_int.h - private to engine/scheduler*.c: what its files share. */
#pragma once

#include "engine/cells.h"
#include "engine/queue.h"
#include "engine/scheduler.h"

enum {
	CHUNK_MIN = 16, /* tokens of prompt a step carries at least */
	AHEAD_MAX = 64,
};
struct ahead { /* of a prompt that was read sooner than its share */
	uint64_t person;
	unsigned class;
	size_t owed; /* tokens */
};

struct sched {
	const struct engine_backend_ops *ops;
	void *backend;
	const struct engine_caps *caps;
	struct sched_sink sink;
	struct cells *cells;
	struct queue_wait *queue;
	struct engine_token *batch; /* n_batch of them */
	size_t n_batch;
	uint32_t max_waiting, n_running, n_run;
	uint64_t orders, steps;
	uint64_t long_step; /* the last one; 0: none yet */
	struct ahead ahead[AHEAD_MAX]; /* scheduler_batch.c: what the others pay on */
	size_t n_ahead;
	size_t read_saved; /* tokens of prompt due in the reading pool, less than its tile */
	uint32_t squeeze; /* halvings of the prompt share after ERR_AGAIN */
	uint32_t stuck;   /* ERR_AGAINs in a row with nothing left to give up */
	int64_t gap_ns, told_ns;
	double token_ns;   /* measured: what a token of prompt costs */
	double answer_ns;  /* measured: a step without prompts */
	double service_ns; /* measured: from admission to the end */
	bool no_drafts;
	bool computed; /* in this step: anything */
	struct engine_stats stats;
	struct buf thought, answer;
};

/* Iterates over the slots with a request. Its body may end the request. */
#define EACH_RUNNING(s, l)                                                                         \
	for (size_t l##_i = 0; l##_i < cells_n((s)->cells); l##_i++)                               \
		for (struct slot *l = cells_slot((s)->cells, l##_i); l && l->req; l = NULL)


/* scheduler.c */
int64_t sched_now(const struct sched *s);
void sched_fail(struct sched *s, uint64_t id, enum err e, struct request_error *why);
void sched_smooth(double *to, double v);
void sched_make_room(struct sched *s, enum engine_pool p); /* after ERR_AGAIN */
/* The request is over; `l` is its slot or NULL. Frees it. */
void sched_finish(struct sched *s, struct request *r, struct slot *l, enum gen_reason reason);
void sched_finish_failed(struct sched *s, struct slot *l, enum err e, const char *detail);

/* scheduler_admit.c: who waits gets a slot */
void sched_admit(struct sched *s);
/* Its cells go to RAM, it waits at the head of its person's line. */
void sched_preempt(struct sched *s, struct slot *l);
/* The first tokens of its own go into a batch: now it is known what it did not have to read. True:
 * the request is over. */
bool sched_tell_begun(struct sched *s, struct slot *l);

/* scheduler_batch.c: what is computed in a step */
struct slot *sched_place_of(struct slot *l); /* where its tokens are computed now */
size_t sched_left(const struct slot *l);     /* tokens until the next one can be drawn */
void sched_share_prompts(struct sched *s);   /* how many of its prompt each computes in this step */
bool sched_tile_fits(const struct sched *s);
bool sched_reads_before(const struct slot *a, const struct slot *b); /* order of prompts */
/* The batch of one pool: a token for each that answers, then prompts. False: nothing to compute. */
bool sched_fill(struct sched *s, enum engine_pool p, size_t *ret_prompts);

/* scheduler_pictures.c: rows of pictures, read like tokens once they are there */
/* The run that the slot's next place is in; NULL: it is a token. */
const struct engine_media *sched_picture_at(const struct slot *l);
/* Rows of each slot in this pool that stands before a picture. Errors: as sched_step(). */
enum err sched_read_pictures(struct sched *s, enum engine_pool p);

/* scheduler_answer.c: what is made of the logits */
/* Sends the text of resumed tokens again and moves sampler and grammar past them. True: over. */
bool sched_replay(struct sched *s, struct slot *l);
/* The next token, and the drafted ones behind it as long as each is what would have been drawn. */
void sched_draw_next(struct sched *s, struct slot *l);
