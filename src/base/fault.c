#include "base/fault.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef TRESOR_FAULT
#include <stdatomic.h>

/* Process-wide on purpose: any call of any thread may be the n-th. */
static struct {
	atomic_uint nth, count;
	atomic_bool fired;
} faults[FAULT_KINDS];

void fault_arm(enum fault_kind k, unsigned nth)
{
	atomic_store(&faults[k].nth, 0);
	atomic_store(&faults[k].count, 0);
	atomic_store(&faults[k].fired, false);
	atomic_store(&faults[k].nth, nth);
}

bool fault_hit(enum fault_kind k)
{
	unsigned nth = atomic_load_explicit(&faults[k].nth, memory_order_relaxed);
	if (nth == 0 || atomic_fetch_add(&faults[k].count, 1) + 1 != nth)
		return false;
	atomic_store(&faults[k].fired, true);
	errno = k == FAULT_ALLOC ? ENOMEM : EIO;
	return true;
}

bool fault_fired(enum fault_kind k) { return atomic_load(&faults[k].fired); }
#endif

void *mem_alloc(size_t n)
{
	if (fault_hit(FAULT_ALLOC))
		return NULL;
	return malloc(n ? n : 1);
}

void *mem_zalloc(size_t count, size_t n)
{
	size_t bytes;
	if (fault_hit(FAULT_ALLOC) || __builtin_mul_overflow(count, n, &bytes))
		return NULL;
	return calloc(count ? count : 1, n ? n : 1);
}

void *mem_realloc(void *p, size_t n)
{
	if (fault_hit(FAULT_ALLOC))
		return NULL;
	return realloc(p, n ? n : 1);
}

void mem_free(void *p) { free(p); }
