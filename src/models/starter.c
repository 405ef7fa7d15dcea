#include "models/starter.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "os/fd.h"
#include "os/spawn.h"

/* The files as tools/deps makes them from the pinned packages; digests computed from those. */
static const struct starter table[] = {
	{ "smollm2", "smollm2.gguf",
		"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98362432,
		"SmolLM2 135M Instruct", "Apache-2.0" },
	{ "gemma3-270m", "gemma3-270m.gguf",
		"a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", 253113024,
		"Gemma 3 270M", "Gemma Terms of Use" },
};

const struct starter *starter_find(struct str name)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (str_eq_nocase(name, str_from(table[i].name)))
			return &table[i];
	return NULL;
}

const struct starter *starter_list(size_t *ret_n)
{
	*ret_n = sizeof table / sizeof *table;
	return table;
}

enum err starter_open(const struct starter *s, int *ret_fd)
{
	const char *const folders[] = { getenv("TRESOR_STARTER_DIR"), spawn_module_dir(),
		spawn_module_dir() };
	const char *const below[] = { "", "starter", "../../share/tresor/starter" };
	for (size_t i = 0; i < 3; i++) {
		char folder[PATH_MAX], path[PATH_MAX];
		if (!folders[i] || !*folders[i])
			continue;
		TRY(path_join(folder, sizeof folder, folders[i], below[i]));
		TRY(path_join(path, sizeof path, folder, s->file));
		if (!fd_open(path, O_RDONLY, 0, ret_fd))
			return OK;
	}
	return ERR_NOT_FOUND;
}
