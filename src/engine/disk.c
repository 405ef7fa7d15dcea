#include "engine/disk.h"

#include <string.h>

#include "base/fault.h"
#include "base/random.h"
#include "base/time.h"
#include "engine/disk_int.h"
#include "engine/disk_meta.h"
#include "os/fd.h"
#include "os/threads.h"

/* ---- the object ---- */

static enum err start(struct disk *d)
{
	TRY(disk_scan(d));
	TRY(thread_start("kv-disk", 0, disk_thread, d, &d->thread));
	d->thread_up = true;
	return OK;
}

enum err disk_new(int fd, const uint8_t key[KEY_LEN], const uint8_t fingerprint[32],
	uint64_t limit_bytes, struct disk **ret)
{
	AUTO_FD int owned = fd;
	if (limit_bytes < KVFILE_BLOCK || limit_bytes > INT64_MAX)
		return ERR_INVALID;
	AUTO(disk) struct disk *d = mem_zalloc(1, sizeof *d);
	if (!d)
		return ERR_NOMEM;
	d->fd = TAKE_FD(owned);
	d->limit = d->stats.limit_bytes = limit_bytes;
	d->last = &d->first;
	d->scratch = d->write_scratch = BUF(KVFILE_META_MAX + SEAL_EXTRA);
	(void)pthread_mutex_init(&d->lock, NULL); /* these cannot fail on Linux */
	(void)pthread_cond_init(&d->more, NULL);
	(void)pthread_cond_init(&d->done, NULL);
	kvfile_keys_of(key, &d->keys);
	kvfile_fingerprint(&d->keys, fingerprint, d->fingerprint);
	TRY(start(d));
	*ret = TAKE(d);
	return OK;
}

struct disk *disk_free(struct disk *d)
{
	if (!d)
		return NULL;
	if (d->thread_up) {
		(void)pthread_mutex_lock(&d->lock);
		d->stop = true;
		(void)pthread_cond_broadcast(&d->more);
		(void)pthread_mutex_unlock(&d->lock);
		(void)pthread_join(d->thread, NULL);
	}
	(void)pthread_cond_destroy(&d->more);
	(void)pthread_cond_destroy(&d->done);
	(void)pthread_mutex_destroy(&d->lock);
	(void)close(d->fd);
	buf_wipe(&d->scratch);
	buf_wipe(&d->write_scratch);
	mem_free(d->entries);
	wipe(&d->keys, sizeof d->keys);
	mem_free(d);
	return NULL;
}

/* ---- adding ---- */

static struct job *job_find(struct disk *d, uint64_t id)
{
	for (struct job *j = d->first; j; j = j->next)
		if (j->r.id == id && !j->dead)
			return j;
	return NULL;
}

static enum err job_new(const struct disk_record *r, struct str state, struct job **ret)
{
	struct job *j = mem_zalloc(1, sizeof *j);
	int32_t *tokens = mem_alloc(r->n * sizeof *tokens);
	char *copy = mem_alloc(state.len);
	if (!j || !tokens || !copy) {
		mem_free(tokens);
		mem_free(copy);
		mem_free(j);
		return ERR_NOMEM;
	}
	memcpy(tokens, r->tokens, r->n * sizeof *tokens);
	memcpy(copy, state.ptr, state.len);
	j->r = *r;
	j->r.tokens = tokens;
	j->r.state_bytes = state.len;
	j->r.used_ms = time_now_ms();
	j->state = copy;
	*ret = j;
	return OK;
}

/* Does it begin where the parent, written or queued, or the text begins? */
static enum err check_begin(struct disk *d, const struct disk_record *r)
{
	const struct entry *e = entry_find(d, r->parent);
	const struct job *j = job_find(d, r->parent);
	uint64_t from = 0, n = 0;
	if (r->parent && e && e->state != ENTRY_DOOMED) {
		from = e->from;
		n = e->n;
	} else if (r->parent && j) {
		from = j->r.from;
		n = j->r.n;
	} else if (r->parent) {
		return ERR_NOT_FOUND;
	}
	bool good = r->parent ? r->from > from && r->from <= from + n : !r->from;
	return good ? OK : ERR_INVALID;
}

static enum err queue_check(struct disk *d, const struct disk_record *r, uint64_t bytes)
{
	struct kvfile_record kv = { .state_bytes = bytes,
		.meta_bytes = (uint32_t)disk_meta_bytes(r) };
	if (bytes > KVFILE_STATE_MAX || kvfile_space(&kv) > d->limit)
		return ERR_LIMIT;
	TRY(check_begin(d, r));
	/* one that is larger than the whole queue may wait alone */
	if (d->n_jobs >= DISK_QUEUE_RECORDS ||
		(d->n_jobs &&
			(bytes > DISK_QUEUE_BYTES || d->job_bytes > DISK_QUEUE_BYTES - bytes))) {
		d->stats.refused++;
		return ERR_BUSY;
	}
	return OK;
}

enum err disk_add(
	struct disk *d, const struct disk_record *r, struct str state, uint64_t *ret_id)
{
	struct job *j;
	if (!state.len)
		return ERR_INVALID;
	TRY(disk_meta_check(r));
	(void)pthread_mutex_lock(&d->lock);
	enum err e = queue_check(d, r, state.len);
	if (!e)
		e = job_new(r, state, &j); /* under the lock: only the thread waits for it */
	if (!e) {
		do
			j->r.id = random_u64();
		while (!j->r.id || entry_find(d, j->r.id) || job_find(d, j->r.id));
		*d->last = j;
		d->last = &j->next;
		d->n_jobs++;
		d->job_bytes += state.len;
		*ret_id = j->r.id;
		(void)pthread_cond_signal(&d->more);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return e;
}

void disk_flush(struct disk *d)
{
	(void)pthread_mutex_lock(&d->lock);
	while (d->first)
		(void)pthread_cond_wait(&d->done, &d->lock);
	(void)pthread_mutex_unlock(&d->lock);
}

/* ---- reading and using ---- */

/* Without the lock. */
static enum err read_state(struct disk *d, const struct kvfile_record *kv, char *to)
{
	AUTO_SECRET_BUF struct buf piece = BUF(KVFILE_CHUNK);
	for (uint64_t n = 1; n < kvfile_parts(kv); n++) {
		buf_clear(&piece);
		TRY(kvfile_get_part(d->fd, &d->keys, kv, n, &d->scratch, &piece));
		memcpy(to, piece.ptr, piece.len);
		to += piece.len;
	}
	return OK;
}

static void touch(struct disk *d, struct entry *e)
{
	int64_t now = time_now_ms();
	e->kv.used_ms = now;
	if (now - e->stored_ms < DISK_TOUCH_MS && now >= e->stored_ms)
		return;
	e->stored_ms = now;
	if (kvfile_put(d->fd, &d->keys, &e->kv))
		d->stats.failed++;
}

/* Lock held, given up while it reads. */
static enum err read_entry(struct disk *d, struct entry *e, void *to)
{
	struct kvfile_record kv = e->kv;
	d->reading = kv.id;
	(void)pthread_mutex_unlock(&d->lock);
	enum err err = read_state(d, &kv, to);
	(void)pthread_mutex_lock(&d->lock);
	d->reading = 0;
	if (!err) {
		touch(d, entry_find(d, kv.id));
		d->stats.read++;
	} else if (err != ERR_NOMEM) {
		d->stats.failed++;
		(void)entry_erase_tree(d, kv.id); /* of no use to anybody any more */
	}
	return err;
}

enum err disk_read(struct disk *d, uint64_t id, void *to, size_t n)
{
	(void)pthread_mutex_lock(&d->lock);
	struct entry *e = entry_find(d, id);
	struct job *j = job_find(d, id);
	enum err err = ERR_NOT_FOUND;
	if (j) {
		err = j->r.state_bytes == n ? OK : ERR_INVALID;
		if (!err)
			memcpy(to, j->state, n);
	} else if (e && e->state == ENTRY_LIVE) {
		err = e->kv.state_bytes == n ? read_entry(d, e, to) : ERR_INVALID;
	}
	(void)pthread_mutex_unlock(&d->lock);
	return err;
}

bool disk_has(struct disk *d, uint64_t id)
{
	(void)pthread_mutex_lock(&d->lock);
	struct entry *e = entry_find(d, id);
	bool has = e ? e->state != ENTRY_DOOMED : job_find(d, id) != NULL;
	(void)pthread_mutex_unlock(&d->lock);
	return has;
}

void disk_touch(struct disk *d, uint64_t id)
{
	(void)pthread_mutex_lock(&d->lock);
	struct entry *e = entry_find(d, id);
	if (e && e->state == ENTRY_LIVE)
		touch(d, e);
	(void)pthread_mutex_unlock(&d->lock);
}

/* ---- removing ---- */

/* Queued ones that continue a dead one find no parent when their turn comes. */
static void kill_jobs(struct disk *d, uint64_t id, uint64_t person, uint64_t object)
{
	bool all = !id && !person && !object;
	for (struct job *j = d->first; j; j = j->next)
		if (all || (id && j->r.id == id) ||
			(!id && j->r.person == person && (!object || j->r.object == object)))
			j->dead = true;
}

/* Until no doomed record is being written; then what was taken is durably gone. Lock held. */
static enum err settle(struct disk *d)
{
	for (bool busy = true; busy;) {
		busy = false;
		for (size_t i = 0; i < d->n; i++)
			busy |= d->entries[i].state == ENTRY_DOOMED && d->entries[i].kv.id;
		if (busy)
			(void)pthread_cond_wait(&d->done, &d->lock);
	}
	return fd_sync(d->fd);
}

enum err disk_remove(struct disk *d, uint64_t id)
{
	(void)pthread_mutex_lock(&d->lock);
	if (id)
		kill_jobs(d, id, 0, 0);
	enum err e = entry_erase_tree(d, id);
	(void)pthread_mutex_unlock(&d->lock);
	return e;
}

static struct entry *first_match(struct disk *d, uint64_t person, uint64_t object)
{
	for (size_t i = 0; i < d->n; i++) {
		struct entry *e = &d->entries[i];
		bool all = !person && !object;
		if (e->kv.id && e->state != ENTRY_DOOMED &&
			(all || (e->person == person && (!object || e->object == object))))
			return e;
	}
	return NULL;
}

enum err disk_purge(struct disk *d, uint64_t person, uint64_t object)
{
	enum err e = OK;
	struct entry *match;
	(void)pthread_mutex_lock(&d->lock);
	kill_jobs(d, 0, person, object);
	while ((match = first_match(d, person, object))) {
		enum err one = entry_erase_tree(d, match->kv.id);
		e = e ? e : one;
		d->stats.purged++;
	}
	enum err settled = settle(d);
	(void)pthread_mutex_unlock(&d->lock);
	return e ? e : settled;
}

void disk_stats(struct disk *d, struct disk_stats *ret)
{
	(void)pthread_mutex_lock(&d->lock);
	*ret = d->stats;
	ret->bytes = d->used;
	ret->queued = d->n_jobs;
	for (size_t i = 0; i < d->n; i++)
		ret->records += d->entries[i].state == ENTRY_LIVE;
	(void)pthread_mutex_unlock(&d->lock);
}
