#include <string.h>

#include "chat/search_int.h"

/* One of the things that somebody looks for. */
struct unit {
	struct str text;
	bool without, quoted, open; /* open: it may go on */
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Bytes of a quotation mark at `at`, of whatever language; 0 for none. */
static size_t mark(struct str s, size_t at)
{
	static const char *const marks[] = { "\"", "\xe2\x80\x9c", "\xe2\x80\x9d",
		"\xe2\x80\x9e", "\xc2\xab", "\xc2\xbb" };
	for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
		if (str_starts(str_sub(s, at, SIZE_MAX), str_from(marks[i])))
			return strlen(marks[i]);
	return 0;
}

/* Cuts the next one off. False: there is none. */
static bool next_unit(struct str *rest, struct unit *ret)
{
	size_t i = 0, from, open;
	while (i < rest->len && blank(rest->ptr[i]))
		i++;
	if (i == rest->len)
		return false;
	*ret = (struct unit){ .text = STR_NONE };
	if (rest->ptr[i] == '-' && i + 1 < rest->len && !blank(rest->ptr[i + 1])) {
		ret->without = true;
		i++;
	}
	open = mark(*rest, i);
	ret->quoted = open > 0;
	from = i += open;
	while (i < rest->len && (open ? !mark(*rest, i) : !blank(rest->ptr[i])))
		i++;
	ret->text = str_sub(*rest, from, i - from);
	ret->open = i == rest->len && !open && !ret->without;
	*rest = str_sub(*rest, i + (open ? mark(*rest, i) : 0), SIZE_MAX);
	return true;
}

/* ---- terms ---- */

struct adding {
	struct search_terms *to;
	bool beginning;
	unsigned n;
};

static enum err add_term(void *arg, struct str term, size_t from, size_t to, bool beside)
{
	struct adding *a = arg;
	struct search_terms *t = a->to;
	a->n++;
	if (!t || t->n == sizeof t->v / sizeof *t->v)
		return OK;
	memcpy(t->v[t->n].text, term.ptr, term.len);
	t->v[t->n].len = term.len;
	t->v[t->n++].beginning = a->beginning;
	return OK;
}

/* ---- the expression ---- */

/* A string of FTS5: its tokenizer makes terms of it, one behind the other. */
static enum err quote(struct buf *out, struct str s)
{
	TRY(buf_add_byte(out, '"'));
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i] ? s.ptr[i] : ' '; /* the expression ends at a 0 */
		TRY(buf_add_byte(out, c));
		if (c == '"')
			TRY(buf_add_byte(out, c));
	}
	return buf_add_byte(out, '"');
}

static enum err add_unit(struct words *w, const struct unit *u, struct buf *out,
	struct search_terms *terms)
{
	struct adding a = { .to = u->without ? NULL : terms };
	if (out->len)
		TRY(buf_add(out, u->without ? STR(" OR ") : STR(" AND ")));
	TRY(words_each(w, u->text, WORDS_QUESTION, add_term, &a));
	if (!u->open)
		return quote(out, u->text);
	a.beginning = true;
	TRY(words_each(w, u->text, WORDS_BEGINNING, add_term, &a));
	TRY(buf_add_byte(out, '('));
	TRY(quote(out, u->text));
	TRY(buf_add(out, STR(" OR ")));
	TRY(quote(out, u->text));
	return buf_add(out, STR(" *)"));
}

static enum err has_words(struct words *w, struct str text, bool *ret)
{
	struct adding a = { .to = NULL };
	TRY(words_each(w, text, WORDS_BEGINNING, add_term, &a));
	*ret = a.n > 0;
	return OK;
}

enum err search_ask(struct words *w, const char *person, struct str text, struct buf *match,
	struct search_terms *terms, struct err_info *info)
{
	AUTO_BUF struct buf with = BUF(8 * SEARCH_TEXT_MAX);
	AUTO_BUF struct buf without = BUF(8 * SEARCH_TEXT_MAX);
	char who[SEARCH_WHO_MAX];
	struct unit u;
	unsigned n = 0;
	terms->n = 0;
	if (text.len > SEARCH_TEXT_MAX)
		return err_set(info, ERR_INVALID, "at most %d bytes can be looked for",
			SEARCH_TEXT_MAX);
	while (next_unit(&text, &u)) {
		bool any;
		TRY(has_words(w, u.text, &any));
		if (!any)
			continue;
		if (++n > SEARCH_WORDS_MAX)
			return err_set(info, ERR_INVALID, "at most %d words can be looked for",
				SEARCH_WORDS_MAX);
		TRY(add_unit(w, &u, u.without ? &without : &with, terms));
	}
	if (!with.len)
		return err_set(info, ERR_INVALID, "there is no word to look for");
	search_who(person, who);
	TRY(buf_addf(match, "(who:\"%s\" AND said:(%.*s))", who, STR_ARG(buf_str(&with))));
	return without.len ? buf_addf(match, " NOT said:(%.*s)", STR_ARG(buf_str(&without))) : OK;
}
