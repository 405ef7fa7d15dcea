/* The terms of a German word: the dictionary's, or its stem; and of a compound those of its words.
 * deps/german-nouns/words.py does the same when it makes the dictionary. */
#include "words/words_int.h"

enum {
	PART_MIN = 3,      /* letters of a compound's word */
	COMPOUND_MIN = 6,  /* of a compound */
	WORD_COST = 16,    /* of a compound's word, beside what it needs to be one */
	LINK_COST = 1,     /* it has a link behind it */
	NO_NOUN_COST = 2,
	WORDS_MAX = 8,     /* of one compound; what has more is not divided */
	DEPTH_MAX = 4,     /* of compounds inside compounds */
	NONE = 1 << 20,
};

struct cx {
	const struct words_dict *d;
	struct sb_stemmer *s;
	struct term_list *ret;
	bool guess; /* words that the dictionary has not may be compounds */
};

/* ---- stems ---- */

struct form form_part(const struct form *f, unsigned from, unsigned to)
{
	struct form p = { .n = (uint8_t)(to - from) };
	memcpy(p.b, f->b + from, p.n);
	return p;
}

void form_fold(struct form *f)
{
	for (unsigned i = 0; i < f->n; i++)
		switch (f->b[i]) {
		case 0xe4: f->b[i] = 'a'; break;
		case 0xf6: f->b[i] = 'o'; break;
		case 0xfc: f->b[i] = 'u'; break;
		}
}

static bool ends(const struct form *f, unsigned n, const char *with)
{
	size_t k = strlen(with);
	return n >= k && !memcmp(f->b + n - k, with, k);
}

/* Letters of a word that was made of another by one of these syllables, without its ending. */
static unsigned made(const struct form *f)
{
	static const char *const syllables[] = { "ung", "heit", "keit", "schaft", "lich", "isch",
		"ig", "end" };
	static const char *const endings[] = { "", "e", "s", "n", "en", "er", "em", "es" };
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		unsigned n = f->n - (unsigned)strlen(endings[i]);
		if (!ends(f, f->n, endings[i]))
			continue;
		for (size_t j = 0; j < sizeof syllables / sizeof *syllables; j++)
			if (n >= strlen(syllables[j]) + 2 && ends(f, n, syllables[j]))
				return n;
	}
	return 0;
}

/* Of a word made of another (Sicherheit, vertraglich) the stemmer would leave the other (sich,
 * vertrag): there only the ending goes. */
void stem_german(struct sb_stemmer *s, const struct form *f, struct form *ret)
{
	unsigned n = made(f);
	if (n) {
		*ret = form_part(f, 0, n);
	} else {
		const sb_symbol *p = sb_stemmer_stem(s, f->b, f->n);
		int len = p ? sb_stemmer_length(s) : f->n; /* no memory: the word itself */
		*ret = (struct form){ .n = (uint8_t)(len > FORM_MAX ? FORM_MAX : len) };
		memcpy(ret->b, p ? p : f->b, ret->n);
	}
	form_fold(ret);
}

static unsigned terms_of(const struct cx *c, const struct form *f, struct form ret[TERMS_MAX])
{
	unsigned n = dict_form(c->d, f, ret);
	if (n)
		return n;
	stem_german(c->s, f, &ret[0]);
	return 1;
}

/* ---- dividing ---- */

static bool may_end(const struct cx *c, const struct form *p)
{
	struct form t[TERMS_MAX];
	if (p->n <= PART_MIN)
		return dict_term(c->d, p, 0).flags & TERM_WHOLE;
	(void)terms_of(c, p, t);
	return dict_term(c->d, &t[0], 0).flags & TERM_LAST;
}

static const char *const links[] = { "s", "es", "n", "en", "er", "e" };
#define LINKS (sizeof links / sizeof *links)

/* Which words may end a compound, by where they begin and how long they are: each is asked for
 * once. */
struct known {
	const struct cx *c;
	const struct form *f;
	uint8_t v[FORM_MAX + 1][FORM_MAX + 1]; /* 0: not asked yet; 1: no; 2: yes */
};

static bool known_end(struct known *k, unsigned from, unsigned to)
{
	uint8_t *v = &k->v[from][to - from];
	if (!*v) {
		struct form p = form_part(k->f, from, to);
		*v = 1 + may_end(k->c, &p);
	}
	return *v == 2;
}

/* What it costs to begin a compound with it, or to go on. */
static unsigned cost_first(struct known *k, unsigned from, unsigned to)
{
	if (known_end(k, from, to))
		return 0;
	for (size_t i = 0; i < LINKS; i++) {
		unsigned n = (unsigned)strlen(links[i]);
		bool link = to - from >= PART_MIN + n && ends(k->f, to, links[i]);
		if (link && known_end(k, from, to - n))
			return LINK_COST;
	}
	struct form p = form_part(k->f, from, to);
	unsigned want = from ? TERM_FIRST | TERM_INNER : TERM_FIRST;
	return dict_term(k->c->d, &p, 1).flags & want ? NO_NOUN_COST : NONE;
}

/* Where a compound's words begin, without the first: the fewest words, then those that need the
 * least to be words; of equals the longest last. Returns how many, 0 for no compound. */
static unsigned divide(const struct cx *c, const struct form *f, unsigned at[WORDS_MAX])
{
	struct known k = { .c = c, .f = f };
	struct { unsigned cost, from; } best[FORM_MAX + 1];
	unsigned n = f->n, count = 0;
	if (n < COMPOUND_MIN || !c->d)
		return 0;
	for (unsigned j = 0; j <= n; j++)
		best[j].cost = j ? NONE : 0;
	for (unsigned j = PART_MIN; j <= n; j++) {
		if (j < n && n - j < PART_MIN)
			continue;
		for (unsigned i = 0; i + PART_MIN <= j; i++) {
			if (best[i].cost >= NONE || (!i && j == n))
				continue;
			unsigned cost = j < n                 ? cost_first(&k, i, j)
					: known_end(&k, i, n) ? 0
								: NONE;
			if (cost < NONE && best[i].cost + WORD_COST + cost < best[j].cost) {
				best[j].cost = best[i].cost + WORD_COST + cost;
				best[j].from = i;
			}
		}
	}
	if (best[n].cost >= NONE)
		return 0;
	for (unsigned j = best[n].from; j; j = best[j].from)
		count++;
	if (count >= WORDS_MAX)
		return 0;
	unsigned i = count;
	for (unsigned j = best[n].from; j; j = best[j].from)
		at[--i] = j;
	return count;
}

/* The same, by the dictionary where it says so. `stem` is that of `f`. */
static unsigned words_at(
	const struct cx *c, const struct form *f, const struct form *stem, unsigned at[WORDS_MAX])
{
	struct term_entry e = dict_term(c->d, stem, 0);
	if (e.last_at && e.last_at < f->n) {
		at[0] = e.last_at;
		return 1;
	}
	return e.flags & TERM_KNOWN ? 0 : divide(c, f, at);
}

/* ---- terms ---- */

static void add(struct term_list *l, const struct form *t)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->term[i].n == t->n && !memcmp(l->term[i].b, t->b, t->n))
			return;
	if (l->n < WORD_TERMS_MAX)
		l->term[l->n++] = *t;
}

/* Without the link behind it. */
static struct form bare(const struct cx *c, const struct form *p)
{
	if (may_end(c, p))
		return *p;
	for (size_t i = 0; i < LINKS; i++) {
		unsigned n = (unsigned)strlen(links[i]);
		struct form q = form_part(p, 0, p->n < n ? 0 : p->n - n);
		if (q.n >= PART_MIN && ends(p, p->n, links[i]) && may_end(c, &q))
			return q;
	}
	return *p;
}

static void tell(const struct cx *c, const struct form *f, bool parts, unsigned depth);

static void own_term(const struct cx *c, const struct form *f, struct form *ret);

/* The term of a compound whose last word begins at `last`: its stem, but with the last word's own
 * term where that is another than its stem (..verhandlung, ..verhandlungen). */
static void compound_own(
	const struct cx *c, const struct form *f, unsigned last, struct form *ret)
{
	struct form h = form_part(f, last, f->n), t, s;
	own_term(c, &h, &t);
	stem_german(c->s, &h, &s);
	bool same = s.n == t.n && !memcmp(s.b, t.b, s.n);
	if (same || dict_term(c->d, &s, 0).flags & TERM_KNOWN || last + t.n > FORM_MAX) {
		stem_german(c->s, f, ret);
		return;
	}
	*ret = form_part(f, 0, last);
	form_fold(ret);
	memcpy(ret->b + last, t.b, t.n);
	ret->n = (uint8_t)(last + t.n);
}

/* The first one, of a form that has several. */
static void own_term(const struct cx *c, const struct form *f, struct form *ret)
{
	struct form t[TERMS_MAX];
	unsigned at[WORDS_MAX];
	if (dict_form(c->d, f, t)) {
		*ret = t[0];
		return;
	}
	stem_german(c->s, f, ret);
	unsigned words = words_at(c, f, ret, at);
	if (words)
		compound_own(c, f, at[words - 1], ret);
}

/* The words i..j of a compound of k, as a term of their own. */
static void tell_run(const struct cx *c, const struct form *f, const unsigned *at, unsigned i,
	unsigned j, unsigned k, unsigned depth)
{
	struct form p = form_part(f, at[i], at[j]), s;
	if (j - i > 1) {
		if (j < k && p.b[p.n - 1] == 's' && !may_end(c, &p))
			p.n--;
		tell(c, &p, false, depth);
		return;
	}
	if (j < k)
		p = bare(c, &p);
	tell(c, &p, true, depth);
	stem_german(c->s, &p, &s); /* Werkzeuge: zeug beside zeuge */
	if (j == k && dict_term(c->d, &s, 0).flags & TERM_KNOWN)
		add(c->ret, &s);
}

/* The whole word's terms, and where it is divided. Returns how many cuts, from at[1] on; *guessed:
 * by our rule, not by the dictionary. */
static unsigned tell_own(const struct cx *c, const struct form *f, unsigned depth, unsigned *at,
	bool *guessed)
{
	struct form own[TERMS_MAX];
	unsigned n = dict_form(c->d, f, own), words = 0;
	struct term_entry e;
	for (unsigned i = 0; i < n; i++)
		add(c->ret, &own[i]);
	if (!n)
		stem_german(c->s, f, &own[0]);
	e = dict_term(c->d, &own[0], 0);
	if (depth < DEPTH_MAX && !n)
		words = words_at(c, f, &own[0], at + 1);
	else if (depth < DEPTH_MAX && e.last_at && e.last_at < f->n)
		at[++words] = e.last_at;
	*guessed = !depth && !(e.flags & TERM_KNOWN);
	c->ret->known |= n || words || e.flags & TERM_KNOWN;
	if (!n && words)
		compound_own(c, f, at[words], &own[0]);
	if (!n)
		add(c->ret, &own[0]);
	return words;
}

static void tell(const struct cx *c, const struct form *f, bool parts, unsigned depth)
{
	bool guessed = false;
	unsigned at[WORDS_MAX + 2] = { 0 }, words = tell_own(c, f, depth, at, &guessed);
	if (!words || !parts || (guessed && !c->guess))
		return;
	at[++words] = f->n;
	for (unsigned i = 0; i < words; i++)
		for (unsigned j = i + 1; j <= words; j++)
			if (j - i < words)
				tell_run(c, f, at, i, j, words, depth + 1);
}

void compound_terms(const struct words_dict *d, struct sb_stemmer *s, const struct form *f,
	bool parts, bool guess, struct term_list *ret)
{
	struct cx c = { d, s, ret, guess };
	ret->n = 0;
	ret->known = false;
	tell(&c, f, parts, 0);
}
