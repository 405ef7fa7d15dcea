#include "vault/vault.h"

#include "base/fault.h"
#include "base/time.h"
#include "vault/vault_int.h"

enum { LINK_KEEP_MS = 7 * 24 * 3600 * 1000, THROTTLE_KEEP_MS = 24 * 3600 * 1000 };

enum err vault_new(struct db *db, const uint8_t name_key[KEY_LEN], int strength,
		   struct vault **ret)
{
	struct vault *v = mem_zalloc(1, sizeof *v);
	if (!v)
		return ERR_NOMEM;
	v->db = db;
	v->strength = strength;
	key_derive(name_key, "throttle", v->who_key);
	pthread_condattr_t a;
	(void)pthread_condattr_init(&a);
	(void)pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&v->lock, NULL);
	(void)pthread_cond_init(&v->turn, &a);
	(void)pthread_condattr_destroy(&a);
	*ret = v;
	return OK;
}

struct vault *vault_free(struct vault *v)
{
	if (!v)
		return NULL;
	(void)pthread_cond_destroy(&v->turn);
	(void)pthread_mutex_destroy(&v->lock);
	wipe(v, sizeof *v);
	mem_free(v);
	return NULL;
}

static enum err sweep_one(struct db_conn *c, const struct sql *q, int64_t a, int64_t b, bool two)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	db_bind_i64(&r, 1, a);
	if (two)
		db_bind_i64(&r, 2, b);
	return db_run(&r);
}

static enum err sweep(struct db_conn *c, void *arg)
{
	int64_t now = *(int64_t *)arg;
	TRY(sweep_one(c, &Q_SESSION_SWEEP, now, now - SESSION_IDLE_MS, true));
	TRY(sweep_one(c, &Q_LINK_SWEEP, now - LINK_KEEP_MS, 0, false));
	return sweep_one(c, &Q_THROTTLE_SWEEP, now - THROTTLE_KEEP_MS, now, true);
}

enum err vault_sweep(struct vault *v)
{
	int64_t now = time_now_ms();
	return db_write(v->db, sweep, &now);
}

struct str bytes_str(const void *p, size_t n)
{
	return (struct str){ p, n };
}

enum err col_copy(struct db_row *r, int col, char *dst, size_t size)
{
	return str_copy(db_col_str(r, col), dst, size) ? ERR_CORRUPT : OK;
}

enum err row_end(struct db_row *r, enum err e)
{
	enum err end = db_end(r);
	return e ? e : end;
}

enum err row_run(struct db_conn *c, struct db_row *r, bool must)
{
	TRY(db_run(r));
	return must && db_changes(c) == 0 ? ERR_NOT_FOUND : OK;
}
