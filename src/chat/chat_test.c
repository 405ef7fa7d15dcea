#include "chat/chat.h"

#include <stdio.h>

#include "base/random.h"
#include "chat/chat_int.h"
#include "chat/chat_test_fixture.h"
#include "tests/test.h"

/* ---- conversations ---- */

TEST(every_statement_is_prepared)
{
	struct fixture f;
	fixture_open(&f);
	CHECK_OK(db_prepare_check(f.db, chat_sql_all, chat_sql_count));
	fixture_close(&f);
}

static enum err explain(struct db_conn *c, void *arg)
{
	static const struct sql q = { "test.plan",
		"EXPLAIN QUERY PLAN SELECT id, title, model, label, created_ms, changed_ms, person"
		" FROM conversation WHERE person = ?1 AND (changed_ms, id) < (?3, ?4)"
		" ORDER BY changed_ms DESC, id DESC LIMIT ?2" };
	struct db_row r;
	TRY(db_query(c, &q, &r));
	while (db_next(&r))
		TRY(buf_addf(arg, "%.*s\n", STR_ARG(db_col_str(&r, 3))));
	return db_end(&r);
}

TEST(the_list_reads_one_index_and_sorts_nothing)
{
	AUTO_BUF struct buf plan = BUF(65536);
	struct fixture f;
	fixture_open(&f);
	CHECK_OK(db_read(f.db, explain, &plan));
	CHECK(str_find(buf_str(&plan), STR("USING COVERING INDEX conversation_recent"), 0) !=
		SIZE_MAX);
	CHECK(str_find(buf_str(&plan), STR("TEMP B-TREE"), 0) == SIZE_MAX);
	fixture_close(&f);
}

TEST(a_list_comes_newest_first_in_pages)
{
	struct fixture f;
	char made[7][ID_LEN + 1];
	fixture_open(&f);
	for (int i = 0; i < 7; i++)
		(void)str_copy(str_from(fixture_conversation(&f)), made[i], ID_LEN + 1);
	char cursor[80] = "";
	int seen = 0, pages = 0;
	for (;;) {
		AUTO_BUF struct buf out = BUF(1 << 20);
		CHECK_OK(chat_list(f.chats, ANNA, str_from(cursor), 3, &out, NULL));
		AUTO_JSON json_t *j = json_loadb(out.ptr, out.len, 0, NULL);
		size_t i;
		json_t *c;
		json_array_foreach(json_object_get(j, "conversations"), i, c) {
			CHECK_EQ_INT(json_integer_value(json_object_get(c, "label")), 1);
			CHECK(json_is_false(json_object_get(c, "generating")));
			seen++;
		}
		pages++;
		if (!jstr(j, "next"))
			break;
		snprintf(cursor, sizeof cursor, "%s", jstr(j, "next"));
	}
	CHECK_EQ_INT(seen, 7);
	CHECK_EQ_INT(pages, 3);
	AUTO_BUF struct buf out = BUF(1 << 20);
	CHECK_OK(chat_list(f.chats, BERT, STR(""), 10, &out, NULL));
	CHECK_EQ_STR(buf_str(&out), STR("{\"conversations\":[]}"));
	CHECK_ERR(chat_list(f.chats, ANNA, STR("nonsense"), 3, &out, NULL), ERR_INVALID);
	CHECK_ERR(chat_list(f.chats, ANNA, STR("12:x' OR 1"), 3, &out, NULL), ERR_INVALID);
	fixture_close(&f);
}

TEST(a_label_only_rises_and_takes_the_messages_with_it)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	AUTO_BUF struct buf out = BUF(1 << 20);
	struct chat_change up = { .label = 3 }, down = { .label = 2 }, much = { .label = 5 },
			   name = { .title = STR("Neu"), .label = -1 };
	CHECK_OK(chat_change(f.chats, str_from(id), &up, &out, NULL));
	CHECK_ERR(chat_change(f.chats, str_from(id), &down, &out, NULL), ERR_CONFLICT);
	CHECK_ERR(chat_change(f.chats, str_from(id), &much, &out, NULL), ERR_INVALID);
	CHECK_OK(chat_change(f.chats, str_from(id), &name, &out, NULL));
	CHECK_ERR(chat_change(f.chats, STR("01aaaaaaaaaaaaaaaaaaaaaaaa"), &name, &out, NULL),
		ERR_NOT_FOUND);
	AUTO_JSON json_t *m = fixture_message(&f, answer);
	CHECK_EQ_INT(json_integer_value(json_object_get(m, "label")), 3);
	AUTO_JSON json_t *c = fixture_get(&f, id);
	CHECK_EQ_Z(jstr(json_object_get(c, "conversation"), "title"), "Neu");
	CHECK_EQ_INT(
		json_integer_value(json_object_get(json_object_get(c, "conversation"), "label")),
		3);
	fixture_close(&f);
}

TEST(who_uses_a_model_is_counted_by_its_name)
{
	static const struct {
		const char *person, *model;
	} made[] = { { ANNA, "assistant" }, { ANNA, "Assistant" }, { BERT, "assistant" },
		{ ANNA, "assistant:candidate" } };
	struct fixture f;
	int64_t conversations = -1, people = -1;
	fixture_open(&f);
	CHECK_OK(chat_uses(f.chats, STR("assistant"), &conversations, &people));
	CHECK(conversations == 0 && people == 0);
	for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
		AUTO_BUF struct buf out = BUF(1 << 20);
		CHECK_OK(chat_create(f.chats, made[i].person, str_from(made[i].model), STR("t"),
			&out, NULL));
	}
	CHECK_OK(chat_uses(f.chats, STR("assistant"), &conversations, &people));
	CHECK(conversations == 3 && people == 2);
	fixture_close(&f);
}

TEST(owners_are_told_and_strangers_are_not_there)
{
	struct fixture f;
	char answer[27], owner[ID_LEN + 1];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	CHECK_OK(chat_owner(f.chats, str_from(id), owner));
	CHECK_EQ_Z(owner, ANNA);
	CHECK_OK(chat_message_owner(f.chats, str_from(answer), owner));
	CHECK_EQ_Z(owner, ANNA);
	CHECK_ERR(chat_owner(f.chats, STR("x"), owner), ERR_NOT_FOUND);
	CHECK_ERR(chat_message_owner(f.chats, str_from(id), owner), ERR_NOT_FOUND);
	fixture_close(&f);
}

TEST(deleting_stops_the_answer_and_tells_the_pages)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	fake_say(f.fleet, 0, "half", 1);
	CHECK_OK(chat_delete(f.chats, str_from(id), NULL));
	CHECK(fake_at(f.fleet, 0)->cancelled);
	AUTO_JSON json_t *gone = fixture_event(&f, "conversation_deleted", 0);
	CHECK_EQ_Z(jstr(gone, "id"), id);
	AUTO_BUF struct buf out = BUF(1 << 20);
	CHECK_ERR(chat_get(f.chats, str_from(id), &out, NULL), ERR_NOT_FOUND);
	CHECK_ERR(chat_message(f.chats, str_from(answer), &out, NULL), ERR_NOT_FOUND);
	CHECK_ERR(chat_delete(f.chats, str_from(id), NULL), ERR_NOT_FOUND);
	/* by the same numbers as the engine knows it: before the commit and after it */
	struct engine_purge p[4];
	CHECK_EQ_INT(fake_purges(f.fleet, p, 4), 2);
	for (int i = 0; i < 2; i++)
		CHECK(p[i].person == fake_at(f.fleet, 0)->person && p[i].person != 0 &&
		      p[i].object == fake_at(f.fleet, 0)->object && p[i].object != 0 &&
		      p[i].person != p[i].object);
	fixture_close(&f);
}

TEST(a_forgotten_person_has_nothing_left)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	CHECK_OK(chat_forget_person(f.chats, ANNA));
	CHECK(fake_at(f.fleet, 0)->cancelled);
	json_decref(fixture_event(&f, "session_ended", 0));
	AUTO_BUF struct buf out = BUF(1 << 20);
	CHECK_ERR(chat_get(f.chats, str_from(id), &out, NULL), ERR_NOT_FOUND);
	struct engine_purge p[4];
	size_t n = fake_purges(f.fleet, p, 4);
	CHECK(n >= 1 && p[n - 1].person == fake_at(f.fleet, 0)->person && p[n - 1].object == 0);
	fixture_close(&f);
}

/* ---- titles ---- */

static void title_is(const char *question, const char *want)
{
	AUTO_BUF struct buf t = BUF(LIMIT_TITLE);
	CHECK_OK(title_of(str_from(question), &t));
	CHECK_EQ_STR(buf_str(&t), str_from(want));
}

TEST(a_title_is_the_questions_first_words)
{
	title_is("Hello", "Hello");
	title_is("  \n\n Was  ist\tdas?\nMehr Text", "Was ist das?");
	title_is(
		"eins zwei drei vier f\xc3\xbcnf sechs sieben acht neun zehn elf zw\xc3\xb6lf "
		"dreizehn",
		"eins zwei drei vier f\xc3\xbcnf sechs sieben acht neun zehn elf\xe2\x80\xa6");
	/* one long word is cut inside, at 60 characters, never inside a character */
	title_is(
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4z",
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
		"\xe2\x80\xa6");
}

TEST(the_first_question_names_a_conversation_until_it_is_renamed)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "Was kostet das?", answer);
	fake_say(f.fleet, 0, "Viel.", 1);
	fake_done(f.fleet, 0, GEN_STOP);
	json_decref(fixture_wait_state(&f, answer, "done"));
	fixture_ask(&f, id, "Und warum?", answer);
	AUTO_JSON json_t *c = fixture_get(&f, id);
	CHECK_EQ_Z(jstr(json_object_get(c, "conversation"), "title"), "Was kostet das?");
	fixture_close(&f);
}

/* ---- questions ---- */

static enum err ask(struct fixture *f, const char *id, const struct chat_send *s)
{
	AUTO_BUF struct buf out = BUF(64 << 20);
	return chat_send(f->chats, ANNA, str_from(id), s, &out, NULL);
}

TEST(bad_questions_are_refused_and_leave_nothing)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	CHECK_ERR(ask(&f, id, &(struct chat_send){ .content = STR(" \n") }), ERR_INVALID);
	CHECK_ERR(ask(&f, id, &(struct chat_send){ .content = STR("a\xff") }), ERR_INVALID);
	CHECK_ERR(ask(&f, id, &(struct chat_send){ .content = STR("a\0b") }), ERR_INVALID);
	CHECK_ERR(ask(&f, id, &(struct chat_send){ .content = STR("a"), .model = STR("gone") }),
		ERR_NOT_FOUND);
	CHECK_ERR(ask(&f, id, &(struct chat_send){ .content = STR("a"),
		.parent = STR("01aaaaaaaaaaaaaaaaaaaaaaaa") }), ERR_NOT_FOUND);
	CHECK_ERR(ask(&f, "01aaaaaaaaaaaaaaaaaaaaaaaa", &(struct chat_send){ .content = STR("a") }),
		ERR_NOT_FOUND);
	AUTO_JSON json_t *empty = fixture_get(&f, id);
	CHECK_EQ_INT(json_array_size(json_object_get(empty, "messages")), 0);
	CHECK(json_is_false(json_object_get(json_object_get(empty, "conversation"), "generating")));
	fixture_ask(&f, id, "first", answer);
	CHECK_ERR(ask(&f, id, &(struct chat_send){ .content = STR("b") }),
		ERR_CONFLICT); /* one at a time */
	CHECK_EQ_INT(fake_count(f.fleet), 1);
	fixture_close(&f);
}

TEST(the_same_client_id_again_asks_once)
{
	struct fixture f;
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	struct chat_send s = { .content = STR("only once"), .client_id = STR("page-1") };
	AUTO_BUF struct buf one = BUF(1 << 20), two = BUF(1 << 20);
	CHECK_OK(chat_send(f.chats, ANNA, str_from(id), &s, &one, NULL));
	CHECK_OK(chat_send(f.chats, ANNA, str_from(id), &s, &two, NULL));
	CHECK_EQ_STR(buf_str(&one), buf_str(&two));
	CHECK_EQ_INT(fake_count(f.fleet), 1);
	AUTO_JSON json_t *c = fixture_get(&f, id);
	CHECK_EQ_INT(json_array_size(json_object_get(c, "messages")), 2);
	fixture_close(&f);
}

TEST(an_engine_gets_the_branch_it_is_asked_in)
{
	struct fixture f;
	char first[27], second[27], third[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "one", first);
	CHECK_EQ_Z(fake_at(f.fleet, 0)->input, "[{\"role\":\"user\",\"content\":\"one\"}]");
	fake_say(f.fleet, 0, "1", 1);
	fake_done(f.fleet, 0, GEN_STOP);
	json_decref(fixture_wait_state(&f, first, "done"));
	fixture_ask(&f, id, "two \"q\"", second);
	CHECK_EQ_Z(fake_at(f.fleet, 1)->input,
		"[{\"role\":\"user\",\"content\":\"one\"},"
		"{\"role\":\"assistant\",\"content\":\"1\"},{\"role\":\"user\",\"content\":\"two "
			"\\\"q\\\"\"}]");
	fake_failed(f.fleet, 1, ERR_ENGINE, "died");
	json_decref(fixture_wait_state(&f, second, "failed"));
	/* the failed answer said nothing: the two questions become one turn */
	fixture_ask(&f, id, "three", third);
	CHECK_EQ_Z(fake_at(f.fleet, 2)->input, "[{\"role\":\"user\",\"content\":\"one\"},"
		"{\"role\":\"assistant\",\"content\":\"1\"},"
		"{\"role\":\"user\",\"content\":\"two \\\"q\\\"\\n\\nthree\"}]");
	fake_done(f.fleet, 2, GEN_STOP);
	json_decref(fixture_wait_state(&f, third, "done"));
	/* another branch from the first answer */
	struct chat_send s = { .content = STR("other"), .parent = str_from(first) };
	CHECK_OK(ask(&f, id, &s));
	CHECK_EQ_Z(fake_at(f.fleet, 3)->input,
		"[{\"role\":\"user\",\"content\":\"one\"},"
		"{\"role\":\"assistant\",\"content\":\"1\"},"
		"{\"role\":\"user\",\"content\":\"other\"}]");
	/* another first question */
	s = (struct chat_send){ .content = STR("anew"), .parent = STR("root") };
	CHECK_OK(ask(&f, id, &s));
	CHECK_EQ_Z(fake_at(f.fleet, 4)->input, "[{\"role\":\"user\",\"content\":\"anew\"}]");
	fixture_close(&f);
}
