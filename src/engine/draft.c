#include "engine/draft.h"

#include <string.h>

enum { NGRAM_MAX = 4, NGRAM_MIN = 3, LOOK_BACK = 16384 };

/* The newest earlier place where the last `n` tokens stand; returns the index behind it, 0: none.
 * */
static size_t earlier(const struct tokens *t, size_t n)
{
	const int32_t *end = t->v + t->n - n;
	size_t stop = t->n > LOOK_BACK ? t->n - LOOK_BACK : 0;
	for (size_t i = t->n - n; i-- > stop;)
		if (t->v[i] == end[0] && !memcmp(t->v + i, end, n * sizeof *end))
			return i + n;
	return 0;
}

unsigned draft_lookup(const struct tokens *text, int32_t *ret, unsigned max)
{
	for (size_t n = NGRAM_MAX; n >= NGRAM_MIN; n--) {
		size_t at = text->n > n ? earlier(text, n) : 0;
		if (!at)
			continue;
		size_t k = 0;
		for (; k < max && at + k < text->n && text->v[at + k] >= 0; k++)
			ret[k] = text->v[at + k]; /* a picture's row is nothing to guess */
		return (unsigned)k;
	}
	return 0;
}
