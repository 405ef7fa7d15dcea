/* What is accepted is written back, reads again as the same, and a redirect gives a sane address.
 * */
#include <string.h>

#include "net/allow.h"
#include "tests/fuzz/fuzz.h"

static void check_again(const struct url *u)
{
	AUTO_BUF struct buf text = BUF(URL_MAX + 64);
	AUTO_BUF struct buf again = BUF(URL_MAX + 64);
	struct url v;
	if (url_add(u, &text))
		DIE("an address that was read cannot be written");
	if (text.len > URL_MAX)
		return; /* the port or a slash made it longer than what may be read */
	if (url_parse(buf_str(&text), &v, NULL) || url_add(&v, &again) ||
		!str_eq(buf_str(&text), buf_str(&again)))
		DIE("an address has two spellings");
	if (strcmp(u->host, v.host) != 0 || u->port != v.port || u->https != v.https)
		DIE("an address leads elsewhere when written again");
	if (!u->host[0] || strpbrk(u->host, "/\\@?#% ") || !u->path.len || u->path.ptr[0] != '/')
		DIE("parts that no address has");
}

FUZZ
{
	struct str s = { (const char *)data, size };
	struct url u, base;
	AUTO_BUF struct buf scratch = BUF(URL_MAX);
	static struct allow a;
	if (!url_parse(s, &u, NULL))
		check_again(&u);
	if (url_parse(STR("https://base.example:444/p"), &base, NULL))
		DIE("the base is good");
	if (!url_resolve(&base, s, &scratch, &u, NULL))
		check_again(&u);
	a.n = 0;
	(void)allow_add(&a, s, 443, false);
}
