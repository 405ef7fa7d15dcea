/* vault/session.h - log-ins of browsers.
 *
 * The token is 256 random bits; the database holds only its SHA-256. A session ends 12 hours after
 * its last request and 14 days after log-in. Its person's role and state are read at every request.
 * seen_ms is written at most once a minute. */
#pragma once

#include "vault/authorize.h"
#include "vault/vault.h"

enum { TOKEN_LEN = 43 }; /* base64url of 32 bytes */
enum {
	SESSION_IDLE_MS = 12 * 3600 * 1000,
	SESSION_TOUCH_MS = 60 * 1000,
};
#define SESSION_MAX_MS (INT64_C(14) * 24 * 3600 * 1000)
#define SESSION_COOKIE "tresor_session"

struct session {
	char token[TOKEN_LEN + 1]; /* for the cookie; wipe after use */
	char csrf[TOKEN_LEN + 1];
	int64_t expires_ms;
};
/* Errors: ERR_NOT_FOUND (no such active person). Most callers want login_password(). */
enum err session_create(struct vault *v, const char *person, struct str agent, struct session *ret);
/* Errors: ERR_LOGIN (unknown, expired, person disabled). */
enum err session_find(struct vault *v, struct str token, struct subject *ret);
enum err session_end(struct vault *v, const uint8_t token_hash[SHA256_LEN]);
/* `except` may be NULL. */
enum err session_end_all(struct vault *v, const char *person, const uint8_t *except);
/* Value of Set-Cookie: HttpOnly, SameSite=Strict, Path=/, Secure when `tls`. `s` NULL clears it. */
enum err session_cookie(const struct session *s, bool tls, struct buf *out);
