/* Sharing, fairness and time: what many people together get from the scheduler. */
#include "engine/scheduler.h"

#include <stdio.h>
#include <string.h>

#include "engine/fake.h"
#include "tests/test.h"

enum { PEOPLE = 64 };
static const int64_t MS = 1000000, SECOND = 1000 * 1000000LL;

struct seen {
	uint32_t prompt, cached, tokens, place;
	bool done, failed;
	enum err code;
	int64_t added, begun, first, last, longest_gap, end;
	int32_t answer[300];
};
struct world {
	struct fake *fake;
	struct sched *sched;
	struct seen s[PEOPLE];
	unsigned ended;
};

static void on_begun(void *arg, uint64_t id, const struct gen_begun *v)
{
	struct seen *s = &((struct world *)arg)->s[id % PEOPLE];
	s->prompt = v->prompt_tokens;
	s->cached = v->cached_tokens;
	s->begun = fake_now_ns(((struct world *)arg)->fake);
}

static void on_delta(void *arg, uint64_t id, const struct gen_delta *v)
{
	struct world *w = arg;
	struct seen *s = &w->s[id % PEOPLE];
	int64_t t = fake_now_ns(w->fake);
	for (size_t i = 0; i < v->n_tokens && s->tokens < 300; i++)
		s->answer[s->tokens++] = v->tokens[i];
	if (!s->first)
		s->first = t;
	else if (t - s->last > s->longest_gap)
		s->longest_gap = t - s->last;
	s->last = t;
}

static void on_done(void *arg, uint64_t id, const struct gen_done *v)
{
	struct world *w = arg;
	struct seen *s = &w->s[id % PEOPLE];
	(void)v;
	s->done = true;
	s->end = fake_now_ns(w->fake);
	w->ended++;
}

static void on_failed(void *arg, uint64_t id, const struct gen_failed *v)
{
	struct world *w = arg;
	w->s[id % PEOPLE].failed = true;
	w->s[id % PEOPLE].code = v->code;
	w->ended++;
}

static void on_queued(void *arg, uint64_t id, const struct gen_queued *v)
{
	((struct world *)arg)->s[id % PEOPLE].place = v->position;
}

/* A machine as it was measured: a step costs 5 ms, a token 3, a cell in use a little for each. */
static const struct fake_options MACHINE = { .n_shared = 8192,
	.n_read = 8192,
	.read_tile = 64,
	.n_own = 2048,
	.n_seq = 8,
	.n_run = 24,
	.n_batch = 512,
	.step_ns = 5000000,
	.token_ns = 3000000,
	.cell_ns = 300 };

static struct world *world_new(const struct fake_options *o, struct sched_options so)
{
	struct world *w = calloc(1, sizeof *w);
	CHECK(w);
	CHECK_OK(fake_new(o, &w->fake));
	so.ops = &FAKE_OPS;
	so.backend = w->fake;
	so.sink = (struct sched_sink){ on_begun, on_delta, on_done, on_failed, on_queued, w };
	CHECK_OK(sched_new(&so, &w->sched));
	return w;
}

static void world_free(struct world *w)
{
	sched_free(w->sched);
	fake_free(w->fake);
	free(w);
}

static struct gen_request chat(const char *input, uint64_t person, int32_t answer)
{
	return (struct gen_request){ .kind = GEN_CHAT,
		.input = str_from(input),
		.person = person,
		.sampling = { .top_p = 1,
			.typical_p = 1,
			.repeat_penalty = 1,
			.mirostat_tau = 5,
			.mirostat_eta = 0.1f,
			.num_predict = answer } };
}

static void add(struct world *w, uint64_t id, const struct gen_request *g)
{
	w->s[id % PEOPLE] = (struct seen){ .added = fake_now_ns(w->fake) };
	sched_add(w->sched, id, g);
}

static void run(struct world *w)
{
	for (int i = 0; sched_busy(w->sched); i++) {
		CHECK(i < 1000000);
		CHECK_OK(sched_step(w->sched));
	}
}

/* The answer as the model gives it to the text alone. */
static void check_alone(const struct seen *s, const struct gen_request *g)
{
	int32_t all[9000];
	size_t n = g->input.len;
	CHECK(s->done && n + s->tokens < 9000);
	for (size_t i = 0; i < n; i++)
		all[i] = (unsigned char)g->input.ptr[i];
	for (size_t i = 0; i < s->tokens; i++) {
		CHECK_EQ_INT(s->answer[i], fake_next(0, all, n));
		all[n++] = s->answer[i];
	}
}

/* "[{COMPANY ... "share":"company"}{question}]" with so many bytes that are shared. */
static const char *with_prefix(char *dst, size_t size, unsigned prefix, unsigned variant,
	const char *mark, unsigned question)
{
	size_t n = (size_t)snprintf(dst, size, "[{%u ", variant), at = n;
	for (; at < prefix; at++)
		dst[at] = (char)('a' + (at * 7 + variant) % 26);
	snprintf(dst + at, size - at, "%s}{question %u}]", mark, question);
	return dst;
}
#define COMPANY "\"share\":\"company\""

TEST(eight_who_come_together_read_their_instructions_once)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char text[8][1400];
	struct gen_request g[8];
	for (unsigned round = 0; round < 2; round++) {
		uint64_t before = fake_tokens(w->fake);
		for (unsigned i = 0; i < 8; i++) {
			g[i] = chat(with_prefix(text[i], 1400, 1100, 0, COMPANY, i + 10 * round), i,
				64);
			add(w, i, &g[i]);
		}
		run(w);
		uint64_t read = fake_tokens(w->fake) - before;
		/* Once the prefix (not at all in the second round), eight questions, eight answers.
		 * */
		CHECK(read <= (round ? 0 : 1120) + 8 * (20 + 64));
		for (unsigned i = 0; i < 8; i++) {
			check_alone(&w->s[i], &g[i]);
			CHECK_EQ_INT(w->s[i].tokens, 64);
			CHECK(i || !round ? 1 : w->s[i].cached >= 1100);
		}
	}
	struct engine_stats st;
	sched_stats(w->sched, &st);
	CHECK(st.tokens_cached >= 15 * 1100);
	world_free(w);
}

TEST(the_same_words_of_two_persons_are_read_twice)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char a[600];
	struct gen_request g = chat(with_prefix(a, 600, 500, 0, "", 1), 1, 8);
	add(w, 1, &g);
	run(w);
	for (int both = 0; both < 2; both++) { /* after it, and at the same time */
		g.person = 2 + (uint64_t)both;
		add(w, 2, &g);
		if (both)
			g.person = 9, add(w, 3, &g);
		run(w);
		CHECK_EQ_INT(w->s[2].cached, 0);
		CHECK_EQ_INT(w->s[3].cached, 0);
	}
	g.person = 1;
	add(w, 4, &g);
	run(w);
	CHECK_EQ_INT(w->s[4].cached, g.input.len - 1);
	world_free(w);
}

TEST(a_group_shares_among_itself_only)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char a[600];
	struct gen_request g = chat(with_prefix(a, 600, 400, 0, "\"share\":\"group\"", 1), 1, 8);
	for (unsigned i = 0; i < 3; i++) {
		g.group = i < 2 ? 5 : 6;
		g.person = i;
		add(w, i, &g);
		run(w);
		CHECK(i == 1 ? w->s[i].cached >= 400 : !w->s[i].cached);
		check_alone(&w->s[i], &g);
	}
	world_free(w);
}

TEST(a_talk_goes_on_without_reading_its_history_beside_twenty_others)
{
	for (unsigned marked = 0; marked < 2; marked++) {
		struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
		char a[3000], b[3000], other[600];
		struct gen_request g =
			chat(with_prefix(a, 3000, 1100, 0, marked ? COMPANY : "", 1), 1, 30);
		add(w, 1, &g);
		run(w);
		snprintf(b, sizeof b, "%s", a);
		for (unsigned i = 0; i < w->s[1].tokens; i++)
			b[g.input.len + i] = (char)w->s[1].answer[i];
		snprintf(b + g.input.len + w->s[1].tokens, 100, "and now?");
		for (unsigned i = 2; i < 22; i++) {
			struct gen_request o = chat(with_prefix(other, 600, 400, i, "", i), i, 20);
			add(w, i, &o);
			if (i % 3 == 0)
				run(w);
		}
		run(w);
		g = chat(b, 1, 10);
		uint64_t before = fake_tokens(w->fake);
		add(w, 1, &g);
		run(w);
		CHECK(w->s[1].cached >= 1100 + 30);
		CHECK(fake_tokens(w->fake) - before <= 40 + 10);
		check_alone(&w->s[1], &g);
		world_free(w);
	}
}

TEST(no_first_token_waits_for_the_copy_of_an_idle_text)
{
	struct fake_options slow = MACHINE;
	slow.save_ns = 1 * MS;
	struct world *w = world_new(&slow, (struct sched_options){ 0 });
	char a[600];
	int64_t first = 0;
	for (unsigned i = 0; i < 3 * slow.n_seq; i++) { /* one after the other, none idles */
		struct gen_request g = chat(with_prefix(a, 600, 400, i, "", i % 10), i, 8);
		add(w, i, &g);
		run(w);
		int64_t t = w->s[i].first - w->s[i].added;
		first = i ? first : t;
		CHECK(t <= first + first / 10);
		check_alone(&w->s[i], &g);
	}
	/* all was copied but what lies in the streams that are not empty */
	struct engine_stats st;
	sched_stats(w->sched, &st);
	CHECK(st.cells_used <= (slow.n_seq - 1) * 440);
	CHECK(st.cache_bytes > 0);
	world_free(w);
}

TEST(what_is_idle_takes_no_cells_from_those_who_run)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char a[1400];
	for (unsigned i = 0; i < 13; i++) { /* twelve families, then the first again */
		struct gen_request g =
			chat(with_prefix(a, 1400, 1000, i % 12, COMPANY, i), i, 10);
		add(w, i, &g);
		while (sched_busy(w->sched)) {
			CHECK_OK(sched_step(w->sched));
			CHECK(fake_cells(w->fake, POOL_SHARED) <= 1100);
		}
		CHECK(fake_cells(w->fake, POOL_SHARED) >= 1000); /* stays while nobody pays */
		CHECK(i < 12 ? !w->s[i].cached : w->s[i].cached >= 1000);
	}
	world_free(w);
}

TEST(short_prompts_that_come_together_are_read_together_now_and_then)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char a[8][200];
	struct gen_request g = chat(with_prefix(a[0], 200, 30, 0, "", 0), 0, 290);
	add(w, 0, &g);
	while (w->s[0].tokens < 10)
		CHECK_OK(sched_step(w->sched));
	for (int again = 0; again < 2; again++) {
		w->s[0].longest_gap = 0;
		for (unsigned i = 1; i < 6; i++) {
			g = chat(with_prefix(a[i], 200, 30, i + 10 * (unsigned)again, "", i), i, 2);
			add(w, i, &g);
		}
		while (w->ended < 5 * (unsigned)(again + 1))
			CHECK_OK(sched_step(w->sched));
		for (unsigned i = 1; i < 6; i++)
			CHECK(w->s[i].done);
		/* all five in one step; those who come right after them in steps of a gap */
		CHECK(again ? w->s[0].longest_gap < 200 * MS
			    : w->s[0].longest_gap > 400 * MS && w->s[0].longest_gap < 650 * MS);
	}
	CHECK(w->s[0].tokens < 140); /* the next long step was not due yet */
	run(w);
	world_free(w);
}

/* Eight documents of the same length at the same moment: with equal shares all would be read when
 * the last is; one after the other, the first is in an eighth of the time and the last no later. */
TEST(documents_that_come_together_are_read_one_after_the_other)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char text[8][1200];
	for (unsigned i = 0; i < 8; i++) {
		struct gen_request g = chat(with_prefix(text[i], 1200, 1000, i, "", i), i, 4);
		add(w, i, &g);
	}
	run(w);
	int64_t wait[8], worst = 0, sum = 0;
	for (unsigned i = 0; i < 8; i++) {
		wait[i] = w->s[i].first - w->s[i].added;
		worst = wait[i] > worst ? wait[i] : worst;
		sum += wait[i];
	}
	CHECK(worst < 8 * 1020 * 3 * MS * 12 / 10); /* what reading all costs, a fifth more */
	CHECK(wait[0] < worst / 5);
	CHECK(sum < 8 * worst * 6 / 10);
	world_free(w);
}

/* A person's five documents, and a moment later another's one: as fast as with equal shares. */
TEST(who_asks_for_much_does_not_hold_up_who_asks_for_little)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	char text[6][1200];
	struct gen_request g;
	for (unsigned i = 0; i < 5; i++) {
		g = chat(with_prefix(text[i], 1200, 1000, i, "", i), 1, 4);
		add(w, i, &g);
	}
	CHECK_OK(sched_step(w->sched));
	g = chat(with_prefix(text[5], 1200, 1000, 5, "", 5), 2, 4);
	add(w, 5, &g);
	run(w);
	unsigned earlier = 0;
	for (unsigned i = 0; i < 5; i++)
		earlier += w->s[i].first < w->s[5].first;
	CHECK(earlier <= 2); /* with equal shares: the sixth's is read when two of them are */
	world_free(w);
}

TEST(a_newcomer_speaks_soon_while_a_document_is_read)
{
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	static char doc[2000];
	struct gen_request g = chat(with_prefix(doc, 2000, 1850, 0, "", 1), 1, 10),
			   s = chat("[short?]", 2, 40);
	add(w, 1, &g);
	for (int i = 0; i < 3; i++)
		CHECK_OK(sched_step(w->sched));
	add(w, 2, &s);
	run(w);
	/* The document alone takes 5.6 s. The chunk that was running, then one of both. */
	CHECK(w->s[2].first - w->s[2].added < 700 * MS);
	CHECK(w->s[2].longest_gap < 2 * 150 * MS);
	check_alone(&w->s[1], &g);
	check_alone(&w->s[2], &s);
	world_free(w);
}

TEST(a_32k_prompt_does_not_widen_the_gap_of_eight_who_talk)
{
	struct fake_options o = MACHINE;
	o.n_shared = o.n_read = 40000;
	struct world *w = world_new(&o, (struct sched_options){ 0 });
	char *doc = malloc(33000);
	memset(doc, 'x', 32000);
	memcpy(doc, "[", 1), memcpy(doc + 32000, "]", 2);
	char text[8][100];
	struct gen_request g = chat(doc, 50, 4);
	for (unsigned i = 0; i < 8; i++) {
		struct gen_request c = chat(with_prefix(text[i], 100, 30, i, "", i), i, 250);
		add(w, i, &c);
	}
	for (int i = 0; i < 20; i++)
		CHECK_OK(sched_step(w->sched));
	add(w, 50, &g);
	int64_t begin = fake_now_ns(w->fake);
	run(w);
	for (unsigned i = 0; i < 8; i++)
		CHECK(w->s[i].longest_gap <= 2 * 150 * MS);
	CHECK(w->s[50].done);
	/* not token by token: at seven times the cost it would have been ten minutes more */
	CHECK(fake_now_ns(w->fake) - begin < 400 * SECOND);
	free(doc);
	world_free(w);
}

TEST(who_has_much_makes_way_and_loses_nothing)
{
	struct fake_options o = MACHINE;
	o.n_shared = 0;
	o.n_seq = o.n_run = 2;
	struct world *w = world_new(&o, (struct sched_options){ 0 });
	char text[3][400];
	struct gen_request g[3];
	for (unsigned i = 0; i < 3; i++) {
		g[i] = chat(with_prefix(text[i], 400, 300, i, "", i), i == 2 ? 2 : 1,
			i == 2 ? 20 : 250);
		if (i < 2)
			add(w, i, &g[i]);
	}
	CHECK_OK(sched_step(w->sched));
	add(w, 2, &g[2]);
	for (int i = 0; !w->s[2].place && i < 1000; i++)
		CHECK_OK(sched_step(w->sched));
	CHECK_EQ_INT(w->s[2].place, 1); /* it was told where it stands */
	run(w);
	CHECK(w->s[2].end < w->s[1].end); /* the newer one of the other waited meanwhile */
	CHECK(w->s[2].begun - w->s[2].added < 4 * SECOND);
	for (unsigned i = 0; i < 3; i++)
		check_alone(&w->s[i], &g[i]);
	struct engine_stats st;
	sched_stats(w->sched, &st);
	CHECK_EQ_INT(st.preempted, 1);
	/* Three prompts, three answers; what was preempted came back from RAM. */
	CHECK(fake_tokens(w->fake) <= 3 * 325 + 2 * 250 + 20 + 3 + st.drafted);
	world_free(w);
}

TEST(a_purge_reaches_cells_and_memory_and_what_still_runs)
{
	for (unsigned when = 0; when < 3; when++) {
		struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
		char a[900];
		struct gen_request g = chat(with_prefix(a, 900, 700, 0, COMPANY, 1), 1, 20);
		g.object = 77;
		add(w, 1, &g);
		for (int i = 0; when == 0 && i < 12; i++)
			CHECK_OK(sched_step(w->sched));
		if (when)
			run(w);
		if (when == 2)
			while (sched_idle(w->sched))
				;
		sched_purge(w->sched, &(struct engine_purge){ 1, 77 });
		run(w);
		add(w, 2, &g);
		run(w);
		/* The company's part stays, the person's is read again. */
		CHECK(w->s[2].cached >= 690 && w->s[2].cached <= 730);
		sched_purge(w->sched, &(struct engine_purge){ 0, 0 });
		add(w, 3, &g);
		run(w);
		CHECK_EQ_INT(w->s[3].cached, 0);
		check_alone(&w->s[3], &g);
		world_free(w);
	}
}

TEST(a_deadline_ends_waiting_with_a_reason)
{
	struct fake_options o = MACHINE;
	o.n_shared = 0;
	o.n_seq = o.n_run = 1;
	struct world *w = world_new(&o, (struct sched_options){ 0 });
	struct gen_request g = chat("[one]", 1, 200), d = chat("[two]", 1, 5);
	d.deadline_ms = 500;
	add(w, 1, &g);
	add(w, 2, &d);
	run(w);
	CHECK(w->s[1].done && w->s[2].failed);
	CHECK_EQ_INT(w->s[2].code, ERR_TIMEOUT);
	world_free(w);
}

static unsigned dice(uint64_t *x, unsigned n)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((*x >> 33) % n);
}

TEST_TIMEOUT(a_day_of_work_starves_nobody, 300)
{
	/* 24 hours of virtual time: people come at random, some with documents, some with batches
	 * of
	 * twenty, at a load near what the machine carries; nobody waits longer than the others that
	 * are there together take, plus a chunk. */
	struct world *w = world_new(&MACHINE, (struct sched_options){ 0 });
	static char text[PEOPLE][1500];
	static uint8_t class[PEOPLE];
	uint64_t x = 3, id = 0, done = 0;
	int64_t next = 0, worst[3] = { 0 }, day = 24 * 3600 * SECOND;
	bool busy[PEOPLE] = { false };
	while (fake_now_ns(w->fake) < day) {
		int64_t t = fake_now_ns(w->fake);
		for (; next <= t; next += (1 + dice(&x, 5200)) * MS) {
			unsigned many = dice(&x, 40) ? 1 : 12, person = dice(&x, 12);
			for (unsigned k = 0; k < many; k++) {
				uint64_t use = id++;
				unsigned i = use % PEOPLE;
				if (busy[i])
					continue; /* that many at once do not come */
				class[i] = (uint8_t)(many > 1 ? 2 : dice(&x, 6) ? 0 : 1);
				struct gen_request g =
					chat(with_prefix(text[i], 1500, dice(&x, 8) ? 60 : 700,
						     dice(&x, 3), dice(&x, 2) ? COMPANY : "", i),
						person, 10 + (int32_t)dice(&x, 60));
				g.priority = class[i];
				busy[i] = true;
				add(w, use, &g);
			}
		}
		if (!sched_busy(w->sched)) {
			while (sched_idle(w->sched))
				;
			fake_sleep_ns(w->fake, next - t);
			continue;
		}
		CHECK_OK(sched_step(w->sched));
		for (unsigned i = 0; i < PEOPLE; i++)
			if (busy[i] && (w->s[i].done || w->s[i].failed)) {
				CHECK(!w->s[i].failed);
				int64_t wait = w->s[i].first - w->s[i].added;
				worst[class[i]] = wait > worst[class[i]] ? wait : worst[class[i]];
				busy[i] = false;
				done++;
			}
	}
	fprintf(stderr,
		"# %llu requests in a day; longest wait for a first token: %.1f s, workflow "
		"%.1f s, batch %.1f s\n",
		(unsigned long long)done, (double)worst[0] / 1e9, (double)worst[1] / 1e9,
		(double)worst[2] / 1e9);
	CHECK(done > 20000);
	/* Up to 64 requests of at most (800 + 70) tokens are there at once; with 24 running, a turn
	 * of each other person's is the fair share. */
	CHECK(worst[0] < 12 * SECOND);
	CHECK(worst[1] < 20 * SECOND && worst[2] < 30 * SECOND);
	world_free(w);
}
