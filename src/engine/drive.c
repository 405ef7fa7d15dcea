#include "engine/drive.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "engine/engine.h"
#include "proto/keeper.h"

struct drive {
	pid_t pid; /* 0: gone */
	int status;
	struct ipc *keeper, *server;
	struct ipc_in ready; /* the message the engine_info borrows from */
	uint64_t next_id;
};

struct drive *drive_free(struct drive *d)
{
	if (!d)
		return NULL;
	if (d->pid) {
		(void)kill(d->pid, SIGKILL);
		(void)waitpid(d->pid, NULL, 0);
	}
	ipc_in_done(&d->ready);
	ipc_free(d->keeper);
	ipc_free(d->server);
	free(d);
	return NULL;
}

static enum err attach(struct drive *d)
{
	int fd[2];
	TRY(ipc_pair(fd));
	struct ipc_out m;
	ipc_out_init(&m, ATTACH, 0);
	attach_put(&m, ROLE_SERVER, fd[1]);
	enum err e = ipc_send(d->keeper, &m);
	ipc_out_done(&m);
	if (e) {
		(void)close(fd[0]);
		return e;
	}
	return ipc_new(fd[0], &d->server);
}

enum err drive_start(int model_fd, const struct engine_load *load, struct drive **ret)
{
	int fd[2];
	AUTO(drive) struct drive *d = calloc(1, sizeof *d);
	if (!d)
		return ERR_NOMEM;
	TRY(ipc_pair(fd));
	d->next_id = 1000;
	d->pid = fork();
	if (d->pid < 0) {
		d->pid = 0;
		return ERR_IO;
	}
	if (d->pid == 0) {
		struct ipc *c = NULL;
		(void)close(fd[0]);
		(void)close(model_fd);
		if (ipc_new(fd[1], &c))
			_exit(99);
		_exit(engine_body(c));
	}
	(void)close(fd[1]);
	TRY(ipc_new(fd[0], &d->keeper));
	struct engine_load l = *load;
	l.model_fd = model_fd;
	struct ipc_out m;
	ipc_out_init(&m, ENGINE_LOAD, 0);
	engine_load_put(&m, &l);
	enum err e = ipc_send(d->keeper, &m);
	ipc_out_done(&m);
	if (!e)
		e = attach(d);
	if (!e)
		*ret = TAKE(d);
	return e;
}

enum err drive_ready(
	struct drive *d, int timeout_ms, struct engine_info *ret, struct gen_failed *why)
{
	*why = (struct gen_failed){ 0 };
	ipc_in_done(&d->ready);
	TRY(ipc_recv_wait(d->keeper, timeout_ms, &d->ready));
	if (d->ready.type == ENGINE_READY)
		return engine_info_get(&d->ready, ret);
	if (d->ready.type != ENGINE_REFUSED)
		return ERR_PROTOCOL;
	TRY(gen_failed_get(&d->ready, why));
	return why->code;
}

static enum err send_request(
	struct drive *d, enum engine_msg type, uint64_t id, const struct gen_request *g)
{
	struct ipc_out m;
	ipc_out_init(&m, (uint16_t)type, id);
	if (g)
		gen_request_put(&m, g);
	enum err e = ipc_send(d->server, &m);
	ipc_out_done(&m);
	return e;
}

enum err drive_ask(struct drive *d, uint64_t id, const struct gen_request *g)
{
	return send_request(d, GEN_START, id, g);
}
enum err drive_cancel(struct drive *d, uint64_t id)
{
	return send_request(d, GEN_CANCEL, id, NULL);
}
enum err drive_count(struct drive *d, uint64_t id, const struct gen_request *g)
{
	return send_request(d, ENGINE_COUNT, id, g);
}
struct ipc *drive_server(struct drive *d)
{
	return d->server;
}
int drive_pid(const struct drive *d)
{
	return d->pid;
}

enum err drive_reattach(struct drive *d)
{
	d->server = ipc_free(d->server);
	return attach(d);
}

enum err drive_shutdown(struct drive *d)
{
	struct ipc_out m;
	ipc_out_init(&m, SHUTDOWN, 0);
	enum err e = ipc_send(d->keeper, &m);
	ipc_out_done(&m);
	return e;
}

enum err drive_wait(struct drive *d, int timeout_ms, int *ret_status)
{
	for (int64_t until = time_mono_ms() + timeout_ms; d->pid; usleep(2000)) {
		if (waitpid(d->pid, &d->status, WNOHANG) == d->pid)
			d->pid = 0;
		else if (time_mono_ms() > until)
			return ERR_TIMEOUT;
	}
	*ret_status = d->status;
	return OK;
}

void drive_answer_done(struct drive_answer *a)
{
	buf_done(&a->text);
	buf_done(&a->thought);
	buf_done(&a->calls);
	buf_done(&a->warnings);
	buf_done(&a->logprobs);
	free(a->tokens);
	*a = (struct drive_answer){ 0 };
}

static enum err take_delta(struct drive_answer *a, struct ipc_in *m)
{
	struct gen_delta v;
	TRY(gen_delta_get(m, &v));
	if (!a->begun)
		return ERR_PROTOCOL;
	struct buf *b = v.thinking ? &a->thought : &a->text;
	b->max = LIMIT_ANSWER;
	TRY(buf_add(b, v.text));
	a->logprobs.max = LIMIT_ANSWER;
	TRY(buf_add(&a->logprobs, v.logprobs));
	if (a->n_tokens + v.n_tokens > a->cap_tokens) {
		a->cap_tokens = 2 * a->cap_tokens + v.n_tokens + 256;
		int32_t *t = realloc(a->tokens, a->cap_tokens * sizeof *t);
		if (!t)
			return ERR_NOMEM;
		a->tokens = t;
	}
	if (v.n_tokens)
		memcpy(a->tokens + a->n_tokens, v.tokens, v.n_tokens * sizeof *v.tokens);
	a->n_tokens += v.n_tokens;
	a->last_ns = time_mono_ns();
	if (!a->first_ns)
		a->first_ns = a->last_ns;
	return OK;
}

static enum err take_event(struct drive_answer *a, struct ipc_in *m)
{
	if (a->done || a->failed)
		return ERR_PROTOCOL;
	switch (m->type) {
	case GEN_BEGUN:
		if (a->begun)
			return ERR_PROTOCOL;
		a->begun = true;
		return gen_begun_get(m, &a->b);
	case GEN_DELTA:
		return take_delta(a, m);
	case GEN_DONE:
		a->done = true;
		TRY(gen_done_get(m, &a->d));
		a->calls.max = a->warnings.max = LIMIT_ANSWER;
		TRY(buf_add(&a->calls, a->d.calls));
		TRY(buf_add(&a->warnings, a->d.warnings));
		a->d.calls = a->d.warnings = STR_NONE; /* they pointed into the message */
		return OK;
	case GEN_FAILED:
		a->failed = true;
		TRY(gen_failed_get(m, &a->f));
		(void)str_copy(a->f.detail, a->detail_copy, sizeof a->detail_copy);
		a->f.detail = str_from(a->detail_copy);
		return OK;
	case ENGINE_COUNTED:
		a->done = true;
		a->counted = ipc_get_u64(m);
		return ipc_end(m);
	default:
		return ERR_PROTOCOL;
	}
}

enum err drive_collect(
	struct drive *d, struct drive_answer *a, uint64_t first_id, size_t n, int timeout_ms)
{
	int64_t until = time_mono_ms() + timeout_ms;
	size_t open = 0;
	for (size_t i = 0; i < n; i++)
		open += !a[i].done && !a[i].failed;
	while (open) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		int64_t left = until - time_mono_ms();
		TRY(ipc_recv_wait(d->server, left > 0 ? (int)left : 0, &m));
		if (m.type == ENGINE_STATS || m.type == GEN_QUEUED)
			continue;
		if (m.id < first_id || m.id - first_id >= n)
			return ERR_PROTOCOL;
		struct drive_answer *x = &a[m.id - first_id];
		TRY(take_event(x, &m));
		open -= x->done || x->failed;
	}
	return OK;
}

enum err drive_one(
	struct drive *d, const struct gen_request *g, struct drive_answer *ret, int timeout_ms)
{
	*ret = (struct drive_answer){ .sent_ns = time_mono_ns() };
	uint64_t id = d->next_id++;
	TRY(drive_ask(d, id, g));
	return drive_collect(d, ret, id, 1, timeout_ms);
}
