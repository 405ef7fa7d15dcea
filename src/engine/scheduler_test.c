#include "engine/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "engine/fake.h"
#include "engine/sampler.h"
#include "tests/test.h"

/* ---- what the sink saw ---- */

enum { RECORDS = 64 };
struct record {
	struct buf text, thought;
	struct tokens tokens;
	unsigned begun, done, failed;
	struct gen_begun b;
	struct gen_done d;
	struct gen_failed f;
	char detail[200];
	int64_t begun_ns, first_ns, end_ns;
	uint64_t first_order;
};
struct world {
	struct fake *fake;
	struct sched *sched;
	struct record r[RECORDS];
	unsigned running, most_running;
	uint64_t events;
	int64_t strict_id, foreign_in_strict;
	bool lossy; /* keep no texts: allocations are about to fail */
};

static struct record *rec(struct world *w, uint64_t id)
{
	CHECK(id < RECORDS);
	if (w->strict_id >= 0 && (int64_t)id != w->strict_id)
		w->foreign_in_strict++;
	return &w->r[id];
}

static void on_begun(void *arg, uint64_t id, const struct gen_begun *v)
{
	struct world *w = arg;
	struct record *r = rec(w, id);
	r->begun++;
	r->b = *v;
	r->begun_ns = fake_now_ns(w->fake);
	if (++w->running > w->most_running)
		w->most_running = w->running;
}

static void on_delta(void *arg, uint64_t id, const struct gen_delta *v)
{
	struct world *w = arg;
	struct record *r = rec(w, id);
	CHECK(r->begun == 1 && !r->done && !r->failed);
	CHECK(str_is_utf8(v->text));
	if (!w->lossy) {
		CHECK_OK(buf_add(v->thinking ? &r->thought : &r->text, v->text));
		CHECK_OK(tokens_add(&r->tokens, v->tokens, v->n_tokens));
	}
	if (!r->first_ns) {
		r->first_ns = fake_now_ns(w->fake);
		r->first_order = ++w->events;
	}
}

static void on_done(void *arg, uint64_t id, const struct gen_done *v)
{
	struct world *w = arg;
	struct record *r = rec(w, id);
	r->done++;
	r->d = *v;
	r->end_ns = fake_now_ns(w->fake);
	w->running -= r->begun;
}

static void on_failed(void *arg, uint64_t id, const struct gen_failed *v)
{
	struct world *w = arg;
	struct record *r = rec(w, id);
	r->failed++;
	r->f = *v;
	snprintf(r->detail, sizeof r->detail, "%.*s", STR_ARG(v->detail));
	w->running -= r->begun;
}

static const struct fake_options SMALL = {
	.n_own = 200,
	.n_seq = 4,
	.n_batch = 64,
	.end_every = 60,
	.step_ns = 5000000,
	.token_ns = 1000000,
};

static struct world *world_new(const struct fake_options *o, uint32_t max_waiting)
{
	struct world *w = calloc(1, sizeof *w);
	CHECK(w);
	w->strict_id = -1;
	for (int i = 0; i < RECORDS; i++) {
		w->r[i].text = BUF(100000);
		w->r[i].thought = BUF(100000);
	}
	CHECK_OK(fake_new(o, &w->fake));
	struct sched_options so = { .ops = &FAKE_OPS,
		.backend = w->fake,
		.max_waiting = max_waiting,
		.sink = { on_begun, on_delta, on_done, on_failed, NULL, w } };
	CHECK_OK(sched_new(&so, &w->sched));
	return w;
}

static void world_free(struct world *w)
{
	sched_free(w->sched);
	fake_free(w->fake);
	for (int i = 0; i < RECORDS; i++) {
		buf_done(&w->r[i].text);
		buf_done(&w->r[i].thought);
		tokens_done(&w->r[i].tokens);
	}
	free(w);
}

static void run(struct world *w)
{
	for (int i = 0; sched_busy(w->sched); i++) {
		CHECK(i < 100000);
		CHECK_OK(sched_step(w->sched));
	}
}

static struct gen_request ask(const char *input)
{
	return (struct gen_request){
		.kind = GEN_PROMPT,
		.input = str_from(input),
		.person = 1,
		.sampling = { .temperature = 0,
			.top_p = 1,
			.typical_p = 1,
			.repeat_penalty = 1,
			.num_predict = -1,
			.mirostat_tau = 5,
			.mirostat_eta = 0.1f },
	};
}

/* ---- the answer from the text alone ---- */

struct answer {
	char text[1000];
	int32_t tokens[1000];
	size_t n, text_len;
	enum gen_reason reason;
};

static void expect_answer(
	const struct gen_request *g, uint32_t end_every, uint32_t limit, struct answer *a)
{
	int32_t all[2000];
	size_t n = fake_text(g, all);
	memset(a, 0, sizeof *a);
	for (;;) {
		if ((g->sampling.num_predict >= 0 && a->n >= (size_t)g->sampling.num_predict) ||
			n >= limit) {
			a->reason = GEN_LENGTH;
			return;
		}
		int32_t next = fake_next(end_every, all, n);
		if (next == FAKE_END) {
			a->reason = GEN_STOP;
			return;
		}
		all[n++] = next;
		a->tokens[a->n++] = next;
		a->text[a->text_len++] = (char)next;
		for (unsigned i = 0; i < g->n_stop; i++)
			if (str_ends((struct str){ a->text, a->text_len }, g->stop[i])) {
				a->text_len -= g->stop[i].len;
				a->reason = GEN_STOP;
				return;
			}
	}
}

static void check_answer(const struct record *r, const struct answer *a)
{
	CHECK_EQ_INT(r->begun, 1);
	CHECK_EQ_INT(r->done, 1);
	CHECK_EQ_INT(r->failed, 0);
	CHECK_EQ_STR(buf_str(&r->text), ((struct str){ a->text, a->text_len }));
	CHECK_EQ_INT(r->tokens.n, a->n);
	CHECK(memcmp(r->tokens.v ? r->tokens.v : a->tokens, a->tokens, a->n * sizeof *a->tokens) ==
		0);
	CHECK_EQ_INT(r->d.reason, a->reason);
	CHECK_EQ_INT(r->d.answer_tokens, a->n);
}

/* ---- tests ---- */

TEST(one_request_gets_its_answer)
{
	struct world *w = world_new(&SMALL, 0);
	struct gen_request g = ask("good morning");
	struct answer a;
	expect_answer(&g, SMALL.end_every, 200, &a);
	sched_add(w->sched, 1, &g);
	run(w);
	check_answer(&w->r[1], &a);
	CHECK_EQ_INT(w->r[1].d.prompt_tokens, 12);
	CHECK(w->r[1].d.prompt_ns > 0 && w->r[1].d.answer_ns > 0 && w->r[1].d.queue_ns == 0);
	world_free(w);
}

TEST(num_predict_and_context_end_an_answer_with_length)
{
	struct fake_options o = SMALL;
	o.end_every = 0;
	struct world *w = world_new(&o, 0);
	struct gen_request g = ask("hello");
	struct answer a;
	g.sampling.num_predict = 7;
	sched_add(w->sched, 1, &g);
	g.sampling.num_predict = 0;
	sched_add(w->sched, 2, &g);
	g.sampling.num_predict = -1;
	sched_add(w->sched, 3, &g); /* 800 cells / 4 */
	g.max_context = 20;
	sched_add(w->sched, 4, &g);
	run(w);
	g.sampling.num_predict = 7;
	expect_answer(&g, 0, 200, &a);
	check_answer(&w->r[1], &a);
	CHECK_EQ_INT(w->r[2].tokens.n, 0);
	CHECK_EQ_INT(w->r[2].d.reason, GEN_LENGTH);
	CHECK_EQ_INT(w->r[3].tokens.n, 195);
	CHECK_EQ_INT(w->r[3].d.reason, GEN_LENGTH);
	CHECK_EQ_INT(w->r[4].tokens.n, 15);
	world_free(w);
}

TEST(a_prompt_longer_than_the_context_names_both_counts)
{
	struct world *w = world_new(&SMALL, 0);
	char longer[301];
	memset(longer, 'x', 300);
	longer[300] = 0;
	struct gen_request g = ask(longer);
	sched_add(w->sched, 1, &g);
	g.max_context = 100;
	sched_add(w->sched, 2, &g);
	CHECK_EQ_INT(w->r[1].f.code, ERR_CONTEXT);
	CHECK_EQ_INT(w->r[1].f.prompt_tokens, 300);
	CHECK_EQ_INT(w->r[1].f.context_tokens, 200);
	CHECK_EQ_Z(w->r[1].detail, "the prompt has 300 tokens, the context holds 200");
	CHECK_EQ_INT(w->r[2].f.context_tokens, 100);
	CHECK(!sched_busy(w->sched));
	world_free(w);
}

TEST(truncation_drops_the_oldest_but_system_messages)
{
	struct world *w = world_new(&SMALL, 0);
	char json[4000] = "[{\"role\":\"system\",\"content\":\"S\"}";
	for (int i = 0; i < 10; i++)
		snprintf(json + strlen(json), 200, ",{\"role\":\"%s\",\"content\":\"%d\"}",
			i % 2 ? "assistant" : "user", i);
	snprintf(json + strlen(json), 200, ",{\"role\":\"user\",\"content\":\"last\"}]");
	struct gen_request g = ask(json);
	g.kind = GEN_CHAT;
	sched_add(w->sched, 1, &g);
	CHECK_EQ_INT(w->r[1].f.code, ERR_CONTEXT);
	g.truncate = true;
	sched_add(w->sched, 2, &g);
	run(w);
	CHECK_EQ_INT(w->r[2].done, 1);
	/* Room is 150 of 200: system, then from the user's message 8 on: what a Python script
	 * counts. */
	struct gen_request want = ask(
		"[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"8\"},"
		"{\"role\":\"assistant\",\"content\":\"9\"},"
			"{\"role\":\"user\",\"content\":\"last\"}]");
	CHECK_EQ_INT(w->r[2].b.prompt_tokens, want.input.len);
	CHECK_EQ_INT(w->r[2].b.truncated_tokens, strlen(json) - want.input.len);
	struct answer a;
	expect_answer(&want, SMALL.end_every, 200, &a);
	check_answer(&w->r[2], &a);
	g.max_context = 30; /* the last message alone does not fit */
	sched_add(w->sched, 3, &g);
	CHECK_EQ_INT(w->r[3].f.code, ERR_CONTEXT);
	CHECK_EQ_INT(w->r[3].f.prompt_tokens, strlen(json));
	world_free(w);
}

TEST(a_cancel_takes_effect_with_the_next_step)
{
	struct fake_options o = SMALL;
	o.end_every = 0;
	struct world *w = world_new(&o, 0);
	struct gen_request g = ask("abc");
	for (uint64_t id = 1; id <= 6; id++) /* four run, two wait */
		sched_add(w->sched, id, &g);
	for (int i = 0; i < 5; i++)
		CHECK_OK(sched_step(w->sched));
	size_t had = w->r[2].tokens.n;
	sched_cancel(w->sched, 2);
	sched_cancel(w->sched, 6);
	sched_cancel(w->sched, 999);
	CHECK_OK(sched_step(w->sched));
	CHECK_EQ_INT(w->r[2].d.reason, GEN_CANCELLED);
	CHECK_EQ_INT(w->r[2].tokens.n, had);
	CHECK_EQ_INT(w->r[6].d.reason, GEN_CANCELLED);
	CHECK_EQ_INT(w->r[6].begun, 0);
	CHECK_EQ_INT(w->r[5].begun, 1); /* took the place at once */
	sched_cancel_all(w->sched);
	CHECK(!sched_busy(w->sched));
	CHECK_EQ_INT(w->r[1].done, 0); /* nobody listens */
	world_free(w);
}

TEST(the_queue_is_bounded)
{
	struct world *w = world_new(&SMALL, 3);
	struct gen_request g = ask("abc");
	for (uint64_t id = 0; id < 5; id++)
		sched_add(w->sched, id, &g);
	CHECK_EQ_INT(w->r[3].f.code, ERR_BUSY);
	CHECK_EQ_INT(w->r[4].f.code, ERR_BUSY);
	run(w);
	for (uint64_t id = 0; id < 3; id++)
		CHECK_EQ_INT(w->r[id].done, 1);
	world_free(w);
}

TEST(a_prefix_is_reused_by_the_same_person_only)
{
	struct world *w = world_new(&SMALL, 0);
	struct gen_request g = ask("a long and common beginning, then one");
	struct answer a;
	sched_add(w->sched, 1, &g);
	run(w);
	CHECK_EQ_INT(w->r[1].b.cached_tokens, 0);
	g.input = STR("a long and common beginning, then two");
	g.person = 2;
	sched_add(w->sched, 2, &g);
	run(w);
	CHECK_EQ_INT(w->r[2].b.cached_tokens, 0);
	g.person = 1;
	sched_add(w->sched, 3, &g);
	run(w);
	CHECK_EQ_INT(w->r[3].b.cached_tokens, strlen("a long and common beginning, then "));
	expect_answer(&g, SMALL.end_every, 200, &a);
	check_answer(&w->r[2], &a);
	check_answer(&w->r[3], &a);
	sched_add(w->sched, 4, &g); /* the same again: all but the last token */
	run(w);
	CHECK_EQ_INT(w->r[4].b.cached_tokens, g.input.len - 1);
	check_answer(&w->r[4], &a);
	world_free(w);
}

TEST(a_window_or_no_partial_removal_never_reuses_what_is_gone)
{
	for (int kind = 0; kind < 2; kind++) {
		struct fake_options o = SMALL;
		o.swa_window = kind ? 0 : 20;
		o.no_partial = kind;
		struct world *w = world_new(&o, 0);
		struct gen_request g =
			ask("a long and common beginning, then something that differs at the end");
		struct answer a;
		g.sampling.num_predict = 30;
		sched_add(w->sched, 1, &g);
		run(w);
		g.input = STR(
			"a long and common beginning, but another end"); /* fake dies on misuse */
		sched_add(w->sched, 2, &g);
		run(w);
		CHECK_EQ_INT(w->r[2].b.cached_tokens, 0);
		expect_answer(&g, o.end_every, 200, &a);
		check_answer(&w->r[2], &a);
		world_free(w);
	}
}

TEST(strict_runs_alone_and_takes_the_same_time_whatever_came_before)
{
	int64_t took[3];
	struct answer a;
	struct gen_request s = ask(
		"the strict one has a prompt longer than a batch of sixty-four tokens, as it must");
	s.strict = true;
	s.sampling.seed = -1;
	s.sampling.temperature = 1;
	struct buf text[3] = { BUF(1000), BUF(1000), BUF(1000) };
	for (int k = 0; k < 3; k++) {
		struct world *w = world_new(&SMALL, 0);
		struct gen_request g = ask("noise");
		for (uint64_t id = 1; id <= (unsigned)k * 6; id++)
			sched_add(w->sched, id, &g);
		if (k == 2) /* the same text was read before */
			g = s, g.strict = false, sched_add(w->sched, 20, &g);
		for (int i = 0; i < k * 3; i++)
			CHECK_OK(sched_step(w->sched));
		sched_add(w->sched, 30, &s);
		g = ask("later noise");
		for (uint64_t id = 31; id < 34; id++)
			sched_add(w->sched, id, &g);
		while (!w->r[30].done) {
			CHECK_OK(sched_step(w->sched));
			w->strict_id = w->r[30].begun && !w->r[30].done ? 30 : -1;
		}
		CHECK_EQ_INT(w->foreign_in_strict, 0);
		CHECK_EQ_INT(w->r[30].b.cached_tokens, 0);
		took[k] = w->r[30].end_ns - w->r[30].begun_ns;
		CHECK_OK(buf_add(&text[k], buf_str(&w->r[30].text)));
		run(w);
		for (uint64_t id = 31; id < 34; id++)
			CHECK_EQ_INT(w->r[id].done, 1);
		world_free(w);
	}
	CHECK(took[0] > 0 && took[0] == took[1] && took[0] == took[2]);
	CHECK_EQ_STR(buf_str(&text[0]), buf_str(&text[1]));
	CHECK_EQ_STR(buf_str(&text[0]), buf_str(&text[2]));
	s.sampling.temperature = 0;
	expect_answer(&s, SMALL.end_every, 200, &a);
	for (int k = 0; k < 3; k++)
		buf_done(&text[k]);
}

TEST(a_resumed_request_goes_on_as_if_nothing_had_happened)
{
	for (int hot = 0; hot < 3; hot++) {
		struct gen_request g = ask("to be resumed later");
		const struct str stop = STR("zq");
		g.stop[0] = stop;
		g.n_stop = 1;
		g.sampling.temperature = (float)hot;
		g.sampling.seed = 7;
		g.sampling.repeat_penalty = 1.3f;
		g.sampling.repeat_last_n = 16;
		g.sampling.num_predict = 40;
		g.strict = hot == 2;
		struct world *w = world_new(&SMALL, 0);
		sched_add(w->sched, 0, &g);
		run(w);
		struct record *whole = &w->r[0];
		CHECK(whole->tokens.n > 3);
		for (size_t k = 1; k < whole->tokens.n && k < RECORDS; k++) {
			g.resume = whole->tokens.v;
			g.n_resume = k;
			sched_add(w->sched, k, &g);
			run(w);
			struct record *r = &w->r[k];
			CHECK_EQ_STR(buf_str(&r->text), buf_str(&whole->text));
			CHECK_EQ_INT(r->tokens.n, whole->tokens.n - k);
			CHECK(memcmp(r->tokens.v, whole->tokens.v + k,
				      r->tokens.n * sizeof *r->tokens.v) == 0);
			CHECK_EQ_INT(r->d.reason, whole->d.reason);
			CHECK_EQ_INT(r->d.answer_tokens, whole->d.answer_tokens);
		}
		world_free(w);
	}
}

TEST(a_resume_that_is_over_already_ends_at_once)
{
	struct world *w = world_new(&SMALL, 0);
	struct gen_request g = ask("x");
	const int32_t tokens[] = { 'o', 'n', 'e', 'S', 'T', 'O', 'P', 'x' };
	g.stop[0] = STR("STOP");
	g.n_stop = 1;
	g.resume = tokens;
	g.n_resume = 8;
	sched_add(w->sched, 1, &g);
	g.n_stop = 0;
	g.sampling.num_predict = 3;
	g.n_resume = 3;
	sched_add(w->sched, 2, &g);
	g.resume = (const int32_t[]){ 400 };
	g.n_resume = 1;
	sched_add(w->sched, 3, &g);
	run(w);
	CHECK_EQ_STR(buf_str(&w->r[1].text), STR("one"));
	CHECK_EQ_INT(w->r[1].d.reason, GEN_STOP);
	CHECK_EQ_STR(buf_str(&w->r[2].text), STR("one"));
	CHECK_EQ_INT(w->r[2].d.reason, GEN_LENGTH);
	CHECK_EQ_INT(w->r[3].f.code, ERR_INVALID);
	CHECK_EQ_INT(fake_decodes(w->fake), 0);
	world_free(w);
}

TEST(a_schema_rules_the_answer_and_a_bad_one_is_refused)
{
	struct world *w = world_new(&SMALL, 0);
	struct gen_request g = ask("abc");
	g.sampling.num_predict = 20;
	g.schema = STR("{\"const\":\"abc\"}");
	sched_add(w->sched, 1, &g);
	g.schema = STR("json"); /* the fake's allows nothing */
	sched_add(w->sched, 2, &g);
	g.schema = STR("what");
	sched_add(w->sched, 3, &g);
	run(w);
	for (size_t i = 0; i < w->r[1].tokens.n; i++)
		CHECK(w->r[1].tokens.v[i] >= 'a' && w->r[1].tokens.v[i] <= 'c');
	CHECK_EQ_INT(w->r[1].done, 1);
	CHECK_EQ_INT(w->r[2].f.code, ERR_INVALID);
	CHECK_EQ_Z(w->r[2].detail, "the schema allows no further token");
	CHECK_EQ_INT(w->r[3].f.code, ERR_INVALID);
	world_free(w);
}

TEST(a_newcomer_does_not_wait_for_a_long_prompt)
{
	struct fake_options o = SMALL;
	o.n_own = 10000;
	o.n_batch = 512;
	struct world *w = world_new(&o, 0);
	char *longer = malloc(9001);
	memset(longer, 'x', 9000);
	longer[9000] = 0;
	struct gen_request g = ask(longer), s = ask("short?");
	s.person = 2;
	sched_add(w->sched, 1, &g);
	CHECK_OK(sched_step(w->sched));
	sched_add(w->sched, 2, &s);
	int64_t from = fake_now_ns(w->fake);
	while (!w->r[2].first_ns)
		CHECK_OK(sched_step(w->sched));
	CHECK(w->r[2].first_ns - from <=
		600 * 1000000LL); /* one batch of 512; the long one needs 9 s */
	CHECK_EQ_INT(w->r[1].done + w->r[1].failed, 0);
	/* While the newcomer answers, the gap between its tokens keeps to the target. */
	while (w->r[2].tokens.n < 8 && !w->r[2].done) {
		int64_t t = fake_now_ns(w->fake);
		CHECK_OK(sched_step(w->sched));
		CHECK(fake_now_ns(w->fake) - t <= 200 * 1000000LL);
	}
	run(w);
	CHECK_EQ_INT(w->r[1].done, 1);
	free(longer);
	world_free(w);
}

TEST(batch_work_is_not_starved_by_a_stream_of_chats)
{
	struct fake_options o = SMALL;
	o.n_seq = 1;
	o.n_own = 200;
	struct world *w = world_new(&o, 0);
	struct gen_request g = ask("batch job"), chat = ask("chat");
	g.priority = 2;
	chat.sampling.num_predict = 10;
	sched_add(w->sched, 0, &chat);
	sched_add(w->sched, 1, &g);
	uint64_t id = 2;
	/* Always one chat waits too, until the batch job began. */
	while (!w->r[1].begun) {
		CHECK(fake_now_ns(w->fake) < 60 * 1000000000LL);
		struct engine_stats st;
		sched_stats(w->sched, &st);
		if (st.waiting < 2) {
			uint64_t use = 2 + id++ % (RECORDS - 2);
			buf_clear(&w->r[use].text);
			w->r[use].begun = w->r[use].done = 0;
			w->r[use].tokens.n = 0;
			chat.person = id;
			sched_add(w->sched, use, &chat);
		}
		CHECK_OK(sched_step(w->sched));
	}
	CHECK(fake_now_ns(w->fake) > 20 * 1000000000LL); /* it did wait for its turn */
	world_free(w);
}

TEST(equal_requests_of_one_person_do_not_push_another_back)
{
	struct world *w = world_new(&SMALL, 0);
	struct gen_request g = ask("many");
	g.sampling.num_predict = 20;
	for (uint64_t id = 0; id < 20; id++)
		sched_add(w->sched, id, &g);
	g.person = 2;
	sched_add(w->sched, 40, &g);
	run(w);
	unsigned earlier = 0;
	for (uint64_t id = 0; id < 20; id++)
		earlier += w->r[id].begun_ns < w->r[40].begun_ns;
	CHECK(earlier <= 7); /* the four that ran, and at most as many again, not all twenty */
	world_free(w);
}

TEST(a_lost_backend_ends_the_engine)
{
	struct fake_options o = SMALL;
	o.broken_at = 3;
	struct world *w = world_new(&o, 0);
	struct gen_request g = ask("abc");
	sched_add(w->sched, 1, &g);
	enum err e = OK;
	for (int i = 0; i < 5 && !e; i++)
		e = sched_step(w->sched);
	CHECK_EQ_INT(e, ERR_ENGINE);
	world_free(w);
}

/* ---- random schedules ---- */

static unsigned dice(uint64_t *x, unsigned n)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((*x >> 33) % n);
}

struct plan {
	struct gen_request g;
	char input[220];
	bool added, cancelled;
};

static void plan_one(uint64_t *x, struct plan *p)
{
	static const char *const heads[] = { "", "You are a helpful assistant. ",
		"Tresor company rules: be brief. " };
	static const struct str stops[] = { { "a", 1 }, { "qq", 2 }, { "xyz", 3 } };
	snprintf(p->input, sizeof p->input, "%s%.*s%u", heads[dice(x, 3)], (int)dice(x, 120),
		"the quick brown fox jumps over the lazy dog and runs on through the wood until "
			"it sleeps, "
		"then wakes and runs again and on",
		dice(x, 5));
	if (dice(x, 2)) { /* as messages, the first one marked */
		static const char *const share[] = { "", ",\"share\":\"company\"",
			",\"share\":\"group\"" };
		snprintf(p->input, sizeof p->input, "[{\"%.*s\"%s}{%u}]", (int)dice(x, 90),
			"company instructions: answer briefly and politely, in German, name your "
			"sources, and never guess a number",
			share[dice(x, 3)], dice(x, 5));
	}
	if (p->input[0] != '[' && dice(x, 3) == 0) { /* one or two pictures in the middle */
		size_t n = strlen(p->input), at = n ? dice(x, (unsigned)n) : 0;
		char rest[220];
		snprintf(rest, sizeof rest, "%s", p->input + at);
		snprintf(p->input + at, sizeof p->input - at, "\2%u%s%s", dice(x, 2), rest,
			dice(x, 2) ? "\2" "1?" : "");
	}
	p->g = ask(p->input);
	p->g.n_pictures = 2;
	for (unsigned i = 0; i < 2; i++) {
		uint8_t which = (uint8_t)dice(x, 3);
		p->g.picture[i] = (struct gen_picture){ .width = 1 + which * 3, /* 8 fit a batch */
			.height = 1 + which % 2,
			.rgb_fd = -1 };
		memset(p->g.picture[i].hash, which, SHA256_LEN);
	}
	p->g.kind = p->input[0] == '[' ? GEN_CHAT : GEN_PROMPT;
	p->g.person = dice(x, 3);
	p->g.group = 1 + dice(x, 2);
	p->g.object = dice(x, 3);
	p->g.temporary = dice(x, 5) == 0;
	p->g.priority = (uint8_t)dice(x, 3);
	p->g.sampling.num_predict = dice(x, 3) ? (int32_t)dice(x, 60) : -1;
	p->g.strict = dice(x, 12) == 0;
	p->g.max_context = dice(x, 6) ? 0 : 1 + dice(x, 150);
	p->g.n_stop = dice(x, 3);
	for (unsigned i = 0; i < p->g.n_stop; i++)
		p->g.stop[i] = stops[dice(x, 3)];
}

static void check_end(
	const struct world *w, const struct plan *p, const struct record *r, uint32_t end_every)
{
	const struct engine_caps *caps = FAKE_OPS.caps(w->fake);
	struct answer a;
	uint32_t limit = p->g.max_context && p->g.max_context < caps->n_ctx ? p->g.max_context
										: caps->n_ctx;
	CHECK_EQ_INT(r->done + r->failed, 1);
	int32_t tokens[2000];
	if (fake_text(&p->g, tokens) >= limit) {
		CHECK_EQ_INT(r->f.code, ERR_CONTEXT);
		return;
	}
	CHECK_EQ_Z(r->failed ? r->detail : "", "");
	expect_answer(&p->g, end_every, limit, &a);
	if (r->d.reason != GEN_CANCELLED) {
		check_answer(r, &a);
		return;
	}
	CHECK(p->cancelled && r->tokens.n <= a.n && r->text.len <= a.text_len);
	CHECK(!r->text.len || memcmp(r->text.ptr, a.text, r->text.len) == 0);
}

static struct fake_options random_backend(uint64_t *x)
{
	struct fake_options o = {
		.n_seq = 1 + dice(x, 6),
		.n_batch = 8 + dice(x, 60),
		.end_every = 20 + dice(x, 60),
		.step_ns = 1 + dice(x, 9000000),
		.token_ns = 1 + dice(x, 3000000),
		.cell_ns = dice(x, 2000),
		.no_partial = dice(x, 4) == 0,
		.no_state = dice(x, 6) == 0,
		.swa_window = dice(x, 3) ? 0 : 5 + dice(x, 40),
		.again_every = dice(x, 3) ? 0 : 2 + dice(x, 9),
		.set_every = dice(x, 3) ? 0 : 1 + dice(x, 6),
	};
	o.n_run = 1 + dice(x, 8);
	unsigned pools = o.no_partial ? 1 : dice(x, 4); /* 0: shared only, 1: own only, else both */
	o.n_own = pools ? 260 : 0;
	o.n_seq = pools ? o.n_seq : 0;
	o.n_shared = pools == 1 ? 0 : 300 + dice(x, 900);
	o.n_shared_seq = 3 + dice(x, 12);
	o.n_read = dice(x, 2) ? 0 : 100 + dice(x, 300);
	o.read_tile = 1 + dice(x, 20);
	return o;
}

static void one_schedule(uint64_t seed)
{
	uint64_t x = seed * 7919 + 1;
	struct fake_options o = random_backend(&x);
	struct world *w = world_new(&o, 0);
	static struct plan p[RECORDS];
	unsigned n = 5 + dice(&x, 30), next = 0;
	memset(p, 0, sizeof p);
	for (unsigned i = 0; i < n; i++)
		plan_one(&x, &p[i]);
	for (int guard = 0; next < n || sched_busy(w->sched); guard++) {
		CHECK(guard < 200000);
		for (unsigned k = dice(&x, 4); k && next < n; k--, next++)
			sched_add(w->sched, next, &p[next].g);
		if (next && dice(&x, 10) == 0) {
			unsigned id = dice(&x, next);
			p[id].cancelled = true;
			sched_cancel(w->sched, id);
		}
		if (dice(&x, 30) == 0)
			sched_purge(w->sched, &(struct engine_purge){ dice(&x, 3), dice(&x, 3) });
		if (dice(&x, 20) == 0)
			(void)sched_idle(w->sched);
		CHECK_OK(sched_step(w->sched));
		struct engine_stats st;
		sched_stats(w->sched, &st);
		CHECK(st.active <= o.n_run && st.cells_used <= st.cells);
		CHECK(fake_cells(w->fake, POOL_SHARED) <= o.n_shared);
	}
	for (unsigned i = 0; i < n; i++)
		check_end(w, &p[i], &w->r[i], o.end_every);
	world_free(w);
}

TEST_TIMEOUT(ten_thousand_random_schedules_give_every_request_its_own_answer, 240)
{
	for (uint64_t seed = 0; seed < 10000; seed++)
		one_schedule(seed);
}

TEST_TIMEOUT(no_failed_allocation_loses_a_request, 120)
{
	struct gen_request g = ask("hello there"), s = ask("and another one");
	g.stop[0] = STR("qq");
	g.n_stop = 1;
	g.sampling.repeat_penalty = 1.2f;
	g.sampling.repeat_last_n = 8;
	g.sampling.num_predict = s.sampling.num_predict = 12;
	g.schema = STR("{\"const\":\"abc\"}");
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct fake *f = NULL;
		struct sched *sc = NULL;
		struct world *w = calloc(1, sizeof *w);
		w->strict_id = -1;
		w->lossy = true;
		struct sched_options so = { .ops = &FAKE_OPS,
			.sink = { on_begun, on_delta, on_done, on_failed, NULL, w } };
		enum err e = fake_new(&SMALL, &f);
		so.backend = w->fake = f;
		if (!e)
			e = sched_new(&so, &sc);
		if (!e) {
			sched_add(sc, 1, &g);
			sched_add(sc, 2, &s);
			while (!e && sched_busy(sc))
				e = sched_step(sc);
			for (int id = 1; !e && id <= 2; id++)
				CHECK_EQ_INT(w->r[id].done + w->r[id].failed, 1);
		}
		CHECK(!e || e == ERR_NOMEM);
		sched_free(sc);
		fake_free(f);
		free(w);
	}
}
