#include "base/crypto.h"

#include "base/hex.h"
#include "tests/test.h"

static void check_hex(const uint8_t *got, size_t n, const char *want)
{
	char text[2 * 256 + 1];
	hex_encode(got, n, text);
	CHECK_EQ_Z(text, want);
}

static void from_hex(const char *hex, struct buf *out)
{
	size_t n = strlen(hex) / 2;
	CHECK_OK(buf_reserve(out, n));
	CHECK_OK(hex_decode(str_from(hex), (uint8_t *)out->ptr + out->len, n));
	out->len += n;
}

/* NIST, FIPS 180-4 example values */
TEST(sha256_known_answers)
{
	uint8_t d[SHA256_LEN];
	struct sha256 h;
	sha256_of("abc", 3, d);
	check_hex(d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_of("", 0, d);
	check_hex(d, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, d);
	check_hex(d, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	sha256_init(&h);
	for (int i = 0; i < 1000000; i++)
		sha256_add(&h, "a", 1);
	sha256_end(&h, d);
	check_hex(d, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4231, test cases 1, 2, 3, 6 */
TEST(hmac_known_answers)
{
	uint8_t d[SHA256_LEN], key[131];
	struct hmac h;
	memset(key, 0x0b, 20);
	hmac_init(&h, key, 20);
	hmac_add(&h, "Hi ", 3);
	hmac_add(&h, "There", 5);
	hmac_end(&h, d);
	check_hex(d, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hmac_init(&h, (const uint8_t *)"Jefe", 4);
	hmac_add(&h, "what do ya want for nothing?", 28);
	hmac_end(&h, d);
	check_hex(d, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, 131);
	hmac_init(&h, key, 131);
	hmac_add(&h, "Test Using Larger Than Block-Size Key - Hash Key First", 54);
	hmac_end(&h, d);
	check_hex(d, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	for (size_t i = 0; i < sizeof h; i++)
		CHECK(((const uint8_t *)&h)[i] == 0); /* wiped */
}

TEST(hmac_of_is_the_same_in_one_call)
{
	/* Python: hmac.new(bytes(range(32)), b"abc", "sha256") */
	uint8_t key[KEY_LEN], d[SHA256_LEN];
	for (unsigned i = 0; i < KEY_LEN; i++)
		key[i] = (uint8_t)i;
	hmac_of(key, "abc", 3, d);
	check_hex(d, 32, "f0133729c4163dede81e21cd47839256da58171238c8a0d874397c73b14e1e47");
	/* Python: hashlib.blake2b(b"page", key=bytes(range(32)), digest_size=32) */
	key_derive(key, "page", d);
	check_hex(d, 32, "6f2ecd158102e0143808f0ae0bb697b22f425c610e6662de7577f3262b540607");
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1 */
TEST(unseal_known_answer)
{
	AUTO_BUF struct buf key = BUF(64), ad = BUF(64), sealed = BUF(512), plain = BUF(512);
	from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", &key);
	from_hex("50515253c0c1c2c3c4c5c6c7", &ad);
	from_hex("404142434445464748494a4b4c4d4e4f5051525354555657", &sealed);
	from_hex("bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
		 "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
		 "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		 "21f9664c97637da9768812f615c68b13b52e", &sealed);
	from_hex("c0875924c1c7987947deafd8780acf49", &sealed);
	CHECK_OK(crypto_init());
	CHECK_OK(unseal((uint8_t *)key.ptr, buf_str(&ad), buf_str(&sealed), &plain));
	CHECK_EQ_STR(buf_str(&plain),
		STR("Ladies and Gentlemen of the class of '99: If I could offer you only one tip "
		    "for the future, sunscreen would be it."));
}

TEST(a_seal_breaks_with_any_changed_bit)
{
	uint8_t key[KEY_LEN] = { 1 };
	AUTO_BUF struct buf sealed = BUF(256), again = BUF(256), plain = BUF(256);
	CHECK_OK(crypto_init());
	CHECK_OK(seal(key, STR("ad"), STR("secret"), &sealed));
	CHECK_OK(seal(key, STR("ad"), STR("secret"), &again));
	CHECK_EQ_INT(sealed.len, 6 + SEAL_EXTRA);
	CHECK(memcmp(sealed.ptr, again.ptr, sealed.len) != 0); /* fresh nonces */
	for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
		sealed.ptr[bit / 8] ^= (char)(1 << bit % 8);
		CHECK_ERR(unseal(key, STR("ad"), buf_str(&sealed), &plain), ERR_CORRUPT);
		CHECK_EQ_INT(plain.len, 0);
		sealed.ptr[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t n = 0; n < sealed.len; n++)
		CHECK_ERR(unseal(key, STR("ad"), str_sub(buf_str(&sealed), 0, n), &plain),
			ERR_CORRUPT);
	CHECK_ERR(unseal(key, STR("aD"), buf_str(&sealed), &plain), ERR_CORRUPT);
	key[31] = 1;
	CHECK_ERR(unseal(key, STR("ad"), buf_str(&sealed), &plain), ERR_CORRUPT);
	key[31] = 0;
	CHECK_OK(unseal(key, STR("ad"), buf_str(&sealed), &plain));
	CHECK_EQ_STR(buf_str(&plain), STR("secret"));
}

TEST(an_empty_text_can_be_sealed)
{
	uint8_t key[KEY_LEN] = { 9 };
	AUTO_BUF struct buf sealed = BUF(64), plain = BUF(0);
	CHECK_OK(crypto_init());
	CHECK_OK(seal(key, STR_NONE, STR_NONE, &sealed));
	CHECK_OK(unseal(key, STR_NONE, buf_str(&sealed), &plain));
	CHECK_EQ_INT(plain.len, 0);
	AUTO_BUF struct buf small = BUF(39);
	CHECK_ERR(seal(key, STR_NONE, STR_NONE, &small), ERR_LIMIT);
	CHECK_EQ_INT(small.len, 0);
}

TEST(passwords_of_other_programs_are_read)
{
	CHECK_OK(crypto_init());
	/* test vector of the reference implementation (phc-winner-argon2, src/test.c) */
	const char *ref = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$"
			  "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
	CHECK(password_ok(STR("password"), ref));
	CHECK(!password_ok(STR("passwore"), ref));
	/* argon2-cffi */
	const char *cffi = "$argon2id$v=19$m=8192,t=1,p=1$iXzpaxFuYaNosD9mIuyDGA$"
			   "/qVjp6OCIyN+RsZmQYq1K1W4bFB7fdxoY0YwbpRqfo4";
	CHECK(password_ok(STR("Gr\xc3\xbc\xc3\x9f" "e"), cffi));
	CHECK(!password_ok(STR(""), "") && !password_ok(STR("x"), "$argon2id$v=19$m=1"));
}

TEST(passwords_are_hashed_with_what_the_table_says)
{
	char a[PASSWORD_HASH_MAX], b[PASSWORD_HASH_MAX];
	CHECK_OK(crypto_init());
	CHECK_OK(password_hash(STR("pass"), 0, a));
	CHECK_OK(password_hash(STR("pass"), 0, b));
	CHECK(strcmp(a, b) != 0); /* salted */
	CHECK(str_starts(str_from(a), STR("$argon2id$v=19$m=8192,t=1,p=1$")));
	CHECK(password_ok(STR("pass"), a) && !password_ok(STR("pas"), a));
	CHECK_OK(password_hash(STR("pass"), 1, a));
	CHECK(str_starts(str_from(a), STR("$argon2id$v=19$m=65536,t=3,p=1$")));
	CHECK(password_ok(STR("pass"), a));
	CHECK_OK(password_hash(STR_NONE, 0, a));
	CHECK(password_ok(STR(""), a));
}

TEST(a_key_from_a_passphrase_matches_argon2_cffi)
{
	uint8_t salt[16], key[KEY_LEN];
	for (unsigned i = 0; i < 16; i++)
		salt[i] = (uint8_t)i;
	CHECK_OK(crypto_init());
	CHECK_OK(password_key(STR("correct horse"), salt, 0, key));
	check_hex(key, 32, "68aa6b3e6343f355586e5dd84710fb380cc542b0a47fa8a06ad81318fa48e3b3");
}

TEST(failed_allocations_are_reported)
{
	uint8_t key[KEY_LEN] = { 1 }, salt[16] = { 0 };
	CHECK_OK(crypto_init());
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO_BUF struct buf sealed = BUF(256), plain = BUF(256);
		char hash[PASSWORD_HASH_MAX];
		enum err e = seal(key, STR("ad"), STR("x"), &sealed);
		if (!e)
			e = unseal(key, STR("ad"), buf_str(&sealed), &plain);
		if (!e)
			e = password_hash(STR("p"), 0, hash);
		if (!e)
			e = password_key(STR("p"), salt, 0, key);
		CHECK_EQ_INT(e, fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK);
	}
}

TEST(comparison_and_wiping)
{
	char text[] = "secret";
	CHECK(ct_equal("abc", "abc", 3) && !ct_equal("abc", "abd", 3));
	wipe(text, sizeof text);
	for (size_t i = 0; i < sizeof text; i++)
		CHECK(text[i] == 0);
}

/* RFC 8032, 7.1, tests 1 and 2 */
TEST(ed25519_known_answers)
{
	static const struct {
		const char *seed, *key, *text, *signature;
	} kat[] = {
		{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
			"5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
		{ "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "r",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
			"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
	};
	for (size_t i = 0; i < sizeof kat / sizeof *kat; i++) {
		uint8_t seed[KEY_LEN], key[SIGN_KEY_LEN], signature[SIGN_LEN];
		struct str text = str_from(kat[i].text);
		CHECK_OK(hex_decode(str_from(kat[i].seed), seed, sizeof seed));
		sign_key(seed, key);
		check_hex(key, sizeof key, kat[i].key);
		sign_make(seed, text, signature);
		check_hex(signature, sizeof signature, kat[i].signature);
		CHECK(sign_ok(key, text, signature));
		CHECK(!sign_ok(key, STR("x"), signature));
		signature[5] ^= 1;
		CHECK(!sign_ok(key, text, signature));
		signature[5] ^= 1;
		key[0] ^= 1;
		CHECK(!sign_ok(key, text, signature));
	}
}
