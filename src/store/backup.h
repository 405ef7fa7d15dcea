/* store/backup.h - backup and restore: a set of stored files as content-addressed objects.
 *
 * TARGET/objects/ab/cdef...   each file's bytes, named by their SHA-256; an object that is there is
 *                             not copied again, so the second backup costs what changed
 * TARGET/manifest-TIME.json   {"format":1,..,"files":[{"name","size","sha256"}],"hmac":".."}
 *
 * The HMAC-SHA256 covers every byte before `,"hmac":`; its key comes from the caller (derived from
 * the master key), so a changed, shortened or foreign manifest is found before anything is written.
 * Everything that can hold a person's word is encrypted at rest already: objects are plain copies.
 * Names are paths inside the data directory (ids, keyed hashes, model names), never personal data.
 * An object appears whole (temporary name, fsync, rename), the manifest last: a backup cut off at
 * any point leaves the older ones good. Runs in the caller's process, which needs no key of the
 * data itself. Used by one thread. */
#pragma once

#include "base/crypto.h"

/* What the keeper signs (ASK_SIGN, keyring_sign) to make the manifest's HMAC key. */
#define BACKUP_KEY_PURPOSE "tresor backup manifest 1"
enum { BACKUP_NAME_MAX = 1024, BACKUP_FILES_MAX = 1000000, BACKUP_MANIFEST_NAME = 64 };

struct backup_item {
	const char *path;     /* on disk: a file, or a folder taken with everything in it */
	const char *name;     /* in the backup, relative to the data directory: "tresor.db" */
	uint64_t max_bytes;   /* take only the first bytes (an append-only log); 0 = all of it */
	const char *leave_out; /* one file of the folder that is another item; NULL: none */
	bool optional;        /* not there: fine */
	bool immutable;       /* content never changes under a name (blobs): an earlier manifest's
	                       * digest is trusted and the file is not read again */
};
struct backup_options {
	const char *target;           /* made when missing */
	const struct backup_item *items;
	size_t n_items;
	uint8_t hmac_key[KEY_LEN];
	const char *build;            /* recorded */
};
struct backup_result {
	uint64_t files, bytes;        /* in the manifest */
	uint64_t new_objects, new_bytes; /* copied this time */
	char manifest[BACKUP_MANIFEST_NAME];
};
/* Errors: ERR_NOT_FOUND (an item), ERR_NOSPACE, ERR_IO, ERR_DENIED, ERR_KEY (an earlier manifest
 * there is of another instance), ERR_LIMIT, ERR_NOMEM; info says what and what to do. */
enum err backup_run(const struct backup_options *o, struct backup_result *ret,
		    struct err_info *info);

/* Reads every object of a manifest (NULL: the newest). `report` gets one line a missing, short or
 * changed object. Errors: ERR_NOT_FOUND (no manifest), ERR_KEY (not made with this key, or
 * changed), ERR_CORRUPT (the report says what), ERR_IO. */
enum err backup_check(const char *source, const char *manifest, const uint8_t hmac_key[KEY_LEN],
		      struct backup_result *ret, struct buf *report, struct err_info *info);

/* Checks everything, then puts the files into `dest`, which must be missing or empty. They are
 * built beside it (DEST.restoring) and appear by one rename, or not at all.
 * Errors: as backup_check, and ERR_EXISTS (dest is not empty), ERR_NOSPACE. */
enum err backup_restore(const char *source, const char *manifest, const uint8_t hmac_key[KEY_LEN],
			const char *dest, struct backup_result *ret, struct buf *report,
			struct err_info *info);
/* One file of a backup before its key is known: keys.json, which carries its own MAC. Only the
 * object's digest is checked. Errors: ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO, buf's. */
enum err backup_read_file(const char *source, const char *manifest, const char *name,
			  struct buf *out, struct err_info *info);

/* One small file of a backup without any key, appended to `out`: for the envelope of the keys,
 * which carries its own MAC. Its bytes match the manifest's digest; the manifest itself is not
 * authenticated here. Errors: ERR_NOT_FOUND (no backup, no such file), ERR_CORRUPT, ERR_LIMIT. */
enum err backup_read_file(const char *source, const char *manifest, const char *name,
			  struct buf *out, struct err_info *info);
