#include <stdio.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "base/random.h"
#include "chat/chat_int.h"
#include "chat/chat_test_fixture.h"
#include "os/threads.h"
#include "tests/test.h"

static int64_t jint(const json_t *j, const char *key)
{
	return json_integer_value(json_object_get(j, key));
}

static void rest_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

TEST(offsets_count_what_javascript_counts)
{
	/* from Python: len(s.encode("utf-16-le")) // 2 */
	CHECK_EQ_INT(utf16_units(STR("")), 0);
	CHECK_EQ_INT(utf16_units(STR("abc")), 3);
	CHECK_EQ_INT(utf16_units(STR("\xc3\xa4\xe2\x82\xac")), 2);
	CHECK_EQ_INT(utf16_units(STR("a\xf0\x9f\x98\x80z")), 4);
}

TEST(an_answer_streams_and_ends_durably)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	fake_queued(f.fleet, 0, 3, true);
	fake_begun(f.fleet, 0, 42, 17);
	fake_think(f.fleet, 0, "hm", 1);
	fake_say(f.fleet, 0, "H\xc3\xa4 \xf0\x9f\x98\x80", 2);
	fake_say(f.fleet, 0, "", 3); /* tokens whose text is held back */
	fake_say(f.fleet, 0, "!", 1);
	AUTO_JSON json_t *queue = fixture_event(&f, "queue", 0);
	CHECK(jint(queue, "position") == 3 && json_is_true(json_object_get(queue, "loading")));
	AUTO_JSON json_t *think = fixture_event(&f, "delta", 0);
	CHECK(jint(think, "offset") == 0 && json_is_true(json_object_get(think, "thinking")));
	AUTO_JSON json_t *d1 = fixture_event(&f, "delta", 1), *d2 = fixture_event(&f, "delta", 2);
	CHECK_EQ_INT(jint(d1, "offset"), 0);
	CHECK_EQ_INT(jint(d2, "offset"), 5);
	CHECK_EQ_Z(jstr(d2, "text"), "!");
	CHECK_EQ_Z(jstr(d2, "message"), answer);
	AUTO_JSON json_t *now = fixture_get(&f, id); /* merged from memory */
	const json_t *m = json_array_get(json_object_get(now, "messages"), 1);
	CHECK_EQ_Z(jstr(m, "content"), "H\xc3\xa4 \xf0\x9f\x98\x80!");
	CHECK_EQ_Z(jstr(m, "thinking"), "hm");
	CHECK_EQ_Z(jstr(m, "state"), "streaming");
	CHECK(json_is_true(json_object_get(json_object_get(now, "conversation"), "generating")));
	fake_done(f.fleet, 0, GEN_STOP);
	AUTO_JSON json_t *end =
		fixture_event(&f, "message", 2); /* after question and empty answer */
	const json_t *e = json_object_get(end, "message");
	CHECK_EQ_Z(jstr(e, "state"), "done");
	CHECK_EQ_Z(jstr(e, "content"), "H\xc3\xa4 \xf0\x9f\x98\x80!");
	CHECK_EQ_Z(jstr(e, "model"), "m");
	CHECK_EQ_Z(jstr(e, "model_digest"), "d1gest");
	CHECK_EQ_Z(jstr(e, "engine_build"), "fake 1");
	CHECK_EQ_Z(jstr(e, "template_hash"), "abcd");
	CHECK_EQ_Z(json_string_value(json_array_get(json_object_get(e, "warnings"), 0)),
		"truncated_tokens:17");
	CHECK_EQ_INT(jint(json_object_get(e, "stats"), "prompt_ms"), 2);
	fixture_close(&f);
	fixture_open(&f); /* from the disk alone */
	AUTO_JSON json_t *stored = fixture_message(&f, answer);
	CHECK(json_equal(stored, e));
	fixture_close(&f);
}

TEST(stopping_keeps_the_text_so_far)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	fake_say(f.fleet, 0, "Half an ans", 4);
	AUTO_BUF struct buf out = BUF(1 << 20);
	CHECK_OK(chat_stop(f.chats, str_from(answer), &out, NULL));
	CHECK(fake_at(f.fleet, 0)->cancelled);
	AUTO_JSON json_t *m = json_loadb(out.ptr, out.len, 0, NULL);
	CHECK_EQ_Z(jstr(m, "state"), "stopped");
	CHECK_EQ_Z(jstr(m, "content"), "Half an ans");
	buf_clear(&out);
	CHECK_OK(chat_stop(f.chats, str_from(answer), &out, NULL)); /* again: as it is */
	CHECK_ERR(chat_stop(f.chats, STR("nothing"), &out, NULL), ERR_NOT_FOUND);
	fixture_ask(&f, id, "go on", answer); /* the way is free */
	fixture_close(&f);
}

TEST(failing_keeps_slug_reason_and_text)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	fake_say(f.fleet, 0, "So", 1);
	fake_failed(f.fleet, 0, ERR_CONTEXT, "9000 tokens, 4096 fit");
	AUTO_JSON json_t *m = fixture_wait_state(&f, answer, "failed");
	CHECK_EQ_Z(jstr(m, "content"), "So");
	CHECK_EQ_Z(jstr(json_object_get(m, "error"), "slug"), "context_exceeded");
	CHECK_EQ_Z(jstr(json_object_get(m, "error"), "text"), "9000 tokens, 4096 fit");
	fixture_close(&f);
}

TEST(a_fleet_that_refuses_leaves_a_failed_answer)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fake_refuse_next(f.fleet, ERR_BUSY);
	fixture_ask(&f, id, "hello", answer); /* the question is durable all the same */
	AUTO_JSON json_t *m = fixture_wait_state(&f, answer, "failed");
	CHECK_EQ_Z(jstr(json_object_get(m, "error"), "slug"), "busy");
	fixture_close(&f);
}

TEST(with_a_full_queue_a_question_is_not_taken_but_an_old_one_is_known)
{
	struct fixture f;
	struct err_info info = { 0 };
	AUTO_BUF struct buf out = BUF(100000), again = BUF(100000);
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fake_full(f.fleet, true);
	struct chat_send s = { .content = STR("more"), .client_id = STR("c-1") };
	CHECK_ERR(chat_send(f.chats, ANNA, str_from(id), &s, &out, &info), ERR_QUEUE);
	AUTO_JSON json_t *all = fixture_get(&f, id);
	CHECK_EQ_INT(json_array_size(json_object_get(all, "messages")), 0);
	fake_full(f.fleet, false);
	CHECK_OK(chat_send(f.chats, ANNA, str_from(id), &s, &out, &info));
	fake_full(f.fleet, true);
	CHECK_OK(chat_send(f.chats, ANNA, str_from(id), &s, &again, &info));
	CHECK_EQ_STR(buf_str(&again), buf_str(&out));
	fixture_close(&f);
}

/* ---- flushing ---- */

static enum err stored_lengths(struct db_conn *c, void *arg)
{
	static const struct sql q = {
		"test.lengths",
		"SELECT length(content), length(coalesce(tokens, x'')) FROM message WHERE role = "
		"'assistant'"
	};
	struct db_row r;
	int64_t *ret = arg;
	TRY(db_query(c, &q, &r));
	if (db_next(&r)) {
		ret[0] = db_col_i64(&r, 0);
		ret[1] = db_col_i64(&r, 1);
	}
	return db_end(&r);
}

TEST(text_is_stored_after_a_quarter_second_or_64_tokens)
{
	struct fixture f;
	char answer[27];
	int64_t n[2] = { 0 };
	fixture_open(&f);
	fixture_ask(&f, fixture_conversation(&f), "hello", answer);
	fake_say(f.fleet, 0, "abc", 3);
	CHECK_OK(db_read(f.db, stored_lengths, n));
	CHECK_EQ_INT(n[0], 0);
	rest_ms(CHAT_FLUSH_MS + 250);
	CHECK_OK(db_read(f.db, stored_lengths, n));
	CHECK_EQ_INT(n[0], 3);
	CHECK_EQ_INT(n[1], 3 * sizeof(int32_t));
	fake_say(f.fleet, 0, "def", 64);
	rest_ms(100); /* well below a quarter second */
	CHECK_OK(db_read(f.db, stored_lengths, n));
	CHECK_EQ_INT(n[0], 6);
	CHECK_EQ_INT(n[1], 67 * sizeof(int32_t));
	fixture_close(&f);
}

/* ---- restarts ---- */

TEST(after_a_restart_an_answer_goes_on_where_it_was)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	fixture_ask(&f, id, "hello", answer);
	fake_begun(f.fleet, 0, 4711, 9);
	fake_think(f.fleet, 0, "hmm", 1);
	fake_say(f.fleet, 0, "Gr\xc3\xbc\xc3\x9f", 5);
	fixture_close(&f);
	fixture_open(&f);
	AUTO_JSON json_t *before = fixture_message(&f, answer);
	CHECK_EQ_Z(jstr(before, "content"), "Gr\xc3\xbc\xc3\x9f");
	CHECK_OK(chats_recover(f.chats));
	AUTO_JSON json_t *rewind = fixture_event(&f, "rewind", 0);
	CHECK_EQ_INT(jint(rewind, "offset"), 4);
	CHECK_EQ_INT(fake_count(f.fleet), 1);
	CHECK_EQ_INT(fake_at(f.fleet, 0)->n_resume, 6);
	CHECK_EQ_INT(fake_at(f.fleet, 0)->seed, 4711);
	CHECK_EQ_Z(fake_at(f.fleet, 0)->input, "[{\"role\":\"user\",\"content\":\"hello\"}]");
	fake_begun(f.fleet, 0, 4711, 9);
	fake_think(f.fleet, 0, "hmm", 0); /* the engine repeats what the tokens stand for */
	fake_say(f.fleet, 0, "Gr\xc3\xbc", 0);
	AUTO_JSON json_t *repeating = fixture_message(&f, answer);
	CHECK_EQ_Z(jstr(repeating, "content"), "Gr\xc3\xbc\xc3\x9f"); /* nothing is taken back */
	fake_say(f.fleet, 0, "\xc3\x9f" "e!", 1);
	AUTO_JSON json_t *d = fixture_event(&f, "delta", 0);
	CHECK_EQ_INT(jint(d, "offset"), 4);
	CHECK_EQ_Z(jstr(d, "text"), "e!");
	fake_done(f.fleet, 0, GEN_LENGTH);
	AUTO_JSON json_t *m = fixture_wait_state(&f, answer, "done");
	CHECK_EQ_Z(jstr(m, "content"), "Gr\xc3\xbc\xc3\x9f" "e!");
	CHECK_EQ_Z(jstr(m, "thinking"), "hmm");
	const json_t *w = json_object_get(m, "warnings");
	CHECK_EQ_INT(json_array_size(w), 2); /* said once although the engine began twice */
	CHECK_EQ_Z(json_string_value(json_array_get(w, 1)), "length:7");
	CHECK_EQ_INT(fixture_count(&f, "rewind"), 1);
	fixture_close(&f);
}

TEST(an_engine_that_remembers_otherwise_takes_the_text_back)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	fixture_ask(&f, fixture_conversation(&f), "hello", answer);
	fake_say(f.fleet, 0, "abc \xc3\xa4yz", 5);
	fixture_close(&f);
	fixture_open(&f);
	CHECK_OK(chats_recover(f.chats));
	fake_say(f.fleet, 0, "abc \xc3\xb6nn", 5); /* differs inside a character */
	AUTO_JSON json_t *r = fixture_event(&f, "rewind", 1), *d = fixture_event(&f, "delta", 0);
	CHECK_EQ_INT(jint(r, "offset"), 4);
	CHECK_EQ_INT(jint(d, "offset"), 4);
	CHECK_EQ_Z(jstr(d, "text"), "\xc3\xb6nn");
	AUTO_JSON json_t *m = fixture_message(&f, answer);
	CHECK_EQ_Z(jstr(m, "content"), "abc \xc3\xb6nn");
	fixture_close(&f);
}

TEST(a_fleet_that_tells_again_from_the_start_doubles_nothing)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	fixture_ask(&f, fixture_conversation(&f), "hello", answer);
	fake_say(f.fleet, 0, "abc", 2);
	fake_rewind(f.fleet, 0);
	fake_say(f.fleet, 0, "ab", 0);
	fake_say(f.fleet, 0, "cd", 1);
	AUTO_JSON json_t *m = fixture_message(&f, answer);
	CHECK_EQ_Z(jstr(m, "content"), "abcd");
	fixture_close(&f);
}

TEST(after_kill_9_the_question_and_what_was_flushed_are_there)
{
	struct fixture f;
	int to_parent[2];
	char ids[2][27];
	CHECK(pipe(to_parent) == 0);
	(void)test_dir(); /* the same folder for both */
	pid_t pid = fork();
	if (pid == 0) {
		fixture_open(&f);
		snprintf(ids[0], sizeof ids[0], "%s", fixture_conversation(&f));
		fixture_ask(&f, ids[0], "hello", ids[1]);
		fake_say(f.fleet, 0, "some text", 64);
		rest_ms(CHAT_FLUSH_MS + 100);
		fake_say(f.fleet, 0, " only in memory", 1);
		(void)!write(to_parent[1], ids, sizeof ids);
		kill(getpid(), SIGKILL);
	}
	CHECK(read(to_parent[0], ids, sizeof ids) == (ssize_t)sizeof ids);
	CHECK(waitpid(pid, NULL, 0) == pid);
	fixture_open(&f);
	AUTO_JSON json_t *c = fixture_get(&f, ids[0]);
	CHECK_EQ_Z(jstr(json_array_get(json_object_get(c, "messages"), 0), "content"), "hello");
	CHECK_EQ_Z(jstr(json_array_get(json_object_get(c, "messages"), 1), "content"), "some text");
	CHECK_OK(chats_recover(f.chats));
	CHECK_EQ_INT(fake_at(f.fleet, 0)->n_resume, 64);
	fake_done(f.fleet, 0, GEN_STOP);
	json_decref(fixture_wait_state(&f, ids[1], "done"));
	fixture_close(&f);
}

TEST(an_unfinished_answer_whose_model_is_gone_fails)
{
	struct fixture f;
	char answer[27];
	fixture_open(&f);
	fixture_ask(&f, fixture_conversation(&f), "hello", answer);
	fixture_close(&f);
	fixture_open(&f);
	f.no_model = true;
	CHECK_OK(chats_recover(f.chats));
	AUTO_JSON json_t *m = fixture_wait_state(&f, answer, "failed");
	CHECK_EQ_Z(jstr(json_object_get(m, "error"), "slug"), "not_found");
	fixture_close(&f);
}

/* ---- many at once ---- */

struct talker {
	struct fixture *f;
	const char *conversation;
	atomic_int *bad;
};

static void *talk(void *arg)
{
	struct talker *t = arg;
	for (int i = 0; i < 15; i++) {
		char answer[27], question[64], last[80];
		snprintf(question, sizeof question, "%s %d", t->conversation, i);
		snprintf(last, sizeof last, "%s\"}]", question);
		fixture_ask(t->f, t->conversation, question, answer);
		size_t mine = SIZE_MAX; /* the request whose history ends with our question */
		for (size_t k = 0; k < fake_count(t->f->fleet); k++)
			if (str_ends(str_from(fake_at(t->f->fleet, k)->input), str_from(last)))
				mine = k;
		if (mine == SIZE_MAX) {
			atomic_fetch_add(t->bad, 1);
			return NULL;
		}
		for (int d = 0; d < 20; d++)
			fake_say(t->f->fleet, mine, "word ", 5);
		fake_done(t->f->fleet, mine, GEN_STOP);
		AUTO_JSON json_t *m = fixture_wait_state(t->f, answer, "done");
		if (strlen(jstr(m, "content")) != 100)
			atomic_fetch_add(t->bad, 1);
	}
	return NULL;
}

TEST_TIMEOUT(many_conversations_at_once_mix_nothing_up, 60)
{
	enum { TALKERS = 6 };
	struct fixture f;
	struct talker t[TALKERS];
	pthread_t threads[TALKERS];
	atomic_int bad = 0;
	fixture_open(&f);
	for (int i = 0; i < TALKERS; i++) {
		t[i] = (struct talker){ &f, fixture_conversation(&f), &bad };
		CHECK_OK(thread_start("talker", 256 * 1024, talk, &t[i], &threads[i]));
	}
	for (int i = 0; i < TALKERS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ_INT(bad, 0);
	fixture_close(&f);
}

/* ---- without memory ---- */

TEST_TIMEOUT(a_question_survives_every_allocation_that_fails, 120)
{
	struct fixture f;
	size_t asked = 0;
	fixture_open(&f);
	for (unsigned n = 1;; n++) {
		const char *id = fixture_conversation(&f);
		AUTO_BUF struct buf out = BUF(1 << 20);
		struct chat_send s = { .content = STR("hello"), .client_id = STR("1") };
		fault_arm(FAULT_ALLOC, n);
		enum err e = chat_send(f.chats, ANNA, str_from(id), &s, &out, NULL);
		if (fake_count(f.fleet) > asked) {
			fake_say(f.fleet, asked, "text", 1);
			fake_done(f.fleet, asked, GEN_STOP);
		}
		bool hit = fault_fired(FAULT_ALLOC);
		fault_arm(FAULT_ALLOC, 0);
		asked = fake_count(f.fleet);
		CHECK(e == OK || hit);
		/* asked again, as a page does: nothing is doubled, nothing hangs */
		buf_clear(&out);
		CHECK_OK(chat_send(f.chats, ANNA, str_from(id), &s, &out, NULL));
		if (fake_count(f.fleet) > asked)
			fake_done(f.fleet, asked, GEN_STOP);
		asked = fake_count(f.fleet);
		AUTO_JSON json_t *c = fixture_get(&f, id);
		const json_t *messages = json_object_get(c, "messages");
		CHECK_EQ_INT(json_array_size(messages), 2);
		char answer[27];
		CHECK_OK(str_copy(str_from(jstr(json_array_get(messages, 1), "id")), answer, 27));
		/* done, or failed for want of memory: never streaming for ever */
		for (int i = 0;; i++) {
			AUTO_JSON json_t *m = fixture_message(&f, answer);
			if (strcmp(jstr(m, "state"), "streaming") != 0)
				break;
			CHECK(i < 500);
			rest_ms(10);
		}
		if (!hit)
			break;
	}
	fixture_close(&f);
}
