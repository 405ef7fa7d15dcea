#include "store/upgrade.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/fault.h"
#include "base/time.h"
#include "os/fd.h"

/* Steps of an undo, and what a crash after each leaves:
 *   1 copy the snapshot to FILE.undo.part       nothing happened
 *   2 link FILE and FILE-wal to FILE.undone-T   nothing happened (two more names)
 *   3 rename FILE.undo.part to FILE.undo        from here the next start finishes it
 *   4 remove FILE-wal, FILE-shm                 the old log must never meet the new file
 *   5 rename FILE.undo to FILE                  done */

enum { UPGRADE_PATH_MAX = 1024 };

struct paths {
	char undo[UPGRADE_PATH_MAX], part[UPGRADE_PATH_MAX], wal[UPGRADE_PATH_MAX],
		shm[UPGRADE_PATH_MAX], folder[UPGRADE_PATH_MAX];
};

static enum err paths_of(const char *db, struct paths *p)
{
	if (strlen(db) + 128 >= UPGRADE_PATH_MAX)
		return ERR_LIMIT;
	snprintf(p->undo, sizeof p->undo, "%s.undo", db);
	snprintf(p->part, sizeof p->part, "%s.undo.part", db);
	snprintf(p->wal, sizeof p->wal, "%s-wal", db);
	snprintf(p->shm, sizeof p->shm, "%s-shm", db);
	const char *slash = strrchr(db, '/');
	snprintf(p->folder, sizeof p->folder, "%.*s", slash ? (int)(slash - db) : 1,
		slash ? db : ".");
	return OK;
}

/* ---- finding ---- */

static bool is_snapshot(const char *name, unsigned *ret_before)
{
	struct str s = str_from(name);
	uint64_t n;
	if (!str_starts(s, STR("before-")) || !str_ends(s, STR("Z.db")) ||
		s.len >= UPGRADE_NAME_MAX || s.len < sizeof "before-0001-" ||
		str_to_u64(str_sub(s, 7, 4), &n) || s.ptr[11] != '-')
		return false;
	*ret_before = (unsigned)n;
	return true;
}

/* Newest by time: the part after "before-NNNN-". */
static enum err find_newest(const char *dir, struct upgrade_undone *ret)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;
	unsigned before;
	if (!d)
		return err_from_errno(errno);
	while ((e = readdir(d))) {
		if (!is_snapshot(e->d_name, &before) ||
		    (found && strcmp(e->d_name + 12, ret->snapshot + 12) <= 0))
			continue;
		found = true;
		ret->before = before;
		(void)str_copy(str_from(e->d_name), ret->snapshot, sizeof ret->snapshot);
	}
	closedir(d);
	return found ? OK : ERR_NOT_FOUND;
}

/* ---- doing ---- */

static enum err copy_file(const char *from, const char *to)
{
	enum { PIECE = 256 * 1024 };
	AUTO_FD int in = -1, out = -1;
	AUTO_MEM char *piece = mem_alloc(PIECE);
	size_t n;
	if (!piece)
		return ERR_NOMEM;
	TRY(fd_open(from, O_RDONLY, 0, &in));
	TRY(fd_open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600, &out));
	do {
		TRY(fd_read(in, piece, PIECE, &n));
		TRY(fd_write_full(out, piece, n));
	} while (n);
	return fd_sync(out);
}

/* Gives the file a second name; a file that is not there needs none. */
static enum err keep(const char *path, const char *as)
{
	if (link(path, as) && errno != ENOENT)
		return err_from_errno(errno);
	return OK;
}

static enum err gone(const char *path)
{
	if (unlink(path) && errno != ENOENT)
		return err_from_errno(errno);
	return OK;
}

static enum err finish(const char *db, const struct paths *p)
{
	TRY(gone(p->wal));
	TRY(gone(p->shm));
	TRY(fd_sync_dir(p->folder));
	if (rename(p->undo, db))
		return err_from_errno(errno);
	return fd_sync_dir(p->folder);
}

/* A free name FILE.undone-TIME, and the log's name beside it. */
static void aside(const char *db, char as[UPGRADE_PATH_MAX], char as_wal[UPGRADE_PATH_MAX + 8])
{
	char at[TIME_RFC3339_LEN];
	int64_t ms = time_now_ms();
	do {
		time_rfc3339(ms++, at);
		snprintf(as, UPGRADE_PATH_MAX, "%s.undone-%.4s%.2s%.2sT%.2s%.2s%.2s%.3sZ", db, at,
			at + 5, at + 8, at + 11, at + 14, at + 17, at + 20);
		snprintf(as_wal, UPGRADE_PATH_MAX + 8, "%s-wal",
			as); /* SQLite finds the two together */
	} while (access(as, F_OK) == 0 || access(as_wal, F_OK) == 0);
}

static enum err prepare(const char *db, const char *snapshot, const struct paths *p,
			struct upgrade_undone *ret)
{
	char as[UPGRADE_PATH_MAX], as_wal[UPGRADE_PATH_MAX + 8];
	aside(db, as, as_wal);
	TRY(copy_file(snapshot, p->part));
	TRY(keep(p->wal, as_wal));
	TRY(keep(db, as));
	TRY(fd_sync_dir(p->folder));
	if (rename(p->part, p->undo))
		return err_from_errno(errno);
	const char *slash = strrchr(as, '/');
	TRY(str_copy(str_from(slash ? slash + 1 : as), ret->kept_as, sizeof ret->kept_as));
	return fd_sync_dir(p->folder);
}

enum err store_undo_finish(const char *db_path, struct err_info *info)
{
	struct paths p;
	struct stat st;
	TRY(paths_of(db_path, &p));
	if (stat(p.undo, &st))
		return errno == ENOENT ? OK : err_from_errno(errno);
	enum err e = finish(db_path, &p);
	if (e)
		(void)err_set(info, e, "an undo that was cut off could not be finished: %s",
			      err_text(e));
	return e;
}

enum err store_undo_upgrade(const char *db_path, const char *snapshot_dir,
			    struct upgrade_undone *ret, struct err_info *info)
{
	struct upgrade_undone done = { 0 };
	char snapshot[UPGRADE_PATH_MAX];
	struct paths p;
	TRY(paths_of(db_path, &p));
	TRY(store_undo_finish(db_path, info));
	enum err e = find_newest(snapshot_dir, &done);
	if (e) {
		(void)err_set(info, ERR_NOT_FOUND, "there is no copy from before an upgrade");
		err_hint(info, "restore a backup that the older version made");
		return ERR_NOT_FOUND;
	}
	e = path_join(snapshot, sizeof snapshot, snapshot_dir, done.snapshot);
	if (!e)
		e = prepare(db_path, snapshot, &p, &done);
	if (!e)
		e = finish(db_path, &p);
	if (e) {
		(void)err_set(info, e, "the upgrade could not be undone: %s", err_text(e));
		if (e == ERR_NOSPACE)
			err_hint(info,
				"free disk space as large as the database; nothing was changed");
		return e;
	}
	/* used up: a second undo goes to the upgrade before this one */
	char used[UPGRADE_PATH_MAX + 8];
	snprintf(used, sizeof used, "%s.used", snapshot);
	if (rename(snapshot, used))
		return err_from_errno(errno);
	*ret = done;
	return fd_sync_dir(snapshot_dir);
}

/* ---- tidying ---- */

static int by_time(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a + 12, *(const char *const *)b + 12);
}

void store_prune_snapshots(const char *snapshot_dir)
{
	enum { NAMES_MAX = 256 };
	DIR *d = opendir(snapshot_dir);
	char *names[NAMES_MAX], path[UPGRADE_PATH_MAX];
	struct dirent *e;
	size_t n = 0;
	unsigned before;
	while (d && n < NAMES_MAX && (e = readdir(d)))
		if (is_snapshot(e->d_name, &before) && !str_dup(str_from(e->d_name), &names[n]))
			n++;
	if (d)
		closedir(d);
	qsort(names, n, sizeof names[0], by_time);
	for (size_t i = 0; i < n; i++) {
		if (i + UPGRADE_KEEP < n && !path_join(path, sizeof path, snapshot_dir, names[i]))
			(void)unlink(path); /* one too many harms nobody */
		mem_free(names[i]);
	}
}

void store_sweep_copies(const char *snapshot_dir, int64_t now_ms)
{
	enum { DAY_S = 24 * 3600 };
	DIR *d = opendir(snapshot_dir);
	struct dirent *e;
	struct stat st;
	while (d && (e = readdir(d)))
		if (str_starts(str_from(e->d_name), STR(STORE_COPY_PREFIX)) &&
			!fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			S_ISREG(st.st_mode) && st.st_mtime < now_ms / 1000 - DAY_S)
			(void)unlinkat(dirfd(d), e->d_name, 0); /* the next sweep tries again */
	if (d)
		closedir(d);
}
