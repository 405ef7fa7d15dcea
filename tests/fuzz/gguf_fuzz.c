/* Any bytes: a verdict with its reason; what is accepted makes sense, survives its JSON, and can be
 * told in words. */
#include <string.h>

#include "base/json.h"
#include "models/gguf.h"
#include "tests/fuzz/fuzz.h"

static enum err read_bytes(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	if (at > s->len || n > s->len - at)
		DIE("read beyond the end");
	memcpy(dst, s->ptr + at, n);
	return OK;
}

static void describe(struct str file, bool lists)
{
	AUTO_BUF struct buf out = BUF(GGUF_DESCRIPTION_MAX);
	AUTO_JSON json_t *doc = NULL;
	char why[GGUF_WHY_MAX];
	enum err e = gguf_describe(read_bytes, &file, file.len, lists, &out, why);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return;
	if (e)
		DIE("accepted, and cannot be told");
	if (json_read(buf_str(&out), GGUF_DESCRIPTION_MAX, 8, &doc, NULL) ||
		!json_is_object(json_object_get(doc, "info")))
		DIE("a description that is no JSON of ours");
}

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
	bool model = !s.projector && !s.adapter;
	if (s.tensor_bytes > size || s.header_bytes > size ||
		(model && (!s.layers || !s.embedding || s.kv_heads > s.heads || !s.vocab)))
		DIE("accepted without sense");
	describe((struct str){ (const char *)data, size }, true);
	describe((struct str){ (const char *)data, size }, false);
}
