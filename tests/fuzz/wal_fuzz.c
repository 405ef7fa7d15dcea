/* The check of a raw write-ahead log: any bytes, read past its end too. */
#include "store/db_int.h"
#include "tests/fuzz/fuzz.h"

struct mem {
	const uint8_t *data;
	size_t size;
};

static enum err mem_read(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct mem *m = arg;
	if (at > m->size || n > m->size - at)
		return ERR_IO;
	memcpy(dst, m->data + at, n);
	return OK;
}

FUZZ
{
	struct mem m = { data, size };
	enum err e = wal_check(mem_read, &m, size);
	if (e != OK && e != ERR_CORRUPT && e != ERR_NOMEM) /* nothing is read beyond the end */
		__builtin_trap();
}
