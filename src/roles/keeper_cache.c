/* The prefix cache's tier on disk, as the keeper sees it: DIR/cache/DIGEST.kv, one file a model. It
 * opens the file for the engine, and purges by keyed tags what a person or a conversation left
 * there; what is sealed it never opens (store/kvfile.h).
 *
 * A purge walks every file at once, also those an engine has open, and is passed on to every
 * engine. What an engine writes between the walk and the moment it hears of the purge it removes
 * itself; should it die before, the purge is walked again when it has ended. */
#include "roles/keeper_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "models/name.h"
#include "os/fd.h"
#include "store/kvfile.h"

enum {
	NAME_MAX_BYTES = 64 + 4, /* digest, ".kv", terminator */
	DYING_WAIT_MS = 2000,    /* for an engine that was killed and still has the file */
	PART_OF_DISK = 4,        /* a file may take this part of what is free */
};
#define LIMIT_MIN (UINT64_C(64) << 20) /* less is not worth a file */
#define SUFFIX ".kv"

static enum err open_dir(struct keeper *k, bool make, int *ret)
{
	char path[4096];
	TRY(path_join(path, sizeof path, k->dir, "cache"));
	if (make)
		TRY(dir_make(path, 0700));
	return fd_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, ret);
}

static enum err file_name(struct str digest, char dst[NAME_MAX_BYTES])
{
	if (!digest_ok(digest))
		return ERR_INVALID;
	(void)snprintf(dst, NAME_MAX_BYTES, "%.*s" SUFFIX, STR_ARG(digest));
	return OK;
}

static void file_key(struct keeper *k, struct str digest, uint8_t ret[KEY_LEN])
{
	uint8_t cache[KEY_LEN];
	keyring_get(k->keys, DATA_KEY_CACHE, cache);
	kvfile_key(cache, digest, ret);
	wipe(cache, sizeof cache);
}

/* ---- for an engine ---- */

/* An engine that was killed a moment ago still holds its file's lock. */
static void wait_for_dying(struct keeper *k, const char *digest)
{
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_ENGINE && c->dead && !strcmp(c->digest, digest)) {
			struct pollfd p = { .fd = c->pidfd, .events = POLLIN };
			(void)poll(&p, 1, DYING_WAIT_MS);
		}
}

static enum err disk_limit(struct keeper *k, int dir, int fd, uint64_t *ret)
{
	struct statvfs v;
	struct stat st;
	uint64_t want = (uint64_t)k->config.disk_cache_mib << 20;
	if (fstatvfs(dir, &v) || fstat(fd, &st))
		return err_from_errno(errno);
	uint64_t room = ((uint64_t)v.f_bavail * v.f_frsize + (uint64_t)st.st_blocks * 512) /
			PART_OF_DISK;
	*ret = want < room ? want : room;
	return *ret < LIMIT_MIN ? ERR_NOSPACE : OK;
}

static enum err open_for(struct keeper *k, const char *digest, struct engine_load *load)
{
	char name[NAME_MAX_BYTES];
	AUTO_FD int dir = -1, fd = -1;
	TRY(file_name(str_from(digest), name));
	TRY(open_dir(k, true, &dir));
	TRY(fd_openat(dir, name, O_RDWR | O_CREAT, 0600, &fd));
	/* The engine inherits the lock with the descriptor and gives it back by ending. */
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? ERR_LOCKED : err_from_errno(errno);
	TRY(disk_limit(k, dir, fd, &load->disk_bytes));
	file_key(k, str_from(digest), load->cache_key);
	load->cache_fd = TAKE_FD(fd);
	return OK;
}

void cache_open(struct keeper *k, const char *digest, struct engine_load *load)
{
	load->disk_bytes = 0;
	load->cache_fd = -1;
	if (!k->config.disk_cache_mib)
		return;
	wait_for_dying(k, digest);
	enum err e = open_for(k, digest, load);
	if (!e)
		return;
	load->disk_bytes = 0;
	log_warn("the model runs without its cache on disk", KV_Z("model", digest), KV_ERR(e));
}

/* ---- purging ---- */

static enum err purge_file(struct keeper *k, int dir, const char *name, struct str digest,
	const struct engine_purge *p)
{
	uint8_t key[KEY_LEN];
	uint64_t n;
	AUTO_FD int fd = -1;
	enum err e = fd_openat(dir, name, O_RDWR, 0, &fd);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	file_key(k, digest, key);
	e = kvfile_purge(fd, key, p->person, p->object, &n);
	wipe(key, sizeof key);
	return e;
}

/* Calls for every cache file; goes on after an error and returns the first. */
static enum err each_file(struct keeper *k,
	enum err (*fn)(struct keeper *k, int dir, const char *name, struct str digest, void *arg),
	void *arg)
{
	AUTO_FD int dir = -1;
	enum err e = open_dir(k, false, &dir), one;
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	int again = dup(dir);
	DIR *list = again < 0 ? NULL : fdopendir(again);
	if (!list) {
		e = err_from_errno(errno);
		if (again >= 0)
			(void)close(again);
		return e;
	}
	for (struct dirent *f; (f = readdir(list));) {
		char name[NAME_MAX_BYTES];
		struct str digest = str_sub(str_from(f->d_name), 0, 64);
		if (file_name(digest, name) || strcmp(name, f->d_name) != 0)
			continue; /* nothing of ours */
		one = fn(k, dir, name, digest, arg);
		e = e ? e : one;
	}
	(void)closedir(list);
	return e;
}

static enum err purge_one(
	struct keeper *k, int dir, const char *name, struct str digest, void *arg)
{
	return purge_file(k, dir, name, digest, arg);
}

/* So that it is walked again when the engine has ended. Too many: then everything goes. */
static void remember(struct child *c, const struct engine_purge *p)
{
	if (c->n_purged < KEEPER_PURGED_MAX)
		c->purged[c->n_purged++] = *p;
	else
		c->purged[0] = (struct engine_purge){ 0, 0 };
}

enum err cache_purge(struct keeper *k, const struct engine_purge *p)
{
	for (struct child *c = k->children; c; c = c->next) {
		if (c->role != ROLE_ENGINE)
			continue;
		remember(c, p);
		if (c->dead)
			continue;
		AUTO_IPC_OUT struct ipc_out m;
		ipc_out_init(&m, ENGINE_PURGE, 0);
		engine_purge_put(&m, p);
		(void)ipc_send(c->chan, &m); /* one that is gone is walked after its end */
	}
	struct engine_purge copy = *p;
	return each_file(k, purge_one, &copy);
}

void cache_engine_ended(struct keeper *k, struct child *c)
{
	char name[NAME_MAX_BYTES];
	uint8_t key[KEY_LEN];
	struct kvfile_keys keys;
	AUTO_FD int dir = -1, fd = -1;
	enum err e = OK;
	if (file_name(str_from(c->digest), name) || open_dir(k, false, &dir))
		return;
	for (unsigned i = 0; i < c->n_purged && !e; i++)
		e = purge_file(k, dir, name, str_from(c->digest), &c->purged[i]);
	if (!e)
		e = fd_openat(dir, name, O_RDWR, 0, &fd);
	/* half-written records; not while the next engine has it already */
	if (!e && !flock(fd, LOCK_EX | LOCK_NB)) {
		file_key(k, str_from(c->digest), key);
		kvfile_keys_of(key, &keys);
		e = kvfile_tidy(fd, &keys);
		wipe(key, sizeof key);
		wipe(&keys, sizeof keys);
	}
	if (e && e != ERR_NOT_FOUND)
		log_warn("a model's cache on disk could not be cleaned",
			KV_Z("model", c->digest), KV_ERR(e));
}

enum err cache_delete(struct keeper *k, struct str digest)
{
	char name[NAME_MAX_BYTES];
	AUTO_FD int dir = -1;
	TRY(file_name(digest, name));
	enum err e = open_dir(k, false, &dir);
	if (e)
		return e == ERR_NOT_FOUND ? OK : e;
	return unlinkat(dir, name, 0) && errno != ENOENT ? err_from_errno(errno) : OK;
}

/* ---- for doctor ---- */

struct usage {
	uint64_t files, bytes;
};

static enum err add_usage(
	struct keeper *k, int dir, const char *name, struct str digest, void *arg)
{
	struct usage *u = arg;
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_from_errno(errno);
	u->files++;
	u->bytes += (uint64_t)st.st_blocks * 512;
	return OK;
}

enum err cache_usage(struct keeper *k, uint64_t *ret_files, uint64_t *ret_bytes)
{
	struct usage u = { 0 };
	TRY(each_file(k, add_usage, &u));
	*ret_files = u.files;
	*ret_bytes = u.bytes;
	return OK;
}
