#include "engine/text.h"

#include <string.h>

#include "base/fault.h"

/* ---- stop strings ---- */

struct stop_one {
	unsigned char *s; /* owned */
	uint32_t *fall;   /* owned: where to go on after a mismatch behind i+1 equal bytes */
	uint32_t len, at; /* at: bytes of s that the stream's end equals */
};
struct stop_set {
	struct stop_one one[LIMIT_STOP_STRINGS];
	size_t n, which; /* which: of the last match */
};

struct stop_set *stop_set_free(struct stop_set *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		mem_free(s->one[i].s);
		mem_free(s->one[i].fall);
	}
	mem_free(s);
	return NULL;
}

/* The failure function of Knuth, Morris and Pratt. */
static void stop_one_prepare(struct stop_one *o)
{
	o->fall[0] = 0;
	for (uint32_t i = 1, k = 0; i < o->len; i++) {
		while (k && o->s[i] != o->s[k])
			k = o->fall[k - 1];
		if (o->s[i] == o->s[k])
			k++;
		o->fall[i] = k;
	}
}

enum err stop_set_new(const struct str *v, size_t n, struct stop_set **ret)
{
	if (n > LIMIT_STOP_STRINGS)
		return ERR_LIMIT;
	AUTO(stop_set) struct stop_set *s = mem_zalloc(1, sizeof *s);
	if (!s)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		struct stop_one *o = &s->one[i];
		if (v[i].len > LIMIT_STOP_STRING)
			return ERR_LIMIT;
		if (!v[i].len || !str_is_utf8(v[i]))
			return ERR_INVALID;
		s->n = i + 1;
		o->s = mem_alloc(v[i].len);
		o->fall = mem_zalloc(v[i].len, sizeof *o->fall);
		if (!o->s || !o->fall)
			return ERR_NOMEM;
		memcpy(o->s, v[i].ptr, v[i].len);
		o->len = (uint32_t)v[i].len;
		stop_one_prepare(o);
	}
	*ret = TAKE(s);
	return OK;
}

size_t stop_set_feed(struct stop_set *s, unsigned char byte)
{
	size_t longest = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct stop_one *o = &s->one[i];
		while (o->at && o->s[o->at] != byte)
			o->at = o->fall[o->at - 1];
		if (o->s[o->at] == byte)
			o->at++;
		if (o->at < o->len)
			continue;
		if (o->len > longest) {
			longest = o->len;
			s->which = i;
		}
		o->at = o->fall[o->len - 1]; /* `at` stays a proper prefix */
	}
	return longest;
}

size_t stop_set_which(const struct stop_set *s)
{
	return s->which;
}

size_t stop_set_held(const struct stop_set *s)
{
	size_t most = 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->one[i].at > most)
			most = s->one[i].at;
	return most;
}

void stop_set_reset(struct stop_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->one[i].at = 0;
}

/* ---- the stream ---- */

enum stage { STAGE_START, STAGE_THOUGHT, STAGE_GAP, STAGE_ANSWER, STAGE_STOPPED };
/* START: blanks and what may become the start tag are in `held`. THOUGHT: until the end tag.
 * GAP: blanks between end tag and answer are dropped. ANSWER: until a stop string. */
struct text {
	enum stage stage;
	unsigned stopped_by;
	struct str tag; /* start tag; points into tag_copy */
	char tag_copy[LIMIT_STOP_STRING];
	struct stop_set *stop, *end;
	struct buf held;       /* START: all since the start; later: what may begin a match */
	unsigned char part[4]; /* an unfinished character */
	unsigned n_part;
	bool fresh_thought; /* nothing of the thought was shown: blanks are dropped */
	/* With a splitter characters are gathered in `fresh` and handed on once a call. One that
	 * wants the reasoning too gets everything; the stage is then only kept for text_thinking(),
	 * by `scan` and `end` over the same bytes. */
	struct text_splitter split;
	struct stop_set *scan; /* finds the start tag */
	struct buf fresh;
};

struct text *text_free(struct text *t)
{
	if (t) {
		stop_set_free(t->stop);
		stop_set_free(t->end);
		stop_set_free(t->scan);
		buf_wipe(&t->fresh);
		buf_wipe(&t->held); /* it is somebody's answer */
	}
	mem_free(t);
	return NULL;
}

enum err text_new(const struct text_options *o, struct text **ret)
{
	AUTO(text) struct text *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	t->held = BUF(4096); /* blanks and a tag, or a stop string */
	TRY(stop_set_new(o->stop, o->n_stop, &t->stop));
	if (o->think_end.len) {
		TRY(stop_set_new(&o->think_end, 1, &t->end));
		if (o->think_start.len > sizeof t->tag_copy)
			return ERR_LIMIT;
		if (o->think_start.len)
			memcpy(t->tag_copy, o->think_start.ptr, o->think_start.len);
		t->tag = (struct str){ t->tag_copy, o->think_start.len };
	}
	t->stage = !t->end       ? STAGE_ANSWER
		   : o->thinking ? STAGE_THOUGHT
		   : t->tag.len  ? STAGE_START
				 : STAGE_ANSWER;
	t->fresh_thought = true;
	t->fresh = BUF(1 << 20);
	if (o->split)
		t->split = *o->split;
	if (t->split.whole) {
		if (t->end && o->think_start.len)
			TRY(stop_set_new(&o->think_start, 1, &t->scan));
		t->stage = t->end && o->thinking ? STAGE_THOUGHT : STAGE_ANSWER;
	}
	*ret = TAKE(t);
	return OK;
}

unsigned text_stopped_by(const struct text *t)
{
	return t->stopped_by;
}

bool text_thinking(const struct text *t)
{
	return t->stage == STAGE_THOUGHT;
}

bool text_open(const struct text *t)
{
	return t->stage == STAGE_START;
}

bool text_pending(const struct text *t)
{
	return t->n_part > 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Moves all of `held` but its last `keep` bytes to `out`. */
static enum err show(struct text *t, struct buf *out, size_t keep)
{
	size_t n = t->held.len - keep;
	if (!n)
		return OK;
	TRY(buf_add(out, str_sub(buf_str(&t->held), 0, n)));
	buf_drop_front(&t->held, n);
	return OK;
}

/* A byte for the splitter; where it wants all, also the stage is kept. */
static enum err byte_split(struct text *t, char c)
{
	if (t->split.whole && t->stage == STAGE_THOUGHT &&
		stop_set_feed(t->end, (unsigned char)c)) {
		stop_set_reset(t->end);
		t->stage = STAGE_ANSWER;
	} else if (t->split.whole && t->stage == STAGE_ANSWER && t->scan &&
		   stop_set_feed(t->scan, (unsigned char)c)) {
		stop_set_reset(t->scan);
		t->stage = STAGE_THOUGHT;
	}
	return buf_add_byte(&t->fresh, c);
}

static enum err byte_shown(struct text *t, char c, struct buf *answer)
{
	TRY(buf_add_byte(&t->held, c));
	size_t match = stop_set_feed(t->stop, (unsigned char)c);
	if (match) {
		TRY(show(t, answer, match));
		buf_clear(&t->held);
		t->stage = STAGE_STOPPED;
		t->stopped_by = 1 + (unsigned)stop_set_which(t->stop);
		return OK;
	}
	return show(t, answer, stop_set_held(t->stop));
}

static enum err byte_answer(struct text *t, char c, struct buf *answer)
{
	return t->split.split ? byte_split(t, c) : byte_shown(t, c, answer);
}

static enum err byte_thought(struct text *t, char c, struct buf *thought)
{
	if (t->fresh_thought && is_blank(c) && !t->held.len)
		return OK;
	t->fresh_thought = false;
	TRY(buf_add_byte(&t->held, c));
	size_t match = stop_set_feed(t->end, (unsigned char)c);
	if (match) {
		TRY(show(t, thought, match));
		buf_clear(&t->held);
		t->stage = STAGE_GAP;
		return OK;
	}
	return show(t, thought, stop_set_held(t->end));
}

/* At the start: does the text open with the tag? If it cannot, all of it is answer. */
static enum err byte_start(struct text *t, char c, struct buf *answer)
{
	enum { BLANKS_MAX = 1024 };
	TRY(buf_add_byte(&t->held, c));
	struct str all = buf_str(&t->held), body = all;
	while (body.len && is_blank(*body.ptr))
		body = str_sub(body, 1, body.len - 1);
	size_t n = body.len < t->tag.len ? body.len : t->tag.len;
	if (memcmp(body.ptr, t->tag.ptr, n) == 0 && all.len < BLANKS_MAX + t->tag.len) {
		if (n == t->tag.len) {
			buf_clear(&t->held);
			t->stage = STAGE_THOUGHT;
		}
		return OK;
	}
	AUTO_BUF struct buf again = t->held; /* feed it on as answer */
	t->held = BUF(4096);
	t->stage = STAGE_ANSWER;
	for (size_t i = 0; i < again.len && t->stage == STAGE_ANSWER; i++)
		TRY(byte_answer(t, again.ptr[i], answer));
	return OK;
}

static enum err byte_any(struct text *t, char c, struct buf *thought, struct buf *answer)
{
	switch (t->stage) {
	case STAGE_START:
		return byte_start(t, c, answer);
	case STAGE_THOUGHT:
		return byte_thought(t, c, thought);
	case STAGE_GAP:
		if (is_blank(c))
			return OK;
		t->stage = STAGE_ANSWER;
		[[fallthrough]];
	case STAGE_ANSWER:
		return byte_answer(t, c, answer);
	case STAGE_STOPPED:
		break;
	}
	return OK;
}

static enum err bytes_any(struct text *t, struct str s, struct buf *thought, struct buf *answer)
{
	for (size_t i = 0; i < s.len && t->stage != STAGE_STOPPED; i++)
		TRY(t->split.whole ? byte_split(t, s.ptr[i])
				   : byte_any(t, s.ptr[i], thought, answer));
	return OK;
}

/* Length of the character a lead byte begins; 0: no lead byte (RFC 3629). */
static unsigned utf8_len(unsigned char c)
{
	return c < 0x80                ? 1
	       : c >= 0xc2 && c < 0xe0 ? 2
	       : (c & 0xf0) == 0xe0    ? 3
	       : c >= 0xf0 && c < 0xf5 ? 4
				       : 0;
}

/* Can these bytes begin a character? Second bytes have narrower ranges after E0, ED, F0, F4. */
static bool utf8_may_begin(const unsigned char *p, unsigned n)
{
	unsigned len = utf8_len(p[0]);
	if (!len || n > len)
		return false;
	for (unsigned i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	if (n < 2)
		return true;
	return !((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		 (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f));
}

static const struct str REPLACEMENT = { "\xef\xbf\xbd", 3 };

/* Hands on what was gathered; stop strings are looked for in the answer that comes back. */
static enum err hand_on(struct text *t, bool end, struct buf *thought, struct buf *answer)
{
	AUTO_BUF struct buf shown = BUF(LIMIT_ANSWER);
	bool over = false;
	if (!t->split.split || (!end && !t->fresh.len))
		return OK;
	TRY(t->split.split(t->split.arg, buf_str(&t->fresh), end, thought, &shown, &over));
	buf_clear(&t->fresh);
	if (over && !end) /* the template says so: what is left is read as the end */
		TRY(t->split.split(t->split.arg, STR_NONE, true, thought, &shown, &over));
	for (size_t i = 0; i < shown.len && t->stage != STAGE_STOPPED; i++)
		TRY(byte_shown(t, shown.ptr[i], answer));
	if (!over && !end)
		return OK;
	bool stopped = t->stage == STAGE_STOPPED;
	t->stage = STAGE_STOPPED;
	return stopped ? OK : show(t, answer, 0);
}

enum err text_add(struct text *t, struct str bytes, struct buf *thought, struct buf *answer,
	bool *ret_stopped)
{
	for (size_t i = 0; i < bytes.len && t->stage != STAGE_STOPPED; i++) {
		t->part[t->n_part++] = (unsigned char)bytes.ptr[i];
		if (!utf8_may_begin(t->part, t->n_part)) {
			/* One mark for the bytes before, then this byte has its own chance. */
			bool again = t->n_part > 1;
			t->n_part = 0;
			TRY(bytes_any(t, REPLACEMENT, thought, answer));
			i -= again;
			continue;
		}
		if (t->n_part < utf8_len(t->part[0]))
			continue;
		struct str whole = { (const char *)t->part, t->n_part };
		t->n_part = 0;
		TRY(bytes_any(t, whole, thought, answer));
	}
	TRY(hand_on(t, false, thought, answer));
	*ret_stopped = t->stage == STAGE_STOPPED;
	return OK;
}

/* The splitter reads the end: what stands in `held` before that is no stop string's beginning. */
static enum err end_split(struct text *t, struct buf *thought, struct buf *answer)
{
	if (!t->split.whole && t->stage == STAGE_THOUGHT)
		TRY(show(t, thought, 0));
	if (!t->split.whole && t->stage == STAGE_START)
		TRY(show(t, &t->fresh, 0));
	return hand_on(t, true, thought, answer);
}

enum err text_end(struct text *t, struct buf *thought, struct buf *answer)
{
	if (t->stage == STAGE_STOPPED)
		return OK;
	if (t->n_part) {
		t->n_part = 0;
		TRY(bytes_any(t, REPLACEMENT, thought, answer));
	}
	if (t->split.split)
		return end_split(t, thought, answer);
	enum stage was = t->stage;
	t->stage = STAGE_STOPPED;
	return show(t, was == STAGE_THOUGHT ? thought : answer, 0);
}
