/* Any Modelfile: reading ends, names the place of a mistake, and what was read survives being
 * printed. */
#include "models/modelfile.h"

#include "base/fault.h"
#include "tests/fuzz/fuzz.h"

static bool same(const struct modelfile *a, const struct modelfile *b)
{
	if (modelfile_count(a) != modelfile_count(b))
		return false;
	for (size_t i = 0; i < modelfile_count(a); i++) {
		const struct modelfile_cmd *x = modelfile_get(a, i), *y = modelfile_get(b, i);
		if (x->kind != y->kind || !str_eq(x->name, y->name) || !str_eq(x->value, y->value))
			return false;
	}
	return true;
}

FUZZ
{
	AUTO(modelfile) struct modelfile *m = NULL;
	AUTO(modelfile) struct modelfile *again = NULL;
	AUTO_JSON json_t *params = NULL;
	AUTO_BUF struct buf out = BUF(4 * LIMIT_MODELFILE);
	struct err_info info = { 0 };
	enum err e = modelfile_parse((struct str){ (const char *)data, size }, &m, &info);
	if (e && e != ERR_INVALID && e != ERR_LIMIT && e != ERR_NOMEM)
		DIE("an error that is not in the contract");
	if (e && e != ERR_NOMEM && (info.code != e || !str_is_utf8(str_from(info.detail))))
		DIE("an error without a reason");
	if (e)
		return;
	if (!modelfile_find(m, MODELFILE_FROM) || modelfile_params(m, &params))
		DIE("accepted without what it needs");
	if (modelfile_print(m, &out, NULL) || modelfile_parse(buf_str(&out), &again, NULL) ||
		!same(m, again))
		DIE("does not survive being printed");
}
