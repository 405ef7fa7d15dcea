/* A file of the prefix cache's disk tier: any bytes, and bytes that carry the right key's MACs (an
 * engine that was taken over, a torn write) around any lengths and any meta. */
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/disk.h"
#include "os/fd.h"
#include "store/kvfile.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t key[KEY_LEN] = { 1 }, fingerprint[32] = { 2 };
enum { FILE_MAX = 1 << 20, RECORD_FIXED = 24 };

struct each {
	uint64_t ids[256], sizes[256];
	size_t n;
};

static enum err see(void *arg, const struct disk_record *r)
{
	struct each *e = arg;
	bool there = !r->parent;
	for (size_t i = 0; i < e->n; i++) {
		there |= e->ids[i] == r->parent;
		if (e->ids[i] == r->id)
			DIE("an id twice");
	}
	if (!there)
		DIE("a record whose beginning was not told");
	if (e->n < 256) {
		e->sizes[e->n] = r->state_bytes;
		e->ids[e->n++] = r->id;
	}
	return e->n < 256 ? OK : ERR_LIMIT;
}

static uint64_t number(const uint8_t *p, int n)
{
	uint64_t v = 0;
	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

/* Records with good MACs: block, id, length of meta and state as the data says; the meta sealed. */
static void forge(int fd, const uint8_t *data, size_t size)
{
	struct kvfile_keys k;
	AUTO_BUF struct buf scratch = BUF(FILE_MAX);
	kvfile_keys_of(key, &k);
	while (size > RECORD_FIXED) {
		size_t meta = data[0] < size - RECORD_FIXED ? data[0] : size - RECORD_FIXED;
		struct kvfile_record r = { .offset = (uint64_t)data[1] * KVFILE_BLOCK,
			.id = number(data + 2, 2),
			.state_bytes = number(data + 4, 8),
			.meta_bytes = data[3] & 0x80 ? (uint32_t)number(data + 12, 4)
						     : (uint32_t)meta };
		kvfile_fingerprint(&k, fingerprint, r.fingerprint);
		kvfile_tag(&k, number(data + 16, 4), number(data + 20, 4), &r);
		if (r.meta_bytes == meta && meta)
			(void)!!kvfile_put_part(fd, &k, &r, 0,
				(struct str){ (const char *)data + RECORD_FIXED, meta }, &scratch);
		(void)!!kvfile_put(fd, &k, &r);
		data += RECORD_FIXED + meta;
		size -= RECORD_FIXED + meta;
	}
	(void)!!fd_cut(fd, FILE_MAX);
}

FUZZ
{
	AUTO_FD int fd = memfd_create("fuzz", MFD_CLOEXEC);
	AUTO(disk) struct disk *d = NULL;
	static char out[FILE_MAX];
	struct each all = { .n = 0 };
	struct disk_stats s;
	uint64_t removed;
	if (fd < 0 || !size)
		return;
	if (data[0] & 1)
		forge(fd, data + 1, size - 1);
	else if (fd_pwrite_full(fd, data + 1, size - 1, 0))
		return;
	int other = dup(fd);
	if (disk_new(TAKE_FD(fd), key, fingerprint, FILE_MAX / 2, &d)) {
		(void)close(other);
		return;
	}
	disk_stats(d, &s);
	if (s.bytes > FILE_MAX / 2)
		DIE("more than the limit was kept");
	(void)!!disk_each(d, see, &all);
	for (size_t i = 0; i < all.n; i++)
		if (all.sizes[i] <= sizeof out)
			(void)!!disk_read(d, all.ids[i], out, (size_t)all.sizes[i]);
	(void)!!kvfile_purge(other, key, 1, 0, &removed);
	if (disk_purge(d, 0, 0))
		DIE("memory refuses to be erased");
	disk_stats(d, &s);
	if (s.bytes || s.records)
		DIE("something stayed");
	(void)close(other);
}
