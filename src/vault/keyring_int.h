/* vault/keyring_int.h - for keyring.c, keyring_envelope.c and keyring_source.c only. */
#pragma once

#include "base/random.h"
#include "vault/keyring.h"

enum { KEYRING_PATH_MAX = 4096, KEYRING_SALT = 16, WRAPPED = KEY_LEN + SEAL_EXTRA };

struct slot {
	bool there;
	uint8_t salt[KEYRING_SALT];
	int strength;                    /* of Argon2id, SLOT_PASSPHRASE */
	uint8_t wrapped[WRAPPED];        /* the master */
};
/* What DIR/keys.json says. */
struct envelope {
	char instance[ID_LEN + 1];
	int64_t created_ms;
	struct slot slots[SLOT_COUNT_];
	uint8_t keys[DATA_KEY_COUNT_][WRAPPED];
	uint8_t mac[SHA256_LEN];
};
struct keyring {
	char dir[KEYRING_PATH_MAX];
	struct envelope env;
	enum key_slot opened_by;
	uint8_t wrap[KEY_LEN];           /* what opened_by wraps with: for a new master */
	uint8_t master[KEY_LEN];
	uint8_t keys[DATA_KEY_COUNT_][KEY_LEN];
};
extern const char *const slot_names[SLOT_COUNT_];
extern const char *const data_key_names[DATA_KEY_COUNT_];

/* ---- envelope: pure ---- */
/* Errors: ERR_CORRUPT, ERR_SCHEMA, ERR_NOMEM. */
enum err envelope_parse(struct str text, struct envelope *ret, struct err_info *info);
enum err envelope_text(const struct envelope *e, struct buf *out);
enum err envelope_mac(const struct envelope *e, const uint8_t master[KEY_LEN],
		      uint8_t ret[SHA256_LEN]);
/* Wraps and unwraps KEY_LEN bytes; `kind` and `name` are authenticated with the instance's id.
 * Errors: ERR_KEY (wrong key, or other bytes), ERR_NOMEM. */
enum err envelope_wrap(const struct envelope *e, const uint8_t wrap[KEY_LEN], const char *kind,
		       const char *name, const uint8_t key[KEY_LEN], uint8_t ret[WRAPPED]);
enum err envelope_unwrap(const struct envelope *e, const uint8_t wrap[KEY_LEN], const char *kind,
			 const char *name, const uint8_t wrapped[WRAPPED], uint8_t ret[KEY_LEN]);

/* ---- sources: what wraps the master ---- */
void wrap_from_bytes(struct str secret, enum key_slot kind, uint8_t ret[KEY_LEN]);
enum err wrap_from_passphrase(struct str passphrase, const struct slot *s, uint8_t ret[KEY_LEN]);
void wrap_from_recovery(const uint8_t code[20], const struct slot *s, uint8_t ret[KEY_LEN]);
/* Reads a key file. Errors: ERR_NOT_FOUND, ERR_DENIED (others may read it), ERR_INVALID (inside the
 * data directory), ERR_CORRUPT (not a key file). */
enum err key_file_read(const char *path, const char *data_dir, uint8_t ret_wrap[KEY_LEN],
		       struct err_info *info);
/* Reads it or, when missing, makes it. */
enum err key_file_make(const char *path, const char *data_dir, uint8_t ret_wrap[KEY_LEN],
		       struct err_info *info);
/* DIR/tresor-master of systemd's credentials. Errors: ERR_NOT_FOUND, ERR_CORRUPT (too short). */
enum err credential_read(const char *credentials_dir, uint8_t ret_wrap[KEY_LEN],
			 struct err_info *info);
/* Seals a fresh secret into out_path with systemd-creds and checks that it opens again. */
enum err credential_seal(const char *out_path, const char *tool, uint8_t ret_wrap[KEY_LEN],
			 struct err_info *info);
