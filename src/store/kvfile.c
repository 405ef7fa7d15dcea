#include "store/kvfile.h"

#include <string.h>

#include "os/fd.h"

static const uint8_t magic[8] = { 'T', 'R', 'K', 'V', '0', '0', '0', '1' };
/* Offsets in the header. */
enum {
	AT_ID = 8,
	AT_USED = 16,
	AT_STATE = 24,
	AT_META = 32,
	AT_FINGERPRINT = 40,
	AT_PERSON = 56,
	AT_OBJECT = 72,
	AT_MAC = 96,
};
enum { AD_BYTES = AT_MAC + 8 };

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* ---- keys and tags ---- */

void kvfile_key(const uint8_t cache_key[KEY_LEN], struct str digest, uint8_t ret[KEY_LEN])
{
	struct hmac h;
	hmac_init(&h, cache_key, KEY_LEN);
	hmac_add(&h, "kv file of model ", 17);
	hmac_add(&h, digest.ptr, digest.len);
	hmac_end(&h, ret);
}

void kvfile_keys_of(const uint8_t file_key[KEY_LEN], struct kvfile_keys *ret)
{
	key_derive(file_key, "kv file seal", ret->seal);
	key_derive(file_key, "kv file mac", ret->mac);
	key_derive(file_key, "kv file tag", ret->tag);
}

static void tag(const struct kvfile_keys *k, char what, const void *p, size_t n,
	uint8_t ret[KVFILE_TAG])
{
	struct hmac h;
	uint8_t mac[SHA256_LEN];
	hmac_init(&h, k->tag, KEY_LEN);
	hmac_add(&h, &what, 1);
	hmac_add(&h, p, n);
	hmac_end(&h, mac);
	memcpy(ret, mac, KVFILE_TAG);
}

void kvfile_tag(
	const struct kvfile_keys *k, uint64_t person, uint64_t object, struct kvfile_record *ret)
{
	uint8_t who[16];
	put64(who, person);
	put64(who + 8, object);
	tag(k, 'p', who, 8, ret->person);
	tag(k, 'o', who, 16, ret->object);
}

void kvfile_fingerprint(
	const struct kvfile_keys *k, const uint8_t fingerprint[32], uint8_t ret[KVFILE_TAG])
{
	tag(k, 'f', fingerprint, 32, ret);
}

/* ---- sizes ---- */

static uint64_t pieces(const struct kvfile_record *r)
{
	return (r->state_bytes + KVFILE_CHUNK - 1) / KVFILE_CHUNK;
}

uint64_t kvfile_parts(const struct kvfile_record *r)
{
	return 1 + pieces(r);
}

uint64_t kvfile_length(const struct kvfile_record *r)
{
	return KVFILE_HEADER + r->meta_bytes + r->state_bytes + kvfile_parts(r) * SEAL_EXTRA;
}

uint64_t kvfile_space(const struct kvfile_record *r)
{
	return (kvfile_length(r) + KVFILE_BLOCK - 1) / KVFILE_BLOCK * KVFILE_BLOCK;
}

/* Where part `n` lies and how long it is before sealing. */
static void part_at(const struct kvfile_record *r, uint64_t n, uint64_t *offset, uint64_t *plain)
{
	uint64_t state_at = r->offset + KVFILE_HEADER + r->meta_bytes + SEAL_EXTRA;
	if (n == 0) {
		*offset = r->offset + KVFILE_HEADER;
		*plain = r->meta_bytes;
		return;
	}
	*offset = state_at + (n - 1) * (KVFILE_CHUNK + SEAL_EXTRA);
	*plain = n < pieces(r) ? KVFILE_CHUNK : r->state_bytes - (n - 1) * KVFILE_CHUNK;
}

/* ---- header ---- */

/* Without MAC. */
static void header_bytes(const struct kvfile_record *r, int64_t used_ms, uint8_t b[AT_MAC])
{
	memset(b, 0, AT_MAC);
	memcpy(b, magic, sizeof magic);
	put64(b + AT_ID, r->id);
	put64(b + AT_USED, (uint64_t)used_ms);
	put64(b + AT_STATE, r->state_bytes);
	put64(b + AT_META, r->meta_bytes);
	memcpy(b + AT_FINGERPRINT, r->fingerprint, KVFILE_TAG);
	memcpy(b + AT_PERSON, r->person, KVFILE_TAG);
	memcpy(b + AT_OBJECT, r->object, KVFILE_TAG);
}

static bool header_parse(
	const struct kvfile_keys *k, const uint8_t b[KVFILE_HEADER], struct kvfile_record *ret)
{
	uint8_t mac[SHA256_LEN], again[AT_MAC];
	struct kvfile_record r = { .id = get64(b + AT_ID),
		.used_ms = (int64_t)get64(b + AT_USED),
		.state_bytes = get64(b + AT_STATE) };
	uint64_t meta = get64(b + AT_META);
	if (memcmp(b, magic, sizeof magic) != 0)
		return false;
	hmac_of(k->mac, b, AT_MAC, mac);
	if (!ct_equal(mac, b + AT_MAC, SHA256_LEN))
		return false;
	if (!r.id || !r.state_bytes || r.state_bytes > KVFILE_STATE_MAX || !meta ||
		meta > KVFILE_META_MAX)
		return false;
	r.meta_bytes = (uint32_t)meta;
	memcpy(r.fingerprint, b + AT_FINGERPRINT, KVFILE_TAG);
	memcpy(r.person, b + AT_PERSON, KVFILE_TAG);
	memcpy(r.object, b + AT_OBJECT, KVFILE_TAG);
	header_bytes(&r, r.used_ms, again); /* what must be zeros is */
	if (memcmp(again, b, AT_MAC) != 0)
		return false;
	*ret = r;
	return true;
}

enum err kvfile_put(int fd, const struct kvfile_keys *k, const struct kvfile_record *r)
{
	uint8_t b[KVFILE_HEADER];
	header_bytes(r, r->used_ms, b);
	hmac_of(k->mac, b, AT_MAC, b + AT_MAC);
	return fd_pwrite_full(fd, b, sizeof b, r->offset);
}

/* ---- sealed parts ---- */

static struct str part_ad(const struct kvfile_record *r, uint64_t n, uint8_t b[AD_BYTES])
{
	header_bytes(r, 0, b);
	put64(b + AT_MAC, n);
	return (struct str){ (const char *)b, AD_BYTES };
}

enum err kvfile_put_part(int fd, const struct kvfile_keys *k, const struct kvfile_record *r,
	uint64_t n, struct str plain, struct buf *scratch)
{
	uint8_t ad[AD_BYTES];
	uint64_t at, len;
	part_at(r, n, &at, &len);
	if (plain.len != len)
		DIE("a part of another length than its record says");
	buf_clear(scratch);
	TRY(seal(k->seal, part_ad(r, n, ad), plain, scratch));
	return fd_pwrite_full(fd, scratch->ptr, scratch->len, at);
}

enum err kvfile_get_part(int fd, const struct kvfile_keys *k, const struct kvfile_record *r,
	uint64_t n, struct buf *scratch, struct buf *out)
{
	uint8_t ad[AD_BYTES];
	uint64_t at, len;
	part_at(r, n, &at, &len);
	buf_clear(scratch);
	TRY(buf_add_zeros(scratch, (size_t)len + SEAL_EXTRA));
	TRY(fd_pread_full(fd, scratch->ptr, scratch->len, at));
	return unseal(k->seal, part_ad(r, n, ad), buf_str(scratch), out);
}

/* ---- walking ---- */

/* The next block that may hold something. ERR_NOT_FOUND: none. */
static enum err next_block(int fd, uint64_t size, uint64_t *at)
{
	uint64_t data;
	TRY(fd_next_data(fd, *at, &data));
	data -= data % KVFILE_BLOCK;
	if (data > *at)
		*at = data;
	return *at < size && size - *at >= KVFILE_HEADER ? OK : ERR_NOT_FOUND;
}

enum err kvfile_walk(int fd, const struct kvfile_keys *k, kvfile_fn fn, void *arg)
{
	uint64_t size, at = 0;
	TRY(fd_size(fd, &size));
	for (unsigned looked = 0;; looked++) {
		uint8_t b[KVFILE_HEADER];
		struct kvfile_record r;
		enum err e = at < size ? next_block(fd, size, &at) : ERR_NOT_FOUND;
		if (e)
			return e == ERR_NOT_FOUND ? OK : e;
		if (looked == KVFILE_WALK_MAX)
			return ERR_LIMIT;
		TRY(fd_pread_full(fd, b, sizeof b, at));
		if (!header_parse(k, b, &r) || kvfile_length(&r) > size - at) {
			at += KVFILE_BLOCK; /* free, or torn off at its end */
			continue;
		}
		r.offset = at;
		TRY(fn(arg, &r));
		at += kvfile_space(&r);
	}
}

enum err kvfile_erase(int fd, const struct kvfile_record *r)
{
	static const uint8_t zeros[KVFILE_HEADER];
	TRY(fd_pwrite_full(fd, zeros, sizeof zeros, r->offset));
	return fd_punch(fd, r->offset, kvfile_space(r));
}

struct tidy {
	int fd;
	uint64_t end; /* of the record before */
};

static enum err tidy_one(void *arg, const struct kvfile_record *r)
{
	struct tidy *t = arg;
	enum err e = r->offset > t->end ? fd_punch(t->fd, t->end, r->offset - t->end) : OK;
	t->end = r->offset + kvfile_space(r);
	return e;
}

enum err kvfile_tidy(int fd, const struct kvfile_keys *k)
{
	struct tidy t = { fd, 0 };
	uint64_t size;
	TRY(kvfile_walk(fd, k, tidy_one, &t));
	TRY(fd_size(fd, &size));
	return size > t.end ? fd_cut(fd, t.end) : OK;
}

/* ---- the keeper's part ---- */

struct purge {
	int fd;
	bool all_of_person;
	struct kvfile_record want; /* its tags */
	uint64_t n;
};

static enum err purge_one(void *arg, const struct kvfile_record *r)
{
	struct purge *p = arg;
	bool match = p->all_of_person ? ct_equal(r->person, p->want.person, KVFILE_TAG)
				      : ct_equal(r->object, p->want.object, KVFILE_TAG);
	if (!match)
		return OK;
	p->n++;
	return kvfile_erase(p->fd, r);
}

enum err kvfile_purge(int fd, const uint8_t file_key[KEY_LEN], uint64_t person, uint64_t object,
	uint64_t *ret_n)
{
	struct kvfile_keys keys;
	struct purge p = { .fd = fd, .all_of_person = object == 0 };
	enum err e = ERR_LIMIT;
	if (person || object) {
		kvfile_keys_of(file_key, &keys);
		kvfile_tag(&keys, person, object, &p.want);
		e = kvfile_walk(fd, &keys, purge_one, &p);
		wipe(&keys, sizeof keys);
	}
	if (e) /* all was asked for, or what is there cannot be told apart */
		TRY(fd_cut(fd, 0));
	*ret_n = p.n;
	return fd_sync(fd);
}
