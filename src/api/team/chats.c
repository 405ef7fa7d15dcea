/* Conversations and messages: chat/ does the work and writes the JSON. */
#include "api/team/team.h"

#include "api/aliases.h"
#include "base/limits.h"
#include "chat/chat.h"

enum { LIST_DEFAULT = 50, LIST_MAX = 200 };

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

enum err team_message_new(struct call *c)
{
	AUTO_BUF struct buf out = BUF(4 * LIMIT_MESSAGE);
	struct chat_send s = {
		.content = call_str(c, "content"),
		.parent = call_str(c, "parent"),
		.client_id = call_str(c, "client_id"),
		.model = call_str(c, "model"),
	};
	TRY(need_person(c));
	TRY(call_model_may(c, s.model));
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

enum err team_message_stop(struct call *c)
{
	AUTO_BUF struct buf out = BUF(4 * LIMIT_ANSWER);
	TRY(chat_stop(c->app->chats, id_of(c), &out, &c->info));
	call_json(c, 200, &out);
	return OK;
}
