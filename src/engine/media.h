/* engine/media.h - pictures in a prompt: places of tokens that hold rows of numbers instead.
 *
 * A picture becomes runs of rows with ordinary tokens around them. A row takes a place in the text
 * as a token does; the id there is a negative number made of the picture's hash, so texts with the
 * same pictures are equal and all others differ, for whoever compares tokens. */
#pragma once

#include "base/crypto.h"
#include "engine/vec.h"

struct engine_picture; /* the backend's; counts who refers to it */
enum { MEDIA_MAX = 64 }; /* runs of rows a prompt may have */
struct engine_media {
	struct engine_picture *of; /* borrowed: the request's */
	uint32_t part;   /* of its parts, by the backend's count */
	uint32_t at, n;  /* places */
	bool non_causal; /* its rows see each other: they must be computed in one decode */
};
struct media_list { /* in the order of their places */
	struct engine_media *v; /* owned; NULL while empty */
	size_t n, cap;
};
void media_list_done(struct media_list *m); /* frees; reusable afterwards */
/* Errors: ERR_LIMIT (too many), ERR_NOMEM; the list is as before. */
enum err media_add(struct media_list *m, const struct engine_media *v);
/* The run that has this place, or the next one behind it; NULL: none. */
const struct engine_media *media_from(const struct media_list *m, size_t at);
/* The id at a row's place. */
int32_t media_token(const uint8_t hash[SHA256_LEN], uint32_t part, uint32_t row);
