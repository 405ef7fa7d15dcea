/* From a text to its words, and a word to its terms. Letters of Latin-1 are handled here, all
 * others by libunistring. */
#include "words/words.h"

#include <unicase.h>
#include <uninorm.h>
#include <unictype.h>
#include <unistr.h>

#include "base/buf.h"
#include "base/fault.h"
#include "words/words_int.h"

enum {
	WORD_BYTES_MAX = 256, /* of a word; the rest of a longer one is left out */
	SURELY_COMPOUND = 12, /* letters */
};

struct words {
	const struct words_dict *dict;
	struct sb_stemmer *german, *english;
};

enum err words_new(const struct words_dict *d, struct words **ret)
{
	AUTO(words) struct words *w = mem_zalloc(1, sizeof *w);
	if (!w)
		return ERR_NOMEM;
	w->dict = d;
	w->german = sb_stemmer_new("german", "ISO_8859_1");
	w->english = sb_stemmer_new("english", "ISO_8859_1");
	if (!w->german || !w->english)
		return ERR_NOMEM;
	*ret = TAKE(w);
	return OK;
}

struct words *words_free(struct words *w)
{
	if (!w)
		return NULL;
	if (w->german)
		sb_stemmer_delete(w->german);
	if (w->english)
		sb_stemmer_delete(w->english);
	mem_free(w);
	return NULL;
}

/* ---- one word ---- */

/* Small letters in their composed form. Returns how many bytes, 0 if there is no memory. */
static size_t small(const uint8_t *word, size_t n, uint8_t dst[WORD_BYTES_MAX])
{
	size_t i = 0, len = WORD_BYTES_MAX;
	for (; i < n && word[i] < 0x80; i++)
		dst[i] = word[i] >= 'A' && word[i] <= 'Z' ? word[i] | 0x20 : word[i];
	if (i == n)
		return n;
	uint8_t *r = u8_tolower(word, n, NULL, UNINORM_NFC, dst, &len);
	if (!r)
		return 0;
	if (r != dst) { /* it did not fit */
		len = str_utf8_whole((struct str){ (const char *)r, WORD_BYTES_MAX });
		memcpy(dst, r, len);
		free(r);
	}
	return len;
}

/* Nouns have one. What has none may be a verb that looks like a compound (solltest). */
static bool capital(const uint8_t *word, size_t n)
{
	if (n >= 2 && word[0] == 0xc3)
		return word[1] >= 0x80 && word[1] <= 0x9e;
	return word[0] >= 'A' && word[0] <= 'Z';
}

static bool vowel(unsigned c)
{
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 0xe4 ||
	       c == 0xf6 || c == 0xfc;
}

/* The letters with accents that German borrows. */
static uint8_t plain(uint8_t c)
{
	static const char *const groups[] = { "a\xe0\xe1\xe2\xe3\xe5", "c\xe7",
		"e\xe8\xe9\xea\xeb", "i\xec\xed\xee\xef", "n\xf1",
		"o\xf2\xf3\xf4\xf5\xf8", "u\xf9\xfa\xfb" };
	for (size_t i = 0; c >= 0xe0 && i < sizeof groups / sizeof *groups; i++)
		if (strchr(groups[i], (char)c))
			return (uint8_t)groups[i][0];
	return c;
}

/* As words.py spells: ss for ß, umlauts for ae, oe, ue behind no vowel. False for a word with
 * other letters than Latin-1's, with digits, or too long. */
static bool spell(const uint8_t *word, size_t n, struct form *f)
{
	uint8_t latin[FORM_MAX + 1];
	unsigned len = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned c = word[i];
		if (c >= 0x80) {
			if ((c & 0xfe) != 0xc2 || i + 1 == n)
				return false;
			c = (c & 3) << 6 | (word[++i] & 0x3f);
		}
		if (c < 'a' || (c > 'z' && c < 0xdf) || c == 0xf7 || len + 1 >= sizeof latin)
			return false;
		if (c == 0xdf) {
			latin[len++] = 's';
			c = 's';
		}
		latin[len++] = plain((uint8_t)c);
	}
	f->n = 0;
	for (unsigned i = 0; i < len; i++) {
		unsigned before = i ? latin[i - 1] : 0, c = latin[i];
		bool two = i + 1 < len && latin[i + 1] == 'e' && !vowel(before);
		uint8_t umlaut = c == 'a'                  ? 0xe4
				 : c == 'o'                ? 0xf6
				 : c == 'u' && before != 'q' ? 0xfc
							     : 0;
		if (f->n == FORM_MAX)
			return false;
		f->b[f->n++] = two && umlaut ? umlaut : (uint8_t)c;
		i += two && umlaut;
	}
	return f->n > 0;
}

struct telling {
	words_fn fn;
	void *arg;
	size_t from, to;
	bool beside;
};

static enum err tell(struct telling *t, const void *term, size_t n)
{
	bool beside = t->beside;
	t->beside = true;
	return t->fn(t->arg, (struct str){ term, n }, t->from, t->to, beside);
}

/* Unless it is the German one. */
static enum err tell_english(
	struct words *w, struct telling *t, const struct form *f, const struct form *german)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->b[i] >= 0x80)
			return OK;
	const sb_symbol *p = sb_stemmer_stem(w->english, f->b, f->n);
	int n = p ? sb_stemmer_length(w->english) : 0;
	if (n <= 0 || n > FORM_MAX || (n == german->n && !memcmp(p, german->b, german->n)))
		return p ? OK : ERR_NOMEM;
	return tell(t, p, (size_t)n);
}

static enum err tell_word(
	struct words *w, struct telling *t, const uint8_t *word, size_t n, enum words_for what)
{
	uint8_t lower[WORD_BYTES_MAX];
	struct term_list terms;
	struct form f;
	size_t len = small(word, n, lower);
	if (!len)
		return ERR_NOMEM;
	if (!spell(lower, len, &f)) {
		if (len > WORDS_TERM_MAX)
			len = str_utf8_whole((struct str){ (const char *)lower, WORDS_TERM_MAX });
		return tell(t, lower, len);
	}
	if (what == WORDS_BEGINNING) {
		form_fold(&f);
		return tell(t, f.b, f.n);
	}
	compound_terms(w->dict, w->german, &f, what == WORDS_TEXT,
		f.n >= SURELY_COMPOUND || capital(word, n), &terms);
	for (unsigned i = 0; i < terms.n; i++)
		TRY(tell(t, terms.term[i].b, terms.term[i].n));
	return terms.known ? OK : tell_english(w, t, &f, &terms.term[0]);
}

/* ---- the text ---- */

static bool in_word(ucs4_t c)
{
	if (c < 0x80)
		return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
	return uc_is_general_category_withtable(
		c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_N | UC_CATEGORY_MASK_M);
}

enum err words_each(
	struct words *w, struct str text, enum words_for what, words_fn fn, void *arg)
{
	const uint8_t *p = (const uint8_t *)text.ptr;
	size_t start = 0, at = 0;
	bool inside = false;
	while (at <= text.len) {
		ucs4_t c = 0;
		int n = at < text.len ? u8_mbtoucr(&c, p + at, text.len - at) : 1;
		bool word = at < text.len && n > 0 && in_word(c);
		if (word && !inside)
			start = at;
		if (!word && inside) {
			struct telling t = { fn, arg, start, at, false };
			size_t len = at - start;
			if (len > WORD_BYTES_MAX / 2) /* so that its small letters fit */
				len = str_utf8_whole(str_sub(text, start, WORD_BYTES_MAX / 2));
			TRY(tell_word(w, &t, p + start, len, what));
		}
		inside = word;
		at += n > 0 ? (size_t)n : 1;
	}
	return OK;
}
