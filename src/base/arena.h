/* base/arena.h - memory with one lifetime (a request, a job): bumped, freed at once. */
#pragma once

#include "base/auto.h"
#include "base/str.h"

struct arena;
/* `max_bytes` bounds everything ever taken from it. Errors: ERR_NOMEM. */
enum err arena_new(size_t max_bytes, struct arena **ret);
struct arena *arena_free(struct arena *a); /* runs cleanups in reverse; NULL is fine */
DEFINE_AUTO(arena)
/* Zeroed, aligned for any type. NULL when the limit or memory is used up. */
void *arena_take(struct arena *a, size_t count, size_t size);
/* Terminated copy in the arena. NULL as above. */
char *arena_str(struct arena *a, struct str s);
[[gnu::format(printf, 2, 3)]]
char *arena_printf(struct arena *a, const char *fmt, ...);
/* Calls fn(arg) when the arena is freed. Errors: ERR_NOMEM, ERR_LIMIT. */
enum err arena_on_free(struct arena *a, void (*fn)(void *), void *arg);
#define ARENA_NEW(a, T) ((T *)arena_take((a), 1, sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_take((a), (n), sizeof(T)))
