#include "chat/responses_int.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"

/* ---- writing ---- */

static enum err add_run(struct db_conn *conn, void *arg)
{
	const struct response_row *row = arg;
	struct db_row q;
	TRY(db_query(conn, &Q_RESPONSE_ADD, &q));
	db_bind_str(&q, 1, row->id);
	db_bind_str(&q, 2, row->person);
	db_bind_str(&q, 3, row->previous);
	db_bind_str(&q, 4, row->root);
	db_bind_str(&q, 5, row->running ? STR("running") : STR("done"));
	db_bind_str(&q, 6, row->input);
	db_bind_str(&q, 7, row->body);
	db_bind_i64(&q, 8, time_now_ms());
	return db_run(&q);
}

enum err response_add(struct responses *r, const struct response_row *row)
{
	return db_write(r->db, add_run, (void *)(uintptr_t)row);
}

struct ending {
	struct str id, body;
};

static enum err end_run(struct db_conn *conn, void *arg)
{
	const struct ending *end = arg;
	struct db_row q;
	TRY(db_query(conn, &Q_RESPONSE_END, &q));
	db_bind_str(&q, 1, end->id);
	db_bind_str(&q, 2, end->body);
	TRY(db_run(&q));
	return db_changes(conn) ? OK : ERR_NOT_FOUND;
}

enum err response_end(struct responses *r, struct str id, struct str body)
{
	struct ending end = { id, body };
	return db_write(r->db, end_run, &end);
}

static enum err left_run(struct db_conn *conn, void *arg)
{
	struct db_row q;
	(void)arg;
	TRY(db_query(conn, &Q_RESPONSES_LEFT, &q));
	db_bind_str(&q, 1, STR("the server was stopped before the answer was complete"));
	return db_run(&q);
}

enum err responses_recover(struct responses *r)
{
	return db_write(r->db, left_run, NULL);
}

/* ---- reading ---- */

struct get {
	const struct sql *sql;
	struct str id;
	struct buf *out;           /* column 0 */
	char *ret_first, *ret_second; /* or both columns, as ids */
};

static enum err get_columns(struct get *g, struct db_row *q)
{
	if (g->out)
		return buf_add(g->out, db_col_str(q, 0));
	TRY(str_copy(db_col_str(q, 0), g->ret_first, ID_LEN + 1));
	return g->ret_second ? str_copy(db_col_str(q, 1), g->ret_second, ID_LEN + 1) : OK;
}

static enum err get_run(struct db_conn *conn, void *arg)
{
	struct get *g = arg;
	struct db_row q;
	TRY(db_query(conn, g->sql, &q));
	db_bind_str(&q, 1, g->id);
	enum err e = db_next(&q) ? get_columns(g, &q) : ERR_NOT_FOUND;
	enum err end = db_end(&q);
	return end ? end : e;
}

enum err response_owner(struct responses *r, struct str id, char *ret_owner)
{
	struct get g = { .sql = &Q_RESPONSE_OWNER, .id = id, .ret_first = ret_owner };
	return db_read(r->db, get_run, &g);
}

enum err response_body(struct responses *r, struct str id, struct buf *out)
{
	struct get g = { .sql = &Q_RESPONSE_BODY, .id = id, .out = out };
	return db_read(r->db, get_run, &g);
}

enum err response_input(struct responses *r, struct str id, struct buf *out)
{
	struct get g = { .sql = &Q_RESPONSE_INPUT, .id = id, .out = out };
	return db_read(r->db, get_run, &g);
}

/* ---- a chain ---- */

struct chain {
	struct str person, last;
	size_t max_bytes, bytes, links;
	struct buf *items;
	char *ret_root;
	char *ids;  /* ID_LEN + 1 bytes each, newest first */
	bool whole; /* the first of them goes on from nothing */
};

static enum err take_link(struct chain *c, struct db_row *q)
{
	bool mine = str_eq(db_col_str(q, 1), c->person);
	if (!mine) /* a foreign one looks as if it were not there */
		return c->links ? ERR_GONE : ERR_NOT_FOUND;
	if (str_eq(db_col_str(q, 4), STR("running")))
		return ERR_CONFLICT;
	c->bytes += (size_t)db_col_i64(q, 5);
	if (c->bytes > c->max_bytes || c->links == RESPONSES_LINKS_MAX)
		return ERR_TOO_LARGE;
	TRY(str_copy(db_col_str(q, 3), c->ret_root, ID_LEN + 1));
	c->whole = db_col_null(q, 2);
	return str_copy(db_col_str(q, 0), c->ids + c->links++ * (ID_LEN + 1), ID_LEN + 1);
}

static enum err read_links(struct db_conn *conn, struct chain *c)
{
	struct db_row q;
	enum err e = OK;
	TRY(db_query(conn, &Q_RESPONSE_LINKS, &q));
	db_bind_str(&q, 1, c->last);
	db_bind_i64(&q, 2, RESPONSES_LINKS_MAX + 1);
	while (!e && db_next(&q))
		e = take_link(c, &q);
	enum err end = db_end(&q);
	if (end || e)
		return end ? end : e;
	return !c->links ? ERR_NOT_FOUND : c->whole ? OK : ERR_GONE;
}

/* "[..]" without its brackets, behind a comma where something stands before it. */
static enum err add_list(struct buf *out, struct str list)
{
	if (list.len < 2 || list.ptr[0] != '[')
		return ERR_CORRUPT;
	list = str_trim(str_sub(list, 1, list.len - 2));
	if (!list.len)
		return OK;
	if (out->len && out->ptr[out->len - 1] != '[')
		TRY(buf_add_byte(out, ','));
	return buf_add(out, list);
}

static enum err read_items(struct db_conn *conn, struct chain *c, size_t at)
{
	struct db_row q;
	TRY(db_query(conn, &Q_RESPONSE_ITEMS, &q));
	db_bind_str(&q, 1, str_from(c->ids + at * (ID_LEN + 1)));
	enum err e = db_next(&q) ? OK : ERR_GONE; /* deleted this moment */
	if (!e)
		e = add_list(c->items, db_col_str(&q, 0));
	if (!e)
		e = add_list(c->items, db_col_str(&q, 1));
	enum err end = db_end(&q);
	return end ? end : e;
}

static enum err chain_run(struct db_conn *conn, void *arg)
{
	struct chain *c = arg;
	TRY(read_links(conn, c));
	TRY(buf_add_byte(c->items, '['));
	for (size_t i = c->links; i-- > 0;)
		TRY(read_items(conn, c, i));
	return buf_add_byte(c->items, ']');
}

enum err response_chain(struct responses *r, const char *person, struct str last, size_t max_bytes,
	struct buf *items, char *ret_root)
{
	struct chain c = { .person = str_from(person),
		.last = last,
		.max_bytes = max_bytes,
		.items = items,
		.ret_root = ret_root };
	c.ids = mem_alloc((size_t)RESPONSES_LINKS_MAX * (ID_LEN + 1));
	if (!c.ids)
		return ERR_NOMEM;
	enum err e = db_read(r->db, chain_run, &c);
	mem_free(c.ids);
	return e;
}

/* ---- deleting ---- */

struct removal {
	const struct sql *sql;
	struct str what;
	bool any; /* there was something */
};

static enum err remove_run(struct db_conn *conn, void *arg)
{
	struct removal *d = arg;
	struct db_row q;
	TRY(db_query(conn, d->sql, &q));
	db_bind_str(&q, 1, d->what);
	TRY(db_run(&q));
	d->any = db_changes(conn) > 0;
	return OK;
}

/* What models read of a chain goes from their caches and the disk: everything of it was read under
 * the number of its first answer. Deleting does not fail for that, as in chat.c. */
static void purge(struct responses *r, const char *person, const char *root)
{
	enum err e = fleet_purge(
		r->fleet, gen_number(str_from(person)), gen_number(str_from(root)));
	if (e)
		log_error("what was deleted may still be in a cache", KV_ERR(e));
}

enum err response_delete(struct responses *r, struct str id)
{
	char person[ID_LEN + 1], root[ID_LEN + 1];
	struct get g = {
		.sql = &Q_RESPONSE_OWNER, .id = id, .ret_first = person, .ret_second = root
	};
	struct removal d = { .sql = &Q_RESPONSE_DELETE, .what = id };
	TRY(db_read(r->db, get_run, &g));
	responses_stop(r, id, STR_NONE);
	purge(r, person, root); /* before, so that a crash after the commit leaves nothing */
	TRY(db_write(r->db, remove_run, &d));
	purge(r, person, root); /* and what was read meanwhile */
	return d.any ? OK : ERR_NOT_FOUND;
}

enum err response_discard(struct responses *r, struct str id)
{
	struct removal d = { .sql = &Q_RESPONSE_DELETE, .what = id };
	return db_write(r->db, remove_run, &d);
}

enum err responses_forget_person(struct responses *r, const char *person)
{
	struct removal d = { .sql = &Q_RESPONSES_FORGET, .what = str_from(person) };
	responses_stop(r, STR_NONE, d.what);
	return db_write(r->db, remove_run, &d);
}

struct old {
	int64_t before_ms;
	char person[ID_LEN + 1], root[ID_LEN + 1];
};

static enum err old_run(struct db_conn *conn, void *arg)
{
	struct old *o = arg;
	struct db_row q;
	TRY(db_query(conn, &Q_RESPONSES_OLD, &q));
	db_bind_i64(&q, 1, o->before_ms);
	enum err e = ERR_NOT_FOUND;
	if (db_next(&q)) {
		e = str_copy(db_col_str(&q, 0), o->person, sizeof o->person);
		if (!e)
			e = str_copy(db_col_str(&q, 1), o->root, sizeof o->root);
	}
	enum err end = db_end(&q);
	return end ? end : e;
}

enum err responses_sweep(struct responses *r)
{
	struct old o = { .before_ms = time_now_ms() - RESPONSES_KEEP_DAYS * 86400000LL };
	enum err e;
	while (!(e = db_read(r->db, old_run, &o))) {
		struct removal d = { .sql = &Q_RESPONSES_DROP, .what = str_from(o.root) };
		purge(r, o.person, o.root);
		TRY(db_write(r->db, remove_run, &d));
		if (!d.any)
			break; /* somebody else was faster */
	}
	return e == ERR_NOT_FOUND ? OK : e;
}
