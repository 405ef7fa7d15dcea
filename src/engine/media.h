/* engine/media.h - pictures in a prompt: places of tokens that hold rows of numbers instead.
 *
 * A picture takes `n` places of the prompt's tokens from `at` on; the ids there are MEDIA_TOKEN and
 * stand for no text. What the model wants said around a picture are ordinary tokens. Two pictures
 * with the same hash have the same rows for the same model and projector. */
#pragma once

#include "base/crypto.h"
#include "engine/vec.h"

enum { MEDIA_TOKEN = -1, MEDIA_MAX = 64 }; /* pictures, or parts of them, a prompt may have */
struct engine_media {
	uint32_t at, n;   /* places */
	uint32_t n_embd;  /* values of a row, as the model's embeddings */
	float *rows;      /* n of them; owned */
	bool non_causal;  /* its rows see each other: they must be computed in one decode */
	uint8_t hash[SHA256_LEN]; /* of the picture's size and pixels, and which part this is */
};
struct media_list { /* in the order of their places */
	struct engine_media v[MEDIA_MAX];
	size_t n;
};
void media_list_done(struct media_list *m); /* frees; reusable afterwards */
