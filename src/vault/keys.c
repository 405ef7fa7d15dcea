#include "vault/keys.h"

#include "base/time.h"
#include "vault/vault_int.h"

enum { KEY_TOUCH_MS = 60 * 1000, AT_SECRET = 4 + ID_LEN + 1, AT_CRC = AT_SECRET + TOKEN_LEN };

/* The scopes that routes ask for (api/routes.json; a test compares). */
static const char *const scopes[] = {
	"audit", "chat", "doctor", "egress", "metrics", "models.change", "models.push",
	"models.read", "people",
};

/* CRC-32 of IEEE 802.3, as in zlib; 30 characters of input do not need a table. */
static uint32_t crc32_of(const char *p, size_t n)
{
	uint32_t crc = 0xffffffff;
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint8_t)p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

/* 32 bits as 6 characters of base64url, most significant first, 4 zero bits at the end. */
static void crc_text(const char *key, char ret[6])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t bits = (uint64_t)crc32_of(key, AT_CRC) << 4;
	for (int i = 0; i < 6; i++)
		ret[i] = digits[bits >> (30 - 6 * i) & 63];
}

bool api_key_ok(struct str text)
{
	char crc[6];
	uint8_t unused[SHA256_LEN];
	if (text.len != API_KEY_LEN || !str_starts(text, STR("tsr_")) ||
	    !id_ok(str_sub(text, 4, ID_LEN)) || text.ptr[AT_SECRET - 1] != '_' ||
	    token_hash(str_sub(text, AT_SECRET, TOKEN_LEN), unused))
		return false;
	crc_text(text.ptr, crc);
	return memcmp(crc, text.ptr + AT_CRC, sizeof crc) == 0;
}

static enum err scopes_check(struct str list, struct err_info *info)
{
	struct str one;
	if (list.len >= sizeof ((struct api_key *)0)->scopes)
		return err_set(info, ERR_INVALID, "the list of scopes is too long");
	while (str_next(&list, ',', &one)) {
		bool known = false;
		for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++)
			known = known || str_eq(one, str_from(scopes[i]));
		if (!known)
			return err_set(info, ERR_INVALID, "there is no scope \"%.*s\"",
				       (int)(one.len > 40 ? 40 : one.len), one.ptr);
	}
	return OK;
}

struct create { const struct api_key *k; const uint8_t *hash; struct err_info *info; };

static enum err count(struct db_conn *c, const char *person, int64_t *ret)
{
	struct db_row r;
	TRY(db_query(c, &Q_KEY_COUNT, &r));
	db_bind_str(&r, 1, str_from(person));
	*ret = db_next(&r) ? db_col_i64(&r, 0) : 0;
	return db_end(&r);
}

static enum err create(struct db_conn *c, void *arg)
{
	struct create *a = arg;
	struct db_row r;
	int64_t n = 0;
	TRY(count(c, a->k->person, &n));
	if (n >= API_KEYS_PER_PERSON)
		return err_set(a->info, ERR_LIMIT, "there are %d keys already; revoke one first",
			       (int)API_KEYS_PER_PERSON);
	TRY(db_query(c, &Q_KEY_NEW, &r));
	db_bind_str(&r, 1, str_from(a->k->id));
	db_bind_str(&r, 2, str_from(a->k->person));
	db_bind_str(&r, 3, str_from(a->k->name));
	db_bind_blob(&r, 4, bytes_str(a->hash, SHA256_LEN));
	db_bind_str(&r, 5, str_from(a->k->hint));
	db_bind_str(&r, 6, str_from(a->k->scopes));
	db_bind_i64(&r, 7, a->k->created_ms);
	if (a->k->expires_ms)
		db_bind_i64(&r, 8, a->k->expires_ms);
	else
		db_bind_null(&r, 8);
	return row_run(c, &r, true);
}

static enum err prepare(const struct api_key_new *n, struct api_key *k, struct err_info *info)
{
	struct str name = str_trim(n->name);
	struct str list = n->scopes.len ? n->scopes : STR(API_KEY_DEFAULT_SCOPES);
	k->created_ms = time_now_ms();
	k->expires_ms = n->expires_ms;
	if (name.len == 0 || name.len > LIMIT_NAME || str_has_control(name) || !str_is_utf8(name))
		return err_set(info, ERR_INVALID, "the key needs a name of at most %d bytes",
			       (int)LIMIT_NAME);
	TRY(scopes_check(list, info));
	if (n->expires_ms && n->expires_ms <= k->created_ms)
		return err_set(info, ERR_INVALID, "the key would have expired already");
	if (!id_ok(n->person))
		return ERR_NOT_FOUND;
	TRY(str_copy(n->person, k->person, sizeof k->person));
	TRY(str_copy(name, k->name, sizeof k->name));
	return str_copy(list, k->scopes, sizeof k->scopes);
}

enum err api_key_create(struct vault *v, const struct api_key_new *n, struct api_key *ret,
			char ret_secret[API_KEY_LEN + 1], struct err_info *info)
{
	struct api_key k = { .used_ms = 0 };
	char text[API_KEY_LEN + 1];
	uint8_t hash[SHA256_LEN];
	TRY(prepare(n, &k, info));
	id_new(k.id);
	memcpy(text, "tsr_", 4);
	memcpy(text + 4, k.id, ID_LEN);
	text[AT_SECRET - 1] = '_';
	token_make(text + AT_SECRET);
	crc_text(text, text + AT_CRC);
	text[API_KEY_LEN] = 0;
	memcpy(k.hint, text + API_KEY_LEN - 4, 5);
	sha256_of(text, API_KEY_LEN, hash);
	struct create a = { &k, hash, info };
	enum err e = db_write(v->db, create, &a);
	if (!e) {
		*ret = k;
		memcpy(ret_secret, text, sizeof text);
	}
	wipe(text, sizeof text);
	return e;
}

struct find { struct str id; uint8_t hash[SHA256_LEN]; int64_t now, used_ms; struct subject s; };

static enum err fill(struct db_row *r, struct find *f)
{
	struct str hash = db_col_blob(r, 0);
	if (hash.len != SHA256_LEN || !ct_equal(hash.ptr, f->hash, SHA256_LEN))
		return ERR_LOGIN;
	if ((!db_col_null(r, 3) && db_col_i64(r, 3) <= f->now) || !db_col_null(r, 4) ||
	    !str_eq(db_col_str(r, 8), STR("active")))
		return ERR_LOGIN;
	f->used_ms = db_col_null(r, 2) ? 0 : db_col_i64(r, 2);
	f->s.by_key = true;
	TRY(col_copy(r, 1, f->s.scopes, sizeof f->s.scopes));
	TRY(col_copy(r, 5, f->s.person, sizeof f->s.person));
	TRY(col_copy(r, 6, f->s.name, sizeof f->s.name));
	return person_role_from(db_col_str(r, 7), &f->s.role) ? ERR_CORRUPT : OK;
}

static enum err find(struct db_conn *c, void *arg)
{
	struct find *f = arg;
	struct db_row r;
	TRY(db_query(c, &Q_KEY_FIND, &r));
	db_bind_str(&r, 1, f->id);
	enum err e = db_next(&r) ? fill(&r, f) : ERR_LOGIN;
	enum err end = db_end(&r);
	return end ? end : e;
}

static enum err used(struct db_conn *c, void *arg)
{
	struct find *f = arg;
	struct db_row r;
	TRY(db_query(c, &Q_KEY_USED, &r));
	db_bind_str(&r, 1, f->id);
	db_bind_i64(&r, 2, f->now);
	return db_run(&r);
}

enum err api_key_find(struct vault *v, struct str text, struct subject *ret)
{
	struct find f = { .id = str_sub(text, 4, ID_LEN), .now = time_now_ms() };
	if (!api_key_ok(text))
		return ERR_LOGIN;
	sha256_of(text.ptr, text.len, f.hash);
	TRY(db_read(v->db, find, &f));
	if (f.now - f.used_ms >= KEY_TOUCH_MS)
		(void)db_write(v->db, used, &f); /* not worth a failed request */
	*ret = f.s;
	return OK;
}

struct by_id { struct str id; int64_t now; char *ret; };

static enum err owner(struct db_conn *c, void *arg)
{
	struct by_id *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_KEY_OWNER, &r));
	db_bind_str(&r, 1, a->id);
	enum err e = db_next(&r) ? col_copy(&r, 0, a->ret, ID_LEN + 1) : ERR_NOT_FOUND;
	enum err end = db_end(&r);
	return end ? end : e;
}

enum err api_key_owner(struct vault *v, struct str id, char *ret)
{
	struct by_id a = { .id = id, .ret = ret };
	return id_ok(id) ? db_read(v->db, owner, &a) : ERR_NOT_FOUND;
}

static enum err revoke_tx(struct db_conn *c, void *arg)
{
	struct by_id *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_KEY_REVOKE, &r));
	db_bind_str(&r, 1, a->id);
	db_bind_i64(&r, 2, a->now);
	return row_run(c, &r, true);
}

enum err api_key_revoke(struct vault *v, struct str id)
{
	struct by_id a = { .id = id, .now = time_now_ms() };
	return id_ok(id) ? db_write(v->db, revoke_tx, &a) : ERR_NOT_FOUND;
}

void api_key_json(struct jw *w, const struct api_key *k)
{
	jw_obj(w);
	jw_kstr(w, "id", str_from(k->id));
	jw_kstr(w, "name", str_from(k->name));
	jw_kstr(w, "hint", str_from(k->hint));
	jw_kstr(w, "scopes", str_from(k->scopes));
	jw_ki64(w, "created_ms", k->created_ms);
	if (k->used_ms)
		jw_ki64(w, "used_ms", k->used_ms);
	if (k->expires_ms)
		jw_ki64(w, "expires_ms", k->expires_ms);
	if (k->revoked_ms)
		jw_ki64(w, "revoked_ms", k->revoked_ms);
	jw_kstr(w, "person", str_from(k->person));
	jw_end(w);
}

static enum err from_row(struct db_row *r, struct api_key *k)
{
	TRY(col_copy(r, 0, k->id, sizeof k->id));
	TRY(col_copy(r, 1, k->person, sizeof k->person));
	TRY(col_copy(r, 2, k->name, sizeof k->name));
	TRY(col_copy(r, 3, k->hint, sizeof k->hint));
	TRY(col_copy(r, 4, k->scopes, sizeof k->scopes));
	k->created_ms = db_col_i64(r, 5);
	k->used_ms = db_col_null(r, 6) ? 0 : db_col_i64(r, 6);
	k->expires_ms = db_col_null(r, 7) ? 0 : db_col_i64(r, 7);
	k->revoked_ms = db_col_null(r, 8) ? 0 : db_col_i64(r, 8);
	return OK;
}

struct list { const char *person; struct buf *out; };

static enum err list(struct db_conn *c, void *arg)
{
	struct list *a = arg;
	struct db_row r;
	struct jw w;
	enum err e = OK;
	TRY(db_query(c, &Q_KEY_LIST, &r));
	db_bind_str(&r, 1, str_from(a->person));
	jw_init(&w, a->out);
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	while (!e && db_next(&r)) {
		struct api_key k;
		e = from_row(&r, &k);
		if (!e)
			api_key_json(&w, &k);
	}
	jw_end(&w);
	jw_end(&w);
	TRY(row_end(&r, e));
	return a->out->err;
}

enum err api_key_list_json(struct vault *v, const char *person, struct buf *ret)
{
	size_t start = ret->len;
	struct list a = { person, ret };
	enum err e = db_read(v->db, list, &a);
	if (e)
		buf_cut(ret, start);
	return e;
}
