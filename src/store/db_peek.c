#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "store/db_int.h"

/* Looking at a database without writing: SQLite reads it through a VFS that opens the file and its
 * log read-only, refuses every write, takes no locks (the data directory's lock is the caller's)
 * and shows an empty log where there is none. With locking_mode=EXCLUSIVE the index of the log
 * lives on the heap, so not even a -shm file appears. */

struct peek_file {
	sqlite3_file base;
	sqlite3_file *real; /* NULL: the empty log */
};

static int peek_close(sqlite3_file *f)
{
	struct peek_file *p = (struct peek_file *)f;
	return p->real ? p->real->pMethods->xClose(p->real) : SQLITE_OK;
}

static int peek_read(sqlite3_file *f, void *dst, int n, sqlite3_int64 at)
{
	struct peek_file *p = (struct peek_file *)f;
	if (p->real)
		return p->real->pMethods->xRead(p->real, dst, n, at);
	memset(dst, 0, (size_t)n);
	return SQLITE_IOERR_SHORT_READ;
}

static int peek_write(sqlite3_file *f, const void *src, int n, sqlite3_int64 at)
{
	return SQLITE_READONLY;
}

static int peek_truncate(sqlite3_file *f, sqlite3_int64 size) { return SQLITE_READONLY; }
static int peek_sync(sqlite3_file *f, int flags) { return SQLITE_OK; }

static int peek_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	struct peek_file *p = (struct peek_file *)f;
	*ret = 0;
	return p->real ? p->real->pMethods->xFileSize(p->real, ret) : SQLITE_OK;
}

static int peek_lock(sqlite3_file *f, int level) { return SQLITE_OK; }

static int peek_reserved(sqlite3_file *f, int *ret)
{
	*ret = 0;
	return SQLITE_OK;
}

static int peek_control(sqlite3_file *f, int op, void *arg) { return SQLITE_NOTFOUND; }
static int peek_sector(sqlite3_file *f) { return 512; }
static int peek_character(sqlite3_file *f) { return 0; }
/* Version 2 with these two is what makes SQLite accept a log at all; never called (exclusive mode).
 * */
static int peek_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	return SQLITE_IOERR_SHMMAP;
}
static int peek_shm_lock(sqlite3_file *f, int at, int n, int flags) { return SQLITE_IOERR_SHMLOCK; }
static void peek_shm_barrier(sqlite3_file *f) {}
static int peek_shm_unmap(sqlite3_file *f, int del) { return SQLITE_OK; }

static const sqlite3_io_methods peek_methods = {
	.iVersion = 2, .xClose = peek_close, .xRead = peek_read, .xWrite = peek_write,
	.xTruncate = peek_truncate, .xSync = peek_sync, .xFileSize = peek_size, .xLock = peek_lock,
	.xUnlock = peek_lock, .xCheckReservedLock = peek_reserved, .xFileControl = peek_control,
	.xSectorSize = peek_sector, .xDeviceCharacteristics = peek_character,
	.xShmMap = peek_shm_map, .xShmLock = peek_shm_lock, .xShmBarrier = peek_shm_barrier,
	.xShmUnmap = peek_shm_unmap,
};

static sqlite3_vfs *real_of(sqlite3_vfs *v) { return v->pAppData; }

static int peek_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct peek_file *p = (struct peek_file *)f;
	sqlite3_vfs *real = real_of(v);
	int there = 0, asked = flags;
	*p = (struct peek_file){ .base.pMethods = NULL };
	if (!name || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return SQLITE_CANTOPEN;
	int rc = real->xAccess(real, name, SQLITE_ACCESS_EXISTS, &there);
	if (rc)
		return rc;
	if (there) {
		flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE |
			   SQLITE_OPEN_DELETEONCLOSE);
		p->real = (sqlite3_file *)&p[1];
		p->real->pMethods = NULL;
		rc = real->xOpen(real, name, p->real, flags | SQLITE_OPEN_READONLY, NULL);
		if (rc)
			return rc;
	} else if (flags & SQLITE_OPEN_MAIN_DB) {
		return SQLITE_CANTOPEN;
	}
	p->base.pMethods = &peek_methods;
	if (out)
		*out = asked;
	return SQLITE_OK;
}

static int peek_delete(sqlite3_vfs *v, const char *name, int sync) { return SQLITE_READONLY; }

static int peek_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	return real_of(v)->xAccess(real_of(v), name, flags, ret);
}

static int peek_full(sqlite3_vfs *v, const char *name, int n, char *out)
{
	return real_of(v)->xFullPathname(real_of(v), name, n, out);
}

static int peek_random(sqlite3_vfs *v, int n, char *out)
{
	return real_of(v)->xRandomness(real_of(v), n, out);
}

static int peek_sleep(sqlite3_vfs *v, int us) { return real_of(v)->xSleep(real_of(v), us); }

static int peek_time(sqlite3_vfs *v, double *ret)
{
	return real_of(v)->xCurrentTime(real_of(v), ret);
}

static int peek_last_error(sqlite3_vfs *v, int n, char *out)
{
	return real_of(v)->xGetLastError ? real_of(v)->xGetLastError(real_of(v), n, out) : 0;
}

/* SQLite's list of VFSs is process-wide; an entry stays once made. */
static enum err peek_register(const char *base, char name[64])
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	sqlite3_snprintf(64, name, "tresor-peek-%s", base);
	pthread_mutex_lock(&lock);
	sqlite3_vfs *real = sqlite3_vfs_find(base), *v = sqlite3_vfs_find(name);
	enum err e = real ? OK : ERR_INTERNAL;
	if (!e && !v) {
		v = mem_zalloc(1, sizeof *v + strlen(name) + 1);
		if (v) {
			char *own_name = (char *)&v[1];
			memcpy(own_name, name, strlen(name) + 1);
			*v = (sqlite3_vfs){ .iVersion = 1,
				.szOsFile = (int)sizeof(struct peek_file) + real->szOsFile,
				.mxPathname = real->mxPathname, .zName = own_name, .pAppData = real,
				.xOpen = peek_open, .xDelete = peek_delete, .xAccess = peek_access,
				.xFullPathname = peek_full, .xRandomness = peek_random,
				.xSleep = peek_sleep, .xCurrentTime = peek_time,
				.xGetLastError = peek_last_error };
			e = db_error(sqlite3_vfs_register(v, 0));
		} else {
			e = ERR_NOMEM;
		}
	}
	pthread_mutex_unlock(&lock);
	return e;
}

/* ---- raw bytes, through the same VFS (so that a test's disk is read too) ---- */

struct raw {
	sqlite3_file *file;
	sqlite3_filename name;
	uint64_t size;
	bool exists;
};

static void raw_close(struct raw *r)
{
	if (r->file && r->file->pMethods)
		(void)r->file->pMethods->xClose(r->file);
	mem_free(r->file);
	if (r->name)
		sqlite3_free_filename(r->name);
	*r = (struct raw){ 0 };
}

static enum err raw_open(const char *vfs, const char *path, bool wal, struct raw *r)
{
	char wal_path[DB_PATH_MAX + 8], journal[DB_PATH_MAX + 16];
	sqlite3_vfs *v = sqlite3_vfs_find(vfs);
	int there = 0;
	*r = (struct raw){ 0 };
	if (!v)
		return ERR_INTERNAL;
	snprintf(wal_path, sizeof wal_path, "%s-wal", path);
	snprintf(journal, sizeof journal, "%s-journal", path);
	TRY(db_error(v->xAccess(v, wal ? wal_path : path, SQLITE_ACCESS_EXISTS, &there)));
	if (!there)
		return OK;
	r->file = mem_zalloc(1, (size_t)v->szOsFile);
	r->name = sqlite3_create_filename(path, journal, wal_path, 0, NULL);
	if (!r->file || !r->name) {
		raw_close(r);
		return ERR_NOMEM;
	}
	int rc = v->xOpen(v, wal ? sqlite3_filename_wal(r->name) : r->name, r->file,
		SQLITE_OPEN_READONLY | (wal ? SQLITE_OPEN_WAL : SQLITE_OPEN_MAIN_DB), NULL);
	sqlite3_int64 size = 0;
	if (!rc)
		rc = r->file->pMethods->xFileSize(r->file, &size);
	if (rc) {
		raw_close(r);
		return db_error(rc);
	}
	r->size = (uint64_t)size;
	r->exists = true;
	return OK;
}

static enum err raw_read(void *arg, uint64_t at, void *dst, size_t n)
{
	struct raw *r = arg;
	return db_error(r->file->pMethods->xRead(r->file, dst, (int)n, (sqlite3_int64)at));
}

static enum err peek_log(const char *vfs, const char *path, struct err_info *info)
{
	struct raw r;
	TRY(raw_open(vfs, path, true, &r));
	enum err e = r.exists ? wal_check(raw_read, &r, r.size) : OK;
	raw_close(&r);
	if (e == ERR_CORRUPT) {
		(void)err_set(info, e, "the database's write-ahead log is damaged: "
				       "saved changes in it cannot be read");
		err_hint(info,
			"keep a copy of the data directory; restore the newest backup, or "
			"move the file that ends in -wal away to go on without its last changes");
	}
	return e;
}

/* The part of page 1 that is not encrypted: bytes 16 to 23 of SQLite's header. */
static enum err peek_header(const uint8_t h[24], struct err_info *info)
{
	static const uint8_t want[8] = { 0x10, 0x00, 2, 2, DB_RESERVED_BYTES, 64, 32, 32 };
	if (memcmp(h, "SQLite format 3", 16) == 0) {
		(void)err_set(
			info, ERR_KEY, "the database is not encrypted: it is not one of Tresor's");
		err_hint(info, "check the path given with --data");
		return ERR_KEY;
	}
	if (memcmp(h + 16, want, sizeof want) != 0) {
		(void)err_set(info, ERR_KEY, "the header of the database file is damaged");
		err_hint(info, "keep a copy of the data directory, then restore the newest backup");
		return ERR_KEY;
	}
	return OK;
}

static enum err peek_content(const struct db_options *o, const char *base, unsigned *ret_version,
			     struct err_info *info)
{
	AUTO(db_conn) struct db_conn *c = NULL;
	char name[64], mc[80];
	TRY(peek_register(base, name));
	sqlite3_snprintf(sizeof mc, mc, "multipleciphers-%s", name);
	enum err e = db_conn_open_raw(o->path, mc, SQLITE_OPEN_READWRITE, o->page_key, &c);
	if (!e) {
		(void)sqlite3_db_config(c->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		e = db_conn_exec(c, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA query_only=ON;"
				    "SELECT count(*) FROM sqlite_schema;");
	}
	if (e == ERR_CORRUPT) {
		(void)err_set(info, ERR_KEY, "the key does not open the database, "
					     "or its first page is damaged");
		err_hint(info,
			"check that this instance's key file or passphrase belongs to this data "
			"directory; if it does, restore the newest backup");
		return ERR_KEY;
	}
	TRY(e);
	return migrate_compare(c, o, ret_version, info);
}

static enum err log_without_database(const char *vfs, const char *path, bool *ret)
{
	char wal[DB_PATH_MAX + 8];
	sqlite3_vfs *v = sqlite3_vfs_find(vfs);
	int there = 0;
	snprintf(wal, sizeof wal, "%s-wal", path);
	TRY(db_error(v->xAccess(v, wal, SQLITE_ACCESS_EXISTS, &there)));
	*ret = there;
	return OK;
}

enum err db_peek(const struct db_options *o, struct db_found *ret, struct err_info *info)
{
	const char *base = o->vfs ? o->vfs : "unix";
	struct raw r;
	uint8_t h[24] = { 0 };
	bool log_only = false;
	TRY(db_error(sqlite3_initialize()));
	TRY(raw_open(base, o->path, false, &r));
	uint64_t size = r.size;
	enum err e = size >= sizeof h ? raw_read(&r, 0, h, sizeof h) : OK;
	raw_close(&r);
	TRY(e);
	*ret = (struct db_found){ 0 };
	if (size == 0) {
		TRY(log_without_database(base, o->path, &log_only));
		if (!log_only)
			return OK;
	}
	if (size < DB_PAGE_BYTES) {
		(void)err_set(info, ERR_CORRUPT, "the database file is cut off or missing");
		err_hint(info, "keep a copy of the data directory, then restore the newest backup");
		return ERR_CORRUPT;
	}
	TRY(peek_header(h, info));
	TRY(peek_log(base, o->path, info));
	TRY(peek_content(o, base, &ret->version, info));
	ret->exists = true;
	return OK;
}
