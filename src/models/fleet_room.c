/* Which engines run: loading, making room, pins, expiry. The decisions are plan.c's. */
#include "models/fleet_int.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"

enum { GPU_HOST_BYTES = 512 * 1024 * 1024 /* of RAM, beside a model on the card */ };

/* ---- pins ---- */

struct pin *pin_find(struct fleet *f, const char *digest, const char *engine)
{
	for (size_t i = 0; i < FLEET_ENGINES_MAX; i++)
		if (!strcmp(f->pins[i].model.digest, digest) &&
			!strcmp(f->pins[i].model.engine, engine))
			return &f->pins[i];
	return NULL;
}

/* The build it runs under: its own, or the current one. */
static const char *pin_engine(const struct fleet *f, const struct pin *p)
{
	return p->model.engine[0] ? p->model.engine : f->current;
}

bool slot_pinned(struct fleet *f, const char *digest, const char *engine)
{
	for (size_t i = 0; i < FLEET_ENGINES_MAX; i++) {
		const struct pin *p = &f->pins[i];
		if (digest[0] && !strcmp(p->model.digest, digest) &&
			!strcmp(pin_engine(f, p), engine))
			return true;
	}
	return false;
}

/* Whether they are pinned has changed: how long they stay, too. NULL: all. */
static void touch_all(struct fleet *f, const char *digest)
{
	for (struct slot *s = f->slots; s; s = s->next)
		if (!digest || !strcmp(s->model.digest, digest))
			slot_touch(f, s);
}

void pin_set(struct fleet *f, const struct fleet_model *m, bool on)
{
	pthread_mutex_lock(&f->lock); /* this thread alone writes it, others read it */
	struct pin *p = pin_find(f, m->digest, m->engine);
	if (on && !p && (p = pin_find(f, "", "")))
		*p = (struct pin){ .model = *m }; /* load_pinned() makes its slot */
	for (size_t i = 0; !on && i < FLEET_ENGINES_MAX; i++)
		if (!strcmp(f->pins[i].model.digest, m->digest)) /* under whichever build */
			f->pins[i] = (struct pin){ 0 };
	pthread_mutex_unlock(&f->lock);
	if (on && !p)
		log_error("no place for another pin", KV_Z("model", m->name));
	touch_all(f, m->digest);
}

void fleet_take_current(struct fleet *f, const char *id)
{
	pthread_mutex_lock(&f->lock);
	(void)str_copy(str_from(id), f->current, sizeof f->current);
	for (size_t i = 0; i < FLEET_ENGINES_MAX; i++)
		f->pins[i].retry_ms = 0; /* under another build it is another engine */
	pthread_mutex_unlock(&f->lock);
	touch_all(f, NULL);
}

static bool pin_is_there(struct fleet *f, const struct pin *p)
{
	return slot_find(f, p->model.digest, pin_engine(f, p)) != NULL;
}

static void load_pinned(struct fleet *f, int64_t now)
{
	for (size_t i = 0; i < FLEET_ENGINES_MAX; i++) {
		struct pin *p = &f->pins[i];
		if (!p->model.digest[0] || now < p->retry_ms || pin_is_there(f, p))
			continue;
		struct fleet_model m = p->model;
		(void)str_copy(str_from(pin_engine(f, p)), m.engine, sizeof m.engine);
		p->retry_ms = now + FLEET_PIN_RETRY_MS; /* if it is refused */
		if (!slot_new(f, &m))
			log_error("no memory to load a pinned model");
	}
}

/* ---- what is needed and what there is ---- */

static bool has_cards(const struct fleet *f)
{
	return f->opt.cards && f->opt.cards->n;
}

static void need_of(struct fleet *f, const struct slot *s, bool gpu, struct plan_need *ret)
{
	struct plan_need n = { 0 };
	if (f->opt.need)
		(void)f->opt.need(f->opt.arg, s->model.digest, &n);
	if (gpu) {
		/* not known how much: a byte, so that it lies on a card at all */
		n.bytes = (struct plan_amount){ GPU_HOST_BYTES, n.bytes.ram ? n.bytes.ram : 1 };
		n.least = (struct plan_amount){ GPU_HOST_BYTES, n.least.ram ? n.least.ram : 1 };
	} else if (s->past->bytes) { /* measured beats estimated */
		n.bytes.ram = s->past->bytes;
		if (n.least.ram > n.bytes.ram || !n.least.ram)
			n.least.ram = n.bytes.ram;
	}
	*ret = n;
}

/* What engines may have together: what is free now and what they hold of their own. Mapped files
 * count as free in the kernel's figure, so what an engine holds of them is not added. */
static void room_of(struct fleet *f, struct plan_room *ret)
{
	struct fleet_memory m = { 0 };
	*ret = (struct plan_room){ .capacity = { UINT64_MAX }, .max_engines = f->opt.max_engines };
	if (!ret->max_engines || ret->max_engines > FLEET_ENGINES_MAX)
		ret->max_engines = FLEET_ENGINES_MAX;
	if (f->opt.memory)
		f->opt.memory(f->opt.arg, &m);
	if (m.free_bytes) {
		uint64_t reserve = m.total / 16;
		ret->capacity[PLAN_RAM] = m.free_bytes > reserve ? m.free_bytes - reserve : 0;
		for (const struct slot *s = f->slots; s; s = s->next)
			ret->capacity[PLAN_RAM] += s->own;
	}
	if (!has_cards(f))
		return;
	ret->n_cards = (unsigned)f->opt.cards->n;
	ret->cards_in_ram = f->opt.cards->v[0].in_ram;
	for (unsigned i = 0; i < ret->n_cards; i++)
		ret->capacity[PLAN_CARD + i] = f->opt.cards->v[i].free_bytes;
}

/* What it holds of each device: as planned while it loads; then what it says it took, on cards in
 * the planned proportion, and measured memory of the machine. */
static void held(const struct slot *s, uint64_t ret[PLAN_DEVICES])
{
	uint64_t took = s->info.model_bytes + s->info.kv_bytes;
	double planned = 0;
	memcpy(ret, s->need, sizeof s->need);
	if (s->state != SLOT_READY)
		return;
	ret[PLAN_RAM] = s->rss ? s->rss : s->on_gpu ? 0 : took;
	for (int d = PLAN_CARD; d < PLAN_DEVICES; d++)
		planned += (double)s->need[d];
	for (int d = PLAN_CARD; d < PLAN_DEVICES && planned > 0; d++)
		ret[d] = s->on_gpu ? (uint64_t)((double)took * (double)s->need[d] / planned) : 0;
}

static bool at_work(const struct slot *s)
{
	return s->yield ? slot_running(s) : s->requests != NULL;
}

/* The engines that hold memory, in the order of `owners`. */
static size_t engines_of(struct fleet *f, struct plan_engine *e, struct slot **owners)
{
	int64_t now = time_mono_ms();
	size_t n = 0;
	for (struct slot *s = f->slots; s && n < FLEET_ENGINES_MAX; s = s->next) {
		if (s->state == SLOT_WANTED || s->state == SLOT_DEAD)
			continue;
		owners[n] = s;
		e[n++] = (struct plan_engine){ .name = s->model.name,
			.pinned = slot_pinned(f, s->model.digest, s->model.engine),
			.busy = s->state == SLOT_LOADING || at_work(s),
			.idle_ms = now - s->idle_since_ms,
			.reload_ms = s->past->load_ms };
		held(s, e[n - 1].bytes);
	}
	return n;
}

/* ---- starting ---- */

static uint32_t part(uint32_t chosen, uint32_t last, uint32_t usual, unsigned by)
{
	uint32_t whole = chosen ? chosen : last ? last : usual, part = whole / by;
	return by == 1 ? chosen : part ? part : 1;
}

/* The planned bytes as shares of the model, in thousandths; the largest last, where the library
 * puts what comes behind the layers. False: it runs on the processor. */
static bool use_cards(const struct fleet *f, const uint64_t *planned, struct engine_load *load)
{
	double sum = 0;
	for (int d = PLAN_CARD; d < PLAN_DEVICES; d++)
		sum += (double)planned[d];
	for (unsigned i = 0; sum > 0 && i < f->opt.cards->n; i++) {
		uint32_t share = (uint32_t)((double)planned[PLAN_CARD + i] * 1000 / sum + 0.5);
		unsigned at = load->n_cards;
		if (!planned[PLAN_CARD + i])
			continue;
		for (; at && load->card[at - 1].share > share; at--)
			load->card[at] = load->card[at - 1];
		load->card[at].share = share ? share : 1;
		memcpy(load->card[at].id, f->opt.cards->v[i].id, sizeof load->card[at].id);
		load->n_cards++;
	}
	return load->n_cards > 0;
}

static void start_load(struct fleet *f, struct slot *s)
{
	enum { CTX_USUAL = 8192, SEQ_USUAL = 8 };
	const struct fleet_step *step = &fleet_steps[s->past->step];
	struct job *j = mem_zalloc(1, sizeof *j);
	if (!j)
		DIE("no memory for a loader job");
	j->kind = JOB_LOAD;
	j->cpu_less = s->past->cpu_less;
	memcpy(j->digest, s->model.digest, sizeof j->digest);
	memcpy(j->projector, s->model.projector, sizeof j->projector);
	memcpy(j->engine, s->model.engine, sizeof j->engine);
	j->adapters = s->model.adapters;
	j->load = (struct engine_load){ .model_fd = -1,
		.n_ctx = part(f->opt.n_ctx, s->info.n_ctx, CTX_USUAL, step->ctx_by),
		.n_seq = part(f->opt.n_seq, s->info.n_seq, SEQ_USUAL, step->seq_by),
		.n_ubatch = step->n_ubatch,
		.n_gpu_layers = -1,
		.flash = step->flash };
	s->state = SLOT_LOADING;
	s->on_gpu = use_cards(f, s->need, &j->load);
	s->gpu_missed = has_cards(f) && !s->on_gpu;
	s->gone_known = false;
	s->loading_ms = time_mono_ms();
	if (queue_put(f->jobs, j))
		DIE("the loaders' queue is full"); /* bounded by slots: a few jobs each */
}

/* Ends an engine for another's sake; its waiting requests stay and want it again, behind others. */
static void put_away(struct fleet *f, struct slot *s)
{
	struct slot **at = &f->slots;
	log_info("unloaded to make room", KV_Z("model", s->model.name));
	slot_stop_engine(f, s);
	if (!s->requests) {
		slot_free(f, s);
		return;
	}
	stats_add(&s->past->stats, &s->stats);
	s->stats = (struct engine_stats){ 0 };
	s->state = SLOT_WANTED;
	s->wanted_ms = time_mono_ms();
	s->yield = s->full = false;
	s->rss = s->own = s->progress_tokens = 0;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	while (*at)
		at = &(*at)->next;
	s->next = NULL;
	*at = s;
}

static void refuse(struct fleet *f, struct slot *s, const char *why)
{
	log_warn("a model has no room", KV_Z("model", s->model.name), KV_Z("why", why));
	slot_fail_all(f, s, ERR_NOMEM, str_from(why));
	slot_free(f, s);
}

/* One model that wants an engine. True: the list of slots may have changed. */
static bool try_load(struct fleet *f, struct slot *s, int64_t now)
{
	struct plan_engine e[FLEET_ENGINES_MAX];
	struct slot *owners[FLEET_ENGINES_MAX];
	struct plan_room room;
	struct plan_need need;
	struct plan p;
	bool gpu = has_cards(f) && (!s->past->no_card || s->model.require_gpu);
	size_t n = engines_of(f, e, owners);
	room_of(f, &room);
	need_of(f, s, gpu, &need);
	plan_make(&room, e, n, &need, &p);
	if (p.verdict == PLAN_REFUSED && gpu && !s->model.require_gpu) {
		gpu = false; /* said in BEGUN: gpu_missed */
		need_of(f, s, gpu, &need);
		plan_make(&room, e, n, &need, &p);
	}
	if (p.verdict == PLAN_REFUSED) {
		refuse(f, s, p.why);
		return true;
	}
	if (p.verdict == PLAN_WAIT) {
		if (now - s->wanted_ms >= f->opt.yield_ms && owners[p.yield]->state == SLOT_READY)
			owners[p.yield]->yield = true; /* else who is never idle starves others */
		return false;
	}
	for (size_t i = 0; i < n; i++)
		if (p.evict[i])
			put_away(f, owners[i]);
	memcpy(s->need, p.bytes, sizeof s->need);
	start_load(f, s);
	return true;
}

/* ---- loaded ---- */

static void take_loaded(struct fleet *f, struct slot *s, const struct command *c)
{
	int64_t now = time_mono_ms();
	s->engine_id = c->engine_id;
	s->info = c->loaded.info;
	memcpy(s->engine, c->loaded.engine, sizeof s->engine);
	memcpy(s->build, c->loaded.build, sizeof s->build);
	memcpy(s->template_hash, c->loaded.template_hash, sizeof s->template_hash);
	memcpy(s->architecture, c->loaded.architecture, sizeof s->architecture);
	memcpy(s->description, c->loaded.description, sizeof s->description);
	memcpy(s->tuned, c->loaded.tuned, sizeof s->tuned);
	memcpy(s->cards, c->loaded.cards, sizeof s->cards);
	s->info.build = str_from(s->build);
	s->info.template_hash = str_from(s->template_hash);
	s->info.architecture = str_from(s->architecture);
	s->info.description = str_from(s->description);
	s->info.tuned = str_from(s->tuned);
	s->info.cards = str_from(s->cards);
	memcpy(f->last_build, s->build, sizeof f->last_build);
	s->gpu_missed = has_cards(f) && !s->info.gpu;
	s->on_gpu = s->info.gpu;
	s->past->load_ms = now - s->loading_ms;
	s->past->loads++;
	s->state = SLOT_READY;
	s->ready_ms = s->progress_ms = now;
}

/* The engine does not see the cards it was to use: another build than the one they were looked for
 * with, or a card that went. Where the processor will do it is that from now on, and said. */
static bool goes_without_card(struct slot *s, const char *why)
{
	if (!s->on_gpu || s->model.require_gpu)
		return false;
	log_warn("a model runs on the processor", KV_Z("model", s->model.name), KV_Z("why", why));
	s->past->no_card = true;
	s->state = SLOT_WANTED;
	return true;
}

void slot_loaded(struct fleet *f, struct command *c)
{
	struct slot *s = slot_find(f, c->digest, c->engine);
	if (!s || s->state != SLOT_LOADING) {
		if (c->chan_fd >= 0)
			close(c->chan_fd);
		return;
	}
	enum err e = c->err;
	const char *why = c->why.detail[0] ? c->why.detail : err_text(e);
	if (e == ERR_ENGINE) {
		death_at_load(f, s, why);
		return;
	}
	if (e == ERR_UNSUPPORTED && goes_without_card(s, why))
		return;
	if (!e)
		e = ipc_new(c->chan_fd, &s->chan);
	if (e) {
		slot_fail_all(f, s, e, str_from(why));
		slot_free(f, s);
		return;
	}
	take_loaded(f, s, c);
	slot_touch(f, s);
	fleet_publish(f); /* whoever is told looks at once what is loaded */
	int64_t now = time_mono_ns();
	for (struct request *r = s->requests, *next; r; r = next) {
		next = r->next;
		if (!r->told_begun)
			r->load_ns = now - r->arrived_ns;
		if (r->model.require_gpu && !s->info.gpu)
			request_fail(f, unlink_request(s, r), ERR_UNSUPPORTED,
				STR("a GPU is required, but the model runs on the processor"));
		else if (r->load_only)
			request_done_empty(f, unlink_request(s, r), GEN_STOP);
	}
}

void slot_uses(struct fleet *f, const struct command *c)
{
	const struct fleet_uses *u = &c->uses;
	struct slot *s = slot_find(f, u->digest, u->engine);
	if (!s || (s->state != SLOT_READY && s->state != SLOT_LOADING))
		return;
	s->rss = u->resident;
	s->own = u->own;
	if (s->state == SLOT_READY && !s->on_gpu && u->resident > s->past->bytes)
		s->past->bytes = u->resident;
}

/* ---- time ---- */

static bool is_pinned(struct fleet *f, const struct slot *s)
{
	return slot_pinned(f, s->model.digest, s->model.engine);
}

static bool slot_idle(const struct slot *s)
{
	return s->state == SLOT_READY && !s->requests;
}

static bool slot_expired(struct fleet *f, const struct slot *s, int64_t now)
{
	if (!slot_idle(s) || is_pinned(f, s))
		return false;
	return s->unload_asked || (s->expires_mono_ms >= 0 && s->expires_mono_ms <= now);
}

/* Requests past their deadline that no engine has; an engine minds those it has. */
static void expire_requests(struct fleet *f, struct slot *s, int64_t now_ns)
{
	for (struct request *r = s->requests, *next; r; r = next) {
		next = r->next;
		if (r->state == REQUEST_WAITING && r->gen.deadline_ms && !r->load_only &&
			now_ns - r->arrived_ns > r->gen.deadline_ms * 1000000)
			request_fail(f, unlink_request(s, r), ERR_TIMEOUT,
				STR("the request's deadline passed while it waited"));
	}
}

static void tidy(struct fleet *f, struct slot *s, int64_t now)
{
	death_watch(f, s, now);
	expire_requests(f, s, time_mono_ns());
	if (s->full && !slot_running(s))
		s->full = false;
	if (slot_expired(f, s, now)) {
		death_forgive(s, now);
		slot_stop_engine(f, s);
		slot_free(f, s);
	} else if (s->state == SLOT_WANTED && !s->requests && !is_pinned(f, s)) {
		slot_free(f, s); /* everybody who wanted it has gone */
	}
}

/* An engine drains only as long as somebody waits for its place. */
static void end_yields(struct fleet *f)
{
	for (const struct slot *s = f->slots; s; s = s->next)
		if (s->state == SLOT_WANTED)
			return;
	for (struct slot *s = f->slots; s; s = s->next)
		s->yield = false;
}

void slot_run_all(struct fleet *f)
{
	int64_t now = time_mono_ms();
	for (struct slot *s = f->slots, *next; s; s = next) {
		next = s->next;
		tidy(f, s, now);
	}
	load_pinned(f, now);
	end_yields(f);
	for (struct slot *s = f->slots; s;) {
		bool changed = s->state == SLOT_WANTED && s->past->retry_ms <= now &&
			       try_load(f, s, now);
		s = changed ? f->slots : s->next; /* each change ends one WANTED */
	}
	for (struct slot *s = f->slots; s; s = s->next)
		if (s->state == SLOT_READY)
			slot_send_waiting(f, s);
}

static void sooner(int64_t *wait, int64_t left)
{
	if (left < 0)
		left = 0;
	if (*wait < 0 || left < *wait)
		*wait = left;
}

static void slot_deadline(struct fleet *f, const struct slot *s, int64_t now, int64_t *wait)
{
	if (s->state == SLOT_WANTED) /* the pause; or no room was free: look again */
		sooner(wait, s->past->retry_ms > now ? s->past->retry_ms - now : 200);
	else if (s->state == SLOT_DEAD)
		sooner(wait, s->judge_ms - now);
	else if (s->state == SLOT_READY && slot_running(s))
		sooner(wait, s->progress_ms + f->opt.stall_ms - now);
	else if (s->full)
		sooner(wait, 200);
	else if (slot_idle(s) && s->unload_asked && !is_pinned(f, s))
		sooner(wait, 0);
	else if (slot_idle(s) && s->expires_mono_ms >= 0)
		sooner(wait, s->expires_mono_ms - now);
	for (const struct request *r = s->requests; r; r = r->next)
		if (r->state == REQUEST_WAITING && r->gen.deadline_ms && !r->load_only)
			sooner(wait, r->arrived_ns / 1000000 + r->gen.deadline_ms + 1 - now);
}

int slot_next_deadline(struct fleet *f)
{
	int64_t now = time_mono_ms(), wait = f->status_due ? FLEET_STATUS_MS : -1;
	for (struct slot *s = f->slots; s; s = s->next)
		slot_deadline(f, s, now, &wait);
	for (size_t i = 0; i < FLEET_ENGINES_MAX; i++)
		if (f->pins[i].model.digest[0] && !pin_is_there(f, &f->pins[i]))
			sooner(&wait, f->pins[i].retry_ms - now);
	return wait > 60000 ? 60000 : (int)wait;
}
