/* store/backup_int.h - private to store/backup*.c and store/restore.c: the list of a backup. */
#pragma once

#include "base/arena.h"
#include "base/hex.h"
#include "store/backup.h"

enum {
	BACKUP_PATH_MAX = 2048,
	BACKUP_PIECE = 1024 * 1024,              /* bytes copied at a time */
	BACKUP_MANIFEST_MAX = 512 * 1024 * 1024,
	HEX_LEN = 2 * SHA256_LEN,
};

struct manifest_file {
	char *name; /* in the manifest's arena */
	uint64_t size;
	char sha256[HEX_LEN + 1];
};
struct manifest {
	struct arena *mem;
	struct manifest_file *files; /* sorted by name once read */
	size_t n, cap;
	int64_t made_ms;
};
enum err manifest_new(struct manifest **ret);
struct manifest *manifest_free(struct manifest *m);
DEFINE_AUTO(manifest)
enum err manifest_add(struct manifest *m, struct str name, uint64_t size, const char *sha256);
/* NULL: not in it. Needs manifest_sort(). */
const struct manifest_file *backup_manifest_find(const struct manifest *m, const char *name);
void manifest_sort(struct manifest *m);
/* A relative path of plain components ([A-Za-z0-9._:@+=-], none that starts with "..")? */
bool manifest_name_ok(struct str name);

/* Writes TARGET/manifest-TIME.json whole and durable; *ret_name gets the file name. */
enum err backup_manifest_write(struct manifest *m, const char *target, const char *build,
			const uint8_t key[KEY_LEN], char ret_name[BACKUP_MANIFEST_NAME]);
/* `name` NULL: the newest. `key` NULL: not authenticated. Errors: ERR_NOT_FOUND, ERR_KEY,
 * ERR_CORRUPT (shape), ERR_IO. */
enum err backup_manifest_read(const char *source, const char *name, const uint8_t *key,
		       struct manifest **ret, char ret_name[BACKUP_MANIFEST_NAME]);

/* The text of a manifest, any bytes. Errors: ERR_CORRUPT, ERR_NOMEM. */
enum err manifest_parse(struct str text, struct manifest **ret);

/* Path of an object below a backup folder, and of the folder it lies in. */
enum err object_path(const char *backup, const char *sha256, char *folder, char *path);
/* Copies `from` (at most max_bytes, 0: all) to the descriptor `to` (-1: only reads); gives size and
 * hex digest of what was read. */
enum err copy_hashed(int from, int to, uint64_t max_bytes, uint64_t *ret_size,
		     char ret_sha256[HEX_LEN + 1]);
