#include "models/advise.h"

#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "models/name.h"
#include "tests/test.h"

static const uint64_t GB = 1000000000;

static struct machine machine(uint64_t memory_gb, uint64_t gpu_gb)
{
	return (struct machine){ .memory = memory_gb * GB,
		.memory_free = memory_gb * GB,
		.disk_free = 500 * GB,
		.cores = 8,
		.bandwidth = 50e9,
		.cards = { .n = gpu_gb > 0,
			.v = { { .total = gpu_gb * GB, .bandwidth = 1e12 } } } };
}

static const struct advice *find(const struct advice *a, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(a[i].name, name))
			return &a[i];
	FAIL("no %s", name);
}

TEST(every_row_of_the_table_is_whole)
{
	AUTO(advice) struct advice_table *t = NULL;
	struct advice a[64];
	struct machine m = machine(64, 0);
	CHECK_OK(advice_new(&t));
	size_t n = advice_for(t, &m, a, 64);
	CHECK(n >= 10);
	unsigned german = 0;
	for (size_t i = 0; i < n; i++) {
		struct model_name name;
		CHECK_OK(name_parse(str_from(a[i].name), &name, NULL));
		CHECK_OK(name_parse(str_from(a[i].source), &name, NULL));
		CHECK(name.source == NAME_REGISTRY || name.source == NAME_HUGGING_FACE);
		CHECK(a[i].title[0] && a[i].licence[0] && a[i].why[0]);
		CHECK(a[i].memory_8k > a[i].size && a[i].memory_32k >= a[i].memory_8k);
		CHECK(a[i].memory_32k < a[i].size + 12 * GB);
		german += a[i].german;
	}
	CHECK(german >= 10);
	CHECK_EQ_INT(advice_for(t, &m, a, 3), 3);
}

/* By hand: Qwen3 8B has 36 layers of 8 KV heads of 128, two of f16: 147,456 bytes a token. */
TEST(memory_follows_from_the_architecture)
{
	AUTO(advice) struct advice_table *t = NULL;
	struct advice a[64];
	struct machine m = machine(64, 0);
	CHECK_OK(advice_new(&t));
	size_t n = advice_for(t, &m, a, 64);
	const struct advice *q = find(a, n, "qwen3:8b");
	CHECK_EQ_INT(q->memory_32k - q->memory_8k, 147456ull * (32768 - 8192));
	/* Gemma 3 12B: 8 layers keep everything, 40 their window: only the 8 grow */
	const struct advice *g = find(a, n, "gemma3:12b");
	CHECK_EQ_INT(g->memory_32k - g->memory_8k, 2ull * 2 * 8 * 8 * 256 * (32768 - 8192));
	/* Phi-4 ends at 16k */
	const struct advice *p = find(a, n, "phi4:14b");
	CHECK_EQ_INT(p->memory_32k - p->memory_8k, 2ull * 2 * 40 * 10 * 128 * (16384 - 8192));
}

TEST(what_fits_comes_first_and_the_best_of_it)
{
	AUTO(advice) struct advice_table *t = NULL;
	struct advice a[64];
	CHECK_OK(advice_new(&t));
	static const uint64_t sizes[] = { 2, 4, 8, 16, 32, 64, 128 };
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		struct machine m = machine(sizes[s], 0);
		size_t n = advice_for(t, &m, a, 64);
		for (size_t i = 0; i < n; i++) {
			CHECK_EQ_INT(a[i].fits, a[i].memory_8k + (1ull << 30) <= m.memory);
			CHECK(i == 0 || a[i - 1].fits || !a[i].fits);
			bool slow = a[i].tokens_per_s < 4,
			     slow_before = i && a[i - 1].tokens_per_s < 4;
			CHECK(!i || !a[i].fits || slow || !slow_before);
			if (i && a[i].fits && !slow && a[i].german == a[i - 1].german)
				CHECK(a[i].rank <= a[i - 1].rank);
		}
	}
	struct machine tiny = machine(1, 0);
	size_t n = advice_for(t, &tiny, a, 64);
	for (size_t i = 0; i < n; i++)
		CHECK(!a[i].fits && strstr(a[i].why, "memory"));
}

TEST(a_card_and_a_full_disk_count)
{
	AUTO(advice) struct advice_table *t = NULL;
	struct advice a[64];
	struct machine m = machine(8, 48), small = machine(64, 0);
	CHECK_OK(advice_new(&t));
	size_t n = advice_for(t, &m, a, 64);
	const struct advice *q = find(a, n, "qwen3:32b");
	CHECK(q->fits && q->tokens_per_s > 20 && q->tokens_per_s < 50);
	small.disk_free = 5 * GB;
	n = advice_for(t, &small, a, 64);
	CHECK(!find(a, n, "qwen3:32b")->fits);
	CHECK(strstr(find(a, n, "qwen3:32b")->why, "disk"));
	CHECK(find(a, n, "gemma3:4b")->fits);
}

TEST(the_answer_has_the_fields_of_the_contract)
{
	AUTO(advice) struct advice_table *t = NULL;
	AUTO_BUF struct buf out = BUF(1 << 20);
	AUTO_JSON json_t *o = NULL;
	struct machine m = machine(16, 0);
	static const char *const fields[] = { "name", "title", "licence", "size", "memory_8k",
		"memory_32k", "tokens_per_s", "german", "fits", "source", "why" };
	CHECK_OK(advice_new(&t));
	CHECK_OK(advise_json(t, &m, &out));
	CHECK_OK(json_read(buf_str(&out), out.len, 8, &o, NULL));
	CHECK_EQ_INT(json_integer_value(json_object_get(json_object_get(o, "machine"), "memory")),
		16 * GB);
	const json_t *first = json_array_get(json_object_get(o, "advice"), 0);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		CHECK(json_object_get(first, fields[i]));
	CHECK_EQ_INT(json_object_size(first), sizeof fields / sizeof *fields);
}

TEST(this_machine_is_seen)
{
	struct machine m;
	machine_probe(test_dir(), 0, &m);
	CHECK(m.memory > 100000000 && m.memory_free > 0 && m.memory_free <= m.memory);
	CHECK(m.cores >= 1 && m.disk_free > 0);
	uint64_t before = m.memory;
	m.memory = m.disk_free = 0;
	machine_refresh(test_dir(), &m);
	CHECK_EQ_INT(m.memory, before);
	CHECK(m.disk_free > 0);
	double v = machine_bandwidth(1, 30);
	CHECK(v > 1e8 && v < 1e13);
}
