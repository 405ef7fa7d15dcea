/* Messages over a real channel; the model is the fake, whose tokens are bytes. */
#include "engine/beside.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "base/fault.h"
#include "engine/fake.h"
#include "proto/engine.h"
#include "tests/test.h"

struct world {
	struct fake *fake;
	struct beside *beside;
	struct ipc *server, *engine;
	pthread_mutex_t lock; /* the work on messages that are no GEN_START waits for `open` */
	pthread_cond_t changed;
	bool open;
	unsigned begun;
};

/* Says how long the message was. */
static enum err answer(void *arg, struct ipc_in *m, struct ipc_out *out)
{
	struct world *w = arg;
	struct str text = ipc_get_str(m);
	(void)pthread_mutex_lock(&w->lock);
	w->begun++;
	(void)pthread_cond_broadcast(&w->changed);
	while (!w->open)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
	TRY(ipc_end(m));
	ipc_out_init(out, ENGINE_COUNTED, m->id);
	ipc_put_u64(out, text.len);
	return OK;
}

static enum err world_new(struct world *w, unsigned max, uint64_t max_bytes)
{
	int fd[2];
	*w = (struct world){ .open = true };
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->changed, NULL);
	struct fake_options fo = { .n_own = 1 << 20, .n_seq = 1, .n_batch = 64 };
	TRY(fake_new(&fo, &w->fake));
	TRY(ipc_pair(fd));
	TRY(ipc_new(fd[0], &w->server));
	TRY(ipc_new(fd[1], &w->engine));
	struct beside_options o = { .ops = &FAKE_OPS,
		.backend = w->fake,
		.answer = answer,
		.arg = w,
		.max = max,
		.max_bytes = max_bytes };
	return beside_new(&o, &w->beside);
}

static void world_done(struct world *w)
{
	beside_free(w->beside);
	fake_free(w->fake);
	ipc_free(w->server);
	ipc_free(w->engine);
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_cond_destroy(&w->changed);
}

static void set_open(struct world *w, bool open)
{
	(void)pthread_mutex_lock(&w->lock);
	w->open = open;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
}

static void wait_begun(struct world *w, unsigned n)
{
	(void)pthread_mutex_lock(&w->lock);
	while (w->begun < n)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
}

static struct str chat(size_t len, struct buf *b)
{
	*b = BUF(len + 100);
	CHECK_OK(buf_add(b, STR("[{\"role\":\"user\",\"content\":\"")));
	while (b->len < len)
		CHECK_OK(buf_add_byte(b, 'x'));
	CHECK_OK(buf_add(b, STR("\"}]")));
	return buf_str(b);
}

static struct ipc_in receive(struct world *w, struct ipc_out *m)
{
	struct ipc_in in = { 0 };
	CHECK_OK(ipc_send(w->server, m));
	ipc_out_done(m);
	CHECK_OK(ipc_recv_wait(w->engine, 5000, &in));
	return in;
}

static struct ipc_in start(struct world *w, uint64_t id, size_t len)
{
	struct buf text;
	struct gen_request g = { .kind = GEN_CHAT, .input = chat(len, &text), .deadline_ms = 777 };
	struct ipc_out m;
	gen_sampling_defaults(&g.sampling);
	ipc_out_init(&m, GEN_START, id);
	gen_request_put(&m, &g);
	struct ipc_in in = receive(w, &m);
	buf_done(&text);
	return in;
}

static struct ipc_in count(struct world *w, uint64_t id, size_t len, bool bad)
{
	struct buf text;
	struct ipc_out m;
	ipc_out_init(&m, ENGINE_COUNT, id);
	ipc_put_str(&m, chat(len, &text));
	if (bad)
		ipc_put_u64(&m, 1);
	struct ipc_in in = receive(w, &m);
	buf_done(&text);
	return in;
}

static struct beside_done take(struct world *w)
{
	struct beside_done d = { 0 };
	struct pollfd p = { .fd = beside_fd(w->beside), .events = POLLIN };
	while (!beside_take(w->beside, &d))
		CHECK(poll(&p, 1, 10000) == 1);
	return d;
}

TEST(only_what_is_long_comes_here)
{
	struct world w;
	CHECK_OK(world_new(&w, 0, 0));
	struct ipc_in in = start(&w, 1, 15000);
	CHECK(!beside_wants(&in));
	ipc_in_done(&in);
	in = start(&w, 1, 17000);
	CHECK(beside_wants(&in));
	ipc_in_done(&in);
	world_done(&w);
}

TEST(a_request_is_made_as_it_is_made_in_the_loop)
{
	struct world w;
	struct buf text;
	struct request *r = NULL;
	struct request_error why;
	CHECK_OK(world_new(&w, 0, 0));
	struct gen_request g = { .kind = GEN_CHAT, .input = chat(300000, &text) };
	gen_sampling_defaults(&g.sampling);
	CHECK_OK(request_new(&FAKE_OPS, w.fake, 5, &g, &r, &why));
	struct ipc_in in = start(&w, 5, 300000);
	CHECK_OK(beside_put(w.beside, &in));
	CHECK_EQ_INT(in.nfds, 0);
	CHECK_EQ_INT(beside_n(w.beside), 1);
	struct beside_done d = take(&w);
	CHECK_OK(d.err);
	CHECK_EQ_INT((int64_t)d.id, 5);
	CHECK_EQ_INT(d.deadline_ms, 777);
	CHECK(d.request && d.request->id == 5 && d.request->feed.n == r->feed.n &&
		!memcmp(d.request->feed.v, r->feed.v, r->feed.n * sizeof *r->feed.v));
	CHECK_EQ_INT(beside_n(w.beside), 0);
	request_free(d.request);
	request_free(r);
	buf_done(&text);
	world_done(&w);
}

TEST(they_come_out_in_their_order_with_what_is_wrong)
{
	struct world w;
	CHECK_OK(world_new(&w, 0, 0));
	struct ipc_in a = start(&w, 1, 1 << 20), b = count(&w, 2, 20000, false),
		      c = start(&w, 3, (1 << 20) + 500), d = count(&w, 4, 20000, true);
	CHECK_OK(beside_put(w.beside, &a));
	CHECK_OK(beside_put(w.beside, &b));
	CHECK_OK(beside_put(w.beside, &c));
	CHECK_OK(beside_put(w.beside, &d));
	struct beside_done r = take(&w);
	CHECK_EQ_INT((int64_t)r.id, 1);
	CHECK_EQ_INT(r.err, ERR_CONTEXT); /* with its quotes and brackets it is too long */
	CHECK_EQ_INT(r.why.context_tokens, 1 << 20);
	CHECK(r.why.prompt_tokens > 1 << 20 && !r.request);
	r = take(&w);
	CHECK_EQ_INT((int64_t)r.id, 2);
	CHECK_OK(r.err);
	CHECK(!r.request && r.out.data.len);
	ipc_out_done(&r.out);
	r = take(&w);
	CHECK_EQ_INT((int64_t)r.id, 3);
	CHECK_EQ_INT(r.err, ERR_CONTEXT);
	r = take(&w);
	CHECK_EQ_INT((int64_t)r.id, 4);
	CHECK_EQ_INT(r.err, ERR_PROTOCOL);
	CHECK(!beside_take(w.beside, &r));
	world_done(&w);
}

TEST(who_leaves_is_not_waited_for)
{
	struct world w;
	struct beside_done r;
	CHECK_OK(world_new(&w, 0, 0));
	set_open(&w, false);
	struct ipc_in a = count(&w, 1, 20000, false), b = start(&w, 2, 20000),
		      c = start(&w, 3, 20000);
	CHECK_OK(beside_put(w.beside, &a));
	CHECK_OK(beside_put(w.beside, &b));
	CHECK_OK(beside_put(w.beside, &c));
	wait_begun(&w, 1);
	CHECK(beside_cancel(w.beside, 1)); /* at work */
	CHECK(beside_cancel(w.beside, 2)); /* not begun */
	CHECK(!beside_cancel(w.beside, 9));
	CHECK(!beside_take(w.beside, &r));
	set_open(&w, true);
	for (unsigned id = 1; id < 3; id++) {
		r = take(&w);
		CHECK_EQ_INT((int64_t)r.id, id);
		CHECK_EQ_INT(r.err, ERR_CANCELLED);
		CHECK(!r.request && !r.out.data.len);
	}
	r = take(&w);
	CHECK_OK(r.err);
	request_free(r.request);
	CHECK(!beside_cancel(w.beside, 3)); /* it is out */
	world_done(&w);
}

TEST(when_nobody_listens_nothing_comes_out)
{
	struct world w;
	struct beside_done r;
	CHECK_OK(world_new(&w, 0, 0));
	set_open(&w, false);
	for (unsigned id = 1; id < 4; id++) {
		struct ipc_in m = count(&w, id, 20000, false);
		CHECK_OK(beside_put(w.beside, &m));
	}
	wait_begun(&w, 1);
	beside_cancel_all(w.beside);
	CHECK_EQ_INT(beside_n(w.beside), 3); /* the model is not free for others before they end */
	struct ipc_in m = start(&w, 7, 20000);
	CHECK_OK(beside_put(w.beside, &m));
	set_open(&w, true);
	r = take(&w);
	CHECK_EQ_INT((int64_t)r.id, 7);
	request_free(r.request);
	CHECK(!beside_take(w.beside, &r));
	CHECK_EQ_INT(beside_n(w.beside), 0);
	world_done(&w);
}

TEST(it_holds_so_much_and_no_more)
{
	struct world w;
	CHECK_OK(world_new(&w, 3, 100000));
	set_open(&w, false);
	struct ipc_in big = count(&w, 1, 1 << 20, false), more = count(&w, 2, 20000, false);
	CHECK_OK(beside_put(w.beside, &big)); /* one alone may be as long as it is */
	CHECK_ERR(beside_put(w.beside, &more), ERR_BUSY);
	CHECK(more.nfds == 1); /* it is still the caller's */
	set_open(&w, true);
	struct beside_done r = take(&w);
	ipc_out_done(&r.out);
	set_open(&w, false);
	CHECK_OK(beside_put(w.beside, &more));
	for (unsigned id = 3; id < 6; id++) {
		struct ipc_in m = count(&w, id, 20000, false);
		CHECK_ERR(beside_put(w.beside, &m), id < 5 ? OK : ERR_BUSY);
		ipc_in_done(&m);
	}
	set_open(&w, true); /* what is left goes with it */
	world_done(&w);
}

TEST(every_failure_on_the_way_is_told)
{
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct world w;
		struct beside_done r = { 0 };
		enum err e = world_new(&w, 0, 0);
		if (!e) {
			struct ipc_out m;
			struct buf text = BUF(32 * 1024);
			struct ipc_in in = { 0 };
			ipc_out_init(&m, ENGINE_COUNT, 1);
			while (!e && text.len < 20000)
				e = buf_add(&text, STR("0123456789"));
			ipc_put_str(&m, buf_str(&text));
			e = e ? e : ipc_send(w.server, &m);
			e = e ? e : ipc_recv_wait(w.engine, 5000, &in);
			e = e ? e : beside_put(w.beside, &in);
			if (!e) {
				r = take(&w);
				e = r.err ? r.err : r.out.err;
			}
			ipc_out_done(&r.out);
			ipc_in_done(&in);
			ipc_out_done(&m);
			buf_done(&text);
		}
		CHECK(e == OK || e == ERR_NOMEM || e == ERR_PROTOCOL);
		world_done(&w);
	}
}
