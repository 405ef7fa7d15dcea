/* A registry's manifest, its parameters, and names: first byte picks. */
#include "models/manifest.h"
#include "models/meta.h"
#include "tests/fuzz/fuzz.h"

static void manifest(struct str s)
{
	static struct manifest m, again;
	AUTO_BUF struct buf out = BUF(LIMIT_MANIFEST);
	if (manifest_read(s, &m, NULL))
		return;
	if (!manifest_find(&m, LAYER_MODEL) || m.n > MANIFEST_LAYERS_MAX + 1)
		DIE("accepted without a model");
	for (size_t i = 0; i < m.n; i++)
		if (!digest_ok(str_from(m.layer[i].digest)))
			DIE("a digest that is none");
	if (manifest_write(m.layer, m.n, &out) || manifest_read(buf_str(&out), &again, NULL) ||
		again.total != m.total)
		DIE("a manifest does not survive being written");
}

static void name(struct str s)
{
	struct model_name n, again;
	char text[LIMIT_MODEL_NAME + 1];
	if (name_parse(s, &n, NULL) || n.source == NAME_FILE)
		return;
	name_format(&n, text);
	if (name_parse(str_from(text), &again, NULL) || !name_eq(&n, &again))
		DIE("a name does not read back");
	name_path(&n, text);
	struct str rest = str_from(text), part;
	size_t parts = 0;
	while (str_next(&rest, '/', &part)) {
		parts++;
		if (!part.len || part.ptr[0] == '.')
			DIE("a path that leads elsewhere");
	}
	if (parts != 4)
		DIE("a path of the wrong depth");
}

FUZZ
{
	AUTO_JSON json_t *params = NULL;
	if (!size)
		return;
	struct str s = { (const char *)data + 1, size - 1 };
	if (data[0] % 3 == 0)
		manifest(s);
	else if (data[0] % 3 == 1)
		name(s);
	else
		(void)model_params_read(s, &params, NULL);
}
