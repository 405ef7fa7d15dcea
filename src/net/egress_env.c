#include "net/egress_env.h"

#include <stdio.h>
#include <stdlib.h>

void egress_env_get(struct egress_env *ret)
{
	static const char *const names[EGRESS_ENV_MAX] = { "https_proxy", "HTTPS_PROXY",
		"http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE",
		"TRESOR_CA_FILE" };
	size_t n = 0;
	for (size_t i = 0; i < EGRESS_ENV_MAX; i++) {
		const char *v = getenv(names[i]);
		if (v && *v &&
			snprintf(ret->text[n], EGRESS_ENV_BYTES, "%s=%s", names[i], v) <
				EGRESS_ENV_BYTES) {
			ret->list[n] = ret->text[n];
			n++;
		}
	}
	ret->list[n] = NULL;
}
