#include "store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/random.h"
#include "os/fd.h"
#include "store/backup_int.h"

enum { TREE_DEPTH_MAX = 32 };

struct run {
	const struct backup_options *o;
	struct manifest *made, *earlier; /* earlier NULL: this is the first */
	struct backup_result *res;
	struct err_info *info;
};

static enum err object_there(const struct run *r, const char *sha256, uint64_t size, bool *ret)
{
	char folder[BACKUP_PATH_MAX], path[BACKUP_PATH_MAX];
	struct stat st;
	TRY(object_path(r->o->target, sha256, folder, path));
	*ret = stat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
	return OK;
}

/* Copies while hashing into a temporary name: the final name is known only at the end. */
static enum err add_copy(struct run *r, const struct backup_item *it, int from, const char *part,
			 uint64_t *ret_size, char sha256[HEX_LEN + 1])
{
	char folder[BACKUP_PATH_MAX], path[BACKUP_PATH_MAX];
	bool there;
	AUTO_FD int to = -1;
	TRY(fd_open(part, O_WRONLY | O_CREAT | O_EXCL, 0600, &to));
	TRY(copy_hashed(from, to, it->max_bytes, ret_size, sha256));
	TRY(object_there(r, sha256, *ret_size, &there));
	if (there)
		return unlink(part) ? err_from_errno(errno) : OK;
	TRY(fd_sync(to));
	TRY(object_path(r->o->target, sha256, folder, path));
	TRY(dir_make(folder, 0700));
	if (rename(part, path))
		return err_from_errno(errno);
	TRY(fd_sync_dir(folder));
	r->res->new_objects++;
	r->res->new_bytes += *ret_size;
	return OK;
}

static enum err add_content(struct run *r, const struct backup_item *it, int from,
			    uint64_t *ret_size, char sha256[HEX_LEN + 1])
{
	char part[BACKUP_PATH_MAX], unique[ID_LEN + 1];
	id_new(unique);
	int n = snprintf(part, sizeof part, "%s/objects/.part-%s", r->o->target, unique);
	if (n < 0 || n >= BACKUP_PATH_MAX)
		return ERR_LIMIT;
	enum err e = add_copy(r, it, from, part, ret_size, sha256);
	if (e)
		(void)unlink(part);
	return e;
}

static enum err add_file(struct run *r, const struct backup_item *it, const char *path,
			 const char *name, const struct stat *st)
{
	const struct manifest_file *known = NULL;
	char sha256[HEX_LEN + 1];
	uint64_t size = (uint64_t)st->st_size;
	bool there = false;
	if (it->immutable && r->earlier)
		known = backup_manifest_find(r->earlier, name);
	if (known && known->size == size)
		TRY(object_there(r, known->sha256, size, &there));
	if (there) {
		memcpy(sha256, known->sha256, sizeof sha256);
	} else {
		AUTO_FD int from = -1;
		TRY(fd_open(path, O_RDONLY | O_NOFOLLOW, 0, &from));
		TRY(add_content(r, it, from, &size, sha256));
	}
	TRY(manifest_add(r->made, str_from(name), size, sha256));
	r->res->files++;
	r->res->bytes += size;
	return OK;
}

static enum err add_path(struct run *r, const struct backup_item *it, const char *path,
			 const char *name, unsigned depth);

static enum err add_folder(struct run *r, const struct backup_item *it, const char *path,
			   const char *name, unsigned depth)
{
	char below[BACKUP_PATH_MAX], as[BACKUP_NAME_MAX + 1];
	struct dirent **list = NULL;
	if (depth > TREE_DEPTH_MAX)
		return ERR_LIMIT;
	int n = scandir(path, &list, NULL, alphasort);
	if (n < 0)
		return err_from_errno(errno);
	enum err e = OK;
	for (int i = 0; i < n; i++) {
		const char *leaf = list[i]->d_name;
		bool taken = depth == 0 && it->leave_out && strcmp(leaf, it->leave_out) == 0;
		if (!e && !taken && leaf[0] != '.') { /* dots: half-written files, and . and .. */
			e = path_join(below, sizeof below, path, leaf);
			if (!e)
				e = path_join(as, sizeof as, name, leaf);
			if (!e)
				e = add_path(r, it, below, as, depth + 1);
			/* deleted between listing and reading: it is not part of this backup */
			if (e == ERR_NOT_FOUND)
				e = OK;
		}
		free(list[i]); /* scandir's */
	}
	free(list);
	return e;
}

static enum err add_path(struct run *r, const struct backup_item *it, const char *path,
			 const char *name, unsigned depth)
{
	struct stat st;
	if (lstat(path, &st))
		return err_from_errno(errno);
	if (S_ISDIR(st.st_mode))
		return add_folder(r, it, path, name, depth);
	if (S_ISREG(st.st_mode))
		return add_file(r, it, path, name, &st);
	return OK; /* sockets, links: nothing of ours */
}

static enum err add_item(struct run *r, const struct backup_item *it)
{
	enum err e = add_path(r, it, it->path, it->name, 0);
	if (e == ERR_NOT_FOUND && it->optional)
		return OK;
	if (e) {
		(void)err_set(r->info, e, "%s could not be backed up: %s", it->name, err_text(e));
		if (e == ERR_NOSPACE)
			err_hint(r->info, "free some space on the backup's disk and run it again; "
					  "what was copied is kept");
	}
	return e;
}

static enum err open_target(struct run *r)
{
	char path[BACKUP_PATH_MAX], name[BACKUP_MANIFEST_NAME];
	TRY(path_join(path, sizeof path, r->o->target, "objects"));
	enum err e = dir_make(path, 0700);
	if (e) {
		(void)err_set(r->info, e, "the backup's folder cannot be used: %s", err_text(e));
		return e;
	}
	e = backup_manifest_read(r->o->target, NULL, r->o->hmac_key, &r->earlier, name);
	if (e == ERR_NOT_FOUND || e == ERR_CORRUPT)
		return OK; /* none: everything is read */
	if (e == ERR_KEY) {
		(void)err_set(r->info, e,
			"the newest backup in this folder was made with another key, "
			"or its list was changed");
		err_hint(r->info, "use an empty folder for this instance's backups");
	}
	return e;
}

enum err backup_run(const struct backup_options *o, struct backup_result *ret,
		    struct err_info *info)
{
	struct backup_result res = { 0 };
	struct run r = { .o = o, .res = &res, .info = info };
	AUTO(manifest) struct manifest *made = NULL;
	TRY(manifest_new(&made));
	r.made = made;
	enum err e = open_target(&r);
	AUTO(manifest) struct manifest *earlier = r.earlier;
	for (size_t i = 0; !e && i < o->n_items; i++)
		e = add_item(&r, &o->items[i]);
	if (!e)
		e = backup_manifest_write(made, o->target, o->build, o->hmac_key, res.manifest);
	if (e)
		return info && info->code ? e
					  : err_set(info, e, "the backup failed: %s", err_text(e));
	*ret = res;
	(void)earlier;
	return OK;
}
