#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEEDS_MAX = 4096, INPUT_MAX = 1 << 20, CUTS = 16, HANG_S = 20 };

struct seed {
	uint8_t *data;
	size_t size;
};
static struct seed seeds[SEEDS_MAX];
static size_t n_seeds;
/* What runs now, for the crash handler. */
static const uint8_t *now_data;
static size_t now_size;

static void on_crash(int sig)
{
	int fd = open("fuzz-crash.bin", O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd >= 0 && write(fd, now_data, now_size) >= 0)
		(void)close(fd);
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

static void one(const uint8_t *data, size_t size)
{
	/* An exact-size copy, so that a sanitizer sees the first byte read too far. */
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	now_data = copy;
	now_size = size;
	(void)alarm(HANG_S);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void load_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);
	if (!f || !data || n_seeds == SEEDS_MAX) {
		fprintf(stderr, "cannot take seed %s\n", path);
		exit(1);
	}
	seeds[n_seeds].size = fread(data, 1, INPUT_MAX, f);
	seeds[n_seeds++].data = data;
	(void)fclose(f);
}

static void load(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0) {
		perror(path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode)) {
		load_file(path);
		return;
	}
	struct dirent **list;
	int n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char sub[1024];
		(void)snprintf(sub, sizeof sub, "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			load(sub);
		free(list[i]);
	}
	free(n < 0 ? NULL : list);
}

static uint64_t rng;
static size_t pick(size_t n)
{
	rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
	return n ? rng % n : 0;
}

static void mutate_once(uint8_t *d, size_t *size)
{
	static const uint8_t edge[] = { 0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{', '[', ',', '\n' };
	size_t at = pick(*size), n = 1 + pick(16);
	switch (pick(6)) {
	case 0:
		d[at] ^= (uint8_t)(1u << pick(8));
		break;
	case 1:
		d[at] = edge[pick(sizeof edge)];
		break;
	case 2: /* cut the end */
		*size = at;
		break;
	case 3: /* remove a piece */
		n = n < *size - at ? n : *size - at;
		memmove(d + at, d + at + n, *size - at - n);
		*size -= n;
		break;
	case 4: /* repeat a piece */
		n = n < *size - at ? n : *size - at;
		if (*size + n > INPUT_MAX)
			return;
		memmove(d + at + n, d + at, *size - at);
		*size += n;
		break;
	default: { /* overwrite with a piece of another seed */
		const struct seed *s = &seeds[pick(n_seeds)];
		size_t from = pick(s->size);
		n = n < s->size - from ? n : s->size - from;
		n = n < *size - at ? n : *size - at;
		memcpy(d + at, s->data + from, n);
	}
	}
}

static void mutate(unsigned long rounds, uint64_t seed)
{
	uint8_t *d = malloc(INPUT_MAX);
	if (!d)
		abort();
	rng = seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned long i = 0; i < rounds && n_seeds > 0; i++) {
		const struct seed *s = &seeds[pick(n_seeds)];
		size_t size = s->size;
		memcpy(d, s->data, size);
		for (size_t k = 1 + pick(4); k > 0 && size > 0; k--)
			mutate_once(d, &size);
		one(d, size);
	}
	free(d);
}

int main(int argc, char **argv)
{
	unsigned long rounds = 0, seed = 1;
	for (int sig = 1; sig < 32; sig++)
		if (sig == SIGSEGV || sig == SIGABRT || sig == SIGBUS || sig == SIGALRM ||
		    sig == SIGFPE || sig == SIGILL)
			(void)signal(sig, on_crash);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--mutate") == 0 && i + 1 < argc) {
			if (sscanf(argv[++i], "%lu", &rounds) != 1)
				return 2;
			if (i + 1 < argc && sscanf(argv[i + 1], "%lu", &seed) == 1)
				i++;
		} else {
			load(argv[i]);
		}
	}
	if (n_seeds == 0) {
		fprintf(stderr, "no seeds given\n");
		return 1;
	}
	one((const uint8_t *)"", 0);
	for (size_t i = 0; i < n_seeds; i++) {
		one(seeds[i].data, seeds[i].size);
		for (size_t c = 1; c < CUTS; c++)
			one(seeds[i].data, seeds[i].size * c / CUTS);
	}
	mutate(rounds, seed);
	printf("%zu seeds, %lu changes: nothing crashed\n", n_seeds, rounds);
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].data);
	return 0;
}
