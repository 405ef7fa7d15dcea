/* What a terminal of ten columns shows of answers. The last column stays free. */
#include "cli/wrap.h"

#include "cli/test_screen.h"
#include "cli/width.h"
#include "tests/test.h"

/* The text in one piece, and character by character: the screen is the same. */
static void expect(const char *text, const char *screen)
{
	struct str all = str_from(text);
	width_init();
	for (int slowly = 0; slowly < 2; slowly++) {
		AUTO_WRAP struct wrap w;
		struct screen s;
		wrap_init(&w);
		screen_init(&s, 10, 8);
		for (size_t i = 0, n; i < all.len; i += n) {
			AUTO_BUF struct buf out = BUF(SIZE_MAX);
			bool cut;
			n = slowly ? str_utf8_char(str_sub(all, i, all.len), &cut) : all.len;
			CHECK_OK(wrap_add(&w, str_sub(all, i, n), 10, &out));
			for (struct str rest = buf_str(&out), line; rest.ptr;) {
				bool more = str_next(&rest, '\n', &line) && rest.ptr;
				screen_write(&s, line);
				screen_write(&s, more ? STR("\r\n") : STR("")); /* ONLCR */
			}
		}
		CHECK_EQ_Z(screen_text(&s), screen);
	}
}

TEST(lines_break_between_words)
{
	expect("short", "short");
	expect("one two three four", "one two\nthree\nfour");
	expect("123456789", "123456789");
	expect("12345678 9", "12345678\n9");
	expect("123456789 abc", "123456789\nabc");
	expect("a\nb c", "a\nb c");
	expect("one\n\ntwo", "one\n\ntwo");
}

TEST(a_word_longer_than_the_line_breaks_in_itself)
{
	expect("abcdefghijklmnopqrstuvwxyz", "abcdefghi\njklmnopqr\nstuvwxyz");
	expect("ab cdefghijklmnop", "ab\ncdefghijk\nlmnop");
}

TEST(wide_characters_take_two_columns_and_break_anywhere)
{
	expect("\u4f60\u597d\u4e16\u754c\u4f60\u597d", "\u4f60\u597d\u4e16\u754c\n\u4f60\u597d");
	expect("abc\u4f60\u597d\u4e16\u754c", "abc\u4f60\u597d\u4e16\n\u754c");
	expect("abcdefgh\u4f60", "abcdefgh\n\u4f60");
}

TEST(combining_characters_take_none_and_stay_with_theirs)
{
	expect("ne\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 x",
		"ne\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301\nx");
	expect("aaaaa bbe\u0301bb", "aaaaa\nbbe\u0301bb");
}

TEST(an_answer_cannot_move_the_cursor)
{
	expect("a\033[2Jb\rc\007d\x7f" "e\xc2\x9b" "f", "a[2Jbcdef");
}

TEST(a_narrow_window_or_none_breaks_nothing)
{
	AUTO_WRAP struct wrap w;
	AUTO_BUF struct buf out = BUF(SIZE_MAX);
	wrap_init(&w);
	CHECK_OK(wrap_add(&w, STR("one two three four five"), 9, &out));
	CHECK_OK(wrap_add(&w, STR(" six"), 0, &out));
	CHECK_EQ_STR(buf_str(&out), STR("one two three four five six"));
}
