#include "base/hex.h"

static const char HEX[] = "0123456789abcdef";
static const char B64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char B64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void hex_encode(const uint8_t *src, size_t n, char *dst)
{
	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = HEX[src[i] >> 4];
		dst[2 * i + 1] = HEX[src[i] & 15];
	}
	dst[2 * n] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err hex_decode(struct str s, uint8_t *dst, size_t n)
{
	if (s.len % 2 || s.len / 2 != n)
		return ERR_INVALID;
	for (size_t i = 0; i < s.len; i++)
		if (hex_value(s.ptr[i]) < 0)
			return ERR_INVALID; /* before the first write: dst stays as it was */
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(hex_value(s.ptr[2 * i]) << 4 | hex_value(s.ptr[2 * i + 1]));
	return OK;
}

static enum err encode(struct buf *out, const uint8_t *src, size_t n, const char *abc, bool pad)
{
	if (n > SIZE_MAX / 2)
		return ERR_LIMIT;
	size_t len = n / 3 * 4 + (n % 3 ? (pad ? 4 : n % 3 + 1) : 0);
	TRY(buf_reserve(out, len));
	if (n == 0)
		return OK; /* an empty builder has no memory to point into */
	char *dst = out->ptr + out->len;
	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		uint32_t v = (uint32_t)src[i] << 16;
		v |= have > 1 ? (uint32_t)src[i + 1] << 8 : 0;
		v |= have > 2 ? src[i + 2] : 0;
		for (size_t k = 0; k < 4; k++) {
			if (k <= have)
				*dst++ = abc[v >> (18 - 6 * k) & 63];
			else if (pad)
				*dst++ = '=';
		}
	}
	out->len += len;
	return OK;
}

enum err b64_add(struct buf *out, const uint8_t *src, size_t n)
{
	return encode(out, src, n, B64, true);
}

enum err b64url_add(struct buf *out, const uint8_t *src, size_t n)
{
	return encode(out, src, n, B64URL, false);
}

static int b64_value(char c, const char *abc)
{
	const char *at = c ? memchr(abc, c, 64) : NULL;
	return at ? (int)(at - abc) : -1;
}

/* `s` without padding. Bits left over must be zero, so that each value has one spelling. */
static enum err decode(struct str s, struct buf *out, const char *abc)
{
	if (s.len % 4 == 1)
		return ERR_INVALID;
	size_t start = out->len;
	TRY(buf_reserve(out, s.len / 4 * 3 + (s.len % 4 ? s.len % 4 - 1 : 0)));
	uint32_t acc = 0;
	unsigned bits = 0;
	for (size_t i = 0; i < s.len; i++) {
		int v = b64_value(s.ptr[i], abc);
		if (v < 0) {
			buf_cut(out, start);
			return ERR_INVALID;
		}
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out->ptr[out->len++] = (char)(acc >> bits);
		}
		acc &= (1u << bits) - 1;
	}
	if (acc) {
		buf_cut(out, start);
		return ERR_INVALID;
	}
	return OK;
}

enum err b64_decode(struct str s, struct buf *out)
{
	if (s.len % 4)
		return ERR_INVALID;
	for (int i = 0; i < 2 && s.len && s.ptr[s.len - 1] == '='; i++)
		s.len--;
	return decode(s, out, B64);
}

enum err b64url_decode(struct str s, struct buf *out) { return decode(s, out, B64URL); }
