#include "proto/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "os/threads.h"
#include "tests/test.h"

static struct ipc *keeper_end;
static struct keeper_link *link_;

static void set_up(void)
{
	int fd[2];
	struct ipc *c = NULL;
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &keeper_end));
	CHECK_OK(ipc_new(fd[1], &c));
	CHECK_OK(keeper_link_new(c, &link_));
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static struct server_hello hello(void)
{
	struct server_hello h = { .data_dir = STR("/srv/tresor"),
		.config = STR("{}"),
		.tls_cert = STR("C"),
		.tls_key = STR("K"),
		.n_listen = 2,
		.local_fd = dup(2) };
	h.listen_fd[0] = dup(2);
	h.listen_fd[1] = dup(2);
	memset(h.page_key, 1, KEY_LEN);
	memset(h.blob_key, 2, KEY_LEN);
	memset(h.name_key, 3, KEY_LEN);
	return h;
}

static void pass(struct ipc_out *o, struct ipc_in *i)
{
	static struct ipc *a, *b;
	int fd[2];
	if (!a) {
		CHECK_OK(ipc_pair(fd));
		CHECK_OK(ipc_new(fd[0], &a));
		CHECK_OK(ipc_new(fd[1], &b));
	}
	CHECK_OK(ipc_send(a, o));
	CHECK_OK(ipc_recv(b, i));
}

TEST(hello_comes_through)
{
	struct server_hello h = hello(), got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, HELLO, 0);
	server_hello_put(&o, &h);
	CHECK(h.local_fd == -1 && h.n_listen == 0); /* taken */
	pass(&o, &i);
	CHECK_OK(server_hello_get(&i, &got));
	CHECK_EQ_STR(got.data_dir, STR("/srv/tresor"));
	CHECK_EQ_STR(got.config, STR("{}"));
	CHECK_EQ_STR(got.tls_cert, STR("C"));
	CHECK_EQ_STR(got.tls_key, STR("K"));
	CHECK(got.page_key[31] == 1 && got.blob_key[0] == 2 && got.name_key[9] == 3);
	CHECK(got.n_listen == 2 && fcntl(got.listen_fd[1], F_GETFD) >= 0 && got.listen_fd[2] == -1);
	CHECK(fcntl(got.local_fd, F_GETFD) >= 0);
}

TEST(hello_needs_no_sockets)
{
	struct server_hello h = { .local_fd = -1 }, got;
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	ipc_out_init(&o, HELLO, 0);
	server_hello_put(&o, &h);
	pass(&o, &i);
	CHECK_OK(server_hello_get(&i, &got));
	CHECK(got.n_listen == 0 && got.local_fd == -1 && got.listen_fd[0] == -1);
}

TEST(a_bad_hello_closes_its_descriptors)
{
	struct server_hello h = hello(), got;
	struct ipc_out o;
	struct ipc_in i = { 0 };
	ipc_out_init(&o, HELLO, 0);
	server_hello_put(&o, &h);
	ipc_put_u64(&o, 1); /* one field too many */
	pass(&o, &i);
	unsigned before = open_fds();
	CHECK_ERR(server_hello_get(&i, &got), ERR_PROTOCOL);
	ipc_in_done(&i);
	CHECK_EQ_INT(open_fds(), before - 3);
}

TEST(attach_names_the_peer)
{
	for (unsigned role = 0; role < 6; role++) {
		struct ipc_out o;
		AUTO_IPC_IN struct ipc_in i = { 0 };
		enum role peer;
		int fd = -1;
		ipc_out_init(&o, ATTACH, 0);
		attach_put(&o, (enum role)role, dup(2));
		pass(&o, &i);
		CHECK_ERR(attach_get(&i, &peer, &fd), role <= ROLE_JAIL ? OK : ERR_PROTOCOL);
		CHECK(role > ROLE_JAIL ? fd == -1 : peer == (enum role)role && fd > 2);
	}
}

/* ---- the link ---- */

static atomic_bool stop;

/* A keeper that answers id + 1000 to even ids and refuses odd ones; also sends a notice each
 * time. */
static void *keeper(void *arg)
{
	unsigned *limit = arg;
	for (unsigned n = 0; !limit || n < *limit; n++) {
		AUTO_IPC_IN struct ipc_in i = { 0 };
		struct ipc_out o;
		enum err e;
		while ((e = ipc_recv_wait(keeper_end, 20, &i)) == ERR_TIMEOUT)
			if (atomic_load(&stop))
				return NULL;
		if (e)
			return NULL;
		ipc_out_init(&o, TLS_NEW, 0);
		ipc_put_u64(&o, i.id);
		if (ipc_send(keeper_end, &o) != OK)
			return NULL;
		ipc_out_init(&o, ANSWER, i.id);
		if (i.id % 2) {
			answer_put(&o, ERR_CONFLICT, STR("odd"));
		} else {
			answer_put(&o, OK, STR(""));
			ipc_put_u64(&o, i.id + 1000);
		}
		if (ipc_send(keeper_end, &o) != OK || ipc_drain(keeper_end, 5000) != OK)
			return NULL;
	}
	return NULL;
}

static atomic_uint notices;
static void on_message(struct ipc_in *m, void *arg)
{
	CHECK(arg == &notices && m->type == TLS_NEW);
	CHECK(ipc_get_u64(m) > 0);
	CHECK_OK(ipc_end(m));
	atomic_fetch_add(&notices, 1);
}

static void call_once(void)
{
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	struct err_info info = { 0 };
	ipc_out_init(&o, ASK_KEY_INFO, 0);
	enum err e = keeper_call(link_, &o, 10000, &i, &info);
	if (e == OK) {
		CHECK_EQ_INT(ipc_get_u64(&i), i.id + 1000);
		CHECK_OK(ipc_end(&i));
	} else {
		CHECK_ERR(e, ERR_CONFLICT);
		CHECK_EQ_Z(info.detail, "odd");
		CHECK_EQ_INT(info.code, ERR_CONFLICT);
		CHECK(i.mem_ == NULL);
	}
}

TEST(calls_work_before_any_pump_and_notices_wait_for_it)
{
	pthread_t t;
	set_up();
	CHECK_OK(thread_start("keeper", 0, keeper, NULL, &t));
	for (int k = 0; k < 10; k++)
		call_once();
	CHECK_EQ_INT(atomic_load(&notices), 0);
	CHECK_OK(keeper_link_pump(link_, on_message, &notices));
	CHECK_EQ_INT(atomic_load(&notices), 10);
	atomic_store(&stop, true);
	CHECK(pthread_join(t, NULL) == 0);
	link_ = keeper_link_free(link_);
	ipc_free(keeper_end);
}

static void *caller(void *arg)
{
	for (int k = 0; k < 300; k++)
		call_once();
	return arg;
}

static void *pump(void *arg)
{
	struct pollfd p = { .fd = keeper_link_fd(link_), .events = POLLIN };
	while (!atomic_load(&stop)) {
		(void)poll(&p, 1, 20);
		if (keeper_link_pump(link_, on_message, &notices) != OK)
			break;
	}
	return arg;
}

TEST(many_threads_call_while_one_pumps)
{
	enum { CALLERS = 4 };
	pthread_t t[CALLERS], k, p;
	set_up();
	CHECK_OK(thread_start("keeper", 0, keeper, NULL, &k));
	for (int n = 0; n < CALLERS; n++) { /* the pump comes in the middle */
		CHECK_OK(thread_start("caller", 0, caller, NULL, &t[n]));
		if (n == 1)
			CHECK_OK(thread_start("pump", 0, pump, NULL, &p));
	}
	for (int n = 0; n < CALLERS; n++)
		CHECK(pthread_join(t[n], NULL) == 0);
	for (int n = 0; n < 500 && atomic_load(&notices) < CALLERS * 300; n++)
		(void)usleep(10000);
	CHECK_EQ_INT(atomic_load(&notices), CALLERS * 300);
	atomic_store(&stop, true);
	CHECK(pthread_join(p, NULL) == 0 && pthread_join(k, NULL) == 0);
	link_ = keeper_link_free(link_);
	ipc_free(keeper_end);
}

TEST(a_call_without_an_answer_times_out_and_a_late_answer_harms_nobody)
{
	struct ipc_out o;
	struct ipc_in i = { 0 }, asked = { 0 };
	set_up();
	ipc_out_init(&o, ASK_KEY_INFO, 0);
	int64_t start = time_mono_ms();
	CHECK_ERR(keeper_call(link_, &o, 80, &i, NULL), ERR_TIMEOUT);
	CHECK(time_mono_ms() - start >= 75);
	CHECK_OK(ipc_recv(keeper_end, &asked));
	ipc_out_init(&o, ANSWER, asked.id);
	answer_put(&o, OK, STR(""));
	CHECK_OK(ipc_send(keeper_end, &o));
	ipc_in_done(&asked);
	CHECK_OK(keeper_link_pump(link_, on_message, &notices));
	CHECK_EQ_INT(atomic_load(&notices), 0);
	link_ = keeper_link_free(link_);
	ipc_free(keeper_end);
}

static void *leave_soon(void *arg)
{
	(void)usleep(30000);
	keeper_end = ipc_free(keeper_end);
	return arg;
}

TEST(callers_wake_when_the_keeper_is_gone)
{
	pthread_t t;
	struct ipc_out o;
	struct ipc_in i = { 0 };
	set_up();
	CHECK_OK(thread_start("leave", 0, leave_soon, NULL, &t));
	ipc_out_init(&o, ASK_KEY_INFO, 0);
	CHECK_ERR(keeper_call(link_, &o, 10000, &i, NULL), ERR_CLOSED);
	ipc_out_init(&o, ASK_KEY_INFO, 0);
	CHECK_ERR(keeper_call(link_, &o, 10000, &i, NULL), ERR_CLOSED);
	CHECK_ERR(keeper_link_pump(link_, on_message, &notices), ERR_CLOSED);
	ipc_out_init(&o, READY, 0);
	CHECK_ERR(keeper_tell(link_, &o), ERR_CLOSED);
	CHECK(pthread_join(t, NULL) == 0);
	link_ = keeper_link_free(link_);
}

static void *long_call(void *ret_err)
{
	struct ipc_out o;
	struct ipc_in i = { 0 };
	ipc_out_init(&o, ASK_KEY_INFO, 0);
	*(enum err *)ret_err = keeper_call(link_, &o, 60000, &i, NULL);
	ipc_in_done(&i);
	return NULL;
}

static void wait_asked(struct ipc_in *ret)
{
	enum err e = ERR_AGAIN;
	for (int n = 0; n < 500 && e == ERR_AGAIN; n++) {
		e = ipc_recv(keeper_end, ret);
		(void)usleep(10000);
	}
	CHECK_OK(e);
}

TEST(at_the_end_callers_read_for_themselves_and_then_nobody_waits)
{
	pthread_t t;
	struct ipc_out o;
	struct ipc_in asked = { 0 };
	enum err got = ERR_INTERNAL;
	set_up();
	CHECK_OK(keeper_link_pump(link_, on_message, &notices));
	CHECK_OK(thread_start("long", 0, long_call, &got, &t));
	wait_asked(&asked);
	keeper_link_unpump(link_);
	ipc_out_init(&o, ANSWER, asked.id);
	answer_put(&o, OK, STR(""));
	CHECK_OK(ipc_send(keeper_end, &o)); /* nobody pumps: the caller finds it */
	CHECK(pthread_join(t, NULL) == 0);
	CHECK_OK(got);
	ipc_in_done(&asked);
	int64_t start = time_mono_ms();
	CHECK_OK(thread_start("long", 0, long_call, &got, &t));
	wait_asked(&asked);
	keeper_link_close(link_);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK_ERR(got, ERR_CLOSED);
	CHECK(time_mono_ms() - start < 5000);
	ipc_in_done(&asked);
	link_ = keeper_link_free(link_);
	ipc_free(keeper_end);
}

TEST(an_answer_that_is_no_answer_is_a_protocol_error)
{
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	set_up();
	ipc_out_init(&o, ANSWER, 1); /* the id that the first call will have */
	ipc_put_u64(&o, 999999);
	ipc_put_str(&o, STR("x"));
	CHECK_OK(ipc_send(keeper_end, &o));
	ipc_out_init(&o, ASK_KEY_INFO, 0);
	CHECK_ERR(keeper_call(link_, &o, 1000, &i, NULL), ERR_PROTOCOL);
	link_ = keeper_link_free(link_);
	ipc_free(keeper_end);
}

TEST(tell_sends_and_waits_for_nothing)
{
	struct ipc_out o;
	AUTO_IPC_IN struct ipc_in i = { 0 };
	set_up();
	ipc_out_init(&o, READY, 0);
	CHECK_OK(keeper_tell(link_, &o));
	CHECK_OK(ipc_recv(keeper_end, &i));
	CHECK_EQ_INT(i.type, READY);
	link_ = keeper_link_free(link_);
	ipc_free(keeper_end);
}

TEST(failures_are_reported_and_leave_nothing)
{
	for (int kind = 0; kind < FAULT_KINDS; kind++)
		FOR_EACH_FAULT((enum fault_kind)kind, n)
		{
			unsigned before = open_fds();
			int fd[2] = { -1, -1 };
			struct ipc *c = NULL;
			AUTO_IPC_IN struct ipc_in i = { 0 };
			enum err e = ipc_pair(fd);
			bool paired = !e;
			keeper_end = NULL;
			link_ = NULL;
			if (!e)
				e = ipc_new(fd[0], &keeper_end);
			if (!e)
				e = ipc_new(fd[1], &c);
			else if (paired)
				(void)close(fd[1]);
			if (!e)
				e = keeper_link_new(c, &link_);
			if (!e) {
				struct ipc_out o;
				ipc_out_init(
					&o, ANSWER, 1); /* waits there before it is asked for */
				answer_put(&o, OK, STR(""));
				e = ipc_send(keeper_end, &o);
			}
			if (!e) {
				struct ipc_out o;
				ipc_out_init(&o, ASK_KEY_INFO, 0);
				e = keeper_call(link_, &o, 1000, &i, NULL);
			}
			CHECK((e != OK) == fault_fired((enum fault_kind)kind));
			CHECK(e == OK || e == ERR_NOMEM || e == ERR_IO);
			ipc_in_done(&i);
			keeper_link_free(link_);
			ipc_free(keeper_end);
			CHECK_EQ_INT(open_fds(), before);
		}
}
