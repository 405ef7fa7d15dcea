/* engine/disk.h - the third tier of the prefix cache: states on disk, sealed (store/kvfile.h).
 *
 * A record is the state of tokens [from, from + n). It continues another record, its parent, from
 * inside or from the end of that one's tokens, or begins at position 0. What it says is the
 * caller's: this file compares no tokens and knows no scopes. Keys of the file belong to one model;
 * `fingerprint` stands for everything else that changes a state or its layout (build, types,
 * attention): records of another one are dropped.
 *
 * disk_add() copies and returns; a thread seals and writes. The queue is bounded in bytes and
 * records: when it is full the record is refused, never waited for. Past the limit of bytes the
 * records go that nobody continues and that were used longest ago, so any id may be gone at any
 * time: disk_read() says so and the caller forgets it. With a record all that continue it go, being
 * of no use.
 *
 * Nothing here is ever needed: every error means "compute it again". A record that was torn,
 * changed or written by another key is found by its authentication. Not synced on writing: after a
 * power cut records may be missing. What disk_purge() took is off the disk, and synced, when it
 * returns; what disk_remove() took is so after the next purge.
 *
 * Callers: one thread (the scheduler's) for all functions. Requests marked temporary must not come
 * here; that is the caller's duty. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/crypto.h"

enum {
	DISK_RECORDS_MAX = 16384,
	DISK_QUEUE_RECORDS = 64,
	DISK_TOKENS_MAX = 1024 * 1024 - 64, /* of one record */
	DISK_POSITIONS_MAX = 16 * 1024 * 1024,
	DISK_TOUCH_MS = 60 * 1000, /* a time of last use on disk may be older by so much */
};
#define DISK_QUEUE_BYTES (UINT64_C(256) << 20)

enum disk_level { DISK_COMPANY, DISK_GROUP, DISK_PERSON };
struct disk_record {
	uint64_t id;              /* ignored by disk_add */
	enum disk_level level;
	uint64_t scope;           /* the group's or person's number; company: 0 */
	uint64_t person, object;  /* for purging: whose request it was read for; 0: nobody's */
	uint64_t parent;          /* id of the record it continues; 0: none */
	uint32_t from, n;         /* positions; from is 0 without a parent */
	const int32_t *tokens;    /* n; borrowed for the call */
	uint64_t state_bytes;     /* ignored by disk_add */
	int64_t used_ms;          /* Unix; ignored by disk_add */
};
struct disk_stats {
	uint64_t bytes, limit_bytes;   /* on disk */
	uint64_t records, queued;      /* now */
	uint64_t written, read, evicted, purged; /* since disk_new */
	uint64_t refused;              /* the queue was full */
	uint64_t failed;               /* writes and reads that went wrong */
};
struct disk;
/* Reads what is there and starts the thread. Takes fd (read and write; closed also on failure).
 * Bad records are erased, a torn end is cut off; a file that is nothing of ours is emptied.
 * limit_bytes: at least KVFILE_BLOCK, else ERR_INVALID. Wipe `key` afterwards.
 * Errors: ERR_NOMEM, ERR_INVALID, from errno. */
enum err disk_new(int fd, const uint8_t key[KEY_LEN], const uint8_t fingerprint[32],
		  uint64_t limit_bytes, struct disk **ret);
struct disk *disk_free(struct disk *d); /* writes what is queued, stops the thread */
DEFINE_AUTO(disk)
/* Every record that is written, parents before what continues them. For the start; `fn`'s error
 * ends it and is returned. `fn` may not call back. Errors: fn's, ERR_NOMEM, from errno. */
enum err disk_each(struct disk *d, enum err (*fn)(void *arg, const struct disk_record *r),
		   void *arg);
/* Copies tokens and state. *ret_id is good at once (as a parent too); if writing fails later the
 * record just is not there. Errors: ERR_BUSY (the queue is full: nothing was kept), ERR_LIMIT
 * (larger than the tier, or than DISK_TOKENS_MAX), ERR_NOT_FOUND (parent), ERR_INVALID (positions
 * do not continue the parent's, a negative token, no state), ERR_NOMEM. */
enum err disk_add(struct disk *d, const struct disk_record *r, struct str state,
		  uint64_t *ret_id);
/* Reads the state, `n` bytes as disk_record.state_bytes says, verified, and counts as a use. One
 * that still waits to be written is there too. Blocks for the time of reading. Errors:
 * ERR_NOT_FOUND (gone), ERR_INVALID (another size), ERR_CORRUPT, ERR_IO .. (and it is gone now),
 * ERR_NOMEM; then what `to` holds says nothing. */
enum err disk_read(struct disk *d, uint64_t id, void *to, size_t n);
bool disk_has(struct disk *d, uint64_t id); /* written or queued */
void disk_touch(struct disk *d, uint64_t id); /* used now */
/* Both take what continues the records too, and what is queued. disk_purge() takes as engine_purge
 * says and waits until it is durable. Errors: from errno: then something may be on the disk still;
 * the keeper takes it away when the engine has ended. */
enum err disk_remove(struct disk *d, uint64_t id);
enum err disk_purge(struct disk *d, uint64_t person, uint64_t object);
void disk_flush(struct disk *d); /* waits until nothing is queued */
void disk_stats(struct disk *d, struct disk_stats *ret);
