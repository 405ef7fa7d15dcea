/* engine/llama/specials.h - may a text hold a control token's text? Pure.
 *
 * Whether a person's text would become control tokens is found out by reading it twice, which
 * takes long. Nearly every text is cleared before: nowhere in it stand four bytes that one begins
 * with. No text that holds one is ever cleared. */
#pragma once

#include "base/str.h"

struct specials {           /* all zero: there are none */
	bool brief[256];    /* first bytes of texts of fewer than four */
	uint8_t four[8192]; /* a bit for each hash of the first four bytes */
};
void specials_add(struct specials *s, struct str control); /* an empty one is ignored */
bool specials_possible(const struct specials *s, struct str text);
