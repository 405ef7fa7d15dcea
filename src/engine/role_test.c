/* The engine with real models as its role runs it: sandboxed child, messages over socket pairs.
 * Greedy answers are compared with a bare loop over libllama. */
#include "engine/engine.h"

#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/time.h"
#include "engine/llama/backend.h"
#include "engine/llama_fixture.h"
#include "os/fd.h"
#include "tests/test.h"

TEST_TIMEOUT(ready_tells_measured_facts_and_the_child_is_locked, 60)
{
	struct engine_info i;
	struct drive *d = start("smollm2", 0, 0, &i);
	CHECK_EQ_INT(i.n_seq, 24);
	CHECK_EQ_INT(i.n_ctx, 8192);
	CHECK_EQ_INT(i.n_ctx_train, 8192);
	CHECK_EQ_INT(i.n_vocab, 49152);
	/* 30 layers, K and V, 3 heads of 64 values of 2 bytes; two pools of 8192 cells and 8
	 * streams of 2048 */
	CHECK_EQ_INT(i.kv_bytes, 30ull * 2 * 3 * 64 * 2 * (2 * 8192 + 8 * 2048));
	CHECK(i.model_bytes > 80u << 20);
	CHECK(i.has_template && !i.gpu);
	CHECK_EQ_STR(i.architecture, STR("llama"));
	CHECK(str_starts(i.build, STR("llama.cpp ")));
	char path[64];
	AUTO_BUF struct buf status = BUF(1 << 16);
	snprintf(path, sizeof path, "/proc/%d/status", drive_pid(d));
	CHECK_OK(file_read(path, &status));
	CHECK(str_find(buf_str(&status), STR("NoNewPrivs:\t1"), 0) != SIZE_MAX);
	CHECK(str_find(buf_str(&status), STR("Seccomp:\t2"), 0) != SIZE_MAX);
	drive_free(d);
}

/* The plainest loop over the library: no scheduler, no text, no IPC. */
static void bare_greedy(const char *model, const char *prompt, struct tokens *out, size_t n)
{
	struct llama_model_params mp = llama_model_default_params();
	FILE *f = fdopen(open_model(model), "rb");
	llama_backend_prepare(NULL, 0);
	struct llama_model *m = llama_model_load_from_file_ptr(f, mp);
	fclose(f);
	CHECK(m);
	struct llama_context_params cp = llama_context_default_params();
	cp.n_ctx = 4096;
	cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED; /* as the engine answers on a CPU */
	cp.n_threads = cp.n_threads_batch = 2;
	struct llama_context *c = llama_init_from_model(m, cp);
	CHECK(c);
	const struct llama_vocab *v = llama_model_get_vocab(m);
	struct llama_sampler *s = llama_sampler_chain_init(llama_sampler_chain_default_params());
	llama_sampler_chain_add(
		s, llama_sampler_init_penalties(llama_vocab_n_tokens(v), 64, 1.1f, 0, 0));
	llama_sampler_chain_add(s, llama_sampler_init_greedy());
	int32_t t[512];
	int k = llama_tokenize(v, prompt, (int32_t)strlen(prompt), t, 512, true, true);
	CHECK(k > 0);
	for (int i = 0; i < k; i++)
		llama_sampler_accept(s, t[i]);
	CHECK_EQ_INT(llama_decode(c, llama_batch_get_one(t, k)), 0);
	while (out->n < n) {
		int32_t id = llama_sampler_sample(s, c, -1);
		if (llama_vocab_is_eog(v, id))
			break;
		CHECK_OK(tokens_add(out, &id, 1));
		CHECK_EQ_INT(llama_decode(c, llama_batch_get_one(&id, 1)), 0);
	}
	llama_sampler_free(s);
	llama_free(c);
	llama_model_free(m);
}

TEST_TIMEOUT(greedy_tokens_are_those_of_a_bare_loop, 900)
{
	static const char *const prompts[] = { "Once upon a time",
		"def fibonacci(n):", "The capital of France is" };
	for (size_t k = 0; k < 2; k++) {
		struct drive *d =
			start(STARTERS[k], 0, 0, NULL); /* before this process has threads */
		struct drive_answer a[3];
		for (size_t i = 0; i < 3; i++) {
			struct gen_request g = ask(prompts[i]);
			g.strict = true; /* pieces as the bare loop's, no drafts */
			a[i] = run(d, &g);
		}
		drive_free(d);
		for (size_t i = 0; i < 3; i++) {
			AUTO_TOKENS struct tokens want = { 0 };
			bare_greedy(STARTERS[k], prompts[i], &want, 48);
			CHECK_EQ_INT(a[i].n_tokens, want.n);
			for (size_t j = 0; j < want.n; j++)
				CHECK_EQ_INT(a[i].tokens[j], want.v[j]);
			drive_answer_done(&a[i]);
		}
	}
}

TEST_TIMEOUT(strict_gives_the_same_bytes_whatever_runs_around_it, 900)
{
	for (size_t k = 0; k < 2; k++) {
		struct drive *d = start(STARTERS[k], 0, 0, NULL);
		struct gen_request s =
			ask("Tell me a story about a lighthouse and the sea, please.");
		s.strict = true;
		s.sampling.temperature = 1.2f;
		s.sampling.num_predict = 60;
		struct drive_answer first = run(d, &s);
		CHECK_EQ_INT(first.b.seed, 0);
		for (int round = 0; round < 3; round++) {
			struct drive_answer a[6] = { 0 };
			struct gen_request g = ask("Noise that differs: what is a");
			for (uint64_t i = 0; i < 6; i++) {
				g.person = i;
				g.sampling.temperature = 1;
				g.sampling.num_predict = 10 + 7 * (int)i + round;
				CHECK_OK(drive_ask(d, i, i == 3 ? &s : &g));
			}
			CHECK_OK(drive_collect(d, a, 0, 6, WAIT_MS));
			CHECK_EQ_STR(buf_str(&a[3].text), buf_str(&first.text));
			CHECK_EQ_INT(a[3].b.cached_tokens, 0);
			for (int i = 0; i < 6; i++)
				drive_answer_done(&a[i]);
		}
		/* A resumed strict request computes as the first run did: the same bytes at any
		 * temperature. */
		for (size_t cut = 1; cut < first.n_tokens; cut += 13) {
			s.resume = first.tokens;
			s.n_resume = cut;
			struct drive_answer r = run(d, &s);
			CHECK_EQ_STR(buf_str(&r.text), buf_str(&first.text));
			CHECK_EQ_INT(r.n_tokens, first.n_tokens - cut);
			drive_answer_done(&r);
		}
		drive_answer_done(&first);
		drive_free(d);
	}
}

TEST_TIMEOUT(a_resumed_answer_goes_on_identically_at_temperature_0, 600)
{
	struct drive *d = start("smollm2", 0, 0, NULL);
	struct gen_request g = ask("Die Hauptstadt von Deutschland und ihre Geschichte:");
	struct drive_answer whole = run(d, &g);
	CHECK(whole.n_tokens > 30);
	for (size_t cut = 1; cut < whole.n_tokens; cut += 7) {
		g.resume = whole.tokens;
		g.n_resume = cut;
		struct drive_answer r = run(d, &g);
		CHECK_EQ_STR(buf_str(&r.text), buf_str(&whole.text));
		CHECK_EQ_INT(r.n_tokens + cut, whole.n_tokens);
		drive_answer_done(&r);
	}
	drive_answer_done(&whole);
	drive_free(d);
}

TEST_TIMEOUT(a_second_turn_reads_only_what_is_new, 600)
{
	for (size_t k = 0; k < 2; k++) {
		struct drive *d = start(STARTERS[k], 0, 0, NULL);
		char talk[8192], next[16384];
		snprintf(talk, sizeof talk,
			"[{\"role\":\"user\",\"content\":\"Name three colours.%.*s\"}]", 1500,
			" And do not forget that the answer has to be short, friendly and true. "
			"And do not forget that "
			"the answer has to be short, friendly and true. And do not forget that "
			"it is about colours only.");
		struct gen_request g = ask(talk);
		g.kind = GEN_CHAT;
		struct drive_answer one = run(d, &g);
		CHECK_EQ_INT(one.b.cached_tokens, 0);
		AUTO_BUF struct buf content = BUF(10000);
		CHECK_OK(json_add_str(&content, buf_str(&one.text)));
		snprintf(next, sizeof next,
			"%.*s,{\"role\":\"assistant\",\"content\":%.*s},"
				"{\"role\":\"user\",\"content\":\"More.\"}]",
			(int)strlen(talk) - 1, talk, STR_ARG(buf_str(&content)));
		g.input = str_from(next);
		g.person = 2;
		struct drive_answer other = run(d, &g);
		CHECK_EQ_INT(other.b.cached_tokens, 0); /* never somebody else's */
		g.person = 1;
		struct drive_answer two = run(d, &g);
		CHECK(two.b.cached_tokens >= one.b.prompt_tokens);
		CHECK(two.b.prompt_tokens > two.b.cached_tokens);
		struct drive_answer count;
		CHECK_OK(drive_count(d, 500, &g));
		count = (struct drive_answer){ 0 };
		CHECK_OK(drive_collect(d, &count, 500, 1, WAIT_MS));
		CHECK_EQ_INT(count.counted, two.b.prompt_tokens);
		drive_answer_done(&one), drive_answer_done(&two), drive_answer_done(&other);
		drive_free(d);
	}
}

TEST_TIMEOUT(schemas_are_kept_and_bad_ones_refused, 600)
{
	static const char schema[] =
		"{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\","
			"\"maxLength\":20},"
		"\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":150},"
			"\"tags\":{\"type\":\"array\",\"maxItems\":3,"
		"\"items\":{\"enum\":[\"a\",\"b\"]}}},\"required\":[\"name\",\"age\",\"tags\"],"
			"\"additionalProperties\":false}";
	for (size_t k = 0; k < 2; k++) {
		struct drive *d = start(STARTERS[k], 0, 0, NULL);
		for (int t = 0; t < 4; t++) {
			struct gen_request g = ask(
				"[{\"role\":\"user\",\"content\":\"Describe a person as JSON.\"}]");
			g.kind = GEN_CHAT;
			g.schema = str_from(schema);
			g.sampling.temperature = (float)t * 0.6f;
			g.sampling.seed = t;
			g.sampling.num_predict = 400;
			if (t == 3)
				g.sampling.top_k = 0, g.sampling.top_p = 1;
			struct drive_answer a = run(d, &g);
			AUTO_JSON json_t *v = NULL;
			int64_t age = -1;
			struct str name = STR_NONE;
			json_t *tags = NULL;
			CHECK_EQ_INT(a.d.reason, GEN_STOP);
			CHECK_OK(json_read(buf_str(&a.text), 10000, 8, &v, NULL));
			CHECK_OK(json_want_i64(v, "age", true, 0, 150, &age, NULL));
			CHECK_OK(json_want_str(v, "name", true, &name, NULL));
			CHECK_OK(json_want_arr(v, "tags", true, &tags, NULL));
			CHECK_EQ_INT(json_object_size(v), 3);
			drive_answer_done(&a);
		}
		struct gen_request any = ask("An object with a key: ");
		any.schema = STR("json");
		any.sampling.num_predict = 300;
		struct drive_answer a = run(d, &any);
		CHECK(a.text.len && a.text.ptr[0] == '{');
		drive_answer_done(&a);
		static const char *const bad[] = {
			"{",
			"[]",
			"{}",
			"17",
			"{\"type\":\"nonsense\"}",
			"{\"$ref\":\"#/nowhere\"}",
			"{\"type\":\"string\",\"pattern\":\"((((\"}",
		};
		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			any.schema = str_from(bad[i]);
			CHECK_OK(drive_one(d, &any, &a, WAIT_MS));
			if (!a.failed || (a.f.code != ERR_INVALID && a.f.code != ERR_BAD_JSON))
				FAIL("schema %s was taken", bad[i]);
			drive_answer_done(&a);
		}
		drive_free(d);
	}
}

TEST_TIMEOUT(limits_and_errors_reach_the_server, 60)
{
	struct drive *d = start("smollm2", 2, 1024, NULL);
	char *longer = malloc(60001);
	for (int i = 0; i < 60000; i++)
		longer[i] = i % 5 == 4 ? ' ' : (char)('a' + i % 7);
	longer[60000] = 0;
	struct gen_request g = ask(longer);
	struct drive_answer a;
	CHECK_OK(drive_one(d, &g, &a, WAIT_MS));
	CHECK(a.failed);
	CHECK_EQ_INT(a.f.code, ERR_CONTEXT);
	CHECK_EQ_INT(a.f.context_tokens, 1024);
	CHECK(a.f.prompt_tokens > 10000);
	drive_answer_done(&a);
	g = ask("hello");
	g.sampling.top_p = 7;
	CHECK_OK(drive_one(d, &g, &a, WAIT_MS));
	CHECK_EQ_INT(a.f.code, ERR_INVALID);
	drive_answer_done(&a);
	g = ask("Count: one two three four five six");
	g.stop[0] = STR(" eight");
	g.n_stop = 1;
	g.sampling.repeat_penalty = 1;
	a = run(d, &g);
	CHECK(str_find(buf_str(&a.text), STR("eight"), 0) == SIZE_MAX);
	CHECK_EQ_INT(a.d.reason, GEN_STOP);
	drive_answer_done(&a);
	free(longer);
	drive_free(d);
}

TEST_TIMEOUT(a_cancel_and_a_lost_server_free_the_engine, 60)
{
	struct drive *d = start("smollm2", 2, 0, NULL);
	struct gen_request g = ask("Tell me everything");
	g.sampling.num_predict = 3000;
	g.sampling.repeat_penalty = 1.3f;
	struct drive_answer a = { 0 };
	CHECK_OK(drive_ask(d, 1, &g));
	usleep(300000);
	int64_t from = time_mono_ns();
	CHECK_OK(drive_cancel(d, 1));
	CHECK_OK(drive_collect(d, &a, 1, 1, WAIT_MS));
	CHECK_EQ_INT(a.d.reason, GEN_CANCELLED);
	CHECK(a.n_tokens > 0 && time_mono_ns() - from < 2000 * 1000000LL);
	drive_answer_done(&a);
	for (uint64_t id = 2; id < 8; id++)
		CHECK_OK(drive_ask(d, id, &g));
	CHECK_OK(drive_reattach(d));
	g.sampling.num_predict = 5;
	a = run(d, &g); /* ids of the old server are gone, slots are free */
	CHECK_EQ_INT(a.n_tokens, 5);
	drive_answer_done(&a);
	/* Nonsense from the server costs it its channel and nothing else. */
	struct ipc_out m;
	ipc_out_init(&m, GEN_START, 77);
	ipc_put_str(&m, STR("nonsense"));
	CHECK_OK(ipc_send(drive_server(d), &m));
	ipc_out_done(&m);
	struct ipc_in in = { 0 };
	enum err e;
	while ((e = ipc_recv_wait(drive_server(d), 5000, &in)) == OK)
		ipc_in_done(&in);
	ipc_in_done(&in);
	CHECK_EQ_INT(e, ERR_CLOSED);
	CHECK_OK(drive_reattach(d));
	a = run(d, &g);
	CHECK_EQ_INT(a.n_tokens, 5);
	drive_answer_done(&a);
	int status;
	CHECK_OK(drive_shutdown(d));
	CHECK_OK(drive_wait(d, 5000, &status));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	drive_free(d);
}

TEST_TIMEOUT(many_at_once_all_get_whole_answers, 120)
{
	struct drive *d = start("smollm2", 4, 0, NULL);
	enum { N = 24 };
	struct drive_answer a[N] = { 0 };
	for (uint64_t i = 0; i < N; i++) {
		struct gen_request g = ask(
			"[{\"role\":\"user\",\"content\":\"Grüße! Sag etwas mit Ümläuten 🙂\"}]");
		g.kind = GEN_CHAT;
		g.person = i % 5;
		g.sampling.temperature = 1;
		g.sampling.seed = (int64_t)i;
		g.sampling.num_predict = 10 + (int)i;
		CHECK_OK(drive_ask(d, i, &g));
	}
	CHECK_OK(drive_collect(d, a, 0, N, WAIT_MS));
	for (uint64_t i = 0; i < N; i++) {
		CHECK(a[i].done && str_is_utf8(buf_str(&a[i].text)));
		CHECK(a[i].n_tokens <= 10 + i && a[i].d.answer_tokens == a[i].n_tokens);
		drive_answer_done(&a[i]);
	}
	drive_free(d);
}
