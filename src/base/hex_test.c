#include "base/hex.h"

#include "base/random.h"
#include "tests/test.h"

TEST(hex_both_ways)
{
	static const uint8_t bytes[] = { 0x00, 0x7f, 0xab, 0xff };
	uint8_t back[4] = { 0 };
	char text[9];
	hex_encode(bytes, 4, text);
	CHECK_EQ_Z(text, "007fabff");
	CHECK_OK(hex_decode(STR("007FaBff"), back, 4));
	CHECK(memcmp(bytes, back, 4) == 0);
	hex_encode(NULL, 0, text);
	CHECK_EQ_Z(text, "");
	CHECK_OK(hex_decode(STR(""), back, 0));
}

TEST(bad_hex_changes_nothing)
{
	uint8_t dst[2] = { 1, 2 };
	static const char *const bad[] = { "", "00", "000", "00000", "00g0", "000 ", "0x00",
		"00\xc3\xbc" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_ERR(hex_decode(str_from(bad[i]), dst, 2), ERR_INVALID);
	CHECK(dst[0] == 1 && dst[1] == 2);
}

/* RFC 4648, section 10 */
TEST(base64_known_answers)
{
	static const struct {
		const char *plain, *b64, *url;
	} v[] = {
		{ "", "", "" },
		{ "f", "Zg==", "Zg" },
		{ "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" },
		{ "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" },
		{ "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xfb\xff\xbf", "+/+/", "-_-_" },
	};
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		AUTO_BUF struct buf a = BUF(64), b = BUF(64), c = BUF(64), d = BUF(64);
		const uint8_t *p = (const uint8_t *)v[i].plain;
		CHECK_OK(b64_add(&a, p, strlen(v[i].plain)));
		CHECK_OK(b64url_add(&b, p, strlen(v[i].plain)));
		CHECK_EQ_STR(buf_str(&a), str_from(v[i].b64));
		CHECK_EQ_STR(buf_str(&b), str_from(v[i].url));
		CHECK_OK(b64_decode(str_from(v[i].b64), &c));
		CHECK_OK(b64url_decode(str_from(v[i].url), &d));
		CHECK_EQ_STR(buf_str(&c), str_from(v[i].plain));
		CHECK_EQ_STR(buf_str(&d), str_from(v[i].plain));
	}
}

TEST(base64_has_one_spelling)
{
	static const char *const bad[] = {
		"Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm9v=", "Zm 9v", "Zm9v\n",
		"Zm-v", "Zg==Zg==", "=m9v", "Zm=v" };
	static const char *const bad_url[] = { "Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm9vY" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_BUF struct buf b = BUF(64);
		CHECK_OK(buf_add(&b, STR("keep")));
		CHECK_ERR(b64_decode(str_from(bad[i]), &b), ERR_INVALID);
		CHECK_EQ_STR(buf_str(&b), STR("keep"));
	}
	for (size_t i = 0; i < sizeof bad_url / sizeof *bad_url; i++) {
		AUTO_BUF struct buf b = BUF(64);
		CHECK_ERR(b64url_decode(str_from(bad_url[i]), &b), ERR_INVALID);
		CHECK_EQ_INT(b.len, 0);
	}
}

TEST(every_length_comes_back)
{
	uint8_t bytes[200];
	random_bytes(bytes, sizeof bytes);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		AUTO_BUF struct buf t = BUF(300), u = BUF(300), back = BUF(200);
		CHECK_OK(b64_add(&t, bytes, n));
		CHECK_OK(b64_decode(buf_str(&t), &back));
		CHECK_EQ_STR(buf_str(&back), ((struct str){ (char *)bytes, n }));
		buf_clear(&back);
		CHECK_OK(b64url_add(&u, bytes, n));
		CHECK_OK(b64url_decode(buf_str(&u), &back));
		CHECK_EQ_STR(buf_str(&back), ((struct str){ (char *)bytes, n }));
	}
}

TEST(limits_are_reported)
{
	AUTO_BUF struct buf b = BUF(3);
	CHECK_ERR(b64_add(&b, (const uint8_t *)"x", 1), ERR_LIMIT);
	buf_clear(&b);
	CHECK_ERR(b64_decode(STR("Zm9vYg=="), &b), ERR_LIMIT);
	CHECK_EQ_INT(b.len, 0);
}
