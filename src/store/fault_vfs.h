/* store/fault_vfs.h - a disk in memory that loses power, for tests and bench/powercut.
 *
 * Files live in memory. What was written since a file's last sync is only promised: when the power
 * goes, each 512-byte sector of it is kept in an old, a new or an intermediate version, as the seed
 * says (dropped, torn and reordered writes); new bytes past the old end may hold garbage. A file
 * that was never synced may vanish, a deletion without a synced folder may come back. Writes are
 * atomic per sector, which is what SQLite expects of a disk. Only in builds with failure injection.
 * */
#pragma once

#include "base/str.h"

#define FAULT_VFS_NAME "fault"

/* Registers the VFS (once a process) and empties the disk. */
enum err fault_vfs_reset(void);
/* Everything so far is durable: the disk before the test begins. */
void fault_vfs_settle(void);
/* The power goes during the n-th write, sync, truncate or delete from now on (1: the next one), or,
 * with `in_sync`, during the first sync from there on: then a whole transaction may be on the disk
 * although nobody was told. Every call fails until fault_vfs_power_on(). 0: never. */
void fault_vfs_cut_after(uint64_t operations, bool in_sync);
bool fault_vfs_is_cut(void);
uint64_t fault_vfs_operations(void); /* counted since the reset */
/* Decides by `seed` what the disk holds now, and switches it on. All handles must be closed. */
void fault_vfs_power_on(uint64_t seed);
/* Changes one byte of a file (xor), durable: damage. False: no such file or byte. */
bool fault_vfs_damage(const char *name, uint64_t at, uint8_t xor_with);
uint64_t fault_vfs_size(const char *name); /* 0 when missing */
/* Sends SQLite's memory through base's mem_alloc, so that fault_arm(FAULT_ALLOC) reaches it. Before
 * anything else of SQLite. */
void fault_vfs_hook_memory(void);
