/* engine.json of an engine build: what is taken has plain names, whole hashes, and an engine.so. */
#include "models/builds.h"
#include "models/name.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	static struct build_manifest m;
	struct err_info why = { 0 };
	bool module = false;
	enum err e = build_manifest_read((struct str){ (const char *)data, size }, &m, &why);
	if (e) {
		if (e != ERR_NOMEM && (e != ERR_CORRUPT || !why.detail[0]))
			DIE("refused without a reason");
		return;
	}
	if (!m.n || m.n > BUILD_FILES_MAX || !build_id_ok(str_from(m.version)))
		DIE("accepted what is no build");
	for (size_t i = 0; i < m.n; i++) {
		if (!build_id_ok(str_from(m.file[i].name)) ||
			!digest_ok(str_from(m.file[i].sha256)))
			DIE("a name or a hash that is none");
		module |= !strcmp(m.file[i].name, "engine.so");
	}
	if (!module)
		DIE("accepted without a module");
}
