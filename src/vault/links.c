#include "vault/links.h"

#include "base/time.h"
#include "vault/vault_int.h"

static const int64_t lifetime_ms[] = {
	[LINK_OWNER] = INT64_C(3600) * 1000,
	[LINK_INVITE] = INT64_C(7) * 24 * 3600 * 1000,
	[LINK_RESET] = INT64_C(24) * 3600 * 1000,
};

const char *link_kind_text(enum link_kind k)
{
	static const char *const texts[] = {
		[LINK_OWNER] = "owner", [LINK_INVITE] = "invite", [LINK_RESET] = "reset",
	};
	return (size_t)k < sizeof texts / sizeof texts[0] ? texts[k] : "";
}

struct make {
	const struct link_new *n;
	char email[LIMIT_EMAIL + 1]; /* lower case */
	uint8_t hash[SHA256_LEN];
	int64_t now, expires_ms;
	struct err_info *info;
};

/* An older link of the same purpose is worth nothing from now on. */
static enum err void_older(struct db_conn *c, const struct make *m)
{
	static const struct sql *const q[] = {
		[LINK_OWNER] = &Q_LINK_VOID_OWNER, [LINK_INVITE] = &Q_LINK_VOID_EMAIL,
		[LINK_RESET] = &Q_LINK_VOID_PERSON,
	};
	struct db_row r;
	TRY(db_query(c, q[m->n->kind], &r));
	db_bind_i64(&r, 1, m->now);
	if (m->n->kind == LINK_INVITE)
		db_bind_str(&r, 2, str_from(m->email));
	if (m->n->kind == LINK_RESET)
		db_bind_str(&r, 2, m->n->person);
	return db_run(&r);
}

static enum err no_account(struct db_conn *c, const char *email_key, struct err_info *info)
{
	struct db_row r;
	TRY(db_query(c, &Q_PERSON_BY_EMAIL, &r));
	db_bind_str(&r, 1, str_from(email_key));
	bool there = db_next(&r);
	TRY(db_end(&r));
	return there ? err_set(info, ERR_EXISTS, "this e-mail address has an account already") : OK;
}

/* An owner link is the operator's; for an owner, or to make one, it takes an owner. */
static bool by_may(enum person_role by, enum link_kind kind, enum person_role for_role)
{
	if (kind == LINK_OWNER || by == PERSON_LOCAL)
		return by == PERSON_LOCAL;
	return by == PERSON_OWNER || (by == PERSON_ADMIN && for_role != PERSON_OWNER);
}

static enum err make(struct db_conn *c, void *arg)
{
	struct make *m = arg;
	struct person p = { .role = m->n->role };
	struct db_row r;
	bool invite = m->n->kind == LINK_INVITE, reset = m->n->kind == LINK_RESET;
	if (invite)
		TRY(no_account(c, m->email, m->info));
	if (reset)
		TRY(person_get(c, m->n->person, &p));
	if (!by_may(m->n->by, m->n->kind, p.role))
		return err_set(m->info, ERR_FORBIDDEN, "only an owner changes or makes an owner");
	TRY(void_older(c, m));
	TRY(db_query(c, &Q_LINK_NEW, &r));
	db_bind_blob(&r, 1, bytes_str(m->hash, sizeof m->hash));
	db_bind_str(&r, 2, str_from(link_kind_text(m->n->kind)));
	db_bind_str(&r, 3, reset ? m->n->person : STR_NONE);
	db_bind_str(&r, 4, invite ? str_from(m->email) : STR_NONE);
	db_bind_str(&r, 5, invite ? str_from(person_role_text(m->n->role)) : STR_NONE);
	db_bind_i64(&r, 6, m->now);
	db_bind_i64(&r, 7, m->expires_ms);
	return db_run(&r);
}

enum err link_make(struct vault *v, const struct link_new *n, char ret_token[TOKEN_LEN + 1],
		   int64_t *ret_expires_ms, struct err_info *info)
{
	struct make m = { .n = n, .now = time_now_ms(), .info = info };
	char token[TOKEN_LEN + 1];
	if (n->kind == LINK_INVITE) {
		TRY(person_email_check(str_trim(n->email), info));
		if (!person_role_text(n->role)[0])
			return err_set(info, ERR_INVALID, "the role is not owner, admin or member");
		person_email_key(n->email, m.email);
	}
	if (n->kind == LINK_RESET && !id_ok(n->person))
		return ERR_NOT_FOUND;
	m.expires_ms = m.now + lifetime_ms[n->kind];
	token_make(token);
	enum err e = token_hash(str_from(token), m.hash);
	if (!e)
		e = db_write(v->db, make, &m);
	if (!e) {
		memcpy(ret_token, token, sizeof token);
		*ret_expires_ms = m.expires_ms;
	}
	wipe(token, sizeof token);
	return e;
}

struct check { uint8_t hash[SHA256_LEN]; int64_t now; struct link_info l; };

static enum err fill(struct db_row *r, struct check *k)
{
	struct link_info *l = &k->l;
	bool known = false;
	for (enum link_kind i = LINK_OWNER; i <= LINK_RESET && !known; i++) {
		known = str_eq(db_col_str(r, 0), str_from(link_kind_text(i)));
		l->kind = i;
	}
	if (!known)
		return ERR_CORRUPT;
	if (db_col_i64(r, 4) <= k->now || !db_col_null(r, 5))
		return ERR_GONE;
	l->role = PERSON_OWNER;
	if (l->kind == LINK_INVITE) {
		TRY(col_copy(r, 2, l->email, sizeof l->email));
		return person_role_from(db_col_str(r, 3), &l->role) ? ERR_CORRUPT : OK;
	}
	if (l->kind == LINK_RESET) {
		l->role = PERSON_NONE;
		TRY(col_copy(r, 1, l->person, sizeof l->person));
		TRY(col_copy(r, 6, l->email, sizeof l->email));
		return str_eq(db_col_str(r, 7), STR("active")) ? OK : ERR_GONE;
	}
	return OK;
}

static enum err check(struct db_conn *c, void *arg)
{
	struct check *k = arg;
	struct db_row r;
	TRY(db_query(c, &Q_LINK_FIND, &r));
	db_bind_blob(&r, 1, bytes_str(k->hash, sizeof k->hash));
	enum err e = db_next(&r) ? fill(&r, k) : ERR_NOT_FOUND;
	enum err end = db_end(&r);
	return end ? end : e;
}

static enum err explain(enum err e, struct err_info *info)
{
	if (e == ERR_GONE)
		return err_set(info, e, "this link was used, replaced or has expired");
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "there is no such link");
	return e;
}

enum err link_check(struct vault *v, struct str token, struct link_info *ret,
		    struct err_info *info)
{
	struct check k = { .now = time_now_ms() };
	enum err e = token_hash(token, k.hash);
	if (!e)
		e = db_read(v->db, check, &k);
	if (e)
		return explain(e, info);
	*ret = k.l;
	return OK;
}

struct use {
	struct check k;
	const struct person *fresh; /* who is to be made; NULL for a reset */
	const char *hash;
	struct str agent;
	const struct session *s;
	struct person ret;
	struct err_info *info;
};

static enum err mark_used(struct db_conn *c, const struct use *u)
{
	struct db_row r;
	TRY(db_query(c, &Q_LINK_USE, &r));
	db_bind_blob(&r, 1, bytes_str(u->k.hash, sizeof u->k.hash));
	db_bind_i64(&r, 2, u->k.now);
	TRY(db_run(&r));
	return db_changes(c) == 1 ? OK : ERR_GONE;
}

static enum err end_sessions(struct db_conn *c, const char *person)
{
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_END_ALL, &r));
	db_bind_str(&r, 1, str_from(person));
	db_bind_null(&r, 2);
	return db_run(&r);
}

/* All or nothing: the link is used up if and only if the person and the session are there. */
static enum err use(struct db_conn *c, void *arg)
{
	struct use *u = arg;
	TRY(check(c, &u->k)); /* again: between the first look and now it may have been used */
	TRY(mark_used(c, u));
	const char *id = u->fresh ? u->fresh->id : u->k.l.person;
	if (u->fresh) {
		TRY(person_insert(c, u->fresh, u->hash, u->info));
	} else {
		TRY(person_set_password(c, id, u->hash));
		TRY(end_sessions(c, id));
	}
	TRY(session_insert(c, id, u->agent, u->s));
	return person_get(c, str_from(id), &u->ret);
}

/* Who the link makes. LINK_INVITE: the address and role are the link's, not the request's. */
static enum err fresh(const struct link_info *l, const struct link_use *u, struct person *ret,
		      struct err_info *info)
{
	struct person_new n = { .email = u->email, .name = u->name, .language = u->language,
				.role = PERSON_OWNER };
	if (l->kind == LINK_INVITE) {
		n.email = str_from(l->email);
		n.role = l->role;
	}
	return person_prepare(&n, ret, info);
}

enum err link_accept(struct vault *v, const struct link_use *u, struct session *ret,
		     struct person *ret_person, struct err_info *info)
{
	struct link_info l;
	struct person p;
	struct session s;
	char hash[PASSWORD_HASH_MAX];
	TRY(link_check(v, u->token, &l, info)); /* before anything costly */
	bool reset = l.kind == LINK_RESET;
	if (!reset)
		TRY(fresh(&l, u, &p, info));
	TRY(password_check(u->password, str_from(reset ? l.email : p.email), info));
	TRY(password_make(v, u->password, hash, info));
	session_make(&s);
	struct use a = { .k.now = time_now_ms(), .fresh = reset ? NULL : &p, .hash = hash,
			 .agent = u->agent, .s = &s, .info = info };
	enum err e = token_hash(u->token, a.k.hash);
	if (!e)
		e = db_write(v->db, use, &a);
	if (!e) {
		*ret = s;
		*ret_person = a.ret;
	}
	wipe(&s, sizeof s);
	wipe(hash, sizeof hash);
	return explain(e, info);
}
