/* Texts and their tokens between two roles. */
#include "proto/tokens.h"

#include "tests/test.h"

/* Sends `o` and receives it at the other end of a new pair. */
static void pass(struct ipc_out *o, struct ipc_in *i)
{
	int fd[2];
	struct ipc *a, *b;
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &a));
	CHECK_OK(ipc_new(fd[1], &b));
	CHECK_OK(ipc_send(a, o));
	CHECK_OK(ipc_recv(b, i));
	ipc_free(a);
	ipc_free(b);
}

static enum err asked(const struct tokens_request *v, struct tokens_request *ret, struct ipc_in *i)
{
	struct ipc_out o;
	ipc_out_init(&o, ENGINE_TOKENS, 7);
	tokens_request_put(&o, v);
	pass(&o, i);
	return tokens_request_get(i, ret);
}

static enum err answered(const struct tokens_done *v, struct tokens_done *ret, struct ipc_in *i)
{
	struct ipc_out o;
	ipc_out_init(&o, ENGINE_TOKENED, 7);
	tokens_done_put(&o, v);
	pass(&o, i);
	return tokens_done_get(i, ret);
}

static const int32_t ids[] = { 3, 0, 70000 }, lens[] = { 2, 0, 1 }, bad[] = { 1, -1, 2 };

TEST(a_text_and_tokens_come_through)
{
	AUTO_IPC_IN struct ipc_in i = { 0 }, k = { 0 };
	struct tokens_request got;
	CHECK_OK(asked(&(struct tokens_request){ .text = STR("a\xc3"), .add_special = true }, &got,
		&i));
	CHECK(!got.to_text && got.add_special && !got.parse_special && !got.n_tokens);
	CHECK_EQ_STR(got.text, STR("a\xc3"));
	CHECK_OK(asked(&(struct tokens_request){ .to_text = true, .tokens = ids, .n_tokens = 3 },
		&got, &k));
	CHECK(got.to_text && got.n_tokens == 3 && got.tokens[2] == 70000);
}

TEST(what_is_both_or_out_of_range_is_refused)
{
	AUTO_IPC_IN struct ipc_in i = { 0 }, k = { 0 }, l = { 0 };
	struct tokens_request got;
	CHECK_ERR(asked(&(struct tokens_request){ .text = STR("a"), .tokens = ids, .n_tokens = 3 },
			  &got, &i),
		ERR_PROTOCOL);
	CHECK_ERR(asked(&(struct tokens_request){ .to_text = true, .tokens = bad, .n_tokens = 3 },
			  &got, &k),
		ERR_PROTOCOL);
	CHECK_ERR(asked(&(struct tokens_request){ .to_text = true, .text = STR("a") }, &got, &l),
		ERR_PROTOCOL);
}

TEST(pieces_that_do_not_add_up_are_refused)
{
	AUTO_IPC_IN struct ipc_in i = { 0 }, k = { 0 }, l = { 0 };
	struct tokens_done got;
	CHECK_OK(answered(&(struct tokens_done){ ids, lens, 3, STR("\xc3\xa9!") }, &got, &i));
	CHECK(got.n == 3 && got.tokens[0] == 3 && got.lens[2] == 1);
	CHECK_EQ_STR(got.bytes, STR("\xc3\xa9!"));
	CHECK_ERR(answered(&(struct tokens_done){ ids, lens, 3, STR("xx") }, &got, &k),
		ERR_PROTOCOL);
	CHECK_ERR(answered(&(struct tokens_done){ ids, bad, 3, STR("xx") }, &got, &l),
		ERR_PROTOCOL);
}
