/* vault/vault_int.h - shared by the sources of this folder only. */
#pragma once

#include <pthread.h>

#include "vault/links.h"

struct vault {
	struct db *db;                   /* borrowed */
	uint8_t who_key[KEY_LEN];        /* for the names in the throttle table */
	int strength;                    /* of password hashes */
	pthread_mutex_t lock;            /* guards what follows */
	pthread_cond_t turn;
	unsigned hashing, waiting;
	char dummy[PASSWORD_HASH_MAX];   /* what unknown accounts are checked against; or "" */
};

/* ---- statements (sql.c) ---- */
extern const struct sql Q_PERSON_NEW, Q_PERSON_BY_ID, Q_PERSON_BY_EMAIL, Q_PERSON_LIST,
	Q_PERSON_CHANGE, Q_PERSON_DELETE, Q_PERSON_NAME, Q_PERSON_PASSWORD, Q_PERSON_PASSWORD_SET,
	Q_PERSON_OTHER_OWNERS, Q_PERSON_HAS_OWNER;
extern const struct sql Q_SESSION_NEW, Q_SESSION_FIND, Q_SESSION_SEEN, Q_SESSION_END,
	Q_SESSION_END_ALL, Q_SESSION_TRIM, Q_SESSION_SWEEP;
extern const struct sql Q_KEY_NEW, Q_KEY_FIND, Q_KEY_USED, Q_KEY_OWNER, Q_KEY_REVOKE, Q_KEY_LIST,
	Q_KEY_COUNT;
extern const struct sql Q_LINK_NEW, Q_LINK_FIND, Q_LINK_USE, Q_LINK_VOID_OWNER, Q_LINK_VOID_EMAIL,
	Q_LINK_VOID_PERSON, Q_LINK_SWEEP;
extern const struct sql Q_THROTTLE_GET, Q_THROTTLE_SET, Q_THROTTLE_FORGIVE, Q_THROTTLE_CLEAR,
	Q_THROTTLE_SWEEP;
/* All of them, for the test that prepares each. */
extern const struct sql *const vault_sql[];
extern const size_t vault_sql_count;

/* ---- passwords (password.c) ---- */
/* Waits for a turn. Errors: ERR_BUSY. */
enum err password_make(struct vault *v, struct str password, char ret[PASSWORD_HASH_MAX],
		       struct err_info *info);
/* `hash` "": the same time is spent, and the answer is no. Errors: ERR_BUSY, ERR_NOMEM. */
enum err password_verify(struct vault *v, struct str password, const char *hash, bool *ret,
			 struct err_info *info);

/* ---- throttle (throttle.c); address STR_NONE: the account only ---- */
struct throttle { uint8_t account[SHA256_LEN], address[SHA256_LEN]; bool has_address; };
void throttle_who(const struct vault *v, struct str email, struct str address, struct throttle *t);
/* Counts an attempt as failed, in advance. Errors: ERR_THROTTLED. */
enum err throttle_begin(struct vault *v, const struct throttle *t, struct err_info *info);
/* Takes the attempt back; `known` also forgets the account's failures (it was the right person).
 * Inside a transaction. */
enum err throttle_forgive(struct db_conn *c, const struct throttle *t, bool known);

/* ---- inside transactions ---- */
void person_email_key(struct str email, char ret[LIMIT_EMAIL + 1]); /* lower case */
enum err person_insert(struct db_conn *c, const struct person *p, const char *password_hash,
		       struct err_info *info);
/* Fills what a new account needs; checks address, name, language. Errors: ERR_INVALID. */
enum err person_prepare(const struct person_new *n, struct person *ret, struct err_info *info);
enum err person_get(struct db_conn *c, struct str id, struct person *ret);
enum err person_set_password(struct db_conn *c, const char *id, const char *password_hash);
void session_make(struct session *ret);
enum err session_insert(struct db_conn *c, const char *person, struct str agent,
			const struct session *s);
void token_make(char ret[TOKEN_LEN + 1]);
/* SHA-256 of a token. Errors: ERR_NOT_FOUND (not the form of a token). */
enum err token_hash(struct str token, uint8_t ret[SHA256_LEN]);
/* A blob parameter from bytes. */
struct str bytes_str(const void *p, size_t n);
/* Copies a column that the schema and our own writers bound. Errors: ERR_CORRUPT (too long). */
enum err col_copy(struct db_row *r, int col, char *dst, size_t size);
/* Ends the row set and gives the first of the two errors. */
enum err row_end(struct db_row *r, enum err e);
/* Ends a statement that wants no rows; ERR_NOT_FOUND when it changed none and `must`. */
enum err row_run(struct db_conn *c, struct db_row *r, bool must);
