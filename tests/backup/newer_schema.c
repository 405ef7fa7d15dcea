/* tests/backup/newer_schema.c - upgrades a stopped data directory as a later release would: the
 * real keys, the real database, the schema of this build and one migration more.
 *
 *	newer_schema DATA_DIR */
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "os/fd.h"
#include "store/db.h"
#include "vault/keyring.h"

enum { MIGRATIONS_MAX = 256, PATH_LEN = 4200 };

static enum err upgrade(const char *dir, struct err_info *info)
{
	static struct migration all[MIGRATIONS_MAX];
	AUTO(keyring) struct keyring *keys = NULL;
	AUTO(db) struct db *db = NULL;
	char path[PATH_LEN], snapshots[PATH_LEN];
	struct key_source source = { .strength = 2 };
	if (db_schema_count >= MIGRATIONS_MAX)
		return ERR_LIMIT;
	memcpy(all, db_schema, db_schema_count * sizeof *all);
	all[db_schema_count] = (struct migration){ (unsigned)db_schema_count + 1, "of_tomorrow",
		"ALTER TABLE conversation RENAME TO conversation_of_tomorrow;" };
	TRY(path_join(path, sizeof path, dir, "db/tresor.db"));
	TRY(path_join(snapshots, sizeof snapshots, dir, "snapshots"));
	TRY(keyring_open(dir, &source, &keys, info));
	struct db_options o = { .path = path,
		.snapshot_dir = snapshots,
		.readers = 1,
		.migrations = all,
		.n_migrations = db_schema_count + 1,
		.build = "tomorrow" };
	keyring_get(keys, DATA_KEY_PAGE, o.page_key);
	return db_open(&o, &db, info);
}

int main(int argc, char **argv)
{
	struct err_info why = { 0 };
	if (argc != 2 || crypto_init())
		return 2;
	enum err e = upgrade(argv[1], &why);
	if (e)
		fprintf(stderr, "newer_schema: %s\n", why.detail[0] ? why.detail : err_text(e));
	return e != OK;
}
