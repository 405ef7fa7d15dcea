/* engine/vec.h - a growing list of token ids. */
#pragma once

#include "base/auto.h"
#include "base/str.h"

struct tokens {
	int32_t *v; /* owned; NULL while empty */
	size_t n, cap;
};
void tokens_done(struct tokens *t); /* frees; reusable afterwards */
/* Errors: ERR_NOMEM; the list is as before. */
enum err tokens_add(struct tokens *t, const int32_t *v, size_t n);
enum err tokens_reserve(struct tokens *t, size_t more);
/* How many of the first ids of both are equal. */
size_t tokens_common(const struct tokens *a, const struct tokens *b);
#define AUTO_TOKENS [[gnu::cleanup(tokens_done)]]
