/* Conversations and messages: chat/ does the work and writes the JSON. */
#include "api/team/team.h"

#include <stdio.h>

#include "api/aliases.h"
#include "api/pictures.h"
#include "base/fault.h"
#include "base/hex.h"
#include "base/limits.h"
#include "chat/chat.h"
#include "chat/search.h"

enum { LIST_DEFAULT = 50, LIST_MAX = 200, SEARCH_DEFAULT = 20 };
#define TIME_MS_MAX (INT64_C(1) << 42) /* the year 2109 */

/* The operator on the local socket is no person and has no conversations. */
static enum err need_person(struct call *c)
{
	if (c->who.person[0])
		return OK;
	return err_set(&c->info, ERR_FORBIDDEN, "only a person has conversations");
}

static struct str id_of(const struct call *c)
{
	return http_param(c->q, "id");
}

enum err team_conversations(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	int64_t limit = LIST_DEFAULT;
	TRY(need_person(c));
	TRY(call_query_i64(c, "limit", 1, LIST_MAX, &limit));
	TRY(chat_list(c->app->chats, c->who.person, http_query(c->q, "before"), (unsigned)limit,
		&out, &c->info));
	call_json(c, 200, &out);
	return OK;
}

enum err team_search(struct call *c)
{
	AUTO_BUF struct buf out = BUF(1 << 20);
	struct chat_search_ask ask = { .text = http_query(c->q, "q"),
		.model = http_query(c->q, "model") };
	int64_t limit = SEARCH_DEFAULT;
	TRY(need_person(c));
	TRY(call_query_i64(c, "limit", 1, SEARCH_LIMIT_MAX, &limit));
	TRY(call_query_i64(c, "before", 1, INT64_MAX, &ask.before));
	TRY(call_query_i64(c, "from_ms", 0, TIME_MS_MAX, &ask.from_ms));
	TRY(call_query_i64(c, "until_ms", 0, TIME_MS_MAX, &ask.until_ms));
	ask.limit = (unsigned)limit;
	TRY(chat_search_find(c->app->search, c->who.person, &ask, &out, &c->info));
	call_json(c, 200, &out);
	return OK;
}

enum err team_conversation_new(struct call *c)
{
	AUTO_BUF struct buf out = BUF(64 * 1024);
	TRY(need_person(c));
	TRY(call_model_may(c, call_str(c, "model")));
	TRY(chat_create(c->app->chats, c->who.person, call_str(c, "model"), call_str(c, "title"),
		&out, &c->info));
	call_json(c, 201, &out);
	return OK;
}

enum err team_conversation(struct call *c)
{
	AUTO_BUF struct buf out = BUF(LIMIT_REQUEST_ARENA);
	TRY(chat_get(c->app->chats, id_of(c), &out, &c->info));
	call_json(c, 200, &out);
	return OK;
}

enum err team_conversation_change(struct call *c)
{
	AUTO_BUF struct buf out = BUF(64 * 1024);
	const json_t *title = json_object_get(c->body, "title"),
		     *model = json_object_get(c->body, "model");
	int64_t label = -1;
	struct chat_change ch = {
		.title = json_is_string(title) ? call_str(c, "title") : STR_NONE,
		.model = json_is_string(model) ? call_str(c, "model") : STR_NONE,
	};
	TRY(json_want_i64(c->body, "label", false, 0, 4, &label, &c->info));
	ch.label = (int)label;
	TRY(call_model_may(c, call_str(c, "model")));
	TRY(chat_change(c->app->chats, id_of(c), &ch, &out, &c->info));
	call_json(c, 200, &out);
	return OK;
}

enum err team_conversation_delete(struct call *c)
{
	TRY(chat_delete(c->app->chats, id_of(c), &c->info));
	call_empty(c);
	return OK;
}

/* ---- pictures of a question ---- */

static void free_buf(void *buf)
{
	buf_done(buf);
}

static enum err new_bytes(struct call *c, struct str url, const char *where, struct str *ret)
{
	struct buf *bytes = ARENA_NEW(c->arena, struct buf);
	if (!bytes)
		return ERR_NOMEM;
	*bytes = BUF(LIMIT_PICTURES);
	TRY(arena_on_free(c->arena, free_buf, bytes));
	enum err e = b64_decode(pictures_data(url), bytes);
	if (e == ERR_INVALID)
		return err_set(&c->info, e, "%s is not base64", where);
	if (e == ERR_LIMIT)
		return err_set(&c->info, ERR_TOO_LARGE, "%s is over %d MiB", where,
			LIMIT_PICTURES >> 20);
	TRY(e);
	*ret = buf_str(bytes);
	return OK;
}

/* "data:image/png;base64,AAAA", or "MESSAGE/PLACE". */
static enum err read_picture(
	struct call *c, const json_t *one, size_t i, struct chat_picture *ret)
{
	struct str s = { json_string_value(one), json_string_length(one) };
	char where[32];
	uint64_t place = 0;
	snprintf(where, sizeof where, "pictures[%zu]", i);
	if (!json_is_string(one))
		return err_set(&c->info, ERR_INVALID, "%s must be a string", where);
	if (str_starts(s, STR("data:")))
		return new_bytes(c, s, where, &ret->bytes);
	size_t slash = str_find_byte(s, '/', 0);
	struct str message = str_sub(s, 0, slash);
	if (slash == SIZE_MAX || !id_ok(message) ||
		str_to_u64(str_sub(s, slash + 1, SIZE_MAX), &place) || place >= PICTURES_MAX)
		return err_set(&c->info, ERR_INVALID,
			"%s: a picture comes as \"data:image/png;base64,..\", or as "
			"\"MESSAGE/PLACE\" of one in this conversation; addresses are not fetched",
			where);
	ret->again = true;
	ret->place = (unsigned)place;
	return str_copy(message, ret->message, sizeof ret->message);
}

static enum err read_pictures(struct call *c, struct chat_send *s)
{
	const json_t *list = json_object_get(c->body, "pictures");
	size_t n = json_array_size(list);
	struct chat_picture *v;
	if (!n)
		return OK;
	if (n > PICTURES_MAX)
		return err_set(&c->info, ERR_INVALID, "pictures: a message may have %d pictures",
			PICTURES_MAX);
	v = ARENA_ARRAY(c->arena, struct chat_picture, n);
	if (!v)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++)
		TRY(read_picture(c, json_array_get(list, i), i, &v[i]));
	s->pictures = v;
	s->n_pictures = n;
	return OK;
}

/* ---- who looks at them ---- */

/* A name that this person may ask, by the check that asking it takes, and that sees. */
static bool may_see(struct call *c, const char *name, struct model_entry *ret)
{
	return !call_model(c, str_from(name), ret) && ret->projector_digest[0] &&
	       !ret->gguf.embedding_model;
}

/* The alias "vision", else the first in the list of models; test models last. */
static enum err vision_model(
	void *arg, char ret[LIMIT_MODEL_NAME + 1], struct err_info *info)
{
	static const char alias[] = "vision";
	struct call *c = arg;
	AUTO_MEM struct model_entry *list = NULL;
	struct model_entry m;
	size_t n = 0;
	if (may_see(c, alias, &m) && m.alias[0])
		return str_copy(str_from(alias), ret, LIMIT_MODEL_NAME + 1);
	TRY(model_store_list(c->app->models, &list, &n));
	for (int starter = 0; starter < 2; starter++)
		for (size_t i = 0; i < n; i++)
			if (list[i].starter == starter && !list[i].kept &&
				may_see(c, list[i].name, &m))
				return str_copy(
					str_from(list[i].name), ret, LIMIT_MODEL_NAME + 1);
	(void)err_set(info, ERR_UNSUPPORTED, "no model here can see pictures");
	err_hint(info, "an administrator can get a model that sees, or point the alias \"%s\" "
		       "at one", alias);
	return ERR_UNSUPPORTED;
}

enum err team_message_new(struct call *c)
{
	AUTO_BUF struct buf out = BUF(4 * LIMIT_MESSAGE);
	struct chat_send s = {
		.content = call_str(c, "content"),
		.parent = call_str(c, "parent"),
		.client_id = call_str(c, "client_id"),
		.model = call_str(c, "model"),
		.vision = vision_model,
		.vision_arg = c,
	};
	TRY(need_person(c));
	TRY(call_model_may(c, s.model));
	TRY(read_pictures(c, &s));
	TRY(chat_send(c->app->chats, c->who.person, id_of(c), &s, &out, &c->info));
	call_json(c, 201, &out);
	return OK;
}

enum err team_message(struct call *c)
{
	AUTO_BUF struct buf out = BUF(4 * LIMIT_ANSWER);
	TRY(chat_message(c->app->chats, id_of(c), &out, &c->info));
	call_json(c, 200, &out);
	return OK;
}

/* What people sent is never the page's: no script of it runs, and no cache keeps it. */
enum err team_message_picture(struct call *c)
{
	AUTO_BUF struct buf bytes = BUF(LIMIT_PICTURES);
	const char *type = NULL;
	uint64_t place = 0;
	if (str_to_u64(http_param(c->q, "place"), &place) || place >= PICTURES_MAX)
		return err_set(&c->info, ERR_NOT_FOUND, "the message has no such picture");
	TRY(chat_picture(c->app->chats, id_of(c), (int64_t)place, &bytes, &type, &c->info));
	http_set_header(c->q, "Content-Security-Policy",
		STR("default-src 'none'; sandbox; frame-ancestors 'none'"));
	http_set_header(c->q, "Cache-Control", STR("private, no-store"));
	http_reply(c->q, 200, type, buf_str(&bytes));
	return OK;
}

enum err team_message_stop(struct call *c)
{
	AUTO_BUF struct buf out = BUF(4 * LIMIT_ANSWER);
	TRY(chat_stop(c->app->chats, id_of(c), &out, &c->info));
	call_json(c, 200, &out);
	return OK;
}
