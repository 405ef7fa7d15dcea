/* base/crypto.h - the few primitives the house uses, over libsodium and nettle.
 *
 * SHA-256: FIPS 180-4 (nettle: uses SHA-NI). HMAC-SHA256: RFC 2104. Sealing:
 * XChaCha20-Poly1305-IETF with a random nonce in front. Passwords: Argon2id (RFC 9106). */
#pragma once

#include <nettle/sha2.h>
#undef sha256_init /* nettle renames by macro; ours is a name of its own */

#include "base/buf.h"

enum { SHA256_LEN = 32, KEY_LEN = 32, SEAL_EXTRA = 24 + 16, PASSWORD_HASH_MAX = 128 };

struct sha256 { struct sha256_ctx ctx; };
void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *p, size_t n);
void sha256_end(struct sha256 *h, uint8_t out[SHA256_LEN]);
void sha256_of(const void *p, size_t n, uint8_t out[SHA256_LEN]);

struct hmac { struct sha256 inner; uint8_t opad[64]; };
void hmac_init(struct hmac *h, const uint8_t *key, size_t key_len);
void hmac_add(struct hmac *h, const void *p, size_t n);
void hmac_end(struct hmac *h, uint8_t out[SHA256_LEN]); /* wipes h */
void hmac_of(const uint8_t key[KEY_LEN], const void *p, size_t n, uint8_t out[SHA256_LEN]);
/* A key for one purpose from another key: BLAKE2b keyed, `purpose` is a short constant. */
void key_derive(const uint8_t key[KEY_LEN], const char *purpose, uint8_t out[KEY_LEN]);

/* out gets nonce || ciphertext || tag. `ad` is authenticated, not stored. Errors: buf's. */
enum err seal(const uint8_t key[KEY_LEN], struct str ad, struct str plain, struct buf *out);
/* Errors: ERR_CORRUPT (wrong key, changed bytes, too short), buf's. Appends the plain text. */
enum err unseal(const uint8_t key[KEY_LEN], struct str ad, struct str sealed, struct buf *out);

/* Ed25519 (RFC 8032). The key pair comes from a 32-byte seed, which is the secret. */
enum { SIGN_KEY_LEN = 32, SIGN_LEN = 64 };
void sign_key(const uint8_t seed[KEY_LEN], uint8_t ret_public[SIGN_KEY_LEN]);
void sign_make(const uint8_t seed[KEY_LEN], struct str bytes, uint8_t ret[SIGN_LEN]);
bool sign_ok(const uint8_t public_key[SIGN_KEY_LEN], struct str bytes, const uint8_t sig[SIGN_LEN]);

bool ct_equal(const void *a, const void *b, size_t n);
void wipe(void *p, size_t n);

/* Argon2id in PHC form. `password_strength` picks memory: 0 = tests, 1 = log-in, 2 = master key.
 * Errors: ERR_NOMEM. */
enum err password_hash(struct str password, int strength, char ret[PASSWORD_HASH_MAX]);
bool password_ok(struct str password, const char *hash);
/* A 32-byte key from a passphrase and a 16-byte salt (Argon2id, master-key strength). */
enum err password_key(struct str password, const uint8_t salt[16], int strength,
		      uint8_t ret[KEY_LEN]);
enum err crypto_init(void); /* once per process before anything above */
