/* Where versions come from, in the database: one setting a version, by its manifest's digest. */
#include "models/store_int.h"

#include "base/time.h"

#define KEY "'models.origin.' || ?1"
static const struct sql Q_PUT = { "origin.put",
	"INSERT INTO setting (key, value, changed_ms, person) VALUES (" KEY ", ?2, ?3, ?4) "
	"ON CONFLICT (key) DO NOTHING" };
static const struct sql Q_GET = { "origin.get",
	"SELECT value, changed_ms, person FROM setting WHERE key = " KEY };
static const struct sql Q_REMOVE = { "origin.remove", "DELETE FROM setting WHERE key = " KEY };
const struct sql *const origin_sql[] = { &Q_PUT, &Q_GET, &Q_REMOVE };
const size_t origin_sql_count = sizeof origin_sql / sizeof *origin_sql;

struct put {
	const char *digest;
	struct str source, person;
};

static enum err write_origin(struct db_conn *c, void *arg)
{
	const struct put *p = arg;
	struct db_row q;
	TRY(db_query(c, &Q_PUT, &q));
	db_bind_str(&q, 1, str_from(p->digest));
	db_bind_str(&q, 2, p->source.ptr ? p->source : STR(""));
	db_bind_i64(&q, 3, time_now_ms());
	db_bind_str(&q, 4, p->person);
	return db_run(&q);
}

enum err model_store_let_in(
	struct model_store *s, struct str name, struct str source, const char *person)
{
	struct model_entry e;
	if (!s->db)
		return OK;
	TRY(model_store_find(s, name, &e, NULL));
	struct put p = { e.digest, source, person && person[0] ? str_from(person) : STR_NONE };
	return db_write(s->db, write_origin, &p);
}

struct get {
	const char *digest;
	struct model_origin *ret;
};

static enum err read_origin(struct db_conn *c, void *arg)
{
	struct get *g = arg;
	struct db_row q;
	enum err e = ERR_NOT_FOUND;
	TRY(db_query(c, &Q_GET, &q));
	db_bind_str(&q, 1, str_from(g->digest));
	if (db_next(&q)) {
		g->ret->at_ms = db_col_i64(&q, 1);
		e = str_copy(db_col_str(&q, 0), g->ret->source, sizeof g->ret->source);
		if (!e && !db_col_null(&q, 2))
			e = str_copy(db_col_str(&q, 2), g->ret->person, sizeof g->ret->person);
	}
	enum err end = db_end(&q);
	return end ? end : e;
}

enum err model_store_origin(
	struct model_store *s, const char *digest, struct model_origin *ret)
{
	struct model_origin o = { .source = "" };
	struct get g = { digest, &o };
	if (!s->db)
		return ERR_NOT_FOUND;
	TRY(db_read(s->db, read_origin, &g));
	*ret = o;
	return OK;
}

static enum err remove_origin(struct db_conn *c, void *arg)
{
	struct db_row q;
	TRY(db_query(c, &Q_REMOVE, &q));
	db_bind_str(&q, 1, str_from(arg));
	return db_run(&q);
}

enum err store_origin_forget(struct model_store *s, char *digest)
{
	return s->db ? db_write(s->db, remove_origin, digest) : OK;
}
