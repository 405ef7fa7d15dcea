/* One model's requests: taking, sending, what its engine says of them; see fleet_int.h. */
#include "models/fleet_int.h"

#include "base/arena.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"

/* ---- telling sinks ---- */

static void count(struct fleet *f, const struct fleet_event *e)
{
	pthread_mutex_lock(&f->lock);
	if (e->kind == FLEET_DONE) {
		f->totals.requests++;
		f->totals.tokens_in += e->done.prompt_tokens;
		f->totals.tokens_out += e->done.answer_tokens;
	} else if (e->kind == FLEET_EMBEDDED) {
		f->totals.requests++;
		f->totals.tokens_in += request_embedded_tokens(&e->embedded);
	} else if (e->kind == FLEET_COUNTED || e->kind == FLEET_TOKENED) {
		f->totals.requests++;
	} else {
		f->totals.failed++;
	}
	pthread_mutex_unlock(&f->lock);
}

/* The last event: after it the sink's `arg` is not touched. Frees r, which is out of its slot. */
static void finish(struct fleet *f, struct request *r, const struct fleet_event *e)
{
	if (!r->load_only)
		count(f, e);
	atomic_fetch_sub(&f->queued, 1);
	atomic_fetch_sub(&f->queued_bytes, r->bytes);
	if (r->sink)
		r->sink(e, r->arg);
	request_free(r);
}

void request_fail(struct fleet *f, struct request *r, enum err why, struct str detail)
{
	finish(f, r,
		&(struct fleet_event){
			.kind = FLEET_FAILED, .failed = { .code = why, .detail = detail } });
}

void request_done_empty(struct fleet *f, struct request *r, enum gen_reason reason)
{
	finish(f, r, &(struct fleet_event){ .kind = FLEET_DONE, .done = { .reason = reason } });
}

struct request *unlink_request(struct slot *s, struct request *r)
{
	for (struct request **at = &s->requests; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			r->next = NULL;
			return r;
		}
	DIE("request is not in its slot");
}

void slot_fail_all(struct fleet *f, struct slot *s, enum err e, struct str why)
{
	while (s->requests)
		request_fail(f, unlink_request(s, s->requests), e, why);
}

/* ---- slots ---- */

struct slot *slot_find(struct fleet *f, const char *digest, const char *engine)
{
	for (struct slot *s = f->slots; s; s = s->next)
		if (!strcmp(s->model.digest, digest) && !strcmp(s->model.engine, engine))
			return s;
	return NULL;
}

struct slot *slot_new(struct fleet *f, const struct fleet_model *m)
{
	struct slot *s = mem_zalloc(1, sizeof *s), **last = &f->slots;
	if (!s)
		return NULL;
	s->state = SLOT_WANTED;
	s->model = *m;
	if (s->model.keep_alive_ms == FLEET_KEEP_AS_IS)
		s->model.keep_alive_ms = f->opt.keep_alive_ms;
	s->past = past_of(f, m);
	s->wanted_ms = time_mono_ms();
	while (*last)
		last = &(*last)->next; /* who asked first loads first */
	*last = s;
	return s;
}

void slot_free(struct fleet *f, struct slot *s)
{
	for (struct slot **at = &f->slots; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	s->past->used_ms = time_mono_ms();
	stats_add(&s->past->stats, &s->stats);
	ipc_free(s->chan);
	mem_free(s);
}

void slot_stop_engine(struct fleet *f, struct slot *s)
{
	struct job *j = s->chan ? mem_zalloc(1, sizeof *j) : NULL;
	if (s->chan && !j)
		DIE("no memory for a loader job");
	if (j) {
		j->kind = JOB_STOP;
		j->engine_id = s->engine_id;
		if (queue_put(f->jobs, j))
			DIE("the loaders' queue is full"); /* bounded by slots: a few jobs each */
	}
	s->chan = ipc_free(s->chan);
}

void slot_touch(struct fleet *f, struct slot *s)
{
	s->idle_since_ms = s->past->used_ms = time_mono_ms();
	bool pinned = slot_pinned(f, s->model.digest, s->model.engine);
	s->expires_mono_ms = s->model.keep_alive_ms < 0 || pinned
				     ? -1
				     : s->idle_since_ms + s->model.keep_alive_ms;
}

bool slot_running(const struct slot *s)
{
	for (const struct request *r = s->requests; r; r = r->next)
		if (r->state == REQUEST_SENT)
			return true;
	return false;
}

/* ---- taking requests ---- */

/* Until a request at this place begins, by what requests took here; -1: nothing is known. */
static int64_t estimate(const struct slot *s, unsigned ahead)
{
	int64_t wait = 0, now = time_mono_ms();
	if (s->state != SLOT_READY) {
		if (!s->past->load_ms)
			return -1;
		int64_t since = s->state == SLOT_LOADING ? now - s->loading_ms : 0;
		wait = since < s->past->load_ms ? s->past->load_ms - since : 0;
	}
	unsigned together = s->info.n_seq ? s->info.n_seq : 1, rounds = ahead / together;
	if (rounds && s->request_ms <= 0)
		return -1;
	return wait + (int64_t)(rounds * s->request_ms);
}

static void tell_queued(const struct slot *s, const struct request *r)
{
	unsigned ahead = 0;
	for (const struct request *o = s->requests; o && o != r; o = o->next)
		ahead++;
	if (!r->sink || (s->state == SLOT_READY && ahead < s->info.n_seq))
		return;
	r->sink(&(struct fleet_event){ .kind = FLEET_QUEUED,
			.position = ahead + 1,
			.estimate_ms = estimate(s, ahead),
			.loading = s->state != SLOT_READY },
		r->arg);
}

/* The newest name and what it says of keeping count; if it says nothing, what was said before. */
static void take_model(struct slot *s, const struct fleet_model *m)
{
	int64_t keep = m->keep_alive_ms == FLEET_KEEP_AS_IS ? s->model.keep_alive_ms
							     : m->keep_alive_ms;
	char eyes[65]; /* an engine that sees answers those as well who have nothing to show */
	memcpy(eyes, s->model.projector, sizeof eyes);
	s->model = *m;
	s->model.keep_alive_ms = keep;
	if (!m->projector[0])
		memcpy(s->model.projector, eyes, sizeof eyes);
}

/* Is it loaded, or being loaded, without the projector that this request needs? */
static bool is_blind(const struct slot *s, const struct fleet_model *m)
{
	return s->state != SLOT_WANTED && m->projector[0] &&
	       strcmp(m->projector, s->model.projector) != 0;
}

void slot_take_request(struct fleet *f, struct request *r)
{
	if (!r->load_only && quarantined(f, r)) {
		request_fail(f, r, ERR_ENGINE,
			STR("this request made the model's process fail before, alone; it is not "
			    "tried again"));
		return;
	}
	if (r->model.require_gpu && !(f->opt.cards && f->opt.cards->n)) {
		request_fail(f, r, ERR_UNSUPPORTED,
			STR("a GPU is required, and this machine has none that may be used"));
		return;
	}
	if (!r->model.engine[0])
		memcpy(r->model.engine, f->current, sizeof r->model.engine);
	struct slot *s = slot_find(f, r->model.digest, r->model.engine);
	if (s && is_blind(s, &r->model)) {
		if (s->state == SLOT_LOADING || s->requests) {
			request_fail(f, r, ERR_BUSY,
				STR("the same model is at work without this one's projector; try "
				    "again when it has answered"));
			return;
		}
		slot_stop_engine(f, s);
		slot_free(f, s);
		s = NULL;
	}
	if (s && s->state == SLOT_READY && r->model.require_gpu && !s->info.gpu) {
		request_fail(f, r, ERR_UNSUPPORTED,
			STR("a GPU is required, but the model runs on the processor"));
		return;
	}
	if (!s)
		s = slot_new(f, &r->model);
	if (!s) {
		request_fail(f, r, ERR_NOMEM, STR_NONE);
		return;
	}
	take_model(s, &r->model);
	s->unload_asked = false;
	slot_touch(f, s);
	if (r->load_only && s->state == SLOT_READY) { /* there already */
		fleet_publish(f); /* who is told looks at once how long it stays */
		request_done_empty(f, r, GEN_STOP);
		return;
	}
	struct request **end = &s->requests;
	while (*end)
		end = &(*end)->next;
	*end = r;
	if (!r->load_only)
		s->past->requests++;
	tell_queued(s, r);
}

static void send_cancel(struct slot *s, const struct request *r)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GEN_CANCEL, r->id);
	(void)ipc_send(s->chan, &m); /* a closed channel is noticed by its reader */
}

void slot_cancel(struct fleet *f, uint64_t id)
{
	for (struct slot *s = f->slots; s; s = s->next)
		for (struct request *r = s->requests; r; r = r->next) {
			if (r->id != id)
				continue;
			r->cancelled = true;
			if (r->state == REQUEST_SENT && s->chan)
				send_cancel(s, r); /* its GEN_DONE ends it */
			else if (r->state != REQUEST_SENT)
				request_done_empty(f, unlink_request(s, r), GEN_CANCELLED);
			slot_touch(f, s);
			return;
		}
}

void slot_unload(struct fleet *f, const char *digest)
{
	for (struct slot *s = f->slots; s; s = s->next)
		if (!strcmp(s->model.digest, digest) &&
			!slot_pinned(f, digest, s->model.engine))
			s->unload_asked = true;
}

/* ---- sending requests ---- */

/* Only a strict request asks for the same bytes every time: with another build or other settings
 * what comes after the tokens it has would not belong to them. */
static bool changed_under(const struct slot *s, const struct request *r)
{
	return r->gen.strict && r->told_begun &&
	       (strcmp(r->began_build, s->build) != 0 || r->began_step != s->past->step);
}

static enum err send_request(struct slot *s, struct request *r)
{
	if (r->embed)
		return request_send_embed(s, r);
	if (r->tokens_ask)
		return request_send_tokens(s, r);
	AUTO_IPC_OUT struct ipc_out m;
	struct gen_request g = r->gen;
	g.resume = (const int32_t *)(const void *)r->tokens.ptr;
	g.n_resume = r->tokens.len / sizeof(int32_t);
	if (g.deadline_ms) { /* it counts from the arrival here */
		g.deadline_ms -= (time_mono_ns() - r->arrived_ns) / 1000000;
		g.deadline_ms = g.deadline_ms < 1 ? 1 : g.deadline_ms;
	}
	ipc_out_init(&m, r->count ? ENGINE_COUNT : GEN_START, r->id);
	gen_request_put(&m, &g);
	return ipc_send(s->chan, &m);
}

static void send_or_fail(struct fleet *f, struct slot *s, struct request *r, bool *ret_stop)
{
	if (changed_under(s, r)) {
		request_fail(f, unlink_request(s, r), ERR_ENGINE,
			STR("the engine was started again with another build or other settings: a "
			    "strict answer cannot go on; ask again"));
		return;
	}
	if (!slot_running(s))
		s->progress_ms = time_mono_ms();
	enum err e = send_request(s, r);
	/* ERR_CLOSED: the reader sees the end of the channel too, and handles it. ERR_LIMIT: the
	 * channel is full; it goes out later. */
	*ret_stop = e == ERR_CLOSED || e == ERR_LIMIT;
	if (!e)
		r->state = REQUEST_SENT;
	else if (!*ret_stop)
		request_fail(f, unlink_request(s, r), e, STR_NONE);
}

void slot_send_waiting(struct fleet *f, struct slot *s)
{
	struct request *suspect = NULL;
	bool stop = false;
	for (struct request *r = s->requests; r && !suspect; r = r->next)
		if (r->suspect)
			suspect = r;
	if (s->yield || s->full || (suspect && slot_running(s)))
		return; /* a suspect runs alone, or waits until the others have ended */
	for (struct request *r = suspect ? suspect : s->requests, *next; r && !stop; r = next) {
		next = suspect ? NULL : r->next;
		if (r->state != REQUEST_SENT && !r->load_only)
			send_or_fail(f, s, r, &stop);
	}
}

/* ---- what engines say ---- */

static struct request *request_of(struct slot *s, uint64_t id)
{
	for (struct request *r = s->requests; r; r = r->next)
		if (r->id == id && r->state == REQUEST_SENT)
			return r;
	return NULL;
}

static enum err on_begun(struct slot *s, struct request *r, struct ipc_in *m)
{
	struct fleet_event e = { .kind = FLEET_BEGUN,
		.engine = &s->info,
		.build = s->engine,
		.gpu_missed = s->gpu_missed,
		.load_ns = r->load_ns };
	TRY(gen_begun_get(m, &e.begun));
	bool first = !r->told_begun;
	r->begun = r->told_begun = true;
	r->gen.sampling.seed = e.begun.seed; /* a second run makes the same choices */
	if (!first)
		return OK;
	memcpy(r->began_build, s->build, sizeof r->began_build);
	r->began_step = s->past->step;
	r->sink(&e, r->arg);
	return OK;
}

static enum err on_delta(struct request *r, struct ipc_in *m)
{
	struct fleet_event e = { .kind = FLEET_DELTA };
	TRY(gen_delta_get(m, &e.delta));
	TRY(buf_add(&r->tokens,
		(struct str){ (const char *)e.delta.tokens, e.delta.n_tokens * sizeof(int32_t) }));
	r->tokens_alone += e.delta.n_tokens;
	if (r->suspect && r->tokens_alone >= FLEET_TRUST_TOKENS)
		r->suspect = false;
	size_t skip = r->text_skip < e.delta.text.len ? r->text_skip : e.delta.text.len;
	r->text_skip -= skip;
	e.delta.text = str_sub(e.delta.text, skip, e.delta.text.len - skip);
	r->text_sent += e.delta.text.len;
	if (e.delta.text.len || e.delta.n_tokens)
		r->sink(&e, r->arg);
	return OK;
}

static enum err on_queued(struct request *r, struct ipc_in *m)
{
	struct gen_queued q;
	TRY(gen_queued_get(m, &q));
	if (!r->told_begun)
		r->sink(&(struct fleet_event){ .kind = FLEET_QUEUED,
				.position = q.position,
				.estimate_ms = q.estimate_ms },
			r->arg);
	return OK;
}

static void learn_time(struct slot *s, const struct gen_done *d)
{
	double ms = (double)(d->prompt_ns + d->answer_ns) / 1e6;
	s->request_ms = s->request_ms > 0 ? 0.8 * s->request_ms + 0.2 * ms : ms;
}

static enum err read_end(
	struct slot *s, const struct request *r, struct ipc_in *m, struct fleet_event *e)
{
	switch (m->type) {
	case GEN_DONE:
		TRY(gen_done_get(m, &e->done));
		learn_time(s, &e->done);
		return OK;
	case ENGINE_EMBEDDED:
		return request_embedded(r, m, e);
	case ENGINE_TOKENED:
		return request_tokened(r, m, e);
	case ENGINE_COUNTED:
		return request_counted(r, m, e);
	default:
		e->kind = FLEET_FAILED;
		return gen_failed_get(m, &e->failed);
	}
}

static enum err on_end(struct fleet *f, struct slot *s, struct request *r, struct ipc_in *m)
{
	struct fleet_event e = { .kind = FLEET_DONE,
		.engine = &s->info,
		.build = s->engine,
		.load_ns = r->load_ns };
	TRY(read_end(s, r, m, &e));
	if (e.kind == FLEET_FAILED && e.failed.code == ERR_BUSY && (!r->begun || r->embed)) {
		r->state = REQUEST_WAITING; /* accepted here: it waits here */
		r->begun = false;
		s->full = true;
		return OK;
	}
	s->full = false;
	s->past->failed += e.kind == FLEET_FAILED;
	death_survived(s);
	slot_touch(f, s);
	finish(f, unlink_request(s, r), &e);
	return OK;
}

static enum err on_stats(struct slot *s, struct ipc_in *m, int64_t now)
{
	TRY(engine_stats_get(m, &s->stats));
	uint64_t tokens = s->stats.tokens_in + s->stats.tokens_out + s->stats.tokens_cached;
	if (tokens != s->progress_tokens)
		s->progress_ms = now;
	s->progress_tokens = tokens;
	return OK;
}

/* It measured what suits the model here: known from now on, and kept for its next start. */
static enum err on_tuned(struct fleet *f, struct slot *s, struct ipc_in *m)
{
	struct str line = ipc_get_str(m);
	if (line.len > ENGINE_TUNED_MAX || !str_is_utf8(line) || str_has_control(line))
		return ERR_PROTOCOL;
	TRY(ipc_end(m));
	TRY(str_copy(line, s->tuned, sizeof s->tuned));
	s->info.tuned = str_from(s->tuned);
	struct job *j = mem_zalloc(1, sizeof *j);
	if (!j)
		return OK; /* it measures again at its next start */
	j->kind = JOB_TUNED;
	memcpy(j->digest, s->model.digest, sizeof j->digest);
	memcpy(j->load.tuned, s->tuned, sizeof j->load.tuned);
	(void)!!str_copy(s->info.build, j->load.tuned_build, sizeof j->load.tuned_build);
	if (queue_put(f->jobs, j))
		mem_free(j);
	return OK;
}

static enum err on_message(struct fleet *f, struct slot *s, struct ipc_in *m)
{
	int64_t now = time_mono_ms();
	if (m->type == ENGINE_STATS)
		return on_stats(s, m, now);
	if (m->type == ENGINE_TUNED)
		return on_tuned(f, s, m);
	struct request *r = request_of(s, m->id);
	if (!r)
		return OK; /* late words about a request that has ended */
	if (m->type != GEN_QUEUED)
		s->progress_ms = now;
	switch (m->type) {
	case GEN_BEGUN:
		return on_begun(s, r, m);
	case GEN_DELTA:
		return on_delta(r, m);
	case GEN_QUEUED:
		return on_queued(r, m);
	case GEN_DONE:
	case GEN_FAILED:
	case ENGINE_EMBEDDED:
	case ENGINE_COUNTED:
	case ENGINE_TOKENED:
		return on_end(f, s, r, m);
	default:
		return ERR_PROTOCOL;
	}
}

void slot_channel_ready(struct fleet *f, struct slot *s)
{
	enum err e = ipc_flush(s->chan);
	while (!e) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		e = ipc_recv(s->chan, &m);
		if (!e)
			e = on_message(f, s, &m);
	}
	if (e == ERR_AGAIN)
		return;
	if (e != ERR_CLOSED)
		log_error("an engine sent what is not allowed", KV_ERR(e));
	death_lost(f, s, e == ERR_CLOSED ? NULL : "it sent what is not allowed");
}

void slot_free_all(struct fleet *f)
{
	while (f->slots) {
		slot_fail_all(f, f->slots, ERR_CLOSED, STR("the server is stopping"));
		slot_free(f, f->slots);
	}
}
