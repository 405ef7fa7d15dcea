#include "api/aliases.h"

#include "base/fault.h"
#include "base/limits.h"
#include "vault/people.h"

static enum err may_ask(struct call *c, enum alias_channel channel)
{
	if (channel == ALIAS_PRODUCTION || !authorize(&c->who, ACTION_MODELS_CHANGE, NULL))
		return OK;
	return err_set(&c->info, ERR_FORBIDDEN,
		"only owners and admins may ask the %s version of an alias",
		alias_channel_text(channel));
}

enum err call_model(struct call *c, struct str name, struct model_entry *ret)
{
	struct model_entry m;
	TRY(model_store_find(c->app->models, name, &m, &c->info));
	if (m.alias[0])
		TRY(may_ask(c, m.channel));
	*ret = m;
	return OK;
}

enum err call_model_may(struct call *c, struct str name)
{
	struct model_entry m;
	enum err e = name.len ? model_store_find(c->app->models, name, &m, NULL) : ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND || e == ERR_INVALID)
		return OK; /* whoever uses the name says so */
	TRY(e);
	return m.alias[0] ? may_ask(c, m.channel) : OK;
}

enum err call_aliases(struct call *c, alias_shown_fn fn, void *arg)
{
	AUTO_MEM struct alias *list = NULL;
	size_t n;
	TRY(model_alias_list(c->app->models, &list, &n));
	for (size_t i = 0; i < n; i++) {
		struct alias_shown a = { .alias = list[i] };
		if (model_store_find(
			    c->app->models, str_from(list[i].name), &a.model, NULL))
			continue; /* nothing answers to it now */
		memcpy(a.names, a.model.name, sizeof a.names);
		TRY(str_copy(str_from(list[i].name), a.model.name, sizeof a.model.name));
		a.model.modified_ms = list[i].at[ALIAS_PRODUCTION].since_ms;
		fn(&a, arg);
	}
	return OK;
}

/* ---- JSON ---- */

/* An account's name; "" for the operator, and for one that is gone. */
static enum err person_field(struct call *c, const char *id, struct jw *w)
{
	char name[LIMIT_NAME + 1] = "";
	if (id[0])
		TRY(person_name(c->app->vault, str_from(id), name));
	jw_kstr(w, "person", str_from(id));
	jw_kstr(w, "person_name", str_from(name));
	return OK;
}

static enum err target_fields(struct call *c, const struct alias_target *t, struct jw *w)
{
	jw_kstr(w, "model", str_from(t->model));
	jw_kstr(w, "digest", str_from(t->digest));
	if (t->engine[0])
		jw_kstr(w, "engine", str_from(t->engine));
	TRY(person_field(c, t->person, w));
	jw_ki64(w, "since_ms", t->since_ms);
	if (t->trial[0])
		jw_kstr(w, "trial", str_from(t->trial));
	if (t->reason[0])
		jw_kstr(w, "reason", str_from(t->reason));
	return OK;
}

enum err alias_of_json(struct call *c, const struct model_entry *m, struct jw *w)
{
	AUTO_MEM struct alias *a = NULL;
	if (!m->alias[0])
		return OK;
	a = mem_zalloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	TRY(model_alias_get(c->app->models, str_from(m->alias), a, &c->info));
	jw_key(w, "alias");
	jw_obj(w);
	jw_kstr(w, "name", str_from(a->name));
	jw_kstr(w, "channel", str_from(alias_channel_text(m->channel)));
	TRY(target_fields(c, &a->at[m->channel], w));
	jw_end(w);
	return OK;
}

enum err origin_json(struct call *c, const struct model_entry *m, struct jw *w)
{
	struct model_origin o;
	enum err e = model_store_origin(c->app->models, m->digest, &o);
	if (e == ERR_NOT_FOUND)
		return OK;
	TRY(e);
	jw_key(w, "origin");
	jw_obj(w);
	jw_kstr(w, "source", str_from(o.source));
	TRY(person_field(c, o.person, w));
	jw_ki64(w, "at_ms", o.at_ms);
	jw_end(w);
	return OK;
}

enum err alias_json(struct call *c, const struct alias *a, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "name", str_from(a->name));
	for (unsigned i = 0; i < ALIAS_CHANNELS; i++) {
		if (!a->at[i].digest[0])
			continue;
		jw_key(w, alias_channel_text((enum alias_channel)i));
		jw_obj(w);
		TRY(target_fields(c, &a->at[i], w));
		jw_end(w);
	}
	jw_end(w);
	return OK;
}
