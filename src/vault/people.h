/* vault/people.h - accounts.
 *
 * The last active owner can be neither disabled, demoted nor deleted; only an owner or the operator
 * touches or makes an owner. Both rules are checked again inside the transaction that writes, so
 * two requests at once cannot slip through between authorize() and here. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "vault/authorize.h"
#include "vault/vault.h"

struct person {
	char id[ID_LEN + 1];
	char email[LIMIT_EMAIL + 1], name[LIMIT_NAME + 1];
	enum person_role role;
	bool active;
	char language[3], address[4], theme[7]; /* "de" "en"; "sie" "du"; "system" "light" "dark" */
	int64_t created_ms;
};
struct person_new {
	struct str email, password;
	struct str name;     /* empty: the part of the address before the @ */
	struct str language; /* empty: "de" */
	enum person_role role;
};
struct person_change { /* STR_NONE, PERSON_NONE, -1 leave as it is */
	enum person_role by; /* role of who changes: PERSON_OWNER, PERSON_ADMIN, PERSON_LOCAL;
			      * PERSON_MEMBER: oneself, name, language, address, theme only */
	enum person_role role;
	int active;          /* 0 disables: ends all sessions; keys stop working */
	struct str name, language, address, theme;
};
#define PERSON_CHANGE(by_role) ((struct person_change){ .by = (by_role), .active = -1 })

/* Errors: ERR_EXISTS (address taken), ERR_INVALID (address, name, password rule), ERR_BUSY. */
enum err person_create(struct vault *v, const struct person_new *n, struct person *ret,
		       struct err_info *info);
/* Errors: ERR_NOT_FOUND. The address is compared without case. */
enum err person_find(struct vault *v, struct str id, struct person *ret);
enum err person_find_email(struct vault *v, struct str email, struct person *ret);
/* Errors: ERR_NOT_FOUND, ERR_FORBIDDEN (`by` may not), ERR_CONFLICT (last owner), ERR_INVALID. */
enum err person_change(struct vault *v, struct str id, const struct person_change *c,
		       struct person *ret, struct err_info *info);
/* Ends sessions and disables first, then calls forget (may be NULL; chats stop their answers), then
 * deletes the person and, by the schema, all that is theirs. Errors: as above, forget's. */
typedef enum err (*person_forget_fn)(void *arg, const char *person);
enum err person_delete(struct vault *v, struct str id, enum person_role by,
		       person_forget_fn forget, void *arg, struct err_info *info);
/* {"people":[Person ..]} by name. */
enum err person_list_json(struct vault *v, struct buf *ret);
void person_json(struct jw *w, const struct person *p); /* Person of api/routes.json */
/* {id: name} for the audit page: writes "" for an unknown id. ret has LIMIT_NAME + 1 bytes. */
enum err person_name(struct vault *v, struct str id, char *ret);
enum err person_has_owner(struct vault *v, bool *ret); /* an active one */

const char *person_role_text(enum person_role r);             /* "owner" ..; "" for none */
/* Owner, admin, member. Errors: ERR_INVALID. */
enum err person_role_from(struct str s, enum person_role *ret);
/* One @, no blanks or control characters, at most LIMIT_EMAIL. Errors: ERR_INVALID. */
enum err person_email_check(struct str email, struct err_info *info);
