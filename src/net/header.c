#include "net/header.h"

#include "net/url.h"

bool header_line_read(struct str line, struct str *ret_name, struct str *ret_value)
{
	size_t colon = str_find_byte(line, ':', 0);
	if (colon == SIZE_MAX || !colon)
		return false;
	struct str name = str_sub(line, 0, colon),
		   value = str_trim(str_sub(line, colon + 1, line.len));
	if (!str_is_utf8(name) || !str_is_utf8(value) || str_has_control(value))
		return false;
	*ret_name = name;
	*ret_value = value;
	return true;
}

bool header_content_range(
	struct str value, uint64_t *ret_from, uint64_t *ret_to, int64_t *ret_whole)
{
	struct str rest = value, unit, a, b;
	uint64_t from, last, whole = 0;
	if (!str_next(&rest, ' ', &unit) || !str_eq_nocase(unit, STR("bytes")) ||
		!str_next(&rest, '-', &a) || !str_next(&rest, '/', &b) || str_to_u64(a, &from) ||
		str_to_u64(b, &last) || last == UINT64_MAX || from > last)
		return false;
	bool any = str_eq(rest, STR("*"));
	if (!any && (str_to_u64(rest, &whole) || whole > INT64_MAX))
		return false;
	*ret_from = from;
	*ret_to = last + 1;
	*ret_whole = any ? -1 : (int64_t)whole;
	return true;
}

/* KEY="value" between blanks and commas; the scheme knows no escapes. */
static bool challenge_value(struct str challenge, struct str key, struct str *ret)
{
	size_t at = 0;
	while ((at = str_find(challenge, key, at)) != SIZE_MAX) {
		size_t open = at + key.len;
		bool starts =
			at == 0 || challenge.ptr[at - 1] == ' ' || challenge.ptr[at - 1] == ',';
		if (starts && open + 1 < challenge.len && challenge.ptr[open] == '=' &&
			challenge.ptr[open + 1] == '"') {
			size_t end = str_find_byte(challenge, '"', open + 2);
			if (end == SIZE_MAX)
				return false;
			*ret = str_sub(challenge, open + 2, end - open - 2);
			return true;
		}
		at = open;
	}
	return false;
}

enum err header_token_url(struct str challenge, struct buf *out)
{
	static const char *const keys[] = { "service", "scope" };
	struct str realm, v;
	struct url u;
	if (!str_eq_nocase(str_sub(challenge, 0, 7), STR("Bearer ")) ||
		!challenge_value(challenge, STR("realm"), &realm) || url_parse(realm, &u, NULL))
		return ERR_UPSTREAM;
	TRY(url_add(&u, out));
	char sep = u.query.ptr ? '&' : '?';
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (!challenge_value(challenge, str_from(keys[i]), &v))
			continue;
		TRY(buf_addf(out, "%c%s=", sep, keys[i]));
		TRY(url_add_encoded(out, v));
		sep = '&';
	}
	return OK;
}
