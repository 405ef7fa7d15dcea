#include "proto/egress.h"

#include <fcntl.h>
#include <unistd.h>

#include "proto/sink.h"
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

TEST(policy_comes_through_and_ports_are_checked)
{
	struct egress_policy_entry e[] = { { STR("registry.ollama.ai"), 443, false, true },
		{ STR("127.0.0.1"), 5000, true, false } };
	for (int bad = 0; bad < 2; bad++) {
		struct egress_policy_entry got[4];
		size_t n = 99;
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		if (bad)
			e[1].port = 0;
		ipc_out_init(&o, EGRESS_POLICY, 0);
		egress_policy_put(&o, e, 2);
		pass(&o, &i);
		CHECK_ERR(egress_policy_get(&i, got, 4, &n), bad ? ERR_PROTOCOL : OK);
		CHECK_EQ_INT(n, bad ? 99 : 2);
		if (!bad)
			CHECK_EQ_STR(got[1].host, STR("127.0.0.1"));
		CHECK(bad || (got[0].port == 443 && !got[0].plain && got[1].plain));
		CHECK(bad || (got[0].push && !got[1].push));
	}
}

TEST(more_entries_than_room_are_refused)
{
	struct egress_policy_entry e[3] = { { STR("a"), 1, false, false },
		{ STR("b"), 2, false, false }, { STR("c"), 3, false, false } };
	struct egress_policy_entry got[2];
	size_t n = 0;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, EGRESS_POLICY, 0);
	egress_policy_put(&o, e, 3);
	pass(&o, &i);
	CHECK_ERR(egress_policy_get(&i, got, 2, &n), ERR_PROTOCOL);
}

static struct egress_fetch fetch(void)
{
	struct egress_fetch f = { .method = STR("GET"), .url = STR("https://h/x"), .n_headers = 1 };
	f.header[0] = (struct egress_header){ STR("Accept"), STR("*/*") };
	f.body = STR("b");
	f.has_range = true;
	f.from = 5;
	f.to = 9;
	f.max_bytes = 4;
	f.sink_fd = dup(2);
	f.source_fd = -1;
	f.sink_offset = 5;
	f.connect_ms = 1;
	f.stall_ms = 2;
	f.total_ms = 3;
	return f;
}

TEST(fetch_comes_through)
{
	struct egress_fetch f = fetch(), got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, EGRESS_FETCH, 4);
	egress_fetch_put(&o, &f);
	CHECK_EQ_INT(f.sink_fd, -1);
	pass(&o, &i);
	CHECK_OK(egress_fetch_get(&i, &got));
	CHECK_EQ_STR(got.method, STR("GET"));
	CHECK_EQ_STR(got.url, STR("https://h/x"));
	CHECK_EQ_STR(got.header[0].name, STR("Accept"));
	CHECK_EQ_STR(got.body, STR("b"));
	CHECK(got.n_headers == 1 && got.has_range && got.from == 5 && got.to == 9);
	CHECK(got.max_bytes == 4 && got.sink_offset == 5 && got.connect_ms == 1);
	CHECK(got.stall_ms == 2 && got.total_ms == 3 && fcntl(got.sink_fd, F_GETFD) >= 0);
	(void)close(got.sink_fd);
}

TEST(an_empty_range_is_refused_and_its_descriptor_closed)
{
	struct egress_fetch f = fetch(), got = { .sink_fd = -7 };
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	f.to = 5;
	ipc_out_init(&o, EGRESS_FETCH, 4);
	egress_fetch_put(&o, &f);
	pass(&o, &i);
	int taken = i.fds[0];
	CHECK_ERR(egress_fetch_get(&i, &got), ERR_PROTOCOL);
	CHECK(fcntl(taken, F_GETFD) < 0 && got.sink_fd == -7);
}

TEST(head_done_and_failed_come_through)
{
	struct ipc_out o;
	{
		struct egress_head h = { .status = 206, .n_headers = 1, .length = 10, .whole = -1 },
				   got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		h.header[0] = (struct egress_header){ STR("etag"), STR("x") };
		ipc_out_init(&o, EGRESS_HEAD, 4);
		egress_head_put(&o, &h);
		pass(&o, &i);
		CHECK_OK(egress_head_get(&i, &got));
		CHECK(got.status == 206 && got.n_headers == 1 && got.length == 10);
		CHECK_EQ_STR(got.header[0].value, STR("x"));
		CHECK_EQ_INT(got.whole, -1);
	}
	{
		struct egress_done d = { 200, 77 }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, EGRESS_DONE, 4);
		egress_done_put(&o, &d);
		pass(&o, &i);
		CHECK_OK(egress_done_get(&i, &got));
		CHECK(got.status == 200 && got.bytes == 77);
	}
	{
		struct egress_failed f = { ERR_EGRESS, STR("not allowed"), 3 }, got;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, EGRESS_FAILED, 4);
		egress_failed_put(&o, &f);
		pass(&o, &i);
		CHECK_OK(egress_failed_get(&i, &got));
		CHECK(got.code == ERR_EGRESS && got.bytes == 3);
		CHECK_EQ_STR(got.detail, STR("not allowed"));
	}
}

TEST(impossible_heads_are_refused)
{
	static const struct egress_head bad[] = { { .status = 99 }, { .status = 1000 },
		{ .status = 200, .length = -2 }, { .status = 200, .whole = -2 } };
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct egress_head got;
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, EGRESS_HEAD, 4);
		egress_head_put(&o, &bad[k]);
		pass(&o, &i);
		CHECK_ERR(egress_head_get(&i, &got), ERR_PROTOCOL);
	}
}

/* ---- the sink ---- */

static uint8_t frame[SINK_FRAME_HEAD + SINK_FRAME_MAX + 1];

TEST(frames_keep_their_place_and_their_bytes)
{
	static char data[SINK_FRAME_MAX];
	int fd[2];
	uint64_t at = 0;
	size_t n = 0;
	memset(data, 'x', sizeof data);
	CHECK_OK(sink_pair(fd));
	CHECK_ERR(sink_take(fd[1], frame, &at, &n), ERR_AGAIN);
	CHECK_OK(sink_send(fd[0], 0x0123456789abcdef, data, sizeof data, true));
	CHECK_OK(sink_send(fd[0], 7, "y", 1, true));
	CHECK_OK(sink_take(fd[1], frame, &at, &n));
	CHECK(at == 0x0123456789abcdef && n == SINK_FRAME_MAX);
	CHECK(memcmp(frame + SINK_FRAME_HEAD, data, n) == 0);
	CHECK_OK(sink_take(fd[1], frame, &at, &n));
	CHECK(at == 7 && n == 1 && frame[SINK_FRAME_HEAD] == 'y');
	(void)close(fd[0]);
	CHECK_ERR(sink_take(fd[1], frame, &at, &n), ERR_CLOSED);
}

TEST(wrong_sizes_and_ends_are_errors)
{
	int fd[2];
	uint64_t at = 5;
	size_t n = 5;
	CHECK_OK(sink_pair(fd));
	CHECK_ERR(sink_send(fd[0], 0, "", 0, true), ERR_INVALID);
	CHECK_ERR(sink_send(fd[0], 0, frame, SINK_FRAME_MAX + 1, true), ERR_INVALID);
	CHECK(write(fd[0], frame, SINK_FRAME_HEAD) == SINK_FRAME_HEAD); /* no data */
	CHECK_ERR(sink_take(fd[1], frame, &at, &n), ERR_PROTOCOL);
	CHECK(write(fd[0], frame, sizeof frame) == (ssize_t)sizeof frame); /* too much */
	CHECK_ERR(sink_take(fd[1], frame, &at, &n), ERR_PROTOCOL);
	CHECK(at == 5 && n == 5);
	enum err e = OK;
	for (int k = 0; k < 100000 && !e; k++)
		e = sink_send(fd[0], 0, "x", 1, false);
	CHECK_ERR(e, ERR_AGAIN);
	(void)close(fd[1]);
	CHECK_ERR(sink_send(fd[0], 0, "x", 1, true), ERR_CLOSED);
}

TEST(a_source_and_a_login_come_through)
{
	struct egress_fetch f = fetch(), got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	f.method = STR("PUT");
	f.source_fd = dup(2);
	f.source_bytes = 77;
	f.login = 9;
	ipc_out_init(&o, EGRESS_FETCH, 4);
	egress_fetch_put(&o, &f);
	CHECK_EQ_INT(f.source_fd, -1);
	pass(&o, &i);
	CHECK_OK(egress_fetch_get(&i, &got));
	CHECK(got.source_bytes == 77 && got.login == 9 && got.source_fd != got.sink_fd);
	CHECK(fcntl(got.source_fd, F_GETFD) >= 0 && fcntl(got.sink_fd, F_GETFD) >= 0);
	(void)close(got.source_fd);
	(void)close(got.sink_fd);
	CHECK(egress_only_asks(STR("GET")) && egress_only_asks(STR("HEAD")));
	CHECK(!egress_only_asks(STR("PUT")) && !egress_only_asks(STR("get")));
}

TEST(a_login_names_a_place)
{
	for (int bad = 0; bad < 3; bad++) {
		struct egress_login l = { .number = bad == 1 ? 0 : 3,
			.host = STR("reg.firma.de"),
			.port = bad == 2 ? 0 : 443,
			.user = STR("u"),
			.password = STR("p") }, got;
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, EGRESS_LOGIN, 0);
		egress_login_put(&o, &l);
		pass(&o, &i);
		CHECK_ERR(egress_login_get(&i, &got), bad ? ERR_PROTOCOL : OK);
		if (bad)
			continue;
		CHECK(got.number == 3 && got.port == 443);
		CHECK_EQ_STR(got.host, STR("reg.firma.de"));
		CHECK_EQ_STR(got.user, STR("u"));
		CHECK_EQ_STR(got.password, STR("p"));
	}
}
