/* Pictures of questions: looked at before anything is stored, kept as they came, looked at again
 * for every answer whose path they are on. They lie in the database, not among the blobs: stored in
 * one transaction with their message, sealed as its text is, and gone with it. */
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "chat/chat_int.h"

/* ---- looking ---- */

void sights_done(struct sights *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->v[i].pixels.rgb_fd >= 0)
			(void)close(s->v[i].pixels.rgb_fd);
	s->n = 0;
}

bool sights_any(const struct sights *s, struct str message)
{
	for (unsigned i = 0; i < s->n; i++)
		if (str_eq(str_from(s->v[i].message), message))
			return true;
	return false;
}

static struct sight *sight_new(struct sights *s, int64_t place)
{
	struct sight *one = &s->v[s->n++];
	*one = (struct sight){ .place = place, .pixels = { .rgb_fd = -1 } };
	return one;
}

static enum err look(struct chats *c, struct str bytes, struct sight *s, struct err_info *info)
{
	struct chat_seen seen = { .pixels = { .rgb_fd = -1 } };
	if (!c->opt.see)
		return err_set(info, ERR_UNSUPPORTED, "pictures are not read here");
	TRY(c->opt.see(c->opt.see_arg, bytes, &seen, info));
	s->pixels = seen.pixels;
	s->type = seen.type;
	return OK;
}

enum err sights_look(struct chats *c, const struct chat_send *in, const char *message,
		     struct sights *ret, struct err_info *info)
{
	if (in->n_pictures > GEN_PICTURES_MAX)
		return err_set(info, ERR_INVALID, "pictures: a message may have %d pictures",
			       GEN_PICTURES_MAX);
	for (unsigned i = 0; i < in->n_pictures; i++) {
		struct err_info why = { .code = OK };
		if (in->pictures[i].again)
			continue; /* it was looked at when it came */
		struct sight *s = sight_new(ret, i);
		TRY(str_copy(str_from(message), s->message, sizeof s->message));
		enum err e = look(c, in->pictures[i].bytes, s, &why);
		if (e)
			return err_set(info, e, "pictures[%u]: %s", i,
				       why.detail[0] ? why.detail : err_text(e));
	}
	return OK;
}

/* ---- storing ---- */

/* The bytes that a question brings or takes again; what it takes again must be here. */
static enum err count_bytes(struct db_conn *conn, struct str conversation,
			    const struct chat_send *in, uint64_t *ret, struct err_info *info)
{
	for (unsigned i = 0; i < in->n_pictures; i++) {
		const struct chat_picture *p = &in->pictures[i];
		struct db_row r;
		if (!p->again) {
			*ret += p->bytes.len;
			continue;
		}
		TRY(db_query(conn, &Q_PICTURE_SIZE, &r));
		db_bind_str(&r, 1, str_from(p->message));
		db_bind_i64(&r, 2, p->place);
		db_bind_str(&r, 3, conversation);
		bool found = db_next(&r);
		*ret += found ? (uint64_t)db_col_i64(&r, 0) : 0;
		TRY(db_end(&r));
		if (!found)
			return err_set(info, ERR_NOT_FOUND,
				       "pictures[%u]: this conversation has no such picture", i);
	}
	return OK;
}

static enum err add_again(struct db_conn *conn, const char *message, unsigned place,
			  const struct chat_picture *p)
{
	struct db_row r;
	TRY(db_query(conn, &Q_PICTURE_AGAIN, &r));
	db_bind_str(&r, 1, str_from(message));
	db_bind_i64(&r, 2, place);
	db_bind_str(&r, 3, str_from(p->message));
	db_bind_i64(&r, 4, p->place);
	return db_run(&r);
}

static enum err add_new(struct db_conn *conn, struct str conversation, const struct sight *s,
			struct str bytes)
{
	struct db_row r;
	TRY(db_query(conn, &Q_PICTURE_ADD, &r));
	db_bind_str(&r, 1, str_from(s->message));
	db_bind_i64(&r, 2, s->place);
	db_bind_str(&r, 3, conversation);
	db_bind_str(&r, 4, str_from(s->type));
	db_bind_i64(&r, 5, s->pixels.width);
	db_bind_i64(&r, 6, s->pixels.height);
	db_bind_blob(&r, 7, bytes);
	return db_run(&r);
}

enum err sights_store(struct db_conn *conn, struct str conversation, const char *message,
		      const struct chat_send *in, const struct sights *fresh,
		      struct err_info *info)
{
	uint64_t bytes = 0;
	unsigned next = 0;
	TRY(count_bytes(conn, conversation, in, &bytes, info));
	if (bytes > LIMIT_PICTURES)
		return err_set(info, ERR_TOO_LARGE,
			       "pictures: those of a message are over %d MiB together",
			       LIMIT_PICTURES >> 20);
	for (unsigned i = 0; i < in->n_pictures; i++) {
		const struct chat_picture *p = &in->pictures[i];
		if (p->again)
			TRY(add_again(conn, message, i, p));
		else
			TRY(add_new(conn, conversation, &fresh->v[next++], p->bytes));
	}
	return OK;
}

/* ---- reading ---- */

struct get {
	struct str message;
	int64_t place;
	struct buf *out;
	const char *type;
};

static enum err get_run(struct db_conn *conn, void *arg)
{
	static const char *const types[] = { "image/png", "image/jpeg", "image/webp" };
	struct get *g = arg;
	struct db_row r;
	TRY(db_query(conn, &Q_PICTURE_GET, &r));
	db_bind_str(&r, 1, g->message);
	db_bind_i64(&r, 2, g->place);
	enum err e = ERR_NOT_FOUND;
	if (db_next(&r)) {
		for (size_t i = 0; i < sizeof types / sizeof *types; i++)
			if (str_eq(db_col_str(&r, 0), str_from(types[i])))
				g->type = types[i];
		e = g->type ? buf_add(g->out, db_col_blob(&r, 1)) : ERR_CORRUPT;
	}
	enum err end = db_end(&r);
	return end ? end : e;
}

enum err chat_picture(struct chats *c, struct str message, int64_t place, struct buf *ret_bytes,
		      const char **ret_type, struct err_info *info)
{
	struct get g = { .message = message, .place = place, .out = ret_bytes };
	enum err e = db_read(c->opt.db, get_run, &g);
	if (e == ERR_NOT_FOUND)
		return err_set(info, e, "the message has no such picture");
	TRY(e);
	*ret_type = g.type;
	return OK;
}

/* ---- what is on the way to a message ---- */

static enum err query_path(struct db_conn *conn, struct str message, struct db_row *r)
{
	TRY(db_query(conn, &Q_PICTURES_OF_PATH, r));
	db_bind_str(r, 1, message);
	return OK;
}

enum err path_has_pictures(struct db_conn *conn, struct str message, bool *ret)
{
	struct db_row r;
	TRY(query_path(conn, message, &r));
	*ret = db_next(&r);
	return db_end(&r);
}

struct path {
	struct str message;
	struct sights *out;
	uint64_t left_out;
	int64_t bytes; /* of pixels */
};

static enum err path_run(struct db_conn *conn, void *arg)
{
	struct path *p = arg;
	struct db_row r;
	enum err e = OK;
	TRY(query_path(conn, p->message, &r));
	while (!e && db_next(&r)) {
		p->bytes += db_col_i64(&r, 2);
		if (p->out->n == GEN_PICTURES_MAX || p->bytes > CHAT_PIXELS_MAX) {
			p->left_out++;
			continue;
		}
		struct sight *s = sight_new(p->out, db_col_i64(&r, 1));
		e = str_copy(db_col_str(&r, 0), s->message, sizeof s->message);
	}
	enum err end = db_end(&r);
	return e ? e : end;
}

/* Takes over what was looked at a moment ago. */
static bool take_fresh(struct sights *fresh, struct sight *to)
{
	for (unsigned i = 0; i < fresh->n; i++) {
		struct sight *s = &fresh->v[i];
		if (s->place != to->place || strcmp(s->message, to->message) != 0)
			continue;
		*to = *s;
		s->pixels.rgb_fd = -1;
		return to->pixels.rgb_fd >= 0;
	}
	return false;
}

enum err sights_of_path(struct chats *c, struct str message, struct sights *fresh,
			struct sights *ret, uint64_t *ret_left_out, struct err_info *info)
{
	AUTO_BUF struct buf bytes = BUF(LIMIT_PICTURES);
	struct path p = { .message = message, .out = ret };
	const char *type = NULL;
	TRY(db_read(c->opt.db, path_run, &p));
	for (unsigned i = 0; i < ret->n; i++) {
		struct sight *s = &ret->v[i];
		if (take_fresh(fresh, s))
			continue;
		buf_clear(&bytes);
		TRY(chat_picture(c, str_from(s->message), s->place, &bytes, &type, info));
		TRY(look(c, buf_str(&bytes), s, info));
	}
	*ret_left_out = p.left_out;
	return OK;
}
