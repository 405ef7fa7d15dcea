/* net/egress_env.h - what of the keeper's environment goes on to egress: the company's proxy and
 * certificates (net/egress.h says which). Nothing else of it reaches a role. */
#pragma once

#include <stddef.h>

enum { EGRESS_ENV_MAX = 8, EGRESS_ENV_BYTES = 2200 };
struct egress_env {
	char text[EGRESS_ENV_MAX][EGRESS_ENV_BYTES];
	const char *list[EGRESS_ENV_MAX + 1]; /* ends with NULL; points into text */
};
/* A value too long to keep is left out. `ret` must not move afterwards. */
void egress_env_get(struct egress_env *ret);
