/* Any two files as the parts of one model, the first byte says where the second begins: refused
 * with a reason, or bytes for which the check has a verdict. */
#include <string.h>

#include "models/merge.h"
#include "tests/fuzz/fuzz.h"

static enum err read_bytes(void *arg, uint64_t at, void *dst, size_t n)
{
	const struct str *s = arg;
	if (at > s->len || n > s->len - at)
		DIE("it reads beyond the file");
	memcpy(dst, s->ptr + at, n);
	return OK;
}

static enum err keep(void *arg, const void *p, size_t n)
{
	return buf_add(arg, (struct str){ p, n });
}

static enum err go_on(void *arg, uint64_t done, uint64_t all)
{
	(void)arg;
	return done <= all ? OK : ERR_INTERNAL;
}

FUZZ
{
	if (!size)
		return;
	size_t half = 1 + (size - 1) * data[0] / 256;
	struct str text[2] = { { (const char *)data + 1, half - 1 },
		{ (const char *)data + half, size - half } };
	struct make_part part[2] = { { .size = text[0].len, .read = read_bytes, .arg = &text[0] },
		{ .size = text[1].len, .read = read_bytes, .arg = &text[1] } };
	AUTO_BUF struct buf out = BUF(1 << 20);
	struct make_sink sink = { keep, go_on, &out };
	struct err_info info = { 0 };
	struct gguf_summary s;
	char why[GGUF_WHY_MAX];
	enum err e = merge_run(part, 2, &sink, &info);
	if (e == ERR_INTERNAL || (e == ERR_MODEL_BAD && !info.detail[0]))
		DIE("a refusal without a reason");
	if (!e && gguf_check_bytes(buf_str(&out), &s, why) && !why[0])
		DIE("a refusal without a reason");
}
