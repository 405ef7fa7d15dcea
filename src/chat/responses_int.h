/* chat/responses_int.h - private to responses*.c. */
#pragma once

#include <pthread.h>

#include "chat/responses.h"
#include "chat/responses_sql.h"

enum {
	RESPONSES_THREADS = 2,          /* that store: their writes share a commit */
	RESPONSES_CANCEL_WAIT_MS = 10000,
	RESPONSES_CLOSE_WAIT_MS = 5000, /* for the fleet's last words when the server ends */
};

struct responses {
	struct db *db;
	struct fleet *fleet;
	pthread_mutex_t lock;
	pthread_cond_t more, gone;      /* a job is there; a run is over */
	struct response_run *runs, *first_job, **last_job;
	bool closing, ending, cond_up;  /* ending: threads stop when no job is left */
	unsigned threads;
	pthread_t thread[RESPONSES_THREADS];
};

/* Cancels the runs of a person, or the one of this id, or all, that are listed. */
void responses_stop(struct responses *r, struct str id, struct str person);
