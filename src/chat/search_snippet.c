#include <string.h>

#include "base/json.h"
#include "chat/search_int.h"

enum {
	BEFORE = 60,   /* bytes shown before the first hit, and behind it, */
	BEHIND = 180,
	HITS_MAX = 16, /* as many of them marked */
};

struct walk {
	const struct search_terms *terms;
	size_t from[HITS_MAX], to[HITS_MAX];
	unsigned n;
	size_t end;      /* the last byte that may be shown; 0: no hit yet */
};

static bool looked_for(const struct search_terms *t, struct str term)
{
	for (unsigned i = 0; i < t->n; i++) {
		struct str want = { t->v[i].text, t->v[i].len };
		if (t->v[i].beginning ? str_starts(term, want) : str_eq(term, want))
			return true;
	}
	return false;
}

static enum err on_term(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	struct walk *w = arg;
	if (w->end && from > w->end)
		return ERR_CANCELLED; /* the rest is not shown */
	if (!looked_for(w->terms, term) || (w->n && w->from[w->n - 1] == from))
		return OK;
	if (w->n == HITS_MAX)
		return ERR_CANCELLED;
	w->from[w->n] = from;
	w->to[w->n++] = to;
	if (!w->end)
		w->end = to + BEHIND;
	return OK;
}

static void piece(struct jw *out, struct str said, size_t from, size_t to, bool hit)
{
	if (from >= to)
		return;
	jw_obj(out);
	jw_kstr(out, "text", str_sub(said, from, to - from));
	jw_kbool(out, "hit", hit);
	jw_end(out);
}

/* A place near `at`, not inside a character, and between two words where one is near. */
static size_t border(struct str said, size_t at, bool forward)
{
	if (at >= said.len)
		return said.len;
	for (size_t i = 0; i < 24 && (forward || i <= at); i++) {
		size_t k = forward ? at + i : at - i;
		if (k == 0 || k >= said.len)
			return k >= said.len ? said.len : 0;
		if (said.ptr[k] == ' ' || said.ptr[k] == '\n')
			return forward ? k : k + 1;
	}
	while (at > 0 && (said.ptr[at] & 0xc0) == 0x80)
		at--;
	return at;
}

enum err search_snippet(
	struct words *w, const struct search_terms *t, struct str said, struct jw *out)
{
	struct walk k = { .terms = t };
	enum err e = words_each(w, said, WORDS_TEXT, on_term, &k);
	if (e && e != ERR_CANCELLED)
		return e;
	size_t first = k.n ? k.from[0] : 0;
	size_t at = first > BEFORE ? border(said, first - BEFORE, true) : 0;
	size_t end = border(said, k.n ? k.end : BEHIND, false);
	if (at > first)
		at = first;
	if (end < (k.n ? k.to[0] : 0))
		end = k.to[0];
	jw_arr(out);
	if (at > 0)
		piece(out, STR("\xe2\x80\xa6"), 0, 3, false);
	for (unsigned i = 0; i < k.n && k.to[i] <= end; i++) {
		piece(out, said, at, k.from[i], false);
		piece(out, said, k.from[i], k.to[i], true);
		at = k.to[i];
	}
	piece(out, said, at, end, false);
	if (end < said.len)
		piece(out, STR("\xe2\x80\xa6"), 0, 3, false);
	jw_end(out);
	return OK;
}
