/* vault/keyring.h - the keys of an instance and the envelope that holds them (DIR/keys.json).
 *
 * A random master key wraps one key per purpose; each slot wraps the master with something that is
 * not in the data directory: a key file (${XDG_CONFIG_HOME:-~/.config}/tresor/INSTANCE.key), a
 * passphrase (Argon2id), a key that systemd-creds seals to the TPM, a recovery code on paper. The
 * whole envelope carries a MAC under the master: a swapped or edited slot or key is found.
 * The keeper only; never used by a role that reads foreign bytes. Never writes when it refuses. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/crypto.h"

enum key_slot { SLOT_FILE, SLOT_PASSPHRASE, SLOT_TPM, SLOT_RECOVERY, SLOT_COUNT_ };
enum data_key {
	DATA_KEY_PAGE, DATA_KEY_BLOB, DATA_KEY_NAME, DATA_KEY_AUDIT, DATA_KEY_TLS, DATA_KEY_CACHE,
	DATA_KEY_CREDENTIAL, DATA_KEY_COUNT_
};
enum { RECOVERY_CODE_LEN = 8 * 5 + 7 }; /* "ABCD1-.." : 8 groups of 4 + 1 check character */

/* Where a key may come from. All optional; what is not given is not tried. */
struct key_source {
	const char *key_file;        /* NULL: the default place; "" : no key file */
	struct str passphrase;       /* STR_NONE: none given */
	struct str recovery;         /* STR_NONE: none given; blanks, hyphens, case do not matter */
	const char *credentials_dir; /* NULL: $CREDENTIALS_DIRECTORY (systemd) */
	int strength;                /* of Argon2id; 0 in tests, else 2 */
};
struct keyring;
bool keyring_exists(const char *data_dir);
/* A new instance: makes all keys, and one slot: passphrase if given, else the credential
 * "tresor-master" (any 32 bytes or more) if the credentials directory has it, else a key file.
 * Errors: ERR_EXISTS, ERR_IO .., ERR_INVALID (the key file would lie inside the data directory). */
enum err keyring_create(const char *data_dir, const struct key_source *s, struct keyring **ret,
			struct err_info *info);
/* Tries the slots: recovery, passphrase, credential, key file, as far as given.
 * Errors: ERR_KEY (none opens it: wrong or missing; info says what to do), ERR_CORRUPT (damaged
 * envelope), ERR_SCHEMA (newer), ERR_DENIED (key file readable by others), ERR_NOT_FOUND. */
enum err keyring_open(const char *data_dir, const struct key_source *s, struct keyring **ret,
		      struct err_info *info);
struct keyring *keyring_free(struct keyring *k); /* wipes */
DEFINE_AUTO(keyring)

void keyring_get(const struct keyring *k, enum data_key which, uint8_t ret[KEY_LEN]);
enum key_slot keyring_opened_by(const struct keyring *k);
bool keyring_has(const struct keyring *k, enum key_slot kind);
const char *keyring_instance(const struct keyring *k);
/* {"kind":"file|passphrase|tpm","recovery":bool}: kind is the weakest slot that is not recovery. */
enum err keyring_info_json(const struct keyring *k, struct buf *ret);

/* Slots: at most one of each kind; adding replaces the one there was, durably, before it returns.
 * A key file that is there already is used as it is, never overwritten; key_file NULL: the default
 * place. Errors: ERR_IO .., ERR_INVALID, ERR_DENIED. */
enum err keyring_add_file(struct keyring *k, const char *key_file, struct err_info *info);
enum err keyring_add_passphrase(struct keyring *k, struct str passphrase, int strength,
				struct err_info *info);
/* Makes the code that is shown once. */
enum err keyring_add_recovery(struct keyring *k, char ret_code[RECOVERY_CODE_LEN + 1],
			      struct err_info *info);
/* Seals a new key with `systemd-creds encrypt --with-key=tpm2` into out_path, for
 * LoadCredentialEncrypted=tresor-master. `tool` NULL: systemd-creds of the PATH.
 * Errors: ERR_UNSUPPORTED (no systemd-creds, no TPM). */
enum err keyring_seal_tpm(struct keyring *k, const char *out_path, const char *tool,
			  struct err_info *info);
/* Errors: ERR_CONFLICT (it is the last one, or only recovery would be left), ERR_NOT_FOUND. */
enum err keyring_remove(struct keyring *k, enum key_slot kind, struct err_info *info);
/* A new master key: rewraps the data keys, keeps only the slot that opened it (the others would
 * need their secrets: add them again; the old recovery code is void). Errors: ERR_IO .. */
enum err keyring_rotate_master(struct keyring *k, struct err_info *info);

/* HMAC for what leaves the data directory (backup manifests): its own branch of the audit key. */
void keyring_sign(const struct keyring *k, struct str bytes, uint8_t ret[SHA256_LEN]);
bool keyring_sign_ok(const struct keyring *k, struct str bytes, const uint8_t mac[SHA256_LEN]);

/* Ed25519 for bundles of models (models/bundle.h): the key is its own branch of the audit key, so
 * it stays the same through backups and new master keys. */
void keyring_bundle_sign(const struct keyring *k, struct str bytes,
			 uint8_t ret_key[SIGN_KEY_LEN], uint8_t ret[SIGN_LEN]);

/* Pure: the code's 20 bytes. Errors: ERR_INVALID (info names the group that is mistyped). */
enum err recovery_decode(struct str code, uint8_t ret[20], struct err_info *info);
void recovery_encode(const uint8_t bytes[20], char ret[RECOVERY_CODE_LEN + 1]);
/* ${XDG_CONFIG_HOME:-~/.config}/tresor/INSTANCE.key. Errors: ERR_NOT_FOUND (no home), ERR_LIMIT. */
enum err keyring_default_file(const char *instance, char *ret, size_t size);
