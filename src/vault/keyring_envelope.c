/* DIR/keys.json: reading and writing the envelope (vault/keyring_int.h). */
#include "base/hex.h"
#include "base/json.h"
#include "vault/keyring_int.h"

enum { ENVELOPE_VERSION = 1, ENVELOPE_MAX = 16 * 1024, ENVELOPE_DEPTH = 4 };

const char *const slot_names[SLOT_COUNT_] = {
	[SLOT_FILE] = "file", [SLOT_PASSPHRASE] = "passphrase", [SLOT_TPM] = "tpm",
	[SLOT_RECOVERY] = "recovery",
};
const char *const data_key_names[DATA_KEY_COUNT_] = {
	[DATA_KEY_PAGE] = "page", [DATA_KEY_BLOB] = "blob", [DATA_KEY_NAME] = "name",
	[DATA_KEY_AUDIT] = "audit", [DATA_KEY_TLS] = "tls", [DATA_KEY_CACHE] = "cache",
	[DATA_KEY_CREDENTIAL] = "credential",
};

static void put_bytes(struct jw *w, const char *key, const uint8_t *p, size_t n)
{
	char hex[2 * WRAPPED + 1];
	hex_encode(p, n, hex);
	jw_kstr(w, key, (struct str){ hex, 2 * n });
}

/* Everything but the MAC, in one spelling: what the MAC covers. */
static void put_body(struct jw *w, const struct envelope *e)
{
	jw_ki64(w, "version", ENVELOPE_VERSION);
	jw_kstr(w, "instance", str_from(e->instance));
	jw_ki64(w, "created_ms", e->created_ms);
	jw_key(w, "slots");
	jw_obj(w);
	for (int i = 0; i < SLOT_COUNT_; i++) {
		const struct slot *s = &e->slots[i];
		if (!s->there)
			continue;
		jw_key(w, slot_names[i]);
		jw_obj(w);
		put_bytes(w, "salt", s->salt, sizeof s->salt);
		jw_ki64(w, "strength", s->strength);
		put_bytes(w, "master", s->wrapped, sizeof s->wrapped);
		jw_end(w);
	}
	jw_end(w);
	jw_key(w, "keys");
	jw_obj(w);
	for (int i = 0; i < DATA_KEY_COUNT_; i++)
		put_bytes(w, data_key_names[i], e->keys[i], WRAPPED);
	jw_end(w);
}

enum err envelope_text(const struct envelope *e, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	put_body(&w, e);
	put_bytes(&w, "mac", e->mac, sizeof e->mac);
	jw_end(&w);
	return buf_add_byte(out, '\n');
}

enum err envelope_mac(const struct envelope *e, const uint8_t master[KEY_LEN],
		      uint8_t ret[SHA256_LEN])
{
	AUTO_BUF struct buf body = BUF(ENVELOPE_MAX);
	uint8_t key[KEY_LEN];
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	put_body(&w, e);
	jw_end(&w);
	TRY(body.err);
	key_derive(master, "tresor envelope", key);
	hmac_of(key, body.ptr, body.len, ret);
	wipe(key, sizeof key);
	return OK;
}

static enum err get_bytes(const json_t *obj, const char *key, uint8_t *dst, size_t n,
			  struct err_info *info)
{
	struct str hex = STR_NONE;
	TRY(json_want_str(obj, key, true, &hex, info));
	return hex_decode(hex, dst, n);
}

static enum err get_slots(const json_t *root, struct envelope *e, struct err_info *info)
{
	json_t *slots = NULL;
	TRY(json_want_obj(root, "slots", true, &slots, info));
	size_t found = 0;
	for (int i = 0; i < SLOT_COUNT_; i++) {
		struct slot *s = &e->slots[i];
		json_t *one = NULL;
		int64_t strength = 0;
		TRY(json_want_obj(slots, slot_names[i], false, &one, info));
		if (!one)
			continue;
		found++;
		s->there = true;
		TRY(get_bytes(one, "salt", s->salt, sizeof s->salt, info));
		TRY(json_want_i64(one, "strength", true, 0, 2, &strength, info));
		s->strength = (int)strength;
		TRY(get_bytes(one, "master", s->wrapped, sizeof s->wrapped, info));
		if (json_object_size(one) != 3)
			return ERR_INVALID;
	}
	return found && found == json_object_size(slots) ? OK : ERR_INVALID;
}

static enum err get_keys(const json_t *root, struct envelope *e, struct err_info *info)
{
	json_t *keys = NULL;
	TRY(json_want_obj(root, "keys", true, &keys, info));
	for (int i = 0; i < DATA_KEY_COUNT_; i++)
		TRY(get_bytes(keys, data_key_names[i], e->keys[i], WRAPPED, info));
	return json_object_size(keys) == DATA_KEY_COUNT_ ? OK : ERR_INVALID;
}

static enum err get_all(const json_t *root, struct envelope *e, struct err_info *info)
{
	struct str instance = STR_NONE;
	TRY(json_want_str(root, "instance", true, &instance, info));
	TRY(json_want_i64(root, "created_ms", true, 0, INT64_MAX, &e->created_ms, info));
	if (!id_ok(instance))
		return ERR_INVALID;
	TRY(str_copy(instance, e->instance, sizeof e->instance));
	TRY(get_slots(root, e, info));
	TRY(get_keys(root, e, info));
	TRY(get_bytes(root, "mac", e->mac, sizeof e->mac, info));
	return json_object_size(root) == 6 ? OK : ERR_INVALID;
}

enum err envelope_parse(struct str text, struct envelope *ret, struct err_info *info)
{
	AUTO_JSON json_t *root = NULL;
	struct envelope e = { .created_ms = 0 };
	int64_t version = 0;
	enum err r = json_read(text, ENVELOPE_MAX, ENVELOPE_DEPTH, &root, info);
	if (!r && !json_is_object(root))
		r = ERR_INVALID;
	if (!r)
		r = json_want_i64(root, "version", true, 1, INT64_MAX, &version, info);
	if (!r && version > ENVELOPE_VERSION) {
		(void)err_set(info, ERR_SCHEMA, "the file of keys was written by a newer version");
		err_hint(info, "use the version of Tresor that wrote it, or a newer one");
		return ERR_SCHEMA;
	}
	if (!r)
		r = get_all(root, &e, info);
	if (r == ERR_NOMEM)
		return r;
	if (r) {
		(void)err_set(info, ERR_CORRUPT, "the file of keys is damaged");
		err_hint(info, "put keys.json of a backup of the same instance in its place");
		return ERR_CORRUPT;
	}
	*ret = e;
	return OK;
}

static enum err purpose(const struct envelope *e, const char *kind, const char *name,
			struct buf *out)
{
	return buf_addf(out, "tresor keyring 1 %s %s %s", e->instance, kind, name);
}

enum err envelope_wrap(const struct envelope *e, const uint8_t wrap[KEY_LEN], const char *kind,
		       const char *name, const uint8_t key[KEY_LEN], uint8_t ret[WRAPPED])
{
	AUTO_BUF struct buf ad = BUF(256);
	AUTO_BUF struct buf out = BUF(WRAPPED);
	TRY(purpose(e, kind, name, &ad));
	TRY(seal(wrap, buf_str(&ad), (struct str){ (const char *)key, KEY_LEN }, &out));
	memcpy(ret, out.ptr, WRAPPED);
	return OK;
}

enum err envelope_unwrap(const struct envelope *e, const uint8_t wrap[KEY_LEN], const char *kind,
			 const char *name, const uint8_t wrapped[WRAPPED], uint8_t ret[KEY_LEN])
{
	AUTO_BUF struct buf ad = BUF(256);
	AUTO_SECRET_BUF struct buf out = BUF(KEY_LEN);
	TRY(purpose(e, kind, name, &ad));
	enum err r = unseal(wrap, buf_str(&ad), (struct str){ (const char *)wrapped, WRAPPED },
			    &out);
	if (r)
		return r == ERR_CORRUPT ? ERR_KEY : r;
	memcpy(ret, out.ptr, KEY_LEN);
	return OK;
}
