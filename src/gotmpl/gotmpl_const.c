/* Constants of a template: numbers, characters and strings as Go writes them (strconv). */
#include "gotmpl/gotmpl_int.h"

#include <stdlib.h>

static enum err bad(const struct gotmpl *g, struct err_info *info, size_t pos, const char *what)
{
	return gotmpl_fail(g->text, pos, info, ERR_INVALID, "%s", what);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `n` digits of a base at s[*i]; -1: they are none. */
static int64_t digits_of(struct str s, size_t *i, unsigned n, int base)
{
	int64_t v = 0;
	for (unsigned k = 0; k < n; k++, (*i)++) {
		int d = *i < s.len ? hex_digit(s.ptr[*i]) : -1;
		if (d < 0 || d >= base)
			return -1;
		v = v * base + d;
	}
	return v;
}

/* One character of a quoted constant, escapes undone; *ret_byte: it is a byte, not a code point. */
static int64_t unquote_char(struct str s, size_t *i, char quote, bool *ret_byte)
{
	static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
	unsigned char c = (unsigned char)s.ptr[(*i)++];
	*ret_byte = true;
	if (c != '\\')
		return c; /* UTF-8 passes byte by byte */
	if (*i >= s.len)
		return -1;
	char e = s.ptr[(*i)++];
	const char *known = e ? strchr(from, e) : NULL;
	if (known)
		return (unsigned char)to[known - from];
	if (e == quote)
		return e;
	if (e == 'x')
		return digits_of(s, i, 2, 16);
	if (e >= '0' && e <= '7') {
		(*i)--;
		int64_t v = digits_of(s, i, 3, 8);
		return v > 255 ? -1 : v;
	}
	*ret_byte = false;
	int64_t v = e == 'u' ? digits_of(s, i, 4, 16) : e == 'U' ? digits_of(s, i, 8, 16) : -1;
	return v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ? -1 : v;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	unsigned n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (unsigned k = n - 1; k > 0; k--, c >>= 6)
		out[k] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)(lead[n] | c);
	return n;
}

enum err gotmpl_unquote(struct gotmpl *g, struct tok t, struct str *ret, struct err_info *info)
{
	struct str in = str_sub(t.val, 1, t.val.len - 2);
	char *out = arena_take(g->mem, in.len + 1, 1); /* an escape is never longer undone */
	size_t n = 0, i = 0;
	if (!out)
		return ERR_NOMEM;
	while (i < in.len) {
		bool byte = true;
		size_t here = i;
		int64_t c = t.kind == TOK_RAW ? in.ptr[i++] : unquote_char(in, &i, '"', &byte);
		if (t.kind == TOK_RAW && c == '\r')
			continue;
		if (c < 0 && t.kind != TOK_RAW)
			return bad(g, info, t.pos + 1 + here, "invalid escape in a string");
		if (byte)
			out[n++] = (char)c;
		else
			n += put_utf8(out + n, (uint32_t)c);
	}
	*ret = (struct str){ out, n };
	return OK;
}

enum err gotmpl_rune(struct gotmpl *g, struct tok t, struct garg *a, struct err_info *info)
{
	struct str in = str_sub(t.val, 1, t.val.len - 2);
	bool cut, byte;
	size_t i = 0, n = str_utf8_char(in, &cut);
	if (n > 1) {
		static const unsigned char mask[] = { 0, 0, 0x1f, 0x0f, 0x07 };
		a->i = (unsigned char)in.ptr[0] & mask[n];
		for (i = 1; i < n; i++)
			a->i = a->i << 6 | ((unsigned char)in.ptr[i] & 0x3f);
	} else {
		a->i = in.len > 0 ? unquote_char(in, &i, '\'', &byte) : -1;
	}
	if (a->i < 0 || i != in.len)
		return bad(g, info, t.pos, "malformed character constant");
	return OK;
}

/* Underscores stand between digits or behind a prefix, and only with Go's base 0. */
static bool underscores_fit(struct str s)
{
	bool digit = false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '_' && (!digit || i + 1 == s.len))
			return false;
		digit = s.ptr[i] != '_';
	}
	return true;
}

/* An integer as Go writes it. False: it is none (or too large: *ret_large). */
static bool integer(struct str s, int64_t *ret, bool *ret_large)
{
	bool negative = s.len > 0 && s.ptr[0] == '-';
	uint64_t v = 0;
	int base = 10;
	if (s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+'))
		s = str_sub(s, 1, SIZE_MAX);
	bool fits = underscores_fit(s), digits = false;
	if (s.len > 1 && s.ptr[0] == '0') {
		char c = (char)(s.ptr[1] | 0x20);
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s = str_sub(s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1, SIZE_MAX);
	}
	for (size_t i = 0; i < s.len; i++) {
		int d = s.ptr[i] == '_' ? 0 : hex_digit(s.ptr[i]);
		if (d < 0 || d >= base)
			return false;
		if (s.ptr[i] == '_')
			continue;
		digits = true;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, (uint64_t)d, &v))
			*ret_large = true;
	}
	if (!digits || !fits)
		return false;
	*ret_large |= v > (uint64_t)INT64_MAX + negative;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

enum err gotmpl_number(struct gotmpl *g, struct tok t, struct garg *a, struct err_info *info)
{
	char text[64], *end;
	bool large = false;
	if (integer(t.val, &a->i, &large)) {
		a->overflows = large;
		return OK;
	}
	bool is_float = false;
	for (size_t i = 0; i < t.val.len; i++)
		is_float |= t.val.ptr[i] == '.' || (t.val.ptr[i] | 0x20) == 'e';
	if (!is_float || str_copy(t.val, text, sizeof text) || strpbrk(text, "_xX"))
		return bad(g, info, t.pos, "illegal number syntax");
	a->is_float = true;
	a->f = strtod(text, &end);
	if (*end || end == text || a->f > 1.7976931348623157e308 || a->f < -1.7976931348623157e308)
		return bad(g, info, t.pos, "illegal number syntax");
	return OK;
}
