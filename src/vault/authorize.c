#include "vault/authorize.h"

/* What a role may do with an object of a kind. */
enum grant {
	NO,     /* 403, whatever the object is */
	ANY,    /* every object that exists */
	OWN,    /* its own; foreign and missing look the same: 404 */
	BELOW,  /* people and roles: whatever is not an owner */
};
struct rule {
	enum action action;
	enum object_kind kind;
	enum grant member, admin, owner, local;
	bool key; /* an API key may do it for its person (its scopes come on top) */
};

/* The one table of rights. A pair of action and object kind that is not here is refused.
 * Nobody, whatever the role, has a right on another person's conversations. The operator on the
 * local socket (local) is no person: it runs the instance and may ask a model a question, but has
 * no conversations and reads none. */
static const struct rule rules[] = {
	/* action                  object               member admin  owner  local  key */
	{ ACTION_SELF_READ,        OBJECT_NONE,         ANY,   ANY,   ANY,   NO,    true },
	{ ACTION_SELF_CHANGE,      OBJECT_NONE,         ANY,   ANY,   ANY,   NO,    false },
	{ ACTION_SELF_SESSION,     OBJECT_NONE,         ANY,   ANY,   ANY,   NO,    false },
	{ ACTION_SELF_KEYS,        OBJECT_NONE,         ANY,   ANY,   ANY,   ANY,   false },
	{ ACTION_SELF_KEYS,        OBJECT_KEY,          OWN,   OWN,   OWN,   ANY,   false },
	{ ACTION_CHAT_USE,         OBJECT_NONE,         ANY,   ANY,   ANY,   ANY,   true },
	{ ACTION_CHAT_READ,        OBJECT_CONVERSATION, OWN,   OWN,   OWN,   NO,    true },
	{ ACTION_CHAT_READ,        OBJECT_MESSAGE,      OWN,   OWN,   OWN,   NO,    true },
	{ ACTION_CHAT_READ,        OBJECT_RESPONSE,     OWN,   OWN,   OWN,   NO,    true },
	{ ACTION_CHAT_CHANGE,      OBJECT_CONVERSATION, OWN,   OWN,   OWN,   NO,    true },
	{ ACTION_CHAT_CHANGE,      OBJECT_MESSAGE,      OWN,   OWN,   OWN,   NO,    true },
	{ ACTION_CHAT_CHANGE,      OBJECT_RESPONSE,     OWN,   OWN,   OWN,   NO,    true },
	{ ACTION_CACHE_SHARE,      OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_MODELS_READ,      OBJECT_NONE,         ANY,   ANY,   ANY,   ANY,   true },
	{ ACTION_MODELS_CHANGE,    OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_MODELS_PUSH,      OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_PEOPLE_READ,      OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_PEOPLE_CHANGE,    OBJECT_PERSON,       NO,    BELOW, ANY,   ANY,   true },
	{ ACTION_PEOPLE_CHANGE,    OBJECT_ROLE,         NO,    BELOW, ANY,   ANY,   true },
	{ ACTION_METRICS_READ,     OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_AUDIT_READ,       OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_DOCTOR_READ,      OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_EGRESS_READ,      OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_EGRESS_CHANGE,    OBJECT_NONE,         NO,    ANY,   ANY,   ANY,   true },
	{ ACTION_OWNER_LINK,       OBJECT_NONE,         NO,    NO,    NO,    ANY,   false },
	{ ACTION_BACKUP,           OBJECT_NONE,         NO,    NO,    NO,    ANY,   false },
	{ ACTION_RECOVERY,         OBJECT_NONE,         NO,    NO,    ANY,   ANY,   false },
};
enum { RULES = sizeof rules / sizeof rules[0] };

static enum grant grant_of(const struct rule *r, enum person_role role)
{
	switch (role) {
	case PERSON_MEMBER: return r->member;
	case PERSON_ADMIN: return r->admin;
	case PERSON_OWNER: return r->owner;
	case PERSON_LOCAL: return r->local;
	case PERSON_NONE: break;
	}
	return NO;
}

static const struct rule *find_rule(enum action a, enum object_kind kind)
{
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].action == a && rules[i].kind == kind)
			return &rules[i];
	return NULL;
}

static bool somebody(enum person_role role)
{
	return role == PERSON_MEMBER || role == PERSON_ADMIN || role == PERSON_OWNER ||
	       role == PERSON_LOCAL;
}

/* May the subject, whose grant is BELOW, have to do with this role? */
static bool below_owner(enum person_role role)
{
	return role == PERSON_MEMBER || role == PERSON_ADMIN;
}

enum err authorize(const struct subject *s, enum action a, const struct object *o)
{
	static const struct object nothing = { .kind = OBJECT_NONE };
	if (a == ACTION_PUBLIC)
		return OK;
	if (!somebody(s->role))
		return ERR_LOGIN;
	if (!o)
		o = &nothing;
	const struct rule *r = find_rule(a, o->kind);
	if (!r || (s->by_key && !r->key))
		return ERR_FORBIDDEN;
	enum grant g = grant_of(r, s->role);
	if (g == NO)
		return ERR_FORBIDDEN; /* before the object is looked at: tells nothing about it */
	if (o->kind == OBJECT_NONE)
		return OK;
	if (o->kind == OBJECT_ROLE)
		return below_owner(o->role) || (g == ANY && o->role == PERSON_OWNER)
			       ? OK : ERR_FORBIDDEN;
	if (o->missing || !o->owner[0])
		return ERR_NOT_FOUND;
	if (g == OWN)
		return s->person[0] && strcmp(s->person, o->owner) == 0 ? OK : ERR_NOT_FOUND;
	if (g == BELOW)
		return below_owner(o->role) ? OK : ERR_FORBIDDEN;
	return OK;
}

bool may(const struct subject *s, enum action a)
{
	if (a == ACTION_PUBLIC)
		return true;
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].action == a && (!s->by_key || rules[i].key) &&
		    grant_of(&rules[i], s->role) != NO)
			return true;
	return false;
}

const char *action_text(enum action a)
{
	static const char *const texts[] = {
#define X(name, text) [ACTION_##name] = text,
#include "gen/actions.inc"
#undef X
	};
	return (size_t)a < ACTION_COUNT_ ? texts[a] : "";
}

bool scope_ok(const struct subject *s, const char *scope)
{
	struct str rest = str_from(s->scopes), one;
	if (!s->by_key)
		return true;
	if (!scope || !scope[0])
		return false;
	while (str_next(&rest, ',', &one))
		if (str_eq(one, str_from(scope)))
			return true;
	return false;
}
