/* base/auto.h - cleanup at the end of a scope.
 *
 * AUTO(T) struct T *x = NULL;   frees x with T_free() at scope end (DEFINE_AUTO(T) in T's header).
 * TAKE(p)                       hands the pointer on and leaves NULL behind. */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define AUTO(T) [[gnu::cleanup(T##_autofree)]]
#define DEFINE_AUTO(T)                                    \
	[[maybe_unused]] static inline void T##_autofree(struct T **p) { *p = T##_free(*p); }
#define TAKE(p)                             \
	({                                  \
		__typeof__(p) take_ = (p);  \
		(p) = NULL;                 \
		take_;                      \
	})

[[maybe_unused]] static inline void auto_free_mem(void *p) { free(*(void **)p); }
#define AUTO_MEM [[gnu::cleanup(auto_free_mem)]]

/* Descriptors: initialise with -1. */
[[maybe_unused]] static inline void auto_close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define AUTO_FD [[gnu::cleanup(auto_close_fd)]]
#define TAKE_FD(fd)                \
	({                         \
		int take_ = (fd);  \
		(fd) = -1;         \
		take_;             \
	})
