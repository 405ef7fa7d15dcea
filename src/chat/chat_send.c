#include "base/fault.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "chat/chat_int.h"

/* ---- a question ---- */

struct send {
	const struct chat_send *in;
	struct str conversation;
	const char *answer_id;
	const struct fleet_model *model;
	struct str model_name;         /* as the person chose it */
	bool replaced;                 /* that one cannot see: `model` answers in its place */
	const struct sights *sights;   /* the question's own, looked at */
	struct str title;
	struct err_info *info;
	/* results */
	char message_id[ID_LEN + 1], parent[ID_LEN + 1];
	char old_message[ID_LEN + 1], old_answer[ID_LEN + 1]; /* client_id was seen before */
	int64_t at_ms, label;
	bool known;
	bool full; /* nobody new can wait for an answer */
	bool blind; /* there are pictures, and the model sees none: nothing was written */
};

static enum err find_known(struct db_conn *conn, struct send *s)
{
	struct db_row r;
	if (!s->in->client_id.len)
		return OK;
	TRY(db_query(conn, &Q_MESSAGE_BY_CLIENT, &r));
	db_bind_str(&r, 1, s->conversation);
	db_bind_str(&r, 2, s->in->client_id);
	s->known = db_next(&r);
	enum err e =
		s->known ? str_copy(db_col_str(&r, 0), s->old_message, sizeof s->old_message) : OK;
	enum err end = db_end(&r);
	if (e || end || !s->known)
		return e ? e : end;
	TRY(db_query(conn, &Q_ANSWER_OF, &r));
	db_bind_str(&r, 1, str_from(s->old_message));
	e = db_next(&r) ? str_copy(db_col_str(&r, 0), s->old_answer, sizeof s->old_answer) :
			  ERR_NOT_FOUND;
	end = db_end(&r);
	return end ? end : e;
}

static enum err parent_row(struct db_conn *conn, struct send *s, const struct sql *q, bool given)
{
	struct db_row r;
	TRY(db_query(conn, q, &r));
	db_bind_str(&r, 1, s->conversation);
	if (given)
		db_bind_str(&r, 2, s->in->parent);
	bool found = db_next(&r), streaming = false;
	enum err e = OK;
	if (found) {
		e = str_copy(db_col_str(&r, 0), s->parent, sizeof s->parent);
		streaming = str_eq(db_col_str(&r, 1), STR("streaming"));
		/* a clock that went back must not put an answer before its question */
		if (!given && db_col_i64(&r, 2) >= s->at_ms)
			s->at_ms = db_col_i64(&r, 2) + 1;
	}
	enum err end = db_end(&r);
	if (e || end)
		return e ? e : end;
	if (given && !found)
		return err_set(s->info, ERR_NOT_FOUND, "the message to go on from is not there");
	if (streaming && (given || !s->in->parent.len)) {
		(void)err_set(s->info, ERR_CONFLICT, "the answer before is still being written");
		err_hint(s->info, "wait for the answer or stop it");
		return ERR_CONFLICT;
	}
	return OK;
}

static enum err add_row(struct db_conn *conn, const struct send *s, bool answer)
{
	struct db_row r;
	TRY(db_query(conn, &Q_MESSAGE_ADD, &r));
	db_bind_str(&r, 1, str_from(answer ? s->answer_id : s->message_id));
	db_bind_str(&r, 2, s->conversation);
	if (answer || s->parent[0])
		db_bind_str(&r, 3, str_from(answer ? s->message_id : s->parent));
	db_bind_str(&r, 4, answer ? STR("assistant") : STR("user"));
	db_bind_str(&r, 5, answer ? STR("") : s->in->content);
	db_bind_str(&r, 6, answer ? STR("streaming") : STR("done"));
	db_bind_i64(&r, 7, s->label);
	if (answer) {
		db_bind_str(&r, 8, str_from(s->model->name));
		db_bind_str(&r, 9, str_from(s->model->digest));
	} else if (s->in->client_id.len) {
		db_bind_str(&r, 10, s->in->client_id);
	}
	db_bind_i64(&r, 11, s->at_ms + answer); /* the answer sorts behind its question */
	if (answer && s->replaced)
		db_bind_str(&r, 12, s->model_name);
	return db_run(&r);
}

static enum err touch(struct db_conn *conn, const struct send *s)
{
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_TOUCH, &r));
	db_bind_str(&r, 1, s->conversation);
	db_bind_i64(&r, 2, s->at_ms);
	db_bind_str(&r, 3, s->model_name);
	db_bind_str(&r, 4, s->title.ptr ? s->title : STR(""));
	return db_run(&r);
}

/* Its own pictures, or those that were sent before. */
static enum err has_pictures(struct db_conn *conn, const struct send *s, bool *ret)
{
	*ret = s->in->n_pictures > 0;
	return *ret || !s->parent[0] ? OK : path_has_pictures(conn, str_from(s->parent), ret);
}

static enum err send_run(struct db_conn *conn, void *arg)
{
	struct send *s = arg;
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_GET, &r));
	db_bind_str(&r, 1, s->conversation);
	bool found = db_next(&r);
	s->label = found ? db_col_i64(&r, C_LABEL) : 0;
	TRY(db_end(&r));
	if (!found)
		return err_set(s->info, ERR_NOT_FOUND, "there is no such conversation");
	TRY(find_known(conn, s));
	if (s->known)
		return OK;
	if (s->full)
		return err_set(s->info, ERR_QUEUE, "too many people wait for an answer; the "
						   "question was not taken, send it again soon");
	s->at_ms = time_now_ms();
	TRY(parent_row(conn, s, &Q_MESSAGE_LAST, false));
	if (str_eq(s->in->parent, STR("root")))
		s->parent[0] = 0;
	else if (s->in->parent.len)
		TRY(parent_row(conn, s, &Q_MESSAGE_IN, true));
	if (!s->model->projector[0])
		TRY(has_pictures(conn, s, &s->blind));
	if (s->blind)
		return OK;
	TRY(add_row(conn, s, false));
	TRY(sights_store(conn, s->conversation, s->message_id, s->in, s->sights, s->info));
	TRY(add_row(conn, s, true));
	return touch(conn, s);
}

/* ---- checks before anything is written ---- */

static enum err question_ok(const struct chat_send *s, struct err_info *info)
{
	if (!str_trim(s->content).len && !s->n_pictures)
		return err_set(info, ERR_INVALID, "content: the message is empty");
	if (s->content.len > LIMIT_MESSAGE)
		return err_set(info, ERR_TOO_LARGE, "content: longer than %d bytes", LIMIT_MESSAGE);
	if (!str_is_utf8(s->content) || memchr(s->content.ptr, 0, s->content.len))
		return err_set(info, ERR_INVALID, "content: not UTF-8 text");
	if (s->client_id.len > CHAT_CLIENT_ID_MAX || str_has_control(s->client_id) ||
	    !str_is_utf8(s->client_id))
		return err_set(info, ERR_INVALID, "client_id: at most %d characters",
			       CHAT_CLIENT_ID_MAX);
	if (s->model.len > LIMIT_MODEL_NAME)
		return err_set(info, ERR_INVALID, "model: the name is too long");
	return OK;
}

struct about {
	struct str id;
	struct answer *a;
	struct buf *model;
};

static enum err about_run(struct db_conn *conn, void *arg)
{
	struct about *b = arg;
	struct db_row r;
	TRY(db_query(conn, &Q_CONVERSATION_GET, &r));
	db_bind_str(&r, 1, b->id);
	enum err e = ERR_NOT_FOUND;
	if (db_next(&r)) {
		e = str_copy(db_col_str(&r, C_PERSON), b->a->person, sizeof b->a->person);
		if (!e)
			e = str_copy(db_col_str(&r, C_ID), b->a->conversation,
				sizeof b->a->conversation);
		if (!e && !b->model->len)
			e = buf_add(b->model, db_col_str(&r, C_MODEL));
	}
	enum err end = db_end(&r);
	return end ? end : e;
}

/* Whose conversation, and which model: the one asked for, else the conversation's, else (an empty
 * name) what the resolver takes as the default. */
static enum err resolve(struct chats *c, struct answer *a, struct str conversation,
			const struct chat_send *s, struct buf *model, struct err_info *info)
{
	struct about b = { conversation, a, model };
	TRY(buf_add(model, s->model));
	enum err e = db_read(c->opt.db, about_run, &b);
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "there is no such conversation");
	TRY(e);
	e = c->opt.model(c->opt.model_arg, buf_str(model), &a->model);
	if (e == ERR_NOT_FOUND) {
		(void)err_set(info, e, "there is no model \"%.*s\"", STR_ARG(buf_str(model)));
		err_hint(info, "choose another model for this conversation");
		return e;
	}
	if (!e && !model->len) /* the default, by name from now on */
		e = buf_add(model, str_from(a->model.name));
	return e;
}

/* ---- the reply ---- */

static enum err reply(struct chats *c, const char *message, const char *answer, struct buf *out)
{
	TRY(buf_add(out, STR("{\"message\":")));
	TRY(load_message(c, str_from(message), out));
	TRY(buf_add(out, STR(",\"answer\":")));
	TRY(load_message(c, str_from(answer), out));
	return buf_add(out, STR("}"));
}

/* Reads what was said and shown, `fresh` just now, and hands it to the fleet; on failure the answer
 * ends as failed. */
static void begin_answer(struct chats *c, struct answer *a, struct sights *fresh)
{
	AUTO_SIGHTS struct sights sights = { .n = 0 };
	struct past past = { .input = BUF(4 * CHAT_HISTORY_MAX) };
	struct err_info why = { .code = OK };
	struct str parent = str_from(a->parent);
	uint64_t unseen = 0;
	enum err e = sights_of_path(c, parent, fresh, &sights, &unseen, &why);
	if (!e && sights.n && !a->model.projector[0]) /* after a restart its name means another */
		e = err_set(&why, ERR_UNSUPPORTED, "\"%s\" does not support vision",
			    a->model.name);
	if (!e)
		e = history_of(c, parent, &sights, &past);
	pthread_mutex_lock(&c->lock);
	if (e)
		answer_end(a, "failed", e, str_from(why.detail));
	if (!e && past.left_out)
		answer_warn(a, "left_out_messages", past.left_out);
	if (!e && unseen)
		answer_warn(a, "left_out_pictures", unseen);
	pthread_mutex_unlock(&c->lock);
	if (!e)
		answer_start(a, &past);
	buf_done(&past.input);
}

static void release(struct chats *c, struct answer *a)
{
	pthread_mutex_lock(&c->lock);
	answer_unref(a);
	pthread_mutex_unlock(&c->lock);
}

/* The answer is made by a model that sees; never silently: its row names the one that was asked. */
static enum err replace(struct chats *c, struct answer *a, struct send *s)
{
	char name[LIMIT_MODEL_NAME + 1];
	struct fleet_model m;
	if (!s->in->vision)
		return err_set(s->info, ERR_UNSUPPORTED, "\"%s\" does not support vision",
			       a->model.name);
	TRY(s->in->vision(s->in->vision_arg, name, s->info));
	TRY(c->opt.model(c->opt.model_arg, str_from(name), &m));
	if (!m.projector[0]) /* it was deleted or moved a moment ago */
		return err_set(s->info, ERR_UNSUPPORTED, "\"%s\" does not support vision", name);
	a->model = m; /* only this thread looks at it before answer_start() */
	s->replaced = true;
	s->blind = false;
	return OK;
}

/* Writes question and answer row in one transaction. The answer is listed before the commit, so
 * that no reader finds a streaming row that nobody works on. Takes one reference of `a`. */
static enum err commit(struct chats *c, struct answer *a, struct send *s)
{
	pthread_mutex_lock(&c->lock);
	a->refs++;
	answer_list(a);
	pthread_mutex_unlock(&c->lock);
	enum err e = db_write(c->opt.db, send_run, s);
	if (!e && s->blind)
		e = replace(c, a, s);
	if (!e && s->replaced)
		e = db_write(c->opt.db, send_run, s);
	if (!e)
		chat_search_poke(c->opt.search);
	if (e || s->known) {
		pthread_mutex_lock(&c->lock);
		if (a->phase != ANSWER_DROPPED) {
			a->phase = ANSWER_DROPPED;
			answer_unlist(a);
		}
		pthread_mutex_unlock(&c->lock);
	}
	return e;
}

enum err chat_send(struct chats *c, const char *person, struct str conversation,
		   const struct chat_send *in, struct buf *ret_json, struct err_info *info)
{
	AUTO_BUF struct buf model = BUF(LIMIT_MODEL_NAME + 1), title = BUF(LIMIT_TITLE);
	AUTO_SIGHTS struct sights sights = { .n = 0 };
	struct answer *a = NULL;
	TRY(question_ok(in, info));
	TRY(title_of(in->content, &title));
	TRY(answer_new(c, &a));
	id_new(a->id);
	struct send s = { .in = in, .conversation = conversation, .answer_id = a->id,
			  .model = &a->model, .title = buf_str(&title), .info = info,
			  .sights = &sights,
			  .full = fleet_is_full(c->opt.fleet) };
	id_new(s.message_id);
	memcpy(a->parent, s.message_id, sizeof a->parent);
	enum err e = resolve(c, a, conversation, in, &model, info);
	s.model_name = buf_str(&model);
	if (!e)
		e = sights_look(c, in, s.message_id, &sights, info);
	if (!e)
		e = commit(c, a, &s);
	if (!e && s.known) {
		e = reply(c, s.old_message, s.old_answer, ret_json);
	} else if (!e) {
		/* first: everything else has time while the engine reads */
		begin_answer(c, a, &sights);
		tell_message(c, a->person, conversation, str_from(s.message_id));
		tell_message(c, a->person, conversation, str_from(a->id));
		tell_conversation(c, conversation);
		e = reply(c, s.message_id, a->id, ret_json);
	}
	release(c, a);
	return e;
}

/* ---- after a crash ---- */

struct found {
	struct found *next;
	struct answer *a;
};
struct recover {
	struct chats *c;
	struct found *first, **last;
};

static int64_t stored_seed(struct str options)
{
	AUTO_JSON json_t *j = NULL;
	int64_t seed = -1;
	if (!options.len || json_read(options, 8192, 4, &j, NULL))
		return -1;
	(void)json_want_i64(j, "seed", false, 0, INT64_MAX, &seed, NULL); /* stays -1 */
	return seed;
}

static enum err fill(struct answer *a, struct db_row *r)
{
	struct str warnings = db_col_str(r, 8), tokens = db_col_blob(r, 5);
	TRY(str_copy(db_col_str(r, 0), a->id, sizeof a->id));
	TRY(str_copy(db_col_str(r, 1), a->conversation, sizeof a->conversation));
	TRY(str_copy(db_col_str(r, 2), a->person, sizeof a->person));
	TRY(buf_add(&a->content.text, db_col_str(r, 3)));
	TRY(buf_add(&a->thinking.text, db_col_str(r, 4)));
	TRY(buf_add(
		&a->tokens, str_sub(tokens, 0, tokens.len / sizeof(int32_t) * sizeof(int32_t))));
	TRY(str_copy(db_col_str(r, 6), a->model.name, sizeof a->model.name));
	a->seed = stored_seed(db_col_str(r, 7));
	if (warnings.len > 2)
		TRY(buf_add(&a->warnings, str_sub(warnings, 1, warnings.len - 2)));
	TRY(str_copy(db_col_str(r, 9), a->parent, sizeof a->parent));
	a->content.units = utf16_units(buf_str(&a->content.text));
	a->thinking.units = utf16_units(buf_str(&a->thinking.text));
	a->tokens_stored = a->tokens.len;
	return OK;
}

static enum err find_unfinished(struct db_conn *conn, void *arg)
{
	struct recover *rec = arg;
	struct db_row r;
	enum err e = OK;
	TRY(db_query(conn, &Q_ANSWERS_UNFINISHED, &r));
	while (!e && db_next(&r)) {
		struct found *f = mem_zalloc(1, sizeof *f);
		if (!f) {
			e = ERR_NOMEM;
			break;
		}
		*rec->last = f;
		rec->last = &f->next;
		e = answer_new(rec->c, &f->a);
		if (!e)
			e = fill(f->a, &r);
	}
	enum err end = db_end(&r);
	return e ? e : end;
}

static void go_on(struct chats *c, struct answer *a)
{
	struct sights none = { .n = 0 };
	struct fleet_model m;
	enum err e = c->opt.model(c->opt.model_arg, str_from(a->model.name), &m);
	pthread_mutex_lock(&c->lock);
	a->refs++;
	answer_list(a);
	if (e)
		answer_end(a, "failed", e, STR("the model is not here any more"));
	else
		a->model = m;
	pthread_mutex_unlock(&c->lock);
	tell_rewind(c, a, a->content.units);
	if (!e)
		begin_answer(c, a, &none);
}

enum err chats_recover(struct chats *c)
{
	struct recover rec = { .c = c };
	rec.last = &rec.first;
	enum err e = db_read(c->opt.db, find_unfinished, &rec);
	uint64_t n = 0;
	for (struct found *f = rec.first, *next; f; f = next) {
		next = f->next;
		if (!e) {
			go_on(c, f->a);
			n++;
		}
		if (f->a)
			release(c, f->a);
		mem_free(f);
	}
	if (n)
		log_info("unfinished answers go on", KV_I64("answers", n));
	return e;
}
