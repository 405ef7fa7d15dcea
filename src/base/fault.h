/* base/fault.h - failure injection: the n-th fallible call fails.
 *
 * Compiled in for test builds (-DTRESOR_FAULT=1); else everything here is a constant.
 * base's allocator and os's wrappers ask fault_hit() before they call the system. A suite runs an
 * operation for n = 1, 2, .. until it succeeds without a hit, and checks that nothing leaked,
 * nothing was half done and the error was reported. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum fault_kind { FAULT_ALLOC, FAULT_SYSCALL, FAULT_KINDS };
#ifdef TRESOR_FAULT
void fault_arm(enum fault_kind k, unsigned nth); /* 0 disarms; counts from 1 */
bool fault_hit(enum fault_kind k);               /* true: fail this call now */
bool fault_fired(enum fault_kind k);             /* the armed fault happened */
#else
#define fault_arm(k, n) ((void)0)
#define fault_hit(k) (false)
#define fault_fired(k) (false)
#endif

/* Allocation for the whole program: malloc with injection. Sizes are checked for overflow. */
void *mem_alloc(size_t n);                 /* NULL on failure; not zeroed */
void *mem_zalloc(size_t count, size_t n);  /* NULL on failure or overflow; zeroed */
void *mem_realloc(void *p, size_t n);
void mem_free(void *p);
