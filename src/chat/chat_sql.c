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

/* ---- search ---- */

const struct sql Q_SEARCH_TODO = { "search.todo",
	"SELECT message, at FROM search_todo ORDER BY message DESC LIMIT ?1" };
const struct sql Q_SEARCH_TEXT = { "search.text",
	"SELECT m.content, c.person, m.created_ms FROM message m"
	" JOIN conversation c ON c.id = m.conversation WHERE m.id = ?1" };
const struct sql Q_SEARCH_FREE_ID = { "search.free_id",
	"SELECT coalesce(max(id) + 1, ?1) FROM search_row WHERE id >= ?1 AND id < ?1 + (1 << 20)" };
const struct sql Q_SEARCH_ROW_ADD = { "search.row_add",
	"INSERT INTO search_row (id, message, at) VALUES (?1, ?2, ?3)" };
const struct sql Q_SEARCH_DROP = { "search.drop",
	"DELETE FROM search WHERE rowid IN (SELECT id FROM search_row WHERE message = ?1)" };
const struct sql Q_SEARCH_ROWS_DROP = { "search.rows_drop",
	"DELETE FROM search_row WHERE message = ?1" };
const struct sql Q_SEARCH_ADD = { "search.add",
	"INSERT INTO search (rowid, who, said) VALUES (?1, ?2, ?3)" };
const struct sql Q_SEARCH_GO_ON = { "search.go_on",
	"UPDATE search_todo SET at = ?2 WHERE message = ?1" };
const struct sql Q_SEARCH_DONE = { "search.done",
	"DELETE FROM search_todo WHERE message = ?1" };
const struct sql Q_SEARCH_STATE = { "search.state", "SELECT words, deleted FROM search_state" };
const struct sql Q_SEARCH_STATE_SET = { "search.state_set",
	"UPDATE search_state SET words = ?1, deleted = ?2" };
const struct sql Q_SEARCH_EMPTY = { "search.empty",
	"INSERT INTO search (search) VALUES ('delete-all')" };
const struct sql Q_SEARCH_ROWS_EMPTY = { "search.rows_empty", "DELETE FROM search_row" };
const struct sql Q_SEARCH_TODO_ALL = { "search.todo_all",
	"INSERT OR IGNORE INTO search_todo (message)"
	" SELECT id FROM message WHERE state <> 'streaming'" };
const struct sql Q_SEARCH_MERGE = { "search.merge",
	"INSERT INTO search (search, rank) VALUES ('merge', ?1)" };
const struct sql Q_SEARCH_CHANGES = { "search.changes", "SELECT total_changes()" };

const struct sql Q_SEARCH_FIND = { "search.find",
	"SELECT s.rowid, m.id, m.role, m.created_ms, m.content, c.id, c.title, m.model, r.at"
	" FROM search s CROSS JOIN search_row r ON r.id = s.rowid"
	" CROSS JOIN message m ON m.id = r.message"
	" CROSS JOIN conversation c ON c.id = m.conversation"
	" WHERE s.search MATCH ?1 AND s.rowid >= ?2 AND s.rowid < ?3 AND c.person = ?4"
	" AND (?5 IS NULL OR m.model = ?5 COLLATE NOCASE) ORDER BY s.rowid DESC" };
const struct sql Q_SEARCH_LEFT = { "search.left", "SELECT count(*) FROM search_todo" };

const struct sql *const chat_sql_all[] = {
	&Q_CONVERSATION_ADD, &Q_CONVERSATION_GET, &Q_CONVERSATION_LIST, &Q_CONVERSATION_LIST_BEFORE,
	&Q_CONVERSATION_CHANGE, &Q_CONVERSATION_TOUCH, &Q_CONVERSATION_DELETE,
	&Q_CONVERSATIONS_FORGET, &Q_CONVERSATION_USES, &Q_MESSAGES,
	&Q_MESSAGE_GET, &Q_MESSAGE_OWNER, &Q_MESSAGE_LAST,
	&Q_MESSAGE_IN, &Q_MESSAGE_BY_CLIENT, &Q_MESSAGE_ADD, &Q_MESSAGE_LABELS, &Q_ANSWER_OF,
	&Q_PICTURE_ADD, &Q_PICTURE_AGAIN, &Q_PICTURE_SIZE, &Q_PICTURE_GET, &Q_PICTURES_OF_PATH,
	&Q_ANSWER_FLUSH, &Q_ANSWER_END, &Q_ANSWERS_UNFINISHED, &Q_HISTORY,
	&Q_SEARCH_TODO, &Q_SEARCH_TEXT, &Q_SEARCH_ROWS_DROP, &Q_SEARCH_GO_ON, &Q_SEARCH_FREE_ID,
	&Q_SEARCH_ROW_ADD, &Q_SEARCH_DROP, &Q_SEARCH_ADD, &Q_SEARCH_DONE, &Q_SEARCH_STATE,
	&Q_SEARCH_STATE_SET, &Q_SEARCH_EMPTY, &Q_SEARCH_ROWS_EMPTY, &Q_SEARCH_TODO_ALL,
	&Q_SEARCH_MERGE, &Q_SEARCH_CHANGES, &Q_SEARCH_FIND, &Q_SEARCH_LEFT,
};
const size_t chat_sql_count = sizeof chat_sql_all / sizeof chat_sql_all[0];
