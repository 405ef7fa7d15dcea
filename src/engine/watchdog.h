/* engine/watchdog.h - ends the process when work does not come to an end.
 *
 * A template or schema from outside may loop for ever inside a library call that nothing can
 * interrupt. The engine arms the watchdog before such work and disarms it after; past the deadline
 * a thread of its own calls `expired`, if set, and leaves with _exit: only this engine dies.
 * Process-wide, because a process is what it ends. */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum { WATCHDOG_EXIT = 71 };
/* A foreign text, in the loop's thread or beside it; a batch. */
enum watch { WATCH_FOREIGN, WATCH_FOREIGN_BESIDE, WATCH_STEP, WATCH_KINDS };
/* Starts the thread. Errors: from thread_start(). */
enum err watchdog_start(void);
void watchdog_arm(
	enum watch kind, unsigned seconds); /* 0 disarms; costs no system call while busy */
/* Called from the watchdog's thread before it ends the process. */
void watchdog_on_expiry(void (*fn)(enum watch kind));
