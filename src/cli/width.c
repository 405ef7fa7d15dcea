#include "cli/width.h"

#include <locale.h>
#include <wchar.h>

void width_init(void)
{
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		(void)setlocale(LC_CTYPE, "");
}

/* Of a valid character of n bytes (RFC 3629). */
static wchar_t decode(const char *p, size_t n)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned v = (unsigned char)p[0] & first[n];
	for (size_t i = 1; i < n; i++)
		v = v << 6 | ((unsigned char)p[i] & 0x3f);
	return (wchar_t)v;
}

size_t width_char(struct str s, int *ret_columns)
{
	bool cut;
	size_t n = str_utf8_char(s, &cut);
	*ret_columns = 1;
	if (!n)
		return s.len > 0;
	wchar_t c = decode(s.ptr, n);
	if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
		*ret_columns = -1;
		return n;
	}
	int w = c < 0x7f ? 1 : wcwidth(c);
	*ret_columns = w < 0 ? 1 : w;
	return n;
}

size_t width_cluster(struct str s, int *ret_columns)
{
	int w;
	size_t n = width_char(s, ret_columns);
	while (n && n < s.len && *ret_columns >= 0) {
		size_t more = width_char(str_sub(s, n, s.len), &w);
		if (w != 0)
			break;
		n += more;
	}
	return n;
}

size_t width_cluster_before(struct str s, size_t at)
{
	int w = 0;
	while (at && w == 0) {
		at--;
		while (at && ((unsigned char)s.ptr[at] & 0xc0) == 0x80)
			at--;
		(void)width_char(str_sub(s, at, s.len), &w);
	}
	return at;
}

size_t width_text(struct str s)
{
	size_t columns = 0;
	int w;
	for (size_t i = 0; i < s.len;) {
		i += width_char(str_sub(s, i, s.len), &w);
		columns += w > 0 ? (size_t)w : 0;
	}
	return columns;
}
