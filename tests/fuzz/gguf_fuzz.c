/* Any bytes: a verdict with its reason; what is accepted makes sense and survives its JSON. */
#include <string.h>

#include "models/gguf.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	struct gguf_summary s = { 0 }, back;
	char why[GGUF_WHY_MAX];
	enum err e = gguf_check_bytes((struct str){ (const char *)data, size }, &s, why);
	if (e == ERR_MODEL_BAD) {
		if (!why[0] || !memchr(why, 0, sizeof why))
			DIE("a refusal without a reason");
		return;
	}
	if (e)
		DIE("neither a verdict nor memory used up");
	AUTO_BUF struct buf json = BUF(GGUF_SUMMARY_MAX);
	if (gguf_summary_json(&s, &json) || gguf_summary_read(buf_str(&json), &back))
		DIE("the summary does not survive its JSON");
	if (!s.layers || !s.embedding || s.tensor_bytes > size || s.header_bytes > size ||
		s.kv_heads > s.heads || !s.vocab)
		DIE("accepted without sense");
}
