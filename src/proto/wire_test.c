/* The bytes of every message between the program and an engine.so. An engine.so stays installed
 * while the program moves on, so what this hash stands for may change only with its number. */
#include <unistd.h>

#include "base/hex.h"
#include "proto/embed.h"
#include "proto/engine.h"
#include "proto/keeper.h"
#include "proto/tokens.h"
#include "tests/test.h"

static const int32_t ids[] = { 1, 2, 3 };

struct hashed {
	struct sha256 h;
	struct ipc_out m;
};

static void begin(struct hashed *a, uint16_t type)
{
	ipc_out_init(&a->m, type, 5);
}

static void end(struct hashed *a)
{
	uint64_t n[2] = { a->m.data.len, a->m.nfds };
	CHECK_OK(a->m.err);
	sha256_add(&a->h, n, sizeof n);
	/* without the protocol hash: an engine.so of another build takes the program's */
	sha256_add(&a->h, a->m.data.ptr + 8, a->m.data.len - 8);
	ipc_out_done(&a->m);
}

static void loading(struct hashed *a)
{
	struct engine_load l = { .model_fd = dup(2), .has_projector = true, .projector_fd = dup(2),
		.n_adapters = 2, .adapter_fd = { dup(2), dup(2) },
		.n_cards = 1, .card = { { "vulkan:0", 1000 } }, .n_ctx = 1, .n_seq = 2,
		.n_threads = 3, .n_batch = 4, .n_ubatch = 5,
		.n_gpu_layers = -1, .n_ctx_own = 6, .flash = -1, .cache_bytes = 7, .tuned = "t",
		.tuned_build = "b", .has_cores = true, .cores_fd = dup(2), .cores_place = 8,
		.disk_bytes = 9, .cache_fd = dup(2), .cache_key = { 10 } };
	struct engine_info i = { .n_ctx = 1, .n_ctx_train = 2, .n_seq = 3, .n_vocab = 4,
		.n_threads = 5, .model_bytes = 6, .kv_bytes = 7, .has_template = true, .gpu = true,
		.cards = STR("c"),
		.writes = true, .ranks = true, .sees = true, .n_embd = 8, .build = STR("b"),
		.template_hash = STR("h"), .architecture = STR("a"), .description = STR("d"),
		.tuned = STR("t") };
	begin(a, ENGINE_LOAD);
	engine_load_put(&a->m, &l);
	end(a);
	begin(a, ENGINE_READY);
	engine_info_put(&a->m, &i);
	end(a);
	begin(a, ATTACH);
	attach_put(&a->m, ROLE_SERVER, dup(2));
	end(a);
	begin(a, SHUTDOWN);
	end(a);
}

static void asking(struct hashed *a)
{
	struct gen_request r = { .kind = GEN_INFILL, .input = STR("i"), .suffix = STR("s"),
		.template_ = STR("p"), .lead = STR("l"), .extra = STR("e"),
		.tools = STR("t"), .schema = STR("c"),
		.grammar = STR("g"), .tool_choice = STR("o"), .one_call = true, .think = THINK_HIGH,
		.think_required = true, .has_think_budget = true, .think_budget = 1,
		.logprobs = true, .top_logprobs = 2, .bias = ids, .n_bias = 1,
		.stop = { STR("x") }, .n_stop = 1, .max_context = 3, .truncate = true,
		.strict = true, .raw = true, .resume = ids, .n_resume = 3, .person = 4, .group = 5,
		.object = 6, .temporary = true, .priority = 1, .deadline_ms = 7, .n_pictures = 1 };
	r.picture[0] = (struct gen_picture){
		.width = 1, .height = 1, .rgb_fd = dup(2), .hash = { 1 }
	};
	gen_sampling_defaults(&r.sampling);
	begin(a, GEN_START);
	gen_request_put(&a->m, &r);
	end(a);
	close(r.picture[0].rgb_fd);
	begin(a, ENGINE_PURGE);
	engine_purge_put(&a->m, &(struct engine_purge){ 1, 2 });
	end(a);
	begin(a, ENGINE_EMBED);
	embed_request_put(&a->m,
		&(struct embed_request){ .texts = STR("abc"), .lens = ids, .n = 1, .rank = true,
			.query = STR("q"), .dimensions = 2, .normalise = true, .truncate = true,
			.person = 3 });
	end(a);
	begin(a, ENGINE_TOKENS);
	tokens_request_put(&a->m,
		&(struct tokens_request){ .to_text = true, .add_special = true,
			.parse_special = true, .tokens = ids, .n_tokens = 3 });
	end(a);
}

static void answering(struct hashed *a)
{
	struct engine_stats s = { .active = 1, .waiting = 2, .cells_used = 3, .cells = 4,
		.tokens_in = 5, .tokens_out = 6, .tokens_cached = 7, .cache_bytes = 8,
		.disk_bytes = 9, .drafted = 10, .accepted = 11, .preempted = 12 };
	static const float values[] = { 0.5f };
	begin(a, GEN_BEGUN);
	gen_begun_put(&a->m, &(struct gen_begun){ 1, 2, 3, 4 });
	end(a);
	begin(a, GEN_QUEUED);
	gen_queued_put(&a->m, &(struct gen_queued){ 1, 2 });
	end(a);
	begin(a, GEN_DELTA);
	gen_delta_put(&a->m,
		&(struct gen_delta){ .tokens = ids, .n_tokens = 3, .text = STR("t"),
			.thinking = true, .logprobs = STR("[]") });
	end(a);
	begin(a, GEN_DONE);
	gen_done_put(&a->m,
		&(struct gen_done){ .reason = GEN_LENGTH, .prompt_tokens = 1, .cached_tokens = 2,
			.answer_tokens = 3, .stop = 4, .queue_ns = 5, .prompt_ns = 6,
			.answer_ns = 7, .calls = STR("[]"), .warnings = STR("w") });
	end(a);
	begin(a, GEN_FAILED);
	gen_failed_put(&a->m,
		&(struct gen_failed){ .code = ERR_INTERNAL, .detail = STR("d"), .prompt_tokens = 1,
			.context_tokens = 2 });
	end(a);
	begin(a, ENGINE_STATS);
	engine_stats_put(&a->m, &s);
	end(a);
	begin(a, ENGINE_EMBEDDED);
	embed_done_put(&a->m,
		&(struct embed_done){ .values = values, .n_values = 1, .counts = ids, .n = 1,
			.dim = 1, .truncated = 1, .longest = 2, .queue_ns = 3, .compute_ns = 4 });
	end(a);
	begin(a, ENGINE_TOKENED);
	tokens_done_put(&a->m,
		&(struct tokens_done){ .tokens = ids, .lens = ids, .n = 1, .bytes = STR("a") });
	end(a);
}

TEST(the_wire_changes_only_with_its_number)
{
	struct hashed a;
	uint8_t sum[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];
	/* messages that no struct carries */
	const uint16_t plain[] = { ENGINE_REFUSED, GEN_CANCEL, ENGINE_COUNT, ENGINE_COUNTED,
		ENGINE_TUNED };
	CHECK_OK(crypto_init());
	sha256_init(&a.h);
	loading(&a);
	asking(&a);
	answering(&a);
	sha256_add(&a.h, plain, sizeof plain);
	sha256_end(&a.h, sum);
	hex_encode(sum, sizeof sum, hex);
	hex[16] = '\0';
	/* Fails: raise ENGINE_PROTO (proto/engine.h), then put the new hash here. */
	CHECK_EQ_INT(ENGINE_PROTO, 2);
	CHECK_EQ_Z(hex, "241f46fba94e5da7");
}
