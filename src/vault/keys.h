/* vault/keys.h - API keys of people.
 *
 * "tsr_" id "_" 43 characters of secret, 6 of CRC-32 (a typo or a cut key is told without asking
 * the database). Shown once; the database holds the SHA-256 of the whole text. A key acts as its
 * person, within its scopes, while both are active. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "vault/authorize.h"
#include "vault/vault.h"

enum { API_KEY_LEN = 4 + ID_LEN + 1 + 43 + 6, API_KEYS_PER_PERSON = 100 };
#define API_KEY_DEFAULT_SCOPES "chat,models.read"

struct api_key {
	char id[ID_LEN + 1], person[ID_LEN + 1], name[LIMIT_NAME + 1], hint[5], scopes[256];
	int64_t created_ms, used_ms, expires_ms, revoked_ms; /* 0: never */
};
struct api_key_new {
	struct str person, name;
	struct str scopes;  /* comma-separated; empty: the default */
	int64_t expires_ms; /* 0: never */
};
/* Errors: ERR_INVALID (name, unknown scope, expiry in the past), ERR_LIMIT, ERR_NOT_FOUND. */
enum err api_key_create(struct vault *v, const struct api_key_new *n, struct api_key *ret,
			char ret_secret[API_KEY_LEN + 1], struct err_info *info);
/* Errors: ERR_LOGIN (unknown, revoked, expired, person disabled). */
enum err api_key_find(struct vault *v, struct str text, struct subject *ret);
bool api_key_ok(struct str text); /* form and CRC only */
/* Whose is it, for authorize(): ret has ID_LEN + 1 bytes. Errors: ERR_NOT_FOUND. */
enum err api_key_owner(struct vault *v, struct str id, char *ret);
enum err api_key_revoke(struct vault *v, struct str id); /* twice is fine; ERR_NOT_FOUND */
/* {"keys":[Key ..]} */
enum err api_key_list_json(struct vault *v, const char *person, struct buf *ret);
void api_key_json(struct jw *w, const struct api_key *k); /* Key of api/routes.json */
