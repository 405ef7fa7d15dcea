/* store/blob.h - people's files: content-addressed by a keyed hash, encrypted, immutable.
 *
 * DIR/blobs/ab/cdef...: name = HMAC-SHA256(name key, content) in hex; content in 64 KiB chunks,
 * each sealed with XChaCha20-Poly1305 (blob key; id, chunk number and last-chunk flag
 * authenticated). A file appears whole (temporary name, fsync, rename) or not at all. May be used
 * by any thread. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/crypto.h"

enum { BLOB_ID_LEN = 64 };
struct blobs;
enum err blobs_open(const char *dir, const uint8_t blob_key[KEY_LEN],
		    const uint8_t name_key[KEY_LEN], struct blobs **ret);
struct blobs *blobs_free(struct blobs *b);
DEFINE_AUTO(blobs)
/* Durable when it returns; the same content gives the same id and one file. */
enum err blob_put(struct blobs *b, struct str content, char ret_id[BLOB_ID_LEN + 1]);
/* Appends. Errors: ERR_NOT_FOUND, ERR_CORRUPT (then nothing was appended), buf's. */
enum err blob_get(struct blobs *b, const char *id, struct buf *out);
enum err blob_delete(struct blobs *b, const char *id);
