/* models/convert.h - makes a GGUF of an embedding model that is a folder of safetensors, as
 * sentence-transformers and Hugging Face have it: BERT and XLM-RoBERTa (all-MiniLM, bge, e5).
 *
 * The result is what llama.cpp's convert_hf_to_gguf.py makes of it, with the weights' own
 * precision: small vectors and positions in F32, the rest as it is (F32, F16 or BF16). What the
 * format cannot hold or the model does differently (another activation, a layer behind the pooling,
 * a classifier) is refused by name, never left out. Every byte may be hostile. Reads by pread only.
 * */
#pragma once

#include "models/make_job.h"

enum {
	CONVERT_PARTS_MAX = 24,
	CONVERT_JSON_MAX = 64 * 1024 * 1024, /* bytes of tokenizer.json */
	CONVERT_DEPTH = 24,
	CONVERT_NAME_MAX = 255, /* bytes of a file's name, as "1_Pooling/config.json" */
};

/* Errors: ERR_MODEL_BAD (info says what of which file), ERR_UNSUPPORTED (not such a model; info),
 * those of reading and of the sink, ERR_NOMEM, ERR_LIMIT. */
enum err convert_run(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info);
