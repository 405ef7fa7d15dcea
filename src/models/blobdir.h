/* models/blobdir.h - DIR/models/blobs as the keeper handles it: names and renames, no parsing.
 *
 * Files: sha256-<64 hex> (whole, checked, read-only), sha256-<64 hex>-partial and sha256-<64
 * hex>-partial.journal (a pull under way). A digest that is not 64 lower-case hex digits is
 * ERR_INVALID everywhere, so no name from outside can leave the folder. A file whose digest is not
 * known before it is whole is called making-<number> until then. Used by one thread. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"

struct blobdir;
/* Makes DIR/models/{blobs,manifests} when missing (mode 0700). Errors: from errno. */
enum err blobdir_open(const char *data_dir, struct blobdir **ret);
struct blobdir *blobdir_free(struct blobdir *d);
DEFINE_AUTO(blobdir)
/* Opens or makes the partial file and its journal, both read and write. The caller owns the
 * descriptors. The partial is locked (flock): two writers never share one.
 * Errors: ERR_EXISTS (the whole blob is there), ERR_LOCKED (a writer has it), ERR_NOSPACE (the
 * disk has less free than is missing; info says how much), ERR_INVALID, from errno. */
enum err blobdir_stage(struct blobdir *d, struct str digest, uint64_t size, int *ret_file,
		       int *ret_journal, struct err_info *info);
/* The writer said it is whole (and exited with 0): fsync, rename, fsync of the folder, journal
 * removed. Errors: ERR_NOT_FOUND, ERR_INVALID, from errno. Already committed is OK. */
enum err blobdir_commit(struct blobdir *d, struct str digest);
/* Read-only descriptor of a whole blob, close-on-exec. Errors: ERR_NOT_FOUND, ERR_INVALID. */
enum err blobdir_get(struct blobdir *d, struct str digest, int *ret_fd, uint64_t *ret_size);
/* ---- files that are made here: they get their name when they are whole and hashed ---- */
/* A new, empty file, read and write. What an earlier run left of them blobdir_open() removed.
 * Errors: ERR_EXISTS (the number is taken), ERR_NOSPACE (not even `room` bytes are free; info says
 * how much), from errno. */
enum err blobdir_make(struct blobdir *d, uint64_t number, uint64_t room, int *ret_file,
	struct err_info *info);
/* The same with the bytes of `source`, which are not copied: a clone where the file system can,
 * else a second name for the file (*ret_linked). That only for a file of our own user that nobody
 * else may write: such a file is as safe as one that we wrote. Errors: ERR_UNSUPPORTED (info says
 * why neither is possible), from errno. */
enum err blobdir_share(struct blobdir *d, uint64_t number, int source, bool *ret_linked,
	struct err_info *info);
enum err blobdir_make_open(struct blobdir *d, uint64_t number, int *ret_fd, uint64_t *ret_size);
/* It has this digest: makes it durable and gives it its name; is there one of that name already, it
 * is removed. Errors: ERR_NOT_FOUND, ERR_INVALID, from errno. */
enum err blobdir_made(struct blobdir *d, uint64_t number, struct str digest);
void blobdir_unmake(struct blobdir *d, uint64_t number); /* missing is fine */
/* Removes the blob, or its partial and journal. Missing is OK. */
enum err blobdir_delete(struct blobdir *d, struct str digest);
/* Calls fn for each file; stops at the first error and returns it. */
struct blobdir_item {
	char digest[65];
	bool partial;
	uint64_t size;
	int64_t modified_ms;
};
enum err blobdir_list(struct blobdir *d, enum err (*fn)(const struct blobdir_item *i, void *arg),
		      void *arg);
/* The same as bytes, one item behind the other, for a message. Errors: buf's, from errno. */
enum err blobdir_pack(struct blobdir *d, struct buf *out);
