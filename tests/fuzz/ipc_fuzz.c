/* Messages from another role. Byte 0 picks the reader, byte 1 the descriptors that came along; the
 * rest is the datagram after its header. */
#include <fcntl.h>
#include <float.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/fd.h"
#include "proto/egress.h"
#include "proto/embed.h"
#include "proto/engine.h"
#include "proto/keeper.h"
#include "proto/tokens.h"
#include "tests/fuzz/fuzz.h"

static void close_if_open(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

static void read_load(struct ipc_in *m)
{
	struct engine_load v = { .model_fd = -1 };
	if (engine_load_get(m, &v) == OK) {
		close_if_open(v.model_fd);
		if (v.has_projector)
			close_if_open(v.projector_fd);
		close_if_open(v.cache_fd);
	}
}

static void read_info(struct ipc_in *m) { (void)engine_info_get(m, &(struct engine_info){ 0 }); }

static void read_request(struct ipc_in *m)
{
	struct gen_request v;
	if (gen_request_get(m, &v) != OK)
		return;
	if (v.n_stop > LIMIT_STOP_STRINGS || !(v.sampling.temperature <= FLT_MAX) || v.priority > 2)
		DIE("a request out of range was taken");
	for (size_t i = 0; i < v.n_resume; i++)
		if (v.resume[i] < 0)
			DIE("a negative token was taken");
	gen_request_done(&v);
}

static void read_begun(struct ipc_in *m) { (void)gen_begun_get(m, &(struct gen_begun){ 0 }); }

static void read_delta(struct ipc_in *m)
{
	struct gen_delta v;
	if (gen_delta_get(m, &v) == OK && !str_is_utf8(v.text))
		DIE("half a character was taken");
}

static void read_done(struct ipc_in *m) { (void)gen_done_get(m, &(struct gen_done){ 0 }); }
static void read_failed(struct ipc_in *m)
{
	struct gen_failed v;
	if (gen_failed_get(m, &v) == OK && (v.code == OK || v.code >= ERR_COUNT_))
		DIE("an unknown error was taken");
}
static void read_embed(struct ipc_in *m)
{
	struct embed_request v;
	size_t sum = 0;
	if (embed_request_get(m, &v) != OK)
		return;
	for (size_t i = 0; i < v.n; i++)
		sum += (size_t)v.lens[i];
	if (sum != v.texts.len + v.n_tokens || !v.n || v.n > EMBED_INPUTS_MAX)
		DIE("lengths that do not add up were taken");
}

static void read_embedded(struct ipc_in *m)
{
	struct embed_done v;
	if (embed_done_get(m, &v) != OK)
		return;
	for (size_t i = 0; i < v.n * v.dim; i++)
		if (!(v.values[i] >= -FLT_MAX && v.values[i] <= FLT_MAX))
			DIE("a value that is no number was taken");
}

static void read_tokens(struct ipc_in *m)
{
	struct tokens_request v;
	if (tokens_request_get(m, &v) != OK)
		return;
	if (v.text.len > TOKENS_TEXT_MAX || (v.text.len && v.n_tokens))
		DIE("a question out of range was taken");
	for (size_t i = 0; i < v.n_tokens; i++)
		if (v.tokens[i] < 0)
			DIE("a negative token was taken");
}

static void read_tokened(struct ipc_in *m)
{
	struct tokens_done v;
	size_t sum = 0;
	if (tokens_done_get(m, &v) != OK)
		return;
	for (size_t i = 0; i < v.n; i++)
		sum += (size_t)v.lens[i];
	if (sum != v.bytes.len)
		DIE("pieces that do not add up were taken");
}

static void read_stats(struct ipc_in *m) { (void)engine_stats_get(m, &(struct engine_stats){ 0 }); }

static void read_hello(struct ipc_in *m)
{
	struct server_hello v;
	if (server_hello_get(m, &v) != OK)
		return;
	for (unsigned i = 0; i < v.n_listen; i++)
		close_if_open(v.listen_fd[i]);
	close_if_open(v.local_fd);
}

static void read_attach(struct ipc_in *m)
{
	enum role peer;
	int fd = -1;
	if (attach_get(m, &peer, &fd) == OK)
		close_if_open(fd);
}

static void read_answer(struct ipc_in *m)
{
	enum err code;
	struct str detail;
	(void)answer_get(m, &code, &detail);
}

static void read_policy(struct ipc_in *m)
{
	struct egress_policy_entry e[8];
	size_t n = 0;
	if (egress_policy_get(m, e, 8, &n) == OK && n > 8)
		DIE("more entries than there is room for");
}

static void read_fetch(struct ipc_in *m)
{
	struct egress_fetch f;
	if (egress_fetch_get(m, &f) != OK)
		return;
	if (f.n_headers > EGRESS_HEADERS_MAX || (f.has_range && f.from >= f.to))
		DIE("a fetch out of range was taken");
	close_if_open(f.sink_fd);
	close_if_open(f.source_fd);
}

static void read_head(struct ipc_in *m)
{
	struct egress_head h;
	if (egress_head_get(m, &h) == OK && h.n_headers > EGRESS_HEADERS_MAX)
		DIE("too many headers were taken");
}

static void read_fetched(struct ipc_in *m) { (void)egress_done_get(m, &(struct egress_done){ 0 }); }

static void read_not_fetched(struct ipc_in *m)
{
	(void)egress_failed_get(m, &(struct egress_failed){ 0 });
}

static void read_anything(struct ipc_in *m)
{
	size_t n;
	while (ipc_more(m)) {
		switch (m->rest.ptr[0]) { /* the tag, so that most are read as what they are */
		case 1:
			(void)ipc_get_u64(m);
			break;
		case 2:
			(void)ipc_get_i64(m);
			break;
		case 3:
			(void)ipc_get_f64(m);
			break;
		case 4:
			(void)ipc_get_bool(m);
			break;
		case 5:
			(void)ipc_get_str(m);
			break;
		case 6:
			(void)ipc_get_str(m);
			break;
		case 7:
		case 8:
			(void)ipc_get_i32s(m, &n);
			break;
		default:
			close_if_open(ipc_get_fd(m));
		}
	}
	(void)ipc_end(m);
}

static void (*const readers[])(struct ipc_in *) = {
	read_load,
	read_info,
	read_request,
	read_begun,
	read_delta,
	read_done,
	read_failed,
	read_stats,
	read_hello,
	read_attach,
	read_answer,
	read_anything,
	read_policy,
	read_fetch,
	read_head,
	read_fetched,
	read_not_fetched,
	read_embed,
	read_embedded,
	read_tokens,
	read_tokened,
};

FUZZ
{
	struct ipc_in m = { .type = 1, .id = 1 };
	if (size < 2)
		return;
	m.mem_ = mem_alloc(size - 2); /* aligned as a received datagram is */
	if (!m.mem_)
		return;
	memcpy(m.mem_, data + 2, size - 2);
	m.rest = (struct str){ m.mem_, size - 2 };
	m.nfds = data[1] % 4;
	for (unsigned i = 0; i < m.nfds; i++)
		if (fd_memfd("fuzz", STR("12345678abcdefgh"), &m.fds[i]) != OK)
			DIE("no descriptor left: a reader leaks");
	readers[data[0] % (sizeof readers / sizeof *readers)](&m);
	ipc_in_done(&m);
}
