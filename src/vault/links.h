/* vault/links.h - one-time links: owner (1 h), invitation (7 days), password reset (24 h).
 *
 * The token (256 bits, TOKEN_LEN characters) stands in the fragment of the address; the database
 * holds its SHA-256. Using a link up and creating or changing the person is one transaction. An
 * owner link makes an owner, a further one if there is one already. A new owner link voids the
 * older ones, a new invitation those to the same address, a new reset those of the same person;
 * a change of somebody's role or state voids their resets: no admin keeps one for an owner. */
#pragma once

#include "vault/login.h"

enum link_kind { LINK_OWNER, LINK_INVITE, LINK_RESET };
struct link_new {
	enum link_kind kind;
	enum person_role by;   /* who asks; the rights are checked again inside the transaction */
	struct str email;      /* LINK_INVITE */
	enum person_role role; /* LINK_INVITE */
	struct str person;     /* LINK_RESET: id */
};
struct link_info {
	enum link_kind kind;
	char email[LIMIT_EMAIL + 1]; /* LINK_INVITE, LINK_RESET; else empty */
	enum person_role role;
	char person[ID_LEN + 1];     /* LINK_RESET */
};
struct link_use {
	struct str token, password;
	struct str email;          /* LINK_OWNER */
	struct str name, language; /* may be empty */
	struct str agent;
};
/* Errors: ERR_EXISTS (invited address has an account), ERR_NOT_FOUND (person), ERR_INVALID,
 * ERR_FORBIDDEN (`by` may not). */
enum err link_make(struct vault *v, const struct link_new *n, char ret_token[TOKEN_LEN + 1],
		   int64_t *ret_expires_ms, struct err_info *info);
/* Errors: ERR_GONE (used, voided, expired), ERR_NOT_FOUND (never existed or long gone). */
enum err link_check(struct vault *v, struct str token, struct link_info *ret,
		    struct err_info *info);
/* Logs in: a session comes back. LINK_RESET ends the person's other sessions.
 * Errors: as link_check, ERR_INVALID (password rule, address), ERR_EXISTS, ERR_BUSY. */
enum err link_accept(struct vault *v, const struct link_use *u, struct session *ret,
		     struct person *ret_person, struct err_info *info);
const char *link_kind_text(enum link_kind k); /* "owner", "invite", "reset" */
