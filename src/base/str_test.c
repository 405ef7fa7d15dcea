#include "base/str.h"

#include <stdlib.h>

#include "tests/test.h"

TEST(equality_and_ends)
{
	CHECK(str_eq(STR("ab"), STR("ab")) && !str_eq(STR("ab"), STR("abc")));
	CHECK(str_eq(STR_NONE, STR("")) && str_eq(str_from(NULL), STR_NONE));
	CHECK(str_eq_nocase(STR("Content-Type"), STR("cONTENT-tYPE")));
	CHECK(!str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4"))); /* ASCII only */
	CHECK(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
	CHECK(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
	CHECK(str_starts(STR("a"), STR("")) && str_ends(STR("a"), STR("")));
}

TEST(sub_clamps)
{
	CHECK_EQ_STR(str_sub(STR("hello"), 1, 3), STR("ell"));
	CHECK_EQ_STR(str_sub(STR("hello"), 4, SIZE_MAX), STR("o"));
	CHECK_EQ_INT(str_sub(STR("hello"), 9, 1).len, 0);
	CHECK(str_sub(STR_NONE, 1, 1).ptr == NULL);
}

TEST(find_gives_a_position_or_size_max)
{
	CHECK_EQ_INT(str_find(STR("abcabc"), STR("ca"), 0), 2);
	CHECK_EQ_INT(str_find(STR("abcabc"), STR("abc"), 1), 3);
	CHECK(str_find(STR("abc"), STR("x"), 0) == SIZE_MAX);
	CHECK(str_find(STR("abc"), STR("abc"), 4) == SIZE_MAX);
	CHECK(str_find(STR("ab"), STR("abc"), 0) == SIZE_MAX);
	CHECK_EQ_INT(str_find(STR("abc"), STR(""), 3), 3);
	CHECK_EQ_INT(str_find_byte(STR("a,b,c"), ',', 2), 3);
	CHECK(str_find_byte(STR("abc"), ',', 0) == SIZE_MAX);
	CHECK(str_find_byte(STR_NONE, ',', 0) == SIZE_MAX);
}

TEST(trim_cuts_ascii_blanks)
{
	CHECK_EQ_STR(str_trim(STR(" \t a b\r\n")), STR("a b"));
	CHECK_EQ_INT(str_trim(STR(" \n ")).len, 0);
}

TEST(next_splits_and_ends)
{
	struct str rest = STR("a,,b"), f;
	CHECK(str_next(&rest, ',', &f));
	CHECK_EQ_STR(f, STR("a"));
	CHECK(str_next(&rest, ',', &f));
	CHECK_EQ_INT(f.len, 0);
	CHECK(str_next(&rest, ',', &f));
	CHECK_EQ_STR(f, STR("b"));
	CHECK(!str_next(&rest, ',', &f));
	rest = STR("a,"); /* an empty last field is a field */
	CHECK(str_next(&rest, ',', &f) && str_next(&rest, ',', &f) && f.len == 0);
	CHECK(!str_next(&rest, ',', &f));
}

TEST(control_bytes_are_seen)
{
	CHECK(str_has_control(STR("a\nb")) && str_has_control(STR("\x7f")));
	CHECK(str_has_control((struct str){ "a\0b", 3 }));
	CHECK(!str_has_control(STR("gr\xc3\xbc\xc3\x9f")) && !str_has_control(STR("")));
}

/* Examples of the Unicode Standard 15, chapter 3.9, tables 3-7 and 3-8. */
TEST(utf8_is_strict)
{
	static const char *const good[] = { "", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
					    "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
					    "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\x80",
					   "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
					   "\xe2\x82", "\xe2\x28\xa1", "a\xc3" };
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK(str_is_utf8(str_from(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(!str_is_utf8(str_from(bad[i])));
}

/* A second decoder, written the other way round: build every code point and compare. */
TEST(utf8_takes_exactly_the_code_points)
{
	for (uint32_t c = 0; c <= 0x110100; c++) {
		char b[4];
		size_t n = 0;
		if (c < 0x80)
			b[n++] = (char)c;
		else if (c < 0x800)
			b[n++] = (char)(0xc0 | c >> 6);
		else if (c < 0x10000)
			b[n++] = (char)(0xe0 | c >> 12);
		else
			b[n++] = (char)(0xf0 | c >> 18);
		for (int s = c < 0x80 ? -6 : c < 0x800 ? 0 : c < 0x10000 ? 6 : 12; s >= 0; s -= 6)
			b[n++] = (char)(0x80 | (c >> s & 63));
		bool valid = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
		if (str_is_utf8((struct str){ b, n }) != valid)
			FAIL("U+%04X", c);
	}
}

TEST(unfinished_character_is_held_back)
{
	struct str s = STR("a\xf0\x9f\x98\x80");
	CHECK_EQ_INT(str_utf8_whole(s), 5);
	for (size_t n = 2; n < 5; n++)
		CHECK_EQ_INT(str_utf8_whole(str_sub(s, 0, n)), 1);
	CHECK_EQ_INT(str_utf8_whole(STR("")), 0);
	CHECK_EQ_INT(str_utf8_whole(STR("a\xff")), 2);	       /* never valid: whole */
	CHECK_EQ_INT(str_utf8_whole(STR("a\xe0\x80")), 3);     /* overlong already */
	CHECK_EQ_INT(str_utf8_whole(STR("\x80\x80\x80\x80")), 4);
	CHECK_EQ_INT(str_utf8_whole(STR("\xe2\x82")), 0);
}

TEST(numbers_are_strict)
{
	uint64_t u = 7;
	int64_t i = 7;
	CHECK_OK(str_to_u64(STR("18446744073709551615"), &u));
	CHECK(u == UINT64_MAX);
	CHECK_OK(str_to_u64(STR("007"), &u));
	CHECK_EQ_INT(u, 7);
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0",
					   "18446744073709551616", "99999999999999999999" };
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		CHECK_ERR(str_to_u64(str_from(bad[k]), &u), ERR_INVALID);
	CHECK_EQ_INT(u, 7); /* written on OK only */
	CHECK_OK(str_to_i64(STR("-9223372036854775808"), &i));
	CHECK(i == INT64_MIN);
	CHECK_OK(str_to_i64(STR("9223372036854775807"), &i));
	CHECK(i == INT64_MAX);
	CHECK_ERR(str_to_i64(STR("9223372036854775808"), &i), ERR_INVALID);
	CHECK_ERR(str_to_i64(STR("-9223372036854775809"), &i), ERR_INVALID);
	CHECK_ERR(str_to_i64(STR("-"), &i), ERR_INVALID);
	CHECK_ERR(str_to_i64(STR("--1"), &i), ERR_INVALID);
}

TEST(copies_know_their_room)
{
	char room[4] = "zzz", *dup = NULL;
	CHECK_OK(str_copy(STR("abc"), room, sizeof room));
	CHECK_EQ_Z(room, "abc");
	CHECK_ERR(str_copy(STR("abcd"), room, sizeof room), ERR_LIMIT);
	CHECK_EQ_Z(room, "abc");
	CHECK_OK(str_copy(STR_NONE, room, 1));
	CHECK_EQ_Z(room, "");
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		enum err e = str_dup(STR("text"), &dup);
		CHECK(e == (fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK));
	}
	CHECK_EQ_Z(dup, "text");
	free(dup);
}
