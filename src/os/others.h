/* os/others.h - how much of the CPUs is used by others than our engines.
 *
 * The library's compute threads wait for each other at every operation by spinning. One foreign
 * process that wants a core stops one of them for milliseconds each time: an engine with a thread a
 * core becomes ten times slower and more, where one thread less would cost it that core. Source:
 * proc(5), /proc/stat. One thread. */
#pragma once

#include <stdint.h>

#include "base/auto.h"
#include "base/str.h"

struct others;
/* Errors: from errno. */
enum err others_new(struct others **ret);
struct others *others_free(struct others *o);
DEFINE_AUTO(others)
/* Hundredths of a core that others use for longer than a moment: the lesser of what they used
 * between the last three calls. `ours_ns`: CPU time that ours have spent since the call before. The
 * first two calls say 0, and so do two after a pause of OTHERS_OLD_MS: what others did while nobody
 * looked says nothing about now. */
enum { OTHERS_OLD_MS = 3000 };
uint32_t others_measure(struct others *o, uint64_t ours_ns, int64_t now_ns);
/* Ticks that all CPUs were busy, of the beginning of /proc/stat; false: that is none. Pure. */
bool others_busy(struct str stat, uint64_t *ret);
