/* A backup's list whose authenticity nobody has checked yet (backup_read_file reads one before
 * there is a key): only names that stay inside the folder may come out of it. */
#include "store/backup_int.h"
#include "tests/fuzz/fuzz.h"

FUZZ
{
	struct manifest *m = NULL;
	if (manifest_parse((struct str){ (const char *)data, size }, &m))
		return;
	for (size_t i = 0; i < m->n; i++) {
		const char *name = m->files[i].name;
		size_t n = strlen(name);
		if (!n || name[0] == '/' || strstr(name, "/../") || strstr(name, "//") ||
		    strncmp(name, "../", 3) == 0 || strcmp(name, "..") == 0 ||
		    (n > 2 && strcmp(name + n - 3, "/..") == 0))
			__builtin_trap();
	}
	manifest_free(m);
}
