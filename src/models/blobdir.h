/* models/blobdir.h - DIR/models/blobs as the keeper handles it: names and renames, no parsing.
 *
 * Files: sha256-<64 hex> (whole, checked, read-only), sha256-<64 hex>-partial and
 * sha256-<64 hex>-partial.journal (a pull under way). A digest that is not 64 lower-case hex
 * digits is ERR_INVALID everywhere, so no name from outside can leave the folder.
 * Used by one thread. */
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
/* Removes the blob, or its partial and journal. Missing is OK. */
enum err blobdir_delete(struct blobdir *d, struct str digest);
/* Calls fn for each file; stops at the first error and returns it. */
struct blobdir_item { char digest[65]; uint64_t size; bool partial; int64_t modified_ms; };
/* A line each, for the server: "DIGEST SIZE PARTIAL(0|1) MODIFIED_MS\n". Errors: buf's. */
enum err blobdir_lines(struct blobdir *d, struct buf *out);
enum err blobdir_list(struct blobdir *d, enum err (*fn)(const struct blobdir_item *i, void *arg),
		      void *arg);
