#include "chat/chat_int.h"

/* ---- writing ---- */

static void want_str(struct jw *w, const char *key, struct str s)
{
	if (s.len)
		jw_kstr(w, key, s);
}

static void want_raw(struct jw *w, const char *key, struct str json)
{
	if (!json.len)
		return;
	jw_key(w, key);
	jw_raw(w, json);
}

/* Content and thinking: from memory while the answer runs. False: nobody works on it. */
static bool running_text(struct jw *w, struct chats *c, struct db_row *r)
{
	pthread_mutex_lock(&c->lock);
	struct answer *a = answer_find(c, db_col_str(r, M_ID));
	if (a) {
		/* while an engine repeats stored text after a restart, the stored text stands */
		jw_kstr(w, "content", (struct str){ a->content.text.len ? a->content.text.ptr : "",
						    a->content.text.len });
		jw_kstr(w, "thinking",
			(struct str){ a->thinking.text.len ? a->thinking.text.ptr : "",
				a->thinking.text.len });
		if (a->warnings.len) {
			jw_key(w, "warnings");
			jw_arr(w);
			jw_raw(w, buf_str(&a->warnings));
			jw_end(w);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return a != NULL;
}

void json_message(struct jw *w, struct chats *c, struct db_row *r, bool *ret_orphan)
{
	bool streaming = str_eq(db_col_str(r, M_STATE), STR("streaming"));
	jw_obj(w);
	jw_kstr(w, "id", db_col_str(r, M_ID));
	jw_kstr(w, "parent", db_col_str(r, M_PARENT));
	jw_kstr(w, "role", db_col_str(r, M_ROLE));
	if (!streaming || !running_text(w, c, r)) {
		*ret_orphan |= streaming;
		jw_kstr(w, "content", db_col_str(r, M_CONTENT));
		jw_kstr(w, "thinking", db_col_str(r, M_THINKING));
		want_raw(w, "warnings", db_col_str(r, M_WARNINGS));
	}
	jw_kstr(w, "state", db_col_str(r, M_STATE));
	want_raw(w, "error", db_col_str(r, M_ERROR));
	jw_ki64(w, "label", db_col_i64(r, M_LABEL));
	want_str(w, "model", db_col_str(r, M_MODEL));
	want_str(w, "model_digest", db_col_str(r, M_MODEL_DIGEST));
	want_str(w, "engine_build", db_col_str(r, M_ENGINE_BUILD));
	want_str(w, "template_hash", db_col_str(r, M_TEMPLATE_HASH));
	want_str(w, "instead_of", db_col_str(r, M_INSTEAD_OF));
	want_raw(w, "pictures", db_col_str(r, M_PICTURES));
	want_raw(w, "stats", db_col_str(r, M_STATS));
	jw_ki64(w, "created_ms", db_col_i64(r, M_CREATED_MS));
	jw_end(w);
}

void json_conversation(struct jw *w, struct chats *c, struct db_row *r)
{
	struct str id = db_col_str(r, C_ID);
	pthread_mutex_lock(&c->lock);
	bool generating = conversation_generating(c, id);
	pthread_mutex_unlock(&c->lock);
	jw_obj(w);
	jw_kstr(w, "id", id);
	jw_kstr(w, "title", db_col_str(r, C_TITLE));
	jw_kstr(w, "model", db_col_str(r, C_MODEL));
	jw_ki64(w, "label", db_col_i64(r, C_LABEL));
	jw_ki64(w, "created_ms", db_col_i64(r, C_CREATED_MS));
	jw_ki64(w, "changed_ms", db_col_i64(r, C_CHANGED_MS));
	jw_kbool(w, "generating", generating);
	jw_end(w);
}

/* ---- loading one ---- */

struct load {
	struct chats *c;
	struct str id;
	struct buf *out;
	bool orphan;
	char *person;
};

static enum err load_message_run(struct db_conn *conn, void *arg)
{
	struct load *l = arg;
	struct db_row r;
	struct jw w;
	TRY(db_query(conn, &Q_MESSAGE_GET, &r));
	db_bind_str(&r, 1, l->id);
	bool found = db_next(&r);
	jw_init(&w, l->out);
	if (found)
		json_message(&w, l->c, &r, &l->orphan);
	TRY(db_end(&r));
	return found ? l->out->err : ERR_NOT_FOUND;
}

enum err load_message(struct chats *c, struct str id, struct buf *out)
{
	size_t start = out->len;
	struct load l = { .c = c, .id = id, .out = out };
	TRY(db_read(c->opt.db, load_message_run, &l));
	if (!l.orphan)
		return OK;
	/* It ended between the row and the look into memory: the row says so by now. (Or nobody
	 * works on it, before chats_recover(): then the second look says the same.) */
	buf_cut(out, start);
	return db_read(c->opt.db, load_message_run, &l);
}

static enum err load_conversation_run(struct db_conn *conn, void *arg)
{
	struct load *l = arg;
	struct db_row r;
	struct jw w;
	TRY(db_query(conn, &Q_CONVERSATION_GET, &r));
	db_bind_str(&r, 1, l->id);
	bool found = db_next(&r);
	jw_init(&w, l->out);
	if (found) {
		json_conversation(&w, l->c, &r);
		if (l->person)
			TRY(str_copy(db_col_str(&r, C_PERSON), l->person, ID_LEN + 1));
	}
	TRY(db_end(&r));
	return found ? l->out->err : ERR_NOT_FOUND;
}

enum err load_conversation(struct chats *c, struct str id, struct buf *out, char *ret_person)
{
	struct load l = { .c = c, .id = id, .out = out, .person = ret_person };
	return db_read(c->opt.db, load_conversation_run, &l);
}

/* ---- telling ---- */

/* An event that cannot be built is left out: pages read what they miss when they come back. */
void tell_message(struct chats *c, const char *person, struct str conversation, struct str id)
{
	AUTO_BUF struct buf message = BUF(CHAT_EVENT_MAX), event = BUF(CHAT_EVENT_MAX);
	struct jw w;
	if (load_message(c, id, &message))
		return;
	jw_init(&w, &event);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("message"));
	jw_kstr(&w, "conversation", conversation);
	jw_key(&w, "message");
	jw_raw(&w, buf_str(&message));
	jw_end(&w);
	if (!event.err)
		hub_tell(c->opt.hub, person, buf_str(&event));
}

void tell_conversation(struct chats *c, struct str id)
{
	AUTO_BUF struct buf conversation = BUF(CHAT_EVENT_MAX), event = BUF(CHAT_EVENT_MAX);
	char person[ID_LEN + 1];
	struct jw w;
	if (load_conversation(c, id, &conversation, person))
		return;
	jw_init(&w, &event);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("conversation"));
	jw_key(&w, "conversation");
	jw_raw(&w, buf_str(&conversation));
	jw_end(&w);
	if (!event.err)
		hub_tell(c->opt.hub, person, buf_str(&event));
}

/* ---- the question's first words ---- */

enum err title_of(struct str question, struct buf *out)
{
	size_t chars = 0, at = 0, last_word = 0;
	bool cut = false;
	/* blanks of any kind become one space; the first empty line after text ends it */
	for (at = 0; at < question.len && !cut; at++) {
		unsigned char ch = (unsigned char)question.ptr[at];
		if (ch <= 0x20 || ch == 0x7f) {
			if (ch == '\n' && out->len)
				break;
			if (out->len && out->ptr[out->len - 1] != ' ') {
				last_word = out->len;
				TRY(buf_add_byte(out, ' '));
				chars++;
			}
			continue;
		}
		if ((ch & 0xc0) != 0x80 && ++chars > CHAT_TITLE_CHARS)
			cut = true;
		else
			TRY(buf_add_byte(out, (char)ch));
	}
	if (cut && last_word > 0)
		buf_cut(out, last_word);
	while (out->len && out->ptr[out->len - 1] == ' ')
		buf_cut(out, out->len - 1);
	return cut ? buf_add(out, STR("\xe2\x80\xa6")) : OK;
}
