#include "engine/text.h"

#include <string.h>

#include "tests/test.h"

/* What the contract says, without cleverness: at each end the longest stop string that ends there;
 * the first such end cuts. */
static struct str naive_cut(struct str s, const struct str *stop, size_t n, unsigned *ret_by)
{
	*ret_by = 0;
	for (size_t end = 1; end <= s.len; end++) {
		size_t most = 0;
		for (size_t i = 0; i < n; i++)
			if (stop[i].len <= end && stop[i].len > most &&
				memcmp(s.ptr + end - stop[i].len, stop[i].ptr, stop[i].len) == 0) {
				most = stop[i].len;
				*ret_by = (unsigned)i + 1;
			}
		if (most)
			return str_sub(s, 0, end - most);
	}
	return s;
}

/* The longest end of `s` that begins a stop string. */
static size_t naive_held(struct str s, const struct str *stop, size_t n)
{
	size_t most = 0;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 1; k < stop[i].len && k <= s.len; k++)
			if (k > most && memcmp(s.ptr + s.len - k, stop[i].ptr, k) == 0)
				most = k;
	return most;
}

/* Feeds `s` cut at the set bits of `cuts` and compares after each piece and at the end. */
static void run_cut(struct str s, const struct str *stop, size_t n, unsigned cuts)
{
	AUTO(text) struct text *t = NULL;
	AUTO_BUF struct buf thought = BUF(1000), answer = BUF(1000);
	CHECK_OK(text_new(&(struct text_options){ .stop = stop, .n_stop = n }, &t));
	bool stopped = false;
	unsigned by;
	struct str want = naive_cut(s, stop, n, &by);
	for (size_t from = 0, i = 0; i < s.len && !stopped; i++) {
		if (i + 1 < s.len && !(cuts >> i & 1))
			continue;
		CHECK_OK(text_add(t, str_sub(s, from, i + 1 - from), &thought, &answer, &stopped));
		from = i + 1;
		struct str so_far = str_sub(s, 0, from);
		if (!stopped)
			CHECK_EQ_INT(answer.len, from - naive_held(so_far, stop, n));
	}
	CHECK_OK(text_end(t, &thought, &answer));
	CHECK_EQ_INT(stopped, by > 0);
	CHECK_EQ_INT(text_stopped_by(t), by);
	CHECK_EQ_STR(buf_str(&answer), want);
	CHECK_EQ_INT(thought.len, 0);
}

TEST_TIMEOUT(stop_strings_agree_with_the_naive_way_for_every_short_text_and_cut, 120)
{
	static const struct {
		struct str s[3];
		size_t n;
	} sets[] = {
		{ { { "ab", 2 } }, 1 },
		{ { { "aab", 3 } }, 1 },
		{ { { "aba", 3 }, { "bb", 2 } }, 2 },
		{ { { "a", 1 }, { "aaa", 3 } }, 2 },
		{ { { "abab", 4 }, { "ba", 2 }, { "bbb", 3 } }, 3 },
		{ { { "aaaa", 4 } }, 1 },
		{ { { "abaab", 5 }, { "aabb", 4 } }, 2 },
	};
	enum { LEN = 7 };
	for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
		for (unsigned bits = 0; bits < 1u << LEN; bits++) {
			char text[LEN];
			for (int i = 0; i < LEN; i++)
				text[i] = bits >> i & 1 ? 'b' : 'a';
			for (unsigned cuts = 0; cuts < 1u << (LEN - 1); cuts++)
				run_cut((struct str){ text, LEN }, sets[k].s, sets[k].n, cuts);
		}
}

TEST(unfinished_characters_are_held_back_and_shown_whole)
{
	static const char all[] = "z\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!"; /* z, ae, euro, face */
	AUTO(text) struct text *t = NULL;
	AUTO_BUF struct buf thought = BUF(100), answer = BUF(100);
	CHECK_OK(text_new(&(struct text_options){ 0 }, &t));
	bool stopped;
	for (size_t i = 0; i < sizeof all - 1; i++) {
		CHECK_OK(text_add(t, (struct str){ all + i, 1 }, &thought, &answer, &stopped));
		CHECK(str_is_utf8(buf_str(&answer)));
	}
	CHECK_EQ_STR(buf_str(&answer), STR("z\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!"));
}

/* Every sequence of three bytes from the interesting ones gives UTF-8, cut or whole the same. */
TEST(any_bytes_become_valid_text_independent_of_the_pieces)
{
	static const unsigned char pick[] = { 'a', 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xa0, 0xed, 0xf0,
		0x90, 0xf4, 0xff };
	enum { N = sizeof pick };
	for (unsigned code = 0; code < N * N * N * N; code++) {
		char s[4] = { (char)pick[code % N], (char)pick[code / N % N],
			(char)pick[code / N / N % N], (char)pick[code / N / N / N] };
		AUTO_BUF struct buf one = BUF(100), many = BUF(100), thought = BUF(100);
		AUTO(text) struct text *a = NULL, *b = NULL;
		bool stopped;
		CHECK_OK(text_new(&(struct text_options){ 0 }, &a));
		CHECK_OK(text_new(&(struct text_options){ 0 }, &b));
		CHECK_OK(text_add(a, (struct str){ s, 4 }, &thought, &one, &stopped));
		CHECK_OK(text_end(a, &thought, &one));
		for (int i = 0; i < 4; i++)
			CHECK_OK(text_add(b, (struct str){ s + i, 1 }, &thought, &many, &stopped));
		CHECK_OK(text_end(b, &thought, &many));
		CHECK_EQ_STR(buf_str(&one), buf_str(&many));
		CHECK(str_is_utf8(buf_str(&one)));
		if (str_is_utf8((struct str){ s, 4 }))
			CHECK_EQ_STR(buf_str(&one), ((struct str){ s, 4 }));
	}
}

static void think(const char *in, bool inside, size_t piece, const char *thought_want,
	const char *answer_want)
{
	AUTO(text) struct text *t = NULL;
	AUTO_BUF struct buf thought = BUF(1000), answer = BUF(1000);
	const struct str stop = STR("STOP");
	struct text_options o = { .stop = &stop,
		.n_stop = 1,
		.think_start = STR("<think>"),
		.think_end = STR("</think>"),
		.thinking = inside };
	CHECK_OK(text_new(&o, &t));
	struct str s = str_from(in);
	bool stopped = false;
	for (size_t i = 0; i < s.len && !stopped; i += piece)
		CHECK_OK(text_add(t, str_sub(s, i, piece), &thought, &answer, &stopped));
	CHECK_OK(text_end(t, &thought, &answer));
	CHECK_EQ_STR(buf_str(&thought), str_from(thought_want));
	CHECK_EQ_STR(buf_str(&answer), str_from(answer_want));
}

TEST(reasoning_is_split_from_the_answer_whatever_the_pieces)
{
	for (size_t n = 1; n < 40; n++) {
		think("<think>\nwhy?</think>\n\nbecause", false, n, "why?", "because");
		think("  \n<think>a</thin</think>b", false, n, "a</thin", "b");
		think("no <think> here", false, n, "", "no <think> here");
		think("<thinker", false, n, "", "<thinker");
		think("<thi", false, n, "", "<thi");
		think("deep</think> done STOP more", true, n, "deep", "done ");
		think("STOP does not count here</think>x", true, n, "STOP does not count here",
			"x");
		think("<think>never ends </th", false, n, "never ends </th", "");
	}
}

TEST(bad_stop_strings_are_refused)
{
	AUTO(text) struct text *t = NULL;
	struct str many[LIMIT_STOP_STRINGS + 1];
	for (size_t i = 0; i <= LIMIT_STOP_STRINGS; i++)
		many[i] = STR("x");
	char longer[LIMIT_STOP_STRING + 1];
	memset(longer, 'y', sizeof longer);
	const struct str empty = STR(""), bad = STR("\xff"), big = { longer, sizeof longer };
	CHECK_ERR(text_new(&(struct text_options){ .stop = many, .n_stop = LIMIT_STOP_STRINGS + 1 },
			  &t),
		ERR_LIMIT);
	CHECK_ERR(text_new(&(struct text_options){ .stop = &empty, .n_stop = 1 }, &t), ERR_INVALID);
	CHECK_ERR(text_new(&(struct text_options){ .stop = &bad, .n_stop = 1 }, &t), ERR_INVALID);
	CHECK_ERR(text_new(&(struct text_options){ .stop = &big, .n_stop = 1 }, &t), ERR_LIMIT);
	CHECK(t == NULL);
}

TEST(no_allocation_that_fails_goes_unnoticed)
{
	const struct str stop[] = { STR("ab"), STR("cd") };
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO(text) struct text *t = NULL;
		AUTO_BUF struct buf thought = BUF(1000), answer = BUF(1000);
		struct text_options o = { .stop = stop,
			.n_stop = 2,
			.think_start = STR("<t>"),
			.think_end = STR("</t>") };
		bool stopped = false;
		enum err e = text_new(&o, &t);
		if (!e)
			e = text_add(t, STR("<t>x</t>hello ab"), &thought, &answer, &stopped);
		if (!e)
			CHECK_EQ_STR(buf_str(&answer), STR("hello "));
		else
			CHECK_EQ_INT(e, ERR_NOMEM);
	}
}
