#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "os/fd.h"
#include "store/backup_int.h"

static enum err read_failed(enum err e, struct err_info *info)
{
	switch (e) {
	case ERR_NOT_FOUND:
		(void)err_set(info, e, "there is no backup in this folder");
		err_hint(info, "give the folder that holds manifest-...json and objects/");
		break;
	case ERR_KEY:
		(void)err_set(
			info, e, "the backup's list was not made with this key, or was changed");
		err_hint(info, "use the recovery sheet of the instance that made the backup, or an "
			       "older manifest of it");
		break;
	case ERR_CORRUPT:
		(void)err_set(info, e, "the backup's list cannot be understood");
		err_hint(info, "use an older manifest, or the version that made this backup");
		break;
	default:
		(void)err_set(info, e, "the backup cannot be read: %s", err_text(e));
	}
	return e;
}

/* Copies one object to `to` (-1: only looks). *ret_why is NULL when it is whole. */
static enum err take_object(const char *source, const struct manifest_file *f, int to,
			    const char **ret_why)
{
	char folder[BACKUP_PATH_MAX], path[BACKUP_PATH_MAX], sum[HEX_LEN + 1];
	uint64_t size;
	AUTO_FD int from = -1;
	*ret_why = NULL;
	TRY(object_path(source, f->sha256, folder, path));
	enum err e = fd_open(path, O_RDONLY | O_NOFOLLOW, 0, &from);
	if (e == ERR_NOT_FOUND) {
		*ret_why = "missing";
		return OK;
	}
	TRY(e);
	struct stat st;
	if (fstat(from, &st))
		return err_from_errno(errno);
	if ((uint64_t)st.st_size != f->size) {
		*ret_why = (uint64_t)st.st_size < f->size ? "cut off" : "longer than it was";
		return OK;
	}
	TRY(copy_hashed(from, to, 0, &size, sum));
	if (size != f->size || memcmp(sum, f->sha256, HEX_LEN) != 0)
		*ret_why = "changed";
	return OK;
}

static enum err check_objects(const char *source, const struct manifest *m, struct buf *report,
			      struct err_info *info)
{
	uint64_t bad = 0;
	const char *why;
	for (size_t i = 0; i < m->n; i++) {
		const struct manifest_file *f = &m->files[i];
		enum err e = take_object(source, f, -1, &why);
		if (e == ERR_IO) { /* a bad sector must not hide what else is bad */
			why = "cannot be read";
			e = OK;
		}
		TRY(e);
		if (!why)
			continue;
		bad++;
		if (report)
			(void)buf_addf(report, "%s: %s (object %s)\n", f->name, why, f->sha256);
	}
	if (!bad)
		return OK;
	(void)err_set(info, ERR_CORRUPT, "%llu of %zu files in the backup are missing or damaged",
		      (unsigned long long)bad, m->n);
	err_hint(info,
		"nothing was restored; use an older manifest of this backup, or another copy");
	return ERR_CORRUPT;
}

static void count(const struct manifest *m, struct backup_result *ret)
{
	for (size_t i = 0; i < m->n; i++)
		ret->bytes += m->files[i].size;
	ret->files = m->n;
}

enum err backup_check(const char *source, const char *manifest, const uint8_t hmac_key[KEY_LEN],
		      struct backup_result *ret, struct buf *report, struct err_info *info)
{
	AUTO(manifest) struct manifest *m = NULL;
	struct backup_result res = { 0 };
	enum err e = backup_manifest_read(source, manifest, hmac_key, &m, res.manifest);
	if (e)
		return read_failed(e, info);
	TRY(check_objects(source, m, report, info));
	count(m, &res);
	*ret = res;
	return OK;
}

enum err backup_read_file(const char *source, const char *manifest, const char *name,
			  struct buf *out, struct err_info *info)
{
	AUTO(manifest) struct manifest *m = NULL;
	char used[BACKUP_MANIFEST_NAME], folder[BACKUP_PATH_MAX], path[BACKUP_PATH_MAX];
	uint8_t sum[SHA256_LEN];
	char hex[HEX_LEN + 1];
	size_t start = out->len;
	enum err e = backup_manifest_read(source, manifest, NULL, &m, used);
	if (e)
		return read_failed(e, info);
	const struct manifest_file *f = backup_manifest_find(m, name);
	if (!f)
		return err_set(info, ERR_NOT_FOUND, "the backup has no %s", name);
	TRY(object_path(source, f->sha256, folder, path));
	e = file_read(path, out);
	if (!e) {
		sha256_of(out->ptr + start, out->len - start, sum);
		hex_encode(sum, sizeof sum, hex);
		e = memcmp(hex, f->sha256, HEX_LEN) == 0 ? OK : ERR_CORRUPT;
	}
	if (e) {
		buf_cut(out, start);
		return err_set(info, e, "%s in the backup is missing or damaged", name);
	}
	return OK;
}

/* ---- restoring ---- */

static bool folder_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool empty = true;
	if (!d)
		return false;
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(d);
	return empty;
}

static enum err dest_free(const char *dest, struct err_info *info)
{
	struct stat st;
	if (lstat(dest, &st) && errno == ENOENT)
		return OK;
	if (S_ISDIR(st.st_mode) && folder_empty(dest))
		return OK;
	(void)err_set(info, ERR_EXISTS, "the folder to restore into is not empty");
	err_hint(info, "give a folder that is empty or does not exist; nothing was changed");
	return ERR_EXISTS;
}

static enum err put_back(const char *source, const struct manifest_file *f, const char *into)
{
	char path[BACKUP_PATH_MAX], folder[BACKUP_PATH_MAX];
	const char *why;
	AUTO_FD int to = -1;
	TRY(path_join(path, sizeof path, into, f->name));
	memcpy(folder, path, sizeof folder);
	*strrchr(folder, '/') = '\0';
	TRY(dir_make(folder, 0700));
	TRY(fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600, &to));
	TRY(take_object(source, f, to, &why));
	return why ? ERR_CORRUPT : OK; /* it was whole a moment ago */
}

/* One sync for everything instead of two a file. */
static enum err sync_all(const char *folder)
{
	AUTO_FD int fd = -1;
	TRY(fd_open(folder, O_RDONLY | O_DIRECTORY, 0, &fd));
	return syncfs(fd) ? err_from_errno(errno) : OK;
}

static enum err build(const char *source, const struct manifest *m, const char *dest,
		      struct err_info *info)
{
	char into[BACKUP_PATH_MAX], parent[BACKUP_PATH_MAX];
	int n = snprintf(into, sizeof into, "%s.restoring", dest);
	if (n < 0 || n >= BACKUP_PATH_MAX)
		return ERR_LIMIT;
	enum err e = dir_remove_tree(into); /* of a restore that was cut off */
	if (e == ERR_NOT_FOUND)
		e = OK;
	if (!e)
		e = dir_make(into, 0700);
	for (size_t i = 0; !e && i < m->n; i++)
		e = put_back(source, &m->files[i], into);
	if (!e)
		e = sync_all(into);
	if (!e && rename(into, dest))
		e = err_from_errno(errno);
	if (e) {
		(void)dir_remove_tree(into);
		(void)err_set(info, e, "the files could not be put back: %s", err_text(e));
		err_hint(info,
			"nothing was restored; check the space and the rights of the folder above "
			"it");
		return e;
	}
	snprintf(parent, sizeof parent, "%s", dest);
	char *slash = strrchr(parent, '/');
	if (slash == parent)
		slash++;
	if (slash)
		*slash = '\0';
	return fd_sync_dir(slash ? parent : ".");
}

enum err backup_restore(const char *source, const char *manifest, const uint8_t hmac_key[KEY_LEN],
			const char *dest, struct backup_result *ret, struct buf *report,
			struct err_info *info)
{
	AUTO(manifest) struct manifest *m = NULL;
	struct backup_result res = { 0 };
	char target[BACKUP_PATH_MAX];
	size_t len = strlen(dest);
	while (len > 1 && dest[len - 1] == '/') /* DEST/.restoring would be inside */
		len--;
	TRY(str_copy((struct str){ dest, len }, target, sizeof target));
	TRY(dest_free(target, info));
	enum err e = backup_manifest_read(source, manifest, hmac_key, &m, res.manifest);
	if (e)
		return read_failed(e, info);
	TRY(check_objects(source, m, report, info));
	TRY(build(source, m, target, info));
	count(m, &res);
	*ret = res;
	return OK;
}
