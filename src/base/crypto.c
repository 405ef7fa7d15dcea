#include "base/crypto.h"

#include <assert.h>

#include <sodium.h>

#include "base/fault.h"
#include "base/random.h"

static_assert(KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key length");
static_assert(SEAL_EXTRA == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES +
				    crypto_aead_xchacha20poly1305_ietf_ABYTES, "seal overhead");
static_assert(PASSWORD_HASH_MAX >= crypto_pwhash_STRBYTES, "room for the PHC string");

enum { BLOCK = 64, NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };

enum err crypto_init(void) { return sodium_init() < 0 ? ERR_INTERNAL : OK; }
bool ct_equal(const void *a, const void *b, size_t n) { return sodium_memcmp(a, b, n) == 0; }
void wipe(void *p, size_t n) { sodium_memzero(p, n); }

void sha256_init(struct sha256 *h) { nettle_sha256_init(&h->ctx); }
void sha256_add(struct sha256 *h, const void *p, size_t n) { nettle_sha256_update(&h->ctx, n, p); }
void sha256_end(struct sha256 *h, uint8_t out[SHA256_LEN])
{
	nettle_sha256_digest(&h->ctx, SHA256_LEN, out);
}

void sha256_of(const void *p, size_t n, uint8_t out[SHA256_LEN])
{
	struct sha256 h;
	sha256_init(&h);
	sha256_add(&h, p, n);
	sha256_end(&h, out);
}

void hmac_init(struct hmac *h, const uint8_t *key, size_t key_len)
{
	uint8_t block[BLOCK] = { 0 };
	if (key_len > BLOCK)
		sha256_of(key, key_len, block);
	else if (key_len)
		memcpy(block, key, key_len);
	for (size_t i = 0; i < BLOCK; i++) {
		h->opad[i] = block[i] ^ 0x5c;
		block[i] ^= 0x36;
	}
	sha256_init(&h->inner);
	sha256_add(&h->inner, block, BLOCK);
	wipe(block, sizeof block);
}

void hmac_add(struct hmac *h, const void *p, size_t n) { sha256_add(&h->inner, p, n); }

void hmac_end(struct hmac *h, uint8_t out[SHA256_LEN])
{
	uint8_t inner[SHA256_LEN];
	sha256_end(&h->inner, inner);
	sha256_init(&h->inner);
	sha256_add(&h->inner, h->opad, BLOCK);
	sha256_add(&h->inner, inner, sizeof inner);
	sha256_end(&h->inner, out);
	wipe(h, sizeof *h);
	wipe(inner, sizeof inner);
}

void hmac_of(const uint8_t key[KEY_LEN], const void *p, size_t n, uint8_t out[SHA256_LEN])
{
	struct hmac h;
	hmac_init(&h, key, KEY_LEN);
	hmac_add(&h, p, n);
	hmac_end(&h, out);
}

void key_derive(const uint8_t key[KEY_LEN], const char *purpose, uint8_t out[KEY_LEN])
{
	if (crypto_generichash(out, KEY_LEN, (const uint8_t *)purpose, strlen(purpose), key,
			       KEY_LEN) != 0)
		DIE("blake2b refused constant lengths");
}

enum err seal(const uint8_t key[KEY_LEN], struct str ad, struct str plain, struct buf *out)
{
	if (plain.len > SIZE_MAX - SEAL_EXTRA)
		return ERR_LIMIT;
	TRY(buf_reserve(out, plain.len + SEAL_EXTRA));
	uint8_t *nonce = (uint8_t *)out->ptr + out->len;
	random_bytes(nonce, NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE, NULL, (const uint8_t *)plain.ptr,
						   plain.len, (const uint8_t *)ad.ptr, ad.len, NULL,
						   nonce, key);
	out->len += plain.len + SEAL_EXTRA;
	return OK;
}

enum err unseal(const uint8_t key[KEY_LEN], struct str ad, struct str sealed, struct buf *out)
{
	if (sealed.len < SEAL_EXTRA)
		return ERR_CORRUPT;
	/* libsodium wants somewhere to write even when the text is empty */
	TRY(buf_reserve(out, sealed.len - SEAL_EXTRA));
	uint8_t none, *dst = out->ptr ? (uint8_t *)out->ptr + out->len : &none;
	const uint8_t *nonce = (const uint8_t *)sealed.ptr;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(dst, NULL, NULL, nonce + NONCE,
						       sealed.len - NONCE, (const uint8_t *)ad.ptr,
						       ad.len, nonce, key) != 0)
		return ERR_CORRUPT;
	out->len += sealed.len - SEAL_EXTRA;
	return OK;
}

static_assert(SIGN_KEY_LEN == crypto_sign_PUBLICKEYBYTES && SIGN_LEN == crypto_sign_BYTES &&
		      KEY_LEN == crypto_sign_SEEDBYTES,
	"Ed25519's lengths");

void sign_key(const uint8_t seed[KEY_LEN], uint8_t ret_public[SIGN_KEY_LEN])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
	crypto_sign_seed_keypair(ret_public, secret, seed);
	wipe(secret, sizeof secret);
}

void sign_make(const uint8_t seed[KEY_LEN], struct str bytes, uint8_t ret[SIGN_LEN])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES], key[SIGN_KEY_LEN];
	crypto_sign_seed_keypair(key, secret, seed);
	crypto_sign_detached(ret, NULL, (const uint8_t *)bytes.ptr, bytes.len, secret);
	wipe(secret, sizeof secret);
}

bool sign_ok(const uint8_t public_key[SIGN_KEY_LEN], struct str bytes, const uint8_t sig[SIGN_LEN])
{
	return crypto_sign_verify_detached(
		       sig, (const uint8_t *)bytes.ptr, bytes.len, public_key) == 0;
}

/* Passes and memory by password_strength. 1 is the second choice of RFC 9106 section 4 (with
 * one lane, which is what libsodium has), well over OWASP's 19 MiB and 2 passes; 2 runs once a
 * start. */
static const struct {
	unsigned long long passes;
	size_t memory_bytes;
} strengths[] = {
	{ 1, 8u << 20 },
	{ 3, 64u << 20 },
	{ 3, 256u << 20 },
};

static size_t strength_index(int strength)
{
	if (strength < 0 || strength > 2)
		DIE("password strength");
	return (size_t)strength;
}

enum err password_hash(struct str password, int strength, char ret[PASSWORD_HASH_MAX])
{
	size_t s = strength_index(strength);
	if (fault_hit(FAULT_ALLOC))
		return ERR_NOMEM;
	if (crypto_pwhash_str_alg(ret, password.ptr ? password.ptr : "", password.len,
				  strengths[s].passes, strengths[s].memory_bytes,
				  crypto_pwhash_ALG_ARGON2ID13) != 0)
		return ERR_NOMEM;
	return OK;
}

bool password_ok(struct str password, const char *hash)
{
	return crypto_pwhash_str_verify(hash, password.ptr ? password.ptr : "", password.len) == 0;
}

enum err password_key(struct str password, const uint8_t salt[16], int strength,
		      uint8_t ret[KEY_LEN])
{
	static_assert(crypto_pwhash_SALTBYTES == 16, "salt length");
	size_t s = strength_index(strength);
	if (fault_hit(FAULT_ALLOC))
		return ERR_NOMEM;
	if (crypto_pwhash(ret, KEY_LEN, password.ptr ? password.ptr : "", password.len, salt,
			  strengths[s].passes, strengths[s].memory_bytes,
			  crypto_pwhash_ALG_ARGON2ID13) != 0)
		return ERR_NOMEM;
	return OK;
}
