/* Hostile models: the engine refuses or dies alone; the tester is never taken along. */
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "engine/llama_fixture.h"
#include "os/fd.h"
#include "tests/test.h"

/* A copy of the model in memory, changed by `change`. */
static int changed_model(const char *name, size_t keep,
	void (*change)(char *p, size_t n, uint64_t arg), uint64_t arg)
{
	int from = open_model(name), fd = memfd_create("model", MFD_CLOEXEC);
	struct stat st;
	CHECK(fstat(from, &st) == 0);
	size_t n = keep && keep < (size_t)st.st_size ? keep : (size_t)st.st_size;
	CHECK(fd >= 0 && ftruncate(fd, (off_t)n) == 0);
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	CHECK_OK(fd_pread_full(from, p, n, 0));
	if (change)
		change(p, n, arg);
	munmap(p, n);
	close(from);
	return fd;
}

/* The engine must refuse, die, or be ready; never hang, and never take the tester along. */
static enum err try_model(int fd, char why_text[ERR_DETAIL_MAX])
{
	struct drive *d = NULL;
	struct engine_info info;
	struct gen_failed why = { 0 };
	struct engine_load load = { .n_seq = 1, .n_ctx = 512, .n_threads = 1 };
	CHECK_OK(drive_start(fd, &load, &d));
	enum err e = drive_ready(d, READY_MS, &info, &why);
	snprintf(why_text, ERR_DETAIL_MAX, "%.*s", STR_ARG(why.detail));
	int status;
	if (e == ERR_CLOSED && !drive_wait(d, 10000, &status))
		snprintf(why_text, ERR_DETAIL_MAX, "died: %s %d",
			WIFSIGNALED(status) ? "signal" : "exit",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	CHECK(e != ERR_TIMEOUT && e != ERR_PROTOCOL);
	if (e == ERR_MODEL_BAD)
		CHECK(str_starts(why.detail, STR("not a usable model: ")));
	drive_free(d);
	return e;
}

TEST_TIMEOUT(truncated_models_are_refused, 300)
{
	char why[ERR_DETAIL_MAX];
	static const size_t at[] = { 1, 3, 4, 7, 8, 20, 24, 30, 100, 1000, 5000, 50000, 400000,
		1000000, 1700000, 20000000, 90000000 };
	for (size_t i = 0; i < sizeof at / sizeof *at; i++)
		if (try_model(changed_model("smollm2", at[i], NULL, 0), why) != ERR_MODEL_BAD)
			FAIL("cut at %zu: %s", at[i], why);
	int empty = memfd_create("empty", MFD_CLOEXEC);
	CHECK_EQ_INT(try_model(empty, why), ERR_MODEL_BAD);
	CHECK(strlen(why) > strlen("not a usable model: "));
}

static uint64_t mix(uint64_t *x)
{
	*x = *x * 6364136223846793005u + 1442695040888963407u;
	return *x >> 24;
}

static void flip(char *p, size_t n, uint64_t seed)
{
	uint64_t x = seed * 77 + 5;
	size_t area = seed % 3 ? 1500 : 1700000; /* mostly the first keys: counts, types, sizes */
	for (int i = 0; i < 3; i++)
		p[mix(&x) % (area < n ? area : n)] ^= (char)(1 << mix(&x) % 8);
}

TEST_TIMEOUT(flipped_bits_in_the_header_never_reach_the_tester, 900)
{
	char why[ERR_DETAIL_MAX];
	unsigned ready = 0, refused = 0, died = 0;
	for (uint64_t i = 0; i < 60; i++) {
		enum err e = try_model(changed_model("smollm2", 0, flip, i), why);
		ready += !e;
		refused += e == ERR_MODEL_BAD;
		died += e && e != ERR_MODEL_BAD;
	}
	fprintf(stderr, "# 60 flipped headers: %u ready, %u refused, %u died\n", ready, refused,
		died);
	CHECK(ready + refused + died == 60);
}

/* Puts another template of the same length in the place of the model's. */
static const char *new_template;
static void swap_template(char *p, size_t n, uint64_t arg)
{
	(void)arg;
	static const char key[] = "tokenizer.chat_template";
	char *k = memmem(p, n < 4000000 ? n : 4000000, key, sizeof key - 1);
	CHECK(k);
	uint64_t len;
	memcpy(&len, k + sizeof key - 1 + 4, 8); /* type, then length */
	char *text = k + sizeof key - 1 + 4 + 8;
	CHECK(strlen(new_template) <= len);
	memset(text, ' ', len);
	memcpy(text, new_template, strlen(new_template));
}

TEST_TIMEOUT(a_template_that_never_ends_ends_only_its_engine, 120)
{
	static const char *const endless[] = {
		("{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) "
		 "%}{% set x = 1 %}{% endfor %}{% endfor %}{% endfor %}"),
		"{% for a in range(2000000000) %}x{% endfor %}",
		"{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(1) }}",
	};
	for (size_t i = 0; i < 3; i++) {
		char why[ERR_DETAIL_MAX];
		new_template = endless[i];
		int64_t from = time_mono_ms();
		enum err e = try_model(changed_model("smollm2", 0, swap_template, 0), why);
		fprintf(stderr, "# %s: %s %s (%lld ms)\n", endless[i], err_slug(e), why,
			(long long)(time_mono_ms() - from));
		CHECK(time_mono_ms() - from < 30000);
		if (i == 0)
			CHECK_EQ_Z(why,
				"not a usable model: its chat template does not come to an end");
	}
}

TEST_TIMEOUT(a_template_that_fails_leaves_plain_completion, 60)
{
	new_template = "{{ raise_exception('no') }}";
	struct drive *d = NULL;
	struct engine_info info;
	struct gen_failed why;
	struct engine_load load = { .n_seq = 1, .n_threads = 2 };
	CHECK_OK(drive_start(changed_model("smollm2", 0, swap_template, 0), &load, &d));
	CHECK_OK(drive_ready(d, READY_MS, &info, &why));
	CHECK(!info.has_template);
	struct gen_request g = ask("[{\"role\":\"user\",\"content\":\"x\"}]");
	struct drive_answer a;
	g.kind = GEN_CHAT;
	CHECK_OK(drive_one(d, &g, &a, WAIT_MS));
	CHECK_EQ_INT(a.f.code, ERR_UNSUPPORTED);
	drive_answer_done(&a);
	g = ask("Once upon");
	a = run(d, &g);
	CHECK(a.n_tokens > 0);
	drive_answer_done(&a);
	drive_free(d);
}
