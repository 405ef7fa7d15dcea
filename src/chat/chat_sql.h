/* chat/chat_sql.h - private to chat/: every statement by name. */
#pragma once

#include "store/db.h"

extern const struct sql Q_CONVERSATION_ADD, Q_CONVERSATION_GET, Q_CONVERSATION_LIST,
	Q_CONVERSATION_LIST_BEFORE, Q_CONVERSATION_CHANGE, Q_CONVERSATION_TOUCH,
	Q_CONVERSATION_DELETE, Q_CONVERSATION_USES, Q_CONVERSATIONS_FORGET,
	Q_MESSAGE_LABELS, Q_MESSAGES, Q_MESSAGE_GET, Q_MESSAGE_OWNER, Q_MESSAGE_LAST,
	Q_MESSAGE_IN, Q_MESSAGE_BY_CLIENT, Q_MESSAGE_ADD,
	Q_PICTURE_ADD, Q_PICTURE_AGAIN, Q_PICTURE_SIZE, Q_PICTURE_GET, Q_PICTURES_OF_PATH,
	Q_ANSWER_OF, Q_ANSWER_FLUSH, Q_ANSWER_END, Q_ANSWERS_UNFINISHED, Q_HISTORY;
/* All of them, for the test that prepares each. */
extern const struct sql *const chat_sql_all[];
extern const size_t chat_sql_count;

/* Columns of a message, in the order chat_json.c reads them. */
enum message_column {
	M_ID, M_PARENT, M_ROLE, M_CONTENT, M_THINKING, M_STATE, M_ERROR, M_LABEL, M_MODEL,
	M_MODEL_DIGEST, M_ENGINE_BUILD, M_TEMPLATE_HASH, M_WARNINGS, M_STATS, M_CREATED_MS,
	M_CONVERSATION, M_INSTEAD_OF, M_PICTURES,
};
enum conversation_column { C_ID, C_TITLE, C_MODEL, C_LABEL, C_CREATED_MS, C_CHANGED_MS, C_PERSON };
