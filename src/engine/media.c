#include "engine/media.h"

#include <string.h>

#include "base/fault.h"

void media_list_done(struct media_list *m)
{
	mem_free(m->v);
	*m = (struct media_list){ 0 };
}

enum err media_add(struct media_list *m, const struct engine_media *v)
{
	if (m->n == MEDIA_MAX)
		return ERR_LIMIT;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 4;
		struct engine_media *more = mem_realloc(m->v, cap * sizeof *more);
		if (!more)
			return ERR_NOMEM;
		m->v = more;
		m->cap = cap;
	}
	m->v[m->n++] = *v;
	return OK;
}

const struct engine_media *media_from(const struct media_list *m, size_t at)
{
	for (size_t i = 0; i < m->n; i++)
		if (at < (size_t)m->v[i].at + m->v[i].n)
			return &m->v[i];
	return NULL;
}

/* 31 bits of a mix of the hash's words (splitmix64): a run is as hard to meet by chance as all its
 * rows together. */
int32_t media_token(const uint8_t hash[SHA256_LEN], uint32_t part, uint32_t row)
{
	uint64_t x;
	memcpy(&x, hash + sizeof x * (row % (SHA256_LEN / sizeof x)), sizeof x);
	x += 0x9e3779b97f4a7c15u * (1 + (((uint64_t)part << 32) | row));
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return -1 - (int32_t)((x ^ (x >> 31)) & 0x7fffffff);
}
