#include "engine/disk_meta.h"

#include <string.h>

enum { META_VERSION = 1, META_FIXED = 48 };
_Static_assert(
	__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they lie in memory");

struct fixed {
	uint32_t version, level;
	uint64_t scope, person, object, parent;
	uint32_t from, n;
};
_Static_assert(sizeof(struct fixed) == META_FIXED, "no padding");

enum err disk_meta_check(const struct disk_record *r)
{
	if ((unsigned)r->level > DISK_PERSON || !r->n || (!r->parent && r->from))
		return ERR_INVALID;
	if (r->n > DISK_TOKENS_MAX || r->from > DISK_POSITIONS_MAX)
		return ERR_LIMIT;
	return OK; /* of tokens any number is one: negative ones stand for pictures' rows */
}

uint64_t disk_meta_bytes(const struct disk_record *r)
{
	return META_FIXED + (uint64_t)r->n * sizeof *r->tokens;
}

enum err disk_meta_put(const struct disk_record *r, struct buf *out)
{
	struct fixed f = { .version = META_VERSION,
		.level = r->level,
		.scope = r->scope,
		.person = r->person,
		.object = r->object,
		.parent = r->parent,
		.from = r->from,
		.n = r->n };
	TRY(buf_add(out, (struct str){ (const char *)&f, sizeof f }));
	return buf_add(out, (struct str){ (const char *)r->tokens, r->n * sizeof *r->tokens });
}

enum err disk_meta_get(struct str text, struct disk_record *ret)
{
	struct fixed f;
	if (text.len < sizeof f || (uintptr_t)text.ptr % sizeof(int32_t))
		return ERR_CORRUPT;
	memcpy(&f, text.ptr, sizeof f);
	struct disk_record r = { .level = (enum disk_level)f.level,
		.scope = f.scope,
		.person = f.person,
		.object = f.object,
		.parent = f.parent,
		.from = f.from,
		.n = f.n,
		.tokens = (const int32_t *)(const void *)(text.ptr + sizeof f) };
	if (f.version != META_VERSION || f.level > DISK_PERSON || disk_meta_bytes(&r) != text.len ||
		disk_meta_check(&r))
		return ERR_CORRUPT;
	*ret = r;
	return OK;
}
