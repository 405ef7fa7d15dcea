#include "base/str.h"

#include "base/fault.h"

struct str str_from(const char *z) { return z ? (struct str){ z, strlen(z) } : STR_NONE; }

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq((struct str){ s.ptr, prefix.len }, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_sub(s, s.len - suffix.len, suffix.len), suffix);
}

struct str str_sub(struct str s, size_t from, size_t len)
{
	if (!s.ptr)
		return s;
	if (from > s.len)
		from = s.len;
	if (len > s.len - from)
		len = s.len - from;
	return (struct str){ s.ptr + from, len };
}

size_t str_find(struct str s, struct str needle, size_t from)
{
	if (from > s.len || needle.len > s.len - from)
		return SIZE_MAX;
	if (needle.len == 0)
		return from;
	const char *at = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
	return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

size_t str_find_byte(struct str s, char c, size_t from)
{
	if (from >= s.len)
		return SIZE_MAX;
	const char *at = memchr(s.ptr + from, c, s.len - from);
	return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

static bool blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct str str_trim(struct str s)
{
	while (s.len && blank(s.ptr[0]))
		s = (struct str){ s.ptr + 1, s.len - 1 };
	while (s.len && blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

bool str_next(struct str *rest, char sep, struct str *ret_field)
{
	if (!rest->ptr)
		return false;
	size_t at = str_find_byte(*rest, sep, 0);
	if (at == SIZE_MAX) {
		*ret_field = *rest;
		*rest = STR_NONE;
		return true;
	}
	*ret_field = (struct str){ rest->ptr, at };
	*rest = (struct str){ rest->ptr + at + 1, rest->len - at - 1 };
	return true;
}

bool str_has_control(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

/* RFC 3629, table 3-7 of Unicode: the second byte's range depends on the first. */
static size_t utf8_need(uint8_t lead, uint8_t *lo, uint8_t *hi)
{
	*lo = 0x80, *hi = 0xbf;
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef) {
		if (lead == 0xe0)
			*lo = 0xa0;
		if (lead == 0xed)
			*hi = 0x9f; /* no surrogates */
		return 3;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		if (lead == 0xf0)
			*lo = 0x90;
		if (lead == 0xf4)
			*hi = 0x8f;
		return 4;
	}
	return 0;
}

size_t str_utf8_char(struct str s, bool *ret_cut)
{
	*ret_cut = false;
	if (s.len == 0)
		return 0;
	const uint8_t *p = (const uint8_t *)s.ptr;
	uint8_t lo, hi;
	size_t need = utf8_need(p[0], &lo, &hi);
	for (size_t i = 1; i < need; i++) {
		if (i == s.len) {
			*ret_cut = true;
			return 0;
		}
		if (p[i] < lo || p[i] > hi)
			return 0;
		lo = 0x80, hi = 0xbf;
	}
	return need;
}

bool str_is_utf8(struct str s)
{
	bool cut;
	for (size_t i = 0; i < s.len;) {
		if ((unsigned char)s.ptr[i] < 0x80) {
			i++;
			continue;
		}
		size_t n = str_utf8_char((struct str){ s.ptr + i, s.len - i }, &cut);
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

size_t str_utf8_whole(struct str s)
{
	/* An unfinished character has at most three bytes. */
	for (size_t back = 1; back <= 3 && back <= s.len; back++) {
		bool cut;
		(void)str_utf8_char((struct str){ s.ptr + s.len - back, back }, &cut);
		if (cut)
			return s.len - back;
	}
	return s.len;
}

enum err str_to_u64(struct str s, uint64_t *ret)
{
	uint64_t v = 0;
	if (s.len == 0)
		return ERR_INVALID;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return ERR_INVALID;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
			return ERR_INVALID;
	}
	*ret = v;
	return OK;
}

enum err str_to_i64(struct str s, int64_t *ret)
{
	bool minus = s.len > 0 && s.ptr[0] == '-';
	uint64_t v;
	TRY(str_to_u64(str_sub(s, minus, SIZE_MAX), &v));
	if (v > (uint64_t)INT64_MAX + minus)
		return ERR_INVALID;
	*ret = minus ? (int64_t)(0 - v) : (int64_t)v;
	return OK;
}

enum err str_copy(struct str s, char *dst, size_t size)
{
	if (s.len >= size)
		return ERR_LIMIT;
	if (s.len)
		memcpy(dst, s.ptr, s.len);
	dst[s.len] = '\0';
	return OK;
}

enum err str_dup(struct str s, char **ret)
{
	char *p = s.len < SIZE_MAX ? mem_alloc(s.len + 1) : NULL;
	if (!p)
		return ERR_NOMEM;
	if (s.len)
		memcpy(p, s.ptr, s.len);
	p[s.len] = '\0';
	*ret = p;
	return OK;
}
