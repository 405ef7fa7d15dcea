/* vault/authorize.h - the one place that says yes or no.
 *
 * Pure: no I/O. The caller looks the object's owner up first. The table is in authorize.c, the
 * generated test walks every route x role x (own, foreign, no) object. Default: no. */
#pragma once

#include "base/random.h"

enum person_role { PERSON_NONE, PERSON_MEMBER, PERSON_ADMIN, PERSON_OWNER, PERSON_LOCAL };
struct subject {
	enum person_role role;      /* PERSON_LOCAL: the operator on the machine's own socket */
	char person[ID_LEN + 1];    /* empty for none and local */
	char name[204];
	bool by_key;                /* an API key, not a session */
	char scopes[256];           /* of the key: comma-separated */
	char csrf[48];              /* of the session */
	uint8_t session_hash[32];
};
enum action {
#define X(name, text) ACTION_##name,
#include "gen/actions.inc" /* X(CHAT_USE, "chat.use") ..; from api/routes.json */
#undef X
	ACTION_COUNT_
};
enum object_kind {
#define X(name, text) OBJECT_##name,
#include "gen/objects.inc" /* X(NONE, "none") X(CONVERSATION, "conversation") .. */
#undef X
	OBJECT_COUNT_
};
struct object {
	enum object_kind kind;
	char owner[ID_LEN + 1];     /* whose it is; empty: nobody's, or it does not exist */
	bool missing;               /* a missing and a foreign object look the same outside: 404 */
	enum person_role role;      /* OBJECT_PERSON, OBJECT_ROLE: the role it has or is to get */
	unsigned label;
};
/* `o` NULL is OBJECT_NONE. OBJECT_PERSON: `owner` is the person's id, `role` the role it has;
 * OBJECT_ROLE: `role` is the one to give (a change of role asks for both). An object of a kind that
 * the action does not know is refused.
 * OK, ERR_LOGIN (nobody there), ERR_FORBIDDEN, or ERR_NOT_FOUND (foreign or missing object). */
enum err authorize(const struct subject *s, enum action a, const struct object *o);
/* What the page may show: the actions this subject has on its own objects. */
bool may(const struct subject *s, enum action a);
const char *action_text(enum action a);
/* Is `scope` ("models.read") one of the key's? True for every subject that is not an API key. */
bool scope_ok(const struct subject *s, const char *scope);
