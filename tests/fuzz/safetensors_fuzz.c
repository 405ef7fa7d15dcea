/* Any bytes: a verdict with its reason; what is accepted lies inside the file, one behind the
 * other. */
#include <string.h>

#include "models/safetensors.h"
#include "tests/fuzz/fuzz.h"

static enum err read_bytes(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	if (at > s->len || n > s->len - at)
		DIE("it reads beyond the file");
	memcpy(dst, s->ptr + at, n);
	return OK;
}

FUZZ
{
	struct str bytes = { (const char *)data, size };
	struct safetensors s = { 0 };
	char why[GGUF_WHY_MAX];
	enum err e = safetensors_read(read_bytes, &bytes, size, &s, why);
	if (e) {
		if (e != ERR_MODEL_BAD || !why[0] || s.header || s.tensor)
			DIE("a refusal without a reason");
		return;
	}
	uint64_t at = s.n ? s.tensor[0].at : 0;
	for (size_t i = 0; i < s.n; at += s.tensor[i++].bytes)
		if (s.tensor[i].at != at || s.tensor[i].n_dims > SAFETENSORS_DIMS_MAX)
			DIE("accepted without sense");
	if (!s.n || at != size)
		DIE("accepted without sense");
	safetensors_done(&s);
}
