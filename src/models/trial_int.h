/* models/trial_int.h - private to models/trial*.c. */
#pragma once

#include <pthread.h>

#include "models/trial.h"

struct trial_run;
struct trials {
	struct db *db;
	struct model_store *store;
	struct fleet *fleet;
	pthread_mutex_t lock;
	pthread_cond_t more; /* an answer ended, or all is to end */
	bool running, closing, joinable;
	pthread_t thread; /* of the last run, when joinable */
};

/* A run's row, in state running. */
enum err trial_row_add(struct trials *t, const struct trial *r);
/* All answers and state done, in one transaction; or state failed and why. ERR_NOT_FOUND: the alias
 * was removed meanwhile. */
struct trial_result {
	const char *id;
	struct str failed; /* why; STR_NONE: it is done */
	size_t n;
	const struct trial_answer *answer;
};
enum err trial_row_end(struct trials *t, const struct trial_result *r);
