/* proto/cards.h - how a graphics card is named between keeper, server and engine.
 *
 * "cuda:UUID" as the driver says it, "vulkan:N" for the N-th device that Vulkan lists here. An
 * engine sees the cards it was given and no other, in that order. */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum { CARDS_MAX = 8, CARD_ID_MAX = 47 }; /* bytes of an id */
enum card_api { CARD_NONE, CARD_CUDA, CARD_VULKAN }; /* NONE: not an id */

/* A card that a model uses, and how much of the model lies there, in thousandths. */
struct card_use {
	char id[CARD_ID_MAX + 1];
	uint32_t share;
};
/* *ret_rest is what follows the colon; may be NULL. */
enum card_api card_api_of(struct str id, struct str *ret_rest);

/* Before a driver's library is loaded: no layer of somebody else's gets into the process (one could
 * also change the order in which cards are listed), and no compiled shader is written to a disk. */
void cards_quiet_drivers(void);
/* The library of this process will see these cards alone; none: no driver is loaded or asked. All
 * of one API; the same card may stand there twice (tests). Errors: ERR_INVALID. */
enum err cards_show(const struct card_use *v, size_t n);
