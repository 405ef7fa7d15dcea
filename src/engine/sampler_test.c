#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fake.h"
#include "tests/test.h"

static struct gen_sampling plain(void)
{
	return (struct gen_sampling){ .temperature = 1,
		.top_p = 1,
		.typical_p = 1,
		.repeat_penalty = 1,
		.mirostat_tau = 5,
		.mirostat_eta = 0.1f,
		.num_predict = -1 };
}

static struct sampler *make(const struct gen_sampling *o, uint32_t n_vocab)
{
	struct sampler *s = NULL;
	CHECK_OK(sampler_new(o, n_vocab, 1000, &s, NULL));
	return s;
}

enum { DRAWS = 20000 };

/* Draws often from one row and compares the shares with what arithmetic on paper gives. */
static void shares(struct gen_sampling o, const float *row, uint32_t n, const double *want)
{
	AUTO(sampler) struct sampler *s = make(&o, n);
	uint32_t *hits = calloc(n, sizeof *hits);
	float *copy = malloc(n * sizeof *copy);
	for (uint64_t i = 0; i < DRAWS; i++) {
		memcpy(copy, row, n * sizeof *row);
		int32_t id = -1;
		CHECK_OK(sampler_pick(s, copy, i, NULL, &id));
		CHECK(id >= 0 && (uint32_t)id < n);
		hits[id]++;
	}
	for (uint32_t i = 0; i < n; i++) {
		double p = want[i], got = hits[i] / (double)DRAWS;
		double sigma = sqrt(p * (1 - p) / DRAWS);
		if (fabs(got - p) > 5 * sigma + 1e-9)
			FAIL("token %u: drawn %f, wanted %f", i, got, p);
	}
	free(hits);
	free(copy);
}

/* p = 0.5, 0.25, 0.15, 0.1 by logits, shuffled. */
static const float ROW[4] = { -1.3862944f, -0.6931472f, -2.3025851f, -1.8971200f };

TEST(shares_of_the_whole_distribution)
{
	shares(plain(), ROW, 4, (double[]){ 0.25, 0.5, 0.1, 0.15 });
}

TEST(top_k_keeps_the_best)
{
	struct gen_sampling o = plain();
	o.top_k = 2;
	shares(o, ROW, 4, (double[]){ 1 / 3.0, 2 / 3.0, 0, 0 });
}

TEST(top_p_keeps_until_the_mass_is_reached)
{
	struct gen_sampling o = plain();
	o.top_p = 0.7f; /* 0.5, 0.75 */
	shares(o, ROW, 4, (double[]){ 1 / 3.0, 2 / 3.0, 0, 0 });
	o.top_p = 0.8f;
	shares(o, ROW, 4, (double[]){ 0.25 / 0.9, 0.5 / 0.9, 0, 0.15 / 0.9 });
	o.top_k = 3;
	o.top_p = 0.6f; /* of 0.9: 0.5556, 0.8333 */
	shares(o, ROW, 4, (double[]){ 1 / 3.0, 2 / 3.0, 0, 0 });
}

TEST(min_p_keeps_a_part_of_the_best)
{
	struct gen_sampling o = plain();
	o.min_p = 0.4f; /* at least 0.2 */
	shares(o, ROW, 4, (double[]){ 1 / 3.0, 2 / 3.0, 0, 0 });
}

TEST(typical_p_keeps_what_is_near_the_entropy)
{
	/* Entropy 1.208 nats; surprise 0.693, 1.386, 1.897, 2.303: distances 0.515, 0.178, 0.689,
	 * 1.095. */
	struct gen_sampling o = plain();
	o.typical_p = 0.2f; /* 0.25 alone is enough */
	shares(o, ROW, 4, (double[]){ 1, 0, 0, 0 });
	o.typical_p = 0.7f; /* 0.25 + 0.5 */
	shares(o, ROW, 4, (double[]){ 1 / 3.0, 2 / 3.0, 0, 0 });
}

TEST(temperature_sharpens)
{
	struct gen_sampling o = plain();
	o.temperature = 0.5f; /* squares: 0.0625, 0.25, 0.01, 0.0225 of 0.345 */
	shares(o, ROW, 4, (double[]){ 0.0625 / 0.345, 0.25 / 0.345, 0.01 / 0.345, 0.0225 / 0.345 });
	o.temperature = 1e-30f;
	shares(o, ROW, 4, (double[]){ 0, 1, 0, 0 });
	o.temperature = 0;
	shares(o, ROW, 4, (double[]){ 0, 1, 0, 0 });
}

TEST(penalties_change_logits_as_documented)
{
	struct gen_sampling o = plain();
	o.temperature = 0;
	o.repeat_penalty = 2;
	o.repeat_last_n = 3;
	AUTO(sampler) struct sampler *s = make(&o, 3);
	int32_t id = -1;
	sampler_accept(s, 0);
	CHECK_OK(sampler_pick(s, (float[]){ 4, 3, 1 }, 0, NULL, &id)); /* 2, 3, 1 */
	CHECK_EQ_INT(id, 1);
	CHECK_OK(sampler_pick(s, (float[]){ -1, -1.5f, -3 }, 0, NULL, &id)); /* -2, -1.5, -3 */
	CHECK_EQ_INT(id, 1);
	for (int i = 0; i < 3; i++)
		sampler_accept(s, 2);                                     /* 0 leaves the window */
	CHECK_OK(sampler_pick(s, (float[]){ 4, 3, 7.9f }, 0, NULL, &id)); /* 4, 3, 3.95 */
	CHECK_EQ_INT(id, 0);
	o.repeat_penalty = 1;
	o.frequency_penalty = 1;
	o.presence_penalty = 0.5f;
	AUTO(sampler) struct sampler *f = make(&o, 3);
	sampler_accept(f, 0);
	sampler_accept(f, 0);
	sampler_accept(f, 1);
	CHECK_OK(sampler_pick(f, (float[]){ 4, 3.1f, 1.55f }, 0, NULL, &id)); /* 1.5, 1.6, 1.55 */
	CHECK_EQ_INT(id, 1);
	sampler_accept(f, 7); /* no such token: ignored */
	sampler_accept(f, -1);
}

static int by_value_down(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

/* Large rows: what may be drawn is exactly what a full sort says. */
TEST_TIMEOUT(large_rows_agree_with_a_full_sort, 180)
{
	enum { N = 5003 };
	float *row = malloc(N * sizeof *row), *copy = malloc(N * sizeof *row),
	      *sorted = malloc(N * sizeof *row);
	for (unsigned round = 0; round < 40; round++) {
		for (int i = 0; i < N; i++)
			row[i] = (float)(sampler_random(round, (uint64_t)i) * 20 - 10);
		memcpy(sorted, row, N * sizeof *row);
		qsort(sorted, N, sizeof *sorted, by_value_down);
		struct gen_sampling o = plain();
		int k = 1 + (int)(round * 37 % 300);
		o.top_k = k;
		o.temperature = 50; /* nearly flat: every candidate gets its turn */
		AUTO(sampler) struct sampler *s = make(&o, N);
		bool worst = false, best = false;
		for (uint64_t i = 0; i < 3000; i++) {
			int32_t id;
			memcpy(copy, row, N * sizeof *row);
			CHECK_OK(sampler_pick(s, copy, i, NULL, &id));
			CHECK(row[id] >= sorted[k - 1]);
			worst |= row[id] == sorted[k - 1];
			best |= row[id] == sorted[0];
		}
		CHECK(worst && best);
		o.temperature = 0;
		AUTO(sampler) struct sampler *g = make(&o, N);
		int32_t id;
		CHECK_OK(sampler_pick(g, row, 0, NULL, &id));
		CHECK(row[id] == sorted[0]);
	}
	free(row);
	free(copy);
	free(sorted);
}

TEST(top_p_over_a_large_row_keeps_the_right_number)
{
	enum { N = 3000 };
	float *row = malloc(N * sizeof *row), *copy = malloc(N * sizeof *row);
	for (int i = 0; i < N; i++) /* equal mass: top_p 0.5 keeps 1500 of them, the lowest ids */
		row[(i * 7) % N] = 1;
	struct gen_sampling o = plain();
	o.top_p = 0.5f;
	AUTO(sampler) struct sampler *s = make(&o, N);
	int32_t most = 0;
	for (uint64_t i = 0; i < 20000; i++) {
		int32_t id;
		memcpy(copy, row, N * sizeof *row);
		CHECK_OK(sampler_pick(s, copy, i, NULL, &id));
		most = id > most ? id : most;
	}
	CHECK(most >= 1490 && most <= 1501);
	free(row);
	free(copy);
}

TEST(mirostat_steers_to_the_wanted_surprise)
{
	enum { N = 2000 };
	float *row = malloc(N * sizeof *row), *copy = malloc(N * sizeof *row);
	double sum = 0;
	for (int i = 0; i < N; i++) /* Zipf */
		sum += 1.0 / (i + 1);
	for (int i = 0; i < N; i++)
		row[i] = (float)log(1.0 / (i + 1) / sum);
	for (int version = 1; version <= 2; version++)
		for (int tau = 2; tau <= 5; tau++) {
			struct gen_sampling o = plain();
			o.mirostat = version;
			o.mirostat_tau = (float)tau;
			o.mirostat_eta = 0.05f;
			AUTO(sampler) struct sampler *s = make(&o, N);
			double surprise = 0;
			for (uint64_t i = 0; i < 6000; i++) {
				int32_t id;
				memcpy(copy, row, N * sizeof *row);
				CHECK_OK(sampler_pick(s, copy, i, NULL, &id));
				if (i >= 1000)
					surprise -= row[id] / log(2) / 5000;
			}
			/* The controller sees the surprise after its cut, when less than the
			 * whole mass is
			 * left; the raw one measured here lies above by the bits of what was cut.
			 * */
			if (surprise < tau - 0.3 || surprise > tau + 2.2)
				FAIL("mirostat %d tau %d: %f bits", version, tau, surprise);
		}
	free(row);
	free(copy);
}

TEST(randomness_depends_on_seed_and_position_alone)
{
	CHECK(sampler_random(1, 1) == sampler_random(1, 1));
	double sum = 0, pairs = 0;
	for (uint64_t i = 0; i < 100000; i++) {
		double u = sampler_random(42, i), v = sampler_random(43, i);
		CHECK(u >= 0 && u < 1 && u != v);
		sum += u / 100000;
		pairs += (u - 0.5) * (sampler_random(42, i + 1) - 0.5) / 100000;
	}
	CHECK(fabs(sum - 0.5) < 0.005 && fabs(pairs) < 0.002);
}

TEST(hostile_numbers_are_errors_or_harmless)
{
	struct gen_sampling o = plain();
	int32_t id;
	const float bad[][4] = { { NAN, NAN, NAN, NAN },
		{ -INFINITY, -INFINITY, -INFINITY, -INFINITY }, { NAN, -INFINITY, NAN, NAN } };
	for (size_t i = 0; i < 3; i++)
		for (int t = 0; t < 2; t++)
			for (int k = 0; k < 3; k++) {
				o.temperature = (float)t;
				o.top_k = k;
				AUTO(sampler) struct sampler *s = make(&o, 4);
				float row[4];
				memcpy(row, bad[i], sizeof row);
				CHECK_ERR(sampler_pick(s, row, 0, NULL, &id), ERR_ENGINE);
			}
	for (int m = 0; m < 3; m++) {
		o = plain();
		o.mirostat = m;
		o.typical_p = 0.5f;
		o.top_p = 0.5f;
		o.min_p = 0.5f;
		AUTO(sampler) struct sampler *s = make(&o, 4);
		for (uint64_t i = 0; i < 100; i++) {
			CHECK_OK(sampler_pick(
				s, (float[]){ NAN, 3e38f, INFINITY, -3e38f }, i, NULL, &id));
			CHECK(id == 1 || id == 3);
		}
	}
}

TEST(options_out_of_range_are_named)
{
	struct sampler *s = NULL;
	struct err_info info = { 0 };
	struct gen_sampling o = plain();
	o.top_p = 1.5f;
	CHECK_ERR(sampler_new(&o, 4, 10, &s, &info), ERR_INVALID);
	CHECK_EQ_Z(info.detail, "top_p must be from 0 to 1");
	o = plain();
	o.temperature = NAN;
	CHECK_ERR(sampler_new(&o, 4, 10, &s, &info), ERR_INVALID);
	o = plain();
	o.repeat_penalty = 0;
	CHECK_ERR(sampler_new(&o, 4, 10, &s, &info), ERR_INVALID);
	CHECK(s == NULL);
}

TEST(a_grammar_rules_the_draw)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 16, .n_seq = 1, .n_batch = 4 }, &f));
	struct sampler_grammar g = { &FAKE_OPS, f, NULL, -1 };
	CHECK_OK(FAKE_OPS.grammar_new(f, STR("abc"), &g.grammar, NULL));
	for (int t = 0; t < 2; t++)
		for (int k = 0; k < 5; k++) {
			struct gen_sampling o = plain();
			o.temperature = (float)t;
			o.top_k = k;
			AUTO(sampler) struct sampler *s = make(&o, FAKE_VOCAB);
			int32_t id;
			float row[FAKE_VOCAB];
			for (int i = 0; i < FAKE_VOCAB; i++)
				row[i] = (float)(i % 50);
			CHECK_OK(sampler_pick(s, row, 0, &g, &id));
			CHECK((id >= 'a' && id <= 'c') || id == FAKE_END);
			if (!t)
				CHECK_EQ_INT(id, 'c'); /* 99 % 50 = 49 is the largest of them */
		}
	FAKE_OPS.grammar_free(f, g.grammar);
	CHECK_OK(FAKE_OPS.grammar_new(f, STR("json"), &g.grammar, NULL)); /* nothing allowed */
	struct gen_sampling o = plain();
	AUTO(sampler) struct sampler *s = make(&o, FAKE_VOCAB);
	float row[FAKE_VOCAB] = { 0 };
	int32_t id;
	CHECK_ERR(sampler_pick(s, row, 0, &g, &id), ERR_INVALID);
	FAKE_OPS.grammar_free(f, g.grammar);
}

/* p(t) / p(allowed) for each allowed token: the distribution is cut, not bent. */
TEST(a_grammar_keeps_the_shares_of_what_it_allows)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 16, .n_seq = 1, .n_batch = 4 }, &f));
	struct sampler_grammar g = { &FAKE_OPS, f, NULL, -1 };
	CHECK_OK(FAKE_OPS.grammar_new(f, STR("abc"), &g.grammar, NULL));
	struct gen_sampling o = plain();
	AUTO(sampler) struct sampler *s = make(&o, FAKE_VOCAB);
	/* weights 1 to 4 for a, b, c and the end, 90 for x, which is not allowed */
	static const double weight[FAKE_VOCAB] = {
		['a'] = 1, ['b'] = 2, ['c'] = 3, [FAKE_END] = 4, ['x'] = 90 };
	unsigned hits[FAKE_VOCAB] = { 0 };
	for (uint64_t i = 0; i < DRAWS; i++) {
		float row[FAKE_VOCAB];
		int32_t id;
		for (int k = 0; k < FAKE_VOCAB; k++)
			row[k] = weight[k] > 0 ? (float)log(weight[k]) : -INFINITY;
		CHECK_OK(sampler_pick(s, row, i, &g, &id));
		hits[id]++;
	}
	for (int k = 0; k < FAKE_VOCAB; k++) {
		double p = k == 'x' ? 0 : weight[k] / 10, got = hits[k] / (double)DRAWS;
		if (fabs(got - p) > 5 * sqrt(p * (1 - p) / DRAWS) + 1e-9)
			FAIL("token %d: drawn %f, wanted %f", k, got, p);
	}
	g.also = 'x'; /* it may come all the same */
	unsigned other = 0;
	for (uint64_t i = 0; i < 100; i++) {
		float row[FAKE_VOCAB] = { 0 };
		int32_t id;
		row['x'] = 50;
		CHECK_OK(sampler_pick(s, row, i, &g, &id));
		other += id != 'x';
	}
	CHECK_EQ_INT(other, 0);
	FAKE_OPS.grammar_free(f, g.grammar);
}

TEST(mirostat_forgets_what_the_grammar_refused)
{
	AUTO(fake) struct fake *f = NULL;
	CHECK_OK(fake_new(&(struct fake_options){ .n_own = 16, .n_seq = 1, .n_batch = 4 }, &f));
	struct sampler_grammar g = { &FAKE_OPS, f, NULL, -1 };
	CHECK_OK(FAKE_OPS.grammar_new(f, STR("abc"), &g.grammar, NULL));
	struct gen_sampling o = plain();
	o.mirostat = 2;
	AUTO(sampler) struct sampler *s = make(&o, FAKE_VOCAB);
	for (uint64_t i = 0; i < 200; i++) {
		float row[FAKE_VOCAB];
		int32_t id;
		for (int k = 0; k < FAKE_VOCAB; k++)
			row[k] = (float)(k % 7);
		CHECK_OK(sampler_pick(s, row, i, &g, &id));
		CHECK((id >= 'a' && id <= 'c') || id == FAKE_END);
	}
	FAKE_OPS.grammar_free(f, g.grammar);
}

TEST(bias_and_log_probabilities_are_arithmetic)
{
	struct gen_sampling o = plain();
	o.temperature = 0;
	AUTO(sampler) struct sampler *s = make(&o, 4);
	static const int32_t bias[] = { 2, 5000, 0, -100000 };
	const struct engine_candidate *best;
	struct err_info info = { 0 };
	uint32_t n = 0;
	int32_t id;
	/* log of e^1 + e^2 + e^3 + e^-inf = 3.407606 */
	const float row[4] = { 1, 2, 3, -INFINITY };
	CHECK(fabs(sampler_log_sum(row, 4) - 3.4076059644443806) < 1e-6);
	CHECK_OK(sampler_top(s, row, 2, &best, &n));
	CHECK(n == 2 && best[0].id == 2 && best[1].id == 1);
	CHECK_OK(sampler_top(s, row, 20, &best, &n));
	CHECK_EQ_INT(n, 3);
	CHECK_OK(sampler_bias(s, bias, 2, &info));
	CHECK_OK(sampler_pick(s, (float[]){ 9, 8, 4, 0 }, 0, NULL, &id)); /* -91, 8, 9, 0 */
	CHECK_EQ_INT(id, 2);
	AUTO(sampler) struct sampler *t = make(&o, 2);
	CHECK_ERR(sampler_bias(t, bias, 1, &info), ERR_INVALID);
	CHECK_EQ_Z(info.detail, "logit_bias: there is no token 2");
}
