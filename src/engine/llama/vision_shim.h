/* engine/llama/vision_shim.h - libmtmd behind C, with every exception caught (see shim.h). */
#pragma once

#include "engine/llama/shim.h"

#ifdef __cplusplus
extern "C" {
#endif

struct shim_vision;
struct shim_picture; /* what a picture becomes: parts that are tokens or rows */

/* `path`: of the projector. SHIM_INVALID: not one, or not for this model. */
enum shim_result shim_vision_new(const char *path, const struct llama_model *m, int n_threads,
	bool gpu, struct shim_vision **ret, char why[SHIM_WHY]);
void shim_vision_free(struct shim_vision *v);
bool shim_vision_sees(const struct shim_vision *v);  /* pictures, not only sound */
bool shim_vision_mrope(const struct shim_vision *v); /* its rows want positions in a plane */

/* RGB, 3 bytes a pixel. SHIM_INVALID: the picture cannot be prepared. */
enum shim_result shim_picture_new(struct shim_vision *v, uint32_t width, uint32_t height,
	const unsigned char *rgb, struct shim_picture **ret);
void shim_picture_free(struct shim_picture *p);
size_t shim_picture_parts(const struct shim_picture *p);
/* Tokens of a part, NULL for one of rows; *ret_n counts either. */
const int32_t *shim_picture_tokens(const struct shim_picture *p, size_t part, size_t *ret_n);
bool shim_picture_non_causal(
	const struct shim_vision *v, const struct shim_picture *p, size_t part);
size_t shim_picture_positions(const struct shim_picture *p, size_t part);
/* Computes the rows of a part into `out`, `values` of them exactly. */
enum shim_result shim_picture_encode(struct shim_vision *v, const struct shim_picture *p,
	size_t part, float *out, size_t values);

#ifdef __cplusplus
}
#endif
