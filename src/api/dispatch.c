/* The one path that every request takes:
 *
 *   credential -> subject -> body -> object's owner -> authorize() -> audit -> handler
 *
 * Each step may end it, and nothing after that step runs. Which right, which object, which
 * credentials: api/routes.json. */
#include "api/call.h"

#include <stdio.h>
#include <unistd.h>

#include "api/team/team.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "chat/chat.h"
#include "chat/responses.h"
#include "http/route.h"
#include "vault/audit.h"
#include "vault/credential.h"
#include "vault/keys.h"
#include "vault/people.h"
#include "vault/session.h"

_Static_assert(
	(int)AUTH_NONE == (int)CREDENTIAL_NONE && (int)AUTH_SESSION == (int)CREDENTIAL_SESSION &&
		(int)AUTH_KEY == (int)CREDENTIAL_KEY && (int)AUTH_LOCAL == (int)CREDENTIAL_LOCAL,
	"route table and credential.h speak of the same bits");

static void free_body(void *json)
{
	json_decref(json);
}
static void free_buf(void *buf)
{
	buf_done(buf);
}

static struct call *new_call(struct http_req *q, struct app *app)
{
	struct arena *a = http_arena(q);
	struct call *c = ARENA_NEW(a, struct call);
	if (!c)
		return NULL;
	c->q = q;
	c->app = app;
	c->arena = a;
	c->route = http_route(q);
	c->warnings = BUF(4096);
	if (arena_on_free(a, free_buf, &c->warnings))
		return NULL;
	http_set_ctx(q, c);
	return c;
}

static enum err find_subject(struct call *c)
{
	unsigned uid = 0;
	bool local = http_is_local(c->q, &uid);
	struct credential_in in = {
		.cookie = http_cookie(c->q, SESSION_COOKIE),
		.authorization = http_header(c->q, "Authorization"),
		.x_api_key = http_header(c->q, "X-Api-Key"),
		.csrf = http_header(c->q, "X-Tresor-CSRF"),
		.origin = http_header(c->q, "Origin"),
		.sec_fetch_site = http_header(c->q, "Sec-Fetch-Site"),
		.host = http_header(c->q, "Host"),
		.public_url = str_from(c->app->config.public_url),
		.tls = http_is_tls(c->q),
		.local_uid = local ? (int64_t)uid : -1,
		.own_uid = (int64_t)geteuid(),
		.changes = c->route->changes,
		.accepted = c->route->auth,
		.scope = c->route->scope,
	};
	return credential_subject(c->app->vault, &in, &c->who, &c->info);
}

static enum err own_body(struct call *c, json_t *doc)
{
	if (arena_on_free(c->arena, free_body, doc)) {
		json_decref(doc);
		return ERR_NOMEM;
	}
	c->body = doc;
	return OK;
}

/* Team routes say in api/routes.json what a body has; nothing else is let in. */
static enum err read_team_body(struct call *c)
{
	struct str text = http_body(c->q);
	json_t *doc = NULL;
	if (c->route->dialect != DIALECT_TEAM)
		return OK;
	if (text.len)
		TRY(json_read(text, text.len, LIMIT_JSON_DEPTH, &doc, &c->info));
	else if (!(doc = json_object()))
		return ERR_NOMEM;
	TRY(own_body(c, doc));
	if (!json_is_object(doc))
		return err_set(&c->info, ERR_INVALID, "the body must be a JSON object");
	return fields_check(fields_of(c->route), doc, &c->info);
}

/* ---- whose is it? ---- */

static enum err look_conversation(struct call *c, struct str id)
{
	return chat_owner(c->app->chats, id, c->object.owner);
}
static enum err look_message(struct call *c, struct str id)
{
	return chat_message_owner(c->app->chats, id, c->object.owner);
}
static enum err look_response(struct call *c, struct str id)
{
	struct str own = str_sub(id, 5, SIZE_MAX);
	if (!str_starts(id, STR("resp_")) || !id_ok(own))
		return ERR_NOT_FOUND;
	return response_owner(c->app->responses, own, c->object.owner);
}
static enum err look_key(struct call *c, struct str id)
{
	return api_key_owner(c->app->vault, id, c->object.owner);
}
static enum err look_person(struct call *c, struct str id)
{
	struct person p;
	TRY(person_find(c->app->vault, id, &p));
	memcpy(c->object.owner, p.id, sizeof c->object.owner);
	c->object.role = p.role;
	return OK;
}
/* Not a stored thing: the role that somebody is to get. */
static enum err look_role(struct call *c, struct str id)
{
	(void)id;
	if (person_role_from(call_str(c, "role"), &c->object.role))
		return err_set(&c->info, ERR_INVALID, "\"role\" must be owner, admin or member");
	return OK;
}

static const struct {
	enum object_kind kind;
	enum err (*look)(struct call *c, struct str id);
} lookers[] = {
	{ OBJECT_CONVERSATION, look_conversation },
	{ OBJECT_MESSAGE, look_message },
	{ OBJECT_RESPONSE, look_response },
	{ OBJECT_KEY, look_key },
	{ OBJECT_PERSON, look_person },
	{ OBJECT_ROLE, look_role },
};

static enum err find_object(struct call *c)
{
	c->object.kind = (enum object_kind)c->route->object;
	for (size_t i = 0; i < sizeof lookers / sizeof lookers[0]; i++) {
		if (lookers[i].kind != c->object.kind)
			continue;
		enum err e = lookers[i].look(c, http_param(c->q, "id"));
		if (e == ERR_NOT_FOUND) {
			c->object.missing = true; /* authorize() answers for it */
			return OK;
		}
		return e;
	}
	return OK;
}

/* ---- audit ---- */

static bool audited(const struct call *c)
{
	/* conversations are the person's own business: what they say and rename is not recorded */
	return c->route->changes && c->route->action != ACTION_CHAT_USE &&
	       c->route->action != ACTION_CHAT_CHANGE;
}

static struct str first_str(const struct call *c, const char *const *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (call_str(c, fields[i]).len)
			return call_str(c, fields[i]);
	return STR("");
}

/* What the change is about: the path's {..}, or the field of the body that names a model, a host or
 * a role. Never an e-mail address, a person's name or free text. */
static struct str audit_object(struct call *c)
{
	static const char *const params[] = { "id", "name", "digest", "host" };
	static const char *const models[] = { "model", "name" };
	static const char *const copies[] = { "destination" };
	for (size_t i = 0; i < sizeof params / sizeof params[0]; i++)
		if (http_param(c->q, params[i]).ptr)
			return str_sub(http_param(c->q, params[i]), 0, 200);
	if (c->route->action == ACTION_MODELS_CHANGE || c->route->action == ACTION_MODELS_PUSH) {
		/* what the route reads, or another field could hide it */
		bool copy = strcmp(c->route->path, "/api/copy") == 0;
		return str_sub(copy ? first_str(c, copies, 1) : first_str(c, models, 2), 0, 200);
	}
	if (c->route->action == ACTION_EGRESS_CHANGE)
		return str_sub(call_str(c, "host"), 0, 200);
	if (c->object.kind == OBJECT_ROLE)
		return call_str(c, "role");
	return STR("");
}

/* "POST /team/v1/people/{id}/reset" is what was done; the handler's name says it shortest. */
static const char *audit_action(const struct call *c)
{
	return c->route->action == ACTION_PUBLIC ? c->route->path : action_text(c->route->action);
}

enum err call_audit(
	struct call *c, const char *action, const char *outcome, struct str object, struct str note)
{
	struct audit_event e = {
		.who = c->who.role == PERSON_NONE ? NULL : &c->who,
		.action = action,
		.object = object,
		.outcome = outcome,
		.address = http_client_address(c->q),
		.request_id = http_request_id(c->q),
		.note = note,
	};
	return audit_write(c->app->audit, &e);
}

/* A person or key that was told no: worth a line, but it must not stop the answer. */
static void audit_refusal(struct call *c, enum err e)
{
	c->app->state->refused++;
	if (c->who.role == PERSON_NONE || (e != ERR_FORBIDDEN && e != ERR_CSRF))
		return;
	if (call_audit(c, audit_action(c), "refused", audit_object(c), str_from(err_slug(e))))
		log_warn("a refusal was not recorded");
}

static enum err begin_change(struct call *c)
{
	if (!audited(c))
		return OK;
	enum err e = call_audit(
		c, audit_action(c), "begun", audit_object(c), str_from(c->route->method));
	if (e)
		return err_set(
			&c->info, e, "the audit log cannot be written, so nothing was changed");
	return OK;
}

static void end_change(struct call *c, enum err e)
{
	if (!audited(c))
		return;
	if (call_audit(c, audit_action(c), e ? "failed" : "ok", audit_object(c),
		    str_from(e ? err_slug(e) : "")))
		log_warn("the end of a change was not recorded");
}

/* ---- the path ---- */

/* Who it is and whether they may: all that does not need the body, unless it names the object. */
static enum err may_they(struct call *c)
{
	TRY(find_subject(c));
	if (c->route->object == OBJECT_ROLE)
		TRY(read_team_body(c)); /* it names the role; else rights go before the body */
	TRY(find_object(c));
	return authorize(&c->who, (enum action)c->route->action, &c->object);
}

static enum err read_body(struct call *c)
{
	if (!c->body)
		TRY(read_team_body(c));
	if (c->route->dialect == DIALECT_OLLAMA && c->route->changes && c->route->body_max > 0) {
		json_t *body; /* its "model" is what the audit record names */
		TRY(call_body(c, &body));
	}
	return OK;
}

static void refuse(struct call *c, enum err e)
{
	audit_refusal(c, e);
	call_error(c, e);
}

/* Begins the call; NULL: answered. */
static struct call *begin_call(struct http_req *q, struct app *app)
{
	struct call *c = new_call(q, app);
	if (!c) {
		http_reply(q, 503, "text/plain", STR("out of memory\n"));
		return NULL;
	}
	app->state->requests[c->route->dialect]++;
	return c;
}

void api_admit(struct http_req *q, void *app)
{
	struct call *c = begin_call(q, app);
	enum err e = c ? may_they(c) : OK;
	if (e)
		refuse(c, e);
}

void api_dispatch(struct http_req *q, void *app)
{
	struct call *c = http_ctx(q);
	enum err e = OK;
	if (!c) { /* else api_admit() asked before the body came */
		c = begin_call(q, app);
		if (!c)
			return;
		e = may_they(c);
	}
	if (!e)
		e = read_body(c);
	if (e) {
		refuse(c, e);
		return;
	}
	e = begin_change(c);
	if (e)
		call_error(c, e);
	else
		c->route->handler(q, app);
}

void call_run(struct http_req *q, void *app, api_fn fn)
{
	struct call *c = http_ctx(q);
	(void)app;
	enum err e = fn(c);
	end_change(c, e);
	if (!e)
		return;
	if (err_http_status(e) >= 500)
		log_error("a request failed", KV_ERR(e), KV_Z("route", c->route->path),
			KV_Z("why", c->info.log));
	call_error(c, e);
}

/* ---- helpers for handlers ---- */

void call_json(struct call *c, int status, const struct buf *json)
{
	if (json->err) {
		call_error(c, json->err);
		return;
	}
	call_warnings_header(c);
	http_reply(c->q, status, "application/json", buf_str(json));
}

void call_empty(struct call *c)
{
	http_reply(c->q, 200, "application/json", STR("{}"));
}

enum err call_body(struct call *c, json_t **ret)
{
	struct str text = http_body(c->q);
	json_t *doc;
	if (!c->body) {
		if (!str_trim(text).len)
			return err_set(&c->info, ERR_INVALID, "missing request body");
		TRY(json_read(text, text.len, LIMIT_JSON_DEPTH, &doc, &c->info));
		TRY(own_body(c, doc));
	}
	if (!json_is_object(c->body))
		return err_set(&c->info, ERR_INVALID, "the body must be a JSON object");
	*ret = c->body;
	return OK;
}

struct str call_str(const struct call *c, const char *field)
{
	const json_t *v = json_object_get(c->body, field);
	if (!json_is_string(v))
		return STR("");
	return (struct str){ json_string_value(v), json_string_length(v) };
}

enum err call_query_i64(struct call *c, const char *name, int64_t min, int64_t max, int64_t *ret)
{
	struct str s = http_query(c->q, name);
	int64_t v;
	if (!s.ptr || !s.len)
		return OK;
	if (str_to_i64(s, &v) || v < min || v > max)
		return err_set(&c->info, ERR_INVALID, "\"%s\" must be a number from %lld to %lld",
			name, (long long)min, (long long)max);
	*ret = v;
	return OK;
}

void call_warn(struct call *c, const char *fmt, ...)
{
	va_list ap;
	if (c->warnings.len)
		(void)buf_add_byte(&c->warnings, '\n');
	va_start(ap, fmt);
	(void)buf_addv(&c->warnings, fmt, ap);
	va_end(ap);
}

void call_warnings_json(const struct call *c, struct jw *w)
{
	struct str rest = buf_str(&c->warnings), line;
	if (!rest.len)
		return;
	jw_key(w, "warnings");
	jw_arr(w);
	while (str_next(&rest, '\n', &line))
		jw_str(w, line);
	jw_end(w);
}

void call_warnings_header(struct call *c)
{
	AUTO_BUF struct buf v = BUF(4096);
	struct str rest = buf_str(&c->warnings), line;
	if (!rest.len)
		return;
	while (str_next(&rest, '\n', &line)) {
		if (v.len)
			(void)buf_add(&v, STR("; "));
		for (size_t i = 0; i < line.len; i++) /* a header is ASCII */
			(void)buf_add_byte(
				&v, (unsigned char)line.ptr[i] < 0x7f ? line.ptr[i] : '?');
	}
	if (!v.err)
		http_set_header(c->q, "X-Tresor-Warnings", buf_str(&v));
}

enum err api_state_new(struct app *a)
{
	struct api_state *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	s->start_ms = time_now_ms();
	enum err e = events_new(&s->events);
	if (e) {
		mem_free(s);
		return e;
	}
	pthread_mutex_init(&s->lock, NULL);
	a->state = s;
	return OK;
}

void api_state_free(struct app *a)
{
	if (!a->state)
		return;
	events_free(a->state->events);
	pthread_mutex_destroy(&a->state->lock);
	mem_free(a->state);
	a->state = NULL;
}
