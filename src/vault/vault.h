/* vault/vault.h - what the server's half of this folder shares: the database, the key for hashed
 * names, the gate that bounds how many passwords are hashed at once.
 *
 * All functions that take a `struct vault *` block on the database (and log-in on Argon2id): they
 * belong on a worker, never on an HTTP thread and never inside a db_fn. Any thread may call them.
 * None of them writes the audit log: the caller does, before the act (vault/audit.h). */
#pragma once

#include "base/crypto.h"
#include "store/db.h"

struct vault;
/* Borrows `db`, copies `name_key`. `strength` is password_hash()'s: 1, or 0 in tests.
 * Errors: ERR_NOMEM. */
enum err vault_new(struct db *db, const uint8_t name_key[KEY_LEN], int strength,
		   struct vault **ret);
struct vault *vault_free(struct vault *v);
DEFINE_AUTO(vault)
/* Forgets what has expired: sessions, used and old links, old throttle rows. Once an hour. */
enum err vault_sweep(struct vault *v);
