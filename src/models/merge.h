/* models/merge.h - makes one GGUF of the parts of one ("x-00001-of-00003.gguf").
 *
 * Pairs are those of the first part, tensors those of all, their bytes as they are. The parts may
 * come in any order; each says which it is. Every byte may be hostile: the new file is checked as
 * every model is. Reads by the parts' callbacks only. */
#pragma once

#include "models/make_job.h"

enum { MERGE_PARTS_MAX = 24 };
/* Errors: ERR_MODEL_BAD (info: what is wrong, or which part is missing), ERR_LIMIT, those of
 * reading and of the sink, ERR_NOMEM. */
enum err merge_run(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info);
