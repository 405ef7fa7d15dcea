#include "models/fleet_world_test.h"

#include <poll.h>
#include <stdlib.h>

#include "os/threads.h"

struct played {
	struct world *w;
	struct ipc *c;
	uint64_t id;
	atomic_bool refused;
};

/* ---- the played engine: "ok" answers 40 tokens "a", "die" closes the channel after 5, "once"
 * too, but only the first time; "hang" says nothing; "full" is refused while another runs ---- */

/* The server may have ended meanwhile: then nobody hears it. */
static void say(struct ipc *c, struct ipc_out *m)
{
	enum err e = ipc_send(c, m);
	CHECK(!e || e == ERR_CLOSED);
}

static void say_begun(struct ipc *c, uint64_t id)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_BEGUN, id);
	gen_begun_put(&m, &(struct gen_begun){ .prompt_tokens = 3, .seed = 7 });
	say(c, &m);
}

static void say_text(struct ipc *c, uint64_t id, const int32_t *tokens, size_t n, const char *text)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_DELTA, id);
	gen_delta_put(
		&m, &(struct gen_delta){ .tokens = tokens, .n_tokens = n, .text = str_from(text) });
	say(c, &m);
}

static void say_done(struct ipc *c, uint64_t id, enum gen_reason why, unsigned n)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_DONE, id);
	gen_done_put(
		&m, &(struct gen_done){ .reason = why, .prompt_tokens = 3, .answer_tokens = n });
	say(c, &m);
}

static void say_busy(struct ipc *c, uint64_t id)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_FAILED, id);
	gen_failed_put(&m, &(struct gen_failed){ .code = ERR_BUSY, .detail = STR("full") });
	say(c, &m);
}

/* A short answer in pieces; text of resumed tokens is sent again first. False: the engine dies. */
static bool play(struct played *p, struct ipc *c, struct ipc_in *m)
{
	struct gen_request g;
	CHECK(gen_request_get(m, &g) == OK);
	if (str_eq(g.input, STR("full")) && !atomic_exchange(&p->refused, true)) {
		say_busy(c, m->id);
		return true;
	}
	say_begun(c, m->id);
	char again[64] = "";
	memset(again, 'a', g.n_resume); /* at most 40 */
	if (g.n_resume)
		say_text(c, m->id, NULL, 0, again);
	for (size_t i = g.n_resume; i < 40; i++) {
		if (str_eq(g.input, STR("die")) && i == g.n_resume + 5)
			return false;
		if (str_eq(g.input, STR("once")) && !g.n_resume && i == 5)
			return false;
		if (str_eq(g.input, STR("wait")) || str_eq(g.input, STR("hang")))
			return true; /* answers only to a cancel */
		say_text(c, m->id, &(int32_t){ (int32_t)i }, 1, "a");
	}
	say_done(c, m->id, GEN_STOP, 40);
	return true;
}

/* Vectors of one value, the input's length; "die" closes the channel, "wait" waits for a
 * cancel, "full" is refused at first. */
static bool play_embed(struct played *p, struct ipc *c, struct ipc_in *m)
{
	struct embed_request r;
	float values[8];
	CHECK(embed_request_get(m, &r) == OK && r.n <= 8);
	if (str_eq(r.texts, STR("full")) && !atomic_exchange(&p->refused, true)) {
		say_busy(c, m->id);
		return true;
	}
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
	say(c, &out);
	return true;
}

/* A count is the input's bytes; a text's tokens are its bytes, and back. "die" closes the channel,
 * "lie" is answered with what was not asked for. */
static void say_counted(struct ipc *c, uint64_t id, uint64_t n)
{
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ENGINE_COUNTED, id);
	ipc_put_u64(&out, n);
	say(c, &out);
}

static bool play_count(struct ipc *c, struct ipc_in *m)
{
	struct gen_request g;
	CHECK(gen_request_get(m, &g) == OK);
	if (str_eq(g.input, STR("die")))
		return false;
	say_counted(c, m->id, g.input.len);
	return true;
}

static bool play_tokens(struct ipc *c, struct ipc_in *m)
{
	struct tokens_request q;
	int32_t ids[16], lens[16];
	char bytes[16];
	CHECK(tokens_request_get(m, &q) == OK && q.text.len + q.n_tokens <= 16);
	if (str_eq(q.text, STR("die")))
		return false;
	if (str_eq(q.text, STR("lie"))) {
		say_counted(c, m->id, 3);
		return true;
	}
	size_t n = q.to_text ? q.n_tokens : q.text.len;
	for (size_t i = 0; i < n; i++) {
		ids[i] = q.to_text ? q.tokens[i] : q.text.ptr[i];
		lens[i] = 1;
		bytes[i] = (char)ids[i];
	}
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ENGINE_TOKENED, m->id);
	tokens_done_put(&out,
		&(struct tokens_done){
			.tokens = ids, .lens = lens, .n = n, .bytes = { bytes, n } });
	say(c, &out);
	return true;
}

static bool play_any(struct played *p, struct ipc *c, struct ipc_in *m)
{
	switch (m->type) {
	case ENGINE_EMBED:
		return play_embed(p, c, m);
	case ENGINE_COUNT:
		return play_count(c, m);
	case ENGINE_TOKENS:
		return play_tokens(c, m);
	default:
		return play(p, c, m);
	}
}

static void *engine_main(void *arg)
{
	struct played *p = arg;
	struct ipc *c = p->c;
	bool died = false;
	for (;;) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		enum err e = ipc_recv_wait(c, 5000, &m);
		if (e)
			break;
		if (m.type == GEN_CANCEL) {
			say_done(c, m.id, GEN_CANCELLED, 0);
			p->w->cancels++;
		} else if (m.type == ENGINE_PURGE) {
			if (p->w->cancels) /* what is purged was cancelled before */
				p->w->purges++;
		} else if (!play_any(p, c, &m)) {
			died = true;
			break;
		}
	}
	(void)ipc_drain(c, 1000);
	if (died) { /* the keeper's word; before or after the end of the channel */
		bool killed = atomic_fetch_sub(&p->w->killed_next, 1) > 0;
		struct fleet_gone g = { .engine_id = p->id, .signal = killed ? 9 : 6 };
		fleet_engine_gone(p->w->fleet, &g);
	}
	ipc_free(c);
	free(p);
	return NULL;
}

/* ---- the played keeper ---- */

static void answer_engine(struct world *w, uint64_t id, struct str digest, struct str engine)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ANSWER, id);
	if (str_starts(digest, STR("dies"))) {
		answer_put(&m, ERR_ENGINE, STR("its process died while loading it"));
	} else if (str_starts(engine, STR("gone"))) {
		answer_put(&m, ERR_BUILD, STR("the engine build \"gone\" cannot be used"));
	} else if (w->blind && w->last_load.n_cards) {
		answer_put(&m, ERR_UNSUPPORTED, STR("the cards are not seen"));
	} else if (str_starts(digest, STR("bad"))) {
		answer_put(&m, ERR_MODEL_BAD, STR("not a usable model: because"));
	} else {
		int pair[2];
		struct ipc *c;
		struct played *p = calloc(1, sizeof *p);
		CHECK(ipc_pair(pair) == OK && ipc_new(pair[0], &c) == OK);
		p->w = w;
		p->c = c;
		p->id = (uint64_t)atomic_fetch_add(&w->engines_started, 1) + 1;
		CHECK(thread_start("engine", 0, engine_main, p, &w->engines[w->n_engines++]) == OK);
		answer_put(&m, OK, STR_NONE);
		ipc_put_u64(&m, p->id);
		ipc_put_str(&m, engine);
		ipc_put_fd(&m, pair[1]);
		engine_info_put(&m, &(struct engine_info){ .n_ctx = 512,
					    .n_seq = 4,
					    .n_vocab = 10,
					    .n_threads = 1,
					    .build = str_from(w->build),
					    .tuned = STR("flash=off"),
					    .model_bytes = 600,
					    .kv_bytes = 400,
					    .gpu = w->last_load.n_cards > 0,
					    .cards = w->last_load.n_cards ? STR("A") : STR_NONE,
					    .template_hash = STR("00") });
	}
	CHECK(ipc_send(w->keeper_end, &m) == OK);
}

struct late {
	struct world *w;
	uint64_t id;
};

static void *answer_late(void *arg)
{
	struct late *l = arg;
	usleep(400000);
	answer_engine(l->w, l->id, STR("slow"), STR(""));
	free(l);
	return NULL;
}

static void on_ask_engine(struct world *w, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m), projector = ipc_get_str(m), engine = ipc_get_str(m);
	CHECK(!str_copy(engine, w->asked_engine, sizeof w->asked_engine));
	CHECK(!str_copy(projector, w->last_projector, sizeof w->last_projector));
	w->last_cpu_less = ipc_get_u64(m);
	engine_params_get(m, &w->last_load);
	adapters_get(m, &w->last_adapters);
	CHECK(ipc_end(m) == OK);
	w->asked++;
	if (!str_eq(digest, STR("slow"))) {
		answer_engine(w, m->id, digest, engine);
		return;
	}
	struct late *l = calloc(1, sizeof *l);
	*l = (struct late){ w, m->id };
	CHECK(thread_start("late", 0, answer_late, l, &w->late) == OK);
	w->is_late = true;
}

static void *keeper_main(void *arg)
{
	struct world *w = arg;
	while (!w->stop) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		if (ipc_recv_wait(w->keeper_end, 50, &m))
			continue;
		if (m.type == ASK_ENGINE) {
			on_ask_engine(w, &m);
		} else {
			if (m.type == ASK_CACHE_PURGE) {
				struct engine_purge p;
				CHECK(engine_purge_get(&m, &p) == OK);
				w->purged_person = p.person;
				w->purged_object = p.object;
				w->purged_on_disk++;
				w->engines_stopped--;
			}
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

void world_memory(void *arg, struct fleet_memory *ret)
{
	struct world *w = arg;
	ret->total = 16 * w->free_bytes;
	ret->free_bytes = 2 * w->free_bytes;
	/* a sixteenth of the total is kept: w->free_bytes are left */
}

bool world_need(void *arg, const char *digest, struct plan_need *ret)
{
	(void)arg;
	*ret = (struct plan_need){ .bytes = { .ram = 1000 }, .least = { .ram = 800 } };
	if (!strcmp(digest, "huge"))
		ret->bytes.ram = ret->least.ram = 5ull << 30;
	return true;
}

static void report(void *arg, const struct fleet_report *r)
{
	struct world *w = arg;
	CHECK_EQ_INT(strlen(r->digest), 64);
	w->reports++;
}

void world_tuned_get(void *arg, const char *digest, struct engine_load *load)
{
	struct world *w = arg;
	(void)digest;
	snprintf(load->tuned, sizeof load->tuned, "%s", w->tuned_given);
	snprintf(load->tuned_build, sizeof load->tuned_build, "%s", w->build);
}

void world_tuned_put(void *arg, const char *digest, struct str build, struct str line)
{
	struct world *w = arg;
	snprintf(w->tuned_stored, sizeof w->tuned_stored, "%s %.*s %.*s", digest, STR_ARG(build),
		STR_ARG(line));
}

struct fleet *world_with(struct world *w, const struct fleet_options *base)
{
	int pair[2];
	struct ipc *c;
	struct fleet_options o = *base;
	memset(w, 0, sizeof *w);
	snprintf(w->build, sizeof w->build, "played");
	CHECK(ipc_pair(pair) == OK && ipc_new(pair[0], &w->keeper_end) == OK &&
		ipc_new(pair[1], &c) == OK);
	CHECK(keeper_link_new(c, &w->link) == OK);
	CHECK(thread_start("keeper", 0, keeper_main, w, &w->keeper) == OK);
	CHECK(thread_start("pump", 0, pump_main, w, &w->pump) == OK);
	o.keeper = w->link;
	o.arg = w;
	o.report = report;
	CHECK(fleet_new(&o, &w->fleet) == OK);
	return w->fleet;
}

struct fleet *world_new(struct world *w, unsigned max_engines)
{
	return world_with(w, &(struct fleet_options){ .max_engines = max_engines });
}

void world_end(struct world *w, struct fleet *f)
{
	fleet_free(f);
	w->stop = true;
	pthread_join(w->keeper, NULL);
	if (w->is_late)
		pthread_join(w->late, NULL);
	pthread_join(w->pump, NULL);
	for (unsigned i = 0; i < w->n_engines; i++)
		pthread_join(w->engines[i], NULL);
	keeper_link_free(w->link);
	ipc_free(w->keeper_end);
}

/* ---- what a sink saw ---- */

void see(const struct fleet_event *e, void *arg)
{
	struct seen *s = arg;
	pthread_mutex_lock(&s->lock);
	if (e->kind == FLEET_BEGUN) {
		s->begun++;
		snprintf(s->build, sizeof s->build, "%s", e->build ? e->build : "");
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
	} else if (e->kind == FLEET_COUNTED) {
		s->done++;
		s->tokens = (unsigned)e->counted;
	} else if (e->kind == FLEET_TOKENED) {
		s->done++;
		s->tokens = (unsigned)e->tokened.n;
		CHECK_OK(str_copy(e->tokened.bytes, s->text, sizeof s->text));
	} else if (e->kind == FLEET_FAILED) {
		s->failed++;
		s->code = e->failed.code;
		snprintf(s->why, sizeof s->why, "%.*s", STR_ARG(e->failed.detail));
	}
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
}

void wait_end(struct seen *s)
{
	pthread_mutex_lock(&s->lock);
	while (!s->done && !s->failed)
		pthread_cond_wait(&s->more, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

enum err ask_with(struct fleet *f, const char *digest, struct gen_request g, struct seen *s,
	uint64_t *ret_id)
{
	struct fleet_model m = { .keep_alive_ms = 60000 };
	gen_sampling_defaults(&g.sampling);
	snprintf(m.digest, sizeof m.digest, "%s", digest);
	snprintf(m.name, sizeof m.name, "m");
	return fleet_start(f, &m, &g, see, s, ret_id);
}

uint64_t ask(struct fleet *f, const char *digest, const char *input, struct seen *s)
{
	uint64_t id = 0;
	CHECK_OK(ask_with(f, digest, (struct gen_request){ .input = str_from(input) }, s, &id));
	return id;
}
