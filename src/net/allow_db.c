/* The allow-list's rows in the database. Apart from allow.c because egress has no database. */
#include "net/allow.h"

#include "base/fault.h"
#include "base/json.h"
#include "base/time.h"
#include "store/db.h"

static const struct sql Q_HOSTS = { "egress.hosts",
	"SELECT h.host, h.port, h.purpose, h.plain, h.push, h.created_ms, coalesce(h.person, ''), "
	"coalesce(p.name, ''), l.host IS NOT NULL FROM egress_host h "
	"LEFT JOIN person p ON p.id = h.person "
	"LEFT JOIN registry_login l ON l.host = h.host AND l.port = h.port "
	"ORDER BY h.created_ms, h.host, h.port" };
static const struct sql Q_HOST_PUT = { "egress.put",
	"INSERT INTO egress_host (host, port, purpose, plain, push, person, created_ms) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (host, port) DO UPDATE SET "
	"purpose = ?3, plain = ?4, push = ?5, person = ?6, created_ms = ?7" };
enum { HOST, PORT, PURPOSE, PLAIN, PUSH, SINCE, PERSON, PERSON_NAME, LOGIN };

const struct sql *const allow_sql[] = { &Q_HOSTS, &Q_HOST_PUT };
const size_t allow_sql_count = sizeof allow_sql / sizeof *allow_sql;

static void take_away(struct allow *a, struct str host, int64_t port)
{
	for (size_t i = 0; i < a->n; i++) {
		if (a->at[i].port == port && str_eq(str_from(a->at[i].host), host)) {
			a->at[i] = a->at[--a->n];
			return;
		}
	}
}

static enum err read_hosts(struct db_conn *c, void *arg)
{
	struct allow *a = arg;
	struct db_row r;
	TRY(db_query(c, &Q_HOSTS, &r));
	while (db_next(&r)) {
		struct str host = db_col_str(&r, HOST);
		int64_t port = db_col_i64(&r, PORT);
		if (port < 1 || port > 65535)
			continue;
		/* A row that is not a host allows nothing; the rest of the list still counts. */
		if (str_eq(db_col_str(&r, PURPOSE), STR("no")))
			take_away(a, host, port);
		else if (!allow_add(a, host, (uint16_t)port, db_col_i64(&r, PLAIN) != 0) &&
			 db_col_i64(&r, PUSH))
			(void)allow_add_push(a, host, (uint16_t)port);
	}
	return db_end(&r);
}

enum err allow_load(struct db *d, struct allow *ret)
{
	*ret = (struct allow){ 0 };
	allow_defaults(ret);
	return db_read(d, read_hosts, ret);
}

static enum err put_host(struct db_conn *c, void *arg)
{
	const struct allow_row *p = arg;
	struct db_row r;
	TRY(db_query(c, &Q_HOST_PUT, &r));
	db_bind_str(&r, 1, p->host);
	db_bind_i64(&r, 2, p->port);
	db_bind_str(&r, 3, p->purpose);
	db_bind_i64(&r, 4, p->plain);
	db_bind_i64(&r, 5, p->push);
	db_bind_str(&r, 6, str_from(p->person));
	db_bind_i64(&r, 7, time_now_ms());
	return db_run(&r);
}

enum err allow_store(struct db *d, const struct allow_row *row)
{
	struct allow *probe = mem_zalloc(1, sizeof *probe);
	if (!probe)
		return ERR_NOMEM;
	enum err e = allow_add(probe, row->host, row->port, row->plain);
	if (!e) {
		struct allow_row r = *row;
		r.host = str_from(probe->at[0].host); /* as the list spells it */
		e = db_write(d, put_host, &r);
	}
	mem_free(probe);
	return e;
}

/* ---- for the page ---- */

struct listing {
	struct jw w;
	struct allow *defaults;
};

static void row_fields(
	struct jw *w, struct str host, int64_t port, struct str purpose, bool plain, bool push)
{
	jw_obj(w);
	jw_kstr(w, "host", host);
	jw_ki64(w, "port", port);
	jw_kstr(w, "purpose", purpose);
	jw_kbool(w, "plain", plain);
	jw_kbool(w, "push", push);
}

static enum err list_rows(struct db_conn *c, void *arg)
{
	struct listing *l = arg;
	struct db_row r;
	TRY(db_query(c, &Q_HOSTS, &r));
	while (db_next(&r)) {
		struct str host = db_col_str(&r, HOST), purpose = db_col_str(&r, PURPOSE);
		take_away(l->defaults, host,
			db_col_i64(&r, PORT)); /* the row goes before the default */
		if (str_eq(purpose, STR("no")))
			continue;
		row_fields(&l->w, host, db_col_i64(&r, PORT), purpose, db_col_i64(&r, PLAIN) != 0,
			db_col_i64(&r, PUSH) != 0);
		jw_kstr(&l->w, "person", db_col_str(&r, PERSON));
		jw_kstr(&l->w, "person_name", db_col_str(&r, PERSON_NAME));
		jw_ki64(&l->w, "since_ms", db_col_i64(&r, SINCE));
		jw_kbool(&l->w, "login", db_col_i64(&r, LOGIN) != 0);
		jw_end(&l->w);
	}
	return db_end(&r);
}

enum err allow_list_json(struct db *d, struct buf *out)
{
	struct listing l = { .defaults = mem_zalloc(1, sizeof *l.defaults) };
	if (!l.defaults)
		return ERR_NOMEM;
	allow_defaults(l.defaults);
	jw_init(&l.w, out);
	jw_obj(&l.w);
	jw_key(&l.w, "hosts");
	jw_arr(&l.w);
	enum err e = db_read(d, list_rows, &l);
	for (size_t i = 0; !e && i < l.defaults->n; i++) {
		row_fields(&l.w, str_from(l.defaults->at[i].host), l.defaults->at[i].port,
			STR("models"), l.defaults->at[i].plain, false);
		jw_end(&l.w);
	}
	jw_end(&l.w);
	jw_end(&l.w);
	mem_free(l.defaults);
	return e ? e : out->err;
}
