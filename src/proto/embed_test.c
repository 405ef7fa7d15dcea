#include "proto/embed.h"

#include <math.h>

#include "tests/test.h"

static struct ipc *a, *b;

static void pass(struct ipc_out *o, struct ipc_in *i)
{
	int fd[2];
	if (!a) {
		CHECK_OK(ipc_pair(fd));
		CHECK_OK(ipc_new(fd[0], &a));
		CHECK_OK(ipc_new(fd[1], &b));
	}
	CHECK_OK(ipc_send(a, o));
	CHECK_OK(ipc_recv(b, i));
}

static enum err through(const struct embed_request *r, struct ipc_in *i, struct embed_request *got)
{
	struct ipc_out o;
	ipc_out_init(&o, ENGINE_EMBED, 5);
	embed_request_put(&o, r);
	pass(&o, i);
	return embed_request_get(i, got);
}

TEST(texts_to_embed_come_through)
{
	const int32_t lens[] = { 5, 0, 6 };
	struct embed_request r = { .texts = STR("helloworld!"),
		.lens = lens,
		.n = 3,
		.dimensions = 7,
		.normalise = true,
		.truncate = true,
		.person = 9 },
			     got;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	CHECK_OK(through(&r, &i, &got));
	CHECK_EQ_STR(got.texts, STR("helloworld!"));
	CHECK(got.n == 3 && got.lens[0] == 5 && got.lens[1] == 0 && got.lens[2] == 6);
	CHECK(got.dimensions == 7 && got.normalise && got.truncate && !got.rank && !got.n_tokens);
	CHECK_EQ_INT(got.person, 9);
}

TEST(a_request_to_embed_that_does_not_add_up_is_refused)
{
	static const int32_t five[] = { 5 }, six[] = { 6 }, two[] = { 2 }, minus[] = { 7, -2 },
			     ids[] = { 3, -4 }, good[] = { 3, 4 };
	const struct embed_request bad[] = {
		{ .texts = STR("hello"), .lens = six, .n = 1 },
		{ .texts = STR("hello"), .lens = minus, .n = 2 },
		{ .texts = STR("hello") },
		{ .texts = STR("hello"), .tokens = good, .n_tokens = 2, .lens = five, .n = 1 },
		{ .tokens = ids, .n_tokens = 2, .lens = two, .n = 1 },
		{ .tokens = good, .n_tokens = 2, .lens = two, .n = 1, .rank = true },
		{ .texts = STR("hello"), .lens = five, .n = 1, .dimensions = UINT32_MAX },
	};
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		AUTO_IPC_IN struct ipc_in i = { 0 };
		struct embed_request got;
		if (through(&bad[k], &i, &got) != ERR_PROTOCOL)
			FAIL("case %zu was taken", k);
	}
	static int32_t many[EMBED_INPUTS_MAX + 1];
	struct embed_request got;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	CHECK_ERR(through(&(struct embed_request){ .lens = many, .n = EMBED_INPUTS_MAX + 1 }, &i,
			  &got),
		ERR_PROTOCOL);
}

static enum err answer(const struct embed_done *d, struct ipc_in *i, struct embed_done *got)
{
	struct ipc_out o;
	ipc_out_init(&o, ENGINE_EMBEDDED, 5);
	embed_done_put(&o, d);
	pass(&o, i);
	return embed_done_get(i, got);
}

TEST(vectors_come_through_bit_by_bit)
{
	static float v[20000]; /* more than one datagram: by memfd */
	const int32_t counts[] = { 3, 4 };
	for (size_t i = 0; i < 20000; i++)
		v[i] = ((float)i - 7000) / 3;
	v[17] = -0.0f;
	struct embed_done d = { .values = v,
		.n_values = 20000,
		.counts = counts,
		.n = 2,
		.dim = 10000,
		.truncated = 1,
		.longest = 256 },
			  got;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	CHECK_OK(answer(&d, &i, &got));
	CHECK_EQ_INT(got.n_values, 20000);
	CHECK(memcmp(got.values, v, sizeof v) == 0);
	CHECK(got.counts[1] == 4 && got.truncated == 1 && got.longest == 256);
}

TEST(vectors_that_are_none_are_refused)
{
	const int32_t counts[] = { 3, 4 };
	float v[] = { 1, 2, 3, 4 }, nan[] = { 1, NAN, 3, 4 }, inf[] = { 1, 2, 3, INFINITY };
	const struct embed_done bad[] = {
		{ .values = v, .n_values = 4, .counts = counts, .n = 2, .dim = 3 },
		{ .values = v, .n_values = 4, .counts = counts, .n = 2, .dim = 0 },
		{ .values = nan, .n_values = 4, .counts = counts, .n = 2, .dim = 2 },
		{ .values = inf, .n_values = 4, .counts = counts, .n = 2, .dim = 2 },
		{ .values = v, .n_values = 4, .counts = counts, .n = 2, .dim = 2, .queue_ns = -1 },
	};
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		AUTO_IPC_IN struct ipc_in i = { 0 };
		struct embed_done got;
		if (answer(&bad[k], &i, &got) != ERR_PROTOCOL)
			FAIL("case %zu was taken", k);
	}
}
