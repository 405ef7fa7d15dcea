/* cli/attach.h - pictures named in a prompt: their paths go out of the text, their bytes along.
 *
 * A path begins with /, ./, ../ or ~/ after a blank, a bracket or a quote, ends with .png, .jpg,
 * .jpeg or .webp in either case, and may be in quotes or have its blanks and signs escaped by \.
 * What is no file stays text. */
#pragma once

#include "base/json.h"

enum {
	ATTACH_FILE_MAX = 11 * 1024 * 1024, /* bytes: in base64 it must fit into a request */
	ATTACH_PLACES = 1000, /* places in a prompt that are looked at */
};
/* `text` gets the prompt without the paths, trimmed; base64 texts are appended to `images` (an
 * array). Says on stderr what was added. Errors: ERR_INVALID (a file that is not such a picture),
 * ERR_TOO_LARGE, from errno, buf's. */
enum err attach_pictures(
	struct str prompt, struct buf *text, json_t *images, struct err_info *info);
/* Does a picture's path begin here? Bytes of it as written, 0: none. `path` gets it plain. */
size_t attach_path(struct str at, struct buf *path);
