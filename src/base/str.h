/* base/str.h - a piece of text to read: pointer and length, not terminated, owns nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct str {
	const char *ptr;
	size_t len;
};

#define STR(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_ARG(s) (int)(s).len, (s).ptr /* for %.*s; lengths here never pass INT_MAX */
#define STR_NONE ((struct str){ NULL, 0 })

struct str str_from(const char *z); /* borrows; NULL gives STR_NONE */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_sub(struct str s, size_t from, size_t len); /* clamps */
/* Position of `needle` at or after `from`, or SIZE_MAX. */
size_t str_find(struct str s, struct str needle, size_t from);
size_t str_find_byte(struct str s, char c, size_t from);
struct str str_trim(struct str s); /* ASCII blanks both ends */
/* Cuts the next field up to `sep` from *rest; false when *rest is used up. */
bool str_next(struct str *rest, char sep, struct str *ret_field);
bool str_has_control(struct str s);  /* a byte below 0x20 or 0x7f */
bool str_is_utf8(struct str s);      /* RFC 3629: no overlong forms, no surrogates */
/* Bytes of the first character, 0 if it is invalid, cut short (*ret_cut) or absent. */
size_t str_utf8_char(struct str s, bool *ret_cut);
/* Largest n <= s.len so that s[0..n) ends at a whole UTF-8 character; bytes of an unfinished
 * character at the end are held back. Invalid bytes count as whole. */
size_t str_utf8_whole(struct str s);
/* Strict decimal, no blanks, no sign for u64. Errors: ERR_INVALID (also overflow). */
enum err str_to_u64(struct str s, uint64_t *ret);
enum err str_to_i64(struct str s, int64_t *ret);
/* Copies with terminator into caller's memory of `size` bytes. Errors: ERR_LIMIT. */
enum err str_copy(struct str s, char *dst, size_t size);
/* A malloc'd, terminated copy; caller frees. Errors: ERR_NOMEM. */
enum err str_dup(struct str s, char **ret);
