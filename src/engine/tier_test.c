/* The prefix tree above a real file. Texts are bytes as tokens; a state is those bytes. */
#include "engine/tier.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "os/fd.h"
#include "store/kvfile.h"
#include "tests/test.h"

static const uint8_t key[KEY_LEN] = { 4, 5, 6 };
static const uint8_t fingerprint[32] = { 7 };
enum { RAM = 1 << 20, LONGEST = 4096 };
enum { ANNA = 11, BEN = 12, TALK = 5, OTHER = 6 };

struct world {
	struct tier *tier;
	struct prefix *tree;
};

/* What an engine does at its start with the same file. */
static struct world begin(uint64_t limit)
{
	struct world w = { 0 };
	struct disk *d = NULL;
	char path[600];
	int fd = -1;
	CHECK_OK(crypto_init());
	snprintf(path, sizeof path, "%s/f.kv", test_dir());
	CHECK_OK(fd_open(path, O_RDWR | O_CREAT, 0600, &fd));
	CHECK_OK(disk_new(fd, key, fingerprint, limit, &d));
	CHECK_OK(tier_new(d, &w.tier));
	struct prefix_disk ops = tier_ops(w.tier);
	CHECK_OK(prefix_new(RAM, true, &ops, &w.tree));
	CHECK_OK(tier_recall(w.tier, w.tree));
	return w;
}

static void end(struct world *w)
{
	prefix_free(w->tree);
	tier_free(w->tier);
}

struct text {
	int32_t v[LONGEST];
	struct prefix_text t;
};

static struct text *text_of(struct text *x, const char *z, uint64_t person, uint64_t object,
	uint32_t n_company)
{
	size_t n = strlen(z);
	for (size_t i = 0; i < n; i++)
		x->v[i] = (unsigned char)z[i];
	x->t = (struct prefix_text){ .v = x->v,
		.n = n,
		.n_company = n_company,
		.n_group = n_company,
		.person = person,
		.object = object };
	return x;
}

static void keep(struct world *w, const struct prefix_text *t, uint32_t from, uint32_t to)
{
	size_t n = to - from;
	char *bytes = mem_alloc(n);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)t->v[from + i];
	CHECK_OK(prefix_add(w->tree, t, from, to, bytes, n));
}

/* How much of the text is there; every byte of it is compared. */
static size_t found(struct world *w, const struct prefix_text *t)
{
	struct prefix_piece v[PREFIX_PIECES];
	size_t n = 0, have = prefix_find(w->tree, t, t->n, v, &n);
	for (size_t i = 0; i < n; i++)
		for (uint32_t at = v[i].from; at < v[i].to; at++)
			CHECK(((const char *)v[i].bytes)[at - v[i].state_from] == (char)t->v[at]);
	return have;
}

TEST(after_a_restart_it_is_all_there_and_everybodys_own)
{
	struct text a, b, shared;
	struct world w = begin(8 << 20);
	text_of(&shared, "the company's rules", 0, 0, 19);
	text_of(&a, "the company's rules and what Anna asked", ANNA, TALK, 19);
	text_of(&b, "the company's rules and what Anna asked", BEN, OTHER, 19);
	keep(&w, &a.t, 0, 19);
	keep(&w, &a.t, 19, (uint32_t)a.t.n);
	CHECK_EQ_INT(found(&w, &a.t), a.t.n);
	end(&w); /* writes what is queued */

	w = begin(8 << 20);
	CHECK(tier_bytes(w.tier) > 0);
	CHECK(prefix_bytes(w.tree) < 2 * a.t.n * sizeof(int32_t)); /* states are on disk */
	CHECK_EQ_INT(found(&w, &a.t), a.t.n);
	CHECK_EQ_INT(found(&w, &b.t), 19); /* Ben gets the company's part, not hers */
	end(&w);
}

TEST(what_is_purged_is_off_the_disk)
{
	struct text a, b;
	struct world w = begin(8 << 20);
	text_of(&a, "Anna's first talk", ANNA, TALK, 0);
	text_of(&b, "Anna's other talk", ANNA, OTHER, 0);
	keep(&w, &a.t, 0, (uint32_t)a.t.n);
	keep(&w, &b.t, 0, (uint32_t)b.t.n);
	prefix_purge(w.tree, ANNA, TALK);
	CHECK_OK(tier_purge(w.tier, ANNA, TALK));
	end(&w);
	w = begin(8 << 20);
	CHECK(found(&w, &a.t) < 8); /* at most what both begin with */
	CHECK_EQ_INT(found(&w, &b.t), b.t.n);
	prefix_purge(w.tree, ANNA, 0);
	CHECK_OK(tier_purge(w.tier, ANNA, 0));
	CHECK_EQ_INT(tier_bytes(w.tier), 0);
	end(&w);
	w = begin(8 << 20);
	CHECK_EQ_INT(found(&w, &b.t), 0);
	CHECK_EQ_INT(prefix_nodes(w.tree), 0);
	end(&w);
}

TEST(temporary_texts_never_come_here)
{
	struct text a;
	struct world w = begin(8 << 20);
	text_of(&a, "nobody shall keep this", ANNA, TALK, 0);
	a.t.temporary = true;
	keep(&w, &a.t, 0, (uint32_t)a.t.n);
	CHECK_EQ_INT(found(&w, &a.t), a.t.n);
	end(&w);
	w = begin(8 << 20);
	CHECK_EQ_INT(tier_bytes(w.tier), 0);
	CHECK_EQ_INT(found(&w, &a.t), 0);
	end(&w);
}

/* A record whose parent the disk has lost is of no use: it goes from the disk with the start. */
TEST(what_does_not_fit_into_the_tree_leaves_the_disk)
{
	struct text a;
	struct world w = begin(8 << 20);
	struct prefix_disk ops = tier_ops(w.tier);
	text_of(&a, "0123456789abcdef", ANNA, TALK, 0);
	struct prefix_record r = { .level = PREFIX_PERSON,
		.scope = ANNA,
		.object = TALK,
		.tokens = a.v,
		.n_tokens = 10,
		.size = 10 };
	uint64_t first = ops.store(ops.arg, &r, "0123456789");
	CHECK(first != 0);
	r = (struct prefix_record){ .level = PREFIX_COMPANY, /* wider than what it continues */
		.parent = first,
		.from = 10,
		.tokens = a.v + 10,
		.n_tokens = 6,
		.size = 6 };
	CHECK(ops.store(ops.arg, &r, "abcdef") != 0);
	uint64_t both = 0;
	end(&w);
	w = begin(8 << 20);
	both = tier_bytes(w.tier);
	end(&w);
	w = begin(8 << 20);
	CHECK(tier_bytes(w.tier) <= both);
	CHECK_EQ_INT(found(&w, &a.t), 10);
	end(&w);
}

TEST(a_text_longer_than_a_record_may_be_is_not_stored)
{
	struct world w = begin(8 << 20);
	struct prefix_disk ops = tier_ops(w.tier);
	struct prefix_record r = { .level = PREFIX_PERSON, .scope = ANNA, .tokens = NULL,
		.n_tokens = (size_t)DISK_TOKENS_MAX + 1, .size = 1 };
	CHECK_EQ_INT((int64_t)ops.store(ops.arg, &r, "x"), 0);
	char c;
	CHECK_ERR(ops.load(ops.arg, 12345, &c, 1), ERR_NOT_FOUND);
	end(&w);
}

/* A full queue refuses while somebody waits for answers; when the engine ends it is waited for. */
TEST(patience_stores_what_haste_refuses)
{
	enum { N = 4 * DISK_QUEUE_RECORDS, SIZE = 512 * 1024 };
	struct world w = begin(UINT64_C(512) << 20);
	struct prefix_disk ops = tier_ops(w.tier);
	AUTO_MEM char *bytes = mem_zalloc(1, SIZE);
	int32_t tokens[4] = { 0 };
	unsigned kept = 0;
	tier_patient(w.tier);
	for (int i = 0; i < N; i++) {
		tokens[0] = i;
		struct prefix_record r = { .level = PREFIX_PERSON,
			.scope = ANNA,
			.tokens = tokens,
			.n_tokens = 4,
			.size = SIZE };
		kept += ops.store(ops.arg, &r, bytes) != 0;
	}
	CHECK_EQ_INT(kept, N);
	end(&w);
}

TEST(without_memory_nothing_breaks)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct disk *d = NULL;
		struct tier *t = NULL;
		char path[600];
		int fd = -1;
		snprintf(path, sizeof path, "%s/g.kv", test_dir());
		if (!fd_open(path, O_RDWR | O_CREAT, 0600, &fd) &&
			!disk_new(fd, key, fingerprint, 8 << 20, &d) && !tier_new(d, &t)) {
			struct prefix_disk ops = tier_ops(t);
			int32_t tokens[2] = { (int32_t)n, 2 };
			struct prefix_record r = { .level = PREFIX_PERSON,
				.scope = ANNA,
				.tokens = tokens,
				.n_tokens = 2,
				.size = 2 };
			uint64_t id = ops.store(ops.arg, &r, "ab");
			char got[2];
			if (id && !ops.load(ops.arg, id, got, 2))
				CHECK(!memcmp(got, "ab", 2));
			if (id)
				ops.drop(ops.arg, id);
			tier_free(t);
		}
	}
}
