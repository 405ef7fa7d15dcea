/* net/login.h - log-ins at registries: who the house is there.
 *
 * An administrator stores a name and a password for one host and port. The keeper seals them for
 * just that place; the database keeps what is sealed. For an errand the keeper unseals them and
 * tells egress, and the server gets a number to name them by: it never sees a password again. */
#pragma once

#include "net/allow.h"

struct keeper_link;
struct login_new {
	struct str host; /* not a suffix */
	uint16_t port;
	struct str user, password;
	const char *person; /* who stores it; NULL: the operator */
};
/* Stores it, or replaces the one there is. Errors: ERR_INVALID (info says what), the keeper's, the
 * database's. */
enum err login_store(struct db *d, struct keeper_link *k, const struct login_new *n,
	struct err_info *info);
/* Errors: ERR_NOT_FOUND, ERR_INVALID, the database's. */
enum err login_remove(struct db *d, struct str host, uint16_t port);
/* Tells egress, and gives the number for egress_fetch.login; 0: none is stored. Errors: ERR_AGAIN
 * (no egress now), the keeper's, the database's. */
enum err login_use(
	struct db *d, struct keeper_link *k, const char *host, uint16_t port, uint64_t *ret);
extern const struct sql *const login_sql[]; /* for db_prepare_check() */
extern const size_t login_sql_count;
