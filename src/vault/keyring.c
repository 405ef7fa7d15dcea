#include "vault/keyring.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/json.h"
#include "base/time.h"
#include "os/fd.h"
#include "vault/keyring_int.h"

enum { ENVELOPE_MAX = 16 * 1024, PASSPHRASE_MIN = 8 };

static enum err envelope_path(const char *data_dir, char ret[KEYRING_PATH_MAX])
{
	return path_join(ret, KEYRING_PATH_MAX, data_dir, "keys.json");
}

bool keyring_exists(const char *data_dir)
{
	char path[KEYRING_PATH_MAX];
	return envelope_path(data_dir, path) == OK && access(path, F_OK) == 0;
}

enum err keyring_default_file(const char *instance, char *ret, size_t size)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char path[KEYRING_PATH_MAX];
	int n;
	if (config && config[0] == '/')
		n = snprintf(path, sizeof path, "%s/tresor/%s.key", config, instance);
	else if (home && home[0] == '/')
		n = snprintf(path, sizeof path, "%s/.config/tresor/%s.key", home, instance);
	else
		return ERR_NOT_FOUND;
	return n < 0 || (size_t)n >= sizeof path ? ERR_LIMIT : str_copy(str_from(path), ret, size);
}

/* The key file to use: what was asked for, else the default place. */
static enum err key_file_of(const struct keyring *k, const char *asked, char ret[KEYRING_PATH_MAX],
			    struct err_info *info)
{
	if (asked)
		return str_copy(str_from(asked), ret, KEYRING_PATH_MAX);
	enum err e = keyring_default_file(k->env.instance, ret, KEYRING_PATH_MAX);
	if (e == ERR_NOT_FOUND) {
		(void)err_set(info, e, "there is no home directory to keep the key file in");
		err_hint(info, "set HOME or give --key-file");
		return e;
	}
	return e;
}

static const char *credentials_dir(const struct key_source *s)
{
	const char *dir = s->credentials_dir ? s->credentials_dir : getenv("CREDENTIALS_DIRECTORY");
	return dir && dir[0] ? dir : NULL;
}

/* ---- writing ---- */

static enum err store(const struct keyring *k, const struct envelope *e)
{
	AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
	char path[KEYRING_PATH_MAX];
	struct envelope env = *e;
	TRY(envelope_mac(&env, k->master, env.mac));
	TRY(envelope_text(&env, &text));
	TRY(envelope_path(k->dir, path));
	return file_write_atomic(path, buf_str(&text), 0600);
}

/* Puts a slot into the envelope, on disk first. `wrap` NULL removes it. */
static enum err put_slot(struct keyring *k, enum key_slot kind, const struct slot *s,
			 const uint8_t wrap[KEY_LEN])
{
	struct envelope env = k->env;
	env.slots[kind] = wrap ? *s : (struct slot){ .there = false };
	if (wrap) {
		env.slots[kind].there = true;
		TRY(envelope_wrap(&env, wrap, "slot", slot_names[kind], k->master,
				  env.slots[kind].wrapped));
	}
	TRY(store(k, &env));
	k->env = env;
	if (wrap && kind == k->opened_by)
		memcpy(k->wrap, wrap, KEY_LEN);
	return OK;
}

static enum err wrap_keys(struct keyring *k, struct envelope *env, const uint8_t master[KEY_LEN])
{
	for (int i = 0; i < DATA_KEY_COUNT_; i++)
		TRY(envelope_wrap(env, master, "key", data_key_names[i], k->keys[i], env->keys[i]));
	return OK;
}

static enum err passphrase_check(struct str p, struct err_info *info)
{
	if (p.len < PASSPHRASE_MIN || p.len > 1024)
		return err_set(info, ERR_INVALID,
			       "the passphrase has fewer than %d characters, or is too long",
			       (int)PASSPHRASE_MIN);
	return OK;
}

static void slot_new(struct slot *s, int strength)
{
	*s = (struct slot){ .strength = strength };
	random_bytes(s->salt, sizeof s->salt);
}

/* The first slot of a new instance. */
static enum err first_slot(struct keyring *k, const struct key_source *src, struct err_info *info)
{
	struct slot s;
	char path[KEYRING_PATH_MAX];
	const char *dir = credentials_dir(src);
	slot_new(&s, 0);
	if (src->passphrase.ptr) {
		TRY(passphrase_check(src->passphrase, info));
		s.strength = src->strength;
		k->opened_by = SLOT_PASSPHRASE;
		TRY(wrap_from_passphrase(src->passphrase, &s, k->wrap));
		return put_slot(k, SLOT_PASSPHRASE, &s, k->wrap);
	}
	if (dir) {
		enum err e = credential_read(dir, k->wrap, info);
		k->opened_by = SLOT_TPM;
		if (e != ERR_NOT_FOUND)
			return e ? e : put_slot(k, SLOT_TPM, &s, k->wrap);
	}
	if (src->key_file && !src->key_file[0])
		return err_set(info, ERR_INVALID,
			       "a new instance needs a passphrase, a credential or a key file");
	k->opened_by = SLOT_FILE;
	TRY(key_file_of(k, src->key_file, path, info));
	TRY(key_file_make(path, k->dir, k->wrap, info));
	return put_slot(k, SLOT_FILE, &s, k->wrap);
}

static enum err keyring_alloc(const char *data_dir, struct keyring **ret)
{
	struct keyring *k = mem_zalloc(1, sizeof *k);
	if (!k)
		return ERR_NOMEM;
	enum err e = str_copy(str_from(data_dir), k->dir, sizeof k->dir);
	if (e)
		(void)keyring_free(k);
	else
		*ret = k;
	return e;
}

enum err keyring_create(const char *data_dir, const struct key_source *s, struct keyring **ret,
			struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	if (keyring_exists(data_dir))
		return err_set(info, ERR_EXISTS, "there are keys in this data directory already");
	TRY(keyring_alloc(data_dir, &k));
	id_new(k->env.instance);
	k->env.created_ms = time_now_ms();
	random_bytes(k->master, sizeof k->master);
	for (int i = 0; i < DATA_KEY_COUNT_; i++)
		random_bytes(k->keys[i], KEY_LEN);
	TRY(wrap_keys(k, &k->env, k->master));
	TRY(first_slot(k, s, info));
	*ret = TAKE(k);
	return OK;
}

/* ---- opening ---- */

static enum err unwrap_master(struct keyring *k, enum key_slot kind)
{
	TRY(envelope_unwrap(&k->env, k->wrap, "slot", slot_names[kind],
			    k->env.slots[kind].wrapped, k->master));
	k->opened_by = kind;
	return OK;
}

static enum err wrong(struct err_info *info, const char *what, const char *hint)
{
	(void)err_set(info, ERR_KEY, "%s", what);
	err_hint(info, "%s", hint);
	return ERR_KEY;
}

static enum err by_recovery(struct keyring *k, struct str code, struct err_info *info)
{
	uint8_t bytes[20];
	const struct slot *s = &k->env.slots[SLOT_RECOVERY];
	if (!s->there)
		return wrong(info, "this instance has no recovery code",
			     "use the passphrase or the key file");
	TRY(recovery_decode(code, bytes, info));
	wrap_from_recovery(bytes, s, k->wrap);
	wipe(bytes, sizeof bytes);
	enum err e = unwrap_master(k, SLOT_RECOVERY);
	return e == ERR_KEY ? wrong(info, "the recovery code does not open this data",
				    "is the sheet of this instance, and the newest one?")
			    : e;
}

static enum err by_passphrase(struct keyring *k, struct str passphrase, struct err_info *info)
{
	const struct slot *s = &k->env.slots[SLOT_PASSPHRASE];
	if (!s->there)
		return wrong(info, "this instance is not opened by a passphrase",
			     "start it without one, with its key file or credential");
	TRY(wrap_from_passphrase(passphrase, s, k->wrap));
	enum err e = unwrap_master(k, SLOT_PASSPHRASE);
	return e == ERR_KEY ? wrong(info, "the passphrase is wrong",
				    "try again, or open it with the recovery code") : e;
}

static enum err by_file(struct keyring *k, const char *asked, struct err_info *info)
{
	char path[KEYRING_PATH_MAX];
	TRY(key_file_of(k, asked, path, info));
	enum err e = key_file_read(path, k->dir, k->wrap, info);
	if (e == ERR_NOT_FOUND) {
		(void)err_set(info, ERR_KEY, "the key file \"%s\" is missing", path);
		err_hint(info, "put the key file back, or open with the recovery code");
		return ERR_KEY;
	}
	TRY(e);
	e = unwrap_master(k, SLOT_FILE);
	if (e == ERR_KEY) {
		(void)err_set(info, e, "the key file \"%s\" does not open this data", path);
		err_hint(info, "it belongs to another instance, or keys.json is damaged");
		return e;
	}
	return e;
}

static enum err by_credential(struct keyring *k, const char *dir, struct err_info *info)
{
	TRY(credential_read(dir, k->wrap, info));
	enum err e = unwrap_master(k, SLOT_TPM);
	return e == ERR_KEY ? wrong(info, "the credential tresor-master does not open this data",
				    "check LoadCredentialEncrypted of the service") : e;
}

static enum err open_master(struct keyring *k, const struct key_source *s, struct err_info *info)
{
	const struct slot *slots = k->env.slots;
	const char *dir = credentials_dir(s);
	if (s->recovery.ptr)
		return by_recovery(k, s->recovery, info);
	if (s->passphrase.ptr)
		return by_passphrase(k, s->passphrase, info);
	if (slots[SLOT_TPM].there && dir) {
		enum err e = by_credential(k, dir, info);
		if (e != ERR_NOT_FOUND)
			return e;
	}
	if (slots[SLOT_FILE].there && !(s->key_file && !s->key_file[0]))
		return by_file(k, s->key_file, info);
	if (slots[SLOT_PASSPHRASE].there)
		return wrong(info, "this instance needs its passphrase",
			     "start it at a terminal, or give --passphrase-fd");
	return wrong(info, "no key was given that this instance knows",
		     "start it as the service that has its credential, or use the recovery code");
}

static enum err envelope_damaged(struct err_info *info)
{
	(void)err_set(info, ERR_CORRUPT, "the file of keys was changed or is damaged");
	err_hint(info, "put keys.json of a backup of the same instance in its place");
	return ERR_CORRUPT;
}

static enum err open_keys(struct keyring *k, struct err_info *info)
{
	uint8_t mac[SHA256_LEN];
	TRY(envelope_mac(&k->env, k->master, mac));
	enum err e = ct_equal(mac, k->env.mac, sizeof mac) ? OK : ERR_CORRUPT;
	for (int i = 0; i < DATA_KEY_COUNT_ && !e; i++)
		e = envelope_unwrap(&k->env, k->master, "key", data_key_names[i], k->env.keys[i],
				    k->keys[i]);
	return e == ERR_CORRUPT || e == ERR_KEY ? envelope_damaged(info) : e;
}

enum err keyring_open(const char *data_dir, const struct key_source *s, struct keyring **ret,
		      struct err_info *info)
{
	AUTO(keyring) struct keyring *k = NULL;
	AUTO_BUF struct buf text = BUF(ENVELOPE_MAX);
	char path[KEYRING_PATH_MAX];
	TRY(keyring_alloc(data_dir, &k));
	TRY(envelope_path(data_dir, path));
	enum err e = file_read(path, &text);
	if (e == ERR_NOT_FOUND) {
		(void)err_set(info, e, "there is no file of keys in this data directory");
		err_hint(info, "restore it from a backup: without it the data cannot be read");
		return e;
	}
	if (e == ERR_LIMIT)
		return envelope_damaged(info);
	TRY(e);
	TRY(envelope_parse(buf_str(&text), &k->env, info));
	TRY(open_master(k, s, info));
	TRY(open_keys(k, info));
	*ret = TAKE(k);
	return OK;
}

struct keyring *keyring_free(struct keyring *k)
{
	if (k)
		wipe(k, sizeof *k);
	mem_free(k);
	return NULL;
}

/* ---- using ---- */

void keyring_get(const struct keyring *k, enum data_key which, uint8_t ret[KEY_LEN])
{
	if ((size_t)which >= DATA_KEY_COUNT_)
		DIE("no such key");
	memcpy(ret, k->keys[which], KEY_LEN);
}

enum key_slot keyring_opened_by(const struct keyring *k)
{
	return k->opened_by;
}

bool keyring_has(const struct keyring *k, enum key_slot kind)
{
	return (size_t)kind < SLOT_COUNT_ && k->env.slots[kind].there;
}

const char *keyring_instance(const struct keyring *k)
{
	return k->env.instance;
}

enum err keyring_info_json(const struct keyring *k, struct buf *ret)
{
	enum key_slot kind = SLOT_FILE;
	struct jw w;
	while (kind < SLOT_TPM && !k->env.slots[kind].there)
		kind++;
	jw_init(&w, ret);
	jw_obj(&w);
	jw_kstr(&w, "kind", str_from(slot_names[kind]));
	jw_kbool(&w, "recovery", k->env.slots[SLOT_RECOVERY].there);
	jw_end(&w);
	return ret->err;
}

enum err keyring_add_file(struct keyring *k, const char *key_file, struct err_info *info)
{
	uint8_t wrap[KEY_LEN];
	char path[KEYRING_PATH_MAX];
	struct slot s;
	slot_new(&s, 0);
	TRY(key_file_of(k, key_file, path, info));
	TRY(key_file_make(path, k->dir, wrap, info));
	enum err e = put_slot(k, SLOT_FILE, &s, wrap);
	wipe(wrap, sizeof wrap);
	return e;
}

enum err keyring_add_passphrase(struct keyring *k, struct str passphrase, int strength,
				struct err_info *info)
{
	uint8_t wrap[KEY_LEN];
	struct slot s;
	slot_new(&s, strength);
	TRY(passphrase_check(passphrase, info));
	TRY(wrap_from_passphrase(passphrase, &s, wrap));
	enum err e = put_slot(k, SLOT_PASSPHRASE, &s, wrap);
	wipe(wrap, sizeof wrap);
	return e;
}

enum err keyring_add_recovery(struct keyring *k, char ret_code[RECOVERY_CODE_LEN + 1],
			      struct err_info *info)
{
	uint8_t code[20], wrap[KEY_LEN];
	struct slot s;
	slot_new(&s, 0);
	random_bytes(code, sizeof code);
	wrap_from_recovery(code, &s, wrap);
	enum err e = put_slot(k, SLOT_RECOVERY, &s, wrap);
	if (!e)
		recovery_encode(code, ret_code);
	wipe(code, sizeof code);
	wipe(wrap, sizeof wrap);
	return e;
}

enum err keyring_seal_tpm(struct keyring *k, const char *out_path, const char *tool,
			  struct err_info *info)
{
	uint8_t wrap[KEY_LEN];
	struct slot s;
	slot_new(&s, 0);
	TRY(credential_seal(out_path, tool, wrap, info));
	enum err e = put_slot(k, SLOT_TPM, &s, wrap);
	wipe(wrap, sizeof wrap);
	return e;
}

enum err keyring_remove(struct keyring *k, enum key_slot kind, struct err_info *info)
{
	unsigned others = 0;
	if (!keyring_has(k, kind))
		return ERR_NOT_FOUND;
	for (enum key_slot i = SLOT_FILE; i < SLOT_RECOVERY; i++)
		others += i != kind && k->env.slots[i].there;
	if (kind != SLOT_RECOVERY && others == 0) {
		(void)err_set(info, ERR_CONFLICT, "nothing but the recovery code would be left");
		err_hint(info, "add another way to open it first");
		return ERR_CONFLICT;
	}
	return put_slot(k, kind, NULL, NULL);
}

enum err keyring_rotate_master(struct keyring *k, struct err_info *info)
{
	uint8_t master[KEY_LEN], old[KEY_LEN];
	struct envelope env = k->env;
	enum key_slot kind = k->opened_by;
	if (!k->env.slots[kind].there)
		return err_set(info, ERR_CONFLICT, "the slot that opened the keys was removed");
	random_bytes(master, sizeof master);
	for (int i = 0; i < SLOT_COUNT_; i++)
		if (i != (int)kind)
			env.slots[i] = (struct slot){ .there = false };
	TRY(envelope_wrap(&env, k->wrap, "slot", slot_names[kind], master,
			  env.slots[kind].wrapped));
	TRY(wrap_keys(k, &env, master));
	memcpy(old, k->master, sizeof old);
	memcpy(k->master, master, sizeof master);
	enum err e = store(k, &env);
	if (e)
		memcpy(k->master, old, sizeof old);
	else
		k->env = env;
	wipe(master, sizeof master);
	wipe(old, sizeof old);
	return e;
}

static void hmac_key(const struct keyring *k, uint8_t ret[KEY_LEN])
{
	key_derive(k->keys[DATA_KEY_AUDIT], "sign", ret);
}

void keyring_sign(const struct keyring *k, struct str bytes, uint8_t ret[SHA256_LEN])
{
	uint8_t key[KEY_LEN];
	hmac_key(k, key);
	hmac_of(key, bytes.ptr, bytes.len, ret);
	wipe(key, sizeof key);
}

bool keyring_sign_ok(const struct keyring *k, struct str bytes, const uint8_t mac[SHA256_LEN])
{
	uint8_t mine[SHA256_LEN];
	keyring_sign(k, bytes, mine);
	return ct_equal(mine, mac, sizeof mine);
}

void keyring_bundle_sign(const struct keyring *k, struct str bytes,
			 uint8_t ret_key[SIGN_KEY_LEN], uint8_t ret[SIGN_LEN])
{
	uint8_t seed[KEY_LEN];
	key_derive(k->keys[DATA_KEY_AUDIT], "bundles", seed);
	sign_key(seed, ret_key);
	sign_make(seed, bytes, ret);
	wipe(seed, sizeof seed);
}
