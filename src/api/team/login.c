/* Log-in, one-time links, and what a person may change about themselves. */
#include "api/team/team.h"

#include "base/limits.h"
#include "base/log.h"
#include "store/db.h"
#include "vault/links.h"
#include "vault/login.h"
#include "vault/session.h"

enum { ANSWER_MAX = 64 * 1024 };

void instance_json(struct call *c, struct jw *w)
{
	struct key_info key = { .kind = "file" };
	bool has_owner = true;
	struct err_info ignored = c->info;
	if (keeper_key_info(c, false, &key) || person_has_owner(c->app->vault, &has_owner))
		c->info = ignored; /* the page loads all the same; doctor says what is wrong */
	jw_obj(w);
	jw_kstr(w, "name", str_from(c->app->config.name));
	jw_kstr(w, "version", str_from(c->app->config.version));
	jw_kstr(w, "key_protection", str_from(key.kind));
	jw_kbool(w, "recovery_sheet", key.recovery);
	jw_kbool(w, "tls", http_is_tls(c->q));
	jw_kbool(w, "has_owner", has_owner);
	jw_kbool(w, "damaged", db_damaged(c->app->db));
	jw_end(w);
}

enum err team_instance(struct call *c)
{
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	struct jw w;
	jw_init(&w, &out);
	instance_json(c, &w);
	call_json(c, 200, &out);
	return OK;
}

enum err me_json(struct call *c, const struct person *p, const char *csrf, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "person");
	person_json(&w, p);
	jw_kstr(&w, "csrf", str_from(csrf));
	jw_key(&w, "instance");
	instance_json(c, &w);
	jw_key(&w, "rights");
	jw_arr(&w);
	for (int a = 0; a < ACTION_COUNT_; a++)
		if (may(&c->who, (enum action)a))
			jw_str(&w, str_from(action_text((enum action)a)));
	jw_end(&w);
	jw_end(&w);
	return out->err;
}

/* The answer to a good log-in: cookie and Me. */
static enum err reply_session(struct call *c, struct session *s, const struct person *p)
{
	AUTO_SECRET_BUF struct buf cookie = BUF(1024);
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	c->who.role = p->role; /* from here on it is they who ask: the audit record names them */
	memcpy(c->who.person, p->id, sizeof c->who.person);
	enum err e = session_cookie(s, http_is_tls(c->q), &cookie);
	if (!e)
		e = me_json(c, p, s->csrf, &out);
	if (!e) {
		http_set_header(c->q, "Set-Cookie", buf_str(&cookie));
		call_json(c, 200, &out);
	}
	wipe(s, sizeof *s);
	return e;
}

enum err team_login(struct call *c)
{
	struct login_try t = {
		.email = call_str(c, "email"),
		.password = call_str(c, "password"),
		.address = http_client_address(c->q),
		.agent = http_header(c->q, "User-Agent"),
	};
	struct session s;
	struct person p;
	TRY(login_password(c->app->vault, &t, &s, &p, &c->info));
	return reply_session(c, &s, &p);
}

enum err team_logout(struct call *c)
{
	AUTO_BUF struct buf cookie = BUF(1024);
	TRY(session_end(c->app->vault, c->who.session_hash));
	events_end(c->app, c->who.person, c->who.session_hash);
	TRY(session_cookie(NULL, http_is_tls(c->q), &cookie));
	http_set_header(c->q, "Set-Cookie", buf_str(&cookie));
	http_set_header(c->q, "Clear-Site-Data", STR("\"cache\", \"storage\""));
	call_empty(c);
	return OK;
}

enum err team_link_check(struct call *c)
{
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	struct link_info l;
	struct jw w;
	TRY(link_check(c->app->vault, call_str(c, "token"), &l, &c->info));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "kind", str_from(link_kind_text(l.kind)));
	if (l.email[0])
		jw_kstr(&w, "email", str_from(l.email));
	if (l.role != PERSON_NONE)
		jw_kstr(&w, "role", str_from(person_role_text(l.role)));
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err team_link_accept(struct call *c)
{
	struct link_use u = {
		.token = call_str(c, "token"),
		.password = call_str(c, "password"),
		.email = call_str(c, "email"),
		.name = call_str(c, "name"),
		.language = call_str(c, "language"),
		.agent = http_header(c->q, "User-Agent"),
	};
	struct session s;
	struct person p;
	TRY(link_accept(c->app->vault, &u, &s, &p, &c->info));
	events_end_others(c->app, p.id, NULL); /* a reset ended the person's other sessions */
	return reply_session(c, &s, &p);
}

enum err team_me(struct call *c)
{
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	struct person p;
	TRY(person_find(c->app->vault, str_from(c->who.person), &p));
	TRY(me_json(c, &p, c->who.by_key ? "" : c->who.csrf, &out));
	call_json(c, 200, &out);
	return OK;
}

static struct str optional(const struct call *c, const char *field)
{
	return json_is_string(json_object_get(c->body, field)) ? call_str(c, field) : STR_NONE;
}

enum err team_me_change(struct call *c)
{
	AUTO_BUF struct buf out = BUF(ANSWER_MAX);
	struct person_change ch = PERSON_CHANGE(PERSON_MEMBER);
	struct person p;
	ch.name = optional(c, "name");
	ch.language = optional(c, "language");
	ch.address = optional(c, "address");
	ch.theme = optional(c, "theme");
	TRY(person_change(c->app->vault, str_from(c->who.person), &ch, &p, &c->info));
	TRY(me_json(c, &p, c->who.csrf, &out));
	call_json(c, 200, &out);
	return OK;
}

enum err team_me_password(struct call *c)
{
	TRY(login_change_password(
		c->app->vault, &c->who, call_str(c, "old"), call_str(c, "new"), &c->info));
	events_end_others(c->app, c->who.person, c->who.session_hash);
	call_empty(c);
	return OK;
}

enum err reply_link(struct call *c, const char *token, int64_t expires_ms)
{
	AUTO_SECRET_BUF struct buf link = BUF(2048);
	AUTO_SECRET_BUF struct buf out = BUF(4096);
	const char *base = c->app->config.public_url;
	struct jw w;
	/* the token stands in the fragment: no server, proxy or log sees it with the address */
	TRY(buf_addf(&link, "%s/#/link/%s", base ? base : "", token));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "link", buf_str(&link));
	jw_ki64(&w, "expires_ms", expires_ms);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err team_owner_link(struct call *c)
{
	struct link_new n = { .kind = LINK_OWNER, .by = c->who.role };
	char token[TOKEN_LEN + 1];
	int64_t expires_ms;
	TRY(link_make(c->app->vault, &n, token, &expires_ms, &c->info));
	enum err e = reply_link(c, token, expires_ms);
	wipe(token, sizeof token);
	return e;
}
