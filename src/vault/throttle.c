/* Slows down guessing (vault/login.h). An attempt is counted as failed before the password is
 * looked at and taken back when it was right, so parallel attempts cannot all see a clean slate. */
#include <arpa/inet.h>

#include "base/time.h"
#include "vault/vault_int.h"

enum {
	ACCOUNT_FREE = 5,
	ADDRESS_FREE = 20,  /* an office behind one address mistypes more often */
	DELAY_MAX_S = 300,
	FORGET_MS = 15 * 60 * 1000,
};

static void who_hash(const struct vault *v, const char *kind, struct str text,
		     uint8_t ret[SHA256_LEN])
{
	struct hmac h;
	hmac_init(&h, v->who_key, sizeof v->who_key);
	hmac_add(&h, kind, strlen(kind) + 1);
	hmac_add(&h, text.ptr, text.len);
	hmac_end(&h, ret);
}

void throttle_who(const struct vault *v, struct str email, struct str address, struct throttle *t)
{
	char key[LIMIT_EMAIL + 1], ip[64];
	struct in6_addr six;
	person_email_key(email, key);
	who_hash(v, "account", str_from(key), t->account);
	t->has_address = address.ptr != NULL;
	if (!t->has_address)
		return;
	/* Whoever has one IPv6 address has the other 2^64 of its network as well. */
	if (str_copy(address, ip, sizeof ip) == OK && inet_pton(AF_INET6, ip, &six) == 1 &&
	    !IN6_IS_ADDR_V4MAPPED(&six))
		who_hash(v, "network", bytes_str(&six, 8), t->address);
	else
		who_hash(v, "address", address, t->address);
}

static int64_t delay_ms(int64_t failures, int64_t free_tries)
{
	int64_t over = failures - free_tries;
	if (over < 0)
		return 0;
	int64_t s = over < 9 ? INT64_C(1) << over : DELAY_MAX_S;
	return (s > DELAY_MAX_S ? DELAY_MAX_S : s) * 1000;
}

struct counter { int64_t failures, until_ms, changed_ms; };

static enum err counter_get(struct db_conn *c, const uint8_t who[SHA256_LEN], int64_t now,
			    struct counter *ret)
{
	struct db_row q;
	*ret = (struct counter){ .failures = 0 };
	TRY(db_query(c, &Q_THROTTLE_GET, &q));
	db_bind_blob(&q, 1, bytes_str(who, SHA256_LEN));
	if (db_next(&q))
		*ret = (struct counter){ db_col_i64(&q, 0), db_col_i64(&q, 1), db_col_i64(&q, 2) };
	TRY(db_end(&q));
	if (ret->changed_ms > now) /* the clock was set back: do not wait for a date far ahead */
		ret->until_ms = ret->until_ms > now + DELAY_MAX_S * 1000 ? 0 : ret->until_ms;
	else if (now - ret->changed_ms > FORGET_MS)
		ret->failures = 0;
	return OK;
}

static enum err counter_add(struct db_conn *c, const uint8_t who[SHA256_LEN], int64_t free_tries,
			    int64_t now, const struct counter *n)
{
	struct db_row q;
	TRY(db_query(c, &Q_THROTTLE_SET, &q));
	db_bind_blob(&q, 1, bytes_str(who, SHA256_LEN));
	db_bind_i64(&q, 2, n->failures + 1);
	db_bind_i64(&q, 3, now + delay_ms(n->failures + 1, free_tries));
	db_bind_i64(&q, 4, now);
	return db_run(&q);
}

struct begin { const struct throttle *t; int64_t now, wait_ms; };

static enum err begin(struct db_conn *c, void *arg)
{
	struct begin *b = arg;
	struct counter account, address = { .failures = 0 };
	TRY(counter_get(c, b->t->account, b->now, &account));
	if (b->t->has_address)
		TRY(counter_get(c, b->t->address, b->now, &address));
	int64_t until = account.until_ms > address.until_ms ? account.until_ms : address.until_ms;
	if (until > b->now) {
		b->wait_ms = until - b->now;
		return ERR_THROTTLED;
	}
	TRY(counter_add(c, b->t->account, ACCOUNT_FREE, b->now, &account));
	if (b->t->has_address)
		TRY(counter_add(c, b->t->address, ADDRESS_FREE, b->now, &address));
	return OK;
}

enum err throttle_begin(struct vault *v, const struct throttle *t, struct err_info *info)
{
	struct begin b = { .t = t, .now = time_now_ms() };
	enum err e = db_write(v->db, begin, &b);
	if (e == ERR_THROTTLED)
		return err_set(info, e, "too many attempts; try again in %d seconds",
			       (int)((b.wait_ms + 999) / 1000));
	return e;
}

static enum err one(struct db_conn *c, const struct sql *q, const uint8_t who[SHA256_LEN])
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	db_bind_blob(&r, 1, bytes_str(who, SHA256_LEN));
	return db_run(&r);
}

enum err throttle_forgive(struct db_conn *c, const struct throttle *t, bool known)
{
	TRY(one(c, known ? &Q_THROTTLE_CLEAR : &Q_THROTTLE_FORGIVE, t->account));
	/* The address keeps its other failures: an own account must not buy more guesses. */
	return t->has_address ? one(c, &Q_THROTTLE_FORGIVE, t->address) : OK;
}
