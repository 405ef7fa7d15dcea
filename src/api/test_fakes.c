/* The fleet that src/api asks, played; the store of models: test_fakes_models.c. */
#include <stdio.h>
#include <time.h>

#include "api/test_app.h"
#include "base/fault.h"
#include "base/time.h"
#include "doc/image_ask.h"
#include "models/advise.h"
#include "models/fleet.h"
#include "models/fleet_db.h"
#include "models/fleet_embed.h"
#include "models/fleet_tokens.h"
#include "models/store.h"
#include "os/fd.h"
#include "os/threads.h"
#include "proto/keeper.h"

struct fakes fakes;

void fakes_reset(void)
{
	memset(&fakes, 0, sizeof fakes);
}

void fakes_nap(int ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000L };
	nanosleep(&t, NULL);
}

/* ---- fleet ---- */

struct job {
	fleet_sink sink;
	void *arg;
	char input[4096];
	uint64_t id;
	struct fleet_model model;
	unsigned n_stop;
};
static _Atomic uint64_t next_id = 1;
static _Atomic bool cancelled_ids[4096];

static void tell(struct job *j, struct fleet_event e)
{
	j->sink(&e, j->arg);
}

static void delta(struct job *j, const char *text, bool thinking)
{
	struct fleet_event e = { .kind = FLEET_DELTA };
	e.delta = (struct gen_delta){ .text = str_from(text), .thinking = thinking };
	tell(j, e);
}

static void probs(struct job *j)
{
	struct fleet_event e = { .kind = FLEET_DELTA };
	e.delta = (struct gen_delta){ .text = STR("!"),
		.logprobs =
			STR("[{\"token\":\"!\",\"logprob\":-0.5,\"bytes\":[33],\"top_logprobs\":"
			    "[{\"token\":\"?\",\"logprob\":-1.5,\"bytes\":[63]}]}]") };
	tell(j, e);
}

static void end(struct job *j, enum gen_reason reason)
{
	struct fleet_event e = { .kind = FLEET_DONE };
	e.done = (struct gen_done){ .reason = reason,
		.prompt_tokens = 26,
		.cached_tokens = 4,
		.answer_tokens = 2,
		.queue_ns = 5,
		.prompt_ns = 1000,
		.answer_ns = 2000 };
	if (strstr(j->input, "CALLS")) {
		e.done.calls =
			STR("[{\"id\":\"call_1\",\"name\":\"f\",\"arguments\":{\"a\":\"\\u00fc\"}},"
			    "{\"id\":\"call_2\",\"name\":\"g\",\"arguments\":{}}]");
		e.done.warnings = STR("first\nsecond");
	}
	if (strstr(j->input, "STOPPED"))
		e.done.stop = (uint8_t)j->n_stop; /* by the last of them */
	if (strstr(j->input, "BADCALLS"))
		e.done.calls = STR("[{]");
	tell(j, e);
}

static void fail(struct job *j, enum err code, const char *detail)
{
	struct fleet_event e = { .kind = FLEET_FAILED };
	e.failed = (struct gen_failed){ .code = code,
		.detail = str_from(detail),
		.prompt_tokens = code == ERR_CONTEXT ? 5000 : 0,
		.context_tokens = code == ERR_CONTEXT ? 4096 : 0 };
	tell(j, e);
}

static void play(struct job *j)
{
	static const struct engine_info info = {
		.n_ctx = 4096, .build = { "b1", 2 }, .template_hash = { "feed", 4 }
	};
	if (strstr(j->input, "CONTEXT")) {
		fail(j, ERR_CONTEXT, "the prompt has 5000 tokens, the context holds 4096");
		return;
	}
	if (strstr(j->input, "NOTHINK")) {
		fail(j, ERR_UNSUPPORTED, "this model does not support thinking");
		return;
	}
	if (strstr(j->input, "NOFIM")) {
		fail(j, ERR_UNSUPPORTED,
			"this model cannot fill in between two texts: it has no FIM prefix token");
		return;
	}
	struct fleet_event e = { .kind = FLEET_BEGUN, .engine = &info, .load_ns = 77 };
	e.begun = (struct gen_begun){ .prompt_tokens = 26, .cached_tokens = 4, .seed = 42 };
	tell(j, e);
	if (strstr(j->input, "THINK"))
		delta(j, "hmm", true);
	delta(j, "Hel", false);
	if (strstr(j->input, "FAIL")) {
		fail(j, ERR_ENGINE, "");
		return;
	}
	while (strstr(j->input, "SLOW") && !cancelled_ids[j->id % 4096]) {
		delta(j, ".", false);
		fakes_nap(5);
	}
	if (cancelled_ids[j->id % 4096]) {
		end(j, GEN_CANCELLED);
		return;
	}
	delta(j, "lo", false);
	if (strstr(j->input, "PROBS"))
		probs(j);
	end(j, strstr(j->input, "LENGTH") ? GEN_LENGTH : GEN_STOP);
}

static void *job_main(void *arg)
{
	struct job *j = arg;
	fakes_nap(2);
	play(j);
	fakes.ended++;
	mem_free(j);
	return NULL;
}

static void copy_text(struct str s, char *dst, size_t size)
{
	(void)!!str_copy(str_sub(s, 0, size - 1), dst, size);
}

static void record(const struct fleet_model *m, const struct gen_request *g)
{
	fakes.last = *g;
	copy_text(g->input, fakes.input, sizeof fakes.input);
	copy_text(g->schema, fakes.schema, sizeof fakes.schema);
	copy_text(g->tools, fakes.tools, sizeof fakes.tools);
	copy_text(g->tool_choice, fakes.choice, sizeof fakes.choice);
	copy_text(g->grammar, fakes.grammar, sizeof fakes.grammar);
	copy_text(g->suffix, fakes.suffix, sizeof fakes.suffix);
	copy_text(g->lead, fakes.lead, sizeof fakes.lead);
	copy_text(g->extra, fakes.extra, sizeof fakes.extra);
	copy_text(g->template_, fakes.used_template, sizeof fakes.used_template);
	for (size_t i = 0; i < 2 * g->n_bias && i < 8; i++)
		fakes.bias[i] = g->bias[i];
	fakes.stops[0] = 0;
	for (unsigned i = 0; i < g->n_stop; i++)
		snprintf(fakes.stops + strlen(fakes.stops),
			sizeof fakes.stops - strlen(fakes.stops), "%.*s|", STR_ARG(g->stop[i]));
	fakes.keep_alive_ms = m->keep_alive_ms;
}

static struct job *new_job(const struct fleet_model *m, fleet_sink sink, void *arg)
{
	struct job *j = mem_zalloc(1, sizeof *j);
	*j = (struct job){ .sink = sink, .arg = arg, .id = next_id++, .model = *m };
	return j;
}

static void run_job(struct job *j, void *(*fn)(void *), uint64_t *ret_id)
{
	pthread_t t;
	fakes.started++;
	*ret_id = j->id;
	CHECK_OK(thread_start("fake-fleet", 256 * 1024, fn, j, &t));
	pthread_detach(t);
}

enum err fleet_start(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	(void)f;
	if (str_find(g->input, STR("BUSY"), 0) != SIZE_MAX)
		return ERR_QUEUE;
	/* the second of several has no place any more */
	if (str_find(g->input, STR("CROWD"), 0) != SIZE_MAX && fakes.started)
		return ERR_QUEUE;
	record(m, g);
	fakes.seeds[fakes.started % 8] = g->sampling.seed;
	if (fakes.run_nothing)
		return ERR_BUSY;
	struct job *j = new_job(m, sink, arg);
	j->n_stop = g->n_stop;
	copy_text(g->input, j->input, sizeof j->input);
	run_job(j, job_main, ret_id);
	return OK;
}

/* A prompt has 26 tokens. */
static void *count_main(void *arg)
{
	struct job *j = arg;
	fakes_nap(2);
	if (strstr(j->input, "FAIL"))
		fail(j, ERR_ENGINE, "");
	else
		tell(j, (struct fleet_event){ .kind = FLEET_COUNTED, .counted = 26 });
	fakes.ended++;
	mem_free(j);
	return NULL;
}

enum err fleet_count(struct fleet *f, const struct fleet_model *m, const struct gen_request *g,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	(void)f;
	record(m, g);
	if (fakes.run_nothing || str_find(g->input, STR("BUSY"), 0) != SIZE_MAX)
		return ERR_QUEUE;
	struct job *j = new_job(m, sink, arg);
	copy_text(g->input, j->input, sizeof j->input);
	run_job(j, count_main, ret_id);
	return OK;
}

/* A text's tokens are its bytes; of others the bytes are the text. */
static void *tokens_main(void *arg)
{
	struct job *j = arg;
	int32_t ids[64], lens[64];
	size_t n = strlen(j->input);
	fakes_nap(2);
	for (size_t i = 0; i < n && i < 64; i++) {
		ids[i] = (unsigned char)j->input[i];
		lens[i] = 1;
	}
	if (strstr(j->input, "FAIL"))
		fail(j, ERR_INVALID, "tokens[0]: no");
	else
		tell(j,
			(struct fleet_event){ .kind = FLEET_TOKENED,
				.load_ns = 77,
				.tokened = { ids, lens, n, str_from(j->input) } });
	fakes.ended++;
	mem_free(j);
	return NULL;
}

enum err fleet_tokens(struct fleet *f, const struct fleet_model *m, const struct tokens_request *q,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	(void)f;
	if (fakes.run_nothing || str_find(q->text, STR("BUSY"), 0) != SIZE_MAX)
		return ERR_QUEUE;
	CHECK(q->text.len < 64 && q->n_tokens < 64);
	fakes.tokens = *q; /* its scalars */
	fakes.keep_alive_ms = m->keep_alive_ms;
	struct job *j = new_job(m, sink, arg);
	copy_text(q->text, j->input, sizeof j->input);
	for (size_t i = 0; i < q->n_tokens; i++)
		j->input[i] = (char)q->tokens[i];
	run_job(j, tokens_main, ret_id);
	return OK;
}

/* Rows of three values: the input's length, and two that are hard to write; rank: the length. */
struct embed_job {
	fleet_sink sink;
	void *arg;
	int32_t lens[8];
	size_t n;
	bool rank;
	enum err error;
};

static void *embed_main(void *arg)
{
	struct embed_job *j = arg;
	static const struct engine_info info = { .build = { "b1", 2 } };
	float values[24];
	struct fleet_event e = { .kind = FLEET_EMBEDDED, .engine = &info, .load_ns = 77 };
	for (size_t i = 0; i < j->n; i++) {
		float row[3] = { (float)j->lens[i] / 8, -0.1f, 1e-7f };
		memcpy(values + i * (j->rank ? 1 : 3), row, (j->rank ? 1 : 3) * sizeof *row);
	}
	e.embedded = (struct embed_done){ .values = values,
		.n_values = j->n * (j->rank ? 1 : 3),
		.counts = j->lens,
		.n = j->n,
		.dim = j->rank ? 1 : 3,
		.truncated = j->lens[0] > 20,
		.longest = 20 };
	if (j->error) {
		e.kind = FLEET_FAILED;
		e.failed = (struct gen_failed){ .code = j->error, .detail = STR("input 0: no") };
	}
	fakes_nap(2);
	j->sink(&e, j->arg);
	mem_free(j);
	return NULL;
}

enum err fleet_embed(struct fleet *f, const struct fleet_model *m, const struct embed_request *r,
	fleet_sink sink, void *arg, uint64_t *ret_id)
{
	(void)f;
	struct embed_job *j;
	pthread_t t;
	if (fakes.run_nothing || str_find(r->texts, STR("BUSY"), 0) != SIZE_MAX)
		return ERR_QUEUE;
	CHECK(r->n <= 8);
	fakes.embed = *r; /* its scalars */
	fakes.keep_alive_ms = m->keep_alive_ms;
	(void)!!str_copy(
		str_sub(r->texts, 0, sizeof fakes.input - 1), fakes.input, sizeof fakes.input);
	j = mem_zalloc(1, sizeof *j);
	*j = (struct embed_job){ .sink = sink, .arg = arg, .n = r->n, .rank = r->rank };
	memcpy(j->lens, r->lens, r->n * sizeof *r->lens);
	j->error = str_find(r->texts, STR("FAIL"), 0) != SIZE_MAX ? ERR_CONTEXT : OK;
	*ret_id = next_id++;
	CHECK_OK(thread_start("fake-embed", 256 * 1024, embed_main, j, &t));
	pthread_detach(t);
	return OK;
}

/* The jail: what says "PNG", or begins as one, is a picture of one pixel. */
enum err picture_decode(
	struct keeper_link *keeper, struct str bytes, struct picture *ret, struct err_info *info)
{
	(void)keeper;
	if (!str_eq(bytes, STR("PNG")) && !str_starts(bytes, STR("\x89PNG\r\n\x1a\n")))
		return err_set(
			info, ERR_INVALID, "it is not a picture: PNG, JPEG and WebP are read");
	*ret = (struct picture){ 1, 1, -1 };
	return fd_memfd("picture", STR("rgb"), &ret->rgb_fd);
}

void picture_done(struct picture *p)
{
	if (p->rgb_fd >= 0)
		(void)close(p->rgb_fd);
	*p = (struct picture){ .rgb_fd = -1 };
}

void fleet_cancel(struct fleet *f, uint64_t id)
{
	(void)f;
	fakes.cancelled++;
	cancelled_ids[id % 4096] = true;
}

enum err fleet_purge(struct fleet *f, uint64_t person, uint64_t object)
{
	(void)f;
	fakes.purged = (struct engine_purge){ person, object };
	fakes.purges++;
	return OK;
}

static void *load_main(void *arg)
{
	struct job *j = arg;
	fakes_nap(2);
	end(j, GEN_STOP);
	mem_free(j);
	return NULL;
}

enum err fleet_load(struct fleet *f, const struct fleet_model *m, fleet_sink sink, void *arg)
{
	(void)f;
	pthread_t t;
	if (fakes.run_nothing)
		return ERR_BUSY;
	struct job *j = mem_zalloc(1, sizeof *j);
	*j = (struct job){ .sink = sink, .arg = arg, .model = *m };
	fakes.keep_alive_ms = m->keep_alive_ms;
	fakes.loads++;
	CHECK_OK(thread_start("fake-load", 256 * 1024, load_main, j, &t));
	pthread_detach(t);
	return OK;
}

void fleet_unload(struct fleet *f, const char *digest)
{
	(void)f, (void)digest;
	fakes.unloads++;
}

size_t fleet_list(struct fleet *f, struct fleet_loaded *ret, size_t max)
{
	(void)f, (void)max;
	ret[0] = (struct fleet_loaded){ .name = "tiny:latest",
		.n_ctx = 4096,
		.n_seq = 8,
		.model_bytes = 1000,
		.kv_bytes = 200,
		.expires_ms = 1700000000000 };
	memset(ret[0].digest, 'b', 64);
	return 1;
}

bool fleet_is_full(struct fleet *f)
{
	(void)f;
	return false;
}

unsigned fleet_retry_after_s(struct fleet *f)
{
	(void)f;
	return 17;
}

enum err fleet_pin(struct fleet *f, const struct fleet_model *m, bool on)
{
	(void)f, (void)m;
	fakes.pinned = on;
	return OK;
}

bool fleet_is_pinned(struct fleet *f, const char *digest)
{
	(void)f, (void)digest;
	return fakes.pinned;
}

size_t fleet_status(struct fleet *f, struct fleet_status *ret, size_t max)
{
	(void)f, (void)max;
	ret[0] = (struct fleet_status){ .name = "tiny:latest",
		.state = FLEET_READY,
		.pinned = fakes.pinned,
		.n_ctx = 4096,
		.n_seq = 8,
		.running = { 2, 0, 1 },
		.waiting = { 3, 0, 0 },
		.model_bytes = 1000,
		.kv_bytes = 200,
		.resident_bytes = 1300,
		.loads = 2,
		.crashes = 1,
		.requests = 9,
		.load_ms = 420,
		.expires_ms = -1,
		.since_ms = 1700000000000,
		.settings = "as chosen",
		.tuned = "flash=off threads=2",
		.stats = { .tokens_in = 100, .tokens_cached = 60, .tokens_out = 50 } };
	memset(ret[0].digest, 'b', 64);
	/* first tokens: 4 within 25 ms, 4 within 100 ms, 2 beyond 30 s */
	ret[0].stats.first[0].n[1] = 4;
	ret[0].stats.first[0].n[3] = 4;
	ret[0].stats.first[0].n[STATS_BUCKETS - 1] = 2;
	ret[0].stats.first[0].sum_us = 61500000;
	return 1;
}

size_t fleet_quarantine(struct fleet *f, struct fleet_quarantined *ret, size_t max)
{
	(void)f, (void)max;
	ret[0] = (struct fleet_quarantined){ .model = "tiny:latest", .at_ms = 1700000000000 };
	memset(ret[0].digest, 'c', 64);
	return 1;
}

void machine_id(const struct machine *m, char ret[MACHINE_ID_MAX])
{
	(void)m;
	ret[0] = '\0';
}

enum err tuning_read(struct db *db, const char *digest, struct str machine, struct engine_load *ret)
{
	(void)db, (void)digest, (void)machine;
	snprintf(ret->tuned, sizeof ret->tuned, "flash=off threads=2");
	return OK;
}

enum err pin_store(struct db *db, struct str name, const char *engine, const char *person)
{
	(void)db, (void)name, (void)person;
	return OK;
}

enum err pin_remove(struct db *db, struct str name)
{
	(void)db, (void)name;
	return OK;
}

void fleet_totals(struct fleet *f, struct fleet_totals *ret)
{
	(void)f;
	*ret = (struct fleet_totals){
		.tokens_in = 100, .tokens_out = 50, .requests = 3, .queue_max = 512
	};
}
