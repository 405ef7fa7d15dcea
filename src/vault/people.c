#include "vault/people.h"

#include "base/time.h"
#include "vault/vault_int.h"

const char *person_role_text(enum person_role r)
{
	switch (r) {
	case PERSON_OWNER: return "owner";
	case PERSON_ADMIN: return "admin";
	case PERSON_MEMBER: return "member";
	case PERSON_NONE:
	case PERSON_LOCAL: break;
	}
	return "";
}

enum err person_role_from(struct str s, enum person_role *ret)
{
	for (enum person_role r = PERSON_MEMBER; r <= PERSON_OWNER; r++)
		if (str_eq(s, str_from(person_role_text(r)))) {
			*ret = r;
			return OK;
		}
	return ERR_INVALID;
}

static bool has_blank(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == ' ')
			return true;
	return str_has_control(s);
}

enum err person_email_check(struct str email, struct err_info *info)
{
	size_t at = str_find_byte(email, '@', 0);
	if (email.len > LIMIT_EMAIL)
		return err_set(info, ERR_INVALID, "the e-mail address is too long");
	if (at == SIZE_MAX || at == 0 || at + 1 == email.len ||
	    str_find_byte(email, '@', at + 1) != SIZE_MAX || has_blank(email) ||
	    !str_is_utf8(email))
		return err_set(info, ERR_INVALID, "this is not an e-mail address");
	return OK;
}

static enum err name_check(struct str name, struct err_info *info)
{
	if (name.len == 0 || name.len > LIMIT_NAME || str_has_control(name) || !str_is_utf8(name))
		return err_set(info, ERR_INVALID, "the name is empty, too long or not plain text");
	return OK;
}

static enum err choice(struct str s, const char *const *among, const char *what, char *dst,
		       size_t size, struct err_info *info)
{
	for (; *among; among++)
		if (str_eq(s, str_from(*among)))
			return str_copy(s, dst, size);
	return err_set(info, ERR_INVALID, "%s is not one of the known values", what);
}
static const char *const languages[] = { "de", "en", NULL };
static const char *const addresses[] = { "sie", "du", NULL };
static const char *const themes[] = { "system", "light", "dark", NULL };

void person_email_key(struct str email, char ret[LIMIT_EMAIL + 1])
{
	struct str cut = str_sub(str_trim(email), 0, LIMIT_EMAIL);
	for (size_t i = 0; i < cut.len; i++) {
		char c = cut.ptr[i];
		ret[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c ? c : '?';
	}
	ret[cut.len] = 0;
}

/* ---- reading ---- */

static enum err from_row(struct db_row *r, struct person *p)
{
	TRY(col_copy(r, 0, p->id, sizeof p->id));
	TRY(col_copy(r, 1, p->email, sizeof p->email));
	TRY(col_copy(r, 2, p->name, sizeof p->name));
	if (person_role_from(db_col_str(r, 3), &p->role))
		return ERR_CORRUPT;
	p->active = str_eq(db_col_str(r, 4), STR("active"));
	TRY(col_copy(r, 5, p->language, sizeof p->language));
	TRY(col_copy(r, 6, p->address, sizeof p->address));
	TRY(col_copy(r, 7, p->theme, sizeof p->theme));
	p->created_ms = db_col_i64(r, 8);
	return OK;
}

struct find { const struct sql *q; struct str key; struct person *ret; };

static enum err find(struct db_conn *c, void *arg)
{
	struct find *f = arg;
	struct db_row r;
	struct person p = { .role = PERSON_NONE };
	TRY(db_query(c, f->q, &r));
	db_bind_str(&r, 1, f->key);
	enum err e = db_next(&r) ? from_row(&r, &p) : ERR_NOT_FOUND;
	enum err end = db_end(&r);
	if (end || e)
		return end ? end : e;
	*f->ret = p;
	return OK;
}

enum err person_get(struct db_conn *c, struct str id, struct person *ret)
{
	struct find f = { &Q_PERSON_BY_ID, id, ret };
	return find(c, &f);
}

enum err person_find(struct vault *v, struct str id, struct person *ret)
{
	struct find f = { &Q_PERSON_BY_ID, id, ret };
	return id_ok(id) ? db_read(v->db, find, &f) : ERR_NOT_FOUND;
}

enum err person_find_email(struct vault *v, struct str email, struct person *ret)
{
	char key[LIMIT_EMAIL + 1];
	person_email_key(email, key);
	struct find f = { &Q_PERSON_BY_EMAIL, str_from(key), ret };
	return db_read(v->db, find, &f);
}

enum err person_name(struct vault *v, struct str id, char *ret)
{
	struct person p;
	enum err e = person_find(v, id, &p);
	ret[0] = 0;
	if (!e)
		return str_copy(str_from(p.name), ret, LIMIT_NAME + 1);
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err has_owner(struct db_conn *c, void *arg)
{
	struct db_row r;
	TRY(db_query(c, &Q_PERSON_HAS_OWNER, &r));
	bool has = db_next(&r) && db_col_i64(&r, 0) > 0;
	TRY(db_end(&r));
	*(bool *)arg = has;
	return OK;
}

enum err person_has_owner(struct vault *v, bool *ret)
{
	return db_read(v->db, has_owner, ret);
}

void person_json(struct jw *w, const struct person *p)
{
	jw_obj(w);
	jw_kstr(w, "id", str_from(p->id));
	jw_kstr(w, "email", str_from(p->email));
	jw_kstr(w, "name", str_from(p->name));
	jw_kstr(w, "role", str_from(person_role_text(p->role)));
	jw_kstr(w, "state", p->active ? STR("active") : STR("disabled"));
	jw_kstr(w, "language", str_from(p->language));
	jw_kstr(w, "address", str_from(p->address));
	jw_kstr(w, "theme", str_from(p->theme));
	jw_ki64(w, "created_ms", p->created_ms);
	jw_end(w);
}

static enum err list(struct db_conn *c, void *arg)
{
	struct buf *out = arg;
	struct db_row r;
	struct jw w;
	enum err e = OK;
	TRY(db_query(c, &Q_PERSON_LIST, &r));
	jw_init(&w, out);
	jw_obj(&w);
	jw_key(&w, "people");
	jw_arr(&w);
	while (!e && db_next(&r)) {
		struct person p;
		e = from_row(&r, &p);
		if (!e)
			person_json(&w, &p);
	}
	jw_end(&w);
	jw_end(&w);
	TRY(row_end(&r, e));
	return out->err;
}

enum err person_list_json(struct vault *v, struct buf *ret)
{
	size_t start = ret->len;
	enum err e = db_read(v->db, list, ret);
	if (e)
		buf_cut(ret, start);
	return e;
}

/* ---- writing ---- */

enum err person_prepare(const struct person_new *n, struct person *ret, struct err_info *info)
{
	struct str email = str_trim(n->email), name = str_trim(n->name);
	struct person p = { .role = n->role, .active = true, .address = "sie", .theme = "system" };
	TRY(person_email_check(email, info));
	if (name.len == 0)
		name = str_sub(email, 0, str_find_byte(email, '@', 0));
	if (name.len > LIMIT_NAME) { /* a long address: its part before the @ may be longer */
		name.len = LIMIT_NAME;
		name.len = str_utf8_whole(name);
	}
	TRY(name_check(name, info));
	if (!person_role_text(n->role)[0])
		return err_set(info, ERR_INVALID, "the role is not owner, admin or member");
	TRY(choice(n->language.len ? n->language : STR("de"), languages, "the language", p.language,
		   sizeof p.language, info));
	TRY(str_copy(email, p.email, sizeof p.email));
	TRY(str_copy(name, p.name, sizeof p.name));
	id_new(p.id);
	p.created_ms = time_now_ms();
	*ret = p;
	return OK;
}

enum err person_insert(struct db_conn *c, const struct person *p, const char *password_hash,
		       struct err_info *info)
{
	char key[LIMIT_EMAIL + 1];
	struct db_row r;
	person_email_key(str_from(p->email), key);
	TRY(db_query(c, &Q_PERSON_NEW, &r));
	db_bind_str(&r, 1, str_from(p->id));
	db_bind_str(&r, 2, str_from(p->email));
	db_bind_str(&r, 3, str_from(key));
	db_bind_str(&r, 4, str_from(p->name));
	db_bind_str(&r, 5, str_from(person_role_text(p->role)));
	db_bind_str(&r, 6, str_from(p->language));
	db_bind_str(&r, 7, str_from(password_hash));
	db_bind_i64(&r, 8, p->created_ms);
	enum err e = db_run(&r);
	if (e == ERR_EXISTS)
		return err_set(info, e, "this e-mail address has an account already");
	return e;
}

struct create { const struct person *p; const char *hash; struct err_info *info; };

static enum err create(struct db_conn *c, void *arg)
{
	struct create *n = arg;
	return person_insert(c, n->p, n->hash, n->info);
}

enum err person_create(struct vault *v, const struct person_new *n, struct person *ret,
		       struct err_info *info)
{
	struct person p, other;
	char hash[PASSWORD_HASH_MAX];
	TRY(person_prepare(n, &p, info));
	TRY(password_check(n->password, str_from(p.email), info));
	enum err e = person_find_email(v, str_from(p.email), &other);
	if (e != ERR_NOT_FOUND) /* before the costly hash; the unique column decides in the end */
		return e ? e : err_set(info, ERR_EXISTS,
				       "this e-mail address has an account already");
	TRY(password_make(v, n->password, hash, info));
	struct create a = { &p, hash, info };
	e = db_write(v->db, create, &a);
	wipe(hash, sizeof hash);
	TRY(e);
	*ret = p;
	return OK;
}

enum err person_set_password(struct db_conn *c, const char *id, const char *password_hash)
{
	struct db_row r;
	TRY(db_query(c, &Q_PERSON_PASSWORD_SET, &r));
	db_bind_str(&r, 1, str_from(id));
	db_bind_str(&r, 2, str_from(password_hash));
	db_bind_i64(&r, 3, time_now_ms());
	return row_run(c, &r, true);
}

static enum err other_owners(struct db_conn *c, const char *id, int64_t *ret)
{
	struct db_row r;
	TRY(db_query(c, &Q_PERSON_OTHER_OWNERS, &r));
	db_bind_str(&r, 1, str_from(id));
	int64_t n = db_next(&r) ? db_col_i64(&r, 0) : 0;
	TRY(db_end(&r));
	*ret = n;
	return OK;
}

/* May `by` make `old` into `now` (`now` NULL: delete it)? Inside the transaction that writes. */
static enum err check_rules(struct db_conn *c, enum person_role by, const struct person *old,
			    const struct person *now, struct err_info *info)
{
	bool same_rights = now && now->role == old->role && now->active == old->active;
	bool touches_owner = old->role == PERSON_OWNER || (now && now->role == PERSON_OWNER);
	bool stays_owner = now && now->role == PERSON_OWNER && now->active;
	int64_t others = 0;
	if (by == PERSON_MEMBER && same_rights)
		return OK; /* oneself */
	if (by != PERSON_OWNER && by != PERSON_LOCAL && by != PERSON_ADMIN)
		return ERR_FORBIDDEN;
	if (by == PERSON_ADMIN && touches_owner)
		return err_set(info, ERR_FORBIDDEN, "only an owner changes or makes an owner");
	if (old->role != PERSON_OWNER || !old->active || stays_owner)
		return OK;
	TRY(other_owners(c, old->id, &others));
	if (others == 0)
		return err_set(info, ERR_CONFLICT, "this is the last active owner");
	return OK;
}

static enum err end_sessions(struct db_conn *c, const char *id)
{
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_END_ALL, &r));
	db_bind_str(&r, 1, str_from(id));
	db_bind_null(&r, 2);
	return db_run(&r);
}

static enum err update(struct db_conn *c, const struct person *p)
{
	struct db_row r;
	TRY(db_query(c, &Q_PERSON_CHANGE, &r));
	db_bind_str(&r, 1, str_from(p->id));
	db_bind_str(&r, 2, str_from(p->name));
	db_bind_str(&r, 3, str_from(person_role_text(p->role)));
	db_bind_str(&r, 4, p->active ? STR("active") : STR("disabled"));
	db_bind_str(&r, 5, str_from(p->language));
	db_bind_str(&r, 6, str_from(p->address));
	db_bind_str(&r, 7, str_from(p->theme));
	db_bind_i64(&r, 8, time_now_ms());
	return row_run(c, &r, true);
}

static enum err apply(const struct person_change *ch, struct person *p, struct err_info *info)
{
	struct str name = str_trim(ch->name);
	if (ch->name.ptr) {
		TRY(name_check(name, info));
		TRY(str_copy(name, p->name, sizeof p->name));
	}
	if (ch->language.ptr)
		TRY(choice(ch->language, languages, "the language", p->language,
			   sizeof p->language, info));
	if (ch->address.ptr)
		TRY(choice(ch->address, addresses, "the form of address", p->address,
			   sizeof p->address, info));
	if (ch->theme.ptr)
		TRY(choice(ch->theme, themes, "the theme", p->theme, sizeof p->theme, info));
	if (ch->role != PERSON_NONE) {
		if (!person_role_text(ch->role)[0])
			return err_set(info, ERR_INVALID,
				       "the role is not owner, admin or member");
		p->role = ch->role;
	}
	if (ch->active >= 0)
		p->active = ch->active > 0;
	return OK;
}

/* A reset made for the old role must not open the account with the new one. */
static enum err void_resets(struct db_conn *c, const char *id)
{
	struct db_row r;
	TRY(db_query(c, &Q_LINK_VOID_PERSON, &r));
	db_bind_i64(&r, 1, time_now_ms());
	db_bind_str(&r, 2, str_from(id));
	return db_run(&r);
}

struct change {
	struct str id;
	const struct person_change *ch;
	struct person p;
	struct err_info *info;
};

static enum err change(struct db_conn *c, void *arg)
{
	struct change *a = arg;
	struct person old;
	TRY(person_get(c, a->id, &old));
	a->p = old;
	TRY(apply(a->ch, &a->p, a->info));
	TRY(check_rules(c, a->ch->by, &old, &a->p, a->info));
	if (!a->p.active)
		TRY(end_sessions(c, a->p.id));
	if (a->p.role != old.role || a->p.active != old.active)
		TRY(void_resets(c, a->p.id));
	return update(c, &a->p);
}

enum err person_change(struct vault *v, struct str id, const struct person_change *c,
		       struct person *ret, struct err_info *info)
{
	struct change a = { .id = id, .ch = c, .info = info };
	if (!id_ok(id))
		return ERR_NOT_FOUND;
	TRY(db_write(v->db, change, &a));
	if (ret)
		*ret = a.p;
	return OK;
}

struct removal { struct str id; enum person_role by; struct err_info *info; };

static enum err disable(struct db_conn *c, void *arg)
{
	struct removal *a = arg;
	struct person p;
	TRY(person_get(c, a->id, &p));
	TRY(check_rules(c, a->by, &p, NULL, a->info));
	p.active = false;
	TRY(end_sessions(c, p.id));
	return update(c, &p);
}

static enum err delete(struct db_conn *c, void *arg)
{
	struct removal *a = arg;
	struct person p;
	struct db_row r;
	TRY(person_get(c, a->id, &p));
	TRY(check_rules(c, a->by, &p, NULL, a->info));
	TRY(db_query(c, &Q_PERSON_DELETE, &r));
	db_bind_str(&r, 1, a->id);
	return row_run(c, &r, true);
}

enum err person_delete(struct vault *v, struct str id, enum person_role by,
		       person_forget_fn forget, void *arg, struct err_info *info)
{
	struct removal a = { id, by, info };
	char text[ID_LEN + 1];
	if (!id_ok(id))
		return ERR_NOT_FOUND;
	TRY(str_copy(id, text, sizeof text));
	TRY(db_write(v->db, disable, &a)); /* from here on nothing new of theirs begins */
	if (forget)
		TRY(forget(arg, text));
	return db_write(v->db, delete, &a);
}
