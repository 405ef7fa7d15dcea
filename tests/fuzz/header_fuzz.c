/* Headers of foreign servers: what is taken keeps its promise, and an address to ask for a token
 * is one that the URL parser takes. */
#include "net/header.h"
#include "net/url.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	struct str text = { (const char *)data, size }, rest = text, line, name, value;
	AUTO_BUF struct buf out = BUF(URL_MAX);
	uint64_t from = 0, to = 0;
	int64_t whole = 0;
	struct url u;
	while (str_next(&rest, '\n', &line)) {
		if (header_line_read(line, &name, &value) &&
			(!name.len || str_has_control(value) || !str_is_utf8(value)))
			DIE("a header that promises break");
		if (header_content_range(line, &from, &to, &whole) && (from >= to || whole < -1))
			DIE("an impossible range");
		out.len = 0;
		if (!header_token_url(line, &out) && url_parse(buf_str(&out), &u, NULL))
			DIE("an address that is none");
	}
}
