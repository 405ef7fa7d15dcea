/* engine/llama/vision.h - pictures for a model that sees: its projector (mmproj), by libmtmd.
 *
 * The projector is a second file; the library opens it by a path, so it is given as
 * /proc/self/fd/N. Preparing a picture (cut and brought to the model's size) happens in
 * llama_op_picture_new(); its rows, which take a second and more on a CPU, are computed by a thread
 * of their own with half of the cores, while the caller goes on. */
#pragma once

#include "engine/llama/backend.h"

/* The model sees from now on; freed with the backend. Borrows the descriptor until it returns.
 * Errors: ERR_MODEL_BAD (not a projector, or of another model), ERR_UNSUPPORTED (of a kind that is
 * not read yet: sound only, or positions in a plane as Qwen-VL has them); info says which. */
enum err llama_vision_open(struct llama_backend *b, int projector_fd, struct err_info *info);

/* engine_backend_ops's calls of the same names */
enum err llama_op_picture_new(void *b, const struct gen_picture *g, struct engine_picture **ret,
	struct err_info *info);
void llama_op_picture_free(void *b, struct engine_picture *p);
enum err llama_op_picture_rows(void *b, struct engine_picture *p);
enum err llama_op_decode_rows(void *b, enum engine_pool p, const struct engine_media *m,
	uint32_t from, uint32_t n, int32_t seq);

/* Adds a picture at the end of a prompt: the tokens that stand around it, an id for each row.
 * Errors: ERR_LIMIT (too many parts), ERR_NOMEM. */
enum err llama_picture_place(
	struct engine_picture *p, struct tokens *tokens, struct media_list *media);
/* A part's rows once they are there; NULL before, and for a part of tokens. */
const float *llama_picture_values(const struct engine_picture *p, uint32_t part);

struct llama_vision *llama_vision_free(struct llama_vision *v); /* waits for its thread */
