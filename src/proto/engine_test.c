#include "proto/engine.h"

#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"

static struct ipc *a, *b;

static void set_up(void)
{
	int fd[2];
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &a));
	CHECK_OK(ipc_new(fd[1], &b));
}

/* Sends `o` and receives it at the other end. */
static void pass(struct ipc_out *o, struct ipc_in *i)
{
	if (!a)
		set_up();
	CHECK_OK(ipc_send(a, o));
	CHECK_OK(ipc_recv(b, i));
}

TEST(load_comes_through_with_its_descriptor)
{
	struct engine_load l = { .model_fd = dup(2),
		.n_cards = 2,
		.card = { { "vulkan:1", 600 }, { "vulkan:0", 400 } },
		.n_ctx = 4096,
		.n_seq = 8,
		.n_threads = 2,
		.n_batch = 512,
		.n_ubatch = 256,
		.n_gpu_layers = -1 },
			   got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, ENGINE_LOAD, 0);
	engine_load_put(&o, &l);
	CHECK_EQ_INT(l.model_fd, -1);
	pass(&o, &i);
	CHECK_OK(engine_load_get(&i, &got));
	CHECK(fcntl(got.model_fd, F_GETFD) >= 0);
	CHECK(got.n_cards == 2 && got.card[0].share == 600 && got.card[1].share == 400);
	CHECK_EQ_Z(got.card[0].id, "vulkan:1");
	CHECK(got.n_ctx == 4096 && got.n_seq == 8 && got.n_threads == 2 &&
		got.n_batch == 512 && got.n_ubatch == 256 && got.n_gpu_layers == -1);
	CHECK(got.disk_bytes == 0 && got.cache_fd == -1);
}

TEST(a_load_for_cards_that_are_none_is_refused)
{
	static const struct card_use bad[] = { { "vulkan:0", 0 }, { "vulkan:0", 1001 },
		{ "vulkan:x", 1000 }, { "", 1000 } };
	for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
		struct engine_load got,
			l = { .model_fd = dup(2), .n_cards = 1, .card = { bad[n] } };
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, ENGINE_LOAD, 0);
		engine_load_put(&o, &l);
		pass(&o, &i);
		CHECK_EQ_INT(engine_load_get(&i, &got), ERR_PROTOCOL);
	}
}

TEST(load_brings_the_cache_its_limit_and_its_key)
{
	struct engine_load l = { .model_fd = dup(2), .cache_fd = dup(2), .disk_bytes = 1 << 30 },
			   got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	memset(l.cache_key, 7, sizeof l.cache_key);
	ipc_out_init(&o, ENGINE_LOAD, 0);
	engine_load_put(&o, &l);
	CHECK(l.model_fd == -1 && l.cache_fd == -1);
	pass(&o, &i);
	CHECK_OK(engine_load_get(&i, &got));
	CHECK(fcntl(got.cache_fd, F_GETFD) >= 0 && got.cache_fd != got.model_fd);
	CHECK(got.disk_bytes == 1 << 30 && memcmp(got.cache_key, l.cache_key, KEY_LEN) == 0);
}

TEST(load_brings_eyes_and_a_place_among_the_engines)
{
	struct engine_load l = { .model_fd = dup(2),
		.cache_fd = -1,
		.has_projector = true,
		.projector_fd = dup(2),
		.has_cores = true,
		.cores_fd = dup(2),
		.cores_place = 3 },
			   got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, ENGINE_LOAD, 0);
	engine_load_put(&o, &l);
	CHECK(!l.has_projector && !l.has_cores);
	pass(&o, &i);
	CHECK_OK(engine_load_get(&i, &got));
	CHECK(got.has_projector && fcntl(got.projector_fd, F_GETFD) >= 0);
	CHECK(got.has_cores && fcntl(got.cores_fd, F_GETFD) >= 0 && got.cores_place == 3);
	CHECK(got.projector_fd != got.model_fd && got.projector_fd != got.cores_fd);
	(void)close(got.model_fd);
	(void)close(got.projector_fd);
	(void)close(got.cores_fd);
}

TEST(load_brings_the_adapters_in_their_order)
{
	struct engine_load l = { .model_fd = dup(2),
		.cache_fd = -1,
		.n_adapters = ENGINE_ADAPTERS_MAX },
			   got;
	struct stat want[ENGINE_ADAPTERS_MAX], st;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	for (unsigned k = 0; k < ENGINE_ADAPTERS_MAX; k++) {
		l.adapter_fd[k] = memfd_create("adapter", MFD_CLOEXEC);
		CHECK(fstat(l.adapter_fd[k], &want[k]) == 0);
	}
	ipc_out_init(&o, ENGINE_LOAD, 0);
	engine_load_put(&o, &l);
	CHECK(!l.n_adapters);
	pass(&o, &i);
	CHECK_OK(engine_load_get(&i, &got));
	CHECK_EQ_INT(got.n_adapters, ENGINE_ADAPTERS_MAX);
	for (unsigned k = 0; k < ENGINE_ADAPTERS_MAX; k++) {
		CHECK(fstat(got.adapter_fd[k], &st) == 0 && st.st_ino == want[k].st_ino);
		(void)close(got.adapter_fd[k]);
	}
	(void)close(got.model_fd);
}

TEST(a_bad_load_closes_the_adapters)
{
	struct engine_load l = { .model_fd = dup(2), .n_ctx = UINT32_MAX, .n_adapters = 1,
		.adapter_fd = { dup(2) } },
			   got = { .model_fd = -7 };
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, ENGINE_LOAD, 0);
	engine_load_put(&o, &l);
	pass(&o, &i);
	int taken = i.fds[1];
	CHECK_ERR(engine_load_get(&i, &got), ERR_PROTOCOL);
	CHECK(fcntl(taken, F_GETFD) < 0);
}

TEST(a_number_stands_for_an_id_and_is_never_none)
{
	/* FNV-1a, 64 bits: test vectors of draft-eastlake-fnv */
	CHECK(gen_number(STR("")) == 0xcbf29ce484222325);
	CHECK(gen_number(STR("a")) == 0xaf63dc4c8601ec8c);
	CHECK(gen_number(STR("foobar")) == 0x85944171f73967e8);
	/* the input of 8 bytes whose hash is 0, from the same source */
	CHECK(gen_number(STR("\xd5\x6b\xb9\x53\x42\x87\x08\x36")) == 1);
}

TEST(a_bad_load_closes_the_descriptor)
{
	struct engine_load l = { .model_fd = dup(2), .n_ctx = UINT32_MAX },
			   got = { .model_fd = -7 };
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, ENGINE_LOAD, 0);
	engine_load_put(&o, &l);
	pass(&o, &i);
	int next = dup(2);
	(void)close(next);
	int taken = i.fds[0];
	CHECK_ERR(engine_load_get(&i, &got), ERR_PROTOCOL);
	CHECK(fcntl(taken, F_GETFD) < 0);
	CHECK_EQ_INT(got.model_fd, -7);
}

TEST(info_comes_through)
{
	struct engine_info v = { .n_ctx = 1,
		.n_ctx_train = 2,
		.n_seq = 3,
		.n_vocab = 4,
		.n_threads = 5,
		.model_bytes = 6000000000,
		.kv_bytes = 7,
		.has_template = true,
		.gpu = true,
		.cards = STR("A + B"),
		.build = STR("llama.cpp 0.5.0"),
		.template_hash = STR("ab"),
		.architecture = STR("llama"),
		.description = STR("d") },
			   got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, ENGINE_READY, 0);
	engine_info_put(&o, &v);
	pass(&o, &i);
	CHECK_OK(engine_info_get(&i, &got));
	CHECK(got.n_ctx == 1 && got.n_ctx_train == 2 && got.n_seq == 3 && got.n_vocab == 4 &&
		got.n_threads == 5 && got.model_bytes == 6000000000 && got.kv_bytes == 7 &&
		got.has_template && got.gpu);
	CHECK_EQ_STR(got.cards, v.cards);
	CHECK_EQ_STR(got.build, v.build);
	CHECK_EQ_STR(got.template_hash, v.template_hash);
	CHECK_EQ_STR(got.architecture, v.architecture);
	CHECK_EQ_STR(got.description, v.description);
}

static const int32_t resume[] = { 5, 0, 70000 };

static const int32_t bias[] = { 4, -100000, 70000, 100000 };

static struct gen_request request(void)
{
	struct gen_request r = { .kind = GEN_CHAT,
		.input = STR("[{\"role\":\"user\"}]"),
		.tools = STR("[]"),
		.schema = STR("json"),
		.n_stop = 2,
		.max_context = 99,
		.truncate = true,
		.strict = true,
		.raw = true,
		.resume = resume,
		.n_resume = 3,
		.person = 1234567890123,
		.priority = 2,
		.grammar = STR("root ::= x"),
		.tool_choice = STR("=f"),
		.one_call = true,
		.think = THINK_HIGH,
		.think_required = true,
		.has_think_budget = true,
		.think_budget = 77,
		.logprobs = true,
		.top_logprobs = 20,
		.bias = bias,
		.n_bias = 2,
		.suffix = STR("}"),
		.lead = STR("\t"),
		.extra = STR("[{}]"),
		.template_ = STR("{{ .Prompt }}") };
	r.stop[0] = STR("END");
	r.stop[1] = STR("\n\n");
	gen_sampling_defaults(&r.sampling);
	r.sampling.seed = -1;
	r.sampling.num_predict = -2;
	return r;
}

static enum err pass_request(const struct gen_request *r, struct gen_request *got, struct ipc_in *i)
{
	struct ipc_out o;
	ipc_out_init(&o, GEN_START, 1);
	gen_request_put(&o, r);
	pass(&o, i);
	return gen_request_get(i, got);
}

TEST(request_comes_through)
{
	struct gen_request r = request(), got;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	CHECK_OK(pass_request(&r, &got, &i));
	CHECK_EQ_INT(got.kind, GEN_CHAT);
	CHECK_EQ_STR(got.input, r.input);
	CHECK_EQ_STR(got.tools, r.tools);
	CHECK_EQ_STR(got.schema, r.schema);
	CHECK_EQ_INT(got.n_stop, 2);
	CHECK_EQ_STR(got.stop[0], r.stop[0]);
	CHECK_EQ_STR(got.stop[1], r.stop[1]);
	CHECK(memcmp(&got.sampling, &r.sampling, sizeof got.sampling) == 0);
	CHECK(got.max_context == 99 && got.truncate && got.strict && got.raw);
	CHECK(got.n_resume == 3 && memcmp(got.resume, resume, sizeof resume) == 0);
	CHECK(got.person == 1234567890123 && got.priority == 2);
	CHECK_EQ_STR(got.grammar, r.grammar);
	CHECK_EQ_STR(got.suffix, r.suffix);
	CHECK_EQ_STR(got.lead, r.lead);
	CHECK_EQ_STR(got.extra, r.extra);
	CHECK_EQ_STR(got.template_, r.template_);
	CHECK_EQ_STR(got.tool_choice, r.tool_choice);
	CHECK(got.one_call && got.think == THINK_HIGH && got.think_required &&
		got.has_think_budget);
	CHECK(got.think_budget == 77 && got.logprobs && got.top_logprobs == 20 && got.n_bias == 2);
	CHECK(memcmp(got.bias, bias, sizeof bias) == 0);
}

TEST(pictures_come_with_descriptors_of_their_own)
{
	struct gen_request r = request(), got;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	r.n_pictures = GEN_PICTURES_MAX;
	for (unsigned k = 0; k < r.n_pictures; k++) {
		r.picture[k] = (struct gen_picture){ 10 + k, GEN_PICTURE_SIDE_MAX, 2, { 0 } };
		memset(r.picture[k].hash, (int)k, SHA256_LEN);
	}
	CHECK_OK(pass_request(&r, &got, &i));
	CHECK_EQ_INT(got.n_pictures, GEN_PICTURES_MAX);
	for (unsigned k = 0; k < got.n_pictures; k++) {
		CHECK(got.picture[k].width == 10 + k && got.picture[k].hash[31] == k);
		CHECK(got.picture[k].rgb_fd != 2 && fcntl(got.picture[k].rgb_fd, F_GETFD) >= 0);
	}
	int one = got.picture[5].rgb_fd;
	gen_request_done(&got);
	CHECK(fcntl(one, F_GETFD) < 0 && fcntl(2, F_GETFD) >= 0);
	CHECK_EQ_INT(got.n_pictures, 0);
}

TEST(a_picture_without_a_size_is_refused_and_nothing_stays_open)
{
	static const struct {
		uint32_t width, height;
	} bad[] = { { 0, 5 }, { 5, 0 }, { GEN_PICTURE_SIDE_MAX + 1, 5 } };
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct gen_request r = request(), got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		int next = dup(2);
		(void)close(next);
		r.n_pictures = 1;
		r.picture[0] = (struct gen_picture){ bad[k].width, bad[k].height, 2, { 0 } };
		CHECK_ERR(pass_request(&r, &got, &i), ERR_PROTOCOL);
		ipc_in_done(&i);
		int same = dup(2);
		(void)close(same);
		CHECK_EQ_INT(same, next);
	}
}

TEST(defaults_are_ollamas)
{
	/* docs/modelfile.md of Ollama: the table of parameters */
	struct gen_sampling s;
	gen_sampling_defaults(&s);
	CHECK(s.temperature == 0.8f && s.top_k == 40 && s.top_p == 0.9f && s.min_p == 0.0f);
	CHECK(s.repeat_last_n == 64 && s.repeat_penalty == 1.1f && s.num_predict == -1);
	CHECK(s.mirostat == 0 && s.mirostat_tau == 5.0f && s.mirostat_eta == 0.1f);
	CHECK(s.presence_penalty == 0 && s.frequency_penalty == 0 && s.typical_p == 1);
}

TEST(requests_out_of_range_are_refused)
{
	static const int32_t negative[] = { -1 }, low_bias[] = { -1, 0 },
			     high_bias[] = { 0, 100001 };
	char long_stop[LIMIT_STOP_STRING + 1];
	memset(long_stop, 'x', sizeof long_stop);
	for (int k = 0; k < 19; k++) {
		struct gen_request r = request(), got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		switch (k) {
		case 0:
			r.sampling.temperature = NAN;
			break;
		case 1:
			r.sampling.mirostat_eta = INFINITY;
			break;
		case 2:
			r.sampling.top_p = -INFINITY;
			break;
		case 3:
			r.n_stop = 17;
			break;
		case 4:
			r.stop[1] = (struct str){ long_stop, sizeof long_stop };
			break;
		case 5:
			r.stop[0] = STR("");
			break;
		case 6:
			r.kind = (enum gen_kind)3;
			break;
		case 7:
			r.priority = 3;
			break;
		case 8:
			r.sampling.mirostat = 3;
			break;
		case 9:
			r.sampling.num_predict = -3;
			break;
		case 10:
			r.sampling.repeat_last_n = -2;
			break;
		case 11:
			r.max_context = UINT32_MAX;
			break;
		case 12:
			r.resume = negative, r.n_resume = 1;
			break;
		case 13:
			r.think = (enum gen_think)6;
			break;
		case 14:
			r.top_logprobs = 21;
			break;
		case 15:
			r.think_budget = UINT32_MAX;
			break;
		case 16:
			r.bias = low_bias, r.n_bias = 1;
			break;
		case 17:
			r.bias = high_bias, r.n_bias = 1;
			break;
		default:
			r.sampling.frequency_penalty = NAN;
		}
		if (pass_request(&r, &got, &i) != ERR_PROTOCOL)
			FAIL("case %d was taken", k);
	}
}

TEST(a_float_that_does_not_fit_is_refused)
{
	struct gen_request r = request(), got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, GEN_START, 1);
	gen_request_put(&o, &r);
	/* the first f64 field: tag 3, 8 bytes; 1e300 is finite as double, infinite as float */
	double big = 1e300;
	static const unsigned char head[8] = { 3, 0, 0, 0, 8, 0, 0, 0 };
	char *at = memmem(o.data.ptr, o.data.len, head, sizeof head);
	CHECK(at != NULL);
	memcpy(at + 8, &big, sizeof big);
	pass(&o, &i);
	CHECK_ERR(gen_request_get(&i, &got), ERR_PROTOCOL);
}

TEST(answers_come_through)
{
	struct ipc_out o;
	{
		struct gen_begun v = { 1, 2, 3, -4 }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, GEN_BEGUN, 1);
		gen_begun_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(gen_begun_get(&i, &got));
		CHECK(got.prompt_tokens == 1 && got.cached_tokens == 2 &&
			got.truncated_tokens == 3 && got.seed == -4);
	}
	{
		struct gen_delta v = { resume, 3, STR("gr\xc3\xbc"), true, STR("[{}]") }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, GEN_DELTA, 1);
		gen_delta_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(gen_delta_get(&i, &got));
		CHECK(got.n_tokens == 3 && got.tokens[2] == 70000 && got.thinking);
		CHECK_EQ_STR(got.text, v.text);
		CHECK_EQ_STR(got.logprobs, v.logprobs);
	}
	{
		struct gen_done v = { GEN_LENGTH, 1, 2, 3, 16, 4, 5, 6, STR("[]"), STR("w\nx") },
				got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, GEN_DONE, 1);
		gen_done_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(gen_done_get(&i, &got));
		CHECK(got.reason == GEN_LENGTH && got.prompt_tokens == 1 &&
			got.cached_tokens == 2 && got.answer_tokens == 3 && got.stop == 16 &&
			got.queue_ns == 4 &&
			got.prompt_ns == 5 && got.answer_ns == 6);
		CHECK_EQ_STR(got.calls, v.calls);
		CHECK_EQ_STR(got.warnings, v.warnings);
	}
	{
		struct gen_failed v = { ERR_CONTEXT, STR("too long"), 9, 8 }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, GEN_FAILED, 1);
		gen_failed_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(gen_failed_get(&i, &got));
		CHECK(got.code == ERR_CONTEXT && got.prompt_tokens == 9 && got.context_tokens == 8);
		CHECK_EQ_STR(got.detail, v.detail);
	}
	{
		struct engine_stats v = { .active = 1,
			.waiting = 2,
			.cells_used = 3,
			.cells = 4,
			.tokens_in = 5,
			.tokens_out = 6,
			.tokens_cached = 7,
			.cache_bytes = 8,
			.disk_bytes = 9,
			.drafted = 10,
			.accepted = 11,
			.preempted = 12 },
				    got;
		v.first[2].n[STATS_BUCKETS - 1] = 13;
		v.between[0].sum_us = 14;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, ENGINE_STATS, 1);
		engine_stats_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(engine_stats_get(&i, &got));
		CHECK(got.active == 1 && got.waiting == 2 && got.cells_used == 3 &&
			got.cells == 4 && got.tokens_in == 5 && got.tokens_out == 6);
		CHECK(got.tokens_cached == 7 && got.cache_bytes == 8 && got.disk_bytes == 9 &&
			got.drafted == 10 && got.accepted == 11 && got.preempted == 12);
		CHECK(got.first[2].n[STATS_BUCKETS - 1] == 13 && got.between[0].sum_us == 14);
	}
	{
		struct gen_queued v = { 3, -1 }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, GEN_QUEUED, 1);
		gen_queued_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(gen_queued_get(&i, &got));
		CHECK(got.position == 3 && got.estimate_ms == -1);
	}
	{
		struct engine_purge v = { 1ull << 63, 5 }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, ENGINE_PURGE, 0);
		engine_purge_put(&o, &v);
		pass(&o, &i);
		CHECK_OK(engine_purge_get(&i, &got));
		CHECK(got.person == v.person && got.object == 5);
	}
}

TEST(bad_answers_are_refused)
{
	struct ipc_out o;
	for (int k = 0; k < 6; k++) {
		AUTO_IPC_IN struct ipc_in i = { 0 };
		struct gen_delta delta = { NULL, 0, k == 0 ? STR("\xc3") : STR("\xed\xa0\x80"),
			false, STR_NONE };
		struct gen_done done = { k == 2 ? (enum gen_reason)3 : GEN_STOP, 1, 1, 1, 0,
			k == 3 ? -1 : 1, 1, 1, STR_NONE, STR_NONE };
		struct gen_failed failed = { k == 4 ? OK : (enum err)ERR_COUNT_, STR("x"), 0, 0 };
		struct gen_delta got_delta;
		struct gen_done got_done;
		struct gen_failed got_failed;
		ipc_out_init(&o, GEN_DELTA, 1);
		if (k < 2)
			gen_delta_put(&o, &delta);
		else if (k < 4)
			gen_done_put(&o, &done);
		else
			gen_failed_put(&o, &failed);
		pass(&o, &i);
		enum err e = k < 2   ? gen_delta_get(&i, &got_delta)
			     : k < 4 ? gen_done_get(&i, &got_done)
				     : gen_failed_get(&i, &got_failed);
		if (e != ERR_PROTOCOL)
			FAIL("case %d was taken", k);
	}
}
