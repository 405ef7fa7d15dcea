/* models/cards.h - the graphics cards of this machine.
 *
 * A card counts when the engine build in use has a module for its API. A device that Vulkan makes
 * of the processor (lavapipe, SwiftShader) is no card unless CARDS_SOFTWARE says so, which is for
 * tests. An integrated one counts where there is no other, and its memory is the machine's own. */
#pragma once

#include "base/str.h"
#include "proto/cards.h"

enum { CARDS_CUDA = 1, CARDS_VULKAN = 2, CARDS_SOFTWARE = 4 }; /* bits: which to ask for */

struct card {
	char id[CARD_ID_MAX + 1], name[96];
	uint64_t total, free_bytes; /* when it was asked */
	double bandwidth;           /* bytes/s, from a table by name */
	bool in_ram;                /* its memory is the machine's */
};
struct cards { /* a value */
	size_t n;
	struct card v[CARDS_MAX];
};
/* Asks the drivers' libraries in a short-lived child, which is ended when it takes too long: before
 * the sandbox and before threads start. Never fails: what cannot be asked is not there. */
void cards_probe(unsigned which, struct cards *ret);
/* Their names, joined by " + "; the last ones counted where `size` is too small. */
void cards_text(const struct cards *c, char *ret, size_t size);
/* Of `c` those that count, as said above: twins (one card by two drivers) and what is hostile in a
 * child's report are left out. Pure; for cards_probe() and tests. */
enum card_kind { CARD_OTHER, CARD_INTEGRATED, CARD_DISCRETE, CARD_VIRTUAL, CARD_SOFTWARE };
enum { CARDS_FOUND_MAX = 16 };
struct cards_found { /* as Vulkan numbers device types; CUDA's are discrete */
	size_t n;
	struct card_found {
		struct card card;
		uint32_t kind;
		uint8_t uuid[16];
		bool usable; /* can what the engine's module needs */
	} v[CARDS_FOUND_MAX];
};
void cards_choose(const struct cards_found *found, unsigned which, struct cards *ret);
