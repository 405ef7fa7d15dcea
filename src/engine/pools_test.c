/* The two pools of the real library: states that move, prefixes that are shared, tuning. */
#include <string.h>

#include "base/fault.h"
#include "base/time.h"
#include "engine/llama/tune.h"
#include "engine/llama_fixture.h"
#include "engine/sampler.h"
#include "tests/test.h"

static struct llama_backend *small(const char *model)
{
	struct llama_backend_options o = { .n_ctx = 2048, .n_ctx_own = 1024, .n_seq = 3,
		.n_threads = 2, .flash = -1 };
	struct llama_backend *b = NULL;
	struct err_info info = { 0 };
	llama_backend_prepare(NULL, 0);
	if (llama_backend_new(fdopen(open_model(model), "rb"), &o, &b, &info))
		FAIL("%s", info.detail);
	return b;
}

static size_t read_text(struct llama_backend *b, enum engine_pool p, int32_t seq,
	const struct tokens *t, size_t from)
{
	struct engine_token v[512];
	size_t n = 0;
	for (size_t i = from; i < t->n; i++)
		v[n++] = (struct engine_token){ t->v[i], (int32_t)i, seq, i + 1 == t->n };
	CHECK_OK(LLAMA_OPS.decode(b, p, v, n));
	return n - 1;
}

/* The most likely next tokens, greedily, from a sequence that holds all but the last of `t`. */
static void go_on(struct llama_backend *b, enum engine_pool p, int32_t seq, struct tokens t,
	int32_t *ret, int n)
{
	AUTO_TOKENS struct tokens all = { 0 };
	CHECK_OK(tokens_add(&all, t.v, t.n));
	for (int k = 0; k < n; k++) {
		float *l = LLAMA_OPS.logits(b, read_text(b, p, seq, &all, all.n - 1));
		int32_t best = 0;
		for (uint32_t i = 1; i < LLAMA_OPS.caps(b)->n_vocab; i++)
			best = l[i] > l[best] ? (int32_t)i : best;
		ret[k] = best;
		CHECK_OK(tokens_add(&all, &best, 1));
	}
	CHECK(LLAMA_OPS.kv_rm(b, p, seq, (int32_t)t.n - 1, -1));
}

static void move(struct llama_backend *b, enum engine_pool p, int32_t seq, enum engine_pool to,
	int32_t to_seq)
{
	size_t n, again;
	void *bytes, *back;
	CHECK_OK(LLAMA_OPS.state_get(b, p, seq, &bytes, &n));
	CHECK(LLAMA_OPS.state_set(b, to, to_seq, bytes, n));
	CHECK_OK(LLAMA_OPS.state_get(b, to, to_seq, &back, &again));
	CHECK_EQ_INT(again, n);
	mem_free(bytes);
	mem_free(back);
}

TEST_TIMEOUT(states_move_between_pools_and_say_the_same, 180)
{
	static const char *const models[] = { "smollm2", "gemma3-270m" };
	for (int m = 0; m < 2; m++) {
		struct llama_backend *b = small(models[m]);
		struct engine_prompt p = { 0 };
		struct gen_request g = ask("The quick brown fox jumps over the lazy dog. The quick "
					   "brown fox jumps over the lazy dog. The quick brown");
		int32_t want[6], got[6];
		CHECK_OK(LLAMA_OPS.prompt(b, &g, NULL, &p, NULL));
		CHECK_OK(LLAMA_OPS.pool_open(b, POOL_SHARED));
		struct tokens but_last = p.tokens;
		but_last.n--;
		(void)read_text(b, POOL_OWN, 1, &but_last, 0);
		go_on(b, POOL_OWN, 1, p.tokens, want, 6);
		move(b, POOL_OWN, 1, POOL_SHARED, 5);
		go_on(b, POOL_SHARED, 5, p.tokens, got, 6);
		CHECK(!memcmp(want, got, sizeof want));
		move(b, POOL_SHARED, 5, POOL_OWN, 2);
		go_on(b, POOL_OWN, 2, p.tokens, got, 6);
		CHECK(!memcmp(want, got, sizeof want));
		/* A shared beginning, and a state of the rest alone put behind it. */
		int32_t half = (int32_t)but_last.n / 2;
		LLAMA_OPS.kv_cp(b, 5, 6, half, -1);
		move(b, POOL_SHARED, 6, POOL_SHARED, 7);
		CHECK(LLAMA_OPS.kv_rm(b, POOL_SHARED, 6, 0, -1));
		LLAMA_OPS.kv_cp(b, 5, 6, 0, half);
		LLAMA_OPS.kv_cp(b, 7, 6, half, -1);
		CHECK(LLAMA_OPS.kv_rm(b, POOL_SHARED, 7, 0, -1));
		go_on(b, POOL_SHARED, 6, p.tokens, got, 6);
		CHECK(!memcmp(want, got, sizeof want));
		/* Bytes that are no state leave the sequence empty. */
		char junk[64];
		memset(junk, 0x5a, sizeof junk);
		CHECK(!LLAMA_OPS.state_set(b, POOL_OWN, 0, junk, sizeof junk));
		CHECK_EQ_INT(LLAMA_OPS.kv_first(b, POOL_OWN, 0), -1);
		engine_prompt_done(&p);
		llama_backend_free_all(b);
	}
}

TEST_TIMEOUT(tuning_measures_says_and_is_read_back, 180)
{
	struct llama_backend *b = small("smollm2");
	struct tuned t, again;
	CHECK_ERR(llama_tune(b, 15000, NULL, NULL, &t), ERR_UNSUPPORTED); /* a pool is open */
	LLAMA_OPS.pool_close(b, POOL_OWN);
	CHECK_OK(llama_tune(b, 60000, NULL, NULL, &t));
	fprintf(stderr, "# %s\n", t.text);
	CHECK(tuned_read(str_from(t.text), &again));
	CHECK(again.flash == t.flash && again.n_ubatch == t.n_ubatch && again.n_threads == 2);
	CHECK(!tuned_read(STR("flash=maybe ubatch=1 threads=1;"), &again));
	CHECK(!tuned_read(STR(""), &again));
	llama_backend_apply(b, &t);
	CHECK_OK(LLAMA_OPS.pool_open(b, POOL_OWN));
	CHECK_OK(llama_backend_warm_up(b));
	LLAMA_OPS.pool_close(b, POOL_OWN);
	CHECK_ERR(llama_tune(b, 0, NULL, NULL, &t), ERR_TIMEOUT);
	llama_backend_free_all(b);
}
