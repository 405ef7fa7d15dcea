#include "os/ipc.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "os/fd.h"
#include "os/ipc_wire.h"
#include "os/threads.h"
#include "tests/test.h"

struct ends {
	struct ipc *a, *b;
};

static struct ends pair(void)
{
	int fd[2];
	struct ends e = { 0 };
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &e.a));
	CHECK_OK(ipc_new(fd[1], &e.b));
	return e;
}

static void part(struct ends *e)
{
	ipc_free(e->a);
	ipc_free(e->b);
}
#define AUTO_ENDS [[gnu::cleanup(part)]]

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

TEST(every_type_goes_through)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	static const int32_t tokens[] = { 1, -2, INT32_MAX };
	ipc_out_init(&o, 0x123, 77);
	ipc_put_u64(&o, UINT64_MAX);
	ipc_put_i64(&o, INT64_MIN);
	ipc_put_f64(&o, -0.125);
	ipc_put_bool(&o, true);
	ipc_put_str(&o, (struct str){ "a\0b", 3 });
	ipc_put_str(&o, STR_NONE);
	ipc_put_i32s(&o, tokens, 3);
	ipc_put_i32s(&o, NULL, 0);
	ipc_put_fd(&o, dup(2));
	CHECK_OK(ipc_send(e.a, &o));
	CHECK_OK(ipc_recv(e.b, &i));
	CHECK_EQ_INT(i.type, 0x123);
	CHECK_EQ_INT(i.id, 77);
	CHECK(ipc_get_u64(&i) == UINT64_MAX);
	CHECK(ipc_get_i64(&i) == INT64_MIN);
	CHECK(ipc_get_f64(&i) == -0.125);
	CHECK(ipc_get_bool(&i));
	CHECK_EQ_STR(ipc_get_str(&i), ((struct str){ "a\0b", 3 }));
	CHECK_EQ_INT(ipc_get_str(&i).len, 0);
	size_t n;
	const int32_t *t = ipc_get_i32s(&i, &n);
	CHECK(n == 3 && t[1] == -2 && t[2] == INT32_MAX && (uintptr_t)t % 4 == 0);
	CHECK(ipc_get_i32s(&i, &n) == NULL && n == 0);
	CHECK(ipc_more(&i));
	int fd = ipc_get_fd(&i);
	CHECK(fd > 2 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	(void)close(fd);
	CHECK(!ipc_more(&i));
	CHECK_OK(ipc_end(&i));
	CHECK_ERR(ipc_recv(e.b, &(struct ipc_in){ 0 }), ERR_AGAIN);
}

TEST(long_strings_travel_by_memory)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	AUTO_BUF struct buf big = BUF(1 << 21);
	CHECK_OK(buf_add_zeros(&big, 1000003));
	random_bytes(big.ptr, big.len);
	ipc_out_init(&o, 1, 1);
	ipc_put_str(&o, STR("before"));
	ipc_put_str(&o, buf_str(&big));
	ipc_put_i32s(&o, (const int32_t *)(const void *)big.ptr, 20000);
	ipc_put_str(&o, STR("after"));
	CHECK_EQ_INT(o.nfds, 2);
	CHECK_OK(ipc_send(e.a, &o));
	CHECK_OK(ipc_recv(e.b, &i));
	CHECK_EQ_STR(ipc_get_str(&i), STR("before"));
	struct str s = ipc_get_str(&i);
	CHECK(str_eq(s, buf_str(&big)));
	size_t n;
	const int32_t *t = ipc_get_i32s(&i, &n);
	CHECK(n == 20000 && memcmp(t, big.ptr, 80000) == 0);
	CHECK_EQ_STR(ipc_get_str(&i), STR("after"));
	CHECK_OK(ipc_end(&i));
}

TEST(lengths_around_the_inline_limit)
{
	AUTO_ENDS struct ends e = pair();
	AUTO_BUF struct buf b = BUF(1 << 20);
	CHECK_OK(buf_add_zeros(&b, LIMIT_IPC_INLINE + 9));
	for (size_t len = LIMIT_IPC_INLINE - 9; len <= LIMIT_IPC_INLINE + 9; len++) {
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		ipc_out_init(&o, 1, 1);
		for (int k = 0; k < 6; k++) /* more than one datagram holds inline */
			ipc_put_str(&o, str_sub(buf_str(&b), 0, len));
		CHECK_OK(ipc_send(e.a, &o));
		CHECK_OK(ipc_recv(e.b, &i));
		for (int k = 0; k < 6; k++)
			CHECK_EQ_INT(ipc_get_str(&i).len, len);
		CHECK_OK(ipc_end(&i));
	}
}

TEST(getters_check_the_type)
{
	AUTO_ENDS struct ends e = pair();
	for (int wrong = 0; wrong < 7; wrong++) {
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		size_t n;
		ipc_out_init(&o, 1, 1);
		if (wrong == 0)
			ipc_put_i64(&o, 1);
		else
			ipc_put_u64(&o, 2);
		CHECK_OK(ipc_send(e.a, &o));
		CHECK_OK(ipc_recv(e.b, &i));
		switch (wrong) {
		case 0: CHECK(ipc_get_u64(&i) == 0); break;
		case 1: CHECK(ipc_get_i64(&i) == 0); break;
		case 2: CHECK(ipc_get_f64(&i) == 0); break;
		case 3: CHECK(!ipc_get_bool(&i)); break;
		case 4: CHECK(ipc_get_str(&i).len == 0); break;
		case 5: CHECK(ipc_get_i32s(&i, &n) == NULL && n == 0); break;
		default: CHECK(ipc_get_fd(&i) == -1);
		}
		CHECK_ERR(ipc_end(&i), ERR_PROTOCOL);
	}
}

TEST(end_insists_on_the_last_byte)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, 1, 1);
	ipc_put_u64(&o, 1);
	CHECK_OK(ipc_send(e.a, &o));
	CHECK_OK(ipc_recv(e.b, &i));
	CHECK_ERR(ipc_end(&i), ERR_PROTOCOL);
	ipc_in_done(&i);
	unsigned before = open_fds();
	ipc_out_init(&o, 1, 1); /* a descriptor nobody took */
	ipc_put_fd(&o, dup(2));
	CHECK_OK(ipc_send(e.a, &o));
	CHECK_OK(ipc_recv(e.b, &i));
	CHECK_ERR(ipc_end(&i), ERR_PROTOCOL);
	ipc_in_done(&i);
	CHECK_EQ_INT(open_fds(), before);
	CHECK(ipc_get_u64(&i) == 0); /* reading past everything is only an error */
}

/* Sends raw bytes as a peer of another build, or a broken one, would. */
static void send_raw(struct ipc *c, const void *p, size_t n, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int) * 32)];
	} control = { .space = { 0 } };
	struct iovec data = { (void *)(uintptr_t)p, n };
	struct msghdr h = { .msg_iov = &data, .msg_iovlen = 1 };
	if (n_fds) {
		h.msg_control = control.space;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS,
						 .cmsg_len = CMSG_LEN(sizeof(int) * n_fds) };
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n_fds);
	}
	CHECK(sendmsg(ipc_fd(c), &h, 0) == (ssize_t)n);
}

TEST(a_bad_header_is_refused)
{
	AUTO_ENDS struct ends e = pair();
	struct wire_header good = {
		.protocol = ipc_protocol_hash(), .type = 1, .bytes = sizeof good
	};
	struct ipc_in i = { 0 };
	send_raw(e.a, &good, sizeof good, NULL, 0);
	CHECK_OK(ipc_recv(e.b, &i));
	CHECK_OK(ipc_end(&i));
	ipc_in_done(&i);
	for (size_t n = 1; n < sizeof good; n++) {
		send_raw(e.a, &good, n, NULL, 0);
		CHECK_ERR(ipc_recv(e.b, &i), ERR_PROTOCOL);
	}
	struct wire_header h = good;
	h.protocol++; /* another build */
	send_raw(e.a, &h, sizeof h, NULL, 0);
	CHECK_ERR(ipc_recv(e.b, &i), ERR_PROTOCOL);
	h = good;
	h.bytes++;
	send_raw(e.a, &h, sizeof h, NULL, 0);
	CHECK_ERR(ipc_recv(e.b, &i), ERR_PROTOCOL);
	h = good;
	h.nfds = 1;
	send_raw(e.a, &h, sizeof h, NULL, 0);
	CHECK_ERR(ipc_recv(e.b, &i), ERR_PROTOCOL);
}

TEST(too_many_descriptors_or_bytes_are_refused_and_closed)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_in i = { 0 };
	int fds[20];
	char *big = calloc(1, LIMIT_IPC_MESSAGE + 1);
	struct wire_header h = { .protocol = ipc_protocol_hash(), .bytes = sizeof h };
	for (size_t k = 0; k < 20; k++)
		fds[k] = 2;
	unsigned before = open_fds();
	for (size_t n = 1; n <= 20; n++) {
		h.nfds = (uint16_t)n;
		send_raw(e.a, &h, sizeof h, fds, n);
		CHECK_ERR(ipc_recv(e.b, &i), n <= LIMIT_IPC_FDS ? OK : ERR_PROTOCOL);
		ipc_in_done(&i);
		CHECK_EQ_INT(open_fds(), before);
	}
	h.nfds = 0;
	h.bytes = LIMIT_IPC_MESSAGE + 1;
	memcpy(big, &h, sizeof h);
	send_raw(e.a, big, LIMIT_IPC_MESSAGE + 1, NULL, 0);
	CHECK_ERR(ipc_recv(e.b, &i), ERR_PROTOCOL);
	free(big);
}

/* A message with one STR_MEM field of `claimed` bytes over the descriptor. */
static enum err receive_memory(int fd, uint64_t claimed)
{
	AUTO_ENDS struct ends e = pair();
	AUTO_IPC_IN struct ipc_in i = { 0 };
	struct {
		struct wire_header h;
		struct wire_field f;
		uint64_t len;
	} m = { { .protocol = ipc_protocol_hash(), .nfds = 1, .bytes = sizeof m },
		{ .tag = WIRE_STR_MEM, .bytes = 8 }, claimed };
	send_raw(e.a, &m, sizeof m, &fd, 1);
	CHECK_OK(ipc_recv(e.b, &i));
	(void)ipc_get_str(&i);
	return ipc_end(&i);
}

TEST(only_sealed_memory_of_the_right_size_is_mapped)
{
	AUTO_FD int good = -1, plain = -1, file = -1;
	CHECK_OK(fd_memfd("t", STR("12345"), &good));
	CHECK_OK(receive_memory(good, 5));
	CHECK_ERR(receive_memory(good, 4), ERR_PROTOCOL);
	CHECK_ERR(receive_memory(good, 6), ERR_PROTOCOL);
	CHECK_ERR(receive_memory(good, 0), ERR_PROTOCOL);
	CHECK_ERR(receive_memory(good, UINT64_MAX), ERR_PROTOCOL);
	CHECK_ERR(receive_memory(good, (uint64_t)LIMIT_IPC_BULK + 1), ERR_PROTOCOL);
	static const int seals[] = { 0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
	plain = memfd_create("p", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	CHECK(write(plain, "12345", 5) == 5);
	for (int k = 0; k < 3; k++) { /* all three are needed */
		CHECK(k == 0 || fcntl(plain, F_ADD_SEALS, seals[k]) == 0);
		CHECK_ERR(receive_memory(plain, 5), ERR_PROTOCOL);
	}
	CHECK(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	CHECK_OK(receive_memory(plain, 5));
	CHECK_OK(fd_open("/proc/self/exe", O_RDONLY, 0, &file));
	CHECK_ERR(receive_memory(file, 5), ERR_PROTOCOL);
	CHECK_ERR(receive_memory(0, 5), ERR_PROTOCOL);
}

TEST(fields_that_claim_more_than_there_is)
{
	static const uint32_t claims[] = { 1, 9, 0x7fffffff, 0xfffffff8, 0xffffffff };
	for (size_t k = 0; k < sizeof claims / sizeof *claims; k++) {
		AUTO_ENDS struct ends e = pair();
		AUTO_IPC_IN struct ipc_in i = { 0 };
		struct {
			struct wire_header h;
			struct wire_field f;
		} m = { { .protocol = ipc_protocol_hash(), .bytes = sizeof m },
			{ .tag = WIRE_STR, .bytes = claims[k] } };
		send_raw(e.a, &m, sizeof m, NULL, 0);
		CHECK_OK(ipc_recv(e.b, &i));
		CHECK_EQ_INT(ipc_get_str(&i).len, 0);
		CHECK_ERR(ipc_end(&i), ERR_PROTOCOL);
	}
}

TEST(building_errors_stick_and_close_descriptors)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_out o;
	unsigned before = open_fds();
	ipc_out_init(&o, 1, 1);
	for (int k = 0; k <= LIMIT_IPC_FDS; k++)
		ipc_put_fd(&o, dup(2));
	ipc_put_u64(&o, 1);
	CHECK_ERR(ipc_send(e.a, &o), ERR_LIMIT);
	CHECK_EQ_INT(open_fds(), before);
	ipc_out_init(&o, 1, 1);
	ipc_put_str(&o, (struct str){ "", (size_t)LIMIT_IPC_BULK + 1 });
	CHECK_ERR(ipc_send(e.a, &o), ERR_LIMIT);
	ipc_out_init(&o, 1, 1);
	ipc_put_fd(&o, -1);
	CHECK_ERR(ipc_send(e.a, &o), ERR_INTERNAL);
	CHECK_ERR(ipc_recv(e.b, &(struct ipc_in){ 0 }), ERR_AGAIN); /* nothing half went out */
}

static void send_number(struct ipc *c, uint64_t v, enum err want)
{
	static const char filling[8000];
	struct ipc_out o;
	ipc_out_init(&o, 1, v);
	ipc_put_u64(&o, v);
	ipc_put_str(&o, (struct str){ filling, sizeof filling });
	CHECK_ERR(ipc_send(c, &o), want);
}

TEST(a_full_socket_queues_in_order)
{
	AUTO_ENDS struct ends e = pair();
	AUTO_FD int wake = eventfd(0, EFD_NONBLOCK);
	uint64_t n = 0, woken = 0;
	ipc_set_wake(e.a, wake);
	while (!ipc_wants_write(e.a))
		send_number(e.a, n++, OK);
	CHECK(read(wake, &woken, sizeof woken) == sizeof woken && woken == 1);
	for (int k = 0; k < 100; k++)
		send_number(e.a, n++, OK);
	CHECK_OK(ipc_flush(e.a));
	CHECK(ipc_wants_write(e.a));
	CHECK_ERR(ipc_drain(e.a, 20), ERR_TIMEOUT);
	for (uint64_t k = 0; k < n; k++) {
		AUTO_IPC_IN struct ipc_in i = { 0 };
		CHECK_OK(ipc_recv(e.b, &i));
		CHECK_EQ_INT(i.id, k);
		CHECK_OK(ipc_flush(e.a));
	}
	CHECK(!ipc_wants_write(e.a));
	CHECK_OK(ipc_drain(e.a, 0));
}

TEST(the_queue_has_a_limit)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_out o;
	AUTO_BUF struct buf big = BUF(LIMIT_IPC_BULK);
	CHECK_OK(buf_add_zeros(&big, LIMIT_IPC_QUEUE / 4));
	while (!ipc_wants_write(e.a))
		send_number(e.a, 1, OK);
	enum err err = OK;
	unsigned n = 0;
	for (; !err && n < 10; n++) {
		ipc_out_init(&o, 1, 1);
		ipc_put_str(&o, buf_str(&big));
		err = ipc_send(e.a, &o);
	}
	CHECK_ERR(err, ERR_LIMIT);
	CHECK_EQ_INT(n, 4); /* three quarters and the small one fit */
}

TEST(a_closed_peer_is_noticed)
{
	AUTO_ENDS struct ends e = pair();
	send_number(e.a, 1, OK);
	e.a = ipc_free(e.a);
	struct ipc_in i = { 0 };
	CHECK_OK(ipc_recv(e.b, &i)); /* what was sent before counts */
	ipc_in_done(&i);
	CHECK_ERR(ipc_recv(e.b, &i), ERR_CLOSED);
	CHECK_ERR(ipc_recv_wait(e.b, 1000, &i), ERR_CLOSED);
	send_number(e.b, 1, ERR_CLOSED);
	send_number(e.b, 1, ERR_CLOSED);
	CHECK(!ipc_wants_write(e.b));
}

TEST(waiting_has_an_end)
{
	AUTO_ENDS struct ends e = pair();
	struct ipc_in i = { 0 };
	CHECK_ERR(ipc_recv_wait(e.b, 30, &i), ERR_TIMEOUT);
	send_number(e.a, 5, OK);
	CHECK_OK(ipc_recv_wait(e.b, -1, &i));
	ipc_in_done(&i);
}

enum { SENDERS = 4, EACH = 3000 };
struct sender {
	struct ipc *c;
	uint64_t number;
};

static void *send_many(void *arg)
{
	struct sender *s = arg;
	for (uint64_t k = 0; k < EACH; k++) {
		struct ipc_out o;
		ipc_out_init(&o, 1, s->number << 32 | k);
		ipc_put_u64(&o, k);
		while (ipc_send(s->c, &o) == ERR_LIMIT)
			sched_yield();
	}
	return NULL;
}

TEST(many_threads_send_on_one_channel)
{
	AUTO_ENDS struct ends e = pair();
	struct sender s[SENDERS];
	pthread_t t[SENDERS];
	uint64_t seen[SENDERS] = { 0 };
	for (uint64_t k = 0; k < SENDERS; k++) {
		s[k] = (struct sender){ e.a, k };
		CHECK_OK(thread_start("sender", 0, send_many, &s[k], &t[k]));
	}
	for (int k = 0; k < SENDERS * EACH; k++) {
		AUTO_IPC_IN struct ipc_in i = { 0 };
		enum err err;
		while ((err = ipc_recv_wait(e.b, 5, &i)) == ERR_TIMEOUT)
			CHECK_OK(ipc_flush(e.a));
		CHECK_OK(err);
		CHECK(i.id >> 32 < SENDERS);
		CHECK_EQ_INT(i.id & 0xffffffff, seen[i.id >> 32]++); /* in order per sender */
		CHECK_OK(ipc_flush(e.a));
	}
	for (int k = 0; k < SENDERS; k++)
		CHECK(pthread_join(t[k], NULL) == 0);
}

TEST(every_failed_allocation_and_call_is_reported_and_leaks_nothing)
{
	AUTO_BUF struct buf big = BUF(1 << 20);
	CHECK_OK(buf_add_zeros(&big, 100000));
	for (int kind = 0; kind < FAULT_KINDS; kind++)
		FOR_EACH_FAULT((enum fault_kind)kind, n)
		{
			unsigned before = open_fds();
			int fd[2];
			struct ends e = { 0 };
			AUTO_IPC_IN struct ipc_in i = { 0 };
			enum err err = ipc_pair(fd);
			bool paired = !err;
			if (!err)
				err = ipc_new(fd[0], &e.a);
			if (!err)
				err = ipc_new(fd[1], &e.b);
			else if (paired)
				(void)close(fd[1]);
			if (!err) {
				struct ipc_out o;
				ipc_out_init(&o, 1, 1);
				ipc_put_str(&o, buf_str(&big));
				ipc_put_fd(&o, dup(2));
				err = ipc_send(e.a, &o);
			}
			if (!err)
				err = ipc_recv_wait(e.b, 1000, &i);
			if (!err) {
				(void)ipc_get_str(&i);
				int got = ipc_get_fd(&i);
				if (got >= 0)
					(void)close(got);
				err = ipc_end(&i);
			}
			bool hit = fault_fired((enum fault_kind)kind);
			CHECK((err != OK) == hit);
			CHECK(!hit ||
				err != ERR_PROTOCOL); /* our own trouble is not the peer's fault */
			ipc_in_done(&i);
			part(&e);
			CHECK_EQ_INT(open_fds(), before);
		}
}
