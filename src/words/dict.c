/* The dictionary's file, all numbers little-endian: "TRWORDS1"; places of the forms' table, places
 * of the terms' table, bytes of the pool, and a hash of four stems, u32 each; the two tables, each
 * u32 a place, open addressing with steps of one, FNV-1a of the key, 0 for an empty place; the
 * pool, in which an entry is its key (length, bytes) and its value: of a form a count and as many
 * terms (length, bytes), of a term its flags and where a compound's last word begins. */
#include "words/words_int.h"

#include "base/fault.h"

enum {
	HEAD = 8 + 4 * 4,
	TERM_VALUE = 2,
	CODE = 1, /* raised when this folder makes other terms of the same dictionary */
};
#define MAGIC "TRWORDS1"
#define FNV_START 0x811c9dc5u
#define FNV_PRIME 0x01000193u

struct table {
	const uint8_t *at;
	uint32_t n; /* a power of two */
};

struct words_dict {
	struct table forms, terms;
	const uint8_t *pool;
	uint32_t pool_len;
	uint64_t id;
};

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t fnv(uint32_t h, const void *p, size_t n)
{
	for (const uint8_t *b = p; n--; b++)
		h = (h ^ *b) * FNV_PRIME;
	return h;
}

/* ---- checking it whole, so that looking up need not ---- */

/* A text at *at, which then is behind it. */
static bool skip_text(const struct words_dict *d, uint64_t *at)
{
	if (*at >= d->pool_len || d->pool[*at] > FORM_MAX)
		return false;
	*at += 1u + d->pool[*at];
	return *at <= d->pool_len;
}

static bool entry_ok(const struct words_dict *d, uint64_t at, bool form)
{
	if (!skip_text(d, &at) || at >= d->pool_len)
		return false;
	if (!form)
		return at + TERM_VALUE <= d->pool_len;
	unsigned n = d->pool[at++];
	if (!n || n > TERMS_MAX)
		return false;
	while (n--)
		if (!skip_text(d, &at))
			return false;
	return true;
}

static bool table_ok(const struct words_dict *d, const struct table *t, bool form)
{
	uint32_t empty = 0;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t at = get32(t->at + 4u * i);
		empty += !at;
		if (at && !entry_ok(d, at, form))
			return false;
	}
	return empty > 0; /* else looking for what is not there would not end */
}

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1)) && n <= 1u << 24;
}

/* The stems the terms were made with are those of the library that runs here. */
static bool same_stems(uint32_t want)
{
	static const char *const probes[] = { "h\xe4user", "k\xfcndigungen", "rechnerinnen",
		"gutes" };
	struct sb_stemmer *s = sb_stemmer_new("german", "ISO_8859_1");
	uint32_t h = FNV_START;
	for (size_t i = 0; s && i < sizeof probes / sizeof *probes; i++) {
		struct form f = { .n = (uint8_t)strlen(probes[i]) }, stem;
		memcpy(f.b, probes[i], f.n);
		stem_german(s, &f, &stem);
		h = fnv(i ? fnv(h, " ", 1) : h, stem.b, stem.n);
	}
	bool same = s && h == want;
	sb_stemmer_delete(s);
	return same;
}

enum err words_dict_open(struct str file, struct words_dict **ret, struct err_info *info)
{
	const uint8_t *p = (const uint8_t *)file.ptr;
	if (file.len < HEAD || memcmp(p, MAGIC, 8) != 0)
		return err_set(info, ERR_CORRUPT, "not a dictionary");
	AUTO(words_dict) struct words_dict *d = mem_zalloc(1, sizeof *d);
	if (!d)
		return ERR_NOMEM;
	d->forms.n = get32(p + 8);
	d->terms.n = get32(p + 12);
	d->pool_len = get32(p + 16);
	if (!power_of_two(d->forms.n) || !power_of_two(d->terms.n) ||
		file.len != HEAD + 4ull * d->forms.n + 4ull * d->terms.n + d->pool_len)
		return err_set(info, ERR_CORRUPT, "the dictionary is cut short");
	d->forms.at = p + HEAD;
	d->terms.at = d->forms.at + 4u * d->forms.n;
	d->pool = d->terms.at + 4u * d->terms.n;
	if (!table_ok(d, &d->forms, true) || !table_ok(d, &d->terms, false))
		return err_set(info, ERR_CORRUPT, "the dictionary is damaged");
	if (!same_stems(get32(p + 20)))
		return err_set(info, ERR_UNSUPPORTED, "the dictionary is for another stemmer");
	d->id = (uint64_t)fnv(FNV_START, p, file.len) << 32 | CODE;
	*ret = TAKE(d);
	return OK;
}

struct words_dict *words_dict_free(struct words_dict *d)
{
	mem_free(d);
	return NULL;
}

uint64_t words_dict_id(const struct words_dict *d)
{
	return d->id;
}

/* ---- looking up ---- */

/* What follows the key in the pool, NULL if it is not there. */
static const uint8_t *find(
	const struct words_dict *d, const struct table *t, const uint8_t *key, size_t n)
{
	for (uint32_t i = fnv(FNV_START, key, n) & (t->n - 1);; i = (i + 1) & (t->n - 1)) {
		uint32_t at = get32(t->at + 4u * i);
		if (!at)
			return NULL;
		const uint8_t *entry = d->pool + at;
		if (entry[0] == n && !memcmp(entry + 1, key, n))
			return entry + 1 + n;
	}
}

unsigned dict_form(const struct words_dict *d, const struct form *f, struct form ret[TERMS_MAX])
{
	const uint8_t *p = d ? find(d, &d->forms, f->b, f->n) : NULL;
	unsigned n = p ? *p++ : 0;
	for (unsigned i = 0; i < n; i++) {
		ret[i].n = *p;
		memcpy(ret[i].b, p + 1, *p);
		p += 1 + *p;
	}
	return n;
}

struct term_entry dict_term(const struct words_dict *d, const struct form *term, unsigned mark)
{
	uint8_t key[1 + FORM_MAX];
	if (!d)
		return (struct term_entry){ 0, 0 };
	key[0] = 1;
	memcpy(key + 1, term->b, term->n);
	const uint8_t *p = find(d, &d->terms, key + !mark, term->n + mark);
	return p ? (struct term_entry){ p[0], p[1] } : (struct term_entry){ 0, 0 };
}
