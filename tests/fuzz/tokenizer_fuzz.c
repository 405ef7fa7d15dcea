/* Any bytes as a model's tokenizer.json: refused with a reason, or tokens that a GGUF holds. */
#include <string.h>

#include "models/convert_int.h"
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
	struct make_part part = { STR("tokenizer.json"), size, read_bytes, &bytes };
	struct convert_config c = { .vocab = 32, .types = 1 };
	struct err_info info = { 0 };
	struct gguf_out o;
	gguf_out_init(&o);
	enum err e = convert_tokens(&part, 1, &c, &o, &info);
	if (e && !info.detail[0])
		DIE("a refusal without a reason");
	AUTO_BUF struct buf head = BUF(GGUF_HEADER_MAX);
	if (!e && gguf_out_head(&o, &head))
		DIE("tokens that no file can hold");
	gguf_out_done(&o);
}
