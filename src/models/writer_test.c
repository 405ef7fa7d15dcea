#include "models/writer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hex.h"
#include "models/journal.h"
#include "os/fd.h"
#include "proto/sink.h"
#include "tests/test.h"

enum { SIZE = 3 * 1024 * 1024 + 77, WAIT_MS = 10000 };

/* A writer in a child, and what its peers hold. */
struct rig {
	pid_t pid;
	struct ipc *control;
	int sink, file, journal;
	uint8_t *data;
	struct writer_event ev;
};

static struct rig rig_new(size_t size, int source)
{
	struct rig r = { .sink = -1 };
	int control[2], sink[2] = { -1, -1 };
	char path[4200];
	struct writer_job j = { .size = size, .source_fd = source };
	r.data = malloc(size + 1);
	for (size_t i = 0; i < size; i++)
		r.data[i] = (uint8_t)(i * 2654435761u >> 13);
	sha256_of(r.data, size, j.digest);
	(void)snprintf(path, sizeof path, "%s/part", test_dir());
	r.file = j.file_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	(void)snprintf(path, sizeof path, "%s/journal", test_dir());
	r.journal = j.journal_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_OK(ipc_pair(control));
	if (source < 0)
		CHECK_OK(sink_pair(sink));
	r.sink = sink[0];
	j.sink_fd = sink[1];
	r.pid = fork();
	if (r.pid == 0) {
		(void)close(control[0]);
		if (sink[0] >= 0)
			(void)close(sink[0]);
		if (ipc_new(control[1], &j.control))
			_exit(99);
		_exit(writer_job_main(&j));
	}
	(void)close(control[1]);
	if (sink[1] >= 0)
		(void)close(sink[1]);
	CHECK_OK(ipc_new(control[0], &r.control));
	CHECK_OK(writer_wait(r.control, WAIT_MS, &r.ev));
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_STATE);
	return r;
}

static int rig_end(struct rig *r)
{
	int status = 0;
	r->control = ipc_free(r->control);
	if (r->sink >= 0)
		(void)close(r->sink);
	CHECK_EQ_INT(waitpid(r->pid, &status, 0), r->pid);
	(void)close(r->file);
	(void)close(r->journal);
	free(r->data);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void send_range(struct rig *r, size_t from, size_t to)
{
	while (from < to) {
		size_t n = to - from < SINK_FRAME_MAX ? to - from : SINK_FRAME_MAX;
		CHECK_OK(sink_send(r->sink, from, r->data + from, n, true));
		from += n;
	}
}

/* The next event that is not about progress. */
static void next_event(struct rig *r)
{
	do
		CHECK_OK(writer_wait(r->control, WAIT_MS, &r->ev));
	while (r->ev.kind == WRITER_EV_PROGRESS);
}

static void check_file(struct rig *r, size_t size)
{
	uint8_t *back = malloc(size + 1);
	CHECK_OK(fd_pread_full(r->file, back, size, 0));
	CHECK(!memcmp(back, r->data, size));
	free(back);
}

TEST(bytes_in_any_order_make_the_whole)
{
	struct rig r = rig_new(SIZE, -1);
	CHECK_EQ_INT(r.ev.n_gaps, 1);
	CHECK_EQ_INT(r.ev.gaps[0].to, SIZE);
	for (size_t at = SIZE; at > 0;) { /* backwards, in odd pieces */
		size_t n = at > 50021 ? 50021 : at;
		send_range(&r, at - n, at);
		at -= n;
	}
	send_range(&r, 1000, 200000); /* once more */
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_WHOLE);
	check_file(&r, SIZE);
	CHECK_EQ_INT(rig_end(&r), 0);
}

TEST(an_empty_file_is_whole_at_once)
{
	struct rig r = rig_new(0, -1);
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_WHOLE);
	CHECK_EQ_INT(rig_end(&r), 0);
}

TEST(finish_says_what_is_missing_and_goes_on)
{
	struct rig r = rig_new(SIZE, -1);
	send_range(&r, 0, 1000000);
	send_range(&r, 1500000, SIZE);
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_STATE);
	CHECK_EQ_INT(r.ev.n_gaps, 1);
	CHECK_EQ_INT(r.ev.gaps[0].from, 1000000);
	CHECK_EQ_INT(r.ev.gaps[0].to, 1500000);
	send_range(&r, 1000000, 1500000);
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_WHOLE);
	CHECK_EQ_INT(rig_end(&r), 0);
}

TEST(stopped_it_goes_on_where_it_was)
{
	struct rig r = rig_new(SIZE, -1);
	send_range(&r, 0, 700000);
	send_range(&r, 2000000, 2500000);
	CHECK_EQ_INT(rig_end(&r), 3); /* the asker left: noted, ended */
	r = rig_new(SIZE, -1);
	CHECK_EQ_INT(r.ev.have, 1200000);
	CHECK_EQ_INT(r.ev.n_gaps, 2);
	for (size_t i = 0; i < r.ev.n_gaps; i++)
		send_range(&r, r.ev.gaps[i].from, r.ev.gaps[i].to);
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_WHOLE);
	check_file(&r, SIZE);
	CHECK_EQ_INT(rig_end(&r), 0);
}

TEST_TIMEOUT(killed_it_never_promises_what_it_does_not_have, 60)
{
	for (int round = 0; round < 12; round++) {
		struct rig r = rig_new(SIZE, -1);
		for (size_t g = 0; g < r.ev.n_gaps;
			g++) { /* what the journal says is there, is there */
			size_t from = g ? r.ev.gaps[g - 1].to : 0;
			size_t n = r.ev.gaps[g].from - from;
			uint8_t *back = malloc(n + 1);
			CHECK_OK(fd_pread_full(r.file, back, n, from));
			CHECK(!memcmp(back, r.data + from, n));
			free(back);
		}
		size_t from = (size_t)round * 250000;
		send_range(&r, from, from + 200000);
		if (round % 3 == 0) { /* asked: it has drained the sink, but noted nothing */
			CHECK_OK(writer_ask(r.control, WRITER_ASK));
			next_event(&r);
		}
		if (round % 2) {
			CHECK_EQ_INT(kill(r.pid, SIGKILL), 0);
			CHECK_EQ_INT(rig_end(&r), -SIGKILL);
		} else {
			CHECK_EQ_INT(rig_end(&r), 3);
		}
	}
}

TEST(wrong_bytes_are_found_and_forgotten)
{
	struct rig r = rig_new(SIZE, -1);
	char right[65];
	uint8_t sum[SHA256_LEN];
	r.data[SIZE / 2] ^= 1;
	sha256_of(r.data, SIZE, sum);
	hex_encode(sum, sizeof sum, right);
	send_range(&r, 0, SIZE);
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_MISMATCH);
	CHECK_EQ_Z(r.ev.digest, right);
	CHECK_EQ_INT(rig_end(&r), 1);
	r = rig_new(SIZE, -1); /* nobody knows which part is wrong: all is fetched again */
	CHECK_EQ_INT(r.ev.have, 0);
	CHECK_EQ_INT(rig_end(&r), 3);
}

/* A sender must not be able to change bytes that were hashed already. */
TEST(hashed_bytes_cannot_be_written_over)
{
	struct rig r = rig_new(SIZE, -1);
	uint8_t evil[1000];
	memset(evil, 0xee, sizeof evil);
	send_range(&r, 0, 500000);
	CHECK_OK(writer_ask(r.control, WRITER_ASK));
	next_event(&r);
	CHECK_OK(sink_send(r.sink, 100, evil, sizeof evil, true));
	CHECK_OK(sink_send(r.sink, 499500, evil, 500, true));
	send_range(&r, 500000, SIZE);
	CHECK_OK(writer_ask(r.control, WRITER_FINISH));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_WHOLE);
	check_file(&r, SIZE);
	CHECK_EQ_INT(rig_end(&r), 0);
}

TEST(frames_beyond_the_end_or_of_wrong_size_end_it)
{
	struct rig r = rig_new(SIZE, -1);
	send_range(&r, 0, 100000);
	CHECK_OK(sink_send(r.sink, SIZE - 10, r.data, 11, true));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_FAILED);
	CHECK_EQ_INT(r.ev.code, ERR_PROTOCOL);
	CHECK_EQ_INT(rig_end(&r), 2);
	r = rig_new(SIZE, -1);
	CHECK_EQ_INT(r.ev.have, 100000); /* the good parts are kept */
	CHECK_OK(sink_send(r.sink, UINT64_MAX - 3, r.data, 10, true));
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_FAILED);
	CHECK_EQ_INT(rig_end(&r), 2);
	r = rig_new(SIZE, -1);
	CHECK_EQ_INT(write(r.sink, r.data, SINK_FRAME_HEAD), SINK_FRAME_HEAD); /* no data in it */
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_FAILED);
	CHECK_EQ_INT(rig_end(&r), 2);
}

TEST(too_many_scattered_pieces_end_it)
{
	struct rig r = rig_new(SIZE, -1);
	/* the first two bytes stay missing, so nothing joins */
	for (size_t i = 0; i < WRITER_RANGES_MAX + 1; i++)
		if (sink_send(r.sink, 2 + i * 3, r.data, 1, true))
			break;
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_FAILED);
	CHECK_EQ_INT(r.ev.code, ERR_PROTOCOL);
	CHECK_EQ_INT(rig_end(&r), 2);
}

TEST(nonsense_on_the_control_channel_ends_it)
{
	struct rig r = rig_new(SIZE, -1);
	struct ipc_out m;
	ipc_out_init(&m, WRITER_ASK, 0);
	ipc_put_u64(&m, 1); /* a field too many */
	CHECK_OK(ipc_send(r.control, &m));
	ipc_out_done(&m);
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_FAILED);
	CHECK_EQ_INT(rig_end(&r), 2);
}

TEST(a_source_is_copied_whole)
{
	char path[4200];
	struct rig r = rig_new(SIZE, -1); /* only for its bytes */
	uint8_t *data = malloc(SIZE);
	memcpy(data, r.data, SIZE);
	CHECK_EQ_INT(rig_end(&r), 3);
	(void)snprintf(path, sizeof path, "%s/source", test_dir());
	int source = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_OK(fd_write_full(source, data, SIZE));
	r = rig_new(SIZE, source);
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_WHOLE);
	check_file(&r, SIZE);
	CHECK_EQ_INT(rig_end(&r), 0);
	CHECK_EQ_INT(unlink(path), 0);
	CHECK_EQ_INT(ftruncate(source, SIZE / 2), 0); /* a source that is shorter than it says */
	(void)snprintf(path, sizeof path, "%s/journal", test_dir());
	CHECK_EQ_INT(unlink(path), 0);
	r = rig_new(SIZE, source);
	next_event(&r);
	CHECK_EQ_INT(r.ev.kind, WRITER_EV_FAILED);
	CHECK_EQ_INT(r.ev.code, ERR_IO);
	CHECK_EQ_INT(rig_end(&r), 2);
	free(data);
	(void)close(source);
}

TEST(a_writer_that_lies_is_not_believed)
{
	int pair[2];
	struct ipc *a, *b;
	struct ipc_out m;
	struct writer_event ev;
	static const struct {
		uint64_t size, have, n, from, to;
	} states[] = {
		{ 100, 0, 1, 50, 50 },
		{ 100, 0, 1, 60, 50 },
		{ 100, 0, 1, 50, 101 },
		{ 100, 0, WRITER_GAPS_MAX + 1, 0, 100 },
		{ 100, 0, 2, 0, 100 },
	};
	CHECK_OK(ipc_pair(pair));
	CHECK_OK(ipc_new(pair[0], &a));
	CHECK_OK(ipc_new(pair[1], &b));
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		ipc_out_init(&m, WRITER_STATE, 0);
		ipc_put_u64(&m, states[i].size);
		ipc_put_u64(&m, states[i].have);
		ipc_put_u64(&m, states[i].n);
		ipc_put_u64(&m, states[i].from);
		ipc_put_u64(&m, states[i].to);
		CHECK_OK(ipc_send(a, &m));
		ipc_out_done(&m);
		CHECK_ERR(writer_wait(b, WAIT_MS, &ev), ERR_PROTOCOL);
	}
	ipc_out_init(&m, 0x7777, 0);
	CHECK_OK(ipc_send(a, &m));
	ipc_out_done(&m);
	CHECK_ERR(writer_wait(b, WAIT_MS, &ev), ERR_PROTOCOL);
	a = ipc_free(a);
	CHECK_ERR(writer_wait(b, WAIT_MS, &ev), ERR_CLOSED);
	b = ipc_free(b);
}
