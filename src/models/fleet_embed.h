/* models/fleet_embed.h - texts to vectors through the fleet: as a generation, queued, sent to the
 * model's engine, and sent again alone after its crash. */
#pragma once

#include "models/fleet.h"
#include "proto/embed.h"

/* Copies everything in `r`. The sink gets FLEET_QUEUED while it waits, then exactly once
 * FLEET_EMBEDDED, FLEET_FAILED or, after fleet_cancel(), FLEET_DONE.
 * Errors: ERR_QUEUE (full: see fleet_retry_after_s()), ERR_NOMEM; then no sink call comes. */
enum err fleet_embed(struct fleet *f, const struct fleet_model *m, const struct embed_request *r,
	fleet_sink sink, void *arg, uint64_t *ret_id);
