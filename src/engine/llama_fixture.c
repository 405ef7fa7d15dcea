#include "engine/llama_fixture.h"

#include <fcntl.h>
#include <stdio.h>

#include "tests/test.h"

const char *const STARTERS[2] = { "smollm2", "gemma3-270m" };

int open_model(const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s.gguf", TRESOR_STARTER, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP("the starter models are not there");
	return fd;
}

struct gen_request ask(const char *input)
{
	struct gen_request g = { .kind = GEN_PROMPT, .input = str_from(input), .person = 1 };
	gen_sampling_defaults(&g.sampling);
	g.sampling.temperature = 0;
	g.sampling.num_predict = 48;
	return g;
}

struct drive *start(const char *name, uint32_t n_seq, uint32_t n_ctx, struct engine_info *info)
{
	struct drive *d = NULL;
	struct engine_info local;
	struct gen_failed why;
	struct engine_load load = { .n_seq = n_seq, .n_ctx = n_ctx, .n_threads = 2 };
	CHECK_OK(drive_start(open_model(name), &load, &d));
	enum err e = drive_ready(d, READY_MS, info ? info : &local, &why);
	if (e)
		FAIL("engine not ready: %s %.*s", err_slug(e), STR_ARG(why.detail));
	return d;
}

struct drive_answer run(struct drive *d, const struct gen_request *g)
{
	struct drive_answer a;
	CHECK_OK(drive_one(d, g, &a, WAIT_MS));
	if (a.failed)
		FAIL("failed: %.*s", STR_ARG(a.f.detail));
	return a;
}
