/* The thread that seals and writes: so that decoding never waits for a disk. */
#include <string.h>

#include "base/fault.h"
#include "engine/disk_int.h"
#include "engine/disk_meta.h"
#include "os/fd.h"
#include "os/threads.h"

enum { GIVE_WAY = 19 }; /* a hundredth of a core while all of them compute */

void job_free(struct job *j)
{
	if (!j)
		return;
	mem_free((void *)(uintptr_t)j->r.tokens);
	if (j->state)
		wipe(j->state, (size_t)j->r.state_bytes);
	mem_free(j->state);
	mem_free(j);
}

static void entry_of(const struct disk *d, const struct job *j, struct entry *ret)
{
	const struct disk_record *r = &j->r;
	*ret = (struct entry){ .kv = { .id = r->id,
				       .state_bytes = r->state_bytes,
				       .used_ms = r->used_ms,
				       .meta_bytes = (uint32_t)disk_meta_bytes(r) },
		.state = ENTRY_WRITING,
		.parent = r->parent,
		.person = r->person,
		.object = r->object,
		.from = r->from,
		.n = r->n };
	memcpy(ret->kv.fingerprint, d->fingerprint, KVFILE_TAG);
	kvfile_tag(&d->keys, r->person, r->object, &ret->kv);
}

/* The sealed parts, without header. Without the lock: the range is ours. */
static enum err write_parts(struct disk *d, const struct kvfile_record *kv, const struct job *j)
{
	AUTO_BUF struct buf meta = BUF(KVFILE_META_MAX);
	struct str state = { j->state, (size_t)j->r.state_bytes };
	TRY(disk_meta_put(&j->r, &meta));
	TRY(kvfile_put_part(d->fd, &d->keys, kv, 0, buf_str(&meta), &d->write_scratch));
	for (uint64_t n = 1; n < kvfile_parts(kv); n++) {
		struct str piece = str_sub(state, (size_t)(n - 1) * KVFILE_CHUNK, KVFILE_CHUNK);
		TRY(kvfile_put_part(d->fd, &d->keys, kv, n, piece, &d->write_scratch));
	}
	return OK;
}

/* Keeps the parent, and so all before it, from being let go for its child's sake. */
static enum err place(struct disk *d, struct entry *e)
{
	struct entry *parent = entry_parent(d, e);
	if (e->parent && (!parent || parent->state != ENTRY_LIVE))
		return ERR_NOT_FOUND;
	if (parent)
		parent->children++;
	enum err err = entry_place(d, e);
	parent = entry_parent(d, e); /* entries moved */
	if (parent)
		parent->children--;
	return err;
}

/* One job from the queue to the file. Lock held, given up while it writes. */
static void work(struct disk *d, struct job *j)
{
	struct entry e;
	entry_of(d, j, &e);
	if (j->dead)
		return;
	enum err err = place(d, &e);
	if (err) {
		d->stats.failed += err != ERR_NOT_FOUND; /* a parent that went is no failure */
		return;
	}
	(void)pthread_mutex_unlock(&d->lock);
	err = write_parts(d, &e.kv, j);
	(void)pthread_mutex_lock(&d->lock);
	struct entry *now = entry_find(d, e.kv.id);
	if (!err && now->state == ENTRY_WRITING)
		err = kvfile_put(d->fd, &d->keys, &now->kv);
	else if (!err)
		err = ERR_CANCELLED; /* purged meanwhile */
	if (err) {
		d->stats.failed += err != ERR_CANCELLED;
		(void)entry_erase(d, now);
		return;
	}
	now->state = ENTRY_LIVE;
	now->stored_ms = now->kv.used_ms;
	d->stats.written++;
}

void *disk_thread(void *disk)
{
	struct disk *d = disk;
	thread_give_way(GIVE_WAY);
	(void)pthread_mutex_lock(&d->lock);
	for (;;) {
		while (!d->first && !d->stop)
			(void)pthread_cond_wait(&d->more, &d->lock);
		struct job *j = d->first;
		if (!j)
			break;
		work(d, j);
		d->first = j->next;
		if (!d->first)
			d->last = &d->first;
		d->n_jobs--;
		d->job_bytes -= j->r.state_bytes;
		(void)pthread_cond_broadcast(&d->done);
		job_free(j);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return NULL;
}
