/* The start: which records of the file are good. */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "engine/disk_int.h"
#include "engine/disk_meta.h"
#include "os/fd.h"

static enum err read_meta(struct disk *d, const struct kvfile_record *kv, struct buf *plain,
	struct disk_record *ret)
{
	struct kvfile_record tags;
	buf_clear(plain);
	TRY(kvfile_get_part(d->fd, &d->keys, kv, 0, &d->scratch, plain));
	TRY(disk_meta_get(buf_str(plain), ret));
	/* what the keeper purges by must be what we purge by */
	kvfile_tag(&d->keys, ret->person, ret->object, &tags);
	if (memcmp(tags.person, kv->person, KVFILE_TAG) != 0 ||
		memcmp(tags.object, kv->object, KVFILE_TAG) != 0)
		return ERR_CORRUPT;
	ret->id = kv->id;
	ret->state_bytes = kv->state_bytes;
	ret->used_ms = kv->used_ms;
	return OK;
}

static enum err take(void *arg, const struct kvfile_record *kv)
{
	struct disk *d = arg;
	AUTO_BUF struct buf plain = BUF(KVFILE_META_MAX);
	struct disk_record r;
	enum err e = ERR_CORRUPT;
	if (d->n < DISK_RECORDS_MAX && memcmp(kv->fingerprint, d->fingerprint, KVFILE_TAG) == 0)
		e = read_meta(d, kv, &plain, &r);
	if (e == ERR_NOMEM)
		return e;
	if (e)
		return kvfile_erase(d->fd, kv);
	return entry_append(d, &(struct entry){ .kv = *kv,
				       .state = ENTRY_LIVE,
				       .parent = r.parent,
				       .person = r.person,
				       .object = r.object,
				       .from = r.from,
				       .n = r.n,
				       .stored_ms = kv->used_ms });
}

/* By id, then by place. */
static int by_id(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	if (x->kv.id != y->kv.id)
		return x->kv.id < y->kv.id ? -1 : 1;
	return x < y ? -1 : x > y;
}

static int by_from(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* `sorted` has one NULL more at its end. */
static struct entry *search(struct entry **sorted, size_t n, uint64_t id)
{
	size_t low = 0;
	while (n) { /* the first whose id is not smaller */
		size_t half = n / 2;
		if (sorted[low + half]->kv.id < id) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return sorted[low];
}

/* Dooms what does not continue a good record, and doubled ids. Parents begin before children, so
 * one pass by position sees each parent's verdict first. */
static void judge(struct entry **id_order, struct entry **from_order, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (id_order[i]->kv.id == id_order[i - 1]->kv.id)
			id_order[i]->state = ENTRY_DOOMED;
	for (size_t i = 0; i < n; i++) {
		struct entry *e = from_order[i], *p;
		if (!e->parent)
			continue;
		p = search(id_order, n, e->parent);
		if (!p || p->kv.id != e->parent || p->state == ENTRY_DOOMED ||
			e->from <= p->from || e->from > (uint64_t)p->from + p->n)
			e->state = ENTRY_DOOMED;
	}
}

static enum err check_parents(struct disk *d)
{
	AUTO_MEM struct entry **id_order = mem_zalloc(d->n + 1, sizeof *id_order);
	AUTO_MEM struct entry **from_order = mem_zalloc(d->n + 1, sizeof *from_order);
	if (!id_order || !from_order)
		return ERR_NOMEM;
	for (size_t i = 0; i < d->n; i++)
		id_order[i] = from_order[i] = &d->entries[i];
	qsort(id_order, d->n, sizeof *id_order, by_id);
	qsort(from_order, d->n, sizeof *from_order, by_from);
	judge(id_order, from_order, d->n);
	for (size_t i = d->n; i-- > 0;)
		if (d->entries[i].state == ENTRY_DOOMED)
			TRY(entry_erase(d, &d->entries[i]));
	for (size_t i = 0; i < d->n; i++)
		d->entries[i].children = 0;
	for (size_t i = 0; i < d->n; i++) { /* counted at last: order in the file is any */
		struct entry *p = entry_parent(d, &d->entries[i]);
		if (p)
			p->children++;
	}
	return OK;
}

enum err disk_scan(struct disk *d)
{
	enum err e = kvfile_walk(d->fd, &d->keys, take, d);
	if (e == ERR_LIMIT) { /* nobody sane wrote this */
		d->n = 0;
		d->used = 0;
		return fd_cut(d->fd, 0);
	}
	TRY(e);
	TRY(check_parents(d));
	while (d->used > d->limit && entry_evict(d))
		;
	return kvfile_tidy(d->fd, &d->keys);
}

enum err disk_each(
	struct disk *d, enum err (*fn)(void *arg, const struct disk_record *r), void *arg)
{
	AUTO_BUF struct buf plain = BUF(KVFILE_META_MAX);
	enum err e = OK;
	(void)pthread_mutex_lock(&d->lock);
	AUTO_MEM struct entry **order = mem_zalloc(d->n + 1, sizeof *order);
	size_t n = 0;
	for (size_t i = 0; order && i < d->n; i++)
		if (d->entries[i].state == ENTRY_LIVE)
			order[n++] = &d->entries[i];
	if (order)
		qsort(order, n, sizeof *order, by_from);
	else
		e = ERR_NOMEM;
	for (size_t i = 0; i < n && !e; i++) {
		struct disk_record r;
		e = read_meta(d, &order[i]->kv, &plain, &r);
		r.used_ms = order[i]->kv.used_ms;
		if (!e)
			e = fn(arg, &r);
	}
	(void)pthread_mutex_unlock(&d->lock);
	return e;
}
