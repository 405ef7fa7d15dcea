#include "chat/chat.h"

#include <stdio.h>
#include <time.h>

#include "base/fault.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "chat/chat_int.h"

/* ---- the object ---- */

enum err chats_new(const struct chat_options *o, struct chats **ret)
{
	AUTO(chats) struct chats *c = mem_zalloc(1, sizeof *c);
	pthread_condattr_t a;
	if (!c)
		return ERR_NOMEM;
	c->opt = *o;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, &a);
	pthread_cond_init(&c->gone, &a);
	pthread_condattr_destroy(&a);
	c->cond_up = true;
	TRY(flush_start(c));
	*ret = TAKE(c);
	return OK;
}

/* Waits until `*n` is 0. False: it took longer than timeout_ms. Lock held. */
static bool wait_gone(struct chats *c, bool (*still)(const struct chats *, const void *),
		      const void *arg, int timeout_ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ms / 1000;
	t.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	while (still(c, arg))
		if (pthread_cond_timedwait(&c->gone, &c->lock, &t))
			return !still(c, arg);
	return true;
}

static bool fleet_holds_some(const struct chats *c, const void *arg) { return c->outstanding > 0; }

/* Which answers: all, those of a conversation, those of a person. */
struct choice {
	struct str conversation, person;
};

static bool chosen(const struct answer *a, const struct choice *which)
{
	return (!which->conversation.ptr ||
		       str_eq(str_from(a->conversation), which->conversation)) &&
	       (!which->person.ptr || str_eq(str_from(a->person), which->person));
}

/* Takes one chosen answer out of the list; its request's id, or 0 when it has none yet. */
static bool drop_one(struct chats *c, const struct choice *which, uint64_t *ret_fleet_id)
{
	for (struct answer *a = c->answers; a; a = a->next) {
		if (!chosen(a, which))
			continue;
		*ret_fleet_id = a->fleet_id;
		a->phase = ANSWER_DROPPED;
		answer_unlist(a);
		return true;
	}
	return false;
}

static void drop_answers(struct chats *c, const struct choice *which)
{
	uint64_t id = 0;
	pthread_mutex_lock(&c->lock);
	while (drop_one(c, which, &id)) {
		pthread_mutex_unlock(&c->lock); /* the fleet may call back at once */
		if (id)
			fleet_cancel(c->opt.fleet, id);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
}

struct chats *chats_free(struct chats *c)
{
	if (!c)
		return NULL;
	flush_stop(c); /* what is unfinished is stored as it is: the next start goes on with it */
	bool all_gone = true;
	if (c->cond_up) {
		drop_answers(c, &(struct choice){ .conversation = STR_NONE });
		pthread_mutex_lock(&c->lock);
		all_gone = wait_gone(c, fleet_holds_some, NULL, CHAT_CLOSE_WAIT_MS);
		pthread_mutex_unlock(&c->lock);
	}
	if (!all_gone)
		/* the fleet still points to it: better lost than freed under its feet */
		return NULL;
	if (c->cond_up) {
		pthread_mutex_destroy(&c->lock);
		pthread_cond_destroy(&c->wake);
		pthread_cond_destroy(&c->gone);
	}
	mem_free(c);
	return NULL;
}

/* ---- checks ---- */

static enum err text_ok(struct str s, size_t max, const char *what, struct err_info *info)
{
	if (s.len > max)
		return err_set(info, ERR_TOO_LARGE, "%s is longer than %zu bytes", what, max);
	if (!str_is_utf8(s))
		return err_set(info, ERR_INVALID, "%s is not UTF-8", what);
	return OK;
}

static enum err title_ok(struct str s, struct err_info *info)
{
	TRY(text_ok(s, LIMIT_TITLE, "the title", info));
	if (str_has_control(s))
		return err_set(info, ERR_INVALID, "the title has control characters");
	return OK;
}

static enum err model_ok(struct chats *c, struct str name, struct err_info *info)
{
	struct fleet_model m;
	if (!name.len)
		return OK;
	if (name.len > LIMIT_MODEL_NAME)
		return err_set(info, ERR_INVALID, "the model's name is too long");
	enum err e = c->opt.model(c->opt.model_arg, name, &m);
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "there is no model \"%.*s\"", STR_ARG(name));
	return e;
}

static enum err missing(enum err e, struct err_info *info)
{
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "there is no such conversation");
	return e;
}

/* ---- making, listing, reading ---- */

struct make {
	const char *id, *person;
	struct str model, title;
	int64_t now;
};

static enum err make_run(struct db_conn *conn, void *arg)
{
	const struct make *m = arg;
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_ADD, &r));
	db_bind_str(&r, 1, str_from(m->id));
	db_bind_str(&r, 2, str_from(m->person));
	db_bind_str(&r, 3, m->title.ptr ? m->title : STR(""));
	db_bind_str(&r, 4, m->model.ptr ? m->model : STR(""));
	db_bind_i64(&r, 5, m->now);
	return db_run(&r);
}

enum err chat_create(struct chats *c, const char *person, struct str model, struct str title,
		     struct buf *ret_json, struct err_info *info)
{
	char id[ID_LEN + 1];
	TRY(title_ok(title, info));
	TRY(model_ok(c, model, info));
	id_new(id);
	struct make m = { id, person, model, title, time_now_ms() };
	enum err e = db_write(c->opt.db, make_run, &m);
	if (e == ERR_CONFLICT) /* the reference to the person */
		return err_set(info, ERR_NOT_FOUND, "this person has no account");
	TRY(e);
	tell_conversation(c, str_from(id));
	return load_conversation(c, str_from(id), ret_json, NULL);
}

struct list {
	struct chats *c;
	struct str person, before_id;
	int64_t before_ms;
	unsigned limit;
	struct jw *w;
};

static enum err list_run(struct db_conn *conn, void *arg)
{
	struct list *l = arg;
	struct db_row r;
	unsigned n = 0;
	char next[ID_LEN + 32] = "", last[ID_LEN + 32] = "";
	TRY(db_query(
		conn, l->before_id.ptr ? &Q_CONVERSATION_LIST_BEFORE : &Q_CONVERSATION_LIST, &r));
	db_bind_str(&r, 1, l->person);
	db_bind_i64(&r, 2, (int64_t)l->limit + 1);
	if (l->before_id.ptr) {
		db_bind_i64(&r, 3, l->before_ms);
		db_bind_str(&r, 4, l->before_id);
	}
	jw_obj(l->w);
	jw_key(l->w, "conversations");
	jw_arr(l->w);
	while (db_next(&r)) {
		if (n++ == l->limit) {
			memcpy(next, last, sizeof next);
			break;
		}
		json_conversation(l->w, l->c, &r);
		snprintf(last, sizeof last, "%lld:%.*s", (long long)db_col_i64(&r, C_CHANGED_MS),
			 STR_ARG(str_sub(db_col_str(&r, C_ID), 0, ID_LEN)));
	}
	jw_end(l->w);
	if (next[0])
		jw_kstr(l->w, "next", str_from(next));
	jw_end(l->w);
	return db_end(&r);
}

enum err chat_list(struct chats *c, const char *person, struct str before, unsigned limit,
		   struct buf *ret_json, struct err_info *info)
{
	struct jw w;
	struct list l = { .c = c, .person = str_from(person), .w = &w,
			  .limit = limit < 1 || limit > CHAT_LIST_MAX ? CHAT_LIST_MAX : limit };
	if (before.len) {
		struct str rest = before, ms;
		if (!str_next(&rest, ':', &ms) || str_to_i64(ms, &l.before_ms) || !id_ok(rest))
			return err_set(info, ERR_INVALID, "before: not a cursor of this list");
		l.before_id = rest;
	}
	jw_init(&w, ret_json);
	TRY(db_read(c->opt.db, list_run, &l));
	return ret_json->err;
}

struct get {
	struct chats *c;
	struct str id;
	struct buf *out;
	bool orphan;
};

static enum err get_messages(struct db_conn *conn, struct get *g, struct jw *w)
{
	struct db_row r;
	TRY(db_query(conn, &Q_MESSAGES, &r));
	db_bind_str(&r, 1, g->id);
	jw_key(w, "messages");
	jw_arr(w);
	while (db_next(&r) && !g->out->err)
		json_message(w, g->c, &r, &g->orphan);
	jw_end(w);
	return db_end(&r);
}

static enum err get_run(struct db_conn *conn, void *arg)
{
	struct get *g = arg;
	struct db_row r;
	struct jw w;
	TRY(db_query(conn, &Q_CONVERSATION_GET, &r));
	db_bind_str(&r, 1, g->id);
	bool found = db_next(&r);
	jw_init(&w, g->out);
	if (found) {
		jw_obj(&w);
		jw_key(&w, "conversation");
		json_conversation(&w, g->c, &r);
	}
	TRY(db_end(&r));
	if (!found)
		return ERR_NOT_FOUND;
	TRY(get_messages(conn, g, &w));
	jw_end(&w);
	return g->out->err;
}

enum err chat_get(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info)
{
	size_t start = ret_json->len;
	struct get g = { .c = c, .id = id, .out = ret_json };
	TRY(missing(db_read(c->opt.db, get_run, &g), info));
	if (!g.orphan)
		return OK;
	buf_cut(ret_json, start); /* see load_message() */
	return missing(db_read(c->opt.db, get_run, &g), info);
}

enum err chat_message(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info)
{
	enum err e = load_message(c, id, ret_json);
	return e == ERR_NOT_FOUND ? err_set(info, e, "there is no such message") : e;
}

/* ---- whose ---- */

struct owner {
	const struct sql *sql;
	unsigned col;
	struct str id;
	char *ret;
};

static enum err owner_run(struct db_conn *conn, void *arg)
{
	struct owner *o = arg;
	struct db_row r;
	TRY(db_query(conn, o->sql, &r));
	db_bind_str(&r, 1, o->id);
	enum err e = ERR_NOT_FOUND;
	if (db_next(&r))
		e = str_copy(db_col_str(&r, (int)o->col), o->ret, ID_LEN + 1);
	enum err end = db_end(&r);
	return end ? end : e;
}

enum err chat_owner(struct chats *c, struct str conversation, char *ret_owner)
{
	struct owner o = { &Q_CONVERSATION_GET, C_PERSON, conversation, ret_owner };
	return db_read(c->opt.db, owner_run, &o);
}

enum err chat_message_owner(struct chats *c, struct str message, char *ret_owner)
{
	struct owner o = { &Q_MESSAGE_OWNER, 0, message, ret_owner };
	return db_read(c->opt.db, owner_run, &o);
}

struct uses {
	struct str model;
	int64_t conversations, people;
};

static enum err uses_run(struct db_conn *conn, void *arg)
{
	struct uses *u = arg;
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_USES, &r));
	db_bind_str(&r, 1, u->model);
	if (db_next(&r)) {
		u->conversations = db_col_i64(&r, 0);
		u->people = db_col_i64(&r, 1);
	}
	return db_end(&r);
}

enum err chat_uses(struct chats *c, struct str model, int64_t *ret_conversations,
		   int64_t *ret_people)
{
	struct uses u = { .model = model };
	TRY(db_read(c->opt.db, uses_run, &u));
	*ret_conversations = u.conversations;
	*ret_people = u.people;
	return OK;
}

/* ---- changing ---- */

struct change {
	struct str id;
	const struct chat_change *ch;
	struct err_info *info;
};

static enum err label_may_rise(struct db_conn *conn, const struct change *ch)
{
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_GET, &r));
	db_bind_str(&r, 1, ch->id);
	bool found = db_next(&r);
	int64_t label = found ? db_col_i64(&r, C_LABEL) : 0;
	TRY(db_end(&r));
	if (!found)
		return ERR_NOT_FOUND;
	if (ch->ch->label >= 0 && ch->ch->label < label)
		return err_set(ch->info, ERR_CONFLICT, "a label can only be raised here");
	return OK;
}

static enum err change_run(struct db_conn *conn, void *arg)
{
	const struct change *ch = arg;
	struct db_row r;
	TRY(label_may_rise(conn, ch));
	TRY(db_query(conn, &Q_CONVERSATION_CHANGE, &r));
	db_bind_str(&r, 1, ch->id);
	db_bind_str(&r, 2, ch->ch->title);
	db_bind_str(&r, 3, ch->ch->model);
	if (ch->ch->label >= 0)
		db_bind_i64(&r, 4, ch->ch->label);
	TRY(db_run(&r));
	if (ch->ch->label < 0)
		return OK;
	TRY(db_query(conn, &Q_MESSAGE_LABELS, &r)); /* what is said in it is at least as private */
	db_bind_str(&r, 1, ch->id);
	db_bind_i64(&r, 2, ch->ch->label);
	return db_run(&r);
}

enum err chat_change(struct chats *c, struct str id, const struct chat_change *ch,
		     struct buf *ret_json, struct err_info *info)
{
	struct change run = { id, ch, info };
	TRY(title_ok(ch->title, info));
	TRY(model_ok(c, ch->model, info));
	if (ch->label > 4)
		return err_set(info, ERR_INVALID, "label: 0 to 4");
	TRY(missing(db_write(c->opt.db, change_run, &run), info));
	tell_conversation(c, id);
	return load_conversation(c, id, ret_json, NULL);
}

/* ---- deleting ---- */

static enum err delete_run(struct db_conn *conn, void *arg)
{
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_DELETE, &r));
	db_bind_str(&r, 1, *(const struct str *)arg);
	TRY(db_run(&r));
	return db_changes(conn) ? OK : ERR_NOT_FOUND;
}

/* What engines read of it goes from their caches and the disk. Deleting does not fail for that: the
 * texts themselves are gone, and what may have stayed is sealed. */
static void purge(struct chats *c, const char *person, struct str conversation)
{
	enum err e = fleet_purge(c->opt.fleet, gen_number(str_from(person)),
		conversation.len ? gen_number(conversation) : 0);
	if (e)
		log_error("what was deleted may still be in a cache", KV_ERR(e));
}

enum err chat_delete(struct chats *c, struct str id, struct err_info *info)
{
	AUTO_BUF struct buf event = BUF(4096);
	char person[ID_LEN + 1];
	struct jw w;
	TRY(missing(chat_owner(c, id, person), info));
	drop_answers(c, &(struct choice){ .conversation = id });
	purge(c, person, id); /* before, so that a crash after the commit leaves nothing */
	TRY(missing(db_write(c->opt.db, delete_run, &id), info));
	purge(c, person, id); /* and what was read meanwhile */
	jw_init(&w, &event);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("conversation_deleted"));
	jw_kstr(&w, "id", id);
	jw_end(&w);
	if (!event.err)
		hub_tell(c->opt.hub, person, buf_str(&event));
	return OK;
}

static enum err forget_run(struct db_conn *conn, void *arg)
{
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATIONS_FORGET, &r));
	db_bind_str(&r, 1, *(const struct str *)arg);
	return db_run(&r);
}

enum err chat_forget_person(struct chats *c, const char *person)
{
	struct str who = str_from(person);
	drop_answers(c, &(struct choice){ .person = who });
	purge(c, person, STR_NONE);
	TRY(db_write(c->opt.db, forget_run, &who));
	purge(c, person, STR_NONE);
	hub_tell(c->opt.hub, person, STR("{\"type\":\"session_ended\"}"));
	return OK;
}

/* ---- stopping ---- */

static bool still_listed(const struct chats *c, const void *arg)
{
	for (const struct answer *a = c->answers; a; a = a->next)
		if (str_eq(str_from(a->id), *(const struct str *)arg))
			return true;
	return false;
}

enum err chat_stop(struct chats *c, struct str id, struct buf *ret_json, struct err_info *info)
{
	uint64_t fleet_id = 0;
	pthread_mutex_lock(&c->lock);
	struct answer *a = answer_find(c, id);
	if (a) {
		fleet_id = a->fleet_id;
		answer_end(a, "stopped", OK, STR_NONE);
	}
	pthread_mutex_unlock(&c->lock);
	if (fleet_id)
		fleet_cancel(c->opt.fleet, fleet_id);
	pthread_mutex_lock(&c->lock);
	bool stored = wait_gone(c, still_listed, &id, CHAT_STOP_WAIT_MS);
	pthread_mutex_unlock(&c->lock);
	if (!stored)
		return err_set(
			info, ERR_BUSY, "the answer was stopped but could not be stored yet");
	return chat_message(c, id, ret_json, info); /* one that had ended is returned as it is */
}
