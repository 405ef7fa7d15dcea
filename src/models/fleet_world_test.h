/* A fleet against a keeper and engines played by threads; for the fleet's tests. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "models/fleet.h"
#include "tests/test.h"

/* What a played engine does with a request, chosen by its input. */
struct world {
	struct ipc *keeper_end;
	struct keeper_link *link;
	pthread_t keeper, pump;
	atomic_int engines_started, engines_stopped, asked;
	atomic_int cancels, purges, purged_on_disk;
	atomic_ullong purged_person, purged_object;
	atomic_bool stop;
	pthread_t engines[64];
	atomic_uint n_engines;
	pthread_t late;
	bool is_late;
	struct fleet *fleet;
	struct engine_load last_load; /* asked for last */
	char last_projector[65], asked_engine[LIMIT_ENGINE_ID + 1];
	struct model_adapters last_adapters;
	uint64_t last_cpu_less, free_bytes;
	atomic_uint reports;
	atomic_int killed_next; /* so many deaths are kills from outside */
	bool blind; /* engines do not see the cards they are to use */
	char build[16];
	char tuned_stored[64], tuned_given[64];
};

/* What a sink saw. */
struct seen {
	pthread_mutex_t lock;
	pthread_cond_t more;
	char text[256], why[ERR_DETAIL_MAX], build[LIMIT_ENGINE_ID + 1];
	unsigned begun, done, failed, tokens;
	enum err code;
	enum gen_reason reason;
	float values[8]; /* embedded */
	size_t n_values;
};
#define SEEN                                                                                       \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER                \
	}
#define FORTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* Options without keeper, arg and report: those are the world's. */
struct fleet *world_with(struct world *w, const struct fleet_options *base);
struct fleet *world_new(struct world *w, unsigned max_engines);
void world_end(struct world *w, struct fleet *f);
/* For fleet_options; their arg is the world. */
void world_memory(void *arg, struct fleet_memory *ret); /* free_bytes, after the reserve */
bool world_need(void *arg, const char *digest, struct plan_need *ret); /* 1000; "huge": 5 GiB */
void world_tuned_get(void *arg, const char *digest, struct engine_load *load);
void world_tuned_put(void *arg, const char *digest, struct str build, struct str line);

void see(const struct fleet_event *e, void *arg);
void wait_end(struct seen *s);
enum err ask_with(struct fleet *f, const char *digest, struct gen_request g, struct seen *s,
	uint64_t *ret_id);
uint64_t ask(struct fleet *f, const char *digest, const char *input, struct seen *s);
