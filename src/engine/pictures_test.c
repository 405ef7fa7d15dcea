#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fake.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "tests/test.h"

enum { ASKS = 4, ANSWER = 8 };
struct seen {
	char text[64];
	size_t len;
	uint32_t cached;
	bool done;
	enum err failed;
};
struct world {
	struct fake *fake;
	struct sched *sched;
	struct seen s[ASKS];
};

static void on_begun(void *arg, uint64_t id, const struct gen_begun *v)
{
	((struct world *)arg)->s[id].cached = v->cached_tokens;
}

static void on_delta(void *arg, uint64_t id, const struct gen_delta *v)
{
	struct seen *s = &((struct world *)arg)->s[id];
	CHECK(s->len + v->text.len < sizeof s->text);
	memcpy(s->text + s->len, v->text.ptr ? v->text.ptr : "", v->text.len);
	s->len += v->text.len;
}

static void on_done(void *arg, uint64_t id, const struct gen_done *v)
{
	(void)v;
	((struct world *)arg)->s[id].done = true;
}

static void on_failed(void *arg, uint64_t id, const struct gen_failed *v)
{
	((struct world *)arg)->s[id].failed = v->code;
}

static struct world *world_new(void)
{
	static const struct fake_options o = {
		.n_own = 200, .n_seq = 4, .n_batch = 64, .step_ns = 5000000, .token_ns = 1000000
	};
	struct world *w = calloc(1, sizeof *w);
	CHECK(w);
	CHECK_OK(fake_new(&o, &w->fake));
	struct sched_options so = { .ops = &FAKE_OPS,
		.backend = w->fake,
		.sink = { on_begun, on_delta, on_done, on_failed, NULL, w } };
	CHECK_OK(sched_new(&so, &w->sched));
	return w;
}

static void world_free(struct world *w)
{
	sched_free(w->sched);
	fake_free(w->fake);
	free(w);
}

static void run(struct world *w)
{
	for (int i = 0; sched_busy(w->sched); i++) {
		CHECK(i < 10000);
		CHECK_OK(sched_step(w->sched));
	}
}

/* The byte 2 and "0" in the text stand for the picture; see fake.h. */
static struct gen_request ask(const char *text, uint64_t person, uint8_t picture)
{
	struct gen_request g = { .kind = GEN_PROMPT,
		.input = str_from(text),
		.person = person,
		.n_pictures = picture ? 1 : 0,
		.sampling = { .top_p = 1,
			.typical_p = 1,
			.repeat_penalty = 1,
			.num_predict = ANSWER,
			.mirostat_tau = 5,
			.mirostat_eta = 0.1f } };
	g.picture[0] = (struct gen_picture){ .width = 30, .height = 1, .rgb_fd = -1 };
	memset(g.picture[0].hash, picture, SHA256_LEN);
	return g;
}

/* The answer that the model gives to the text alone. */
static void check_alone(const struct seen *s, const struct gen_request *g)
{
	int32_t all[300];
	size_t n = fake_text(g, all);
	CHECK(s->done);
	CHECK_EQ_INT(s->len, ANSWER);
	for (size_t i = 0; i < s->len; i++) {
		all[n] = fake_next(0, all, n);
		CHECK_EQ_INT(s->text[i], all[n]);
		n++;
	}
}

TEST(a_picture_is_read_once_and_text_goes_on_beside_it)
{
	struct world *w = world_new();
	struct gen_request g[3] = { ask("see \2" "0 what is it?", 1, 7),
		ask("see \2" "0 what is it?", 1, 7), ask("talk on", 1, 0) };
	sched_add(w->sched, 0, &g[0]);
	CHECK_OK(sched_step(w->sched));
	CHECK_OK(sched_step(w->sched));
	CHECK(sched_waits(w->sched)); /* for the rows: nothing else is there */
	sched_add(w->sched, 2, &g[2]);
	CHECK_OK(sched_step(w->sched));
	CHECK(!sched_waits(w->sched));
	run(w);
	sched_add(w->sched, 1, &g[1]);
	run(w);
	for (unsigned i = 0; i < 3; i++)
		check_alone(&w->s[i], &g[i]);
	CHECK(w->s[1].cached > 30); /* the rows too */
	world_free(w);
}

TEST(another_picture_or_person_shares_nothing)
{
	struct world *w = world_new();
	struct gen_request g[3] = { ask("\2" "0 and then?", 1, 7), ask("\2" "0 and then?", 1, 8),
		ask("\2" "0 and then?", 2, 7) };
	for (unsigned i = 0; i < 3; i++) {
		sched_add(w->sched, i, &g[i]);
		run(w);
		check_alone(&w->s[i], &g[i]);
		CHECK_EQ_INT(w->s[i].cached, 0);
	}
	CHECK(memcmp(w->s[0].text, w->s[1].text, ANSWER) != 0);
	CHECK(memcmp(w->s[0].text, w->s[2].text, ANSWER) == 0);
	world_free(w);
}

TEST(a_prompt_that_ends_with_a_picture_or_is_for_the_blind_is_refused)
{
	struct world *w = world_new();
	struct gen_request g = ask("look \2" "0", 1, 7);
	sched_add(w->sched, 0, &g);
	CHECK_EQ_INT(w->s[0].failed, ERR_INVALID);
	struct engine_backend_ops blind = FAKE_OPS;
	struct request *r = NULL;
	struct request_error why;
	blind.picture_new = NULL;
	g = ask("\2" "0 what?", 1, 7);
	CHECK_ERR(request_new(&blind, w->fake, 1, &g, &r, &why), ERR_UNSUPPORTED);
	world_free(w);
}

TEST(a_cancel_while_rows_are_made_leaves_nothing)
{
	struct world *w = world_new();
	struct gen_request g = ask("\2" "0 what?", 1, 7), next = ask("\2" "0 what?", 2, 9);
	sched_add(w->sched, 0, &g);
	CHECK_OK(sched_step(w->sched));
	CHECK_OK(sched_step(w->sched));
	sched_cancel(w->sched, 0);
	sched_add(w->sched, 1, &next);
	run(w);
	CHECK(w->s[0].done && !w->s[0].len);
	check_alone(&w->s[1], &next);
	world_free(w);
}
