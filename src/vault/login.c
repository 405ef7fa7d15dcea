#include "vault/login.h"

#include "vault/vault_int.h"

/* The account as log-in sees it. */
struct account {
	struct str email_key;
	char id[ID_LEN + 1];
	bool active;
	char hash[PASSWORD_HASH_MAX]; /* "": no such account, or no password */
};

static enum err account(struct db_conn *c, void *arg)
{
	struct account *a = arg;
	struct db_row r;
	enum err e = OK;
	TRY(db_query(c, &Q_PERSON_PASSWORD, &r));
	db_bind_str(&r, 1, a->email_key);
	if (db_next(&r)) {
		e = col_copy(&r, 0, a->id, sizeof a->id);
		a->active = str_eq(db_col_str(&r, 1), STR("active"));
		if (!e && !db_col_null(&r, 2))
			e = col_copy(&r, 2, a->hash, sizeof a->hash);
	}
	return row_end(&r, e);
}

struct enter {
	const struct throttle *t;
	const struct account *a;
	struct str agent;
	const struct session *s;
	struct person *ret;
};

static enum err forgive(struct db_conn *c, void *arg)
{
	return throttle_forgive(c, arg, false);
}

static enum err enter(struct db_conn *c, void *arg)
{
	struct enter *n = arg;
	TRY(throttle_forgive(c, n->t, true));
	enum err e = session_insert(c, n->a->id, n->agent, n->s);
	if (e)
		return e == ERR_NOT_FOUND ? ERR_CREDENTIALS : e; /* disabled a moment ago */
	return person_get(c, str_from(n->a->id), n->ret);
}

/* Is it the right password? Counts as a failure until the caller takes it back. */
static enum err check(struct vault *v, const struct throttle *t, struct account *a,
		      struct str password, bool *ret, struct err_info *info)
{
	TRY(throttle_begin(v, t, info));
	TRY(db_read(v->db, account, a));
	if (password.len > LIMIT_PASSWORD)
		password.len = 0; /* wrong in any case, and not worth hashing */
	enum err e = password_verify(v, password, a->hash, ret, info);
	if (e) /* we were busy: that was nobody's mistake */
		(void)db_write(v->db, forgive, (void *)t);
	return e;
}

enum err login_password(struct vault *v, const struct login_try *t, struct session *ret,
			struct person *ret_person, struct err_info *info)
{
	char key[LIMIT_EMAIL + 1];
	struct throttle who;
	bool good = false;
	person_email_key(t->email, key);
	throttle_who(v, str_from(key), t->address, &who);
	struct account a = { .email_key = str_from(key) };
	enum err e = check(v, &who, &a, t->password, &good, info);
	wipe(a.hash, sizeof a.hash);
	TRY(e);
	if (!good || !a.active)
		return ERR_CREDENTIALS;
	struct session s;
	struct person p;
	session_make(&s);
	struct enter n = { &who, &a, t->agent, &s, &p };
	e = db_write(v->db, enter, &n);
	if (!e) {
		*ret = s;
		*ret_person = p;
	}
	wipe(&s, sizeof s);
	return e;
}

struct renew {
	const struct throttle *t;
	const struct subject *who;
	const char *hash;
};

static enum err renew(struct db_conn *c, void *arg)
{
	struct renew *n = arg;
	struct db_row r;
	TRY(throttle_forgive(c, n->t, true));
	TRY(person_set_password(c, n->who->person, n->hash));
	TRY(db_query(c, &Q_SESSION_END_ALL, &r));
	db_bind_str(&r, 1, str_from(n->who->person));
	db_bind_blob(&r, 2, bytes_str(n->who->session_hash, sizeof n->who->session_hash));
	return db_run(&r);
}

enum err login_change_password(struct vault *v, const struct subject *who, struct str old,
			       struct str fresh, struct err_info *info)
{
	char key[LIMIT_EMAIL + 1], hash[PASSWORD_HASH_MAX];
	struct throttle t;
	struct person p;
	bool good = false;
	TRY(person_find(v, str_from(who->person), &p));
	TRY(password_check(fresh, str_from(p.email), info));
	person_email_key(str_from(p.email), key);
	throttle_who(v, str_from(key), STR_NONE, &t);
	struct account a = { .email_key = str_from(key) };
	enum err e = check(v, &t, &a, old, &good, info);
	wipe(a.hash, sizeof a.hash);
	TRY(e);
	if (!good)
		return err_set(info, ERR_CREDENTIALS, "the old password is wrong");
	TRY(password_make(v, fresh, hash, info));
	struct renew n = { &t, who, hash };
	e = db_write(v->db, renew, &n);
	wipe(hash, sizeof hash);
	return e;
}
