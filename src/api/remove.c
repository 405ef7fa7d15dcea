#include "api/remove.h"

#include <stdio.h>

#include "base/limits.h"
#include "models/delete.h"
#include "vault/people.h"

enum { NAMED_MAX = 5, PEOPLE_MAX = 16 * 1024 * 1024 };

/* Requests carry a number for their person, not the person: whose is it? */
static struct str name_of(const json_t *people, uint64_t number)
{
	size_t i;
	const json_t *p;
	if (number == gen_number(STR("")))
		return STR("the operator");
	json_array_foreach(json_object_get(people, "people"), i, p)
	{
		const char *id = json_string_value(json_object_get(p, "id"));
		if (id && gen_number(str_from(id)) == number)
			return str_from(json_string_value(json_object_get(p, "name")));
	}
	return STR("somebody");
}

static enum err who_uses(
	struct call *c, const struct fleet_user *u, size_t n, struct buf *out)
{
	AUTO_BUF struct buf text = BUF(PEOPLE_MAX);
	AUTO_JSON json_t *people = NULL;
	bool may_see = !authorize(&c->who, ACTION_PEOPLE_READ, NULL) && scope_ok(&c->who, "people");
	if (may_see) {
		TRY(person_list_json(c->app->vault, &text));
		TRY(json_read(buf_str(&text), PEOPLE_MAX, 8, &people, NULL));
	}
	for (size_t i = 0; i < n && i < NAMED_MAX; i++) {
		struct str who = may_see ? name_of(people, u[i].person) : STR("somebody");
		TRY(buf_addf(out, "%s%.*s (%u)", i ? ", " : "", STR_ARG(str_sub(who, 0, 60)),
			u[i].running + u[i].waiting));
	}
	return n > NAMED_MAX ? buf_addf(out, " and %zu more", n - NAMED_MAX) : OK;
}

enum err call_model_delete(struct call *c, struct str name, bool force)
{
	struct fleet_user user[MODEL_USERS_MAX];
	AUTO_BUF struct buf who = BUF(2 * ERR_DETAIL_MAX);
	size_t n = 0;
	enum err e = model_delete(c->app->models, c->app->fleet, name, force, user, &n, &c->info);
	if (e != ERR_CONFLICT || !n || who_uses(c, user, n, &who))
		return e;
	return err_set(&c->info, e,
		"model \"%.*s\" is in use: answers are made for %.*s (--force lets them end first)",
		(int)(name.len < 100 ? name.len : 100), name.ptr, STR_ARG(buf_str(&who)));
}
