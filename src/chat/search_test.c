#include "chat/search.h"

#include <stdio.h>
#include <time.h>

#include "base/random.h"
#include "base/time.h"
#include "chat/chat_test_fixture.h"
#include "os/fd.h"
#include "tests/test.h"
#include "words/words.h"

enum { WAITS = 1000 };

/* One result's text, its hits in brackets. */
static void add_said(struct buf *out, const json_t *result)
{
	size_t i;
	json_t *piece;
	json_array_foreach(json_object_get(result, "said"), i, piece)
	{
		bool hit = json_is_true(json_object_get(piece, "hit"));
		CHECK_OK(buf_addf(out, hit ? "[%s]" : "%s", jstr(piece, "text")));
	}
}

static json_t *ask(struct chat_search *s, const char *person, const struct chat_search_ask *a)
{
	struct err_info info = { 0 };
	for (int i = 0; i < WAITS; i++) {
		AUTO_BUF struct buf out = BUF(1 << 20);
		if (chat_search_find(s, person, a, &out, &info))
			FAIL("%s", info.detail);
		json_t *j = json_loadb(out.ptr, out.len, 0, NULL);
		CHECK(j);
		if (!json_integer_value(json_object_get(j, "left")))
			return j;
		json_decref(j); /* not all is in the index yet */
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	FAIL("the index never caught up");
}

/* "one|two": the texts found, newest first. */
static const char *found(struct chat_search *s, const char *person, const char *text)
{
	static char shown[8192];
	AUTO_BUF struct buf all = BUF(sizeof shown - 1);
	AUTO_JSON json_t *j = ask(s, person,
		&(struct chat_search_ask){ .text = str_from(text), .limit = SEARCH_LIMIT_MAX });
	size_t i;
	json_t *r;
	json_array_foreach(json_object_get(j, "results"), i, r)
	{
		if (i)
			CHECK_OK(buf_add(&all, STR("|")));
		add_said(&all, r);
	}
	CHECK_OK(str_copy(buf_str(&all), shown, sizeof shown));
	return shown;
}

static void say(
	struct fixture *f, const char *conversation, const char *question, const char *answer)
{
	char id[ID_LEN + 1];
	size_t n = fake_count(f->fleet);
	fixture_ask(f, conversation, question, id);
	for (int i = 0; i < WAITS && fake_count(f->fleet) == n; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	fake_begun(f->fleet, n, 1, 0);
	fake_say(f->fleet, n, answer, 1);
	fake_done(f->fleet, n, GEN_STOP);
	AUTO_JSON json_t *j = fixture_wait_state(f, id, "done");
	CHECK(j);
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL); /* ids are times */
}

TEST(what_was_said_is_found_by_its_person_alone)
{
	struct fixture f;
	fixture_open(&f);
	const char *c = fixture_conversation(&f);
	say(&f, c, "Was steht im Vertrag mit Meier?", "Die Miete: 900 Euro.");
	say(&f, c, "Und in den Verträgen davor?", "Nichts zur Miete, nur Nebenkosten.");
	CHECK_EQ_Z(found(f.search, ANNA, "Miete"),
		"Nichts zur [Miete], nur Nebenkosten.|Die [Miete]: 900 Euro.");
	CHECK_EQ_Z(found(f.search, ANNA, "mieten euro"), "Die [Miete]: 900 [Euro].");
	CHECK_EQ_Z(found(f.search, ANNA, "miete -euro"), "Nichts zur [Miete], nur Nebenkosten.");
	CHECK_EQ_Z(found(f.search, ANNA, "\"nur Nebenkosten\""),
		"Nichts zur Miete, [nur] [Nebenkosten].");
	CHECK_EQ_Z(found(f.search, ANNA, "\"Nebenkosten nur\""), "");
	CHECK_EQ_Z(found(f.search, ANNA, "\xe2\x80\x9eNebenkosten nur\xe2\x80\x9c"), "");
	CHECK_EQ_Z(found(f.search, ANNA, "\xc2\xbbnur Nebenkosten\xc2\xab miete"),
		"Nichts zur [Miete], [nur] [Nebenkosten].");
	CHECK_EQ_Z(found(f.search, ANNA, "nebenk"), "Nichts zur Miete, nur [Nebenkosten].");
	CHECK_EQ_Z(found(f.search, ANNA, "nebenk "), "");
	CHECK_EQ_Z(found(f.search, BERT, "Miete"), "");
	CHECK_EQ_Z(found(f.search, ANNA, "Miete\" OR who:\"0" BERT), "");
	fixture_close(&f);
}

TEST(a_question_without_words_is_refused)
{
	static const char *const bad[] = { "", "  ", "!? -", "-miete", "\"\"" };
	AUTO_BUF struct buf out = BUF(1 << 20);
	char many[SEARCH_TEXT_MAX + 2];
	struct fixture f;
	fixture_open(&f);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct err_info info = { 0 };
		struct chat_search_ask a = { .text = str_from(bad[i]), .limit = 1 };
		CHECK_ERR(chat_search_find(f.search, ANNA, &a, &out, &info), ERR_INVALID);
		CHECK(info.detail[0]);
	}
	for (size_t i = 0; i < sizeof many; i++)
		many[i] = i % 2 ? ' ' : 'a';
	struct chat_search_ask a = { .text = { many, 2 * (SEARCH_WORDS_MAX + 1) }, .limit = 1 };
	CHECK_ERR(chat_search_find(f.search, ANNA, &a, &out, NULL), ERR_INVALID);
	a.text.len = sizeof many;
	CHECK_ERR(chat_search_find(f.search, ANNA, &a, &out, NULL), ERR_INVALID);
	fixture_close(&f);
}

TEST(results_come_in_pages_and_by_time)
{
	struct fixture f;
	char question[64];
	fixture_open(&f);
	const char *c = fixture_conversation(&f);
	int64_t middle = 0, start = time_now_ms();
	for (int i = 0; i < 7; i++) {
		(void)snprintf(question, sizeof question, "Lieferung Nummer %d", i);
		say(&f, c, question, "gut");
		if (i == 3)
			middle = time_now_ms();
	}
	struct chat_search_ask a = { .text = STR("Lieferungen "), .limit = 3 };
	unsigned seen = 0, pages = 0;
	do {
		AUTO_JSON json_t *j = ask(f.search, ANNA, &a);
		seen += (unsigned)json_array_size(json_object_get(j, "results"));
		const char *next = jstr(j, "next");
		a.before = 0;
		if (next)
			CHECK_OK(str_to_i64(str_from(next), &a.before));
		pages++;
	} while (a.before);
	CHECK_EQ_INT(seen, 7);
	CHECK_EQ_INT(pages, 3);
	a.limit = 20;
	a.from_ms = middle;
	AUTO_JSON json_t *late = ask(f.search, ANNA, &a);
	CHECK_EQ_INT(json_array_size(json_object_get(late, "results")), 3);
	a.from_ms = start;
	a.until_ms = middle;
	AUTO_JSON json_t *early = ask(f.search, ANNA, &a);
	CHECK_EQ_INT(json_array_size(json_object_get(early, "results")), 4);
	a.model = STR("other");
	AUTO_JSON json_t *none = ask(f.search, ANNA, &a);
	CHECK_EQ_INT(json_array_size(json_object_get(none, "results")), 0);
	fixture_close(&f);
}

struct looking {
	struct str word;
	bool there;
};

static enum err look(struct db_conn *c, void *arg)
{
	static const struct sql q = { "test.index", "SELECT block FROM search_data" };
	struct looking *l = arg;
	struct db_row r;
	l->there = false;
	TRY(db_query(c, &q, &r));
	while (db_next(&r))
		l->there |= str_find(db_col_blob(&r, 0), l->word, 0) != SIZE_MAX;
	return db_end(&r);
}

static bool in_index(struct fixture *f, const char *word)
{
	struct looking l = { .word = str_from(word) };
	CHECK_OK(db_read(f->db, look, &l));
	return l.there;
}

TEST(what_is_deleted_leaves_the_index)
{
	struct fixture f;
	fixture_open(&f);
	const char *c = fixture_conversation(&f), *other = fixture_conversation(&f);
	say(&f, other, "Wellensittich", "gut");
	say(&f, c, "Kanarienvogel", "schlecht");
	CHECK_EQ_Z(found(f.search, ANNA, "kanarienvogel"), "[Kanarienvogel]");
	CHECK(in_index(&f, "anarienvogel")); /* keys share their beginnings */
	CHECK_OK(chat_delete(f.chats, str_from(c), NULL));
	CHECK_EQ_Z(found(f.search, ANNA, "kanarienvogel"), "");
	fixture_close(&f);
	fixture_open(&f); /* tidies at once */
	for (int i = 0; i < WAITS && in_index(&f, "anarienvogel"); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	CHECK(!in_index(&f, "anarienvogel"));
	CHECK_EQ_Z(found(f.search, ANNA, "Wellensittich"), "[Wellensittich]");
	fixture_close(&f);
}

TEST(what_was_said_before_is_taken_in_and_another_dictionary_makes_all_anew)
{
	AUTO_BUF struct buf file = BUF(4 << 20);
	AUTO(words_dict) struct words_dict *d = NULL;
	struct fixture f;
	const char *path = getenv("TRESOR_WORDS");
	if (!path)
		SKIP("TRESOR_WORDS is not set");
	CHECK_OK(file_read(path, &file));
	CHECK_OK(words_dict_open(buf_str(&file), &d, NULL));
	fixture_open(&f);
	const char *c = fixture_conversation(&f);
	say(&f, c, "Wie lang ist die Kündigungsfrist?", "Drei Monate.");
	CHECK_EQ_Z(found(f.search, ANNA, "Frist"), ""); /* stems alone know no compounds */
	fixture_close(&f);
	fixture_open_with(&f, d);
	for (int i = 0; i < WAITS && !found(f.search, ANNA, "Frist")[0]; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL); /* it begins soon */
	CHECK_EQ_Z(found(f.search, ANNA, "Frist"), "Wie lang ist die [Kündigungsfrist]?");
	CHECK_EQ_Z(found(f.search, ANNA, "Monat"), "Drei [Monate].");
	fixture_close(&f);
}

TEST(a_long_text_is_found_once_and_in_all_its_parts)
{
	struct fixture f;
	AUTO_BUF struct buf text = BUF(1 << 20);
	fixture_open(&f);
	CHECK_OK(buf_add(&text, STR("Anfang ")));
	for (int i = 0; i < 9000; i++)
		CHECK_OK(buf_add(&text, STR("und wieder ")));
	CHECK_OK(buf_add(&text, STR("Schluss")));
	CHECK_OK(buf_add_byte(&text, '\0'));
	const char *c = fixture_conversation(&f);
	say(&f, c, text.ptr, "gut");
	CHECK(str_ends(str_from(found(f.search, ANNA, "Schluss")), STR("und wieder [Schluss]")));
	CHECK(str_starts(str_from(found(f.search, ANNA, "Anfang")), STR("[Anfang] und")));
	CHECK(str_find(str_from(found(f.search, ANNA, "wieder")), STR("|"), 0) == SIZE_MAX);
	CHECK_OK(chat_delete(f.chats, str_from(c), NULL));
	CHECK_EQ_Z(found(f.search, ANNA, "wieder"), "");
	fixture_close(&f);
}

TEST(a_long_text_is_shown_around_what_was_looked_for)
{
	struct fixture f;
	AUTO_BUF struct buf text = BUF(1 << 20);
	fixture_open(&f);
	for (int i = 0; i < 300; i++)
		CHECK_OK(buf_add(&text, STR("\xc3\xbc\x62\x65r und \xc3\xbc\x62\x65r ")));
	CHECK_OK(buf_add(&text, STR("ein Nagel")));
	for (int i = 0; i < 300; i++)
		CHECK_OK(buf_add(&text, STR(" und wieder")));
	CHECK_OK(buf_add_byte(&text, '\0'));
	say(&f, fixture_conversation(&f), text.ptr, "gut");
	struct str got = str_from(found(f.search, ANNA, "Nagel"));
	CHECK(str_is_utf8(got) && got.len < 400);
	CHECK(str_starts(got, STR("\xe2\x80\xa6")) && str_ends(got, STR("\xe2\x80\xa6")));
	CHECK(str_find(got, STR(" ein [Nagel] und"), 0) != SIZE_MAX);
	fixture_close(&f);
}
