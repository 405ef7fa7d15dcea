/* engine/tier.h - the disk (engine/disk.h) as the tier below the prefix tree (engine/prefix.h).
 *
 * Records of a person's scope belong to that person; those of a wider scope to nobody, as in the
 * tree. Used by the scheduler's thread. */
#pragma once

#include "engine/disk.h"
#include "engine/prefix.h"

struct tier;
/* Takes the disk. Errors: ERR_NOMEM. */
enum err tier_new(struct disk *disk, struct tier **ret);
struct tier *tier_free(struct tier *t); /* writes what is queued */
DEFINE_AUTO(tier)
struct prefix_disk tier_ops(struct tier *t);
/* Hands the tree what the disk had at the start; what does not fit into it leaves the disk.
 * Errors: ERR_NOMEM, the disk's. */
enum err tier_recall(struct tier *t, struct prefix *p);
/* From now on a full queue is waited for: nobody is kept waiting any more, the engine ends. */
void tier_patient(struct tier *t);
/* After the tree forgot: durably. Errors: disk_purge()'s. */
enum err tier_purge(struct tier *t, uint64_t person, uint64_t object);
uint64_t tier_bytes(struct tier *t); /* on disk */
