/* store/kvfile.h - the file of a model's prefix cache, DIR/cache/DIGEST.kv: sealed records.
 *
 * Two use it: the engine, which writes and reads records (engine/disk.h), and the keeper, which
 * removes what a person or a conversation left there and opens nothing that is sealed.
 *
 * The file is blocks of 4096 bytes. A record begins at a block with a header whose MAC holds, and
 * covers as many blocks as its length says. Every other block is free, whatever it contains: there
 * is no list that a torn write could break. A record counts from the moment its header is written,
 * which is last; it is gone when its header is zeros.
 *
 * Header, 128 bytes, little-endian:
 *   0 magic  8 id  16 last use, Unix ms  24 bytes of state  32 bytes of meta  36 zeros
 *   40 tag of the fingerprint  56 tag of the person  72 tag of person and object  88 zeros
 *   96 HMAC-SHA256 of bytes 0..95
 * Then the sealed parts: meta, and the state in pieces of 1 MiB, each XChaCha20-Poly1305 with the
 * header (without last use) and the part's number authenticated. Tags are keyed: from outside two
 * records of one person cannot be told from two of different ones without the key.
 *
 * Bytes of the file are hostile: also those of an engine that was taken over. Every walk is
 * bounded. No locks: a record changed under a reader's feet fails its authentication. */
#pragma once

#include "base/buf.h"
#include "base/crypto.h"

enum {
	KVFILE_BLOCK = 4096,
	KVFILE_HEADER = 128,
	KVFILE_TAG = 16,
	KVFILE_CHUNK = 1024 * 1024,        /* bytes of state sealed in one piece */
	KVFILE_META_MAX = 4 * 1024 * 1024, /* bytes */
	KVFILE_WALK_MAX = 64 * 1024,       /* blocks looked at in one walk: records, and what is
					    * between them and no hole; few in a file of ours */
};
#define KVFILE_STATE_MAX (UINT64_C(64) << 30) /* bytes */

struct kvfile_keys { uint8_t seal[KEY_LEN], mac[KEY_LEN], tag[KEY_LEN]; };
struct kvfile_record {
	uint64_t offset;           /* where it begins; not in the header */
	uint64_t id, state_bytes;
	int64_t used_ms;
	uint32_t meta_bytes;
	uint8_t fingerprint[KVFILE_TAG], person[KVFILE_TAG], object[KVFILE_TAG];
};

/* The key of one model's file from the vault's cache key: no engine can open another's file. */
void kvfile_key(const uint8_t cache_key[KEY_LEN], struct str digest, uint8_t ret[KEY_LEN]);
/* What is used inside the file, from that key. The caller wipes. */
void kvfile_keys_of(const uint8_t file_key[KEY_LEN], struct kvfile_keys *ret);
/* Fills the person's and the object's tag. */
void kvfile_tag(const struct kvfile_keys *k, uint64_t person, uint64_t object,
		struct kvfile_record *ret);
void kvfile_fingerprint(const struct kvfile_keys *k, const uint8_t fingerprint[32],
			uint8_t ret[KVFILE_TAG]);
/* Bytes from the header to the last sealed one, and the same in whole blocks. */
uint64_t kvfile_length(const struct kvfile_record *r);
uint64_t kvfile_space(const struct kvfile_record *r);

/* Writes the header at r->offset. Errors: from errno. */
enum err kvfile_put(int fd, const struct kvfile_keys *k, const struct kvfile_record *r);
/* Writes part `n` (0: meta, 1..: pieces of state in order) of `r`. `scratch` is for what is sealed.
 * Errors: from errno, ERR_NOMEM. */
enum err kvfile_put_part(int fd, const struct kvfile_keys *k, const struct kvfile_record *r,
			 uint64_t n, struct str plain, struct buf *scratch);
/* Reads part `n` and appends it to `out`. Errors: ERR_CORRUPT, from errno, buf's. */
enum err kvfile_get_part(int fd, const struct kvfile_keys *k, const struct kvfile_record *r,
			 uint64_t n, struct buf *scratch, struct buf *out);
uint64_t kvfile_parts(const struct kvfile_record *r); /* how many, with meta */

/* Each record, in the order of the file. `fn` may erase the one it is told of; its error ends the
 * walk and is returned. Errors: ERR_LIMIT (more than KVFILE_WALK_MAX blocks had to be looked at:
 * nobody sane wrote this), from errno. */
typedef enum err (*kvfile_fn)(void *arg, const struct kvfile_record *r);
enum err kvfile_walk(int fd, const struct kvfile_keys *k, kvfile_fn fn, void *arg);
/* Forgets a record for good: header overwritten, space given back. Errors: from errno; then the
 * header may be there still. */
enum err kvfile_erase(int fd, const struct kvfile_record *r);

/* Gives back what is in no record: the rest of writes that did not come to their end. Only while
 * nobody writes. Errors: as kvfile_walk. */
enum err kvfile_tidy(int fd, const struct kvfile_keys *k);

/* The keeper's part, durable when it returns. `object` 0: everything of the person; both 0, or a
 * file that cannot be walked or erased in: everything there is. *ret_n: records found and removed.
 * Errors: from errno; then something may have stayed. */
enum err kvfile_purge(int fd, const uint8_t file_key[KEY_LEN], uint64_t person, uint64_t object,
		      uint64_t *ret_n);
