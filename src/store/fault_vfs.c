#include "store/fault_vfs.h"

#include <malloc.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "base/fault.h"

/* One lock for everything: this is a test's disk. A file keeps what is visible (`now`), what would
 * survive (`safe`), and the list of changes between the two in order. */

enum { SECTOR = 512, FILES_MAX = 16, NAME_MAX_ = 256, SHM_PAGES_MAX = 64, SHM_LOCKS = 8 };

struct image {
	uint8_t *data;
	uint64_t len, cap;
};
struct change {
	struct change *next;
	uint64_t at, len;  /* a write; data NULL: a truncation to `at` */
	uint8_t *data;
};
struct node {
	char name[NAME_MAX_];
	bool used, exists, safe_exists;
	struct image now, safe;
	struct change *changes, **tail;
	/* locks of the file, and of the shared index */
	unsigned readers, reserved, pending, exclusive; /* holders */
	void *shm[SHM_PAGES_MAX];
	unsigned shm_users, shm_shared[SHM_LOCKS], shm_exclusive[SHM_LOCKS];
};
struct handle {
	sqlite3_file base;
	struct node *node;
	int level;
	bool shm;
	uint16_t shared, exclusive; /* bits of shm locks held */
};
static struct disk {
	pthread_mutex_t lock;
	struct node nodes[FILES_MAX];
	uint64_t operations, cut_at;
	bool cut, cut_in_sync;
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- images ---- */

static void image_set(struct image *i, uint64_t at, const void *p, uint64_t n)
{
	if (at + n > i->cap) {
		uint64_t cap = (at + n) * 2 + 65536;
		i->data = realloc(i->data, cap);
		if (!i->data)
			DIE("no memory for a test's disk");
		memset(i->data + i->cap, 0, cap - i->cap);
		i->cap = cap;
	}
	if (p)
		memcpy(i->data + at, p, n);
	if (at + n > i->len)
		i->len = at + n;
}

static void image_truncate(struct image *i, uint64_t len)
{
	if (len < i->len)
		memset(i->data + len, 0, i->len - len);
	else if (len > i->len)
		image_set(i, i->len, NULL, len - i->len);
	i->len = len;
}

static void image_copy(struct image *to, const struct image *from)
{
	image_truncate(to, 0);
	if (from->len)
		image_set(to, 0, from->data, from->len);
}

static void changes_drop(struct node *n)
{
	for (struct change *c = n->changes, *next; c; c = next) {
		next = c->next;
		free(c->data);
		free(c);
	}
	n->changes = NULL;
	n->tail = &n->changes;
}

static void changes_add(struct node *n, uint64_t at, const void *p, uint64_t len)
{
	struct change *c = calloc(1, sizeof *c);
	if (!c || (p && !(c->data = malloc(len))))
		DIE("no memory for a test's disk");
	c->at = at;
	c->len = len;
	if (p)
		memcpy(c->data, p, len);
	*n->tail = c;
	n->tail = &c->next;
}

/* Makes everything durable. */
static void node_sync(struct node *n)
{
	for (struct change *c = n->changes; c; c = c->next) {
		if (c->data)
			image_set(&n->safe, c->at, c->data, c->len);
		else
			image_truncate(&n->safe, c->at);
	}
	changes_drop(n);
	n->safe_exists = n->exists;
}

static struct node *node_find(const char *name, bool make)
{
	struct node *empty = NULL;
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct node *n = &disk.nodes[i];
		if (n->used && strcmp(n->name, name) == 0)
			return n;
		if (!n->used && !empty)
			empty = n;
	}
	if (!make || !empty || strlen(name) >= NAME_MAX_)
		return NULL;
	*empty = (struct node){ .used = true };
	empty->tail = &empty->changes;
	memcpy(empty->name, name, strlen(name) + 1);
	return empty;
}

/* Counts a call that changes the disk. SQLITE_OK, or the error it gets. */
static int operation(bool sync)
{
	if (disk.cut)
		return SQLITE_IOERR;
	disk.operations++;
	if (disk.cut_at && disk.operations >= disk.cut_at && (sync || !disk.cut_in_sync)) {
		disk.cut = true;
		return SQLITE_IOERR;
	}
	return fault_hit(FAULT_SYSCALL) ? SQLITE_IOERR : SQLITE_OK;
}

#define LOCKED(type, body)                          \
	pthread_mutex_lock(&disk.lock);             \
	type result_ = (body);                      \
	pthread_mutex_unlock(&disk.lock);           \
	return result_

/* ---- files ---- */

static int f_close(sqlite3_file *f)
{
	f->pMethods = NULL;
	return SQLITE_OK;
}

static int do_read(struct node *n, void *dst, uint64_t len, uint64_t at)
{
	if (disk.cut || fault_hit(FAULT_SYSCALL))
		return SQLITE_IOERR_READ;
	uint64_t have = at < n->now.len ? n->now.len - at : 0;
	if (have > len)
		have = len;
	if (have)
		memcpy(dst, n->now.data + at, have);
	memset((char *)dst + have, 0, len - have);
	return have == len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int f_read(sqlite3_file *f, void *dst, int n, sqlite3_int64 at)
{
	LOCKED(int, do_read(((struct handle *)f)->node, dst, (uint64_t)n, (uint64_t)at));
}

static int do_write(struct node *n, const void *src, uint64_t len, uint64_t at)
{
	bool was_cut = disk.cut;
	int rc = operation(false);
	if (rc && (was_cut || !disk.cut))
		return rc;
	/* a write during which the power goes is as uncertain as the ones before it */
	changes_add(n, at, src, len);
	image_set(&n->now, at, src, len);
	return rc;
}

static int f_write(sqlite3_file *f, const void *src, int n, sqlite3_int64 at)
{
	LOCKED(int, do_write(((struct handle *)f)->node, src, (uint64_t)n, (uint64_t)at));
}

static int do_truncate(struct node *n, uint64_t len)
{
	int rc = operation(false);
	if (rc)
		return rc;
	changes_add(n, len, NULL, 0);
	image_truncate(&n->now, len);
	return SQLITE_OK;
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 len)
{
	LOCKED(int, do_truncate(((struct handle *)f)->node, (uint64_t)len));
}

static int do_sync(struct node *n)
{
	int rc = operation(true);
	if (!rc)
		node_sync(n);
	return rc;
}

static int f_sync(sqlite3_file *f, int flags)
{
	LOCKED(int, do_sync(((struct handle *)f)->node));
}

static int do_size(struct node *n, sqlite3_int64 *ret)
{
	*ret = (sqlite3_int64)n->now.len;
	return disk.cut ? SQLITE_IOERR_FSTAT : SQLITE_OK;
}

static int f_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	LOCKED(int, do_size(((struct handle *)f)->node, ret));
}

/* The lock levels of SQLite within one process, as in its documentation of xLock. */
static int do_lock(struct handle *h, int level)
{
	struct node *n = h->node;
	if (level <= h->level)
		return SQLITE_OK;
	if (h->level == SQLITE_LOCK_NONE) {
		if (n->pending || n->exclusive)
			return SQLITE_BUSY;
		n->readers++;
		h->level = SQLITE_LOCK_SHARED;
	}
	if (level >= SQLITE_LOCK_RESERVED && h->level < SQLITE_LOCK_RESERVED) {
		if (n->reserved)
			return SQLITE_BUSY;
		n->reserved++;
		h->level = SQLITE_LOCK_RESERVED;
	}
	if (level == SQLITE_LOCK_EXCLUSIVE) {
		if (n->readers > 1) {
			n->pending += h->level < SQLITE_LOCK_PENDING;
			h->level = SQLITE_LOCK_PENDING;
			return SQLITE_BUSY;
		}
		n->exclusive++;
		n->pending += h->level < SQLITE_LOCK_PENDING;
		h->level = SQLITE_LOCK_EXCLUSIVE;
	}
	return SQLITE_OK;
}

static int do_unlock(struct handle *h, int level)
{
	struct node *n = h->node;
	if (level >= h->level)
		return SQLITE_OK;
	if (h->level == SQLITE_LOCK_EXCLUSIVE)
		n->exclusive--;
	if (h->level >= SQLITE_LOCK_PENDING)
		n->pending--;
	if (h->level >= SQLITE_LOCK_RESERVED)
		n->reserved--;
	if (level == SQLITE_LOCK_NONE)
		n->readers--;
	h->level = level;
	return SQLITE_OK;
}

static int f_lock(sqlite3_file *f, int level) { LOCKED(int, do_lock((struct handle *)f, level)); }

static int f_unlock(sqlite3_file *f, int level)
{
	LOCKED(int, do_unlock((struct handle *)f, level));
}

static int f_reserved(sqlite3_file *f, int *ret)
{
	pthread_mutex_lock(&disk.lock);
	*ret = ((struct handle *)f)->node->reserved > 0;
	pthread_mutex_unlock(&disk.lock);
	return SQLITE_OK;
}

static int f_control(sqlite3_file *f, int op, void *arg) { return SQLITE_NOTFOUND; }
static int f_sector(sqlite3_file *f) { return SECTOR; }
static int f_character(sqlite3_file *f) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; } /* as unix */

/* ---- the shared index of the log ---- */

static int do_shm_map(struct handle *h, int page, int size, bool extend, void volatile **ret)
{
	struct node *n = h->node;
	*ret = NULL;
	if (page >= SHM_PAGES_MAX)
		return SQLITE_IOERR_SHMMAP;
	if (!h->shm) {
		h->shm = true;
		n->shm_users++;
	}
	if (!n->shm[page] && extend && !(n->shm[page] = calloc(1, (size_t)size)))
		return SQLITE_IOERR_NOMEM;
	*ret = n->shm[page];
	return SQLITE_OK;
}

static int f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
	LOCKED(int, do_shm_map((struct handle *)f, page, size, extend, ret));
}

static bool shm_free_for(const struct handle *h, int i, bool exclusive)
{
	unsigned other_shared = h->node->shm_shared[i] - (h->shared >> i & 1u);
	unsigned other_exclusive = h->node->shm_exclusive[i] - (h->exclusive >> i & 1u);
	return !other_exclusive && !(exclusive && other_shared);
}

static int do_shm_lock(struct handle *h, int at, int count, int flags)
{
	bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
	for (int i = at; i < at + count && flags & SQLITE_SHM_LOCK; i++)
		if (!shm_free_for(h, i, exclusive))
			return SQLITE_BUSY;
	uint16_t *mine = exclusive ? &h->exclusive : &h->shared;
	unsigned *all = exclusive ? h->node->shm_exclusive : h->node->shm_shared;
	for (int i = at; i < at + count; i++) {
		uint16_t bit = (uint16_t)(1u << i);
		if (flags & SQLITE_SHM_LOCK && !(*mine & bit)) {
			*mine |= bit;
			all[i]++;
		} else if (flags & SQLITE_SHM_UNLOCK && *mine & bit) {
			*mine &= (uint16_t)~bit;
			all[i]--;
		}
	}
	return SQLITE_OK;
}

static int f_shm_lock(sqlite3_file *f, int at, int count, int flags)
{
	LOCKED(int, do_shm_lock((struct handle *)f, at, count, flags));
}

static void f_shm_barrier(sqlite3_file *f)
{
	pthread_mutex_lock(&disk.lock);
	pthread_mutex_unlock(&disk.lock);
}

static int do_shm_unmap(struct handle *h, bool del)
{
	struct node *n = h->node;
	if (!h->shm)
		return SQLITE_OK;
	h->shm = false;
	(void)do_shm_lock(h, 0, SHM_LOCKS, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
	(void)do_shm_lock(h, 0, SHM_LOCKS, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
	if (--n->shm_users)
		return SQLITE_OK;
	for (size_t i = 0; i < SHM_PAGES_MAX; i++) { /* the last user: memory does not survive */
		free(n->shm[i]);
		n->shm[i] = NULL;
	}
	return SQLITE_OK;
}

static int f_shm_unmap(sqlite3_file *f, int del)
{
	LOCKED(int, do_shm_unmap((struct handle *)f, del));
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, .xClose = f_close, .xRead = f_read, .xWrite = f_write,
	.xTruncate = f_truncate, .xSync = f_sync, .xFileSize = f_size, .xLock = f_lock,
	.xUnlock = f_unlock, .xCheckReservedLock = f_reserved, .xFileControl = f_control,
	.xSectorSize = f_sector, .xDeviceCharacteristics = f_character, .xShmMap = f_shm_map,
	.xShmLock = f_shm_lock, .xShmBarrier = f_shm_barrier, .xShmUnmap = f_shm_unmap,
};

/* ---- the file system ---- */

static int do_open(const char *name, struct handle *h, int flags)
{
	struct node *n = name ? node_find(name, flags & SQLITE_OPEN_CREATE) : NULL;
	if (disk.cut || fault_hit(FAULT_SYSCALL) || !n ||
	    (!n->exists && !(flags & SQLITE_OPEN_CREATE)))
		return SQLITE_CANTOPEN;
	n->exists = true;
	*h = (struct handle){ .base.pMethods = &methods, .node = n };
	return SQLITE_OK;
}

static int v_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	f->pMethods = NULL;
	if (out)
		*out = flags;
	LOCKED(int, do_open(name, (struct handle *)f, flags));
}

static int do_delete(const char *name, bool sync)
{
	struct node *n = node_find(name, false);
	int rc = operation(false);
	if (rc)
		return rc;
	if (!n || !n->exists)
		return SQLITE_IOERR_DELETE_NOENT;
	n->exists = false;
	image_truncate(&n->now, 0);
	changes_drop(n);
	changes_add(n, 0, NULL, 0); /* if the deletion is lost the old content comes back */
	if (sync)
		node_sync(n);
	return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *v, const char *name, int sync)
{
	LOCKED(int, do_delete(name, sync));
}

static int v_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
	pthread_mutex_lock(&disk.lock);
	struct node *n = node_find(name, false);
	*ret = n && n->exists;
	bool cut = disk.cut;
	pthread_mutex_unlock(&disk.lock);
	return cut ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int v_full(sqlite3_vfs *v, const char *name, int size, char *out)
{
	sqlite3_snprintf(size, out, "%s", name);
	return SQLITE_OK;
}

static int v_random(sqlite3_vfs *v, int n, char *out)
{
	sqlite3_vfs *real = sqlite3_vfs_find("unix");
	return real->xRandomness(real, n, out);
}

static int v_sleep(sqlite3_vfs *v, int us) { return us; } /* time costs nothing here */

static int v_time(sqlite3_vfs *v, double *ret)
{
	*ret = 2461000.5;
	return SQLITE_OK;
}

static int v_last_error(sqlite3_vfs *v, int n, char *out) { return 0; }

static sqlite3_vfs vfs = {
	.iVersion = 1, .szOsFile = sizeof(struct handle), .mxPathname = NAME_MAX_ - 1,
	.zName = FAULT_VFS_NAME, .xOpen = v_open, .xDelete = v_delete, .xAccess = v_access,
	.xFullPathname = v_full, .xRandomness = v_random, .xSleep = v_sleep, .xCurrentTime = v_time,
	.xGetLastError = v_last_error,
};

/* ---- the power ---- */

static uint64_t random_next(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* How much of what was not synced survives: nothing, everything, the first part (and a torn write),
 * or any of it in any order. */
enum luck { LOSE_ALL, KEEP_ALL, KEEP_FIRST, KEEP_SOME, LUCK_KINDS };

static void keep_sectors(struct image *to, const struct change *c, uint64_t *seed, bool all,
			 bool garbage)
{
	uint64_t at = c->at, end = c->at + c->len;
	while (at < end) {
		uint64_t next = (at / SECTOR + 1) * SECTOR, stop = next < end ? next : end;
		if (all || random_next(seed) & 1) {
			image_set(to, at, c->data + (at - c->at), stop - at);
		} else if (at >= to->len && garbage) { /* the file grew, the bytes never came */
			uint8_t junk[SECTOR];
			for (size_t i = 0; i < SECTOR; i++)
				junk[i] = (uint8_t)random_next(seed);
			image_set(to, at, junk, stop - at);
		}
		at = stop;
	}
}

static void node_lose_power(struct node *n, uint64_t *seed)
{
	enum luck luck = random_next(seed) % LUCK_KINDS;
	bool garbage = random_next(seed) & 1;
	size_t count = 0, at = 0;
	for (struct change *c = n->changes; c; c = c->next)
		count++;
	size_t torn = count ? random_next(seed) % count : 0;
	for (struct change *c = n->changes; c; c = c->next, at++) {
		bool all = luck == KEEP_ALL || (luck == KEEP_FIRST && at < torn);
		bool some = luck == KEEP_SOME || (luck == KEEP_FIRST && at == torn);
		if (c->data && (all || some))
			keep_sectors(&n->safe, c, seed, all, garbage);
		else if (!c->data && (all || (some && random_next(seed) & 1)))
			image_truncate(&n->safe, c->at);
	}
	changes_drop(n);
	if (n->exists != n->safe_exists)
		n->safe_exists = random_next(seed) & 1;
	n->exists = n->safe_exists;
	if (!n->exists)
		image_truncate(&n->safe, 0);
	image_copy(&n->now, &n->safe);
	n->readers = n->reserved = n->pending = n->exclusive = 0;
}

enum err fault_vfs_reset(void)
{
	int rc = sqlite3_vfs_find(FAULT_VFS_NAME) ? SQLITE_OK : sqlite3_vfs_register(&vfs, 0);
	pthread_mutex_lock(&disk.lock);
	for (size_t i = 0; i < FILES_MAX; i++) {
		struct node *n = &disk.nodes[i];
		if (!n->used)
			continue;
		changes_drop(n);
		free(n->now.data);
		free(n->safe.data);
		*n = (struct node){ 0 };
	}
	disk.operations = disk.cut_at = 0;
	disk.cut = false;
	pthread_mutex_unlock(&disk.lock);
	return rc ? ERR_INTERNAL : OK;
}

void fault_vfs_cut_after(uint64_t operations, bool in_sync)
{
	pthread_mutex_lock(&disk.lock);
	disk.cut_in_sync = in_sync;
	disk.cut_at = operations ? disk.operations + operations : 0;
	pthread_mutex_unlock(&disk.lock);
}

void fault_vfs_settle(void)
{
	pthread_mutex_lock(&disk.lock);
	for (size_t i = 0; i < FILES_MAX; i++)
		if (disk.nodes[i].used)
			node_sync(&disk.nodes[i]);
	pthread_mutex_unlock(&disk.lock);
}

bool fault_vfs_is_cut(void) { LOCKED(bool, disk.cut); }
uint64_t fault_vfs_operations(void) { LOCKED(uint64_t, disk.operations); }

void fault_vfs_power_on(uint64_t seed)
{
	pthread_mutex_lock(&disk.lock);
	for (size_t i = 0; i < FILES_MAX; i++)
		if (disk.nodes[i].used)
			node_lose_power(&disk.nodes[i], &seed);
	disk.cut = false;
	disk.cut_at = 0;
	pthread_mutex_unlock(&disk.lock);
}

bool fault_vfs_damage(const char *name, uint64_t at, uint8_t xor_with)
{
	pthread_mutex_lock(&disk.lock);
	struct node *n = node_find(name, false);
	bool ok = n && n->exists && at < n->now.len;
	if (ok) {
		node_sync(n);
		n->now.data[at] ^= xor_with;
		n->safe.data[at] ^= xor_with;
	}
	pthread_mutex_unlock(&disk.lock);
	return ok;
}

uint64_t fault_vfs_size(const char *name)
{
	pthread_mutex_lock(&disk.lock);
	struct node *n = node_find(name, false);
	uint64_t len = n && n->exists ? n->now.len : 0;
	pthread_mutex_unlock(&disk.lock);
	return len;
}

/* ---- SQLite's memory ---- */

static void *m_alloc(int n) { return mem_alloc((size_t)n); }
static void m_free(void *p) { mem_free(p); }
static void *m_realloc(void *p, int n) { return mem_realloc(p, (size_t)n); }
static int m_size(void *p) { return p ? (int)malloc_usable_size(p) : 0; }
static int m_round(int n) { return (n + 7) & ~7; }
static int m_init(void *arg) { return SQLITE_OK; }
static void m_done(void *arg) {}

void fault_vfs_hook_memory(void)
{
	static sqlite3_mem_methods m = { .xMalloc = m_alloc, .xFree = m_free, .xRealloc = m_realloc,
		.xSize = m_size, .xRoundup = m_round, .xInit = m_init, .xShutdown = m_done };
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &m))
		DIE("SQLite was started already");
}
