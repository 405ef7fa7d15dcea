/* The list of allowed addresses, and the log-ins at registries among them. */
#include "api/team/team.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/limits.h"
#include "net/allow.h"
#include "net/egress_client.h"
#include "net/login.h"

enum { HTTPS_PORT = 443, REASON_MAX = 100 };

static const char *person(const struct call *c)
{
	return c->who.person[0] ? c->who.person : NULL;
}

/* What is about to be done, by its own name and with the port: dispatch.c's record says that the
 * list changes. The reason, which a person wrote, stays in the database. */
static enum err announce(
	struct call *c, const char *action, struct str host, int64_t port, struct str note)
{
	char object[300];
	(void)snprintf(object, sizeof object, "%.*s:%lld", (int)(host.len < 260 ? host.len : 260),
		host.ptr ? host.ptr : "", (long long)port);
	enum err e = call_audit(c, action, "begun", str_from(object), note);
	if (e)
		return err_set(
			&c->info, e, "the audit log cannot be written, so nothing was changed");
	return OK;
}

/* Takes the stored list into force: the client here, then the egress role. */
static enum err use_list(struct call *c)
{
	struct allow *a = mem_zalloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	enum err e = allow_load(c->app->db, a);
	if (!e)
		e = egress_client_policy(c->app->egress, a);
	mem_free(a);
	return e;
}

enum err team_egress(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	TRY(allow_list_json(c->app->db, &out));
	call_json(c, 200, &out);
	return OK;
}

enum err team_egress_set(struct call *c)
{
	int64_t port = HTTPS_PORT;
	struct allow_row r = { .host = call_str(c, "host"),
		.purpose = call_str(c, "purpose"),
		.person = person(c) };
	TRY(json_want_i64(c->body, "port", false, 1, 65535, &port, &c->info));
	TRY(json_want_bool(c->body, "plain", false, &r.plain, &c->info));
	TRY(json_want_bool(c->body, "push", false, &r.push, &c->info));
	r.port = (uint16_t)port;
	if (!r.purpose.len || r.purpose.len > REASON_MAX || str_has_control(r.purpose) ||
		str_eq(r.purpose, STR("no")))
		return err_set(&c->info, ERR_INVALID, "\"purpose\" says in a few words what for");
	TRY(announce(c, "source.add", r.host, port,
		r.push && r.plain ? STR("push, plain")
		: r.push          ? STR("push")
		: r.plain         ? STR("plain")
				  : STR("")));
	enum err e = allow_store(c->app->db, &r);
	if (e == ERR_INVALID)
		return err_set(&c->info, e, "\"host\" is not a host name, *.suffix or address");
	TRY(e);
	TRY(use_list(c));
	call_empty(c);
	return OK;
}

enum err team_egress_delete(struct call *c)
{
	int64_t port = HTTPS_PORT;
	struct str host = http_param(c->q, "host");
	TRY(call_query_i64(c, "port", 1, 65535, &port));
	TRY(announce(c, "source.remove", host, port, STR("")));
	/* a row that says "no" also takes away a host of the built-in list */
	enum err e = allow_store(c->app->db,
		&(struct allow_row){ .host = host,
			.port = (uint16_t)port,
			.purpose = STR("no"),
			.person = person(c) });
	if (e == ERR_INVALID)
		return err_set(&c->info, e, "this is not a host name, *.suffix or address");
	TRY(e);
	e = login_remove(c->app->db, host, (uint16_t)port);
	if (e && e != ERR_NOT_FOUND)
		return e;
	TRY(use_list(c));
	call_empty(c);
	return OK;
}

enum err team_egress_login(struct call *c)
{
	int64_t port = HTTPS_PORT;
	struct login_new n = { .host = http_param(c->q, "host"),
		.user = call_str(c, "user"),
		.password = call_str(c, "password"),
		.person = person(c) };
	TRY(json_want_i64(c->body, "port", false, 1, 65535, &port, &c->info));
	n.port = (uint16_t)port;
	TRY(announce(c, "source.login", n.host, port, STR("")));
	TRY(login_store(c->app->db, c->app->keeper, &n, &c->info));
	call_empty(c);
	return OK;
}

enum err team_egress_logout(struct call *c)
{
	int64_t port = HTTPS_PORT;
	struct str host = http_param(c->q, "host");
	TRY(call_query_i64(c, "port", 1, 65535, &port));
	TRY(announce(c, "source.logout", host, port, STR("")));
	enum err e = login_remove(c->app->db, host, (uint16_t)port);
	if (e == ERR_NOT_FOUND || e == ERR_INVALID)
		return err_set(&c->info, ERR_NOT_FOUND, "no log-in is stored for this host");
	TRY(e);
	call_empty(c);
	return OK;
}
