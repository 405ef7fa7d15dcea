/* engine/engine_lock.h - what an engine gives up before it reads a model. */
#pragma once

#include "proto/engine.h"

/* Bytes that may be used: memory free now; the page cache counts as free. 0: unknown. */
uint64_t engine_memory(void);
/* The filter, the files it may still see, and limits of memory and file size; offers this process
 * to whoever ends one when memory runs out. The load's descriptors stay the caller's. Errors: from
 * errno, sandbox_enter()'s and sandbox_lock()'s. */
enum err engine_lock(const struct engine_load *load, uint64_t memory);
