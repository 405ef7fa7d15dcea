/* chat/chat_test_fleet.h - a fleet for tests: it answers what the test says, when the test says it.
 * */
#pragma once

#include "models/fleet.h"

struct fake_request {
	uint64_t id;
	char *input;              /* the history, as it was handed over */
	struct fleet_model model;
	int32_t *resume;
	size_t n_resume;
	int64_t seed;
	uint64_t person, object;
	unsigned n_pictures;
	char pictures[GEN_PICTURES_MAX + 1]; /* the first byte of each one's hash */
	bool cancelled, over;     /* over: its last event was sent */
	fleet_sink sink;
	void *arg;
};
struct fleet *fake_fleet_new(void);
void fake_fleet_free(struct fleet *f);
size_t fake_count(struct fleet *f);
struct fake_request *fake_at(struct fleet *f, size_t i);
/* What was purged, oldest first. */
size_t fake_purges(struct fleet *f, struct engine_purge *ret, size_t max);
/* The next fleet_start() fails. */
void fake_full(struct fleet *f, bool full);
void fake_refuse_next(struct fleet *f, enum err e);
void fake_queued(struct fleet *f, size_t i, unsigned position, bool loading);
void fake_begun(struct fleet *f, size_t i, int64_t seed, uint32_t truncated);
void fake_say(struct fleet *f, size_t i, const char *text, size_t n_tokens);
void fake_think(struct fleet *f, size_t i, const char *text, size_t n_tokens);
void fake_rewind(struct fleet *f, size_t i);
void fake_done(struct fleet *f, size_t i, enum gen_reason reason);
void fake_failed(struct fleet *f, size_t i, enum err e, const char *text);
