/* Models for the page: list, default, pulls, advice. */
#include "api/team/team.h"

#include "api/aliases.h"
#include "api/remove.h"
#include "api/show.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/time.h"
#include "chat/chat.h"
#include "chat/hub.h"
#include "models/advise.h"
#include "models/fleet.h"
#include "models/pull.h"
#include "models/store.h"

enum { LOADED_MAX = 32, TELL_EVERY_MS = 300 };

static bool is_loaded(const struct fleet_loaded *l, size_t n, const char *digest)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(l[i].digest, digest) == 0)
			return true;
	return false;
}

static void model_json(
	const struct model_entry *m, bool loaded, const char *alias_of, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "name", str_from(m->name));
	jw_kstr(w, "digest", str_from(m->digest));
	jw_ki64(w, "size", (int64_t)m->size);
	jw_kstr(w, "family", str_from(m->family));
	jw_kstr(w, "parameters", str_from(m->parameters));
	jw_kstr(w, "quantization", str_from(m->quantization));
	jw_ki64(w, "context", (int64_t)m->gguf.context);
	jw_kbool(w, "loaded", loaded);
	jw_kbool(w, "starter", m->starter);
	jw_kstr(w, "licence", str_from(m->licence));
	jw_kstr(w, "model_digest", str_from(m->model_digest));
	jw_ki64(w, "modified_ms", m->modified_ms);
	jw_kbool(w, "kept", m->kept);
	show_capabilities(m, w);
	if (alias_of)
		jw_kstr(w, "alias_of", str_from(alias_of));
	jw_end(w);
}

struct listing {
	struct fleet_loaded *loaded;
	size_t n_loaded;
	bool all; /* also those that cannot chat */
	struct jw *w;
};

static void alias_model(const struct alias_shown *a, void *arg)
{
	struct listing *l = arg;
	if (l->all || !a->model.gguf.embedding_model)
		model_json(&a->model, is_loaded(l->loaded, l->n_loaded, a->model.model_digest),
			a->names, l->w);
}

enum err team_models(struct call *c)
{
	AUTO_MEM struct model_entry *list = NULL;
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	struct fleet_loaded loaded[LOADED_MAX];
	char fallback[LIMIT_MODEL_NAME + 1] = "";
	struct str all = http_query(c->q, "all");
	struct jw w;
	size_t n, n_loaded = fleet_list(c->app->fleet, loaded, LOADED_MAX);
	if (all.ptr && !str_eq(all, STR("1")))
		return err_set(&c->info, ERR_INVALID, "\"all\" must be 1");
	TRY(model_store_list(c->app->models, &list, &n));
	TRY(model_store_default(c->app->models, fallback));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	TRY(call_aliases(
		c, alias_model, &(struct listing){ loaded, n_loaded, all.ptr != NULL, &w }));
	for (size_t i = 0; i < n; i++)
		if (all.ptr || !list[i].gguf.embedding_model)
			model_json(&list[i], is_loaded(loaded, n_loaded, list[i].model_digest),
				NULL, &w);
	jw_end(&w);
	jw_kstr(&w, "default", str_from(fallback));
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

static void tell_models(struct chat_hub *hub)
{
	hub_tell(hub, "", STR("{\"type\":\"models\"}"));
}

enum err team_model_delete(struct call *c)
{
	struct str force = http_query(c->q, "force");
	if (force.ptr && !str_eq(force, STR("1")))
		return err_set(&c->info, ERR_INVALID, "\"force\" must be 1");
	TRY(call_model_delete(c, http_param(c->q, "name"), force.ptr != NULL));
	tell_models(c->app->hub);
	call_empty(c);
	return OK;
}

enum err team_model_default(struct call *c)
{
	TRY(model_store_default_set(c->app->models, call_str(c, "name"),
		c->who.person[0] ? c->who.person : NULL, &c->info));
	tell_models(c->app->hub);
	call_empty(c);
	return OK;
}

/* Counts alone: whose conversations they are is nobody's business. */
enum err team_model_uses(struct call *c)
{
	AUTO_BUF struct buf out = BUF(1024);
	struct jw w;
	int64_t conversations, people;
	TRY(chat_uses(c->app->chats, http_param(c->q, "name"), &conversations, &people));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_ki64(&w, "conversations", conversations);
	jw_ki64(&w, "people", people);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* ---- pulls ---- */

static void pull_json(const struct pull_progress *p, struct jw *w)
{
	static const char *const states[] = {
		[PULL_RUNNING] = "running", [PULL_DONE] = "done", [PULL_FAILED] = "failed"
	};
	jw_obj(w);
	jw_kstr(w, "id", str_from(p->id));
	jw_kstr(w, "name", str_from(p->name));
	jw_kstr(w, "source", str_from(p->source));
	if (p->licence[0])
		jw_kstr(w, "licence", str_from(p->licence));
	jw_kstr(w, "state", str_from(states[p->state]));
	jw_kstr(w, "status", str_from(p->status));
	jw_ki64(w, "total", (int64_t)p->all_total);
	jw_ki64(w, "completed", (int64_t)p->all_completed);
	if (p->kept.name[0])
		jw_kstr(w, "kept", str_from(p->kept.name));
	if (p->state == PULL_FAILED) {
		jw_key(w, "error");
		jw_obj(w);
		jw_kstr(w, "slug", str_from(err_slug(p->error.code)));
		jw_kstr(w, "text",
			str_from(p->error.detail[0] ? p->error.detail : err_text(p->error.code)));
		jw_end(w);
	}
	jw_end(w);
}

/* Outlives the request: freed at the pull's last event. */
struct teller {
	struct chat_hub *hub;
	char person[ID_LEN + 1];
	int64_t told_ms;
};

static void on_pull(const struct pull_progress *p, void *arg)
{
	struct teller *t = arg;
	bool last = p->state != PULL_RUNNING;
	int64_t now = time_mono_ms();
	if (t->person[0] && (last || now - t->told_ms >= TELL_EVERY_MS)) {
		AUTO_BUF struct buf out = BUF(8 * 1024);
		struct jw w;
		t->told_ms = now;
		jw_init(&w, &out);
		jw_obj(&w);
		jw_kstr(&w, "type", STR("pull"));
		jw_key(&w, "pull");
		pull_json(p, &w);
		jw_end(&w);
		if (!out.err)
			hub_tell(t->hub, t->person, buf_str(&out));
	}
	if (p->state == PULL_DONE)
		tell_models(t->hub);
	if (last)
		mem_free(t);
}

enum err team_pull(struct call *c)
{
	AUTO_BUF struct buf out = BUF(8 * 1024);
	struct pull_request r = { .name = call_str(c, "name"),
		.as = call_str(c, "as"),
		.person = c->who.person };
	struct pull_progress p;
	char id[ID_LEN + 1];
	uint64_t watch;
	struct jw w;
	struct teller *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	t->hub = c->app->hub;
	memcpy(t->person, c->who.person, sizeof t->person);
	enum err e = pulls_start(c->app->pulls, &r, on_pull, t, id, &watch, &c->info);
	if (e) {
		mem_free(t);
		return e;
	}
	TRY(pulls_get(c->app->pulls, id, &p));
	jw_init(&w, &out);
	pull_json(&p, &w);
	call_json(c, 202, &out);
	return OK;
}

enum err team_pulls(struct call *c)
{
	AUTO_BUF struct buf out = BUF(256 * 1024);
	struct pull_progress *list = ARENA_ARRAY(c->arena, struct pull_progress, PULL_KEPT * 2);
	struct jw w;
	if (!list)
		return ERR_NOMEM;
	size_t n = pulls_list(c->app->pulls, list, PULL_KEPT * 2);
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "pulls");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		if (!list[i].push)
			pull_json(&list[i], &w);
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* Its end comes as an event; what was brought stays and is not fetched again. */
enum err team_pull_cancel(struct call *c)
{
	char id[ID_LEN + 1];
	if (str_copy(http_param(c->q, "pull"), id, sizeof id) || pulls_cancel(c->app->pulls, id))
		return err_set(&c->info, ERR_NOT_FOUND, "there is no such download");
	call_empty(c);
	return OK;
}

enum err team_advise(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	struct machine m = *c->app->machine;
	machine_refresh(c->app->config.data_dir, &m);
	TRY(advise_json(c->app->advice, &m, &out));
	call_json(c, 200, &out);
	return OK;
}
