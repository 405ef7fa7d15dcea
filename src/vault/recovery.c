/* The recovery code: 160 bits on paper, in groups that say by themselves where a slip is
 * (vault/keyring.h). Base32 after Crockford: no i, l, o, u; i and l read as 1, o as 0. */
#include "vault/keyring.h"

enum { GROUPS = 8, GROUP = 5, CODE_CHARS = GROUPS * GROUP };
static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int value(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* Five bits that depend on the group's place and its four values. */
static unsigned check_value(unsigned group, const uint8_t v[4])
{
	uint8_t text[5] = { (uint8_t)group, v[0], v[1], v[2], v[3] }, hash[SHA256_LEN];
	sha256_of(text, sizeof text, hash);
	return hash[0] & 31;
}

/* Group g holds bits 20 g .. 20 g + 19, most significant first. */
static unsigned bits_of(const uint8_t bytes[20], unsigned at)
{
	unsigned two = (unsigned)bytes[at / 8] << 8 | (at / 8 + 1 < 20 ? bytes[at / 8 + 1] : 0);
	return two >> (11 - at % 8) & 31;
}

void recovery_encode(const uint8_t bytes[20], char ret[RECOVERY_CODE_LEN + 1])
{
	char *out = ret;
	for (unsigned g = 0; g < GROUPS; g++) {
		uint8_t v[4];
		for (unsigned i = 0; i < 4; i++) {
			v[i] = (uint8_t)bits_of(bytes, 20 * g + 5 * i);
			*out++ = digits[v[i]];
		}
		*out++ = digits[check_value(g, v)];
		*out++ = '-';
	}
	out[-1] = 0;
}

static enum err collect(struct str code, uint8_t v[CODE_CHARS], struct err_info *info)
{
	size_t n = 0;
	for (size_t i = 0; i < code.len; i++) {
		char c = code.ptr[i];
		if (c == ' ' || c == '-' || c == '\n' || c == '\r' || c == '\t')
			continue;
		int d = value(c);
		if (d < 0)
			return err_set(info, ERR_INVALID,
				       "group %d of the recovery code has a wrong character",
				       (int)(n / GROUP) + 1);
		if (n == CODE_CHARS)
			return err_set(info, ERR_INVALID, "the recovery code is too long");
		v[n++] = (uint8_t)d;
	}
	if (n != CODE_CHARS)
		return err_set(info, ERR_INVALID, "the recovery code has %d of its %d characters",
			       (int)n, (int)CODE_CHARS);
	return OK;
}

enum err recovery_decode(struct str code, uint8_t ret[20], struct err_info *info)
{
	uint8_t v[CODE_CHARS], bytes[20] = { 0 };
	TRY(collect(code, v, info));
	for (unsigned g = 0; g < GROUPS; g++)
		if (v[GROUP * g + 4] != check_value(g, v + GROUP * g))
			return err_set(info, ERR_INVALID,
				       "group %u of the recovery code is mistyped", g + 1);
	for (unsigned i = 0; i < 32; i++) {
		unsigned d = v[i / 4 * GROUP + i % 4];
		for (unsigned b = 0; b < 5; b++)
			if (d >> (4 - b) & 1)
				bytes[(5 * i + b) / 8] |= (uint8_t)(0x80 >> (5 * i + b) % 8);
	}
	memcpy(ret, bytes, sizeof bytes);
	wipe(v, sizeof v);
	wipe(bytes, sizeof bytes);
	return OK;
}
