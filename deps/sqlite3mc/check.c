/* check - proves that the library just built encrypts, searches full text and was built as asked.
 * Run by deps/sqlite3mc/build with the name of a database to make. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "sqlite3mc check: %s\n", what);
	exit(1);
}

static void run(sqlite3 *db, const char *sql)
{
	char *why = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
		fprintf(stderr, "sqlite3mc check: %s: %s\n", sql, why ? why : "?");
		exit(1);
	}
}

/* True if the bytes of `name` hold `text`. */
static int file_holds(const char *name, const char *text)
{
	static char bytes[1 << 20];
	FILE *f = fopen(name, "rb");
	must(f != NULL, "the database file was not made");
	size_t len = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	for (size_t i = 0; i + strlen(text) <= len; i++)
		if (!memcmp(bytes + i, text, strlen(text)))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const options[] = { "THREADSAFE=2", "ENABLE_FTS5", "TEMP_STORE=3",
		"OMIT_LOAD_EXTENSION", "DQS=0", "SECURE_DELETE", "ENABLE_DBSTAT_VTAB" };
	sqlite3 *db = NULL;
	must(argc == 2, "usage: check FILE");
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		must(sqlite3_compileoption_used(options[i]), options[i]);
	must(sqlite3_open(argv[1], &db) == SQLITE_OK, "open");
	run(db, "PRAGMA key = 'a key for the check'");
	run(db, "PRAGMA journal_mode = WAL");
	run(db, "CREATE VIRTUAL TABLE t USING fts5(x); INSERT INTO t VALUES ('canary in the "
		"mine')");
	run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	sqlite3_stmt *st = NULL;
	must(sqlite3_prepare_v2(db, "SELECT x FROM t WHERE t MATCH 'canary'", -1, &st, NULL) ==
				SQLITE_OK &&
			sqlite3_step(st) == SQLITE_ROW,
		"full text search");
	sqlite3_finalize(st);
	sqlite3_close(db);
	must(!file_holds(argv[1], "canary") && !file_holds(argv[1], "SQLite format"),
		"not encrypted");
	must(sqlite3_open(argv[1], &db) == SQLITE_OK, "open again");
	must(sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL) == SQLITE_NOTADB,
		"opens without key");
	sqlite3_close(db);
	printf("sqlite3mc check: SQLite %s, encrypted, FTS5\n", sqlite3_libversion());
	return 0;
}
