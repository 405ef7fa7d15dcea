/* Engine builds (models/builds.h): which are installed, which is current, and who keeps which. */
#include "api/team/team.h"

#include <stdio.h>

#include "base/fault.h"
#include "models/alias.h"

enum { ENGINES_JSON_MAX = 1024 * 1024, TOLD_MAX = 256 };

struct engine_ids { /* gathered on the way, at most TOLD_MAX */
	size_t n;
	char at[TOLD_MAX][LIMIT_ENGINE_ID + 1];
};

static bool ids_have(const struct engine_ids *ids, const char *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (!strcmp(ids->at[i], id))
			return true;
	return false;
}

static struct str text(struct str s)
{
	return s.len ? s : STR("");
}

/* ---- by name ---- */

struct wanted {
	struct call *c;
	struct str text;
	char *ret, *current;
	bool found;
	enum err err; /* of the one that is wanted */
};

static enum err look(void *arg, const struct engine_row *r)
{
	struct wanted *w = arg;
	bool this = r->current && str_eq(w->text, STR("current"));
	if (r->current)
		TRY(str_copy(r->id, w->current, LIMIT_ENGINE_ID + 1));
	if (!this && !str_eq(w->text, r->id))
		return OK;
	w->found = true;
	if (r->err)
		w->err = err_set(&w->c->info, r->err, "%.*s", STR_ARG(r->why));
	return str_copy(r->id, w->ret, LIMIT_ENGINE_ID + 1);
}

enum err engine_wanted(struct call *c, struct str text, char ret[LIMIT_ENGINE_ID + 1],
	char current[LIMIT_ENGINE_ID + 1])
{
	struct wanted w = { .c = c, .text = text, .ret = ret, .current = current };
	bool literal = !text.len || str_eq(text, STR("none"));
	ret[0] = current[0] = '\0';
	TRY(keeper_engines(c, false, look, &w));
	if (literal)
		return str_copy(text, ret, LIMIT_ENGINE_ID + 1);
	if (!w.found)
		return err_set(&c->info, ERR_NOT_FOUND,
			"there is no engine build \"%.*s\" here (tresor engines lists them)",
			(int)(text.len < 100 ? text.len : 100), text.ptr);
	return w.err;
}

/* ---- who keeps which ---- */

/* Calls fn for each version of an alias that keeps a build; `who` is "assistant" or
 * "assistant:candidate". */
static enum err each_kept(const struct alias *list, size_t n,
	enum err (*fn)(void *arg, const char *engine, const char *who), void *arg)
{
	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < ALIAS_CHANNELS; k++) {
			char who[ALIAS_NAME_MAX + 16];
			const struct alias_target *t = &list[i].at[k];
			if (!t->digest[0] || !t->engine[0])
				continue;
			snprintf(who, sizeof who, "%s%s%s", list[i].name,
				k == ALIAS_PRODUCTION ? "" : ":",
				k == ALIAS_PRODUCTION
					? ""
					: alias_channel_text((enum alias_channel)k));
			TRY(fn(arg, t->engine, who));
		}
	return OK;
}

struct rows { /* what is written, and what was */
	struct jw *w;
	const struct alias *list;
	size_t n;
	struct engine_ids *seen; /* the last one is the one whose keepers are written */
};

static enum err write_keeper(void *arg, const char *engine, const char *who)
{
	struct rows *r = arg;
	if (!strcmp(engine, r->seen->at[r->seen->n - 1]))
		jw_str(r->w, str_from(who));
	return OK;
}

static enum err write_row(void *arg, const struct engine_row *e)
{
	struct rows *r = arg;
	if (r->seen->n == TOLD_MAX)
		return OK;
	TRY(str_copy(e->id, r->seen->at[r->seen->n], sizeof *r->seen->at));
	r->seen->n++;
	jw_obj(r->w);
	jw_kstr(r->w, "id", e->id);
	jw_kstr(r->w, "version", text(e->version));
	jw_kstr(r->w, "tree", text(e->tree));
	jw_kstr(r->w, "variant", text(e->variant));
	jw_ki64(r->w, "proto", (int64_t)e->proto);
	jw_kbool(r->w, "current", e->current);
	jw_kbool(r->w, "usable", !e->err);
	jw_kstr(r->w, "why", text(e->why));
	jw_key(r->w, "kept_by");
	jw_arr(r->w);
	TRY(each_kept(r->list, r->n, write_keeper, r));
	jw_end(r->w);
	jw_end(r->w);
	return OK;
}

/* One that somebody keeps and that is not here. */
static enum err write_missing(void *arg, const char *engine, const char *who)
{
	struct rows *r = arg;
	(void)who;
	if (ids_have(r->seen, engine))
		return OK;
	return write_row(r,
		&(struct engine_row){ .id = str_from(engine),
			.err = ERR_BUILD,
			.why = STR("it is not installed here") });
}

enum err team_engines(struct call *c)
{
	AUTO_MEM struct alias *list = NULL;
	AUTO_BUF struct buf out = BUF(ENGINES_JSON_MAX);
	struct jw w;
	struct rows r = { .w = &w, .seen = ARENA_NEW(c->arena, struct engine_ids) };
	int64_t check = 0;
	if (!r.seen)
		return ERR_NOMEM;
	TRY(call_query_i64(c, "check", 0, 1, &check));
	TRY(model_alias_list(c->app->models, &list, &r.n));
	r.list = list;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "engines");
	jw_arr(&w);
	TRY(keeper_engines(c, check == 1, write_row, &r));
	TRY(each_kept(list, r.n, write_missing, &r));
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

/* ---- for the doctor ---- */

struct amiss {
	struct engine_ids *usable;
	size_t kept;
	char *ret;
	size_t size;
};

static enum err gather_usable(void *arg, const struct engine_row *r)
{
	struct amiss *a = arg;
	struct engine_ids *u = a->usable;
	return r->err || u->n == TOLD_MAX ? OK : str_copy(r->id, u->at[u->n++], sizeof *u->at);
}

static enum err find_amiss(void *arg, const char *engine, const char *who)
{
	struct amiss *a = arg;
	a->kept++;
	if (!ids_have(a->usable, engine) && !a->ret[0])
		snprintf(a->ret, a->size, "%s (%s)", engine, who);
	return OK;
}

enum err engines_amiss(struct call *c, size_t *ret_kept, char *ret, size_t size)
{
	AUTO_MEM struct alias *list = NULL;
	struct amiss a = {
		.usable = ARENA_NEW(c->arena, struct engine_ids), .ret = ret, .size = size
	};
	size_t n;
	ret[0] = '\0';
	if (!a.usable)
		return ERR_NOMEM;
	TRY(model_alias_list(c->app->models, &list, &n));
	TRY(keeper_engines(c, true, gather_usable, &a));
	TRY(each_kept(list, n, find_amiss, &a));
	*ret_kept = a.kept;
	return OK;
}
