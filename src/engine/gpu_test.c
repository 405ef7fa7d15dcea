/* The engine on cards, as its role runs it: locked, with Vulkan's software device in their place.
 * That proves the code's paths, not a card. Second source of answers: the same engine on the
 * processor. Run by tests/gpu. */
#include <stdio.h>
#include <string.h>

#include "engine/llama_fixture.h"
#include "tests/test.h"

enum { SLOW_MS = 400 * 1000, TOKENS = 6 };
static const char QUESTION[] = "The capital of France is";

static struct drive *start_on(unsigned n, const struct card_use *cards, struct engine_info *info)
{
	struct drive *d = NULL;
	struct gen_failed why;
	struct engine_load load = { .n_seq = 2, .n_ctx = 1024, .n_threads = 2, .n_gpu_layers = -1,
		.flash = -1, .n_cards = n };
	for (unsigned i = 0; i < n; i++)
		load.card[i] = cards[i];
	CHECK_OK(drive_start(open_model("smollm2"), &load, &d));
	enum err e = drive_ready(d, SLOW_MS, info, &why);
	if (e)
		FAIL("engine not ready: %s %.*s", err_slug(e), STR_ARG(why.detail));
	return d;
}

static void answer(struct drive *d, struct drive_answer *ret)
{
	struct gen_request g = ask(QUESTION);
	g.sampling.num_predict = TOKENS;
	CHECK_OK(drive_one(d, &g, ret, SLOW_MS));
	CHECK(!ret->failed);
}

/* Greedy tokens agree where no two are near each other: the model is sure of these six. */
TEST_TIMEOUT(two_cards_share_a_model_by_layers_and_answer_as_the_processor, 900)
{
	static const struct card_use two[] = { { "vulkan:0", 600 }, { "vulkan:0", 400 } };
	struct engine_info cpu, gpu;
	struct drive_answer a, b;
	struct drive *d = start_on(0, NULL, &cpu);
	CHECK(!cpu.gpu && !cpu.cards.len);
	answer(d, &a);
	drive_free(d);
	d = start_on(2, two, &gpu);
	CHECK(gpu.gpu);
	size_t half = (gpu.cards.len - 3) / 2; /* "X + X" */
	CHECK_EQ_STR(str_sub(gpu.cards, half, 3), STR(" + "));
	CHECK_EQ_STR(str_sub(gpu.cards, 0, half), str_sub(gpu.cards, half + 3, SIZE_MAX));
	answer(d, &b);
	CHECK_EQ_INT(b.n_tokens, a.n_tokens);
	for (size_t i = 0; i < a.n_tokens; i++)
		CHECK_EQ_INT(b.tokens[i], a.tokens[i]);
	CHECK_EQ_STR(buf_str(&b.text), buf_str(&a.text));
	drive_answer_done(&a);
	drive_answer_done(&b);
	drive_free(d);
}

static void refused(const char *id)
{
	struct drive *d = NULL;
	struct engine_info info;
	struct gen_failed why;
	struct engine_load load = { .n_seq = 1, .n_ctx = 512, .n_threads = 1, .n_gpu_layers = -1,
		.flash = -1, .n_cards = 1, .card = { { .share = 1000 } } };
	snprintf(load.card[0].id, sizeof load.card[0].id, "%s", id);
	CHECK_OK(drive_start(open_model("smollm2"), &load, &d));
	CHECK_EQ_INT(drive_ready(d, SLOW_MS, &info, &why), ERR_UNSUPPORTED);
	CHECK_EQ_STR(why.detail,
		STR("this engine build does not see the graphics cards that the model was to use"));
	drive_free(d);
}

TEST_TIMEOUT(a_card_that_is_not_there_is_refused_and_no_processor_takes_its_place, 300)
{
	refused("vulkan:99");
	refused("cuda:GPU-00000000-0000-0000-0000-000000000000");
}
