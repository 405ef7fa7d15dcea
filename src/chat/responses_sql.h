/* chat/responses_sql.h - private to responses*.c: every statement by name. */
#pragma once

#include "chat/responses.h"

extern const struct sql Q_RESPONSE_ADD, Q_RESPONSE_END, Q_RESPONSE_OWNER, Q_RESPONSE_BODY,
	Q_RESPONSE_INPUT, Q_RESPONSE_LINKS, Q_RESPONSE_ITEMS, Q_RESPONSE_DELETE, Q_RESPONSES_FORGET,
	Q_RESPONSES_LEFT, Q_RESPONSES_OLD, Q_RESPONSES_DROP;
