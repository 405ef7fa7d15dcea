#include "vault/session.h"

#include "base/hex.h"
#include "base/time.h"
#include "vault/vault_int.h"

enum { SESSIONS_PER_PERSON = 50, AGENT_MAX = 200 };

void token_make(char ret[TOKEN_LEN + 1])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t raw[33] = { 0 };
	random_bytes(raw, 32);
	for (size_t i = 0; i < TOKEN_LEN; i++) { /* 6 bits each, most significant first */
		size_t bit = 6 * i, at = bit / 8;
		unsigned two = (unsigned)raw[at] << 8 | raw[at + 1];
		ret[i] = digits[two >> (10 - bit % 8) & 63];
	}
	ret[TOKEN_LEN] = 0;
	wipe(raw, sizeof raw);
}

enum err token_hash(struct str token, uint8_t ret[SHA256_LEN])
{
	if (token.len != TOKEN_LEN)
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < token.len; i++) {
		char c = token.ptr[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return ERR_NOT_FOUND;
	}
	sha256_of(token.ptr, token.len, ret);
	return OK;
}

void session_make(struct session *ret)
{
	token_make(ret->token);
	token_make(ret->csrf);
	ret->expires_ms = time_now_ms() + SESSION_MAX_MS;
}

static enum err trim(struct db_conn *c, const char *person)
{
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_TRIM, &r));
	db_bind_str(&r, 1, str_from(person));
	db_bind_i64(&r, 2, SESSIONS_PER_PERSON);
	return db_run(&r);
}

enum err session_insert(struct db_conn *c, const char *person, struct str agent,
			const struct session *s)
{
	uint8_t hash[SHA256_LEN];
	struct db_row r;
	agent = str_sub(agent, 0, AGENT_MAX);
	agent.len = str_utf8_whole(agent);
	if (!str_is_utf8(agent) || str_has_control(agent) || !agent.ptr)
		agent = STR("");
	TRY(token_hash(str_from(s->token), hash));
	TRY(db_query(c, &Q_SESSION_NEW, &r));
	db_bind_blob(&r, 1, bytes_str(hash, sizeof hash));
	db_bind_str(&r, 2, str_from(person));
	db_bind_str(&r, 3, str_from(s->csrf));
	db_bind_i64(&r, 4, s->expires_ms - SESSION_MAX_MS);
	db_bind_i64(&r, 5, s->expires_ms);
	db_bind_str(&r, 6, agent);
	TRY(row_run(c, &r, true));
	return trim(c, person);
}

struct create { const char *person; struct str agent; const struct session *s; };

static enum err create(struct db_conn *c, void *arg)
{
	struct create *a = arg;
	return session_insert(c, a->person, a->agent, a->s);
}

enum err session_create(struct vault *v, const char *person, struct str agent, struct session *ret)
{
	struct session s;
	session_make(&s);
	struct create a = { person, agent, &s };
	enum err e = db_write(v->db, create, &a);
	if (!e)
		*ret = s;
	wipe(&s, sizeof s);
	return e;
}

struct find { uint8_t hash[SHA256_LEN]; int64_t now, seen_ms; struct subject s; };

static enum err fill(struct db_row *r, struct find *f)
{
	f->seen_ms = db_col_i64(r, 1);
	if (f->now >= db_col_i64(r, 2) || f->now - f->seen_ms >= SESSION_IDLE_MS ||
	    !str_eq(db_col_str(r, 6), STR("active")))
		return ERR_LOGIN;
	TRY(col_copy(r, 0, f->s.csrf, sizeof f->s.csrf));
	TRY(col_copy(r, 3, f->s.person, sizeof f->s.person));
	TRY(col_copy(r, 4, f->s.name, sizeof f->s.name));
	return person_role_from(db_col_str(r, 5), &f->s.role) ? ERR_CORRUPT : OK;
}

static enum err find(struct db_conn *c, void *arg)
{
	struct find *f = arg;
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_FIND, &r));
	db_bind_blob(&r, 1, bytes_str(f->hash, sizeof f->hash));
	enum err e = db_next(&r) ? fill(&r, f) : ERR_LOGIN;
	enum err end = db_end(&r);
	return end ? end : e;
}

static enum err seen(struct db_conn *c, void *arg)
{
	struct find *f = arg;
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_SEEN, &r));
	db_bind_blob(&r, 1, bytes_str(f->hash, sizeof f->hash));
	db_bind_i64(&r, 2, f->now);
	return db_run(&r);
}

enum err session_find(struct vault *v, struct str token, struct subject *ret)
{
	struct find f = { .now = time_now_ms() };
	if (token_hash(token, f.hash))
		return ERR_LOGIN;
	TRY(db_read(v->db, find, &f));
	/* A database that refuses writes still lets people read: the time of the last visit is
	 * not worth a failed request. */
	if (f.now - f.seen_ms >= SESSION_TOUCH_MS)
		(void)db_write(v->db, seen, &f);
	memcpy(f.s.session_hash, f.hash, sizeof f.hash);
	*ret = f.s;
	return OK;
}

struct end { const char *person; struct str hash; };

static enum err end_one(struct db_conn *c, void *arg)
{
	struct end *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_END, &r));
	db_bind_blob(&r, 1, a->hash);
	return db_run(&r);
}

enum err session_end(struct vault *v, const uint8_t token_hash_[SHA256_LEN])
{
	struct end a = { NULL, bytes_str(token_hash_, SHA256_LEN) };
	return db_write(v->db, end_one, &a);
}

static enum err end_all(struct db_conn *c, void *arg)
{
	struct end *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_SESSION_END_ALL, &r));
	db_bind_str(&r, 1, str_from(a->person));
	if (a->hash.ptr)
		db_bind_blob(&r, 2, a->hash);
	else
		db_bind_null(&r, 2);
	return db_run(&r);
}

enum err session_end_all(struct vault *v, const char *person, const uint8_t *except)
{
	struct end a = { person, except ? bytes_str(except, SHA256_LEN) : STR_NONE };
	return db_write(v->db, end_all, &a);
}

enum err session_cookie(const struct session *s, bool tls, struct buf *out)
{
	return buf_addf(out, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s",
			SESSION_COOKIE, s ? s->token : "",
			s ? (long long)(SESSION_MAX_MS / 1000) : 0LL, tls ? "; Secure" : "");
}
