/* store/upgrade.h - the way back from an upgrade.
 *
 * Before a migration of a database with content db_open() puts a copy into the snapshot folder,
 * `before-NNNN-TIME.db` (NNNN: the migration); when an upgrade of several migrations succeeded,
 * only the first of its copies stays. Undoing puts the newest copy back; the database as it was is
 * kept beside it, `FILE.undone-TIME` with its write-ahead log. No key is needed. The database must
 * not be open: the caller holds the data directory's lock. */
#pragma once

#include "base/str.h"

enum { UPGRADE_NAME_MAX = 96, UPGRADE_KEEP = 3 /* snapshots of older upgrades that stay */ };
struct upgrade_undone {
	unsigned before;                   /* the migration that is undone (and those after it) */
	char snapshot[UPGRADE_NAME_MAX];   /* file name that was put back */
	char kept_as[UPGRADE_NAME_MAX];    /* file name of the database that was there */
};
/* Survives a crash at any point: either nothing happened, or the next db_open() or call of this
 * finishes it. Errors: ERR_NOT_FOUND (no snapshot), ERR_IO, ERR_NOSPACE. */
enum err store_undo_upgrade(const char *db_path, const char *snapshot_dir,
			    struct upgrade_undone *ret, struct err_info *info);
/* Finishes an undo that a crash cut off; does nothing otherwise. db_open() calls it. */
enum err store_undo_finish(const char *db_path, struct err_info *info);
/* Removes all but the newest UPGRADE_KEEP snapshots. db_open() calls it after an upgrade. */
void store_prune_snapshots(const char *snapshot_dir);
/* The database's copy for a backup lies in the snapshot folder under this name and an id. Whoever
 * asked for it removes it; a copy older than a day was left by one that was killed. */
#define STORE_COPY_PREFIX "backup-"
void store_sweep_copies(const char *snapshot_dir, int64_t now_ms);
