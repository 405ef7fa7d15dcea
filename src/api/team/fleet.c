/* What is loaded, who waits, how full; and what is always loaded. */
#include "api/team/team.h"

#include "base/limits.h"
#include "chat/hub.h"
#include "models/advise.h"
#include "models/fleet.h"
#include "models/fleet_db.h"
#include "models/store.h"

static void by_class(struct jw *w, const char *key, const unsigned *n)
{
	static const char *const classes[STATS_CLASSES] = { "interactive", "workflow", "batch" };
	jw_key(w, key);
	jw_obj(w);
	for (int i = 0; i < STATS_CLASSES; i++)
		jw_ki64(w, classes[i], n[i]);
	jw_end(w);
}

/* The time that `part` of all stay under, straight between a bucket's bounds; -1: none measured.
 * What lies beyond the last bound is told as that bound. */
static int64_t quantile_ms(const struct stats_times *t, double part)
{
	double all = 0, before = 0;
	for (int i = 0; i < STATS_BUCKETS; i++)
		all += (double)t->n[i];
	if (all <= 0)
		return -1;
	for (int i = 0; i < STATS_BUCKETS - 1; i++) {
		double low = i ? STATS_BOUNDS_MS[i - 1] : 0, high = STATS_BOUNDS_MS[i];
		if (before + (double)t->n[i] >= part * all)
			return (int64_t)(low + (high - low) * (part * all - before) /
						       (double)t->n[i] + 0.5);
		before += (double)t->n[i];
	}
	return STATS_BOUNDS_MS[STATS_BUCKETS - 2];
}

static void times(struct jw *w, const struct engine_stats *s)
{
	jw_ki64(w, "first_p50_ms", quantile_ms(&s->first[0], 0.5));
	jw_ki64(w, "first_p95_ms", quantile_ms(&s->first[0], 0.95));
	jw_ki64(w, "gap_p50_ms", quantile_ms(&s->between[0], 0.5));
	jw_ki64(w, "gap_p95_ms", quantile_ms(&s->between[0], 0.95));
}

static void counters(struct jw *w, const struct engine_stats *s)
{
	const struct {
		const char *key;
		uint64_t n;
	} all[] = {
		{ "cache_bytes", s->cache_bytes },
		{ "disk_bytes", s->disk_bytes },
		{ "cells", s->cells },
		{ "cells_used", s->cells_used },
		{ "tokens_in", s->tokens_in },
		{ "tokens_cached", s->tokens_cached },
		{ "tokens_out", s->tokens_out },
		{ "drafted", s->drafted },
		{ "accepted", s->accepted },
		{ "preempted", s->preempted },
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		jw_ki64(w, all[i].key, (int64_t)all[i].n);
}

static void model_json(const struct fleet_status *s, struct jw *w)
{
	static const char *const states[] = { [FLEET_UNLOADED] = "unloaded",
		[FLEET_WANTED] = "waiting",
		[FLEET_LOADING] = "loading",
		[FLEET_READY] = "ready",
		[FLEET_RESTARTING] = "restarting" };
	jw_obj(w);
	jw_kstr(w, "name", str_from(s->name));
	jw_kstr(w, "digest", str_from(s->digest));
	jw_kstr(w, "engine", str_from(s->engine));
	jw_kstr(w, "state", str_from(states[s->state]));
	jw_kbool(w, "pinned", s->pinned);
	jw_kstr(w, "processor", s->gpu ? STR("gpu") : STR("cpu"));
	jw_kstr(w, "cards", str_from(s->cards));
	jw_kbool(w, "gpu_missed", s->gpu_missed);
	jw_ki64(w, "context", s->n_ctx);
	jw_ki64(w, "sequences", s->n_seq);
	jw_ki64(w, "model_bytes", (int64_t)s->model_bytes);
	jw_ki64(w, "kv_bytes", (int64_t)s->kv_bytes);
	jw_ki64(w, "resident_bytes", (int64_t)s->resident_bytes);
	by_class(w, "running", s->running);
	by_class(w, "waiting", s->waiting);
	jw_ki64(w, "requests", (int64_t)s->requests);
	jw_ki64(w, "failed", (int64_t)s->failed);
	jw_ki64(w, "loads", (int64_t)s->loads);
	jw_ki64(w, "crashes", (int64_t)s->crashes);
	jw_ki64(w, "quarantined", (int64_t)s->quarantined);
	jw_ki64(w, "load_ms", s->load_ms);
	jw_ki64(w, "expires_ms", s->expires_ms);
	jw_ki64(w, "since_ms", s->since_ms);
	jw_kstr(w, "settings", str_from(s->settings));
	jw_kstr(w, "tuned", str_from(s->tuned));
	counters(w, &s->stats);
	times(w, &s->stats);
	jw_end(w);
}

static void quarantine_json(struct call *c, struct jw *w)
{
	enum { SHOWN = 16 };
	struct fleet_quarantined q[SHOWN];
	size_t n = fleet_quarantine(c->app->fleet, q, SHOWN);
	jw_key(w, "quarantine");
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		jw_obj(w);
		jw_kstr(w, "request", str_from(q[i].digest));
		jw_kstr(w, "model", str_from(q[i].model));
		jw_ki64(w, "at_ms", q[i].at_ms);
		jw_end(w);
	}
	jw_end(w);
}

static void queue_json(struct call *c, struct jw *w)
{
	struct fleet_totals t;
	fleet_totals(c->app->fleet, &t);
	jw_key(w, "queue");
	jw_obj(w);
	jw_ki64(w, "running", t.active);
	jw_ki64(w, "waiting", t.waiting);
	jw_ki64(w, "limit", t.queue_max);
	jw_ki64(w, "bytes", (int64_t)t.queue_bytes);
	jw_ki64(w, "refused", (int64_t)t.refused_busy);
	jw_end(w);
}

enum err team_fleet(struct call *c)
{
	AUTO_BUF struct buf out = BUF(1024 * 1024);
	struct fleet_status *s = ARENA_ARRAY(c->arena, struct fleet_status, FLEET_MODELS_MAX);
	struct machine m = *c->app->machine;
	struct jw w;
	if (!s)
		return ERR_NOMEM;
	size_t n = fleet_status(c->app->fleet, s, FLEET_MODELS_MAX);
	machine_refresh(c->app->config.data_dir, &m);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "machine");
	(void)machine_json(&m, &w);
	queue_json(c, &w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		model_json(&s[i], &w);
	jw_end(&w);
	quarantine_json(c, &w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* ---- load and unload ---- */

static enum err target_of(
	struct call *c, const struct model_entry *e, struct fleet_model *ret)
{
	*ret = (struct fleet_model){ .keep_alive_ms = c->app->keep_alive_ms };
	return fleet_model_of(e, ret);
}

static void on_loaded(const struct fleet_event *e, void *arg)
{
	struct call *c = arg;
	if (e->kind != FLEET_DONE && e->kind != FLEET_FAILED)
		return;
	if (e->kind == FLEET_DONE) {
		call_empty(c);
	} else {
		(void)err_set(&c->info, e->failed.code, "%.*s", STR_ARG(e->failed.detail));
		call_error(c, e->failed.code);
	}
	http_release(c->q);
}

static void nobody_waits(void *arg)
{
	(void)arg; /* a model that is being loaded stays loaded */
}

/* Answers when it is loaded, or with why it cannot be. */
enum err team_model_load(struct call *c)
{
	struct model_entry e;
	struct fleet_model m;
	TRY(model_store_find(c->app->models, http_param(c->q, "name"), &e, &c->info));
	TRY(target_of(c, &e, &m));
	http_hold(c->q);
	http_later(c->q, nobody_waits, NULL);
	enum err err = fleet_load(c->app->fleet, &m, on_loaded, c);
	if (err) {
		(void)err_set(&c->info, err, "%s", err_text(err));
		call_error(c, err);
		http_release(c->q);
	}
	return OK;
}

enum err team_model_unload(struct call *c)
{
	struct model_entry e;
	TRY(model_store_find(c->app->models, http_param(c->q, "name"), &e, &c->info));
	if (fleet_is_pinned(c->app->fleet, e.model_digest))
		return err_set(&c->info, ERR_CONFLICT, "%s is pinned: it stays loaded", e.name);
	fleet_unload(c->app->fleet, e.model_digest);
	call_empty(c);
	return OK;
}

/* ---- pins ---- */

static enum err set_pin(struct call *c, bool on)
{
	struct fleet_model m;
	struct str name = http_param(c->q, "name");
	struct model_entry e;
	enum err err = model_store_find(c->app->models, name, &e, &c->info);
	if (err == ERR_NOT_FOUND && !on) { /* the model went, its pin stayed */
		TRY(pin_remove(c->app->db, name));
		c->info = (struct err_info){ 0 };
		call_empty(c);
		return OK;
	}
	TRY(err);
	TRY(target_of(c, &e, &m));
	if (on)
		TRY(pin_store(c->app->db, str_from(e.name), e.engine,
			c->who.person[0] ? c->who.person : NULL));
	else
		TRY(pin_remove(c->app->db, str_from(e.name)));
	err = fleet_pin(c->app->fleet, &m, on);
	if (err == ERR_LIMIT) {
		TRY(pin_remove(c->app->db, str_from(e.name)));
		return err_set(&c->info, err, "as many models are pinned as can be loaded");
	}
	TRY(err);
	hub_tell(c->app->hub, "", STR("{\"type\":\"models\"}"));
	call_empty(c);
	return OK;
}

enum err team_pin(struct call *c)
{
	return set_pin(c, true);
}

enum err team_unpin(struct call *c)
{
	return set_pin(c, false);
}
