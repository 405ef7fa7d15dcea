/* vault/login.h - e-mail and password to session.
 *
 * An unknown address takes as long as a known one. Attempts are counted before the password is
 * looked at, per account (5 free) and per client address (20 free, IPv6 by /64), then each further
 * one waits 1, 2, 4 .. 300 s; 15 quiet minutes forget them, nobody is locked out for ever. The
 * table holds keyed hashes only. Two passwords are hashed at once, three wait up to 2 s, the rest
 * get ERR_BUSY: memory is bounded. */
#pragma once

#include "vault/people.h"
#include "vault/session.h"

struct login_try {
	struct str email, password;
	struct str address; /* client address; "local" */
	struct str agent;   /* User-Agent or empty */
};
/* Errors: ERR_CREDENTIALS (wrong, unknown, disabled: all the same), ERR_THROTTLED (detail has the
 * seconds), ERR_BUSY. */
enum err login_password(struct vault *v, const struct login_try *t, struct session *ret,
			struct person *ret_person, struct err_info *info);
/* Checks `old`, sets the new one, ends all other sessions.
 * Errors: ERR_CREDENTIALS (old is wrong), ERR_INVALID (rule), ERR_THROTTLED, ERR_BUSY. */
enum err login_change_password(struct vault *v, const struct subject *who, struct str old,
			       struct str fresh, struct err_info *info);
/* At least 10 characters, not the e-mail address, not among the most common ones, UTF-8, at most
 * LIMIT_PASSWORD bytes. Errors: ERR_INVALID. */
enum err password_check(struct str password, struct str email, struct err_info *info);
