#include "models/alias.h"

#include <stdio.h>
#include <string.h>

#include "models/trial.h"
#include "tests/test.h"

TEST(what_an_alias_may_be_called)
{
	static const char *const good[] = { "a", "assistant", "code-2", "vision_eu", "latest" };
	static const char *const bad[] = { "", ".", "..", "../x", "Assistant", "a b", "a.b", "a/b",
		"a:b", "1a", "-a", "_a", "a\n", "\xd0\xb0ssistant", "assist\xc3\xa4nt",
		"a\xe2\x80\x8b", "starter", "file", "localhost", "a@b", "a%41" };
	static char endless[10001];
	struct err_info info;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_OK(alias_name_check(str_from(good[i]), NULL));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		info = (struct err_info){ 0 };
		if (alias_name_check(str_from(bad[i]), &info) != ERR_INVALID || !info.detail[0])
			FAIL("taken: %s", bad[i]);
	}
	memset(endless, 'a', 10000);
	CHECK_ERR(alias_name_check(str_from(endless), NULL), ERR_INVALID);
	endless[ALIAS_NAME_MAX + 1] = '\0';
	CHECK_ERR(alias_name_check(str_from(endless), NULL), ERR_INVALID);
	endless[ALIAS_NAME_MAX] = '\0';
	CHECK_OK(alias_name_check(str_from(endless), NULL));
	CHECK_ERR(alias_name_check((struct str){ "a\0b", 3 }, NULL), ERR_INVALID);
}

TEST(how_an_alias_is_written_where_a_model_is_named)
{
	static const struct {
		const char *text, *name;
		enum alias_channel channel;
	} good[] = { { "assistant", "assistant", ALIAS_PRODUCTION },
		{ "ASSISTANT:Latest", "assistant", ALIAS_PRODUCTION },
		{ "a:production", "a", ALIAS_PRODUCTION },
		{ "a:candidate", "a", ALIAS_CANDIDATE }, { "a:previous", "a", ALIAS_PREVIOUS } };
	static const char *const not[] = { "", ":", "a:", ":latest", "gemma3:4b", "a:candidat",
		"a:candidates", "a:candidate:x", "n/a", "hf.co/u/r", "a@sha256:0", "a.b",
		"a:latestlatestlatestlatest" };
	char name[ALIAS_NAME_MAX + 1];
	enum alias_channel c;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		CHECK(alias_parse(str_from(good[i].text), name, &c));
		CHECK_EQ_Z(name, good[i].name);
		CHECK_EQ_INT(c, good[i].channel);
	}
	for (size_t i = 0; i < sizeof not / sizeof *not; i++)
		if (alias_parse(str_from(not[i]), name, &c))
			FAIL("taken: %s", not[i]);
}

static struct alias_target target(const char *digest)
{
	struct alias_target t = { .since_ms = 1, .person = "p1", .model = "m:1" };
	snprintf(t.digest, sizeof t.digest, "%s", digest);
	return t;
}

TEST(production_changes_only_by_promotion_and_back)
{
	struct alias a = { .name = "x" };
	struct alias_target d1 = target("d1"), d2 = target("d2");
	struct err_info info = { 0 };
	CHECK_ERR(alias_take(&a, ALIAS_PREVIOUS, &d1, &info), ERR_INVALID);
	CHECK_OK(alias_take(&a, ALIAS_PRODUCTION, &d1, &info));
	CHECK_ERR(alias_take(&a, ALIAS_PRODUCTION, &d2, &info), ERR_CONFLICT);
	CHECK_ERR(alias_promote(&a, "t1", STR(""), "p2", 5, &info), ERR_CONFLICT);
	CHECK_ERR(alias_back(&a, "p2", 5, &info), ERR_CONFLICT);
	CHECK_OK(alias_take(&a, ALIAS_CANDIDATE, &d1, &info));
	CHECK_ERR(alias_promote(&a, "t1", STR(""), "p2", 5, &info), ERR_CONFLICT); /* the same */
	CHECK_OK(alias_take(&a, ALIAS_CANDIDATE, &d2, &info));
	CHECK_ERR(alias_promote(&a, "", STR(""), "p2", 5, &info), ERR_CONFLICT);
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].digest, "d1"); /* nothing on failure */
	CHECK_EQ_Z(a.at[ALIAS_CANDIDATE].digest, "d2");

	CHECK_OK(alias_promote(&a, "t1", STR("unused"), "p2", 5, &info));
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].digest, "d2");
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].person, "p2");
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].trial, "t1");
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].reason, ""); /* a trial is the better reason */
	CHECK_EQ_INT(a.at[ALIAS_PRODUCTION].since_ms, 5);
	CHECK_EQ_Z(a.at[ALIAS_PREVIOUS].digest, "d1");
	CHECK_EQ_Z(a.at[ALIAS_CANDIDATE].digest, "");

	for (int i = 0; i < 4; i++) { /* back and forth */
		CHECK_OK(alias_back(&a, NULL, 6 + i, &info));
		CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].digest, i % 2 ? "d2" : "d1");
		CHECK_EQ_Z(a.at[ALIAS_PREVIOUS].digest, i % 2 ? "d1" : "d2");
		CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].person, ""); /* the operator */
		CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].trial, i % 2 ? "t1" : "");
	}
}

TEST(an_override_needs_a_reason_that_can_be_read)
{
	static char endless[ALIAS_REASON_MAX + 2];
	struct alias a = { .name = "x" };
	struct alias_target d1 = target("d1"), d2 = target("d2");
	CHECK_OK(alias_take(&a, ALIAS_PRODUCTION, &d1, NULL));
	CHECK_OK(alias_take(&a, ALIAS_CANDIDATE, &d2, NULL));
	CHECK_OK(alias_promote(&a, NULL, STR("d1 leaks"), "p", 5, NULL));
	CHECK_EQ_Z(a.at[ALIAS_PRODUCTION].reason, "d1 leaks");
	CHECK_OK(alias_text_check(STR("gr\xc3\xbc\xc3\x9f" "e\n"), "override", NULL));
	CHECK_ERR(alias_text_check(STR("\x1b[2J"), "override", NULL), ERR_INVALID);
	CHECK_ERR(alias_text_check(STR("\xff"), "override", NULL), ERR_INVALID);
	memset(endless, 'x', sizeof endless - 1);
	CHECK_ERR(alias_text_check(str_from(endless), "override", NULL), ERR_INVALID);
}

TEST(only_a_finished_trial_with_enough_prompts_can_be_accepted)
{
	struct trial t = { .state = "running", .answered = ALIAS_PROMPTS_MIN };
	CHECK_ERR(trial_may_decide(&t, true, NULL), ERR_CONFLICT);
	CHECK_ERR(trial_may_decide(&t, false, NULL), ERR_CONFLICT);
	memcpy(t.state, "failed", sizeof "failed");
	CHECK_ERR(trial_may_decide(&t, true, NULL), ERR_CONFLICT);
	memcpy(t.state, "done", sizeof "done");
	CHECK_OK(trial_may_decide(&t, true, NULL));
	t.answered--;
	CHECK_ERR(trial_may_decide(&t, true, NULL), ERR_CONFLICT);
	CHECK_OK(trial_may_decide(&t, false, NULL));
}
