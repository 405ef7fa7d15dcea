#include "engine/tier.h"

#include "base/fault.h"

_Static_assert((int)PREFIX_COMPANY == DISK_COMPANY && (int)PREFIX_GROUP == DISK_GROUP &&
	(int)PREFIX_PERSON == DISK_PERSON, "both say it in the same numbers");

struct tier {
	struct disk *disk;
	bool patient, recalling;
	struct buf later; /* ids to drop when the disk has told all it has */
};

enum err tier_new(struct disk *disk, struct tier **ret)
{
	AUTO(disk) struct disk *d = disk;
	struct tier *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	t->disk = TAKE(d);
	t->later = BUF(2 * DISK_RECORDS_MAX * sizeof(uint64_t));
	*ret = t;
	return OK;
}

struct tier *tier_free(struct tier *t)
{
	if (!t)
		return NULL;
	disk_free(t->disk);
	buf_done(&t->later);
	mem_free(t);
	return NULL;
}

static uint64_t store(void *arg, const struct prefix_record *p, const void *bytes)
{
	struct tier *t = arg;
	uint64_t id = 0;
	if (p->n_tokens > DISK_TOKENS_MAX)
		return 0;
	struct disk_record r = { .level = (enum disk_level)p->level,
		.scope = p->scope,
		.person = p->level == PREFIX_PERSON ? p->scope : 0,
		.object = p->object,
		.parent = p->parent,
		.from = p->from,
		.n = (uint32_t)p->n_tokens,
		.tokens = p->tokens };
	struct str state = { bytes, p->size };
	enum err e = disk_add(t->disk, &r, state, &id);
	if (e == ERR_BUSY && t->patient) {
		disk_flush(t->disk);
		e = disk_add(t->disk, &r, state, &id);
	}
	return e ? 0 : id; /* the disk counts what it refused */
}

static enum err load(void *arg, uint64_t id, void *to, size_t size)
{
	struct tier *t = arg;
	return disk_read(t->disk, id, to, size);
}

static void drop(void *arg, uint64_t id)
{
	struct tier *t = arg;
	if (t->recalling) /* a list that is full: evicted one day */
		(void)!!buf_add(&t->later, (struct str){ (const char *)&id, sizeof id });
	else
		(void)!!disk_remove(t->disk, id); /* counted; purging reports its own errors */
}

struct prefix_disk tier_ops(struct tier *t)
{
	return (struct prefix_disk){ store, load, drop, t };
}

struct recall {
	struct tier *t;
	struct prefix *p;
};

static enum err recall_one(void *arg, const struct disk_record *d)
{
	struct recall *r = arg;
	struct prefix_record p = { .id = d->id,
		.parent = d->parent,
		.level = (enum prefix_level)d->level,
		.scope = d->scope,
		.object = d->object,
		.from = d->from,
		.tokens = d->tokens,
		.n_tokens = d->n,
		.size = (size_t)d->state_bytes };
	enum err e = prefix_recall(r->p, &p);
	if (e == ERR_NOT_FOUND)
		drop(r->t, d->id);
	return e == ERR_NOT_FOUND ? OK : e;
}

enum err tier_recall(struct tier *t, struct prefix *p)
{
	t->recalling = true;
	enum err e = disk_each(t->disk, recall_one, &(struct recall){ t, p });
	t->recalling = false;
	const uint64_t *ids = (const uint64_t *)(const void *)t->later.ptr;
	for (size_t i = 0; i < t->later.len / sizeof *ids; i++)
		(void)!!disk_remove(t->disk, ids[i]);
	buf_done(&t->later);
	return e;
}

void tier_patient(struct tier *t)
{
	t->patient = true;
}

enum err tier_purge(struct tier *t, uint64_t person, uint64_t object)
{
	return disk_purge(t->disk, person, object);
}

uint64_t tier_bytes(struct tier *t)
{
	struct disk_stats s;
	disk_stats(t->disk, &s);
	return s.bytes;
}
