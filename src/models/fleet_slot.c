/* What happens to one loaded model and its requests; see fleet_int.h for states and invariants. */
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
	if (r->sink)
		r->sink(e, r->arg);
	request_free(r);
}

static void fail(struct fleet *f, struct request *r, enum err why, struct str detail)
{
	finish(f, r,
		&(struct fleet_event){
			.kind = FLEET_FAILED, .failed = { .code = why, .detail = detail } });
}

static void done_empty(struct fleet *f, struct request *r, enum gen_reason reason)
{
	finish(f, r, &(struct fleet_event){ .kind = FLEET_DONE, .done = { .reason = reason } });
}

static struct request *unlink_request(struct slot *s, struct request *r)
{
	for (struct request **at = &s->requests; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			r->next = NULL;
			return r;
		}
	DIE("request is not in its slot");
}

/* ---- slots ---- */

static struct slot *slot_find(struct fleet *f, const char *digest)
{
	for (struct slot *s = f->slots; s; s = s->next)
		if (!strcmp(s->model.digest, digest))
			return s;
	return NULL;
}

static void slot_free(struct fleet *f, struct slot *s)
{
	for (struct slot **at = &f->slots; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	ipc_free(s->chan);
	mem_free(s);
}

static void job_put(struct fleet *f, enum job_kind kind, const struct slot *s)
{
	struct job *j = mem_zalloc(1, sizeof *j);
	if (!j)
		DIE("no memory for a loader job");
	j->kind = kind;
	j->engine_id = s->engine_id;
	memcpy(j->digest, s->model.digest, sizeof j->digest);
	if (queue_put(f->jobs, j))
		DIE("the loader's queue is full"); /* bounded by slots: at most two jobs each */
}

static void slot_stop_engine(struct fleet *f, struct slot *s)
{
	if (s->chan)
		job_put(f, JOB_STOP, s);
	s->chan = ipc_free(s->chan);
}

static void touch(struct slot *s)
{
	s->idle_since_ms = time_mono_ms();
	s->expires_mono_ms =
		s->model.keep_alive_ms < 0 ? -1 : s->idle_since_ms + s->model.keep_alive_ms;
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
			.loading = s->state != SLOT_READY },
		r->arg);
}

void slot_take_request(struct fleet *f, struct request *r)
{
	struct slot *s = slot_find(f, r->model.digest);
	if (!s) {
		s = mem_zalloc(1, sizeof *s);
		if (!s) {
			fail(f, r, ERR_NOMEM, STR_NONE);
			return;
		}
		s->state = SLOT_WANTED;
		struct slot **last = &f->slots;
		while (*last)
			last = &(*last)->next; /* who asked first loads first */
		*last = s;
	}
	s->model = r->model; /* the newest name and keep-alive count */
	s->unload_asked = false;
	touch(s);
	if (r->load_only && s->state == SLOT_READY) { /* there already */
		done_empty(f, r, GEN_STOP);
		return;
	}
	struct request **end = &s->requests;
	while (*end)
		end = &(*end)->next;
	*end = r;
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
			if (r->state == REQUEST_SENT)
				send_cancel(s, r); /* its GEN_DONE ends it */
			else
				done_empty(f, unlink_request(s, r), GEN_CANCELLED);
			touch(s);
			return;
		}
}

void slot_unload(struct fleet *f, const char *digest)
{
	struct slot *s = slot_find(f, digest);
	if (s)
		s->unload_asked = true;
}

/* ---- loading ---- */

void slot_loaded(struct fleet *f, struct command *c)
{
	struct slot *s = slot_find(f, c->digest);
	if (!s || s->state != SLOT_LOADING) {
		if (c->chan_fd >= 0)
			close(c->chan_fd);
		return;
	}
	enum err e = c->err;
	if (!e)
		e = ipc_new(c->chan_fd, &s->chan);
	if (e) {
		struct str why = str_from(c->why.detail[0] ? c->why.detail : err_text(e));
		while (s->requests)
			fail(f, unlink_request(s, s->requests), e, why);
		slot_free(f, s);
		return;
	}
	s->engine_id = c->engine_id;
	s->info = c->loaded.info;
	memcpy(s->build, c->loaded.build, sizeof s->build);
	memcpy(s->template_hash, c->loaded.template_hash, sizeof s->template_hash);
	memcpy(s->architecture, c->loaded.architecture, sizeof s->architecture);
	memcpy(s->description, c->loaded.description, sizeof s->description);
	s->info.build = str_from(s->build);
	s->info.template_hash = str_from(s->template_hash);
	s->info.architecture = str_from(s->architecture);
	s->info.description = str_from(s->description);
	s->state = SLOT_READY;
	touch(s);
	int64_t now = time_mono_ns();
	for (struct request *r = s->requests, *next; r; r = next) {
		next = r->next;
		r->load_ns = now - r->arrived_ns;
		if (r->load_only)
			done_empty(f, unlink_request(s, r), GEN_STOP);
	}
}

/* An engine is gone (crash, bad message): who was in its batch is suspect and runs again alone. */
static void slot_crashed(struct fleet *f, struct slot *s)
{
	log_warn("engine died", KV_STR("model", str_from(s->model.digest)),
		KV_I64("engine", s->engine_id));
	slot_stop_engine(f, s);
	pthread_mutex_lock(&f->lock);
	f->totals.crashes++;
	pthread_mutex_unlock(&f->lock);
	unsigned sent = 0;
	for (struct request *r = s->requests; r; r = r->next)
		sent += r->state == REQUEST_SENT;
	for (struct request *r = s->requests, *next; r; r = next) {
		next = r->next;
		if (r->state != REQUEST_SENT)
			continue;
		r->crashes++;
		bool guilty = (sent == 1 && r->suspect) || r->crashes >= FLEET_CRASHES_MAX;
		if (r->cancelled)
			done_empty(f, unlink_request(s, r), GEN_CANCELLED);
		else if (guilty)
			fail(f, unlink_request(s, r), ERR_ENGINE,
				STR("the model's process failed on this request again; it is not "
					"tried any more"));
		else {
			r->state = REQUEST_WAITING;
			r->begun = false;
			r->suspect = true;
			r->text_skip = r->text_sent;
			r->tokens_alone = 0;
		}
	}
	s->state = SLOT_WANTED;
}

/* ---- sending requests ---- */

static enum err send_request(struct slot *s, struct request *r)
{
	if (r->embed)
		return request_send_embed(s, r);
	AUTO_IPC_OUT struct ipc_out m;
	struct gen_request g = r->gen;
	g.resume = (const int32_t *)(const void *)r->tokens.ptr;
	g.n_resume = r->tokens.len / sizeof(int32_t);
	ipc_out_init(&m, GEN_START, r->id);
	gen_request_put(&m, &g);
	return ipc_send(s->chan, &m);
}

static void send_waiting(struct fleet *f, struct slot *s)
{
	struct request *suspect = NULL;
	bool running = false;
	for (struct request *r = s->requests; r; r = r->next) {
		running |= r->state == REQUEST_SENT;
		if (r->suspect && !suspect)
			suspect = r;
	}
	if (suspect && running)
		return; /* the suspect runs alone, or waits until the others have ended */
	for (struct request *r = suspect ? suspect : s->requests, *next; r; r = next) {
		next = suspect ? NULL : r->next;
		if (r->state == REQUEST_SENT)
			continue;
		enum err e = send_request(s, r);
		if (e == ERR_CLOSED)
			return; /* the reader sees the end of the channel too, and handles it */
		if (e)
			fail(f, unlink_request(s, r), e, STR_NONE);
		else
			r->state = REQUEST_SENT;
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
	struct fleet_event e = { .kind = FLEET_BEGUN, .engine = &s->info, .load_ns = r->load_ns };
	TRY(gen_begun_get(m, &e.begun));
	bool first = !r->told_begun;
	r->begun = r->told_begun = true;
	r->gen.sampling.seed = e.begun.seed; /* a second run makes the same choices */
	if (first)
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

static enum err on_end(struct fleet *f, struct slot *s, struct request *r, struct ipc_in *m)
{
	struct fleet_event e = { .kind = FLEET_DONE, .engine = &s->info, .load_ns = r->load_ns };
	if (m->type == GEN_DONE) {
		TRY(gen_done_get(m, &e.done));
	} else if (m->type == ENGINE_EMBEDDED) {
		TRY(request_embedded(r, m, &e));
	} else {
		e.kind = FLEET_FAILED;
		TRY(gen_failed_get(m, &e.failed));
	}
	touch(s);
	finish(f, unlink_request(s, r), &e);
	return OK;
}

static enum err on_message(struct fleet *f, struct slot *s, struct ipc_in *m)
{
	if (m->type == ENGINE_STATS)
		return engine_stats_get(m, &s->stats);
	struct request *r = request_of(s, m->id);
	if (!r)
		return OK; /* late words about a request that has ended */
	switch (m->type) {
	case GEN_BEGUN:
		return on_begun(s, r, m);
	case GEN_DELTA:
		return on_delta(r, m);
	case GEN_DONE:
	case GEN_FAILED:
	case ENGINE_EMBEDDED:
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
	slot_crashed(f, s);
}

/* ---- time ---- */

static bool slot_idle(const struct slot *s)
{
	return s->state == SLOT_READY && !s->requests;
}

static bool slot_expired(const struct slot *s, int64_t now)
{
	return slot_idle(s) &&
	       (s->unload_asked || (s->expires_mono_ms >= 0 && s->expires_mono_ms <= now));
}

/* Room for one more engine: counts the running ones and stops the idle one used longest ago. */
static bool make_room(struct fleet *f)
{
	unsigned running = 0;
	struct slot *oldest = NULL;
	for (struct slot *s = f->slots; s; s = s->next) {
		running += s->state != SLOT_WANTED;
		if (slot_idle(s) && (!oldest || s->idle_since_ms < oldest->idle_since_ms))
			oldest = s;
	}
	if (running < f->opt.max_engines)
		return true;
	if (!oldest)
		return false;
	slot_stop_engine(f, oldest);
	slot_free(f, oldest);
	return true;
}

void slot_run_all(struct fleet *f)
{
	int64_t now = time_mono_ms();
	for (struct slot *s = f->slots, *next; s; s = next) {
		next = s->next;
		if (slot_expired(s, now)) {
			slot_stop_engine(f, s);
			slot_free(f, s);
		} else if (s->state == SLOT_WANTED && !s->requests) {
			slot_free(f, s); /* everybody who wanted it has gone */
		}
	}
	for (struct slot *s = f->slots; s; s = s->next)
		if (s->state == SLOT_WANTED) {
			if (!make_room(f))
				break;
			s->state = SLOT_LOADING;
			job_put(f, JOB_LOAD, s);
			break; /* make_room may have freed the next slot: come again at once */
		}
	for (struct slot *s = f->slots; s; s = s->next)
		if (s->state == SLOT_READY)
			send_waiting(f, s);
}

int slot_next_deadline(struct fleet *f)
{
	int64_t now = time_mono_ms(), wait = -1;
	for (struct slot *s = f->slots; s; s = s->next) {
		int64_t left = -1;
		if (s->state == SLOT_WANTED)
			left = 200; /* no room was free: look again */
		else if (slot_idle(s) && s->unload_asked)
			left = 0;
		else if (slot_idle(s) && s->expires_mono_ms >= 0)
			left = s->expires_mono_ms > now ? s->expires_mono_ms - now : 0;
		if (left >= 0 && (wait < 0 || left < wait))
			wait = left;
	}
	return wait > 60000 ? 60000 : (int)wait;
}

void slot_free_all(struct fleet *f)
{
	while (f->slots) {
		struct slot *s = f->slots;
		while (s->requests)
			fail(f, unlink_request(s, s->requests), ERR_CLOSED,
				STR("the server is stopping"));
		slot_free(f, s);
	}
}
