/* Fills a folder with what this folder of the program writes and says what it knows of it, for
 * tests/kat/vault_check.py, which reads it back with other means. kat_writer DIR KEY_FILE */
#include <stdio.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/time.h"
#include "vault/audit_log.h"
#include "vault/keyring.h"
#include "vault/keys.h"
#include "vault/people.h"

enum { RECORDS = 150 };

static void fact(const char *name, const uint8_t *p, size_t n)
{
	char hex[2 * 64 + 1];
	hex_encode(p, n, hex);
	(void)printf("%s %s\n", name, hex);
}

static enum err keys(const char *dir, const char *key_file, struct keyring **ret)
{
	static const char *const names[DATA_KEY_COUNT_] = { "key_page", "key_blob", "key_name",
		"key_audit", "key_tls", "key_cache", "key_credential" };
	struct key_source s = { .key_file = key_file };
	struct err_info info = { .code = OK };
	char code[RECOVERY_CODE_LEN + 1];
	uint8_t key[KEY_LEN], mac[SHA256_LEN];
	TRY(keyring_create(dir, &s, ret, &info));
	TRY(keyring_add_recovery(*ret, code, &info));
	(void)printf("key_file %s\nrecovery %s\n", key_file, code);
	for (enum data_key i = 0; i < DATA_KEY_COUNT_; i++) {
		keyring_get(*ret, i, key);
		fact(names[i], key, sizeof key);
	}
	keyring_sign(*ret, STR("manifest"), mac);
	fact("sign", mac, sizeof mac);
	return OK;
}

static enum err log_records(const char *dir, const struct keyring *k)
{
	struct audit_log_options o = { .data_dir = dir, .create = true, .file_bytes = 4096 };
	struct err_info info = { .code = OK };
	struct audit_log *l = NULL;
	keyring_get(k, DATA_KEY_AUDIT, o.key);
	fact("audit_key", o.key, sizeof o.key);
	TRY(audit_log_open(&o, &l, &info));
	enum err e = OK;
	for (unsigned i = 1; i <= RECORDS && !e; i++) {
		char text[32];
		uint64_t seq;
		(void)snprintf(text, sizeof text, "{\"n\":%u}", i);
		struct str event = str_from(text);
		e = audit_log_append(l, &event, 1, &seq);
	}
	(void)audit_log_close(l);
	(void)printf("records %d\n", RECORDS);
	return e;
}

static const struct sql Q_HASH = { "kat.hash", "SELECT hash FROM api_key" };

static enum err print_hash(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_HASH, &r));
	if (db_next(&r)) {
		struct str hash = db_col_blob(&r, 0);
		fact("api_key_hash", (const uint8_t *)hash.ptr, hash.len);
	}
	return db_end(&r);
}

static enum err api_key(struct db *db, const struct keyring *k)
{
	struct err_info info = { .code = OK };
	AUTO(vault) struct vault *v = NULL;
	struct person p;
	struct api_key key;
	char secret[API_KEY_LEN + 1];
	uint8_t name_key[KEY_LEN];
	keyring_get(k, DATA_KEY_NAME, name_key);
	TRY(vault_new(db, name_key, 0, &v));
	struct person_new n = { .email = STR("a@b"), .password = STR("Kanarienvogel im Keller"),
				.role = PERSON_MEMBER };
	TRY(person_create(v, &n, &p, &info));
	struct api_key_new kn = { .person = str_from(p.id), .name = STR("kat") };
	TRY(api_key_create(v, &kn, &key, secret, &info));
	(void)printf("api_key %s\n", secret);
	return db_read(db, print_hash, NULL);
}

static enum err database(const char *dir, const struct keyring *k)
{
	struct err_info info = { .code = OK };
	char path[4096];
	(void)snprintf(path, sizeof path, "%s/kat.db", dir);
	struct db_options o = { .path = path, .snapshot_dir = dir, .readers = 1, .create = true,
				.migrations = db_schema, .n_migrations = db_schema_count,
				.build = "kat" };
	struct db *db = NULL;
	keyring_get(k, DATA_KEY_PAGE, o.page_key);
	TRY(db_open(&o, &db, &info));
	enum err e = api_key(db, k);
	(void)db_close(db);
	return e;
}

static enum err fill(const char *dir, const char *key_file)
{
	AUTO(keyring) struct keyring *k = NULL;
	TRY(crypto_init());
	TRY(keys(dir, key_file, &k));
	TRY(log_records(dir, k));
	return database(dir, k);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	enum err e = fill(argv[1], argv[2]);
	if (e)
		(void)fprintf(stderr, "kat_writer: %s\n", err_text(e));
	return e ? 1 : 0;
}
