/* engine/disk_int.h - private to engine/disk*.c.
 *
 * An entry is a range of the file that is taken: WRITING (the thread seals into it, its header is
 * not there yet), LIVE, or DOOMED (to be erased by the thread when it has written; or, with id 0,
 * one whose erasing failed, so that its space is never used again).
 *
 * Invariants, under the lock: entries are sorted by offset and do not overlap; `used` is the sum of
 * their space; `children` counts entries whose parent it is; a job is in the list until its entry
 * is LIVE or gone; the record that is being read is not evicted. */
#pragma once

#include <pthread.h>

#include "engine/disk.h"
#include "store/kvfile.h"

enum entry_state { ENTRY_WRITING, ENTRY_LIVE, ENTRY_DOOMED };
struct entry {
	struct kvfile_record kv;
	enum entry_state state;
	uint64_t parent, person, object;
	uint32_t from, n, children;
	int64_t stored_ms; /* the time of last use that the header on disk says */
};
struct job {
	struct job *next;
	struct disk_record r; /* tokens owned */
	char *state;          /* owned, r.state_bytes */
	bool dead;            /* purged before it was written */
};
struct disk {
	int fd;
	struct kvfile_keys keys;
	uint8_t fingerprint[KVFILE_TAG];
	pthread_mutex_t lock;
	pthread_cond_t more, done; /* something queued; a job has ended */
	struct entry *entries;
	size_t n, cap;
	uint64_t limit, used;
	struct job *first, **last;
	uint64_t n_jobs, job_bytes;
	uint64_t reading; /* id, 0 none */
	bool stop, thread_up;
	struct disk_stats stats;
	struct buf scratch, write_scratch; /* of the caller, of the thread */
	pthread_t thread;
};

/* ---- disk_index.c: all with the lock held ---- */
struct entry *entry_find(struct disk *d, uint64_t id); /* NULL: not there; until the next change */
struct entry *entry_parent(struct disk *d, const struct entry *e);
/* Takes a range for `e` (offset set here), letting others go for it. Errors: ERR_NOSPACE,
 * ERR_NOMEM. */
enum err entry_place(struct disk *d, struct entry *e);
/* Appends at the end, for the scan, which counts children later. Errors: ERR_NOMEM. */
enum err entry_append(struct disk *d, const struct entry *e);
/* Off the disk and out of the list; on errors it stays as DOOMED without id. */
enum err entry_erase(struct disk *d, struct entry *e);
/* The same with all that continues it. One that is being written is only doomed. */
enum err entry_erase_tree(struct disk *d, uint64_t id);
bool entry_evict(struct disk *d); /* the leaf used longest ago; false: there is none */

/* ---- disk_scan.c ---- */
enum err disk_scan(struct disk *d);
/* ---- disk_write.c ---- */
void *disk_thread(void *disk);
void job_free(struct job *j);
