/* What was said before, as an engine takes it. */
#include "base/arena.h"
#include "chat/chat_int.h"

struct turn {
	struct turn *older, *newer;
	struct str role, content;
	char id[ID_LEN + 1];
};
struct history {
	struct str message;
	const struct sights *sights;
	struct arena *mem;
	struct turn *newest, *oldest;
	uint64_t bytes, left_out;
};

/* ---- reading ---- */

static enum err add_turn(struct history *h, struct str role, struct str content, struct str id)
{
	struct turn *t = ARENA_NEW(h->mem, struct turn);
	char *copy = t ? arena_str(h->mem, content) : NULL;
	char *kind = copy ? arena_str(h->mem, role) : NULL;
	if (!kind)
		return ERR_NOMEM;
	*t = (struct turn){ .role = { kind, role.len }, .content = { copy, content.len },
			    .newer = h->oldest };
	TRY(str_copy(id, t->id, sizeof t->id));
	if (h->oldest)
		h->oldest->older = t;
	else
		h->newest = t;
	h->oldest = t;
	return OK;
}

static enum err history_run(struct db_conn *conn, void *arg)
{
	struct history *h = arg;
	struct db_row r;
	enum err e = OK;
	TRY(db_query(conn, &Q_HISTORY, &r));
	db_bind_str(&r, 1, h->message);
	while (!e && db_next(&r)) {
		struct str content = db_col_str(&r, 1), id = db_col_str(&r, 2);
		if (!content.len && !sights_any(h->sights, id))
			continue; /* an answer that failed before its first word */
		h->bytes += content.len;
		if (h->bytes > CHAT_HISTORY_MAX)
			h->left_out++;
		else
			e = add_turn(h, db_col_str(&r, 0), content, id);
	}
	enum err end = db_end(&r);
	return e ? e : end;
}

/* ---- writing ---- */

static void text_part(struct jw *w, struct str text)
{
	if (!text.len)
		return;
	jw_obj(w);
	jw_kstr(w, "text", text);
	jw_end(w);
}

/* A turn's pictures stand before its text, as in the other APIs. */
static void picture_parts(struct jw *w, const struct turn *t, const struct sights *s,
			  struct past *past)
{
	for (unsigned i = 0; i < s->n && past->n < GEN_PICTURES_MAX; i++) {
		if (!str_eq(str_from(s->v[i].message), str_from(t->id)))
			continue;
		jw_obj(w);
		jw_ki64(w, "picture", past->n);
		jw_end(w);
		past->picture[past->n++] = s->v[i].pixels;
	}
}

/* The turns from `t` to before `end` as one list of parts. */
static void write_parts(struct jw *w, const struct turn *t, const struct turn *end,
			const struct sights *s, struct past *past)
{
	jw_arr(w);
	for (const struct turn *one = t; one != end; one = one->newer) {
		if (one != t)
			text_part(w, STR("\n\n"));
		picture_parts(w, one, s, past);
		text_part(w, one->content);
	}
	jw_end(w);
}

static enum err join(const struct turn *t, const struct turn *end, struct buf *out)
{
	buf_clear(out);
	TRY(buf_add(out, t->content));
	for (t = t->newer; t != end; t = t->newer) {
		TRY(buf_add(out, STR("\n\n")));
		TRY(buf_add(out, t->content));
	}
	return OK;
}

/* Two turns of one role in a row (a question whose answer failed) become one: many templates insist
 * on turns that alternate. */
static enum err write_turns(const struct turn *t, const struct sights *s, struct past *past)
{
	AUTO_BUF struct buf joined = BUF(CHAT_HISTORY_MAX + 64 * 1024);
	struct jw w;
	jw_init(&w, &past->input);
	jw_arr(&w);
	while (t) {
		const struct turn *end = t;
		bool pictured = false;
		for (; end && str_eq(end->role, t->role); end = end->newer)
			pictured |= sights_any(s, str_from(end->id));
		jw_obj(&w);
		jw_kstr(&w, "role", t->role);
		jw_key(&w, "content");
		if (pictured) {
			write_parts(&w, t, end, s, past);
		} else {
			TRY(join(t, end, &joined));
			jw_str(&w, buf_str(&joined));
		}
		jw_end(&w);
		t = end;
	}
	jw_end(&w);
	return past->input.err;
}

enum err history_of(struct chats *c, struct str message, const struct sights *s, struct past *ret)
{
	AUTO(arena) struct arena *mem = NULL;
	struct history h = { .message = message, .sights = s };
	TRY(arena_new(2 * CHAT_HISTORY_MAX, &mem));
	h.mem = mem;
	TRY(db_read(c->opt.db, history_run, &h));
	TRY(write_turns(h.oldest, s, ret));
	ret->left_out = h.left_out;
	return OK;
}
