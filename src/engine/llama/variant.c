#include "engine/llama/variant.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

enum { MODULES_MAX = 32 };
#define PREFIX "libggml-cpu-"

struct module {
	char name[64];
	int score; /* 0: not for this machine */
};

static int score_of(const char *dir, const char *name)
{
	char path[4096];
	int (*score)(void) = NULL;
	if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
		return 0;
	void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return 0;
	void *symbol = dlsym(lib, "ggml_backend_score");
	if (symbol)
		memcpy(&score, &symbol, sizeof score);
	int n = score ? score() : 0;
	(void)dlclose(lib);
	return n;
}

static int is_module(const char *name)
{
	size_t n = strlen(name);
	return n > 3 && n < sizeof((struct module *)0)->name &&
	       !strncmp(name, PREFIX, strlen(PREFIX)) && !strcmp(name + n - 3, ".so");
}

static int better_first(const void *a, const void *b)
{
	const struct module *x = a, *y = b;
	return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
				    : strcmp(x->name, y->name);
}

int variant_find(const char *dir, unsigned long less, char *ret, size_t size)
{
	struct module v[MODULES_MAX];
	size_t n = 0;
	DIR *d = opendir(dir);
	if (!d)
		return 0;
	for (struct dirent *e; n < MODULES_MAX && (e = readdir(d));) {
		if (!is_module(e->d_name))
			continue;
		(void)!!str_copy(str_from(e->d_name), v[n].name, sizeof v[n].name);
		v[n].score = score_of(dir, e->d_name);
		n += v[n].score > 0;
	}
	(void)closedir(d);
	if (!n)
		return 0;
	qsort(v, n, sizeof *v, better_first);
	const struct module *m = &v[less < n ? less : n - 1];
	return snprintf(ret, size, "%s/%s", dir, m->name) < (int)size;
}

unsigned long variant_less(void)
{
	const char *s = getenv("TRESOR_CPU_LESS");
	uint64_t n = 0;
	return s && !str_to_u64(str_from(s), &n) ? (unsigned long)n : 0;
}
