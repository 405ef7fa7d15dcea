/* The fleet against a keeper and engines played by threads: loading, crashes, quarantine. */
#include "models/fleet.h"
#include "models/fleet_embed.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/threads.h"
#include "tests/test.h"

/* What a played engine does with a request, chosen by its input. */
struct world {
	struct ipc *keeper_end;
	struct keeper_link *link;
	pthread_t keeper, pump;
	atomic_int engines_started, engines_stopped;
	atomic_bool stop;
	pthread_t engines[32];
	unsigned n_engines;
};

/* ---- the played engine: "ok" answers 40 tokens "a", "die" closes the channel after 5 ---- */

static void say_begun(struct ipc *c, uint64_t id)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_BEGUN, id);
	gen_begun_put(&m, &(struct gen_begun){ .prompt_tokens = 3, .seed = 7 });
	CHECK(ipc_send(c, &m) == OK);
}

static void say_text(struct ipc *c, uint64_t id, const int32_t *tokens, size_t n, const char *text)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_DELTA, id);
	gen_delta_put(
		&m, &(struct gen_delta){ .tokens = tokens, .n_tokens = n, .text = str_from(text) });
	CHECK(ipc_send(c, &m) == OK);
}

static void say_done(struct ipc *c, uint64_t id, enum gen_reason why, unsigned n)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_DONE, id);
	gen_done_put(
		&m, &(struct gen_done){ .reason = why, .prompt_tokens = 3, .answer_tokens = n });
	CHECK(ipc_send(c, &m) == OK);
}

/* A short answer in pieces; text of resumed tokens is sent again first. False: the engine dies. */
static bool play(struct ipc *c, struct ipc_in *m)
{
	struct gen_request g;
	CHECK(gen_request_get(m, &g) == OK);
	say_begun(c, m->id);
	char again[64] = "";
	memset(again, 'a', g.n_resume); /* at most 40 */
	if (g.n_resume)
		say_text(c, m->id, NULL, 0, again);
	for (size_t i = g.n_resume; i < 40; i++) {
		if (str_eq(g.input, STR("die")) && i == g.n_resume + 5)
			return false;
		if (str_eq(g.input, STR("wait")))
			return true; /* answers only to a cancel */
		say_text(c, m->id, &(int32_t){ (int32_t)i }, 1, "a");
	}
	say_done(c, m->id, GEN_STOP, 40);
	return true;
}

/* Vectors of one value, the input's length; "die" closes the channel, "wait" waits for a cancel. */
static bool play_embed(struct ipc *c, struct ipc_in *m)
{
	struct embed_request r;
	float values[8];
	CHECK(embed_request_get(m, &r) == OK && r.n <= 8);
	if (str_eq(r.texts, STR("die")))
		return false;
	if (str_eq(r.texts, STR("wait")))
		return true;
	for (size_t i = 0; i < r.n; i++)
		values[i] = (float)r.lens[i];
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ENGINE_EMBEDDED, m->id);
	/* "lie": an answer for another number of inputs */
	size_t n = str_eq(r.texts, STR("lie")) ? r.n - 1 : r.n;
	embed_done_put(&out, &(struct embed_done){ .values = values, .n_values = n,
		.counts = r.lens, .n = n, .dim = 1 });
	CHECK(ipc_send(c, &out) == OK);
	return true;
}

static void *engine_main(void *arg)
{
	struct ipc *c = arg;
	for (;;) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		enum err e = ipc_recv_wait(c, 5000, &m);
		if (e)
			break;
		if (m.type == GEN_CANCEL)
			say_done(c, m.id, GEN_CANCELLED, 0);
		else if (!(m.type == ENGINE_EMBED ? play_embed : play)(c, &m))
			break;
	}
	(void)ipc_drain(c, 1000);
	ipc_free(c);
	return NULL;
}

/* ---- the played keeper ---- */

static void answer_engine(struct world *w, uint64_t id, struct str digest)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ANSWER, id);
	if (str_starts(digest, STR("bad"))) {
		answer_put(&m, ERR_MODEL_BAD, STR("not a usable model: because"));
	} else {
		int pair[2];
		struct ipc *c;
		CHECK(ipc_pair(pair) == OK && ipc_new(pair[0], &c) == OK);
		CHECK(thread_start("engine", 0, engine_main, c, &w->engines[w->n_engines++]) == OK);
		answer_put(&m, OK, STR_NONE);
		ipc_put_u64(&m, (uint64_t)atomic_fetch_add(&w->engines_started, 1) + 1);
		ipc_put_fd(&m, pair[1]);
		engine_info_put(&m, &(struct engine_info){ .n_ctx = 512,
					    .n_seq = 4,
					    .n_vocab = 10,
					    .n_threads = 1,
					    .build = STR("played"),
					    .template_hash = STR("00") });
	}
	CHECK(ipc_send(w->keeper_end, &m) == OK);
}

static void *keeper_main(void *arg)
{
	struct world *w = arg;
	while (!w->stop) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		if (ipc_recv_wait(w->keeper_end, 50, &m))
			continue;
		if (m.type == ASK_ENGINE) {
			answer_engine(w, m.id, ipc_get_str(&m));
		} else {
			AUTO_IPC_OUT struct ipc_out out;
			w->engines_stopped++;
			ipc_out_init(&out, ANSWER, m.id);
			answer_put(&out, OK, STR_NONE);
			CHECK(ipc_send(w->keeper_end, &out) == OK);
		}
	}
	return NULL;
}

static void nothing(struct ipc_in *m, void *arg)
{
	(void)m;
	(void)arg;
}

static void *pump_main(void *arg)
{
	struct world *w = arg;
	while (!w->stop) {
		struct pollfd p = { .fd = keeper_link_fd(w->link), .events = POLLIN };
		(void)poll(&p, 1, 50);
		enum err e = keeper_link_pump(w->link, nothing, NULL);
		CHECK(e == OK || e == ERR_AGAIN);
	}
	return NULL;
}

static struct fleet *world_new(struct world *w, unsigned max_engines)
{
	int pair[2];
	struct ipc *c;
	struct fleet *f;
	memset(w, 0, sizeof *w);
	CHECK(ipc_pair(pair) == OK && ipc_new(pair[0], &w->keeper_end) == OK &&
		ipc_new(pair[1], &c) == OK);
	CHECK(keeper_link_new(c, &w->link) == OK);
	CHECK(thread_start("keeper", 0, keeper_main, w, &w->keeper) == OK);
	CHECK(thread_start("pump", 0, pump_main, w, &w->pump) == OK);
	CHECK(fleet_new(&(struct fleet_options){ .keeper = w->link, .max_engines = max_engines },
		      &f) == OK);
	return f;
}

static void world_end(struct world *w, struct fleet *f)
{
	fleet_free(f);
	w->stop = true;
	pthread_join(w->keeper, NULL);
	pthread_join(w->pump, NULL);
	for (unsigned i = 0; i < w->n_engines; i++)
		pthread_join(w->engines[i], NULL);
	keeper_link_free(w->link);
	ipc_free(w->keeper_end);
}

/* ---- what a sink saw ---- */

struct seen {
	pthread_mutex_t lock;
	pthread_cond_t more;
	char text[256];
	unsigned begun, done, failed, tokens;
	enum err code;
	enum gen_reason reason;
	float values[8]; /* embedded */
	size_t n_values;
};
#define SEEN                                                                                       \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER                \
	}

static void see(const struct fleet_event *e, void *arg)
{
	struct seen *s = arg;
	pthread_mutex_lock(&s->lock);
	if (e->kind == FLEET_BEGUN) {
		s->begun++;
	} else if (e->kind == FLEET_DELTA) {
		CHECK(strlen(s->text) + e->delta.text.len < sizeof s->text);
		memcpy(s->text + strlen(s->text), e->delta.text.ptr ? e->delta.text.ptr : "",
			e->delta.text.len);
		s->tokens += (unsigned)e->delta.n_tokens;
	} else if (e->kind == FLEET_DONE) {
		s->done++;
		s->reason = e->done.reason;
	} else if (e->kind == FLEET_EMBEDDED) {
		s->done++;
		s->n_values = e->embedded.n_values;
		CHECK(s->n_values <= 8);
		memcpy(s->values, e->embedded.values, s->n_values * sizeof *s->values);
	} else if (e->kind == FLEET_FAILED) {
		s->failed++;
		s->code = e->failed.code;
	}
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
}

static void wait_end(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->done && !s->failed)
		pthread_cond_wait(&s->more, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static uint64_t ask(struct fleet *f, const char *digest, const char *input, struct seen *s)
{
	struct fleet_model m = { .keep_alive_ms = 60000 };
	struct gen_request g = { .input = str_from(input) };
	uint64_t id = 0;
	gen_sampling_defaults(&g.sampling);
	snprintf(m.digest, sizeof m.digest, "%s", digest);
	snprintf(m.name, sizeof m.name, "m");
	CHECK(fleet_start(f, &m, &g, see, s, &id) == OK);
	return id;
}

#define FORTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

TEST(a_request_loads_its_model_once_and_gets_its_answer)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	ask(f, "m1", "ok", &a);
	ask(f, "m1", "ok", &b);
	wait_end(&a);
	wait_end(&b);
	CHECK_EQ_STR(str_from(a.text), STR(FORTY));
	CHECK_EQ_INT(a.begun, 1);
	CHECK_EQ_INT(a.tokens, 40);
	CHECK_EQ_INT(b.done, 1);
	CHECK_EQ_INT(w.engines_started, 1);
	world_end(&w, f);
}

TEST(a_model_that_is_refused_fails_its_requests_with_the_reason)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN;
	ask(f, "bad", "ok", &a);
	wait_end(&a);
	CHECK_EQ_INT(a.failed, 1);
	CHECK_EQ_INT(a.code, ERR_MODEL_BAD);
	world_end(&w, f);
}

TEST(after_a_crash_the_guilty_one_fails_and_the_others_go_on_without_a_doubled_word)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen good = SEEN, bad = SEEN;
	ask(f, "m1", "die", &bad);
	ask(f, "m1", "ok", &good);
	wait_end(&good);
	wait_end(&bad);
	CHECK_EQ_INT(bad.failed, 1);
	CHECK_EQ_INT(bad.code, ERR_ENGINE);
	CHECK_EQ_INT(bad.begun, 1);
	CHECK_EQ_INT(good.done, 1);
	CHECK_EQ_STR(str_from(good.text), STR(FORTY));
	CHECK_EQ_INT(good.tokens, 40);
	CHECK(w.engines_started >= 3); /* first, alone with the guilty one, and after it */
	world_end(&w, f);
}

TEST(a_cancel_ends_a_request_that_runs_and_one_that_waits)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	uint64_t running = ask(f, "m1", "wait", &a);
	uint64_t waiting = ask(f, "m2", "ok", &b); /* no room for a second engine */
	usleep(100000);
	fleet_cancel(f, waiting);
	wait_end(&b);
	CHECK_EQ_INT(b.reason, GEN_CANCELLED);
	CHECK_EQ_INT(b.begun, 0);
	fleet_cancel(f, running);
	wait_end(&a);
	CHECK_EQ_INT(a.reason, GEN_CANCELLED);
	fleet_cancel(f, 12345);
	world_end(&w, f);
}

TEST(the_end_of_the_fleet_ends_what_runs)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN;
	ask(f, "m1", "wait", &a);
	usleep(50000);
	world_end(&w, f);
	CHECK_EQ_INT(a.failed, 1);
	CHECK_EQ_INT(a.code, ERR_CLOSED);
}

TEST(an_idle_model_makes_room_for_another)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	struct fleet_loaded list[4];
	ask(f, "m1", "ok", &a);
	wait_end(&a);
	ask(f, "m2", "ok", &b);
	wait_end(&b);
	CHECK_EQ_INT(fleet_list(f, list, 4), 1);
	CHECK_EQ_STR(str_from(list[0].digest), STR("m2"));
	world_end(&w, f);
	CHECK(w.engines_stopped >= 1);
}

TEST(loading_what_is_loaded_ends_at_once)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = 60000 };
	CHECK(fleet_load(f, &m, see, &a) == OK);
	wait_end(&a);
	CHECK_EQ_INT(a.done, 1);
	CHECK(fleet_load(f, &m, see, &b) == OK);
	wait_end(&b);
	CHECK_EQ_INT(b.done, 1);
	CHECK_EQ_INT(b.begun, 0); /* no generation was made of it */
	world_end(&w, f);
}

static uint64_t embed(struct fleet *f, const char *text, const int32_t *lens, size_t n,
	struct seen *s)
{
	struct fleet_model m = { .digest = "m1", .name = "m", .keep_alive_ms = 60000 };
	char *copy = strdup(text); /* the fleet keeps none of the caller's */
	struct embed_request r = { .texts = str_from(copy), .lens = lens, .n = n };
	uint64_t id = 0;
	CHECK(fleet_embed(f, &m, &r, see, s, &id) == OK);
	memset(copy, 'x', strlen(copy));
	free(copy);
	return id;
}

TEST(texts_become_vectors_by_the_models_engine)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen a = SEEN, b = SEEN;
	struct fleet_totals t;
	embed(f, "abcde", (int32_t[]){ 2, 0, 3 }, 3, &a);
	ask(f, "m1", "ok", &b);
	wait_end(&a);
	wait_end(&b);
	CHECK(a.done == 1 && a.n_values == 3);
	CHECK(a.values[0] == 2 && a.values[1] == 0 && a.values[2] == 3);
	CHECK_EQ_INT(b.tokens, 40);
	CHECK_EQ_INT(w.engines_started, 1);
	fleet_totals(f, &t);
	CHECK(t.requests == 2 && t.tokens_in == 5 + 3);
	world_end(&w, f);
}

TEST(after_a_crash_the_guilty_embedding_fails_and_the_other_gets_its_vectors)
{
	struct world w;
	struct fleet *f = world_new(&w, 2);
	struct seen good = SEEN, bad = SEEN;
	embed(f, "die", (int32_t[]){ 3 }, 1, &bad);
	embed(f, "fine", (int32_t[]){ 4 }, 1, &good);
	wait_end(&good);
	wait_end(&bad);
	CHECK(bad.failed == 1 && bad.code == ERR_ENGINE);
	CHECK(good.done == 1 && good.values[0] == 4);
	world_end(&w, f);
}

TEST(a_cancelled_embedding_ends_and_an_engine_that_lies_loses_its_channel)
{
	struct world w;
	struct fleet *f = world_new(&w, 1);
	struct seen a = SEEN, b = SEEN;
	uint64_t id = embed(f, "wait", (int32_t[]){ 4 }, 1, &a);
	usleep(50000);
	fleet_cancel(f, id);
	wait_end(&a);
	CHECK(a.done == 1 && a.reason == GEN_CANCELLED && a.n_values == 0);
	embed(f, "lie", (int32_t[]){ 1, 2 }, 2, &b);
	wait_end(&b);
	CHECK(b.failed == 1 && b.code == ERR_ENGINE);
	CHECK(w.engines_started >= 2);
	world_end(&w, f);
}
