/* models/convert_adapter.h - makes a GGUF of a LoRA adapter that is a folder of PEFT's:
 * adapter_config.json and adapter_model.safetensors.
 *
 * The first part is the GGUF of the model it is for: its header says the architecture, and how many
 * heads it has, whose rows llama's files hold in another order. Whether the tensors fit the model
 * is not judged here (models/adapter.h). What would make another model of it (DoRA, biases, whole
 * modules, a scale of its own for some modules, changed start weights) is refused by name. The
 * weights keep their precision. Every byte may be hostile. Reads by pread only. */
#pragma once

#include "models/make_job.h"

enum { CONVERT_RANK_MAX = 4096 };

/* Errors: ERR_MODEL_BAD (info says what), those of reading and of the sink, ERR_NOMEM. */
enum err convert_adapter_run(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info);
