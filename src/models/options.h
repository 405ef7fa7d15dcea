/* models/options.h - the options of an answer by their names in Ollama, as models bring them
 * (PARAMETER in a Modelfile) and requests ask for them: one table of what there is. Pure. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "proto/engine.h"

struct model_options {
	struct gen_sampling sampling;
	uint32_t num_ctx;                       /* 0: as loaded */
	int64_t think_budget;                   /* tokens of reasoning; -1: no limit */
	int64_t deadline_ms;                    /* 0: none */
	bool require_gpu;                       /* `require`: "gpu"; else "any" */
	struct str stop[LIMIT_STOP_STRINGS];    /* borrowed from the JSON */
	unsigned n_stop;
};
void model_options_init(struct model_options *o); /* what holds where nobody says */
/* Sets one; null and NULL change nothing. `shown` is what the caller calls it. "stop" replaces all
 * of them. Errors: ERR_NOT_FOUND (no option has this name), ERR_INVALID (type or range: info). */
enum err model_option_set(struct model_options *o, const char *name, const char *shown,
	const json_t *v, struct err_info *info);
/* A model's own: what is not usable is left out, and `bad` (may be NULL) hears of it. What is read
 * when a model is loaded, and names nobody knows, are nobody's business here. */
void model_options_read(struct model_options *o, const json_t *params,
	void (*bad)(void *arg, const char *name), void *arg);
