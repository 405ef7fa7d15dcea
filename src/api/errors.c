/* An error in the form that each API's clients expect. */
#include "api/errors.h"

#include "api/call.h"

#include <stdio.h>
#include "http/route.h"
#include "models/fleet.h"

/* OpenAI: `type` by status; `code` is our slug, or theirs where clients look for it. */
static const struct {
	int status;
	const char *type;
} openai_types[] = {
	{ 400, "invalid_request_error" },
	{ 401, "invalid_request_error" },
	{ 403, "permission_error" },
	{ 404, "not_found_error" },
	{ 405, "invalid_request_error" },
	{ 408, "timeout_error" },
	{ 409, "conflict_error" },
	{ 413, "invalid_request_error" },
	{ 422, "invalid_request_error" },
	{ 429, "rate_limit_error" },
	{ 431, "invalid_request_error" },
};
static const struct {
	enum err e;
	const char *code;
} openai_codes[] = {
	{ ERR_LOGIN, "invalid_api_key" },
	{ ERR_CONTEXT, "context_length_exceeded" },
	{ ERR_THROTTLED, "rate_limit_exceeded" },
	{ ERR_QUEUE, "rate_limit_exceeded" },
};
static const struct {
	int status;
	const char *type;
} anthropic_types[] = {
	{ 400, "invalid_request_error" },
	{ 401, "authentication_error" },
	{ 403, "permission_error" },
	{ 404, "not_found_error" },
	{ 405, "invalid_request_error" },
	{ 408, "timeout_error" },
	{ 409, "invalid_request_error" },
	{ 413, "request_too_large" },
	{ 422, "invalid_request_error" },
	{ 429, "rate_limit_error" },
	{ 431, "invalid_request_error" },
	{ 503, "overloaded_error" },
};

static const char *type_of_openai(int status)
{
	for (size_t i = 0; i < sizeof openai_types / sizeof openai_types[0]; i++)
		if (openai_types[i].status == status)
			return openai_types[i].type;
	return "api_error";
}

static const char *type_of_anthropic(int status)
{
	for (size_t i = 0; i < sizeof anthropic_types / sizeof anthropic_types[0]; i++)
		if (anthropic_types[i].status == status)
			return anthropic_types[i].type;
	return "api_error";
}

const char *error_openai_code(enum err e, const char *param)
{
	if (e == ERR_NOT_FOUND && param && strcmp(param, "model") == 0)
		return "model_not_found";
	for (size_t i = 0; i < sizeof openai_codes / sizeof openai_codes[0]; i++)
		if (openai_codes[i].e == e)
			return openai_codes[i].code;
	return err_slug(e);
}

static struct str text_of(const struct err_info *e)
{
	return str_from(e->detail[0] ? e->detail : err_text(e->code));
}

void error_openai(
	const struct err_info *e, const char *param, const char *code, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kstr(&w, "message", text_of(e));
	jw_kstr(&w, "type", str_from(type_of_openai(err_http_status(e->code))));
	jw_kstr(&w, "param", str_from(param));
	jw_kstr(&w, "code", str_from(code ? code : error_openai_code(e->code, param)));
	jw_end(&w);
	jw_end(&w);
}

void error_ollama(const struct err_info *e, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "error", text_of(e));
	jw_end(&w);
}

static void error_team(const struct err_info *e, struct str id, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kstr(&w, "slug", str_from(err_slug(e->code)));
	jw_kstr(&w, "message", text_of(e));
	if (e->hint[0])
		jw_kstr(&w, "hint", str_from(e->hint));
	jw_kstr(&w, "request_id", id);
	jw_end(&w);
	jw_end(&w);
}

static void error_anthropic(const struct err_info *e, struct str id, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("error"));
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kstr(&w, "type", str_from(type_of_anthropic(err_http_status(e->code))));
	jw_kstr(&w, "message", text_of(e));
	jw_end(&w);
	jw_kstr(&w, "request_id", id);
	jw_end(&w);
}

void api_error_body(enum dialect d, const struct err_info *e, struct str request_id,
	struct buf *out, const char **ret_media_type)
{
	*ret_media_type = "application/json";
	switch (d) {
	case DIALECT_OLLAMA:
		error_ollama(e, out);
		return;
	case DIALECT_OPENAI:
		error_openai(e, NULL, NULL, out);
		return;
	case DIALECT_ANTHROPIC:
		error_anthropic(e, request_id, out);
		return;
	case DIALECT_TEAM:
		error_team(e, request_id, out);
		return;
	case DIALECT_PLAIN:
	case DIALECT_PAGE:
		break;
	}
	*ret_media_type = "text/plain; charset=utf-8";
	struct str text = text_of(e);
	(void)buf_addf(out, "%.*s\n", STR_ARG(text));
}

static void retry_after(struct call *c, enum err e)
{
	char text[16];
	if (e != ERR_THROTTLED && e != ERR_BUSY && e != ERR_AGAIN && e != ERR_QUEUE)
		return;
	unsigned s = e == ERR_THROTTLED ? 5 : 1;
	if (e == ERR_QUEUE)
		s = fleet_retry_after_s(c->app->fleet);
	snprintf(text, sizeof text, "%u", s);
	http_set_header(c->q, "Retry-After", str_from(text));
}

void call_error(struct call *c, enum err e)
{
	AUTO_BUF struct buf out = BUF(16 * 1024);
	const char *media_type;
	c->info.code = e;
	if (c->app->state)
		c->app->state->errors[e]++;
	if (c->route->dialect == DIALECT_OPENAI) {
		media_type = "application/json";
		error_openai(&c->info, c->param, c->code, &out);
	} else {
		api_error_body(
			c->route->dialect, &c->info, http_request_id(c->q), &out, &media_type);
	}
	if (e == ERR_LOGIN)
		http_set_header(c->q, "WWW-Authenticate", STR("Bearer"));
	retry_after(c, e);
	http_reply(c->q, err_http_status(e), media_type, buf_str(&out));
}
