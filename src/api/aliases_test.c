/* Aliases as clients see them: lists, show, the digest of an answer, and what is refused. */
#include <stdio.h>

#include "api/test_app.h"

static bool has(const struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_from(text), 0) != SIZE_MAX;
}
#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

TEST(every_answer_names_the_version_that_made_it)
{
	static const struct {
		const char *path, *body;
	} asked[] = {
		{ "/api/chat", "{\"model\":\"tiny\",\"messages\":[{\"role\":\"user\","
			       "\"content\":\"hi\"}],\"stream\":false}" },
		{ "/api/chat", "{\"model\":\"assistant\",\"messages\":[{\"role\":\"user\","
			       "\"content\":\"hi\"}]}" },
		{ "/api/generate", "{\"model\":\"assistant\",\"prompt\":\"hi\"}" },
		{ "/v1/chat/completions",
			"{\"model\":\"assistant\",\"messages\":[{\"role\":\"user\","
			"\"content\":\"hi\"}],\"stream\":true}" },
		{ "/v1/completions", "{\"model\":\"assistant\",\"prompt\":\"hi\"}" },
		{ "/v1/messages", "{\"model\":\"assistant:latest\",\"max_tokens\":9,\"messages\":"
				  "[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true}" },
		{ "/api/embed", "{\"model\":\"embed\",\"input\":\"hi\"}" },
	};
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		AUTO_BUF struct buf head = BUF(65536), out = BUF(65536);
		CHECK_EQ_INT(call_api(&t, "POST", asked[i].path, asked[i].body, &head, &out), 200);
		CHECK_EQ_STR(head_value(&head, "X-Tresor-Model-Digest"), STR(DIGEST));
	}
	AUTO_BUF struct buf head = BUF(65536), out = BUF(65536);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/generate",
			     "{\"model\":\"assistant\",\"prompt\":\"hi\",\"stream\":false}", &head,
			     &out),
		200);
	CHECK(has(&out, "\"model\":\"assistant\"")); /* as it was asked for */
	test_app_stop(&t);
}

TEST(lists_and_show_say_what_an_alias_stands_for)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "GET", "/api/tags", "", NULL, &out), 200);
	CHECK(!has(&out, "alias_of")); /* without aliases: as ever */
	fakes.aliases = 1;
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/api/tags", "", NULL, &out), 200);
	CHECK(has(&out, "\"name\":\"assistant\",\"model\":\"assistant\"") &&
		has(&out, "\"alias_of\":\"tiny:latest\""));
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/v1/models", "", NULL, &out), 200);
	CHECK(has(&out, "\"id\":\"assistant\"") && has(&out, "\"id\":\"tiny:latest\""));
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/v1/models/assistant", "", NULL, &out), 200);
	CHECK(has(&out, "\"id\":\"assistant\""));
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/team/v1/models", "", NULL, &out), 200);
	CHECK(has(&out, "\"alias_of\":\"tiny:latest\""));
	buf_clear(&out);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/api/show", "{\"model\":\"assistant\"}", NULL, &out), 200);
	CHECK(has(&out, "\"alias\":{\"name\":\"assistant\",\"channel\":\"production\","
			"\"model\":\"tiny:latest\",\"digest\":\"" DIGEST "\""));
	CHECK(has(&out, "\"reason\":\"first\""));
	test_app_stop(&t);
}

TEST(changes_of_an_alias_are_announced_by_their_own_name)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "PUT", "/team/v1/aliases/assistant", "{\"model\":\"tiny\"}",
			     NULL, NULL),
		200);
	CHECK(fakes_audited("\"action\":\"alias.set\",\"object\":\"assistant\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/promote", "{}", NULL, &out),
		409);
	CHECK(fakes_audited("\"action\":\"alias.promote\""));
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/promote",
			     "{\"override\":\"the old one leaks names\"}", NULL, NULL),
		200);
	CHECK(fakes_audited("\"action\":\"alias.override\""));
	CHECK(fakes_never_audited("leaks")); /* a person's words are not for the log */
	CHECK_EQ_INT(
		call_api(&t, "POST", "/team/v1/aliases/assistant/back", "{}", NULL, NULL), 200);
	CHECK(fakes_audited("\"action\":\"alias.back\""));
	CHECK_EQ_INT(
		call_api(&t, "DELETE", "/team/v1/aliases/assistant", "", NULL, NULL), 200);
	CHECK(fakes_audited("\"action\":\"alias.remove\""));
	test_app_stop(&t);
}

TEST(what_is_no_alias_is_refused_before_anything)
{
	static const char *const bad[] = { "..", "%2e%2e", "Assistant", "as%20sistant", "file",
		"starter", "%D0%B0ssistant", "a.b", "1a", "a%00b", "a%0Ab", "-a",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char path[200];
		(void)snprintf(path, sizeof path, "/team/v1/aliases/%s", bad[i]);
		int status = call_api(&t, "PUT", path, "{\"model\":\"tiny\"}", NULL, NULL);
		if (status != 400 && status != 404)
			FAIL("%s: %d", bad[i], status);
	}
	CHECK(fakes_never_audited("alias.set"));
	CHECK_EQ_INT(call_api(&t, "PUT", "/team/v1/aliases/assistant",
			     "{\"model\":\"tiny\",\"channel\":\"previous\"}", NULL, NULL),
		400);
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/promote",
			     "{\"override\":\" \"}", NULL, NULL),
		400);
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/trials", "{\"tokens\":0}",
			     NULL, NULL),
		400);
	test_app_stop(&t);
}

TEST(a_trial_is_seen_side_by_side)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/prompts",
			     "{\"text\":\"Hallo?\"}", NULL, NULL),
		201);
	CHECK(fakes_never_audited("Hallo"));
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/trials", "{}", NULL, NULL),
		202);
	CHECK_EQ_INT(
		call_api(&t, "GET", "/team/v1/aliases/assistant/trials/02", "", NULL, &out), 200);
	CHECK(has(&out, "\"prompt\":\"Hallo?\",\"old\":\"Alt\",\"old_ms\":0,\"new\":\"Neu\""));
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "POST", "/team/v1/aliases/assistant/trials/02/accept",
			     "{\"note\":\"gut\"}", NULL, &out),
		200);
	CHECK(has(&out, "\"state\":\"accepted\""));
	CHECK(fakes_audited("\"action\":\"trial.accept\",\"object\":\"assistant\""));
	test_app_stop(&t);
}

TEST(a_move_is_told_and_an_alias_is_not_deleted)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "POST", "/api/copy",
			     "{\"source\":\"tiny\",\"destination\":\"moved\"}", NULL, &out),
		200);
	CHECK(has(&out, "\"kept\":\"moved:latest@sha256:aa\""));
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "DELETE", "/api/delete", "{\"model\":\"assistant\"}", NULL, &out),
		409);
	CHECK(has(&out, "assistant"));
	CHECK_EQ_INT(call_api(&t, "DELETE", "/api/delete",
			     "{\"model\":\"tiny\",\"force\":\"yes\"}", NULL, NULL),
		400);
	CHECK_EQ_INT(call_api(&t, "DELETE", "/team/v1/models/tiny?force=yes", "", NULL, NULL), 400);
	CHECK_EQ_INT(call_api(&t, "DELETE", "/team/v1/models/tiny?force=1", "", NULL, NULL), 200);
	test_app_stop(&t);
}

TEST(engine_builds_are_listed_with_who_keeps_them)
{
	struct test_app t;
	AUTO_BUF struct buf out = BUF(65536);
	test_app_start(&t);
	CHECK_EQ_INT(call_api(&t, "GET", "/team/v1/engines", "", NULL, &out), 200);
	CHECK(has(&out, "{\"id\":\"e-2\",\"version\":\"0.5.0\",\"tree\":\"18ce\","
			"\"variant\":\"native\",\"proto\":1,\"current\":true,\"usable\":true,"
			"\"why\":\"\",\"kept_by\":[]}"));
	CHECK(has(&out, "\"usable\":false,\"why\":\"it is damaged\""));
	fakes.aliases = 1;
	fakes.keeps = "e-1";
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/team/v1/engines?check=1", "", NULL, &out), 200);
	CHECK(has(&out, "\"why\":\"\",\"kept_by\":[\"assistant\"]}"));
	fakes.keeps = "e-9"; /* not here: a row of its own */
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/team/v1/engines", "", NULL, &out), 200);
	CHECK(has(&out, "{\"id\":\"e-9\",\"version\":\"\",") &&
		has(&out, "\"usable\":false,\"why\":\"it is not installed here\","
			  "\"kept_by\":[\"assistant\"]}"));
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/team/v1/doctor", "", NULL, &out), 200);
	CHECK(has(&out, "\"name\":\"builds\",\"state\":\"bad\"") &&
		has(&out, "e-9 (assistant)"));
	fakes.keeps = "e-1";
	buf_clear(&out);
	CHECK_EQ_INT(call_api(&t, "GET", "/team/v1/doctor", "", NULL, &out), 200);
	CHECK(has(&out, "\"name\":\"builds\",\"state\":\"ok\""));
	test_app_stop(&t);
}

TEST(an_alias_can_keep_only_a_build_that_is_usable_here)
{
	static const struct {
		const char *engine, *says;
		int status;
	} all[] = { { "e-1", "\"engine\":\"e-1\"", 200 },
		{ "current", "\"engine\":\"e-2\"", 200 },
		{ "e-3", "it is damaged", 503 }, { "e-4", "no engine build", 404 },
		{ "../e-1", "no engine build", 404 } };
	struct test_app t;
	test_app_start(&t);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		AUTO_BUF struct buf out = BUF(65536);
		char body[200];
		snprintf(body, sizeof body, "{\"model\":\"tiny\",\"engine\":\"%s\"}",
			all[i].engine);
		CHECK_EQ_INT(call_api(&t, "PUT", "/team/v1/aliases/assistant", body, NULL, &out),
			all[i].status);
		if (!has(&out, all[i].says))
			FAIL("%s: %.*s", all[i].engine, (int)out.len, out.ptr);
	}
	AUTO_BUF struct buf out = BUF(65536);
	CHECK_EQ_INT(
		call_api(&t, "POST", "/team/v1/aliases/assistant/keep", "{}", NULL, &out), 200);
	CHECK(has(&out, "\"engine\":\"e-2\""));
	CHECK(fakes_audited("\"action\":\"alias.keep\",\"object\":\"assistant\""));
	test_app_stop(&t);
}
