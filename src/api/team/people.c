/* Accounts and API keys. */
#include "api/team/team.h"

#include "base/limits.h"
#include "chat/chat.h"
#include "chat/responses.h"
#include "vault/keys.h"
#include "vault/links.h"
#include "vault/session.h"

enum { ANSWER_MAX = 64 * 1024 };

static enum err reply_person(struct call *c, const struct person *p)
{
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	struct jw w;
	jw_init(&w, &out);
	person_json(&w, p);
	call_json(c, 200, &out);
	return OK;
}

enum err team_people(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	TRY(person_list_json(c->app->vault, &out));
	call_json(c, 200, &out);
	return OK;
}

enum err team_person_new(struct call *c)
{
	struct person p;
	struct person_new n = {
		.email = call_str(c, "email"),
		.password = call_str(c, "password"),
		.name = call_str(c, "name"),
		.role = c->object.role, /* authorize() allowed it */
	};
	TRY(person_create(c->app->vault, &n, &p, &c->info));
	return reply_person(c, &p);
}

enum err team_invite(struct call *c)
{
	struct link_new n = { .kind = LINK_INVITE,
		.by = c->who.role,
		.email = call_str(c, "email"),
		.role = c->object.role };
	char token[TOKEN_LEN + 1];
	int64_t expires_ms;
	TRY(link_make(c->app->vault, &n, token, &expires_ms, &c->info));
	enum err e = reply_link(c, token, expires_ms);
	wipe(token, sizeof token);
	return e;
}

enum err team_person_change(struct call *c)
{
	struct person_change ch = PERSON_CHANGE(c->who.role);
	struct str role = call_str(c, "role"), state = call_str(c, "state");
	struct person p;
	if (role.len)
		TRY(person_role_from(role, &ch.role));
	if (state.len)
		ch.active = str_eq(state, STR("active"));
	if (json_is_string(json_object_get(c->body, "name")))
		ch.name = call_str(c, "name");
	TRY(person_change(c->app->vault, http_param(c->q, "id"), &ch, &p, &c->info));
	if (!p.active)
		events_end(c->app, p.id, NULL);
	return reply_person(c, &p);
}

enum err team_person_reset(struct call *c)
{
	struct link_new n = {
		.kind = LINK_RESET, .by = c->who.role, .person = http_param(c->q, "id")
	};
	char token[TOKEN_LEN + 1];
	int64_t expires_ms;
	TRY(link_make(c->app->vault, &n, token, &expires_ms, &c->info));
	enum err e = reply_link(c, token, expires_ms);
	wipe(token, sizeof token);
	return e;
}

static enum err forget(void *arg, const char *person)
{
	struct call *c = arg;
	events_end(c->app, person, NULL);
	TRY(responses_forget_person(c->app->responses, person));
	return chat_forget_person(c->app->chats, person);
}

enum err team_person_delete(struct call *c)
{
	TRY(person_delete(c->app->vault, http_param(c->q, "id"), c->who.role, forget, c, &c->info));
	call_empty(c);
	return OK;
}

/* ---- keys ---- */

enum err team_keys(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	if (!c->who.person[0])
		return err_set(&c->info, ERR_FORBIDDEN, "only a person has keys");
	TRY(api_key_list_json(c->app->vault, c->who.person, &out));
	call_json(c, 200, &out);
	return OK;
}

/* Whose key is it to be: one's own, or on the local socket the account that is named. */
static enum err key_person(struct call *c, struct person *ret)
{
	struct str email = call_str(c, "email");
	if (c->who.role != PERSON_LOCAL) {
		if (email.len)
			return err_set(&c->info, ERR_FORBIDDEN,
				"a key for somebody else can only be made by "
				"the command on the machine itself");
		return person_find(c->app->vault, str_from(c->who.person), ret);
	}
	if (!email.len)
		return err_set(&c->info, ERR_INVALID, "\"email\" is missing");
	enum err e = person_find_email(c->app->vault, email, ret);
	return e == ERR_NOT_FOUND ? err_set(&c->info, e, "there is no account with this address")
				  : e;
}

enum err team_key_new(struct call *c)
{
	AUTO_SECRET_BUF struct buf out = BUF(ANSWER_MAX);
	struct person p;
	struct api_key key;
	char secret[API_KEY_LEN + 1];
	struct jw w;
	struct api_key_new n = { .name = call_str(c, "name"), .scopes = call_str(c, "scopes") };
	TRY(json_want_i64(c->body, "expires_ms", false, 0, INT64_MAX, &n.expires_ms, &c->info));
	TRY(key_person(c, &p));
	n.person = str_from(p.id);
	TRY(api_key_create(c->app->vault, &n, &key, secret, &c->info));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_key(&w, "key");
	api_key_json(&w, &key);
	jw_kstr(&w, "secret", str_from(secret));
	jw_end(&w);
	wipe(secret, sizeof secret);
	call_json(c, 200, &out);
	return OK;
}

enum err team_key_revoke(struct call *c)
{
	TRY(api_key_revoke(c->app->vault, http_param(c->q, "id")));
	call_empty(c);
	return OK;
}
