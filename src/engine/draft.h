/* engine/draft.h - guesses the next tokens of a text from the text itself (prompt lookup).
 *
 * Where the last few tokens stand earlier in the same request, what followed there is guessed to
 * follow again: quotations, code, tables. Only the request's own tokens are looked at. Pure. */
#pragma once

#include "engine/vec.h"

/* Writes up to `max` guesses; returns how many. */
unsigned draft_lookup(const struct tokens *text, int32_t *ret, unsigned max);
