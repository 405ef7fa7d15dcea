/* tresor.conf: whatever it holds, each text stays terminated, each number inside its limits. */
#include <string.h>

#include "base/err.h"
#include "roles/config.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	static struct config c;
	struct err_info why = { 0 };
	size_t at = 0;
	struct config fresh;
	config_defaults(&fresh);
	config_defaults(&c);
	enum err e = config_parse(&c, (struct str){ (const char *)data, size }, &why);
	if (e && (e != ERR_INVALID || !why.detail[0]))
		DIE("refused without a reason");
	if (strnlen(c.listen, sizeof c.listen) == sizeof c.listen ||
		strnlen(c.name, sizeof c.name) == sizeof c.name ||
		strnlen(c.key, sizeof c.key) == sizeof c.key)
		DIE("a text without end");
	if (c.workers < 2 || c.workers > 256 || c.max_engines < 0 ||
		c.max_engines > 16)
		DIE("a number outside its limits");
	while (config_needs_restart(&fresh, &c, &at))
		;
}
