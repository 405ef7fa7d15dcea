/* What is remembered of models, and the snapshot that other threads read. */
#include "models/fleet_int.h"

#include "base/time.h"

/* ---- memory of models ---- */

static bool in_use(const struct fleet *f, const struct past *p)
{
	for (const struct slot *s = f->slots; s; s = s->next)
		if (s->past == p)
			return true;
	return false;
}

/* The model's, or the place of the one used longest ago: there are more places than slots. */
struct past *past_of(struct fleet *f, const struct fleet_model *m)
{
	struct past *oldest = NULL;
	for (size_t i = 0; i < FLEET_MODELS_MAX; i++) {
		struct past *p = &f->past[i];
		if (!strcmp(p->digest, m->digest) && !strcmp(p->engine, m->engine)) {
			memcpy(p->name, m->name, sizeof p->name);
			return p;
		}
		if (!in_use(f, p) && (!oldest || p->used_ms < oldest->used_ms))
			oldest = p;
	}
	if (!oldest)
		DIE("no place to remember a model");
	*oldest = (struct past){ .used_ms = time_mono_ms() };
	memcpy(oldest->digest, m->digest, sizeof oldest->digest);
	memcpy(oldest->engine, m->engine, sizeof oldest->engine);
	memcpy(oldest->name, m->name, sizeof oldest->name);
	return oldest;
}

static void times_add(struct stats_times *sum, const struct stats_times *t)
{
	for (int i = 0; i < STATS_BUCKETS; i++)
		sum->n[i] += t->n[i];
	sum->sum_us += t->sum_us;
}

void stats_add(struct engine_stats *sum, const struct engine_stats *s)
{
	sum->tokens_in += s->tokens_in;
	sum->tokens_out += s->tokens_out;
	sum->tokens_cached += s->tokens_cached;
	sum->drafted += s->drafted;
	sum->accepted += s->accepted;
	sum->preempted += s->preempted;
	for (int c = 0; c < STATS_CLASSES; c++) {
		times_add(&sum->first[c], &s->first[c]);
		times_add(&sum->between[c], &s->between[c]);
	}
}

/* ---- the snapshot ---- */

static int64_t wall_expiry(const struct slot *s)
{
	return s->expires_mono_ms < 0 ? -1
				      : s->expires_mono_ms + time_now_ms() - time_mono_ms();
}

static void publish_loaded(struct fleet *f, const struct slot *s, unsigned active, unsigned waiting)
{
	if (s->state != SLOT_READY || f->n_published == FLEET_ENGINES_MAX)
		return;
	struct fleet_loaded *p = &f->published[f->n_published++];
	*p = (struct fleet_loaded){ .n_ctx = s->info.n_ctx,
		.n_seq = s->info.n_seq,
		.active = active,
		.waiting = waiting,
		.model_bytes = s->info.model_bytes,
		.kv_bytes = s->info.kv_bytes,
		.gpu = s->info.gpu,
		.expires_ms = wall_expiry(s) };
	memcpy(p->digest, s->model.digest, sizeof p->digest);
	memcpy(p->name, s->model.name, sizeof p->name);
	memcpy(p->build, s->build, sizeof p->build);
	memcpy(p->engine, s->engine, sizeof p->engine);
	memcpy(p->template_hash, s->template_hash, sizeof p->template_hash);
	memcpy(p->cards, s->cards, sizeof p->cards);
}

void fleet_publish_use(struct fleet *f, const struct request *r)
{
	if (r->load_only || f->n_uses == FLEET_QUEUE_MAX)
		return;
	struct use *u = &f->uses[f->n_uses++];
	u->person = r->gen.person;
	u->running = r->begun;
	memcpy(u->digest, r->model.digest, sizeof u->digest);
}

static void count_use(
	struct fleet_user *ret, size_t *n, size_t max, uint64_t person, bool running)
{
	size_t i = 0;
	while (i < *n && ret[i].person != person)
		i++;
	if (i == max)
		return;
	if (i == *n)
		ret[(*n)++] = (struct fleet_user){ .person = person };
	*(running ? &ret[i].running : &ret[i].waiting) += 1;
}

size_t fleet_users(struct fleet *f, const char *digest, struct fleet_user *ret, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < f->n_uses; i++)
		if (!strcmp(f->uses[i].digest, digest))
			count_use(ret, &n, max, f->uses[i].person, f->uses[i].running);
	/* and those that have not been looked at yet */
	for (const struct command *c = f->inbox; c; c = c->next)
		if (c->kind == CMD_START && !c->request->load_only &&
			!strcmp(c->request->model.digest, digest))
			count_use(ret, &n, max, c->request->gen.person, false);
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void publish_past(const struct past *p, struct fleet_status *ret)
{
	*ret = (struct fleet_status){ .loads = p->loads,
		.crashes = p->crashes,
		.requests = p->requests,
		.failed = p->failed,
		.quarantined = p->quarantined,
		.load_ms = p->load_ms,
		.settings = fleet_steps[p->step].what,
		.stats = p->stats };
	memcpy(ret->digest, p->digest, sizeof ret->digest);
	memcpy(ret->engine, p->engine, sizeof ret->engine);
	memcpy(ret->name, p->name, sizeof ret->name);
}

static void publish_slot(const struct slot *s, struct fleet_status *ret)
{
	static const enum fleet_state states[] = { [SLOT_WANTED] = FLEET_WANTED,
		[SLOT_LOADING] = FLEET_LOADING,
		[SLOT_READY] = FLEET_READY,
		[SLOT_DEAD] = FLEET_RESTARTING };
	ret->state = s->state == SLOT_WANTED && s->past->deaths ? FLEET_RESTARTING
								 : states[s->state];
	for (const struct request *r = s->requests; r; r = r->next)
		if (!r->load_only)
			(r->begun ? ret->running : ret->waiting)[r->gen.priority % STATS_CLASSES]++;
	ret->expires_ms = wall_expiry(s);
	stats_add(&ret->stats, &s->stats);
	ret->stats.active = s->stats.active;
	ret->stats.waiting = s->stats.waiting;
	ret->stats.cells = s->stats.cells;
	ret->stats.cells_used = s->stats.cells_used;
	ret->stats.cache_bytes = s->stats.cache_bytes;
	ret->stats.disk_bytes = s->stats.disk_bytes;
	if (s->state != SLOT_READY)
		return;
	ret->since_ms = s->ready_ms + time_now_ms() - time_mono_ms();
	ret->n_ctx = s->info.n_ctx;
	ret->n_seq = s->info.n_seq;
	ret->model_bytes = s->info.model_bytes;
	ret->kv_bytes = s->info.kv_bytes;
	ret->resident_bytes = s->rss;
	ret->gpu = s->info.gpu;
	ret->gpu_missed = s->gpu_missed;
	memcpy(ret->tuned, s->tuned, sizeof ret->tuned);
	memcpy(ret->cards, s->cards, sizeof ret->cards);
}

/* How long the whole queue needs, by what requests took; for Retry-After. */
static unsigned retry_after(const struct fleet *f)
{
	double ms = 0;
	for (const struct slot *s = f->slots; s; s = s->next) {
		unsigned n = 0, together = s->info.n_seq ? s->info.n_seq : 1;
		for (const struct request *r = s->requests; r; r = r->next)
			n++;
		double mine = s->request_ms * (double)(n / together);
		ms = mine > ms ? mine : ms;
	}
	ms /= 8; /* room for one more comes much sooner than the end */
	return ms < 1000 ? 1 : ms > 60000 ? 60 : (unsigned)(ms / 1000 + 0.5);
}

static void publish_status(struct fleet *f)
{
	f->n_status = 0;
	for (size_t i = 0; i < FLEET_MODELS_MAX; i++)
		if (f->past[i].digest[0])
			publish_past(&f->past[i], &f->status[f->n_status++]);
	for (size_t i = 0; i < f->n_status; i++) {
		struct fleet_status *st = &f->status[i];
		const struct slot *s = slot_find(f, st->digest, st->engine);
		st->pinned = slot_pinned(f, st->digest, st->engine);
		st->old_engine = strcmp(st->engine, f->current) != 0;
		if (s)
			publish_slot(s, st);
	}
}

void fleet_publish(struct fleet *f)
{
	unsigned all_active = 0, all_waiting = 0;
	int64_t now = time_mono_ms();
	pthread_mutex_lock(&f->lock);
	f->n_published = f->n_uses = 0;
	for (struct slot *s = f->slots; s; s = s->next) {
		unsigned active = 0, waiting = 0;
		for (struct request *r = s->requests; r; r = r->next) {
			*(r->begun ? &active : &waiting) += 1;
			fleet_publish_use(f, r);
		}
		all_active += active;
		all_waiting += waiting;
		publish_loaded(f, s, active, waiting);
	}
	f->totals.active = all_active;
	f->totals.waiting = all_waiting;
	/* The long one not at every token. Nothing more may happen for hours: then once more. */
	f->status_due = now - f->status_ms < FLEET_STATUS_MS;
	if (!f->status_due) {
		publish_status(f);
		f->status_ms = now;
	}
	pthread_mutex_unlock(&f->lock);
	atomic_store(&f->retry_after_s, retry_after(f));
}
