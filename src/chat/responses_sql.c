#include "chat/responses_sql.h"

const struct sql Q_RESPONSE_ADD = { "response.add",
	"INSERT INTO response (id, person, previous, root, state, input, body, created_ms, bytes)"
	" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
	" octet_length(?6) + octet_length(json_extract(?7, '$.output')))" };
const struct sql Q_RESPONSE_END = { "response.end",
	"UPDATE response SET state = 'done', body = ?2,"
	" bytes = octet_length(input) + octet_length(json_extract(?2, '$.output'))"
	" WHERE id = ?1 AND state = 'running'" };
const struct sql Q_RESPONSE_OWNER = { "response.owner",
	"SELECT person, root FROM response WHERE id = ?1" };
const struct sql Q_RESPONSE_BODY = { "response.body", "SELECT body FROM response WHERE id = ?1" };
const struct sql Q_RESPONSE_INPUT = { "response.input",
	"SELECT input FROM response WHERE id = ?1" };
/* From one back to the first, newest first, without the texts. */
const struct sql Q_RESPONSE_LINKS = { "response.links",
	"WITH RECURSIVE up(id, person, previous, root, state, bytes) AS ("
	"SELECT id, person, previous, root, state, bytes FROM response WHERE id = ?1 UNION ALL "
	"SELECT r.id, r.person, r.previous, r.root, r.state, r.bytes"
	" FROM up JOIN response r ON r.id = up.previous LIMIT ?2)"
	" SELECT id, person, previous, root, state, bytes FROM up" };
const struct sql Q_RESPONSE_ITEMS = { "response.items",
	"SELECT input, json_extract(body, '$.output') FROM response WHERE id = ?1" };
const struct sql Q_RESPONSE_DELETE = { "response.delete", "DELETE FROM response WHERE id = ?1" };
const struct sql Q_RESPONSES_FORGET = { "response.forget",
	"DELETE FROM response WHERE person = ?1" };
/* What a stop of the server left. */
const struct sql Q_RESPONSES_LEFT = { "response.left",
	"UPDATE response SET state = 'done', body = json_set(body, '$.status', 'failed',"
	" '$.error', json_object('code', 'server_error', 'message', ?1))"
	" WHERE state = 'running'" };
const struct sql Q_RESPONSES_OLD = { "response.old",
	"SELECT person, root FROM response GROUP BY root HAVING max(created_ms) < ?1 LIMIT 1" };
const struct sql Q_RESPONSES_DROP = { "response.drop", "DELETE FROM response WHERE root = ?1" };

const struct sql *const responses_sql[] = {
	&Q_RESPONSE_ADD, &Q_RESPONSE_END, &Q_RESPONSE_OWNER, &Q_RESPONSE_BODY, &Q_RESPONSE_INPUT,
	&Q_RESPONSE_LINKS, &Q_RESPONSE_ITEMS, &Q_RESPONSE_DELETE, &Q_RESPONSES_FORGET,
	&Q_RESPONSES_LEFT, &Q_RESPONSES_OLD, &Q_RESPONSES_DROP,
};
const size_t responses_sql_count = sizeof responses_sql / sizeof responses_sql[0];
