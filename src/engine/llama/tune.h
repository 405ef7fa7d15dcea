/* engine/llama/tune.h - measures on this machine which settings suit this model.
 *
 * What matters on a CPU: flash attention (off wins where many texts share a prefix, on wins beside
 * many cells that are not theirs), the micro-batch, threads. Measured are steps of 1 and 8
 * sequences beside few, some and many cells in use, and the reading of a prompt, its first tokens
 * and a tile of later ones. Cells are filled by copying the states of a few that were computed, so
 * the whole takes seconds, not minutes. Nothing may be open or in use; another request ends the
 * measuring early. */
#pragma once

#include "engine/llama/backend.h"

enum { TUNE_OCCUPANCIES = 3, TUNE_TEXT = ENGINE_TUNED_MAX + 1 };
struct tuned {
	bool flash;
	bool reads; /* reading in a pool of its own, with flash attention, pays */
	uint32_t n_ubatch, n_threads;
	char text[TUNE_TEXT]; /* one line for people and for the next start */
};
/* Measures for at most `budget_ms`; `stop` (may be NULL) is asked between two steps. Both pools are
 * closed before and after. Errors: ERR_CANCELLED (stop said so), ERR_TIMEOUT (not even one setting
 * was measured in time), ERR_NOMEM, ERR_ENGINE, ERR_UNSUPPORTED (this model has no shared pool). */
enum err llama_tune(struct llama_backend *b, int budget_ms, bool (*stop)(void *arg), void *arg,
	struct tuned *ret);
/* Reads the line of an earlier measurement. False: it is not one. */
bool tuned_read(struct str line, struct tuned *ret);
/* Settings for pools opened from now on. */
void llama_backend_apply(struct llama_backend *b, const struct tuned *t);
