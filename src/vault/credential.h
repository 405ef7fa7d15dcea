/* vault/credential.h - the one place that turns a request's headers into a subject.
 *
 * Order of a request: credential_subject() -> the object's owner -> authorize() -> the handler.
 * Here: which credential, is it good, does the route take this kind, has the key the scope, and for
 * what a browser sends by itself (the cookie) did our page send it.
 * Two different credentials in one request are refused (ERR_INVALID), never ranked. */
#pragma once

#include "vault/authorize.h"
#include "vault/vault.h"

/* Bits of `accepted`; the same values as AUTH_* of http/route.h. The local socket is accepted
 * wherever a session is. */
enum { CREDENTIAL_NONE = 1, CREDENTIAL_SESSION = 2, CREDENTIAL_KEY = 4, CREDENTIAL_LOCAL = 8 };

struct credential_in { /* STR_NONE: the header is absent. Duplicates were refused by http/ */
	struct str cookie;         /* value of the cookie tresor_session */
	struct str authorization;  /* Authorization */
	struct str x_api_key;      /* X-Api-Key */
	struct str csrf;           /* X-Tresor-CSRF */
	struct str origin;         /* Origin */
	struct str sec_fetch_site; /* Sec-Fetch-Site */
	struct str host;           /* Host */
	struct str public_url;     /* configured address of the instance, or STR_NONE */
	bool tls;                  /* http_is_tls() */
	int64_t local_uid;         /* peer of the local socket; -1: not the local socket */
	int64_t own_uid;           /* geteuid(): it and root are the operator */
	bool changes;              /* the route's */
	unsigned accepted;         /* the route's auth bits */
	const char *scope;         /* the route's; NULL: whatever key, if keys are accepted */
};
enum credential_kind { CRED_NONE, CRED_SESSION, CRED_KEY, CRED_LOCAL };
struct credential {
	enum credential_kind kind;
	struct str text; /* token or key; borrowed from `in` */
};
/* Pure: which credential does the request carry? Errors: ERR_INVALID (two different ones),
 * ERR_LOGIN (an Authorization we do not know), ERR_FORBIDDEN (local socket, another user). */
enum err credential_pick(const struct credential_in *in, struct credential *ret,
			 struct err_info *info);
/* Pure: may a request that a browser sent change something? Origin must be this instance
 * (scheme, host, port), Sec-Fetch-Site, when there, "same-origin" or "none".
 * `must` false: an absent Origin passes (log-in by a script). Errors: ERR_CSRF. */
enum err credential_origin(const struct credential_in *in, bool must, struct err_info *info);
/* All of it. A route that accepts CREDENTIAL_NONE gets a subject with PERSON_NONE, whatever was
 * sent (an old cookie must not keep anyone from logging in), with changes only from this origin.
 * A changing request with a cookie needs Origin and X-Tresor-CSRF = subject.csrf.
 * Errors: ERR_INVALID, ERR_LOGIN, ERR_FORBIDDEN (kind or scope), ERR_CSRF, the database's. */
enum err credential_subject(struct vault *v, const struct credential_in *in, struct subject *ret,
			    struct err_info *info);
