#include "engine/vec.h"

#include <string.h>

#include "base/fault.h"

void tokens_done(struct tokens *t)
{
	mem_free(t->v);
	*t = (struct tokens){ NULL, 0, 0 };
}

enum err tokens_reserve(struct tokens *t, size_t more)
{
	if (more > SIZE_MAX / sizeof *t->v - t->n)
		return ERR_NOMEM;
	size_t need = t->n + more;
	if (need <= t->cap)
		return OK;
	size_t cap = t->cap < 64 ? 64 : t->cap;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 / sizeof *t->v ? need : cap * 2;
	int32_t *v = mem_realloc(t->v, cap * sizeof *v);
	if (!v)
		return ERR_NOMEM;
	t->v = v;
	t->cap = cap;
	return OK;
}

enum err tokens_add(struct tokens *t, const int32_t *v, size_t n)
{
	TRY(tokens_reserve(t, n));
	if (n)
		memcpy(t->v + t->n, v, n * sizeof *v);
	t->n += n;
	return OK;
}

size_t tokens_common(const struct tokens *a, const struct tokens *b)
{
	size_t n = a->n < b->n ? a->n : b->n, i = 0;
	while (i < n && a->v[i] == b->v[i])
		i++;
	return i;
}
