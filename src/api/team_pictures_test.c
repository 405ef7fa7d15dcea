/* Pictures in conversations, through the one dispatcher. */
#include <stdio.h>

#include "api/test_app.h"

#define PNG "data:image/png;base64,iVBORw0KGgo=" /* begins as one: a picture to the fakes */
#define BLIND "{\"content\":\"What?\",\"pictures\":[\"" PNG "\"]}"

static json_t *doc_of(const struct buf *b)
{
	json_t *doc;
	if (json_read(buf_str(b), b->len, 32, &doc, NULL))
		FAIL("no JSON: %.*s", (int)b->len, b->ptr);
	return doc;
}

static const char *text_at(const json_t *doc, const char *a, const char *b)
{
	return json_string_value(json_object_get(json_object_get(doc, a), b));
}

/* A conversation of the model; *ret: where its messages go. */
static void conversation(const struct test_app *t, const char *model, char ret[200])
{
	AUTO_BUF struct buf made = BUF(65536);
	char body[100];
	snprintf(body, sizeof body, "{\"model\":\"%s\"}", model);
	CHECK_EQ_INT(call_page(t, "POST", "/team/v1/conversations", body, NULL, &made), 201);
	AUTO_JSON json_t *doc = doc_of(&made);
	snprintf(ret, 200, "/team/v1/conversations/%s/messages",
		json_string_value(json_object_get(doc, "id")));
}

static size_t messages(const struct test_app *t, const char *path)
{
	AUTO_BUF struct buf out = BUF(1 << 20);
	char whole[200];
	snprintf(whole, sizeof whole, "%.*s", (int)(strlen(path) - strlen("/messages")), path);
	CHECK_EQ_INT(call_page(t, "GET", whole, NULL, NULL, &out), 200);
	AUTO_JSON json_t *doc = doc_of(&out);
	return json_array_size(json_object_get(doc, "messages"));
}

TEST(what_is_no_picture_is_refused_with_its_place)
{
	static const struct {
		const char *list, *words;
	} bad[] = {
		{ "[7]", "pictures[0] must be a string" },
		{ "{}", "\"pictures\" must be an array" },
		{ "[\"http://127.0.0.1/a.png\"]", "addresses are not fetched" },
		{ "[\"file:///etc/passwd\"]", "addresses are not fetched" },
		{ "[\"\"]", "pictures[0]: a picture comes as" },
		{ "[\"01aaaaaaaaaaaaaaaaaaaaaaaa/16\"]", "pictures[0]: a picture comes as" },
		{ "[\"01aaaaaaaaaaaaaaaaaaaaaaaa/-1\"]", "pictures[0]: a picture comes as" },
		{ "[\"01AAAAAAAAAAAAAAAAAAAAAAAA\"]", "pictures[0]: a picture comes as" },
		{ "[\"" PNG "\",\"data:image/png;base64,???\"]", "pictures[1] is not base64" },
		{ "[\"" PNG "\",\"data:image/png;base64,R0lG\"]",
			"pictures[1]: it is not a picture" },
		{ "[\"data:image/png,abc\"]", "pictures[0]: it is not a picture" },
		{ "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", "may have 16 pictures" },
	};
	struct test_app t;
	char path[200], body[600];
	test_app_start(&t);
	fakes.seer = true;
	conversation(&t, "seer", path);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		AUTO_BUF struct buf out = BUF(65536);
		snprintf(body, sizeof body, "{\"content\":\"x\",\"pictures\":%s}", bad[i].list);
		CHECK_EQ_INT(call_page(&t, "POST", path, body, NULL, &out), 400);
		AUTO_JSON json_t *doc = doc_of(&out);
		const char *said = text_at(doc, "error", "message");
		if (!strstr(said, bad[i].words))
			FAIL("%s: %s", bad[i].list, said);
	}
	CHECK_EQ_INT(call_page(&t, "POST", path,
			     "{\"content\":\"x\",\"pictures\":[\"01aaaaaaaaaaaaaaaaaaaaaaaa/0\"]}",
			     NULL, NULL),
		404);
	CHECK_EQ_INT(messages(&t, path), 0);
	CHECK_EQ_INT(fakes.started, 0);
	test_app_stop(&t);
}

TEST(a_picture_comes_back_as_it_went_and_can_do_nothing)
{
	struct test_app t;
	AUTO_BUF struct buf sent = BUF(65536), head = BUF(65536), got = BUF(65536);
	char path[200], at[200];
	test_app_start(&t);
	fakes.seer = true;
	conversation(&t, "seer", path);
	CHECK_EQ_INT(call_page(&t, "POST", path, BLIND, NULL, &sent), 201);
	AUTO_JSON json_t *pair = doc_of(&sent);
	const json_t *message = json_object_get(pair, "message");
	CHECK_EQ_INT(json_array_size(json_object_get(message, "pictures")), 1);
	CHECK(!text_at(pair, "answer", "instead_of"));
	CHECK_EQ_INT(fakes.last.n_pictures, 1);
	snprintf(at, sizeof at, "/team/v1/messages/%s/pictures/0", text_at(pair, "message", "id"));
	CHECK_EQ_INT(call_page(&t, "GET", at, NULL, &head, &got), 200);
	CHECK_EQ_STR(buf_str(&got), STR("\x89PNG\r\n\x1a\n"));
	CHECK_EQ_STR(head_value(&head, "Content-Type"), STR("image/png"));
	CHECK_EQ_STR(head_value(&head, "X-Content-Type-Options"), STR("nosniff"));
	CHECK_EQ_STR(head_value(&head, "Cache-Control"), STR("private, no-store"));
	CHECK_EQ_STR(head_value(&head, "Content-Security-Policy"),
		STR("default-src 'none'; sandbox; frame-ancestors 'none'"));
	at[strlen(at) - 1] = '1';
	CHECK_EQ_INT(call_page(&t, "GET", at, NULL, NULL, NULL), 404);
	at[strlen(at) - 1] = 'x';
	CHECK_EQ_INT(call_page(&t, "GET", at, NULL, NULL, NULL), 404);
	test_app_stop(&t);
}

/* Asks a model that is blind; who answers? */
static void answered_by(const struct test_app *t, const char *by)
{
	AUTO_BUF struct buf sent = BUF(65536);
	char path[200];
	conversation(t, "tiny", path);
	CHECK_EQ_INT(call_page(t, "POST", path, BLIND, NULL, &sent), 201);
	AUTO_JSON json_t *pair = doc_of(&sent);
	CHECK_EQ_Z(text_at(pair, "answer", "model"), by);
	CHECK_EQ_Z(text_at(pair, "answer", "instead_of"), "tiny");
}

TEST(a_blind_model_is_replaced_by_the_alias_or_the_first_that_sees)
{
	struct test_app t;
	test_app_start(&t);
	fakes.seer = true;
	answered_by(&t, "seer:latest");
	fakes.vision = true;
	answered_by(&t, "look:latest");
	fakes.seer = false;
	answered_by(&t, "look:latest");
	test_app_stop(&t);
}

TEST(where_no_model_sees_the_error_says_what_to_do)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	char path[200];
	test_app_start(&t);
	conversation(&t, "tiny", path);
	CHECK_EQ_INT(call_page(&t, "POST", path, BLIND, NULL, &out), 400);
	AUTO_JSON json_t *doc = doc_of(&out);
	CHECK_EQ_Z(text_at(doc, "error", "slug"), "unsupported");
	CHECK_EQ_Z(text_at(doc, "error", "message"), "no model here can see pictures");
	CHECK(strstr(text_at(doc, "error", "hint"), "alias \"vision\""));
	CHECK_EQ_INT(messages(&t, path), 0);
	test_app_stop(&t);
}
