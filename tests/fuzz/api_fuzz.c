/* Bodies of the Ollama, OpenAI, Anthropic and team APIs through the real translators. The first
 * byte picks the handler. Whatever comes: an answer is given exactly once, errors have a text, and
 * what reaches the engine is well formed. http/ is played here, the rest is fakes. */
#include <stdio.h>
#include <stdlib.h>

#include "api/call.h"
#include "api/test_app.h"
#include "chat/chat.h"
#include "http/route.h"
#include "tests/fuzz/fuzz.h"

struct http_req {
	struct arena *arena;
	struct str body;
	const struct route *route;
	void *ctx;
	unsigned replies;
	bool later, stream;
	int status;
	struct buf out;
};

/* ---- http/, as far as handlers need it ---- */
const struct route *http_route(const struct http_req *q)
{
	return q->route;
}
struct arena *http_arena(struct http_req *q)
{
	return q->arena;
}
struct str http_method(const struct http_req *q)
{
	return str_from(q->route->method);
}
struct str http_path(const struct http_req *q)
{
	return str_from(q->route->path);
}
struct str http_param(const struct http_req *q, const char *n)
{
	(void)q, (void)n;
	return STR("tiny");
}
struct str http_query(const struct http_req *q, const char *n)
{
	(void)q, (void)n;
	return STR_NONE;
}
struct str http_header(const struct http_req *q, const char *n)
{
	(void)q, (void)n;
	return STR_NONE;
}
struct str http_cookie(const struct http_req *q, const char *n)
{
	(void)q, (void)n;
	return STR_NONE;
}
struct str http_body(const struct http_req *q)
{
	return q->body;
}
struct str http_request_id(const struct http_req *q)
{
	(void)q;
	return STR("01aaaaaaaaaaaaaaaaaaaaaaaa");
}
struct str http_client_address(const struct http_req *q)
{
	(void)q;
	return STR("127.0.0.1");
}
bool http_is_tls(const struct http_req *q)
{
	(void)q;
	return false;
}
bool http_is_local(const struct http_req *q, unsigned *uid)
{
	(void)q, (void)uid;
	return false;
}
enum err http_body_next(struct http_req *q, struct str *ret)
{
	(void)q;
	*ret = STR("");
	return OK;
}
void http_set_ctx(struct http_req *q, void *ctx)
{
	q->ctx = ctx;
}
void *http_ctx(const struct http_req *q)
{
	return q->ctx;
}
void http_stats(struct http_server *s, struct http_stats *ret)
{
	(void)s;
	*ret = (struct http_stats){ 0 };
}
void http_hold(struct http_req *q)
{
	(void)q;
}
void http_release(struct http_req *q)
{
	(void)q;
}
bool http_gone(const struct http_req *q)
{
	(void)q;
	return false;
}
enum err http_write_wait(struct http_req *q, struct str bytes)
{
	return http_write(q, bytes);
}
int http_status(struct http_req *q)
{
	return q->status;
}
void http_cut(struct http_req *q)
{
	(void)q;
}
void http_finish(struct http_req *q)
{
	(void)q;
}
void http_set_header(struct http_req *q, const char *n, struct str v)
{
	(void)q, (void)n;
	if (str_has_control(v))
		DIE("a header with control bytes");
}
void http_reply(struct http_req *q, int status, const char *type, struct str body)
{
	(void)type;
	q->replies++;
	q->status = status;
	(void)!!buf_add(&q->out, body);
}
void http_later(struct http_req *q, void (*fn)(void *), void *arg)
{
	(void)fn, (void)arg;
	q->later = true;
}
void http_stream(struct http_req *q, int status, const char *type, void (*fn)(void *), void *arg)
{
	(void)type, (void)fn, (void)arg;
	q->stream = true;
	q->status = status;
}
enum err http_write(struct http_req *q, struct str s)
{
	return buf_add(&q->out, s);
}

/* ---- chat/, as far as a question goes ---- */
enum err chat_send(struct chats *c, const char *person, struct str conversation,
	const struct chat_send *s, struct buf *ret_json, struct err_info *info)
{
	char name[LIMIT_MODEL_NAME + 1];
	(void)c, (void)person, (void)conversation;
	if (s->n_pictures > GEN_PICTURES_MAX)
		DIE("too many pictures");
	for (size_t i = 0; i < s->n_pictures; i++) {
		const struct chat_picture *p = &s->pictures[i];
		if (p->again && (!id_ok(str_from(p->message)) || p->place >= GEN_PICTURES_MAX))
			DIE("a picture that cannot be");
		if (!p->again && (p->message[0] || p->bytes.len > LIMIT_PICTURES))
			DIE("a new picture that is none");
	}
	TRY(s->vision(s->vision_arg, name, info));
	return buf_add(ret_json, STR("{}"));
}

/* ---- what tests/test.c gives to the fakes ---- */
void test_fail_(const char *file, int line, const char *fmt, ...)
{
	(void)fmt;
	die(file, line, "a fake failed");
}
void test_eq_err_(const char *file, int line, const char *what, enum err got, enum err want)
{
	if (got != want)
		die(file, line, what);
}

/* ---- invariants ---- */

/* Role and content, and beside them only what the engine knows. */
static bool is_message(const json_t *m)
{
	static const char *const texts[] = { "share", "name", "tool_call_id", "reasoning_content" };
	size_t known = 2;
	if (!json_is_string(json_object_get(m, "role")) ||
		!json_is_string(json_object_get(m, "content")))
		return false;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		known += json_is_string(json_object_get(m, texts[i]));
	known += json_is_array(json_object_get(m, "tool_calls"));
	return json_object_size(m) == known;
}

static void check_engine_input(void)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	if (!fakes.last.input.len || fakes.last.kind != GEN_CHAT ||
		strlen(fakes.input) + 1 >= sizeof fakes.input)
		return;
	if (json_read(str_from(fakes.input), sizeof fakes.input, 8, &doc, NULL) ||
		!json_is_array(doc))
		DIE("the engine got no list of messages");
	json_array_foreach(doc, i, m) if (!is_message(m))
		DIE("the engine got a message of another form");
	if (fakes.last.n_stop > 16)
		DIE("too many stop strings");
	const struct gen_sampling *s = &fakes.last.sampling;
	if (!(s->temperature >= 0 && s->top_p >= 0 && s->top_p <= 1 && s->min_p >= 0 &&
		    s->min_p <= 1))
		DIE("an option out of its range");
}

static void check_answer(struct http_req *q)
{
	AUTO_JSON json_t *doc = NULL;
	if (q->replies != 1 && !q->stream)
		DIE("not answered exactly once");
	if (q->status >= 400 && (json_read(buf_str(&q->out), 1 << 20, 8, &doc, NULL) ||
					!json_object_get(doc, "error")))
		DIE("an error that is not in the API's form");
}

/* As dispatch.c does for our own routes: only the fields of the contract. False: refused. */
static bool read_team_body(struct call *c, json_t **ret)
{
	if (json_read(c->q->body, 65536, 64, ret, NULL) || !json_is_object(*ret) ||
		fields_check(fields_of(c->route), *ret, &c->info))
		return false;
	c->body = *ret;
	memcpy(c->who.person, "01aaaaaaaaaaaaaaaaaaaaaaaa", ID_LEN + 1);
	return true;
}

FUZZ
{
	static const struct {
		const char *path;
		api_fn fn; /* NULL: only the fields are checked */
	} all[] = {
		{ "/api/chat", ollama_chat },
		{ "/api/generate", ollama_generate },
		{ "/v1/chat/completions", openai_chat },
		{ "/api/pull", ollama_pull },
		{ "/api/show", ollama_show },
		{ "/api/create", ollama_create },
		{ "/team/v1/login", NULL },
		{ "/v1/messages", anthropic_messages },
		{ "/v1/messages/count_tokens", anthropic_count },
		{ "/v1/completions", openai_completions },
		{ "/infill", llamacpp_infill },
		{ "/api/tokenize", ollama_tokenize },
		{ "/detokenize", llamacpp_detokenize },
		{ "/api/copy", ollama_copy },
		{ "/v1/responses", openai_responses },
		{ "/v1/responses/input_tokens", openai_response_count },
		{ "/team/v1/conversations/{id}/messages", team_message_new },
	};
	struct api_state state = { .start_ms = 1 };
	struct app app = { .state = &state,
		.keep_alive_ms = 1000,
		.config = { .version = "0", .public_url = "http://localhost" } };
	struct http_req q = { .out = BUF(1 << 22) };
	if (!size || size > 65536 || arena_new(1 << 24, &q.arena))
		return;
	unsigned pick = data[0] % (sizeof all / sizeof *all);
	q.body = (struct str){ (const char *)data + 1, size - 1 };
	fakes_reset();
	fakes.run_nothing = true;
	for (size_t i = 0; i < route_count; i++)
		if (strcmp(route_table[i].path, all[pick].path) == 0)
			q.route = &route_table[i];
	struct call *c = arena_take(q.arena, 1, sizeof *c);
	*c = (struct call){
		.q = &q, .app = &app, .arena = q.arena, .route = q.route, .warnings = BUF(4096)
	};
	q.ctx = c;
	AUTO_JSON json_t *doc = NULL;
	bool ours = q.route->dialect == DIALECT_TEAM, read = ours && read_team_body(c, &doc);
	if (all[pick].fn && (read || !ours)) {
		enum err e = all[pick].fn(c);
		if (e)
			call_error(c, e);
		check_engine_input();
		check_answer(&q);
	}
	buf_done(&c->warnings);
	buf_done(&q.out);
	arena_free(q.arena);
}
