#include "words/words.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/hex.h"
#include "tests/test.h"

enum { FILE_LEN_MAX = 4 << 20, SHOWN_MAX = 4096 };

static enum err read_file(const char *path, struct buf *out)
{
	char part[65536];
	FILE *f = fopen(path, "rb");
	CHECK(f);
	for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
		CHECK_OK(buf_add(out, (struct str){ part, n }));
	(void)fclose(f);
	return OK;
}

/* The dictionary that was made with the dependencies (TRESOR_WORDS). */
static struct str file(struct buf *b)
{
	const char *path = getenv("TRESOR_WORDS");
	if (!path)
		SKIP("TRESOR_WORDS is not set");
	CHECK_OK(read_file(path, b));
	return buf_str(b);
}

struct shown {
	char text[SHOWN_MAX];
	size_t n;
};

/* "haus mietvertrag|miet": words apart by blanks, terms of one word by bars. */
static enum err show(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	struct shown *s = arg;
	CHECK(from < to && term.len > 0 && term.len <= WORDS_TERM_MAX);
	int n = snprintf(s->text + s->n, sizeof s->text - s->n, "%s%.*s",
		beside   ? "|"
		: s->n   ? " "
			 : "",
		STR_ARG(term));
	s->n += (size_t)n;
	CHECK(s->n < sizeof s->text);
	return OK;
}

static const char *terms(struct words *w, const char *text, enum words_for what)
{
	static struct shown s;
	s.n = 0;
	s.text[0] = '\0';
	CHECK_OK(words_each(w, str_from(text), what, show, &s));
	return s.text;
}

static bool found(struct words *w, const char *question, const char *text)
{
	char asked[SHOWN_MAX];
	(void)snprintf(asked, sizeof asked, "%s", terms(w, question, WORDS_QUESTION));
	struct str all = str_from(terms(w, text, WORDS_TEXT)), one, rest = str_from(asked), a;
	while (str_next(&rest, '|', &a))
		for (struct str left = all; str_next(&left, '|', &one);)
			if (str_eq(a, one))
				return true;
	return false;
}

/* Of a list in tests/words: a question, a tab, a word. Returns how many there are. */
static unsigned check_pairs(struct words *w, const char *list, bool want)
{
	AUTO_BUF struct buf b = BUF(1 << 16);
	unsigned n = 0, wrong = 0;
	struct str line, rest;
	CHECK_OK(read_file(test_path(list), &b));
	for (rest = buf_str(&b); str_next(&rest, '\n', &line);) {
		char question[200], text[200];
		struct str q;
		if (!line.len || line.ptr[0] == '#')
			continue;
		CHECK(str_next(&line, '\t', &q));
		CHECK_OK(str_copy(q, question, sizeof question));
		CHECK_OK(str_copy(line, text, sizeof text));
		n++;
		if (found(w, question, text) == want)
			continue;
		wrong++;
		(void)fprintf(stderr, "%s - %s: %s\n", question, text,
			terms(w, text, WORDS_TEXT));
	}
	CHECK_EQ_INT(wrong, 0);
	return n;
}

TEST(what_belongs_together_is_found_and_nothing_else)
{
	AUTO_BUF struct buf b = BUF(FILE_LEN_MAX);
	AUTO(words_dict) struct words_dict *d = NULL;
	AUTO(words) struct words *w = NULL;
	CHECK_OK(words_dict_open(file(&b), &d, NULL));
	CHECK_OK(words_new(d, &w));
	CHECK(check_pairs(w, "tests/words/found.tsv", true) >= 200);
	CHECK(check_pairs(w, "tests/words/apart.tsv", false) >= 100);
}

/* tools and program divide and stem in the same way: the terms of forms of nouns as words.py has
 * them. */
TEST(forms_have_the_terms_they_were_given)
{
	AUTO_BUF struct buf b = BUF(FILE_LEN_MAX);
	AUTO_BUF struct buf sample = BUF(FILE_LEN_MAX);
	AUTO(words_dict) struct words_dict *d = NULL;
	AUTO(words) struct words *w = NULL;
	char path[4096];
	unsigned n = 0;
	struct str line, form, term, rest;
	CHECK_OK(words_dict_open(file(&b), &d, NULL));
	CHECK_OK(words_new(d, &w));
	CHECK(snprintf(path, sizeof path, "%s.sample", getenv("TRESOR_WORDS")) < (int)sizeof path);
	CHECK_OK(read_file(path, &sample));
	for (rest = buf_str(&sample); str_next(&rest, '\n', &line); n += line.len > 0) {
		char text[200];
		AUTO_BUF struct buf want = BUF(SHOWN_MAX);
		if (!line.len)
			continue;
		CHECK(str_next(&line, '\t', &form));
		CHECK_OK(str_copy(form, text, sizeof text));
		while (str_next(&line, '|', &term)) {
			uint8_t raw[WORDS_TERM_MAX];
			CHECK_OK(hex_decode(term, raw, term.len / 2));
			if (want.len)
				CHECK_OK(buf_add(&want, STR("|")));
			CHECK_OK(buf_add(&want, (struct str){ (char *)raw, term.len / 2 }));
		}
		struct str got = str_from(terms(w, text, WORDS_QUESTION));
		bool more = got.len > want.len && got.ptr[want.len] == '|'; /* the English one */
		CHECK_EQ_STR(more ? str_sub(got, 0, want.len) : got, buf_str(&want));
		n++;
	}
	CHECK(n > 5000);
}

TEST(words_of_any_script_are_told)
{
	AUTO(words) struct words *w = NULL;
	CHECK_OK(words_new(NULL, &w));
	CHECK_EQ_Z(terms(w, "", WORDS_TEXT), "");
	CHECK_EQ_Z(terms(w, " .,- ", WORDS_TEXT), "");
	CHECK_EQ_Z(terms(w, "A4, 2026!", WORDS_QUESTION), "a4 2026");
	CHECK_EQ_Z(terms(w, "МОСКВА", WORDS_QUESTION), "москва");
	CHECK_EQ_Z(terms(w, "Strasse Straße", WORDS_BEGINNING), "strasse strasse");
	CHECK_EQ_Z(terms(w, "Mueller M\xc3\xbcller Mu\xcc\x88ller", WORDS_BEGINNING),
		"muller muller muller");
	CHECK_EQ_Z(terms(w, "Frauen neue Quelle", WORDS_BEGINNING), "frauen neue quelle");
	CHECK_EQ_Z(terms(w, "Caf\xc3\xa9", WORDS_BEGINNING), "cafe");
	CHECK_EQ_Z(terms(w, "contracts", WORDS_QUESTION), "contract");
	CHECK_EQ_Z(terms(w, "running", WORDS_QUESTION), "running|run");
	/* not UTF-8: the word ends there */
	CHECK_EQ_Z(terms(w, "eins\xff" "zwei", WORDS_BEGINNING), "eins zwei");
}

static enum err places(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	size_t *sum = arg;
	sum[0] += from;
	sum[1] += to;
	return term.len ? OK : ERR_INTERNAL;
}

static enum err no(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	return ERR_CANCELLED;
}

TEST(places_are_bytes_of_the_text)
{
	AUTO(words) struct words *w = NULL;
	size_t sum[2] = { 0 };
	CHECK_OK(words_new(NULL, &w));
	CHECK_OK(words_each(w, STR("\xc3\x84ra \xc3\x9c"), WORDS_BEGINNING, places, sum));
	CHECK_EQ_INT(sum[0], 0 + 5);
	CHECK_EQ_INT(sum[1], 4 + 7);
	CHECK_ERR(words_each(w, STR("a b"), WORDS_TEXT, no, NULL), ERR_CANCELLED);
}

TEST(a_long_word_is_cut_and_not_lost)
{
	AUTO(words) struct words *w = NULL;
	AUTO_BUF struct buf b = BUF(100000);
	size_t sum[2] = { 0 };
	CHECK_OK(words_new(NULL, &w));
	for (int i = 0; i < 20000; i++)
		CHECK_OK(buf_add(&b, STR("\xc8\xba"))); /* its small letter is a byte longer */
	CHECK_OK(words_each(w, buf_str(&b), WORDS_TEXT, places, sum));
	CHECK_EQ_INT(sum[1], 40000);
}

TEST(a_damaged_dictionary_is_refused_or_harmless)
{
	AUTO_BUF struct buf b = BUF(FILE_LEN_MAX);
	AUTO_MEM char *copy = NULL;
	struct err_info info = { 0 };
	struct words_dict *d = NULL;
	struct str whole = file(&b);
	CHECK_ERR(words_dict_open(STR("TRWORDS1"), &d, &info), ERR_CORRUPT);
	CHECK_ERR(words_dict_open(str_sub(whole, 0, whole.len - 1), &d, NULL), ERR_CORRUPT);
	copy = malloc(whole.len);
	CHECK(copy);
	srandom(5);
	for (int i = 0; i < 60; i++) {
		AUTO(words) struct words *w = NULL;
		memcpy(copy, whole.ptr, whole.len);
		size_t at = (size_t)random() % (i < 30 ? 24 : whole.len);
		copy[at] = (char)(copy[at] ^ (1 << random() % 8));
		d = NULL;
		enum err e = words_dict_open((struct str){ copy, whole.len }, &d, NULL);
		CHECK(e == OK || e == ERR_CORRUPT || e == ERR_UNSUPPORTED);
		if (e)
			continue;
		CHECK_OK(words_new(d, &w));
		(void)terms(w, "Rahmenvertragsverhandlungen", WORDS_TEXT);
		d = words_dict_free(d);
	}
	memcpy(copy, whole.ptr, whole.len);
	copy[20] ^= 1; /* the stems it was made with */
	CHECK_ERR(words_dict_open((struct str){ copy, whole.len }, &d, &info), ERR_UNSUPPORTED);
}

TEST(no_memory_is_said)
{
	AUTO_BUF struct buf b = BUF(FILE_LEN_MAX);
	struct str whole = file(&b);
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		AUTO(words_dict) struct words_dict *d = NULL;
		AUTO(words) struct words *w = NULL;
		enum err e = words_dict_open(whole, &d, NULL);
		e = e ? e : words_new(d, &w);
		CHECK_EQ_INT(e != OK, fault_fired(FAULT_ALLOC));
	}
}
