/* engine/llama/vision.h - pictures for a model that sees: its projector (mmproj), by libmtmd.
 *
 * The projector is a second file; the library opens it by a path, so it is given as
 * /proc/self/fd/N. Encoding a picture is the expensive part (a second and more on a CPU): it
 * happens in llama_vision_add(), on the caller's thread. */
#pragma once

#include "engine/llama/backend.h"
#include "engine/media.h"

struct llama_vision;
/* Borrows the backend and, until it returns, the descriptor. Errors: ERR_MODEL_BAD (not a
 * projector, or of another model), ERR_UNSUPPORTED (of a kind that is not read yet: sound only, or
 * positions in a plane as Qwen-VL has them); info says which. */
enum err llama_vision_new(struct llama_backend *b, int projector_fd, struct llama_vision **ret,
	struct err_info *info);
struct llama_vision *llama_vision_free(struct llama_vision *v);

/* Adds a picture at the end of a prompt: the tokens that stand around it to `tokens`, MEDIA_TOKEN
 * for each row, the rows to `media`. On an error both are as before.
 * Errors: ERR_INVALID (cannot be prepared), ERR_LIMIT (too many parts, or more rows at once than a
 * batch holds), ERR_NOMEM, ERR_ENGINE. */
enum err llama_vision_add(struct llama_vision *v, uint32_t width, uint32_t height,
	const unsigned char *rgb, struct tokens *tokens, struct media_list *media,
	struct err_info *info);

/* Computes rows [from, from + n) of a picture at positions from `pos` on; n at most the caps'
 * n_batch, and all rows at once for a non-causal one. `out`: the last row's logits are wanted
 * (LLAMA_OPS.logits(b, n - 1)). Errors: as engine_backend_ops.decode. */
enum err llama_vision_decode(struct llama_backend *b, enum engine_pool p,
	const struct engine_media *m, uint32_t from, uint32_t n, int32_t seq, int32_t pos,
	bool out);
