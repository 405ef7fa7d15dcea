/* The queue of texts to embed, over a played backend: a token is a byte, 'B' and 'E' its marks. */
#include "engine/embed.h"

#include <math.h>
#include <string.h>

#include "base/fault.h"
#include "tests/test.h"

enum { N_EMBD = 4, MARK_B = 1, MARK_E = 2, N_VOCAB = 300, MOST = 600 };

static struct {
	struct embed_caps caps;
	enum err next; /* what compute() says */
	size_t batches, rows[64];
	int64_t now;
	/* what the sink was told */
	size_t n_done, n_failed;
	uint64_t order[MOST];
	uint64_t id;
	struct embed_done done;
	float values[MOST * N_EMBD];
	int32_t counts[MOST];
	enum err code;
	char detail[ERR_DETAIL_MAX];
	struct gen_failed failed;
} w;

static const struct embed_caps *caps(void *b)
{
	(void)b;
	return &w.caps;
}

static enum err one(struct tokens *t, int32_t id)
{
	return tokens_add(t, &id, 1);
}

static enum err text(void *b, struct str s, struct embed_text *ret)
{
	(void)b;
	TRY(one(&ret->tokens, MARK_B));
	ret->cut_from = 1;
	for (size_t i = 0; i < s.len; i++)
		TRY(one(&ret->tokens, (unsigned char)s.ptr[i]));
	ret->cut_to = ret->tokens.n;
	return one(&ret->tokens, MARK_E);
}

static enum err marks(void *b, const int32_t *v, size_t n, struct embed_text *ret)
{
	(void)b;
	ret->cut_to = n;
	return tokens_add(&ret->tokens, v, n);
}

static enum err pair(void *b, struct str q, struct str d, struct embed_text *ret)
{
	TRY(text(b, q, ret));
	ret->cut_from = ret->tokens.n;
	for (size_t i = 0; i < d.len; i++)
		TRY(one(&ret->tokens, (unsigned char)d.ptr[i]));
	ret->cut_to = ret->tokens.n;
	return one(&ret->tokens, MARK_E);
}

/* A row: number of tokens, first, last, sum. */
static enum err compute(void *b, const struct embed_row *v, size_t n, float *out)
{
	(void)b;
	w.rows[w.batches++ % 64] = n;
	for (size_t i = 0; i < n && !w.next; i++) {
		float sum = 0;
		for (uint32_t k = 0; k < v[i].n; k++)
			sum += (float)v[i].tokens[k];
		if (w.caps.ranks) {
			out[i] = sum;
			continue;
		}
		float row[] = { (float)v[i].n, (float)v[i].tokens[0],
			(float)v[i].tokens[v[i].n - 1], sum };
		memcpy(out + i * N_EMBD, row, sizeof row);
	}
	return w.next;
}

static int64_t now(void *b)
{
	(void)b;
	return w.now += 1000;
}

static const struct embed_ops OPS = { caps, text, marks, pair, compute, now };

static void on_done(void *arg, uint64_t id, const struct embed_done *d)
{
	(void)arg;
	w.order[w.n_done++] = id;
	w.id = id;
	w.done = *d;
	memcpy(w.values, d->values, d->n_values * sizeof *d->values);
	memcpy(w.counts, d->counts, d->n * sizeof *d->counts);
}

static void on_failed(void *arg, uint64_t id, const struct gen_failed *f)
{
	(void)arg;
	w.n_failed++;
	w.id = id;
	w.code = f->code;
	w.failed = *f;
	CHECK_OK(str_copy(f->detail, w.detail, sizeof w.detail));
}

static struct embedder *make(void)
{
	struct embedder *e;
	memset(&w, 0, sizeof w);
	w.caps = (struct embed_caps){
		.n_embd = N_EMBD, .n_input = 20, .n_batch = 12, .n_seq = 3, .n_vocab = N_VOCAB
	};
	CHECK_OK(embedder_new(&OPS, NULL, &(struct embed_sink){ on_done, on_failed, NULL }, &e));
	return e;
}

static void run(struct embedder *e)
{
	for (int i = 0; i < 5000 && embedder_busy(e); i++)
		CHECK_OK(embedder_step(e));
	CHECK(!embedder_busy(e));
}

TEST(inputs_become_rows_in_their_order)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 2, 0, 3 };
	embedder_add(e, 7, &(struct embed_request){ .texts = STR("abxyz"), .lens = lens, .n = 3 });
	run(e);
	CHECK_EQ_INT(w.n_done, 1);
	CHECK_EQ_INT(w.id, 7);
	CHECK(w.counts[0] == 4 && w.counts[1] == 2 && w.counts[2] == 5);
	const float want[] = { 4, 1, 2, 1 + 'a' + 'b' + 2, 2, 1, 2, 3, 5, 1, 2,
		3 + 'x' + 'y' + 'z' };
	CHECK(memcmp(w.values, want, sizeof want) == 0);
	CHECK(w.done.dim == N_EMBD && w.done.truncated == 0 && w.done.longest == 20);
	CHECK(w.done.queue_ns > 0 && w.done.compute_ns > 0);
	CHECK_EQ_INT(w.batches, 1);
}

TEST(requests_share_a_batch_and_nobody_waits_for_a_long_list)
{
	AUTO(embedder) struct embedder *e = make();
	static char many[MOST];
	static int32_t ones[MOST];
	memset(many, 'a', sizeof many);
	for (size_t i = 0; i < MOST; i++)
		ones[i] = 1;
	const int32_t three[] = { 3 };
	embedder_add(
		e, 1, &(struct embed_request){ .texts = { many, MOST }, .lens = ones, .n = MOST });
	CHECK_OK(embedder_step(e));
	embedder_add(e, 2, &(struct embed_request){ .texts = STR("abc"), .lens = three, .n = 1 });
	CHECK_OK(embedder_step(e));
	CHECK_EQ_INT(w.n_done, 1); /* the question is answered, the list is not */
	CHECK_EQ_INT(w.id, 2);
	CHECK_EQ_INT(w.rows[1], 2 /* 5 and 3 tokens; another 3 fit */ + 1);
	run(e);
	CHECK_EQ_INT(w.n_done, 2);
	CHECK_EQ_INT(w.done.n, MOST);
	for (size_t i = 0; i < MOST; i++)
		if (w.values[i * N_EMBD + 3] != 3 + 'a')
			FAIL("row %zu", i);
}

TEST(an_input_longer_than_a_batch_goes_alone)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 1, 16, 1 };
	embedder_add(e, 1,
		&(struct embed_request){
			.texts = STR("a0123456789abcdefb"), .lens = lens, .n = 3 });
	run(e);
	CHECK_EQ_INT(w.n_done, 1);
	CHECK(w.batches == 3 && w.rows[0] == 1 && w.rows[1] == 1 && w.rows[2] == 1);
	CHECK_EQ_INT(w.counts[1], 18);
}

TEST(too_long_is_an_error_with_both_counts_or_is_cut)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 2, 26 };
	struct embed_request r = {
		.texts = STR("okabcdefghijklmnopqrstuvwxyz"), .lens = lens, .n = 2
	};
	embedder_add(e, 3, &r);
	run(e);
	CHECK(w.n_failed == 1 && w.code == ERR_CONTEXT && w.id == 3);
	CHECK_EQ_STR(str_from(w.detail), STR("input 1 has 28 tokens; the model reads at most 20"));
	CHECK(w.failed.prompt_tokens == 28 && w.failed.context_tokens == 20);
	r.truncate = true;
	embedder_add(e, 4, &r);
	run(e);
	CHECK(w.n_done == 1 && w.done.truncated == 1 && w.counts[1] == 20);
	CHECK(w.values[N_EMBD + 1] == MARK_B && w.values[N_EMBD + 2] == MARK_E);
	float sum = 3;
	for (char c = 'a'; c < 'a' + 18; c++)
		sum += (float)c;
	CHECK(w.values[N_EMBD + 3] == sum);
}

TEST(vectors_are_cut_then_normalised)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 3, 1 };
	embedder_add(e, 1,
		&(struct embed_request){ .texts = STR("abcd"),
			.lens = lens,
			.n = 2,
			.dimensions = 2,
			.normalise = true });
	run(e);
	CHECK_EQ_INT(w.done.dim, 2);
	const double a = hypot(5, 1), b = hypot(3, 1);
	CHECK(fabs((double)w.values[0] - 5 / a) < 1e-7 && fabs((double)w.values[1] - 1 / a) < 1e-7);
	CHECK(fabs((double)w.values[2] - 3 / b) < 1e-7 && fabs((double)w.values[3] - 1 / b) < 1e-7);
}

TEST(documents_get_scores_for_a_query)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 1, 2 };
	struct embed_request r = { .texts = STR("abc"),
		.lens = lens,
		.n = 2,
		.rank = true,
		.query = STR("q"),
		.normalise = true };
	embedder_add(e, 1, &r);
	CHECK(w.code == ERR_UNSUPPORTED);
	w.caps.ranks = true;
	embedder_add(e, 2, &r);
	run(e);
	CHECK(w.n_done == 1 && w.done.dim == 1);
	CHECK(w.values[0] == 1 + 'q' + 2 + 'a' + 2 && w.values[1] == 1 + 'q' + 2 + 'b' + 'c' + 2);
	r.rank = false;
	embedder_add(e, 3, &r);
	CHECK(w.n_failed == 2 && w.code == ERR_UNSUPPORTED);
}

TEST(a_long_document_is_cut_but_not_its_query)
{
	AUTO(embedder) struct embedder *e = make();
	w.caps.ranks = true;
	const int32_t lens[] = { 30 };
	struct embed_request r = { .texts = STR("dddddddddddddddddddddddddddddd"),
		.lens = lens,
		.n = 1,
		.rank = true,
		.query = STR("qq"),
		.truncate = true };
	embedder_add(e, 1, &r);
	run(e);
	CHECK(w.n_done == 1 && w.counts[0] == 20);
	CHECK(w.values[0] == 1 + 2 * 'q' + 2 + 15 * 'd' + 2);
	r.query = STR("qqqqqqqqqqqqqqqqqqqqqqqqq");
	embedder_add(e, 2, &r);
	run(e);
	CHECK(w.n_failed == 1 && w.code == ERR_CONTEXT);
}

TEST(a_request_that_cannot_be_answered_is_refused_at_once)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t one_len[] = { 1 }, id[] = { N_VOCAB };
	embedder_add(e, 1,
		&(struct embed_request){
			.texts = STR("a"), .lens = one_len, .n = 1, .dimensions = N_EMBD + 1 });
	CHECK_EQ_INT(w.code, ERR_INVALID);
	embedder_add(e, 2,
		&(struct embed_request){ .tokens = id, .n_tokens = 1, .lens = one_len, .n = 1 });
	CHECK_EQ_INT(w.code, ERR_INVALID);
	w.caps.n_embd = EMBED_VALUES_MAX;
	static const int32_t two[] = { 1, 0 };
	embedder_add(e, 3, &(struct embed_request){ .texts = STR("a"), .lens = two, .n = 2 });
	CHECK_EQ_INT(w.code, ERR_LIMIT);
	CHECK(!embedder_busy(e) && w.n_failed == 3 && w.batches == 0);
}

TEST(an_empty_input_without_marks_names_its_place)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 1, 0 }, id[] = { 9 };
	embedder_add(
		e, 1, &(struct embed_request){ .tokens = id, .n_tokens = 1, .lens = lens, .n = 2 });
	run(e);
	CHECK(w.n_failed == 1 && w.n_done == 0 && w.code == ERR_INVALID);
	CHECK_EQ_STR(str_from(w.detail), STR("input 1: an input is empty"));
}

TEST(a_cancelled_request_says_nothing_and_others_go_on)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 8, 8 };
	struct embed_request r = { .texts = STR("0123456789abcdef"), .lens = lens, .n = 2 };
	embedder_add(e, 1, &r);
	embedder_add(e, 2, &r);
	CHECK_OK(embedder_step(e));
	CHECK(embedder_cancel(e, 1));
	CHECK(!embedder_cancel(e, 1));
	run(e);
	CHECK(w.n_done == 1 && w.id == 2 && w.n_failed == 0);
}

TEST(a_refused_batch_fails_its_requests_and_a_broken_engine_is_told)
{
	AUTO(embedder) struct embedder *e = make();
	const int32_t lens[] = { 1, 1 };
	struct embed_request r = { .texts = STR("ab"), .lens = lens, .n = 2 };
	embedder_add(e, 1, &r);
	embedder_add(e, 2, &r);
	w.next = ERR_INVALID;
	CHECK_OK(embedder_step(e));
	CHECK(w.n_failed == 2 && !embedder_busy(e));
	embedder_add(e, 3, &r);
	w.next = ERR_ENGINE;
	CHECK_ERR(embedder_step(e), ERR_ENGINE);
}

TEST(no_memory_is_an_answer_too)
{
	bool fired = true;
	for (unsigned n = 1; fired; n++) {
		AUTO(embedder) struct embedder *e = make();
		const int32_t lens[] = { 2, 12 };
		struct embed_request r = { .texts = STR("ab0123456789xy"), .lens = lens, .n = 2 };
		fault_arm(FAULT_ALLOC, n);
		embedder_add(e, 1, &r);
		for (int i = 0; i < 100 && embedder_busy(e); i++)
			CHECK_OK(embedder_step(e));
		fired = fault_fired(FAULT_ALLOC);
		fault_arm(FAULT_ALLOC, 0);
		if (w.n_done + w.n_failed != 1 || (w.n_failed && w.code != ERR_NOMEM))
			FAIL("allocation %u: %zu done, %zu failed with %s", n, w.n_done, w.n_failed,
				err_slug(w.code));
	}
}
