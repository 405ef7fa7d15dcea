#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/fault.h"

enum { ALIGN = 16, CHUNK_FIRST = 4096, CHUNK_MAX = 64 * 1024 };

struct chunk {
	struct chunk *next;
	size_t used, size;
	alignas(ALIGN) char mem[];
};
struct cleanup {
	struct cleanup *next;
	void (*fn)(void *);
	void *arg;
};
struct arena {
	struct chunk *chunks; /* the first has room */
	struct cleanup *cleanups;
	size_t taken, max, next_size;
};

enum err arena_new(size_t max_bytes, struct arena **ret)
{
	struct arena *a = mem_zalloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->max = max_bytes;
	a->next_size = CHUNK_FIRST;
	*ret = a;
	return OK;
}

struct arena *arena_free(struct arena *a)
{
	if (!a)
		return NULL;
	/* A cleanup may look at arena memory and even add another one. */
	while (a->cleanups) {
		struct cleanup *c = a->cleanups;
		a->cleanups = c->next;
		c->fn(c->arg);
	}
	while (a->chunks) {
		struct chunk *c = a->chunks;
		a->chunks = c->next;
		mem_free(c);
	}
	mem_free(a);
	return NULL;
}

static struct chunk *add_chunk(struct arena *a, size_t bytes)
{
	size_t size = bytes > a->next_size ? bytes : a->next_size;
	struct chunk *c = mem_zalloc(1, sizeof *c + size);
	if (!c)
		return NULL;
	c->size = size;
	/* A big piece fills its own chunk: keep bumping in the one that still has room. */
	if (a->chunks && bytes > a->next_size) {
		c->next = a->chunks->next;
		a->chunks->next = c;
	} else {
		c->next = a->chunks;
		a->chunks = c;
		if (a->next_size < CHUNK_MAX)
			a->next_size *= 2;
	}
	return c;
}

void *arena_take(struct arena *a, size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > a->max - a->taken)
		return NULL;
	bytes = (bytes ? bytes + ALIGN - 1 : ALIGN) & ~(size_t)(ALIGN - 1);
	struct chunk *c = a->chunks;
	if (!c || c->size - c->used < bytes)
		c = add_chunk(a, bytes);
	if (!c)
		return NULL;
	void *p = c->mem + c->used;
	c->used += bytes;
	a->taken += bytes < a->max - a->taken ? bytes : a->max - a->taken;
	return p;
}

char *arena_str(struct arena *a, struct str s)
{
	char *p = s.len < SIZE_MAX ? arena_take(a, s.len + 1, 1) : NULL;
	if (p && s.len)
		memcpy(p, s.ptr, s.len);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	char *p = n < 0 ? NULL : arena_take(a, (size_t)n + 1, 1);
	if (p)
		(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

enum err arena_on_free(struct arena *a, void (*fn)(void *), void *arg)
{
	if (sizeof(struct cleanup) > a->max - a->taken)
		return ERR_LIMIT;
	struct cleanup *c = ARENA_NEW(a, struct cleanup);
	if (!c)
		return ERR_NOMEM;
	*c = (struct cleanup){ a->cleanups, fn, arg };
	a->cleanups = c;
	return OK;
}
