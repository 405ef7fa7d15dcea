#include "net/egress_client.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "tests/test.h"

/* The other end is played here: what an egress says, also a lying one. */
struct play {
	struct egress_client *client;
	struct ipc *egress;
};
struct seen {
	int heads, datas, dones, faileds;
	enum err code;
	uint64_t bytes;
	char data[64];
};

static void on_event(const struct egress_event *e, void *arg)
{
	struct seen *s = arg;
	s->heads += e->kind == EGRESS_EV_HEAD;
	s->dones += e->kind == EGRESS_EV_DONE;
	if (e->kind == EGRESS_EV_DATA) {
		s->datas++;
		CHECK_OK(str_copy(e->data, s->data, sizeof s->data));
	}
	if (e->kind == EGRESS_EV_DONE)
		s->bytes = e->done.bytes;
	if (e->kind == EGRESS_EV_FAILED) {
		s->faileds++;
		s->code = e->failed.code;
	}
}

static void attach(struct play *p)
{
	int fd[2];
	struct ipc *mine;
	CHECK_OK(ipc_pair(fd));
	CHECK_OK(ipc_new(fd[0], &mine));
	p->egress = ipc_free(p->egress);
	CHECK_OK(ipc_new(fd[1], &p->egress));
	CHECK_OK(egress_client_attach(p->client, mine));
}

static struct play play(void)
{
	static struct egress_policy_entry e[ALLOW_MAX];
	struct play p = { 0 };
	size_t n;
	CHECK_OK(egress_client_new(&p.client));
	CHECK_EQ_INT(egress_client_fd(p.client), -1);
	attach(&p);
	AUTO_IPC_IN struct ipc_in m = { 0 };
	CHECK_OK(ipc_recv_wait(p.egress, 1000, &m));
	CHECK_EQ_INT(m.type, EGRESS_POLICY);
	CHECK_OK(egress_policy_get(&m, e, ALLOW_MAX, &n));
	CHECK(n > 3);
	return p;
}

static void end(struct play *p)
{
	p->client = egress_client_free(p->client);
	p->egress = ipc_free(p->egress);
}

static uint64_t start(struct play *p, struct seen *s)
{
	struct egress_fetch f = {
		.source_fd = -1,
		.method = STR("GET"), .url = STR("https://hf.co/x"), .sink_fd = -1, .max_bytes = 100
	};
	uint64_t id;
	CHECK_OK(egress_start(p->client, &f, on_event, s, &id, NULL));
	return id;
}

static void say_done(struct play *p, uint64_t id)
{
	struct ipc_out m;
	ipc_out_init(&m, EGRESS_DONE, id);
	egress_done_put(&m, &(struct egress_done){ 200, 5 });
	CHECK_OK(ipc_send(p->egress, &m));
	ipc_out_done(&m);
}

TEST(a_fetch_goes_out_and_its_events_come_back)
{
	struct play p = play();
	struct seen s = { 0 };
	struct egress_fetch got;
	struct ipc_out m;
	uint64_t id = start(&p, &s);
	AUTO_IPC_IN struct ipc_in q = { 0 };
	CHECK_OK(ipc_recv_wait(p.egress, 1000, &q));
	CHECK_EQ_INT(q.type, EGRESS_FETCH);
	CHECK_EQ_INT(q.id, id);
	CHECK_OK(egress_fetch_get(&q, &got));
	CHECK_EQ_STR(got.url, STR("https://hf.co/x"));
	ipc_out_init(&m, EGRESS_HEAD, id);
	egress_head_put(&m, &(struct egress_head){ .status = 200, .length = 5, .whole = -1 });
	CHECK_OK(ipc_send(p.egress, &m));
	ipc_out_done(&m);
	ipc_out_init(&m, EGRESS_DATA, id);
	ipc_put_str(&m, STR("hallo"));
	CHECK_OK(ipc_send(p.egress, &m));
	ipc_out_done(&m);
	say_done(&p, id);
	say_done(&p, id);       /* a second one is for nobody */
	say_done(&p, id + 999); /* nor is this */
	egress_client_pump(p.client);
	CHECK_EQ_INT(s.heads, 1);
	CHECK_EQ_INT(s.datas, 1);
	CHECK_EQ_Z(s.data, "hallo");
	CHECK_EQ_INT(s.dones, 1);
	CHECK_EQ_INT(s.bytes, 5);
	CHECK_EQ_INT(s.faileds, 0);
	end(&p);
}

TEST(what_is_not_allowed_never_leaves)
{
	struct play p = play();
	struct seen s = { 0 };
	struct err_info info = { 0 };
	uint64_t id;
	int fd = dup(2);
	struct egress_fetch f = {
		.source_fd = -1,
		.method = STR("GET"), .url = STR("https://evil.example/x"), .sink_fd = fd
	};
	CHECK_ERR(egress_start(p.client, &f, on_event, &s, &id, &info), ERR_EGRESS);
	CHECK(strstr(info.detail, "evil.example"));
	CHECK_EQ_INT(fcntl(fd, F_GETFD), -1); /* taken, also on error */
	f.url = STR("https://hf.co /");
	CHECK_ERR(egress_start(p.client, &f, on_event, &s, &id, &info), ERR_INVALID);
	AUTO_IPC_IN struct ipc_in q = { 0 };
	CHECK_ERR(ipc_recv(p.egress, &q), ERR_AGAIN);
	end(&p);
}

TEST(when_egress_dies_every_fetch_fails_once)
{
	struct play p = play();
	struct seen a = { 0 }, b = { 0 };
	(void)start(&p, &a);
	(void)start(&p, &b);
	p.egress = ipc_free(p.egress);
	egress_client_pump(p.client);
	egress_client_pump(p.client);
	CHECK_EQ_INT(a.faileds + b.faileds, 2);
	CHECK_EQ_INT(a.code, ERR_CLOSED);
	CHECK_EQ_INT(egress_client_fd(p.client), -1);
	struct egress_fetch f = {
		.source_fd = -1,
		.method = STR("GET"), .url = STR("https://hf.co/x"), .sink_fd = -1
	};
	uint64_t id;
	CHECK_ERR(egress_start(p.client, &f, on_event, &a, &id, NULL), ERR_AGAIN);
	attach(&p); /* the next one */
	struct seen c = { 0 };
	id = start(&p, &c);
	say_done(&p, id);
	egress_client_pump(p.client);
	CHECK_EQ_INT(c.dones, 1);
	end(&p);
}

TEST(an_egress_that_lies_is_dropped)
{
	struct play p = play();
	struct seen s = { 0 };
	struct ipc_out m;
	uint64_t id = start(&p, &s);
	ipc_out_init(&m, EGRESS_HEAD, id);
	ipc_put_u64(&m, 5); /* no status has this value, and the rest is missing */
	CHECK_OK(ipc_send(p.egress, &m));
	ipc_out_done(&m);
	egress_client_pump(p.client);
	CHECK_EQ_INT(s.heads, 0);
	CHECK_EQ_INT(s.faileds, 1);
	CHECK_EQ_INT(egress_client_fd(p.client), -1);
	end(&p);
}

TEST(there_is_a_most_of_fetches)
{
	struct play p = play();
	struct seen s = { 0 };
	for (int i = 0; i < EGRESS_FETCHES_MAX; i++)
		(void)start(&p, &s);
	struct egress_fetch f = {
		.source_fd = -1,
		.method = STR("GET"), .url = STR("https://hf.co/x"), .sink_fd = -1
	};
	uint64_t id;
	CHECK_ERR(egress_start(p.client, &f, on_event, &s, &id, NULL), ERR_BUSY);
	end(&p); /* frees: each fails exactly once */
	CHECK_EQ_INT(s.faileds, EGRESS_FETCHES_MAX);
}

TEST(running_out_of_memory_leaves_nothing_behind)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct egress_client *c = NULL;
		enum err e = egress_client_new(&c);
		bool hit = fault_fired(FAULT_ALLOC);
		CHECK(hit ? e == ERR_NOMEM && !c : e == OK);
		c = egress_client_free(c);
	}
}
