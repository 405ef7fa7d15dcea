/* Who may start from what was read for a message, whose request it is, and how urgent. */
#include <stdio.h>

#include "api/test_app.h"
#include "vault/keys.h"
#include "vault/people.h"

#define OPENAI "/v1/chat/completions"
#define MESSAGES(share)                                                                          \
	"{\"model\":\"tiny\",\"messages\":[{\"role\":\"system\",\"content\":\"Rules\"" share       \
	"},{\"role\":\"user\",\"content\":\"hi\"}]"

static int post(struct test_app *t, const char *path, const char *body, struct buf *out)
{
	buf_clear(out);
	return call_api(t, "POST", path, body, NULL, out);
}

static bool says(const struct buf *out, const char *text)
{
	return str_find(buf_str(out), str_from(text), 0) != SIZE_MAX;
}

/* From now on call_api() is a member. */
static void become_member(struct test_app *t)
{
	struct person p;
	struct api_key k;
	struct person_new n = { .email = STR("m@example.org"),
		.password = STR("correct horse battery"),
		.role = PERSON_MEMBER };
	CHECK_OK(person_create(t->app.vault, &n, &p, NULL));
	struct api_key_new kn = {
		.person = str_from(p.id), .name = STR("m"), .scopes = STR("chat")
	};
	CHECK_OK(api_key_create(t->app.vault, &kn, &k, t->key, NULL));
}

TEST(share_reaches_the_engine_and_nothing_is_shared_by_itself)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	static const char *const paths[] = { OPENAI, "/api/chat" };
	test_app_start(&t);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ_INT(post(&t, paths[i], MESSAGES(",\"share\":\"company\"") "}", &out), 200);
		CHECK_EQ_Z(fakes.input,
			"[{\"role\":\"system\",\"content\":\"Rules\",\"share\":\"company\"},"
			"{\"role\":\"user\",\"content\":\"hi\"}]");
		static const char *const alone[] = { MESSAGES("") "}",
			MESSAGES(",\"share\":\"person\"") "}", MESSAGES(",\"share\":null") "}" };
		for (int k = 0; k < 3; k++) {
			CHECK_EQ_INT(post(&t, paths[i], alone[k], &out), 200);
			CHECK_EQ_Z(fakes.input, "[{\"role\":\"system\",\"content\":\"Rules\"},"
						"{\"role\":\"user\",\"content\":\"hi\"}]");
		}
	}
	test_app_stop(&t);
}

TEST(without_groups_a_group_is_the_person_and_it_is_said)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(post(&t, OPENAI, MESSAGES(",\"share\":\"group\"") "}", &out), 200);
	CHECK(str_find(str_from(fakes.input), STR("share"), 0) == SIZE_MAX);
	CHECK(says(&out, "messages[0].share: there are no groups yet"));
	test_app_stop(&t);
}

TEST(another_word_is_an_error_that_names_the_field)
{
	static const char *const bad[] = { ",\"share\":\"everybody\"", ",\"share\":true",
		",\"share\":\"\"", ",\"share\":[\"company\"]", ",\"share\":\"Company\"" };
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	char body[512];
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(body, sizeof body,
			"{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
			"{\"role\":\"user\",\"content\":\"b\"%s}]}",
			bad[i]);
		CHECK_EQ_INT(post(&t, OPENAI, body, &out), 400);
		CHECK(says(&out, "messages[1].share must be"));
		CHECK_EQ_INT(post(&t, "/api/chat", body, &out), 400);
		CHECK(says(&out, "messages[1].share must be"));
	}
	CHECK_EQ_INT(fakes.started, 0);
	test_app_stop(&t);
}

TEST(a_member_may_not_share_wider)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	static const char *const wide[] = { MESSAGES(",\"share\":\"company\"") "}",
		MESSAGES(",\"share\":\"group\"") "}" };
	test_app_start(&t);
	become_member(&t);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ_INT(post(&t, OPENAI, wide[i], &out), 403);
		CHECK(says(&out, "messages[0].share: only owners and admins"));
		CHECK_EQ_INT(post(&t, "/api/chat", wide[i], &out), 403);
		CHECK(says(&out, "messages[0].share: only owners and admins"));
	}
	CHECK_EQ_INT(post(&t, "/api/generate",
			     "{\"model\":\"tiny\",\"prompt\":\"hi\",\"system\":\"s\","
			     "\"share\":\"company\"}",
			     &out),
		403);
	CHECK_EQ_INT(fakes.started, 0);
	CHECK_EQ_INT(post(&t, OPENAI, MESSAGES(",\"share\":\"person\"") "}", &out), 200);
	test_app_stop(&t);
}

TEST(generate_shares_its_system_text)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(post(&t, "/api/generate",
			     "{\"model\":\"tiny\",\"prompt\":\"hi\",\"system\":\"s\","
			     "\"share\":\"company\",\"stream\":false}",
			     &out),
		200);
	CHECK_EQ_Z(fakes.input, "[{\"role\":\"system\",\"content\":\"s\",\"share\":\"company\"},"
				"{\"role\":\"user\",\"content\":\"hi\"}]");
	CHECK_EQ_INT(post(&t, "/api/generate",
			     "{\"model\":\"tiny\",\"prompt\":\"hi\",\"share\":\"company\","
			     "\"stream\":false}",
			     &out),
		200);
	CHECK(says(&out, "\\\"share\\\" has no effect"));
	test_app_stop(&t);
}

TEST(a_models_own_system_text_is_everybodys)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_OK(str_copy(STR("Be kind."), fakes.system, sizeof fakes.system));
	become_member(&t);
	CHECK_EQ_INT(post(&t, OPENAI,
			     "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\","
			     "\"content\":\"hi\"}]}",
			     &out),
		200);
	CHECK_EQ_Z(fakes.input,
		"[{\"role\":\"system\",\"content\":\"Be kind.\",\"share\":\"company\"},"
		"{\"role\":\"user\",\"content\":\"hi\"}]");
	test_app_stop(&t);
}

TEST(the_engine_hears_whose_it_is_and_how_urgent)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(post(&t, OPENAI, MESSAGES("") "}", &out), 200);
	CHECK(fakes.last.person == gen_number(str_from(t.person)) && fakes.last.person != 0);
	CHECK(!fakes.last.priority && !fakes.last.temporary && !fakes.last.deadline_ms &&
		!fakes.last.group && !fakes.last.object);
	CHECK_EQ_INT(post(&t, OPENAI,
			     MESSAGES("") ",\"service_tier\":\"flex\",\"temporary\":true,"
					  "\"deadline_ms\":5000}",
			     &out),
		200);
	CHECK(fakes.last.priority == 2 && fakes.last.temporary && fakes.last.deadline_ms == 5000);
	CHECK(!fakes.last.strict);
	CHECK_EQ_INT(post(&t, OPENAI, MESSAGES("") ",\"strict\":true}", &out), 200);
	CHECK(fakes.last.strict && !says(&out, "warnings"));
	CHECK(!says(&out, "warnings"));
	CHECK_EQ_INT(post(&t, "/api/chat",
			     MESSAGES("") ",\"temporary\":true,\"stream\":false,"
					  "\"options\":{\"priority\":\"workflow\","
					  "\"deadline_ms\":9}}",
			     &out),
		200);
	CHECK(fakes.last.priority == 1 && fakes.last.temporary && fakes.last.deadline_ms == 9);
	CHECK(!says(&out, "warnings"));
	CHECK(says(&out, "\"cached_tokens\":4"));
	test_app_stop(&t);
}

TEST(absurd_urgency_is_an_error)
{
	static const struct {
		const char *path, *rest, *says;
	} bad[] = {
		{ OPENAI, ",\"service_tier\":\"fast\"}", "service_tier must be" },
		{ OPENAI, ",\"service_tier\":2}", "service_tier" },
		{ OPENAI, ",\"temporary\":\"yes\"}", "temporary" },
		{ OPENAI, ",\"deadline_ms\":0}", "deadline_ms" },
		{ OPENAI, ",\"deadline_ms\":-1}", "deadline_ms" },
		{ OPENAI, ",\"deadline_ms\":1e12}", "deadline_ms" },
		{ "/api/chat", ",\"options\":{\"priority\":\"now\"}}", "priority" },
		{ "/api/chat", ",\"options\":{\"priority\":2}}", "priority" },
		{ "/api/chat", ",\"temporary\":1}", "temporary" },
		{ "/api/chat", ",\"strict\":1}", "strict" },
	};
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	char body[512];
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(body, sizeof body, "%s%s", MESSAGES(""), bad[i].rest);
		CHECK_EQ_INT(post(&t, bad[i].path, body, &out), 400);
		CHECK(says(&out, bad[i].says));
	}
	CHECK_EQ_INT(fakes.started, 0);
	test_app_stop(&t);
}
