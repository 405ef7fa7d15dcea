/* Whose bundles are taken: rows of the database. */
#include "base/fault.h"
#include "base/time.h"
#include "models/bundle.h"

static const struct sql Q_ADD = { "bundle.signer_add",
	"INSERT INTO bundle_signer (fingerprint, person, created_ms) VALUES (?1, ?2, ?3) "
	"ON CONFLICT (fingerprint) DO NOTHING" };
static const struct sql Q_REMOVE = { "bundle.signer_remove",
	"DELETE FROM bundle_signer WHERE fingerprint = ?1 RETURNING 1" };
static const struct sql Q_HAS = { "bundle.signer_has",
	"SELECT 1 FROM bundle_signer WHERE fingerprint = ?1" };
static const struct sql Q_LIST = { "bundle.signers",
	"SELECT s.fingerprint, coalesce(s.person, ''), coalesce(p.name, ''), s.created_ms "
	"FROM bundle_signer s LEFT JOIN person p ON p.id = s.person "
	"ORDER BY s.created_ms, s.fingerprint" };
const struct sql *const bundle_sql[] = { &Q_ADD, &Q_REMOVE, &Q_HAS, &Q_LIST };
const size_t bundle_sql_count = sizeof bundle_sql / sizeof *bundle_sql;

struct ask {
	struct str fingerprint;
	const char *person;
	bool found;
	struct bundle_signer *list;
	size_t n;
};

static enum err add(struct db_conn *c, void *arg)
{
	const struct ask *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_ADD, &r));
	db_bind_str(&r, 1, a->fingerprint);
	db_bind_str(&r, 2, str_from(a->person));
	db_bind_i64(&r, 3, time_now_ms());
	return db_run(&r);
}

static enum err found(struct db_conn *c, const struct sql *q, struct ask *a)
{
	struct db_row r;
	TRY(db_query(c, q, &r));
	db_bind_str(&r, 1, a->fingerprint);
	a->found = db_next(&r);
	return db_end(&r);
}

static enum err remove_one(struct db_conn *c, void *arg)
{
	return found(c, &Q_REMOVE, arg);
}

static enum err has(struct db_conn *c, void *arg)
{
	return found(c, &Q_HAS, arg);
}

static enum err list(struct db_conn *c, void *arg)
{
	struct ask *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_LIST, &r));
	while (a->n < BUNDLE_SIGNERS_MAX && db_next(&r)) {
		struct bundle_signer *s = &a->list[a->n];
		if (str_copy(db_col_str(&r, 0), s->fingerprint, sizeof s->fingerprint) ||
			str_copy(db_col_str(&r, 1), s->person, sizeof s->person) ||
			str_copy(db_col_str(&r, 2), s->person_name, sizeof s->person_name))
			continue;
		s->since_ms = db_col_i64(&r, 3);
		a->n++;
	}
	return db_end(&r);
}

enum err bundle_signer_add(struct db *d, struct str fingerprint, const char *person)
{
	struct ask a = { .fingerprint = fingerprint, .person = person };
	return db_write(d, add, &a);
}

enum err bundle_signer_remove(struct db *d, struct str fingerprint)
{
	struct ask a = { .fingerprint = fingerprint };
	TRY(db_write(d, remove_one, &a));
	return a.found ? OK : ERR_NOT_FOUND;
}

enum err bundle_signer_has(struct db *d, struct str fingerprint, bool *ret)
{
	struct ask a = { .fingerprint = fingerprint };
	TRY(db_read(d, has, &a));
	*ret = a.found;
	return OK;
}

enum err bundle_signer_list(struct db *d, struct bundle_signer **ret, size_t *ret_n)
{
	struct ask a = { .list = mem_zalloc(BUNDLE_SIGNERS_MAX, sizeof *a.list) };
	if (!a.list)
		return ERR_NOMEM;
	enum err e = db_read(d, list, &a);
	if (e) {
		mem_free(a.list);
		return e;
	}
	*ret = a.list;
	*ret_n = a.n;
	return OK;
}
