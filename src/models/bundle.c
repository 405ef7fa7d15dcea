/* The head of a bundle: reading is pure, and of bytes that nobody vouched for. */
#include "models/bundle.h"

#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "base/hex.h"
#include "models/manifest.h"

static const char MAGIC[16] = "TRESOR-BUNDLE 1\n";
enum { VERSION_AT = 14, SUM_BYTES = 20, TEXT_MAX = 255 };

void bundle_done(struct bundle *b)
{
	json_decref(b->doc);
	mem_free(b->blob);
	mem_free(b->model);
	*b = (struct bundle){ 0 };
}

void bundle_fingerprint(const uint8_t key[SIGN_KEY_LEN], char ret[BUNDLE_FINGERPRINT_LEN + 1])
{
	uint8_t sum[SHA256_LEN];
	char hex[2 * SUM_BYTES + 1];
	sha256_of(key, SIGN_KEY_LEN, sum);
	hex_encode(sum, SUM_BYTES, hex);
	for (size_t i = 0, at = 0; i < 2 * SUM_BYTES; i++) {
		if (i && i % 4 == 0)
			ret[at++] = '-';
		ret[at++] = hex[i];
	}
	ret[BUNDLE_FINGERPRINT_LEN] = '\0';
}

bool bundle_fingerprint_ok(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		bool digit = (s.ptr[i] >= '0' && s.ptr[i] <= '9') ||
			     (s.ptr[i] >= 'a' && s.ptr[i] <= 'f');
		if (i % 5 == 4 ? s.ptr[i] != '-' : !digit)
			return false;
	}
	return s.len == BUNDLE_FINGERPRINT_LEN;
}

/* ---- reading ---- */

static uint32_t get32(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

enum err bundle_head_size(struct str prefix, size_t *ret, struct err_info *info)
{
	if (prefix.len < BUNDLE_PREFIX || memcmp(prefix.ptr, MAGIC, VERSION_AT) != 0)
		return err_set(info, ERR_INVALID, "this is not a bundle of models");
	if (memcmp(prefix.ptr, MAGIC, sizeof MAGIC) != 0)
		return err_set(info, ERR_UNSUPPORTED,
			"the bundle has a format that this version does not know");
	uint32_t n = get32(prefix.ptr + sizeof MAGIC);
	if (!n || n > BUNDLE_LIST_MAX)
		return err_set(info, ERR_TOO_LARGE, "the bundle's list is empty or too large");
	*ret = BUNDLE_PREFIX + (size_t)n + SIGN_KEY_LEN + SIGN_LEN;
	return OK;
}

static enum err check_signature(struct str head, struct bundle *b, struct err_info *info)
{
	uint8_t hash[SHA256_LEN];
	size_t signed_bytes = head.len - SIGN_KEY_LEN - SIGN_LEN;
	const uint8_t *key = (const uint8_t *)head.ptr + signed_bytes;
	sha256_of(head.ptr, signed_bytes, hash);
	if (!sign_ok(key, (struct str){ (const char *)hash, sizeof hash }, key + SIGN_KEY_LEN))
		return err_set(info, ERR_INVALID,
			"the bundle's signature is wrong: it was changed or damaged on its way");
	bundle_fingerprint(key, b->fingerprint);
	return OK;
}

static enum err find_blob(struct bundle *b, const char *digest, size_t *ret)
{
	for (size_t i = 0; i < b->n_blobs; i++) {
		if (!strcmp(b->blob[i].digest, digest)) {
			*ret = i;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

static enum err read_blobs(const json_t *list, struct bundle *b, struct err_info *info)
{
	size_t i, twice;
	const json_t *o;
	if (!json_array_size(list) || json_array_size(list) > BUNDLE_BLOBS_MAX)
		return err_set(info, ERR_LIMIT, "the bundle has no parts, or too many");
	b->blob = mem_zalloc(json_array_size(list), sizeof *b->blob);
	if (!b->blob)
		return ERR_NOMEM;
	json_array_foreach(list, i, o)
	{
		struct bundle_blob *to = &b->blob[b->n_blobs];
		struct str digest = STR_NONE;
		int64_t size = 0;
		TRY(json_want_str(o, "digest", true, &digest, info));
		TRY(json_want_i64(o, "size", true, 0, INT64_C(1) << 50, &size, info));
		if (!digest_ok(digest) || str_copy(digest, to->digest, sizeof to->digest))
			return err_set(info, ERR_INVALID, "the bundle has a digest that is none");
		if (!find_blob(b, to->digest, &twice))
			return err_set(info, ERR_INVALID, "the bundle has a part twice");
		to->size = (uint64_t)size;
		b->bytes += to->size; /* 1024 of at most 2^50 fit */
		b->n_blobs++;
	}
	return OK;
}

/* The list of parts must be what the manifest says, so that no lie is found only after hours. */
static enum err check_manifest(
	struct bundle *b, struct bundle_model *m, bool *used, struct err_info *info)
{
	AUTO_MEM struct manifest *parts = mem_zalloc(1, sizeof *parts);
	uint8_t sum[SHA256_LEN];
	size_t at;
	if (!parts)
		return ERR_NOMEM;
	TRY(manifest_read(m->manifest, parts, info));
	for (size_t i = 0; i < parts->n; i++) {
		if (find_blob(b, parts->layer[i].digest, &at))
			return err_set(info, ERR_INVALID, "the bundle lacks a part of a model");
		if (b->blob[at].size != parts->layer[i].size)
			return err_set(info, ERR_INVALID,
				"the bundle and a model in it say different sizes of a part");
		used[at] = true;
	}
	sha256_of(m->manifest.ptr, m->manifest.len, sum);
	hex_encode(sum, sizeof sum, m->digest);
	return OK;
}

static enum err read_model(
	const json_t *o, struct bundle *b, bool *used, struct err_info *info)
{
	struct bundle_model m = { .licence = STR_NONE };
	struct str name = STR_NONE;
	TRY(json_want_str(o, "name", true, &name, info));
	TRY(json_want_str(o, "manifest", true, &m.manifest, info));
	TRY(json_want_str(o, "licence", false, &m.licence, info));
	TRY(json_want_str(o, "origin", false, &m.origin, info));
	TRY(name_parse(name, &m.name, info));
	if (m.name.source == NAME_FILE || m.name.version[0])
		return err_set(info, ERR_INVALID, "the bundle has a name that no model can have");
	if (m.licence.len > TEXT_MAX || m.origin.len > TEXT_MAX ||
		str_has_control(m.licence) || str_has_control(m.origin))
		return err_set(info, ERR_INVALID, "the bundle has a text that is not usable");
	for (size_t i = 0; i < b->n_models; i++)
		if (name_eq(&b->model[i].name, &m.name))
			return err_set(info, ERR_INVALID, "the bundle has a name twice");
	TRY(check_manifest(b, &m, used, info));
	b->model[b->n_models++] = m;
	return OK;
}

static enum err read_models(const json_t *list, struct bundle *b, struct err_info *info)
{
	size_t i, n = json_array_size(list);
	const json_t *o;
	AUTO_MEM bool *used = mem_zalloc(b->n_blobs, sizeof *used);
	if (!n || n > BUNDLE_MODELS_MAX)
		return err_set(info, ERR_LIMIT, "the bundle has no models, or too many");
	b->model = mem_zalloc(n, sizeof *b->model);
	if (!used || !b->model)
		return ERR_NOMEM;
	json_array_foreach(list, i, o) TRY(read_model(o, b, used, info));
	for (i = 0; i < b->n_blobs; i++)
		if (!used[i])
			return err_set(info, ERR_INVALID,
				"the bundle has a part that belongs to no model in it");
	return OK;
}

static enum err read_list(struct str text, struct bundle *b, struct err_info *info)
{
	json_t *blobs = NULL, *models = NULL;
	int64_t format = 0;
	TRY(json_read(text, BUNDLE_LIST_MAX, 8, &b->doc, info));
	if (!json_is_object(b->doc))
		return err_set(info, ERR_INVALID, "the bundle's list is not an object");
	TRY(json_want_i64(b->doc, "format", true, 1, 1, &format, info));
	TRY(json_want_i64(b->doc, "created_ms", true, 0, INT64_MAX, &b->created_ms, info));
	TRY(json_want_arr(b->doc, "blobs", true, &blobs, info));
	TRY(json_want_arr(b->doc, "models", true, &models, info));
	TRY(read_blobs(blobs, b, info));
	return read_models(models, b, info);
}

enum err bundle_read(struct str head, struct bundle *ret, struct err_info *info)
{
	AUTO_BUNDLE struct bundle b = { 0 };
	size_t size;
	TRY(bundle_head_size(head, &size, info));
	if (size != head.len)
		return err_set(info, ERR_INVALID, "the bundle is cut short");
	TRY(check_signature(head, &b, info));
	struct str list = str_sub(
		head, BUNDLE_PREFIX, size - BUNDLE_PREFIX - SIGN_KEY_LEN - SIGN_LEN);
	TRY(read_list(list, &b, info));
	*ret = b;
	b = (struct bundle){ 0 };
	return OK;
}

/* ---- writing ---- */

enum err bundle_head_write(struct str list, bundle_sign_fn sign, void *arg, struct buf *out)
{
	uint8_t hash[SHA256_LEN], key[SIGN_KEY_LEN], signature[SIGN_LEN];
	if (!list.len || list.len > BUNDLE_LIST_MAX)
		return ERR_LIMIT;
	TRY(buf_add(out, (struct str){ MAGIC, sizeof MAGIC }));
	for (int i = 0; i < 4; i++)
		TRY(buf_add_byte(out, (char)(list.len >> (8 * i))));
	TRY(buf_add(out, list));
	sha256_of(out->ptr, out->len, hash);
	TRY(sign(arg, hash, key, signature));
	TRY(buf_add(out, (struct str){ (const char *)key, sizeof key }));
	return buf_add(out, (struct str){ (const char *)signature, sizeof signature });
}
