/* doc/image.h - a picture's bytes to RGB. Runs in the jail: the bytes are anybody's.
 *
 * The format is known by the first bytes, never by a name. Width and height are read and judged
 * before any memory is taken for pixels. Transparent parts become white. */
#pragma once

#include "base/str.h"

enum {
	IMAGE_SIDE_MAX = 16384,              /* pixels */
	IMAGE_PIXELS_MAX = 20 * 1000 * 1000, /* of the whole */
	IMAGE_BYTES_MAX = 16 * 1024 * 1024,  /* of the file */
};

/* What a file is taken for, by its first bytes alone. Pure: the one function here that may also be
 * asked outside the jail. */
enum image_kind { IMAGE_OTHER, IMAGE_PNG, IMAGE_JPEG, IMAGE_WEBP };
enum image_kind image_kind(struct str bytes);

struct image {
	uint32_t width, height;
	unsigned char *rgb; /* owned; 3 bytes a pixel, rows from the top without gaps */
};
void image_done(struct image *i);
/* Errors: ERR_INVALID (no picture, damaged, or of a kind that is not read), ERR_LIMIT (too large),
 * ERR_NOMEM; info says what, for the person who sent it. */
enum err image_decode(struct str bytes, struct image *ret, struct err_info *info);
