/* JSON from outside. What is taken must come back the same after writing and reading again. */
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	struct str text = { (const char *)data, size };
	AUTO_JSON json_t *v = NULL, *again = NULL;
	AUTO_BUF struct buf out = BUF(16 << 20);
	struct jw w;
	if (json_read(text, 1 << 20, 64, &v, NULL) != OK)
		return;
	jw_init(&w, &out);
	jw_json(&w, v);
	if (out.err)
		DIE("a value that was read cannot be written");
	if (json_read(buf_str(&out), 16 << 20, 64, &again, NULL) != OK)
		DIE("what we write we cannot read");
	AUTO_BUF struct buf out2 = BUF(16 << 20);
	jw_init(&w, &out2);
	jw_json(&w, again);
	if (!str_eq(buf_str(&out), buf_str(&out2)))
		DIE("writing is not stable");
}
