/* engine/llama/variant.h - which of the library's CPU modules is loaded.
 *
 * A build for any machine has one module a generation of CPUs (GGML_CPU_ALL_VARIANTS); each says
 * how well it suits this one. Some machines claim instructions that trap: then the next lower is
 * taken, as often as the keeper says. Source: ggml/src/ggml-backend-dl (ggml_backend_score). */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
/* Path of the module in `dir` that suits best after leaving out the `less` better ones; of those
 * that work at all the lowest is never left out. 0: there is none. */
int variant_find(const char *dir, unsigned long less, char *ret, size_t size);
unsigned long variant_less(void); /* what the keeper says (TRESOR_CPU_LESS); 0: nothing */
#ifdef __cplusplus
}
#endif
