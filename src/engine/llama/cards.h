/* engine/llama/cards.h - the graphics cards that the library sees: what cards_show() left. */
#pragma once

#include "proto/engine.h"

struct ggml_backend_device;
/* In the order in which they were given, and NULL behind them. Returns how many. */
size_t llama_cards(struct ggml_backend_device *ret[CARDS_MAX + 1]);
/* Of all of them together; 0: they do not say. */
uint64_t llama_cards_free(void);
void llama_cards_text(char ret[ENGINE_CARDS_TEXT_MAX + 1]); /* engine_info.cards */
