/* Hex, base64 and base64url; first byte picks. What is taken has one spelling. */
#include "base/fault.h"
#include "base/hex.h"
#include "tests/fuzz/fuzz.h"

static void base64(struct str s, enum err (*decode)(struct str, struct buf *),
		   enum err (*encode)(struct buf *, const uint8_t *, size_t))
{
	AUTO_BUF struct buf plain = BUF(1 << 20), text = BUF(2 << 20);
	if (decode(s, &plain) != OK) {
		if (plain.len)
			DIE("bytes left behind by a refused text");
		return;
	}
	if (encode(&text, (const uint8_t *)plain.ptr, plain.len) != OK ||
	    !str_eq(buf_str(&text), s))
		DIE("two spellings of one value");
}

FUZZ
{
	if (size == 0)
		return;
	struct str s = { (const char *)data + 1, size - 1 };
	if (data[0] % 3 == 0) {
		base64(s, b64_decode, b64_add);
	} else if (data[0] % 3 == 1) {
		base64(s, b64url_decode, b64url_add);
	} else {
		uint8_t *dst = mem_alloc(s.len / 2);
		char *back = mem_alloc(s.len + 1);
		if (hex_decode(s, dst, s.len / 2) == OK) {
			hex_encode(dst, s.len / 2, back);
			if (!str_eq_nocase(str_from(back), s))
				DIE("hex does not come back");
		}
		mem_free(dst);
		mem_free(back);
	}
}
