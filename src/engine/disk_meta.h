/* engine/disk_meta.h - what a record of the disk tier says about itself, before it is sealed.
 *
 * Little-endian: u32 version, u32 level, u64 scope, person, object, parent, u32 from, u32 n, then
 * n tokens of 4 bytes. Pure. */
#pragma once

#include "engine/disk.h"

/* What disk_add() and a file may say. Errors: ERR_INVALID, ERR_LIMIT. */
enum err disk_meta_check(const struct disk_record *r);
uint64_t disk_meta_bytes(const struct disk_record *r);
enum err disk_meta_put(const struct disk_record *r, struct buf *out);
/* Fills all that the text says; ret->tokens borrows from it (4-byte aligned text).
 * Errors: ERR_CORRUPT. */
enum err disk_meta_get(struct str text, struct disk_record *ret);
