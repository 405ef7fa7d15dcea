/* The ends of engines: why, what is tried next, whose fault it was.
 *
 * A fault (abort, illegal instruction, bad access, no memory, no progress, an exit with an error)
 * is the engine's own: the next start is one step safer, and who was in the batch runs alone,
 * oldest first. A kill from outside is nobody's fault: the same settings, the same batch, unless it
 * happens again and again with nothing answered in between. */
#include "models/fleet_int.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "base/crypto.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/time.h"

/* Each row adds to those above it. */
const struct fleet_step fleet_steps[] = {
	{ "as chosen", -1, 0, 1, 1 },
	{ "safer: flash attention off, micro-batches of 128", 0, 128, 1, 1 },
	{ "safer: also half the context", 0, 128, 2, 1 },
	{ "safest: also a quarter of the requests together", 0, 128, 2, 4 },
};
const unsigned fleet_step_count = sizeof fleet_steps / sizeof *fleet_steps;

enum { KILLS_FOR_FAULT = 6 /* deaths in a row by somebody else, nothing answered: look at us */ };

/* ---- quarantine ---- */

/* Everything that decides what the engine does with it. */
static void digest_of(const struct request *r, char hex[65])
{
	struct sha256 h;
	uint8_t sum[SHA256_LEN];
	const struct str parts[] = { str_from(r->model.digest), r->gen.input, r->gen.tools,
		r->gen.schema, r->gen.suffix, r->gen.lead, r->gen.extra, r->gen.template_ };
	uint64_t kind = r->gen.kind * 4 + r->count * 2 + r->gen.raw;
	sha256_init(&h);
	sha256_add(&h, &kind, sizeof kind);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		uint64_t len = parts[i].len;
		sha256_add(&h, &len, sizeof len);
		sha256_add(&h, parts[i].ptr, parts[i].len);
	}
	for (unsigned i = 0; i < r->gen.n_pictures; i++)
		sha256_add(&h, r->gen.picture[i].hash, sizeof r->gen.picture[i].hash);
	if (r->embed)
		request_embed_hash(r->embed, &h);
	if (r->tokens_ask)
		request_tokens_hash(r->tokens_ask, &h);
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, hex);
}

bool quarantined(struct fleet *f, const struct request *r)
{
	char hex[65];
	size_t n = f->n_bad < FLEET_QUARANTINE_MAX ? f->n_bad : FLEET_QUARANTINE_MAX;
	if (!n)
		return false;
	digest_of(r, hex);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(f->bad[i].digest, hex) && !strcmp(f->bad[i].build, f->last_build))
			return true;
	return false;
}

static void convict(struct fleet *f, struct slot *s, const struct request *r)
{
	struct fleet_quarantined q = { .at_ms = time_now_ms() };
	digest_of(r, q.digest);
	memcpy(q.model, s->model.name, sizeof q.model);
	memcpy(q.build, f->last_build, sizeof q.build);
	log_error("a request is quarantined: the engine died with it alone",
		KV_Z("model", q.model), KV_Z("request", q.digest));
	pthread_mutex_lock(&f->lock);
	f->bad[f->n_bad++ % FLEET_QUARANTINE_MAX] = q;
	pthread_mutex_unlock(&f->lock);
	s->past->quarantined++;
	if (f->opt.report)
		f->opt.report(f->opt.arg, &(struct fleet_report){ q.model, q.digest, q.build });
}

/* ---- judging ---- */

static bool is_fault(const struct slot *s, const struct fleet_gone *g)
{
	return s->verdict || g->oom || g->signal != SIGKILL ||
	       s->past->deaths >= KILLS_FOR_FAULT;
}

static void describe(const struct slot *s, const struct fleet_gone *g, char ret[64])
{
	if (s->verdict)
		snprintf(ret, 64, "%s", s->verdict);
	else if (g->oom)
		snprintf(ret, 64, "out of memory");
	else if (g->signal)
		snprintf(ret, 64, "signal %" PRIu64, g->signal);
	else
		snprintf(ret, 64, "exit code %" PRIu64, g->code);
}

/* What the next start does otherwise, and when it may be. */
static void plan_restart(struct slot *s, const struct fleet_gone *g)
{
	struct past *p = s->past;
	bool fault = is_fault(s, g);
	death_forgive(s, time_mono_ms());
	unsigned doublings = p->deaths < 10 ? p->deaths : 10;
	int64_t pause = (int64_t)FLEET_PAUSE_MS << doublings;
	p->deaths++;
	p->crashes++;
	p->retry_ms = time_mono_ms() + (pause < FLEET_PAUSE_MAX_MS ? pause : FLEET_PAUSE_MAX_MS);
	if (fault && g->signal == SIGILL)
		p->cpu_less++; /* an instruction this machine only claims to have */
	if (fault && p->step + 1 < fleet_step_count)
		p->step++;
}

static void judge_request(
	struct fleet *f, struct slot *s, struct request *r, bool fault, bool alone)
{
	bool guilty = fault && alone && r->suspect;
	if (fault)
		r->crashes++;
	else
		r->kills++;
	if (r->cancelled) {
		request_done_empty(f, unlink_request(s, r), GEN_CANCELLED);
		return;
	}
	if (guilty)
		convict(f, s, r);
	if (guilty || r->crashes >= FLEET_CRASHES_MAX || r->kills >= FLEET_KILLS_MAX) {
		s->past->failed++;
		request_fail(f, unlink_request(s, r), ERR_ENGINE,
			STR("the model's process failed on this request again; it is not tried any "
			    "more"));
		return;
	}
	r->state = REQUEST_WAITING;
	r->begun = false;
	r->suspect = fault;
	r->text_skip = r->text_sent;
	r->tokens_alone = 0;
}

static void judge(struct fleet *f, struct slot *s, const struct fleet_gone *g)
{
	char why[64];
	bool fault = is_fault(s, g);
	unsigned sent = 0;
	describe(s, g, why);
	log_warn("engine died", KV_Z("model", s->model.name), KV_Z("why", why),
		KV_I64("deaths", s->past->deaths + 1));
	for (struct request *r = s->requests; r; r = r->next)
		sent += r->state == REQUEST_SENT;
	plan_restart(s, g);
	pthread_mutex_lock(&f->lock);
	f->totals.crashes++;
	pthread_mutex_unlock(&f->lock);
	for (struct request *r = s->requests, *next; r; r = next) {
		next = r->next;
		if (r->state == REQUEST_SENT)
			judge_request(f, s, r, fault, sent == 1);
	}
	stats_add(&s->past->stats, &s->stats);
	s->stats = (struct engine_stats){ 0 };
	s->state = SLOT_WANTED;
	s->wanted_ms = time_mono_ms();
	s->gone_known = s->yield = s->full = false;
	s->verdict = NULL;
	s->rss = s->own = s->progress_tokens = 0;
}

/* Without the keeper's word it counts as a fault: the careful reading. */
static struct fleet_gone word_of(const struct slot *s)
{
	return s->gone_known ? s->gone
			     : (struct fleet_gone){ .engine_id = s->engine_id, .signal = SIGABRT };
}

void death_lost(struct fleet *f, struct slot *s, const char *verdict)
{
	s->verdict = verdict;
	slot_stop_engine(f, s);
	s->state = SLOT_DEAD;
	s->judge_ms = time_mono_ms() + FLEET_JUDGE_MS;
	if (s->gone_known || s->verdict) {
		struct fleet_gone g = word_of(s);
		judge(f, s, &g);
	}
}

void death_gone(struct fleet *f, const struct fleet_gone *g)
{
	for (struct slot *s = f->slots; s; s = s->next) {
		bool ours = s->state == SLOT_LOADING
				    ? g->engine_id > s->engine_id &&
					      !strcmp(s->model.digest, g->digest) &&
					      !strcmp(s->model.engine, g->engine)
				    : s->engine_id == g->engine_id;
		if (!ours || s->state == SLOT_WANTED)
			continue;
		s->gone = *g;
		s->gone_known = true;
		if (s->state == SLOT_DEAD)
			judge(f, s, g);
	}
}

void death_at_load(struct fleet *f, struct slot *s, const char *why)
{
	struct fleet_gone g = word_of(s);
	unsigned most = g.signal == SIGKILL && !g.oom ? 4 * FLEET_LOADS_MAX : fleet_step_count;
	judge(f, s, &g);
	if (s->past->deaths < most)
		return;
	char text[ERR_DETAIL_MAX];
	snprintf(text, sizeof text, "%s%s", g.oom ? "not enough memory: " : "not a usable model: ",
		why);
	slot_fail_all(f, s, g.oom ? ERR_NOMEM : ERR_MODEL_BAD, str_from(text));
	slot_free(f, s);
}

void death_watch(struct fleet *f, struct slot *s, int64_t now)
{
	if (s->state == SLOT_DEAD && now >= s->judge_ms) {
		struct fleet_gone g = word_of(s);
		judge(f, s, &g);
	} else if (s->state == SLOT_READY && slot_running(s) &&
		   now - s->progress_ms >= f->opt.stall_ms) {
		log_error("an engine makes no progress and is ended",
			KV_Z("model", s->model.name), KV_I64("ms", now - s->progress_ms));
		death_lost(f, s, "no token for too long");
	}
}

void death_forgive(struct slot *s, int64_t now)
{
	if (s->ready_ms && now - s->ready_ms >= FLEET_WORKED_MS)
		s->past->step = s->past->cpu_less = 0;
}

void death_survived(struct slot *s)
{
	s->past->deaths = 0;
}
