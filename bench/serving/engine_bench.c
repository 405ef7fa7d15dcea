/* Drives one engine over its IPC for bench/serving/compare.py: reads requests from standard input,
 * one JSON object a line ({"prompt", "n_predict", "person", "seed", "temperature", "text"}),
 * answers
 * with one a line: {"ttft_ms", "answer_ms", "tokens", "prompt_tokens", "cached_tokens"}. Several
 * requests in an array run at the same time and give an array. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/time.h"
#include "engine/drive.h"

enum { TOGETHER_MAX = 64, LINE_MAX_BYTES = 8 << 20 };

static enum err read_request(const json_t *o, struct gen_request *g)
{
	int64_t n = 64, person = 1, seed = 1;
	double temperature = 0;
	bool chat = false, strict = false;
	*g = (struct gen_request){ 0 };
	gen_sampling_defaults(&g->sampling);
	TRY(json_want_str(o, "prompt", true, &g->input, NULL));
	TRY(json_want_str(o, "schema", false, &g->schema, NULL));
	TRY(json_want_i64(o, "n_predict", false, -2, 1 << 20, &n, NULL));
	TRY(json_want_i64(o, "person", false, 0, INT64_MAX, &person, NULL));
	TRY(json_want_i64(o, "seed", false, -1, INT64_MAX, &seed, NULL));
	TRY(json_want_f64(o, "temperature", false, 0, 10, &temperature, NULL));
	TRY(json_want_bool(o, "chat", false, &chat, NULL));
	TRY(json_want_bool(o, "strict", false, &strict, NULL));
	g->kind = chat ? GEN_CHAT : GEN_PROMPT;
	g->strict = strict;
	g->person = (uint64_t)person;
	g->sampling.num_predict = (int32_t)n;
	g->sampling.seed = seed;
	g->sampling.temperature = (float)temperature;
	return OK;
}

static void write_answer(struct jw *w, const struct drive_answer *a, bool text)
{
	jw_obj(w);
	jw_kbool(w, "ok", a->done);
	if (a->failed)
		jw_kstr(w, "error", a->f.detail);
	jw_kf64(w, "ttft_ms", (double)(a->first_ns - a->sent_ns) / 1e6);
	jw_kf64(w, "answer_ms", (double)(a->last_ns - a->first_ns) / 1e6);
	jw_ki64(w, "tokens", (int64_t)a->n_tokens);
	jw_ki64(w, "prompt_tokens", a->b.prompt_tokens);
	jw_ki64(w, "cached_tokens", a->b.cached_tokens);
	if (text)
		jw_kstr(w, "text", buf_str(&a->text));
	jw_end(w);
}

static int run_line(struct drive *d, struct str line, uint64_t *id)
{
	static struct drive_answer a[TOGETHER_MAX];
	AUTO_JSON json_t *all = NULL;
	struct gen_request g;
	if (json_read(line, LINE_MAX_BYTES, 16, &all, NULL))
		return 2;
	bool many = json_is_array(all);
	size_t n = many ? json_array_size(all) : 1;
	if (n > TOGETHER_MAX)
		return 2;
	for (size_t i = 0; i < n; i++) {
		drive_answer_done(&a[i]);
		if (read_request(many ? json_array_get(all, i) : all, &g))
			return 2;
		a[i].sent_ns = time_mono_ns();
		if (drive_ask(d, *id + i, &g))
			return 1;
	}
	if (drive_collect(d, a, *id, n, 600000))
		return 1;
	*id += n;
	AUTO_BUF struct buf out = BUF(64 << 20);
	struct jw w;
	jw_init(&w, &out);
	if (many)
		jw_arr(&w);
	for (size_t i = 0; i < n; i++)
		write_answer(&w, &a[i], true);
	if (many)
		jw_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&out)));
	fflush(stdout);
	return 0;
}

static uint64_t number(const char *text)
{
	uint64_t n = 0;
	return str_to_u64(str_from(text), &n) ? 0 : n;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: engine_bench MODEL.gguf [threads [n_seq [n_ctx]]]\n");
		return 2;
	}
	struct engine_load load = { .n_threads =
					    argc > 2 ? (uint32_t)number(argv[2]) : 0,
		.n_seq = argc > 3 ? (uint32_t)number(argv[3]) : 0,
		.n_ctx = argc > 4 ? (uint32_t)number(argv[4]) : 0 };
	AUTO(drive) struct drive *d = NULL;
	struct engine_info info;
	struct gen_failed why;
	int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || drive_start(fd, &load, &d) || drive_ready(d, 120000, &info, &why)) {
		fprintf(stderr, "engine_bench: engine not ready: %.*s\n", STR_ARG(why.detail));
		return 1;
	}
	printf("{\"n_ctx\":%u,\"n_seq\":%u,\"n_threads\":%u,\"kv_bytes\":%llu,"
		"\"build\":\"%.*s\"}\n",
		info.n_ctx, info.n_seq, info.n_threads, (unsigned long long)info.kv_bytes,
		STR_ARG(info.build));
	fflush(stdout);
	char *line = NULL;
	size_t cap = 0;
	uint64_t id = 1;
	int rc = 0;
	for (ssize_t n; !rc && (n = getline(&line, &cap, stdin)) > 0;)
		rc = run_line(d, (struct str){ line, (size_t)n }, &id);
	free(line);
	return rc;
}
