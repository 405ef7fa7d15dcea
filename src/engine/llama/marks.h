/* engine/llama/marks.h - where pictures stand in a rendered text.
 *
 * A template knows text only: each picture is rendered as a mark, a random word that nobody can
 * have written into a message, and becomes its rows when the text becomes tokens. */
#pragma once

#include "base/json.h"
#include "engine/llama/backend_int.h"

enum { MARK_HEX = 32 }; /* digits */
struct picture_marks {
	struct engine_picture *const *v; /* borrowed */
	unsigned n;                      /* of them; 0: texts are as they are */
	unsigned set;                    /* marks in the messages */
	char mark[MARK_HEX + 1];
};
void marks_init(struct picture_marks *m, struct engine_picture *const *v, unsigned n);
/* Contents that are lists of {"text"} and {"picture"} become text with marks. Errors: ERR_INVALID
 * (another part, a picture that is not there), ERR_NOMEM, ERR_LIMIT. */
enum err marks_put(struct picture_marks *m, json_t *messages, struct err_info *info);
/* Tokens of a rendered text; where a mark stands, its picture. Errors: llama_tokens()'s,
 * llama_picture_place()'s. */
enum err marks_tokens(const struct llama_backend *b, const struct picture_marks *m, struct str text,
	bool special, struct engine_prompt *ret);
