/* api/call.h - one request on its way through src/api: what dispatch.c found out, for the handler.
 *
 * A handler is `enum err NAME(struct call *c)`. It answers with http_reply(), call_json(), a stream
 * or http_later() and returns OK; or it returns an error, which is answered in its API's form with
 * what stands in c->info. When it runs: the subject is known, authorize() said yes, a cookie's
 * request came from our page, the audit record of a change is durable, and the body of a team route
 * is a JSON object with only the fields of api/routes.json, of the right types. */
#pragma once

#include <pthread.h>

#include "api/app.h"
#include "vault/authorize.h"

struct call {
	struct http_req *q;
	struct app *app;
	struct arena *arena;        /* of the request */
	const struct route *route;
	struct subject who;
	struct object object;       /* what the route's {id} names */
	json_t *body;               /* team routes: the checked object; never NULL there */
	struct err_info info;       /* goes to the client with an error */
	const char *param;          /* OpenAI: which field is wrong */
	const char *code;           /* OpenAI: its clients' name for the error; NULL: usual */
	struct buf warnings;        /* lines; see call_warn() */
};
typedef enum err (*api_fn)(struct call *c);

/* Each handler of api/routes.json. */
#define H(name) enum err name(struct call *c);
#include "gen/handlers.inc"
#undef H

/* What each route's body may have (gen/fields.inc). */
struct field {
	const char *name;
	enum { FIELD_STR, FIELD_I64, FIELD_F64, FIELD_BOOL, FIELD_OBJ, FIELD_ARR } kind;
	bool required;
	const char *words;          /* "a|b": a string must be one of these; NULL: any */
};
struct fields {
	bool has_schema;
	const struct field *list;   /* ends with name NULL */
};
const struct fields *fields_of(const struct route *r);
/* Errors: ERR_INVALID (info names the field; unknown ones too). Pure. */
enum err fields_check(const struct fields *f, const json_t *body, struct err_info *info);

/* Runs a handler and answers its error; the thunks of routes.c call it. */
void call_run(struct http_req *q, void *app, api_fn fn);
/* Answers with an error in the route's form. */
void call_error(struct call *c, enum err e);
/* Answers with JSON and warnings header. */
void call_json(struct call *c, int status, const struct buf *json);
void call_empty(struct call *c); /* {} */
/* Parses the body of an Ollama or OpenAI request: an object; unknown fields stay. Owned by the
 * call. Errors: ERR_INVALID "missing request body", ERR_BAD_JSON, ERR_LIMIT. */
enum err call_body(struct call *c, json_t **ret);
/* A field of a team body: empty string when absent. */
struct str call_str(const struct call *c, const char *field);
/* A query parameter as a number. Errors: ERR_INVALID. */
enum err call_query_i64(struct call *c, const char *name, int64_t min, int64_t max, int64_t *ret);
/* Nothing is silent: what was ignored or changed. Goes into the reply and X-Tresor-Warnings. */
[[gnu::format(printf, 2, 3)]] void call_warn(struct call *c, const char *fmt, ...);
/* "warnings":[..] into an object that is open; nothing when there are none. */
void call_warnings_json(const struct call *c, struct jw *w);
void call_warnings_header(struct call *c);
/* One more audit record about this request (dispatch.c wrote "begun" already). */
enum err call_audit(struct call *c, const char *action, const char *outcome, struct str object,
		    struct str note);

/* What src/api itself keeps. */
struct events;
struct api_state {
	_Atomic uint64_t requests[6];  /* by dialect */
	_Atomic uint64_t errors[ERR_COUNT_];
	_Atomic uint64_t refused;      /* by authorize() or the credential */
	int64_t start_ms;
	struct events *events;         /* team/events.c */
	pthread_mutex_t lock;          /* guards the cache of the key's kind */
	int64_t key_info_ms;
	char key_kind[16];
	bool key_recovery;
};
