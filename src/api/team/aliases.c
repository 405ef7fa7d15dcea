/* Aliases and their trials: which model answers, and who decided so. */
#include "api/team/team.h"

#include "api/aliases.h"
#include "base/fault.h"
#include "base/limits.h"
#include "chat/hub.h"
#include "models/trial.h"

enum { ALIAS_JSON_MAX = 64 * 1024, PAGE_MAX = 64 * 1024 * 1024 };

static struct str alias_name(const struct call *c)
{
	return http_param(c->q, "name");
}

static const char *person(const struct call *c)
{
	return c->who.person[0] ? c->who.person : NULL;
}

/* What is about to be done, by its own name: dispatch.c's record says that models change. What a
 * person wrote (a reason, a note, a prompt) stays in the database. */
static enum err announce(struct call *c, const char *action, struct str note)
{
	enum err e = call_audit(c, action, "begun", str_sub(alias_name(c), 0, 200), note);
	if (e)
		return err_set(
			&c->info, e, "the audit log cannot be written, so nothing was changed");
	return OK;
}

static enum err reply_alias(struct call *c, const struct alias *a)
{
	AUTO_BUF struct buf out = BUF(ALIAS_JSON_MAX);
	struct jw w;
	hub_tell(c->app->hub, "", STR("{\"type\":\"models\"}"));
	jw_init(&w, &out);
	TRY(alias_json(c, a, &w));
	call_json(c, 200, &out);
	return OK;
}

enum err team_aliases(struct call *c)
{
	AUTO_MEM struct alias *list = NULL;
	AUTO_BUF struct buf out = BUF(ALIAS_MAX * ALIAS_JSON_MAX);
	struct jw w;
	size_t n;
	TRY(model_alias_list(c->app->models, &list, &n));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "aliases");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		TRY(alias_json(c, &list[i], &w));
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err team_alias_set(struct call *c)
{
	struct str channel = call_str(c, "channel");
	char engine[LIMIT_ENGINE_ID + 1], current[LIMIT_ENGINE_ID + 1];
	struct alias_choice choice = { .model = call_str(c, "model"), .channel = ALIAS_CHANNELS };
	struct alias a;
	TRY(alias_name_check(alias_name(c), &c->info));
	if (channel.len && alias_channel_from(channel, &choice.channel))
		return err_set(
			&c->info, ERR_INVALID, "\"channel\" must be production or candidate");
	TRY(engine_wanted(c, call_str(c, "engine"), engine, current));
	choice.engine = str_from(engine);
	choice.current = str_from(current);
	TRY(announce(c, "alias.set", str_sub(call_str(c, "model"), 0, 200)));
	TRY(model_alias_set(
		c->app->models, alias_name(c), &choice, person(c), &a, &c->info));
	return reply_alias(c, &a);
}

enum err team_alias_keep(struct call *c)
{
	char engine[LIMIT_ENGINE_ID + 1], current[LIMIT_ENGINE_ID + 1];
	struct alias a;
	TRY(engine_wanted(c, STR("current"), engine, current));
	TRY(announce(c, "alias.keep", str_from(engine)));
	TRY(model_alias_keep(c->app->models, alias_name(c), engine, &a, &c->info));
	return reply_alias(c, &a);
}

enum err team_alias_delete(struct call *c)
{
	TRY(announce(c, "alias.remove", STR("")));
	TRY(model_alias_remove(c->app->models, alias_name(c), &c->info));
	hub_tell(c->app->hub, "", STR("{\"type\":\"models\"}"));
	call_empty(c);
	return OK;
}

enum err team_alias_promote(struct call *c)
{
	struct str reason = call_str(c, "override");
	struct alias a;
	if (json_object_get(c->body, "override") && !str_trim(reason).len)
		return err_set(&c->info, ERR_INVALID,
			"\"override\" must say why the version is let in without a trial");
	TRY(alias_text_check(reason, "override", &c->info));
	TRY(announce(c, reason.len ? "alias.override" : "alias.promote", STR("")));
	TRY(model_alias_promote(
		c->app->models, alias_name(c), reason, person(c), &a, &c->info));
	return reply_alias(c, &a);
}

enum err team_alias_back(struct call *c)
{
	struct alias a;
	TRY(announce(c, "alias.back", STR("")));
	TRY(model_alias_back(c->app->models, alias_name(c), person(c), &a, &c->info));
	return reply_alias(c, &a);
}

/* ---- prompts ---- */

static void prompt_json(const struct trial_prompt *p, void *arg)
{
	struct jw *w = arg;
	jw_obj(w);
	jw_kstr(w, "id", str_from(p->id));
	jw_kstr(w, "text", p->text);
	jw_ki64(w, "created_ms", p->created_ms);
	jw_end(w);
}

enum err team_prompts(struct call *c)
{
	AUTO_BUF struct buf out = BUF(PAGE_MAX);
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "prompts");
	jw_arr(&w);
	TRY(trial_prompts(c->app->trials, alias_name(c), prompt_json, &w, &c->info));
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err team_prompt_new(struct call *c)
{
	AUTO_BUF struct buf out = BUF(8 * TRIAL_PROMPT_MAX);
	struct trial_prompt p;
	struct jw w;
	TRY(announce(c, "trial.prompt", STR("")));
	TRY(trial_prompt_add(
		c->app->trials, alias_name(c), call_str(c, "text"), person(c), &p, &c->info));
	jw_init(&w, &out);
	prompt_json(&p, &w);
	call_json(c, 201, &out);
	return OK;
}

enum err team_prompt_delete(struct call *c)
{
	TRY(announce(c, "trial.prompt_remove", str_sub(http_param(c->q, "prompt"), 0, 26)));
	TRY(trial_prompt_remove(
		c->app->trials, alias_name(c), http_param(c->q, "prompt"), &c->info));
	call_empty(c);
	return OK;
}

/* ---- trials ---- */

static enum err person_fields(
	struct call *c, struct jw *w, const char *key, const char *name_key, const char *id)
{
	char name[LIMIT_NAME + 1] = "";
	if (id[0])
		TRY(person_name(c->app->vault, str_from(id), name));
	jw_kstr(w, key, str_from(id));
	jw_kstr(w, name_key, str_from(name));
	return OK;
}

/* Trial of api/routes.json, left open for its answers. */
static enum err trial_begin(struct call *c, const struct trial *t, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "id", str_from(t->id));
	jw_kstr(w, "state", str_from(t->state));
	jw_kstr(w, "old_model", str_from(t->model[0]));
	jw_kstr(w, "old_digest", str_from(t->digest[0]));
	jw_kstr(w, "new_model", str_from(t->model[1]));
	jw_kstr(w, "new_digest", str_from(t->digest[1]));
	if (t->engine[0][0])
		jw_kstr(w, "old_engine", str_from(t->engine[0]));
	if (t->engine[1][0])
		jw_kstr(w, "new_engine", str_from(t->engine[1]));
	jw_ki64(w, "prompts", t->prompts);
	jw_ki64(w, "answered", t->answered);
	TRY(person_fields(c, w, "person", "person_name", t->person));
	jw_ki64(w, "created_ms", t->created_ms);
	jw_kstr(w, "note", str_from(t->note));
	if (!t->decided_ms)
		return OK;
	TRY(person_fields(c, w, "decided_by", "decided_by_name", t->decided_by));
	jw_ki64(w, "decided_ms", t->decided_ms);
	return OK;
}

static enum err reply_trial(struct call *c, int status, const struct trial *t)
{
	AUTO_BUF struct buf out = BUF(ALIAS_JSON_MAX);
	struct jw w;
	jw_init(&w, &out);
	TRY(trial_begin(c, t, &w));
	jw_end(&w);
	call_json(c, status, &out);
	return OK;
}

enum err team_trials(struct call *c)
{
	AUTO_MEM struct trial *list = NULL;
	AUTO_BUF struct buf out = BUF(TRIAL_LIST_MAX * ALIAS_JSON_MAX);
	struct jw w;
	size_t n;
	TRY(trial_list(c->app->trials, alias_name(c), &list, &n, &c->info));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "trials");
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		TRY(trial_begin(c, &list[i], &w));
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err team_trial_run(struct call *c)
{
	struct trial t;
	int64_t tokens = 0;
	TRY(json_want_i64(c->body, "tokens", false, 1, TRIAL_TOKENS_MAX, &tokens, &c->info));
	TRY(announce(c, "trial.run", STR("")));
	TRY(trials_start(c->app->trials, alias_name(c), tokens, person(c), &t, &c->info));
	return reply_trial(c, 202, &t);
}

static void answer_json(const struct trial_answer *a, void *arg)
{
	struct jw *w = arg;
	jw_obj(w);
	jw_kstr(w, "prompt", a->prompt);
	jw_kstr(w, "old", a->text[0]);
	jw_ki64(w, "old_ms", a->ms[0]);
	jw_kstr(w, "new", a->text[1]);
	jw_ki64(w, "new_ms", a->ms[1]);
	jw_end(w);
}

enum err team_trial(struct call *c)
{
	AUTO_BUF struct buf out = BUF(PAGE_MAX);
	struct trial t;
	struct jw w;
	TRY(trial_get(
		c->app->trials, alias_name(c), http_param(c->q, "trial"), &t, &c->info));
	jw_init(&w, &out);
	TRY(trial_begin(c, &t, &w));
	jw_key(&w, "answers");
	jw_arr(&w);
	TRY(trial_answers(c->app->trials, str_from(t.id), answer_json, &w));
	jw_end(&w);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

static enum err decide(struct call *c, bool accept)
{
	struct str id = http_param(c->q, "trial"), note = call_str(c, "note");
	struct trial t;
	TRY(alias_text_check(note, "note", &c->info));
	TRY(announce(c, accept ? "trial.accept" : "trial.reject", str_sub(id, 0, 26)));
	TRY(trial_decide(
		c->app->trials, alias_name(c), id, accept, note, person(c), &t, &c->info));
	return reply_trial(c, 200, &t);
}

enum err team_trial_accept(struct call *c)
{
	return decide(c, true);
}

enum err team_trial_reject(struct call *c)
{
	return decide(c, false);
}
