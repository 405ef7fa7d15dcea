/* What a request does beside the sampler: a budget of reasoning, the check at the end. */
#include "engine/request.h"

#include <string.h>

#include "engine/fake.h"
#include "tests/test.h"

static struct request *make(struct fake *f, struct gen_request g)
{
	struct request *r = NULL;
	struct request_error why;
	if (request_new(&FAKE_OPS, f, 1, &g, &r, &why))
		FAIL("%s", why.info.detail);
	return r;
}

static struct gen_request ask(enum gen_kind kind)
{
	struct gen_request g = { .kind = kind,
		.input = STR("[{\"role\":\"user\",\"content\":\"x\"}]") };
	gen_sampling_defaults(&g.sampling);
	g.sampling.temperature = 0;
	g.sampling.repeat_last_n = 0;
	return g;
}

/* Draws `n` tokens from rows in which `likely` wins and reads them. */
static void step(struct request *r, char likely, int n, struct buf *thought, struct buf *answer)
{
	for (int i = 0; i < n; i++) {
		float row[FAKE_VOCAB] = { 0 };
		int32_t id = -1;
		bool stopped = false;
		row[(unsigned char)likely] = 5;
		CHECK_OK(request_pick(r, row, &id));
		CHECK_OK(request_accept(r, id));
		CHECK_OK(tokens_add(&r->feed, &id, 1));
		CHECK_OK(request_read(r, id, thought, answer, &stopped));
	}
}

TEST(a_budget_ends_the_reasoning_with_its_tag)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 200,
				  .n_seq = 1,
				  .n_batch = 200,
				  .think_start = STR("<t>"),
				  .think_end = STR("</t>") },
		&f));
	for (uint32_t budget = 0; budget < 7; budget += 3) {
		struct gen_request g = ask(GEN_CHAT);
		AUTO_BUF struct buf thought = BUF(1000), answer = BUF(1000);
		g.has_think_budget = true;
		g.think_budget = budget;
		struct request *r = make(f, g);
		step(r, '<', 1, &thought, &answer); /* the model opens it by itself */
		step(r, 't', 1, &thought, &answer);
		step(r, '>', 1, &thought, &answer);
		step(r, 'a', (int)budget, &thought, &answer);
		step(r, 'a', 4, &thought, &answer); /* forced: </t> */
		step(r, 'a', 3, &thought, &answer);
		CHECK_EQ_INT(thought.len, budget);
		CHECK_EQ_STR(buf_str(&answer), STR("aaa"));
		/* resumed in the middle of what is forced, it goes on in there */
		for (size_t cut = 1; cut + 1 < request_answer_tokens(r); cut++) {
			struct request *again = make(f, g);
			AUTO_BUF struct buf t2 = BUF(1000), a2 = BUF(1000);
			bool stopped;
			for (size_t i = 0; i < cut; i++) {
				int32_t id = r->feed.v[r->prompt_tokens + i];
				CHECK_OK(request_accept(again, id));
				CHECK_OK(tokens_add(&again->feed, &id, 1));
				CHECK_OK(request_read(again, id, &t2, &a2, &stopped));
			}
			if (cut >= 3)
				step(again, 'a', (int)(request_answer_tokens(r) - cut), &t2, &a2);
			if (cut >= 3)
				CHECK_EQ_STR(buf_str(&a2), STR("aaa"));
			request_free(again);
		}
		request_free(r);
	}
}

TEST(wishes_that_exclude_each_other_are_refused)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 200, .n_seq = 1, .n_batch = 200 }, &f));
	static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]";
	for (int k = 0; k < 7; k++) {
		struct gen_request g = ask(k == 3 ? GEN_PROMPT : GEN_CHAT);
		struct request *r = NULL;
		struct request_error why = { 0 };
		static const int32_t bias[] = { 257, 0 };
		if (k < 4)
			g.tools = str_from(tools);
		switch (k) {
		case 0:
			g.schema = STR("{\"type\":\"object\"}");
			break;
		case 1:
			g.grammar = STR("root ::= \"a\"");
			break;
		case 2:
			g.logprobs = true;
			break;
		case 3:
			break;
		case 4:
			g.schema = STR("json"), g.grammar = STR("root ::= \"a\"");
			break;
		case 5:
			g.think = THINK_ON, g.think_required = true;
			break;
		default:
			g.bias = bias, g.n_bias = 1;
		}
		enum err e = request_new(&FAKE_OPS, f, 1, &g, &r, &why);
		if (e != ERR_INVALID && e != ERR_UNSUPPORTED)
			FAIL("case %d gave %s", k, err_slug(e));
		CHECK(why.info.detail[0]);
	}
}

TEST(an_answer_that_misses_its_schema_is_told)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 200, .n_seq = 1, .n_batch = 200 }, &f));
	struct gen_request g = ask(GEN_CHAT);
	AUTO_BUF struct buf thought = BUF(1000), answer = BUF(1000);
	g.schema = STR("{\"const\":\"abc\"}");
	g.think = THINK_HIGH;
	struct request *r = make(f, g);
	struct gen_done d = { .reason = GEN_LENGTH };
	step(r, 'b', 3, &thought, &answer); /* letters are allowed, but bbb is no JSON */
	CHECK_OK(request_read_end(r, -1, &thought, &answer));
	CHECK_EQ_STR(buf_str(&answer), STR("bbb")); /* kept as it is */
	request_finish(r, &d);
	CHECK(str_find(d.warnings, STR("does not follow the schema"), 0) != SIZE_MAX);
	CHECK(str_find(d.warnings, STR("does not think"), 0) != SIZE_MAX);
	CHECK_EQ_INT(d.calls.len, 0);
	request_free(r);
}

TEST(log_probabilities_are_given_once)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 200, .n_seq = 1, .n_batch = 200 }, &f));
	struct gen_request g = ask(GEN_CHAT);
	AUTO_BUF struct buf thought = BUF(1000), answer = BUF(1000);
	g.logprobs = true;
	g.top_logprobs = 2;
	struct request *r = make(f, g);
	CHECK_EQ_INT(request_logprobs(r).len, 0);
	step(r, 'a', 2, &thought, &answer);
	AUTO_JSON json_t *doc = NULL;
	CHECK_OK(json_read(request_logprobs(r), 1 << 20, 8, &doc, NULL));
	CHECK_EQ_INT(json_array_size(doc), 2);
	/* log(e^5 / (e^5 + 256)) = -1.00244 */
	const json_t *e = json_array_get(doc, 0);
	double lp = json_number_value(json_object_get(e, "logprob"));
	CHECK(lp > -1.0029 && lp < -1.0019);
	CHECK_EQ_Z(json_string_value(json_object_get(e, "token")), "a");
	CHECK_EQ_INT(json_array_size(json_object_get(e, "top_logprobs")), 2);
	request_logprobs_sent(r);
	CHECK_EQ_INT(request_logprobs(r).len, 0);
	request_free(r);
}
