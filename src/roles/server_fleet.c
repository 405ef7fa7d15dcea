#include "roles/server_fleet.h"

#include <stdio.h>

#include "api/app.h"
#include "base/fault.h"
#include "base/log.h"
#include "models/fleet_db.h"
#include "models/store.h"
#include "os/threads.h"
#include "vault/audit.h"

enum { MIB = 1024 * 1024 };

static void memory_now(void *arg, struct fleet_memory *ret)
{
	struct server_fleet *s = arg;
	struct machine m = *s->machine;
	machine_refresh(s->dir, &m);
	*ret = (struct fleet_memory){ .total = m.memory, .free_bytes = m.memory_free };
}

/* Weights with what goes with them (a projector, adapters), K and V of the cells an engine takes by
 * default (engine/llama/backend.c), and buffers to compute in. Only until it was loaded once: then
 * the measured figure counts. */
static bool model_need(void *arg, const char *digest, struct plan_need *ret)
{
	enum { CTX = 8192, OWN = 2048, SEQ = 8, LEAST = 1024, COMPUTE_MIB = 128, LEAST_MIB = 64 };
	struct server_fleet *s = arg;
	struct model_entry m;
	if (model_store_find_digest(s->app->models, digest, &m))
		return false;
	const struct gguf_summary *g = &m.gguf;
	uint64_t heads = g->heads ? g->heads : 1, kv = g->kv_heads ? g->kv_heads : heads,
		 dim = g->head_dim ? g->head_dim : g->embedding / heads,
		 cell = 2 * 2 * g->layers * kv * dim, ctx = s->n_ctx ? s->n_ctx : CTX;
	if (g->context && ctx > g->context)
		ctx = g->context;
	uint64_t cells = ctx + (uint64_t)(s->n_seq ? s->n_seq : SEQ) * (ctx < OWN ? ctx : OWN);
	uint64_t files = m.size > g->tensor_bytes ? m.size : g->tensor_bytes;
	ret->bytes.ram = files + cells * cell + (uint64_t)COMPUTE_MIB * MIB;
	ret->least.ram = files + LEAST * cell + (uint64_t)LEAST_MIB * MIB;
	return true;
}

/* ---- quarantine: into the audit log, by a thread that may wait for the keeper ---- */

struct report {
	struct audit *audit;
	char digest[65], model[256];
};

static void write_report(void *arg)
{
	struct report *r = arg;
	struct audit_event e = { .action = "request.quarantined",
		.object = str_from(r->digest),
		.outcome = "ok",
		.note = str_from(r->model) };
	if (audit_write(r->audit, &e))
		log_error("a quarantine was not recorded", KV_Z("request", r->digest));
	mem_free(r);
}

static void report(void *arg, const struct fleet_report *what)
{
	struct server_fleet *s = arg;
	struct report *r = s->chores ? mem_zalloc(1, sizeof *r) : NULL;
	if (r) {
		r->audit = s->app->audit;
		snprintf(r->digest, sizeof r->digest, "%s", what->digest);
		snprintf(r->model, sizeof r->model, "%s", what->model);
		if (!pool_run(s->chores, write_report, r))
			return;
		mem_free(r);
	}
	log_error("a quarantine was not recorded", KV_Z("request", what->digest));
}

/* ---- what engines measured ---- */

static void tuned_get(void *arg, const char *digest, struct engine_load *load)
{
	struct server_fleet *s = arg;
	enum err e = tuning_read(s->app->db, digest, str_from(s->machine_id), load);
	if (e)
		log_warn("what was measured of a model cannot be read", KV_ERR(e));
}

static void tuned_put(void *arg, const char *digest, struct str build, struct str line)
{
	struct server_fleet *s = arg;
	enum err e = tuning_store(s->app->db, digest, build, str_from(s->machine_id), line);
	if (e)
		log_warn("what was measured of a model cannot be stored", KV_ERR(e));
}

void server_fleet_options(struct server_fleet *s, struct fleet_options *o)
{
	machine_id(s->machine, s->machine_id);
	o->arg = s;
	o->memory = memory_now;
	o->need = model_need;
	o->report = report;
	o->tuned_get = tuned_get;
	o->tuned_put = tuned_put;
}

/* ---- pins ---- */

static void load_pin(struct str name, struct str engine, void *arg)
{
	struct server_fleet *s = arg;
	struct fleet_model m = { .keep_alive_ms = FLEET_KEEP_AS_IS };
	struct model_entry e;
	enum err err = model_store_find(s->app->models, name, &e, NULL);
	if (!err) {
		err = fleet_model_of(&e, &m);
		(void)str_copy(engine, m.engine, sizeof m.engine);
		if (!err)
			err = fleet_pin(s->app->fleet, &m, true);
	}
	if (err)
		log_warn("a pinned model is not loaded", KV_STR("model", name), KV_ERR(err));
}

void server_fleet_pins(void *server_fleet)
{
	struct server_fleet *s = server_fleet;
	enum err e = pin_each(s->app->db, load_pin, s);
	if (e)
		log_error("pinned models cannot be read", KV_ERR(e));
}

/* ---- the keeper's words ---- */

static void on_gone(struct server_fleet *s, struct ipc_in *m)
{
	struct fleet_gone g = { .engine_id = ipc_get_u64(m) };
	struct str digest = ipc_get_str(m), engine = ipc_get_str(m);
	g.signal = ipc_get_u64(m);
	g.code = ipc_get_u64(m);
	g.oom = ipc_get_bool(m);
	if (!ipc_end(m) && !str_copy(digest, g.digest, sizeof g.digest) &&
		!str_copy(engine, g.engine, sizeof g.engine))
		fleet_engine_gone(s->app->fleet, &g);
}

static void on_uses(struct server_fleet *s, struct ipc_in *m)
{
	while (ipc_more(m)) {
		struct fleet_uses u = { .digest = "" };
		struct str digest = ipc_get_str(m), engine = ipc_get_str(m);
		u.resident = ipc_get_u64(m);
		u.own = ipc_get_u64(m);
		if (!m->err && !str_copy(digest, u.digest, sizeof u.digest) &&
			!str_copy(engine, u.engine, sizeof u.engine))
			fleet_engine_uses(s->app->fleet, &u);
	}
}

static void on_current(struct server_fleet *s, struct ipc_in *m)
{
	char id[LIMIT_ENGINE_ID + 1];
	struct str now = ipc_get_str(m);
	if (!ipc_end(m) && !str_copy(now, id, sizeof id))
		fleet_engine_current(s->app->fleet, id);
}

bool server_fleet_message(struct server_fleet *s, struct ipc_in *m)
{
	static const struct {
		uint16_t type;
		void (*fn)(struct server_fleet *s, struct ipc_in *m);
	} words[] = {
		{ ENGINE_GONE, on_gone },
		{ ENGINE_USES, on_uses },
		{ ENGINE_CURRENT, on_current },
	};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (words[i].type != m->type)
			continue;
		words[i].fn(s, m);
		return true;
	}
	return false;
}
