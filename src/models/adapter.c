#include "models/adapter.h"

#include "base/hex.h"

#define KIND "tresor model with adapters 1"

void adapters_identity(const struct model_adapters *a, char ret[65])
{
	struct sha256 h;
	uint8_t sum[SHA256_LEN];
	sha256_init(&h);
	sha256_add(&h, KIND, sizeof KIND);
	sha256_add(&h, a->weights, 64);
	for (unsigned i = 0; i < a->n; i++)
		sha256_add(&h, a->digest[i], 64);
	sha256_end(&h, sum);
	hex_encode(sum, sizeof sum, ret);
}

void adapters_put(struct ipc_out *m, const struct model_adapters *a)
{
	ipc_put_u64(m, a->n);
	if (a->n)
		ipc_put_str(m, str_from(a->weights));
	for (unsigned i = 0; i < a->n; i++)
		ipc_put_str(m, str_from(a->digest[i]));
}

static void get_digest(struct ipc_in *m, char ret[65])
{
	struct str s = ipc_get_str(m);
	ipc_want(m, s.len == 64 && !str_copy(s, ret, 65));
}

void adapters_get(struct ipc_in *m, struct model_adapters *ret)
{
	uint64_t n = ipc_get_u64(m);
	*ret = (struct model_adapters){ .n = 0 };
	ipc_want(m, n <= ENGINE_ADAPTERS_MAX);
	if (m->err || !n)
		return;
	ret->n = (unsigned)n;
	get_digest(m, ret->weights);
	for (unsigned i = 0; i < ret->n; i++)
		get_digest(m, ret->digest[i]);
}
