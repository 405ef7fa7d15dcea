/* models/fleet_tokens.h - questions about text for a model's engine: how many tokens a request's
 * prompt has, which tokens a text has, what tokens stand for. Queued, sent, and sent again alone
 * after a crash as a generation; nothing is generated. */
#pragma once

#include "models/fleet.h"

/* Both copy what they are given. The sink gets FLEET_QUEUED while it waits, then exactly once
 * FLEET_COUNTED or FLEET_TOKENED, FLEET_FAILED or, after fleet_cancel(), FLEET_DONE. A prompt that
 * is longer than the context is counted all the same.
 * Errors: ERR_QUEUE (full: see fleet_retry_after_s()), ERR_NOMEM; then no sink call comes. */
enum err fleet_count(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id);
enum err fleet_tokens(struct fleet *f, const struct fleet_model *m, const struct tokens_request *q,
	fleet_sink sink, void *arg, uint64_t *ret_id);
