/* Questions about text through the fleet: counted, cut into tokens, guilty of crashes as any. */
#include "models/fleet_tokens.h"

#include <stdlib.h>

#include "models/fleet_world_test.h"

static const struct fleet_model model = { .digest = "m1", .name = "m", .keep_alive_ms = 60000 };

static void count(struct fleet *f, const char *text, struct seen *s)
{
	char *copy = strdup(text); /* the fleet keeps none of the caller's */
	struct gen_request g = { .kind = GEN_CHAT, .input = str_from(copy) };
	gen_sampling_defaults(&g.sampling);
	CHECK_OK(fleet_count(f, &model, &g, see, s, NULL));
	memset(copy, 'x', strlen(copy));
	free(copy);
	wait_end(s);
}

static void cut(struct fleet *f, const char *text, struct seen *s)
{
	char *copy = strdup(text);
	struct tokens_request q = { .text = str_from(copy) };
	CHECK_OK(fleet_tokens(f, &model, &q, see, s, NULL));
	memset(copy, 'x', strlen(copy));
	free(copy);
	wait_end(s);
}

TEST(a_prompt_is_counted_and_nothing_is_generated)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN;
	struct fleet_totals t;
	count(f, "abcde", &a);
	CHECK(a.done == 1 && a.begun == 0);
	CHECK_EQ_INT(a.tokens, 5);
	fleet_totals(f, &t);
	CHECK(t.requests == 1 && t.tokens_out == 0 && !t.failed);
	world_end(&w, f);
}

TEST(a_text_becomes_tokens_and_tokens_a_text)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	struct tokens_request back = {
		.to_text = true, .tokens = (const int32_t[]){ 'o', 'k' }, .n_tokens = 2
	};
	cut(f, "hello", &a);
	CHECK_EQ_INT(a.tokens, 5);
	CHECK_EQ_Z(a.text, "hello");
	CHECK_OK(fleet_tokens(f, &model, &back, see, &b, NULL));
	wait_end(&b);
	CHECK_EQ_Z(b.text, "ok");
	world_end(&w, f);
}

TEST(a_guilty_count_is_quarantined_and_an_answer_to_the_same_is_not)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen bad = SEEN, again = SEEN, text = SEEN, other = SEEN;
	count(f, "die", &bad);
	CHECK(bad.failed == 1 && bad.code == ERR_ENGINE);
	int started = w.engines_started;
	count(f, "die", &again);
	CHECK(again.failed == 1 && again.code == ERR_ENGINE);
	CHECK_EQ_INT(w.engines_started, started); /* it was not tried */
	cut(f, "die", &text);
	CHECK(text.failed == 1 && text.code == ERR_ENGINE);
	CHECK(w.engines_started > started); /* another question */
	count(f, "fine", &other);
	CHECK(other.done == 1 && other.tokens == 4);
	world_end(&w, f);
}

TEST(an_engine_that_answers_another_question_is_ended)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN;
	cut(f, "lie", &a);
	CHECK(a.failed == 1 && a.code == ERR_ENGINE);
	world_end(&w, f);
}
