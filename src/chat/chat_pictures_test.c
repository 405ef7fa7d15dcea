/* Pictures of questions: from the question to the engine, and out of the house again with it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/fault.h"
#include "base/random.h"
#include "chat/chat_int.h"
#include "chat/chat_test_fixture.h"
#include "tests/test.h"

#define FRESH(text) ((struct chat_picture){ .bytes = STR(text) })

/* The house's model that sees; `arg` NULL: there is none. */
static enum err eyes(void *arg, char ret[LIMIT_MODEL_NAME + 1], struct err_info *info)
{
	if (!arg)
		return err_set(info, ERR_UNSUPPORTED, "no model here can see pictures");
	return str_copy(str_from(arg), ret, LIMIT_MODEL_NAME + 1);
}

static struct chat_send with(const char *text, const struct chat_picture *p, size_t n)
{
	static char seer[] = "seer";
	return (struct chat_send){ .content = str_from(text), .pictures = p, .n_pictures = n,
		.vision = eyes, .vision_arg = seer };
}

static enum err ask(struct fixture *f, const char *id, const struct chat_send *s,
	char ret_question[27], char ret_answer[27], struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(64 << 20);
	TRY(chat_send(f->chats, ANNA, str_from(id), s, &out, info));
	AUTO_JSON json_t *j = json_loadb(out.ptr, out.len, 0, NULL);
	CHECK_OK(str_copy(str_from(jstr(json_object_get(j, "message"), "id")), ret_question, 27));
	return str_copy(str_from(jstr(json_object_get(j, "answer"), "id")), ret_answer, 27);
}

static size_t messages_in(struct fixture *f, const char *id)
{
	AUTO_JSON json_t *c = fixture_get(f, id);
	return json_array_size(json_object_get(c, "messages"));
}

static enum err count_run(struct db_conn *c, void *arg)
{
	static const struct sql q = { "test.pictures", "SELECT count(*) FROM message_picture" };
	struct db_row r;
	TRY(db_query(c, &q, &r));
	*(int64_t *)arg = db_next(&r) ? db_col_i64(&r, 0) : -1;
	return db_end(&r);
}

static int64_t pictures_in(struct fixture *f)
{
	int64_t n = -1;
	CHECK_OK(db_read(f->db, count_run, &n));
	return n;
}

static void finish(struct fixture *f, const char *answer)
{
	size_t last = fake_count(f->fleet) - 1;
	fake_say(f->fleet, last, "ok", 1);
	fake_done(f->fleet, last, GEN_STOP);
	json_decref(fixture_wait_state(f, answer, "done"));
}

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;
	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* ---- taken or refused ---- */

TEST(a_model_that_sees_gets_the_pictures_before_the_text)
{
	struct fixture f;
	char question[27], answer[27];
	struct chat_picture p[] = { FRESH("PNGa one"), FRESH("PNGb two") };
	struct chat_send s = with("What is it?", p, 2);
	fixture_open(&f);
	int fds = open_fds();
	const char *id = fixture_conversation_of(&f, "seer");
	CHECK_OK(ask(&f, id, &s, question, answer, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 0)->input,
		"[{\"role\":\"user\",\"content\":[{\"picture\":0},{\"picture\":1},"
		"{\"text\":\"What is it?\"}]}]");
	CHECK_EQ_Z(fake_at(f.fleet, 0)->pictures, "ab");
	CHECK_EQ_INT(f.looked, 2); /* once, though they were stored between */
	CHECK_EQ_INT(open_fds(), fds);
	AUTO_JSON json_t *m = fixture_message(&f, question);
	AUTO_JSON json_t *want = json_loads(
		"[{\"place\":0,\"type\":\"image/png\",\"width\":2,\"height\":1},"
		"{\"place\":1,\"type\":\"image/png\",\"width\":2,\"height\":1}]", 0, NULL);
	CHECK(json_equal(json_object_get(m, "pictures"), want));
	AUTO_JSON json_t *a = fixture_message(&f, answer);
	CHECK(!json_object_get(a, "pictures") && !json_object_get(a, "instead_of"));
	CHECK_EQ_Z(jstr(a, "model"), "seer");
	AUTO_BUF struct buf bytes = BUF(100);
	const char *type = NULL;
	CHECK_OK(chat_picture(f.chats, str_from(question), 1, &bytes, &type, NULL));
	CHECK_EQ_STR(buf_str(&bytes), STR("PNGb two"));
	CHECK_EQ_Z(type, "image/png");
	CHECK_ERR(chat_picture(f.chats, str_from(question), 2, &bytes, &type, NULL),
		ERR_NOT_FOUND);
	CHECK_ERR(chat_picture(f.chats, str_from(answer), 0, &bytes, &type, NULL), ERR_NOT_FOUND);
	fixture_close(&f);
}

TEST(what_is_no_picture_is_refused_before_anything_is_stored)
{
	struct fixture f;
	char q[27], a[27];
	struct err_info info = { .code = OK };
	struct chat_picture bad[] = { FRESH("PNGa"), FRESH("GIF89a") };
	struct chat_picture many[GEN_PICTURES_MAX + 1];
	struct chat_send s = with("look", bad, 2);
	fixture_open(&f);
	int fds = open_fds();
	const char *id = fixture_conversation_of(&f, "seer");
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_INVALID);
	CHECK_EQ_Z(info.detail, "pictures[1]: it is not a picture");
	for (size_t i = 0; i <= GEN_PICTURES_MAX; i++)
		many[i] = FRESH("PNGa");
	s = with("look", many, GEN_PICTURES_MAX + 1);
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_INVALID);
	CHECK_EQ_Z(info.detail, "pictures: a message may have 16 pictures");
	char *big = malloc(LIMIT_PICTURES / 2 + 1);
	memset(big, 'P', LIMIT_PICTURES / 2 + 1);
	memcpy(big, "PNGz", 4);
	many[0].bytes = many[1].bytes = (struct str){ big, LIMIT_PICTURES / 2 + 1 };
	s = with("look", many, 2);
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_TOO_LARGE);
	CHECK_EQ_Z(info.detail, "pictures: those of a message are over 12 MiB together");
	CHECK_EQ_INT(messages_in(&f, id), 0);
	CHECK_EQ_INT(pictures_in(&f), 0);
	CHECK_EQ_INT(fake_count(f.fleet), 0);
	CHECK_EQ_INT(open_fds(), fds);
	many[1].bytes.len--; /* exactly the limit */
	many[0].bytes.len--;
	CHECK_OK(ask(&f, id, &s, q, a, &info));
	free(big);
	fixture_close(&f);
}

TEST(a_picture_may_stand_alone_and_nothing_may_not)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture p = FRESH("PNGa");
	struct chat_send s = with("", &p, 1);
	fixture_open(&f);
	const char *id = fixture_conversation_of(&f, "seer");
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 0)->input,
		"[{\"role\":\"user\",\"content\":[{\"picture\":0}]}]");
	s = with(" ", NULL, 0);
	CHECK_ERR(ask(&f, id, &s, q, a, NULL), ERR_INVALID);
	fixture_close(&f);
}

/* ---- who answers ---- */

TEST(where_the_model_is_blind_one_that_sees_answers_and_says_so)
{
	struct fixture f;
	char q[27], first[27], second[27], other[27];
	struct chat_picture p = FRESH("PNGa");
	struct chat_send s = with("What?", &p, 1);
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	CHECK_OK(ask(&f, id, &s, q, first, NULL));
	AUTO_JSON json_t *told = fixture_event(&f, "message", 1);
	const json_t *answer = json_object_get(told, "message");
	CHECK_EQ_Z(jstr(answer, "instead_of"), "m");
	CHECK_EQ_Z(jstr(answer, "model"), "seer");
	CHECK_EQ_Z(fake_at(f.fleet, 0)->model.name, "seer");
	finish(&f, first);
	/* the picture is still on the way to the next question */
	s = with("And now?", NULL, 0);
	CHECK_OK(ask(&f, id, &s, q, second, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 1)->input,
		"[{\"role\":\"user\",\"content\":[{\"picture\":0},{\"text\":\"What?\"}]},"
		"{\"role\":\"assistant\",\"content\":\"ok\"},"
		"{\"role\":\"user\",\"content\":\"And now?\"}]");
	CHECK_EQ_Z(fake_at(f.fleet, 1)->pictures, "a");
	AUTO_JSON json_t *m = fixture_message(&f, second);
	CHECK_EQ_Z(jstr(m, "instead_of"), "m");
	finish(&f, second);
	/* not on the way from the beginning: the conversation's own model */
	s.parent = STR("root");
	CHECK_OK(ask(&f, id, &s, q, other, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 2)->model.name, "m");
	CHECK_EQ_INT(fake_at(f.fleet, 2)->n_pictures, 0);
	AUTO_JSON json_t *c = fixture_get(&f, id);
	CHECK_EQ_Z(jstr(json_object_get(c, "conversation"), "model"), "m");
	fixture_close(&f);
}

TEST(where_nobody_sees_nothing_is_taken)
{
	struct fixture f;
	char q[27], a[27];
	struct err_info info = { .code = OK };
	struct chat_picture p = FRESH("PNGa");
	struct chat_send s = with("What?", &p, 1);
	static char blind[] = "m";
	fixture_open(&f);
	int fds = open_fds();
	const char *id = fixture_conversation(&f);
	s.vision_arg = NULL;
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_UNSUPPORTED);
	CHECK_EQ_Z(info.detail, "no model here can see pictures");
	s.vision_arg = blind; /* what was found lost its projector meanwhile */
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_UNSUPPORTED);
	s.vision = NULL;
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_UNSUPPORTED);
	CHECK_EQ_INT(messages_in(&f, id), 0);
	CHECK_EQ_INT(pictures_in(&f), 0);
	CHECK_EQ_INT(open_fds(), fds);
	AUTO_JSON json_t *c = fixture_get(&f, id);
	CHECK(json_is_false(json_object_get(json_object_get(c, "conversation"), "generating")));
	fixture_close(&f);
}

TEST(of_very_many_pictures_the_newest_are_shown_and_it_is_said)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture old[10], new[10];
	fixture_open(&f);
	for (int i = 0; i < 10; i++) {
		old[i] = FRESH("PNGo");
		new[i] = FRESH("PNGn");
	}
	const char *id = fixture_conversation_of(&f, "seer");
	struct chat_send s = with("old", old, 10);
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	finish(&f, a);
	s = with("new", new, 10);
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 1)->pictures, "oooooonnnnnnnnnn");
	finish(&f, a);
	AUTO_JSON json_t *m = fixture_message(&f, a);
	CHECK_EQ_Z(json_string_value(json_array_get(json_object_get(m, "warnings"), 0)),
		"left_out_pictures:4");
	fixture_close(&f);
}

TEST(large_pictures_leave_room_in_the_queue_for_others)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture p[] = { FRESH("BIGa"), FRESH("BIGb"), FRESH("BIGc"), FRESH("PNGd") };
	struct chat_send s = with("look", p, 4);
	fixture_open(&f);
	CHECK_OK(ask(&f, fixture_conversation_of(&f, "seer"), &s, q, a, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 0)->pictures, "ab"); /* 60 MB each, of 128 MiB */
	finish(&f, a);
	AUTO_JSON json_t *m = fixture_message(&f, a);
	CHECK_EQ_Z(json_string_value(json_array_get(json_object_get(m, "warnings"), 0)),
		"left_out_pictures:2");
	fixture_close(&f);
}

/* ---- again ---- */

TEST(a_picture_is_taken_again_within_its_conversation_only)
{
	struct fixture f;
	char first[27], q[27], a[27];
	struct err_info info = { .code = OK };
	struct chat_picture p = FRESH("PNGa"), again = { .again = true };
	struct chat_send s = with("What?", &p, 1);
	fixture_open(&f);
	const char *id = fixture_conversation_of(&f, "seer");
	CHECK_OK(ask(&f, id, &s, first, a, NULL));
	finish(&f, a);
	CHECK_OK(str_copy(str_from(first), again.message, sizeof again.message));
	s = with("Once more", &again, 1);
	s.parent = STR("root");
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 1)->pictures, "a");
	CHECK_EQ_INT(pictures_in(&f), 2);
	finish(&f, a);
	again.place = 1; /* there is no second */
	CHECK_ERR(ask(&f, id, &s, q, a, &info), ERR_NOT_FOUND);
	CHECK_EQ_Z(info.detail, "pictures[0]: this conversation has no such picture");
	again.place = 0;
	const char *other = fixture_conversation_of(&f, "seer");
	CHECK_ERR(ask(&f, other, &s, q, a, &info), ERR_NOT_FOUND);
	CHECK_EQ_INT(messages_in(&f, other), 0);
	CHECK_EQ_INT(messages_in(&f, id), 4);
	fixture_close(&f);
}

TEST(two_questions_in_a_row_keep_their_pictures_apart)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture p = FRESH("PNGa"), r = FRESH("PNGb");
	struct chat_send s = with("one", &p, 1);
	fixture_open(&f);
	const char *id = fixture_conversation_of(&f, "seer");
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	fake_failed(f.fleet, 0, ERR_ENGINE, "died");
	json_decref(fixture_wait_state(&f, a, "failed"));
	s = with("two", &r, 1);
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	CHECK_EQ_Z(fake_at(f.fleet, 1)->input,
		"[{\"role\":\"user\",\"content\":[{\"picture\":0},{\"text\":\"one\"},"
		"{\"text\":\"\\n\\n\"},{\"picture\":1},{\"text\":\"two\"}]}]");
	CHECK_EQ_Z(fake_at(f.fleet, 1)->pictures, "ab");
	fixture_close(&f);
}

/* ---- kept and gone ---- */

TEST(after_a_restart_the_same_model_goes_on_with_the_same_pictures)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture p = FRESH("PNGa");
	struct chat_send s = with("What?", &p, 1);
	fixture_open(&f);
	const char *id = fixture_conversation(&f);
	CHECK_OK(ask(&f, id, &s, q, a, NULL));
	fake_say(f.fleet, 0, "A cat", 2);
	fixture_close(&f);
	fixture_open(&f);
	int fds = open_fds();
	CHECK_OK(chats_recover(f.chats));
	CHECK_EQ_Z(fake_at(f.fleet, 0)->model.name, "seer");
	CHECK_EQ_Z(fake_at(f.fleet, 0)->pictures, "a");
	CHECK_EQ_INT(fake_at(f.fleet, 0)->n_resume, 2);
	CHECK_EQ_INT(open_fds(), fds);
	fake_done(f.fleet, 0, GEN_STOP);
	AUTO_JSON json_t *m = fixture_wait_state(&f, a, "done");
	CHECK_EQ_Z(jstr(m, "instead_of"), "m");
	fixture_close(&f);
}

TEST(pictures_go_with_their_conversation_and_with_their_person)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture p = FRESH("PNGa");
	struct chat_send s = with("What?", &p, 1);
	fixture_open(&f);
	const char *one = fixture_conversation_of(&f, "seer");
	CHECK_OK(ask(&f, one, &s, q, a, NULL));
	const char *two = fixture_conversation_of(&f, "seer");
	CHECK_OK(ask(&f, two, &s, q, a, NULL));
	CHECK_EQ_INT(pictures_in(&f), 2);
	CHECK_OK(chat_delete(f.chats, str_from(one), NULL));
	CHECK_EQ_INT(pictures_in(&f), 1);
	CHECK_OK(chat_forget_person(f.chats, ANNA));
	CHECK_EQ_INT(pictures_in(&f), 0);
	fixture_close(&f);
}

/* Whole files: a small database. */
static bool on_disk(const char *name, struct str what)
{
	AUTO_BUF struct buf b = BUF(64 << 20);
	char path[600], piece[4096];
	snprintf(path, sizeof path, "%s/%s", test_dir(), name);
	FILE *file = fopen(path, "r");
	if (!file)
		return false;
	for (size_t n; (n = fread(piece, 1, sizeof piece, file)) > 0;)
		CHECK_OK(buf_add(&b, (struct str){ piece, n }));
	fclose(file);
	return b.len && str_find(buf_str(&b), what, 0) != SIZE_MAX;
}

TEST(a_picture_is_sealed_on_the_disk)
{
	struct fixture f;
	char q[27], a[27];
	struct chat_picture p = FRESH("PNGa canary that nobody may read on the disk");
	struct chat_send s = with("What?", &p, 1);
	struct str canary = STR("canary that nobody");
	fixture_open(&f);
	CHECK_OK(ask(&f, fixture_conversation_of(&f, "seer"), &s, q, a, NULL));
	CHECK(!on_disk("chat.db", canary) && !on_disk("chat.db-wal", canary));
	fixture_close(&f);
	CHECK(!on_disk("chat.db", canary));
}

/* ---- without memory ---- */

TEST_TIMEOUT(a_picture_survives_every_allocation_that_fails, 120)
{
	struct fixture f;
	struct chat_picture p = FRESH("PNGa");
	struct chat_send s = with("What?", &p, 1);
	size_t asked = 0;
	fixture_open(&f);
	s.client_id = STR("1");
	for (unsigned n = 1;; n++) {
		const char *id = fixture_conversation(&f);
		AUTO_BUF struct buf out = BUF(1 << 20);
		char q[27], a[27];
		int fds = open_fds();
		fault_arm(FAULT_ALLOC, n);
		enum err e = chat_send(f.chats, ANNA, str_from(id), &s, &out, NULL);
		bool hit = fault_fired(FAULT_ALLOC);
		fault_arm(FAULT_ALLOC, 0);
		CHECK(e == OK || hit);
		CHECK_EQ_INT(open_fds(), fds);
		if (e) /* all or nothing */
			CHECK(messages_in(&f, id) == 0 || messages_in(&f, id) == 2);
		CHECK_OK(ask(&f, id, &s, q, a, NULL));
		for (; asked < fake_count(f.fleet); asked++)
			fake_done(f.fleet, asked, GEN_STOP);
		AUTO_JSON json_t *m = fixture_message(&f, q);
		CHECK_EQ_INT(json_array_size(json_object_get(m, "pictures")), 1);
		for (int i = 0;; i++) {
			AUTO_JSON json_t *now = fixture_message(&f, a);
			if (strcmp(jstr(now, "state"), "streaming") != 0)
				break;
			CHECK(i < 500);
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		}
		if (!hit)
			break;
	}
	fixture_close(&f);
}
