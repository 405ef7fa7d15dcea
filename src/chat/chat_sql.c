#include "chat/chat_sql.h"

#define MESSAGE_COLUMNS                                                                         \
	"id, parent, role, content, thinking, state, error, label, model, model_digest, "      \
	"engine_build, template_hash, warnings, stats, created_ms, conversation, instead_of, "  \
	"(SELECT nullif(json_group_array(json_object('place', p.place, 'type', p.type, "        \
	"'width', p.width, 'height', p.height) ORDER BY p.place), '[]')"                        \
	" FROM message_picture p WHERE p.message = message.id)"
#define CONVERSATION_COLUMNS "id, title, model, label, created_ms, changed_ms, person"

/* ---- conversations ---- */

const struct sql Q_CONVERSATION_ADD = { "conversation.add",
	"INSERT INTO conversation (id, person, title, model, created_ms, changed_ms)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?5)" };
const struct sql Q_CONVERSATION_GET = { "conversation.get",
	"SELECT " CONVERSATION_COLUMNS " FROM conversation WHERE id = ?1" };
/* both: index conversation_recent alone; ?2 rows */
const struct sql Q_CONVERSATION_LIST = { "conversation.list",
	"SELECT " CONVERSATION_COLUMNS " FROM conversation WHERE person = ?1"
	" ORDER BY changed_ms DESC, id DESC LIMIT ?2" };
const struct sql Q_CONVERSATION_LIST_BEFORE = { "conversation.list_before",
	"SELECT " CONVERSATION_COLUMNS " FROM conversation WHERE person = ?1"
	" AND (changed_ms, id) < (?3, ?4) ORDER BY changed_ms DESC, id DESC LIMIT ?2" };
const struct sql Q_CONVERSATION_CHANGE = { "conversation.change",
	"UPDATE conversation SET title = coalesce(?2, title), model = coalesce(?3, model),"
	" label = coalesce(?4, label) WHERE id = ?1" };
/* a question was asked: newest now; the first one names it */
const struct sql Q_CONVERSATION_TOUCH = { "conversation.touch",
	"UPDATE conversation SET changed_ms = max(changed_ms, ?2), model = ?3,"
	" title = CASE WHEN title = '' THEN ?4 ELSE title END WHERE id = ?1" };
const struct sql Q_CONVERSATION_DELETE = { "conversation.delete",
	"DELETE FROM conversation WHERE id = ?1" };
const struct sql Q_CONVERSATIONS_FORGET = { "conversation.forget",
	"DELETE FROM conversation WHERE person = ?1" };
/* every conversation is looked at: for an administrator's question, not for a list */
const struct sql Q_CONVERSATION_USES = { "conversation.uses",
	"SELECT count(*), count(DISTINCT person) FROM conversation"
	" WHERE model = ?1 COLLATE NOCASE" };

/* ---- messages ---- */

const struct sql Q_MESSAGES = { "message.list",
	"SELECT " MESSAGE_COLUMNS " FROM message WHERE conversation = ?1 ORDER BY created_ms, id" };
const struct sql Q_MESSAGE_GET = { "message.get",
	"SELECT " MESSAGE_COLUMNS " FROM message WHERE id = ?1" };
const struct sql Q_MESSAGE_OWNER = {
	"message.owner",
	"SELECT c.person FROM message m JOIN conversation c ON c.id = m.conversation WHERE m.id = "
	"?1"
};
const struct sql Q_MESSAGE_LAST = { "message.last",
	"SELECT id, state, created_ms FROM message WHERE conversation = ?1"
	" ORDER BY created_ms DESC, id DESC LIMIT 1" };
const struct sql Q_MESSAGE_IN = { "message.in",
	"SELECT id, state FROM message WHERE id = ?2 AND conversation = ?1" };
const struct sql Q_MESSAGE_BY_CLIENT = { "message.by_client",
	"SELECT id FROM message WHERE conversation = ?1 AND client_id = ?2" };
const struct sql Q_MESSAGE_ADD = { "message.add",
	"INSERT INTO message (id, conversation, parent, role, content, state, label, model,"
	" model_digest, client_id, created_ms, changed_ms, instead_of)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12)" };
const struct sql Q_MESSAGE_LABELS = { "message.labels",
	"UPDATE message SET label = ?2 WHERE conversation = ?1 AND label < ?2" };

/* ---- pictures ---- */

const struct sql Q_PICTURE_ADD = { "picture.add",
	"INSERT INTO message_picture (message, place, conversation, type, width, height, bytes)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)" };
const struct sql Q_PICTURE_AGAIN = { "picture.again",
	"INSERT INTO message_picture (message, place, conversation, type, width, height, bytes)"
	" SELECT ?1, ?2, conversation, type, width, height, bytes FROM message_picture"
	" WHERE message = ?3 AND place = ?4" };
const struct sql Q_PICTURE_SIZE = { "picture.size",
	"SELECT length(bytes) FROM message_picture"
	" WHERE message = ?1 AND place = ?2 AND conversation = ?3" };
const struct sql Q_PICTURE_GET = { "picture.get",
	"SELECT type, bytes FROM message_picture WHERE message = ?1 AND place = ?2" };
/* From a message up to the beginning, newest message first; a conversation without any is not
 * walked. LIMIT as in Q_HISTORY. */
const struct sql Q_PICTURES_OF_PATH = { "picture.of_path",
	"WITH RECURSIVE up(id, parent, depth) AS ("
	"SELECT id, parent, 0 FROM message WHERE id = ?1 AND EXISTS"
	" (SELECT 1 FROM message_picture x WHERE x.conversation = message.conversation)"
	" UNION ALL SELECT m.id, m.parent, depth + 1 FROM up JOIN message m ON m.id = up.parent"
	" LIMIT 100000)"
	" SELECT p.message, p.place, 3 * p.width * p.height FROM up"
	" CROSS JOIN message_picture p ON p.message = up.id ORDER BY depth, p.place" };

/* ---- answers ---- */

const struct sql Q_ANSWER_OF = { "answer.of", /* the answer made for a question */
	"SELECT id FROM message WHERE parent = ?1 AND role = 'assistant'"
	" ORDER BY created_ms, id LIMIT 1" };
const struct sql Q_ANSWER_FLUSH = { "answer.flush",
	"UPDATE message SET content = ?2, thinking = ?3, tokens = ?4, engine_build = ?5,"
	" template_hash = ?6, options = ?7, warnings = ?8, changed_ms = ?9"
	" WHERE id = ?1 AND state = 'streaming'" };
const struct sql Q_ANSWER_END = { "answer.end",
	"UPDATE message SET content = ?2, thinking = ?3, tokens = NULL, engine_build = ?5,"
	" template_hash = ?6, options = ?7, warnings = ?8, changed_ms = ?9, state = ?10, error = "
	"?11,"
	" stats = ?12 WHERE id = ?1 AND state = 'streaming'" };
const struct sql Q_ANSWERS_UNFINISHED = { "answer.unfinished",
	"SELECT m.id, m.conversation, c.person, m.content, m.thinking, m.tokens, m.model, "
	"m.options,"
	" m.warnings, m.parent FROM message m JOIN conversation c ON c.id = m.conversation"
	" WHERE m.state = 'streaming' ORDER BY m.created_ms, m.id" };
/* From a message up to the beginning, newest first. A tree has no rings; LIMIT is for a damaged
 * one. */
const struct sql Q_HISTORY = { "message.history",
	"WITH RECURSIVE up(parent, role, content, id) AS ("
	"SELECT parent, role, content, id FROM message WHERE id = ?1 UNION ALL "
	"SELECT m.parent, m.role, m.content, m.id FROM up JOIN message m ON m.id = up.parent LIMIT "
	"100000)"
	" SELECT role, content, id FROM up" };

const struct sql *const chat_sql_all[] = {
	&Q_CONVERSATION_ADD, &Q_CONVERSATION_GET, &Q_CONVERSATION_LIST, &Q_CONVERSATION_LIST_BEFORE,
	&Q_CONVERSATION_CHANGE, &Q_CONVERSATION_TOUCH, &Q_CONVERSATION_DELETE,
	&Q_CONVERSATIONS_FORGET, &Q_CONVERSATION_USES, &Q_MESSAGES,
	&Q_MESSAGE_GET, &Q_MESSAGE_OWNER, &Q_MESSAGE_LAST,
	&Q_MESSAGE_IN, &Q_MESSAGE_BY_CLIENT, &Q_MESSAGE_ADD, &Q_MESSAGE_LABELS, &Q_ANSWER_OF,
	&Q_PICTURE_ADD, &Q_PICTURE_AGAIN, &Q_PICTURE_SIZE, &Q_PICTURE_GET, &Q_PICTURES_OF_PATH,
	&Q_ANSWER_FLUSH, &Q_ANSWER_END, &Q_ANSWERS_UNFINISHED, &Q_HISTORY,
};
const size_t chat_sql_count = sizeof chat_sql_all / sizeof chat_sql_all[0];
