/* Aliases and trials for the tests of api/: one alias, "assistant". */
#include "api/test_app.h"
#include "base/fault.h"
#include "models/store.h"
#include "models/trial.h"

static void alias_entry(struct alias *a)
{
	*a = (struct alias){ .name = "assistant" };
	struct alias_target *t = &a->at[ALIAS_PRODUCTION];
	memset(t->digest, 'a', 64);
	memcpy(t->model, "tiny:latest", sizeof "tiny:latest");
	memcpy(t->reason, "first", sizeof "first");
	t->since_ms = 1700000000000;
	if (fakes.keeps)
		memcpy(t->engine, fakes.keeps, strlen(fakes.keeps) + 1);
}

enum err model_alias_list(struct model_store *s, struct alias **ret, size_t *ret_n)
{
	(void)s;
	*ret = mem_zalloc(1, sizeof **ret);
	if (!*ret)
		return ERR_NOMEM;
	alias_entry(*ret);
	*ret_n = fakes.aliases;
	return OK;
}

enum err model_alias_get(
	struct model_store *s, struct str name, struct alias *ret, struct err_info *info)
{
	(void)s;
	if (!str_eq(name, STR("assistant")))
		return err_set(info, ERR_NOT_FOUND, "there is no such alias");
	alias_entry(ret);
	return OK;
}

enum err model_alias_set(struct model_store *s, struct str name, const struct alias_choice *choice,
	const char *person, struct alias *ret, struct err_info *info)
{
	(void)s, (void)name, (void)person, (void)info;
	alias_entry(ret);
	return str_copy(
		choice->engine, ret->at[ALIAS_PRODUCTION].engine, LIMIT_ENGINE_ID + 1);
}

enum err model_alias_keep(struct model_store *s, struct str name, const char *engine,
	struct alias *ret, struct err_info *info)
{
	(void)s, (void)name, (void)info;
	alias_entry(ret);
	return str_copy(str_from(engine), ret->at[ALIAS_PRODUCTION].engine, LIMIT_ENGINE_ID + 1);
}

enum err model_alias_promote(struct model_store *s, struct str name, struct str reason,
	const char *person, struct alias *ret, struct err_info *info)
{
	(void)person;
	if (!reason.len)
		return err_set(info, ERR_CONFLICT, "no accepted trial");
	return model_alias_get(s, name, ret, info);
}

enum err model_alias_back(struct model_store *s, struct str name, const char *person,
	struct alias *ret, struct err_info *info)
{
	(void)person;
	return model_alias_get(s, name, ret, info);
}

enum err model_alias_remove(struct model_store *s, struct str name, struct err_info *info)
{
	struct alias a;
	return model_alias_get(s, name, &a, info);
}

enum err model_store_let_in(
	struct model_store *s, struct str name, struct str source, const char *person)
{
	(void)s, (void)name, (void)source, (void)person;
	return OK;
}

enum err model_store_origin(
	struct model_store *s, const char *digest, struct model_origin *ret)
{
	(void)s, (void)digest;
	*ret = (struct model_origin){ .source = "hf.co/u/r:Q4", .at_ms = 1700000000000 };
	return OK;
}

enum err trial_prompt_add(struct trials *t, struct str alias, struct str text, const char *person,
	struct trial_prompt *ret, struct err_info *info)
{
	(void)t, (void)alias, (void)person, (void)info;
	*ret = (struct trial_prompt){ .id = "01", .text = text };
	return OK;
}

enum err trial_prompts(struct trials *t, struct str alias, trial_prompt_fn fn, void *arg,
	struct err_info *info)
{
	(void)t, (void)alias, (void)info;
	fn(&(struct trial_prompt){ .id = "01", .text = STR("Hallo?") }, arg);
	return OK;
}

enum err trial_prompt_remove(
	struct trials *t, struct str alias, struct str id, struct err_info *info)
{
	(void)t, (void)alias, (void)id, (void)info;
	return OK;
}

enum err trial_get(struct trials *t, struct str alias, struct str id, struct trial *ret,
	struct err_info *info)
{
	(void)t, (void)alias, (void)id, (void)info;
	*ret = (struct trial){ .id = "02", .state = "done", .prompts = 1, .answered = 1 };
	return OK;
}

enum err trials_start(struct trials *t, struct str alias, int64_t tokens, const char *person,
	struct trial *ret, struct err_info *info)
{
	(void)tokens, (void)person;
	return trial_get(t, alias, STR(""), ret, info);
}

enum err trial_list(struct trials *t, struct str alias, struct trial **ret, size_t *ret_n,
	struct err_info *info)
{
	*ret = mem_zalloc(1, sizeof **ret);
	*ret_n = 1;
	return *ret ? trial_get(t, alias, STR(""), *ret, info) : ERR_NOMEM;
}

enum err trial_answers(struct trials *t, struct str id, trial_answer_fn fn, void *arg)
{
	(void)t, (void)id;
	fn(&(struct trial_answer){ .prompt = STR("Hallo?"), .text = { STR("Alt"), STR("Neu") } },
		arg);
	return OK;
}

enum err trial_decide(struct trials *t, struct str alias, struct str id, bool accept,
	struct str note, const char *person, struct trial *ret, struct err_info *info)
{
	(void)note, (void)person;
	TRY(trial_get(t, alias, id, ret, info));
	return str_copy(accept ? STR("accepted") : STR("rejected"), ret->state, sizeof ret->state);
}
