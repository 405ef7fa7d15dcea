/* models/fleet_db.h - what the database keeps for the fleet: pins, and what engines measured. */
#pragma once

#include "base/limits.h"
#include "proto/engine.h"
#include "store/db.h"

/* Always loaded, by name, under `engine` (empty: the current build). `person` NULL: the operator.
 * Pinned anew it gets this build. Errors: the database's. */
enum err pin_store(struct db *db, struct str name, const char *engine, const char *person);
enum err pin_remove(struct db *db, struct str name); /* one that is not there is fine */
typedef void (*pin_fn)(struct str name, struct str engine, void *arg);
enum err pin_each(struct db *db, pin_fn fn, void *arg);

/* The newest line measured for this model on this machine and the build that measured it; both stay
 * empty when there is none. Errors: the database's. */
enum err tuning_read(
	struct db *db, const char *digest, struct str machine, struct engine_load *ret);
enum err tuning_store(
	struct db *db, const char *digest, struct str build, struct str machine, struct str line);
/* Forgets it: the next load measures again. */
enum err tuning_remove(struct db *db, const char *digest);
extern const struct sql *const fleet_db_sql[]; /* for db_prepare_check() */
extern const size_t fleet_db_sql_count;
