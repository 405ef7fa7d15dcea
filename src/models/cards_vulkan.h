/* models/cards_vulkan.h - private to models/cards.c: asks Vulkan's loader, in a child. */
#pragma once

#include "models/cards.h"

/* Adds the devices that it lists, in its order. */
void cards_ask_vulkan(struct cards_found *r);
