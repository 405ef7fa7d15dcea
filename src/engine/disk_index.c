/* Which ranges of the file are taken, and who goes when they do not suffice. */
#include <string.h>

#include "base/fault.h"
#include "engine/disk_int.h"

struct entry *entry_find(struct disk *d, uint64_t id)
{
	for (size_t i = 0; id && i < d->n; i++)
		if (d->entries[i].kv.id == id)
			return &d->entries[i];
	return NULL;
}

struct entry *entry_parent(struct disk *d, const struct entry *e)
{
	return entry_find(d, e->parent);
}

static enum err entry_insert(struct disk *d, size_t at, const struct entry *e)
{
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 64;
		struct entry *more = mem_realloc(d->entries, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		d->entries = more;
		d->cap = cap;
	}
	memmove(d->entries + at + 1, d->entries + at, (d->n - at) * sizeof *d->entries);
	d->entries[at] = *e;
	d->n++;
	d->used += kvfile_space(&e->kv);
	return OK;
}

enum err entry_append(struct disk *d, const struct entry *e)
{
	return entry_insert(d, d->n, e);
}

enum err entry_erase(struct disk *d, struct entry *e)
{
	enum err err = kvfile_erase(d->fd, &e->kv);
	struct entry *parent = entry_parent(d, e);
	if (parent)
		parent->children--;
	if (err) {
		d->stats.failed++;
		e->kv.id = e->parent = 0;
		e->state = ENTRY_DOOMED;
		return err;
	}
	size_t at = (size_t)(e - d->entries);
	d->used -= kvfile_space(&e->kv);
	d->n--;
	memmove(e, e + 1, (d->n - at) * sizeof *e);
	return OK;
}

static struct entry *child_of(struct disk *d, uint64_t id)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->entries[i].parent == id && d->entries[i].state != ENTRY_DOOMED)
			return &d->entries[i];
	return NULL;
}

enum err entry_erase_tree(struct disk *d, uint64_t id)
{
	enum err first = OK;
	for (bool more = true; more;) {
		struct entry *e = entry_find(d, id), *child;
		if (!e)
			break;
		while ((child = child_of(d, e->kv.id)))
			e = child;
		more = e->kv.id != id;
		if (e->state == ENTRY_LIVE) {
			enum err err = entry_erase(d, e);
			first = first ? first : err;
		} else {
			e->state = ENTRY_DOOMED;
		}
	}
	return first;
}

bool entry_evict(struct disk *d)
{
	struct entry *oldest = NULL;
	for (size_t i = 0; i < d->n; i++) {
		struct entry *e = &d->entries[i];
		if (e->state == ENTRY_LIVE && !e->children && e->kv.id != d->reading &&
			(!oldest || e->kv.used_ms < oldest->kv.used_ms))
			oldest = e;
	}
	if (!oldest)
		return false;
	d->stats.evicted++;
	(void)entry_erase(d, oldest); /* one that cannot be erased is not a candidate any more */
	return true;
}

/* The first gap of `space` bytes below the limit; *ret_at: where its entry belongs. */
static bool find_gap(const struct disk *d, uint64_t space, size_t *ret_at, uint64_t *ret_offset)
{
	uint64_t end = 0;
	for (size_t i = 0; i <= d->n; i++) {
		uint64_t next = i < d->n ? d->entries[i].kv.offset : UINT64_MAX;
		if (end > d->limit || space > d->limit - end)
			return false;
		if (next - end >= space) {
			*ret_at = i;
			*ret_offset = end;
			return true;
		}
		end = next + (i < d->n ? kvfile_space(&d->entries[i].kv) : 0);
	}
	return false;
}

enum err entry_place(struct disk *d, struct entry *e)
{
	uint64_t space = kvfile_space(&e->kv);
	size_t at = 0;
	while (d->n >= DISK_RECORDS_MAX || space > d->limit || d->used > d->limit - space ||
		!find_gap(d, space, &at, &e->kv.offset))
		if (!entry_evict(d))
			return ERR_NOSPACE;
	TRY(entry_insert(d, at, e));
	struct entry *parent = entry_parent(d, e);
	if (parent)
		parent->children++;
	return OK;
}
