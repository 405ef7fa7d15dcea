/* tests/registry/driver.c - pulls a model with the real parts and without the whole program.
 *
 *	registry_driver DATA_DIR EGRESS_SO OPTION.. COMMAND ARGUMENT..
 *	  --allow HOST:PORT   plain http allowed there (repeatable)
 *	  --allow-tls HOST:PORT
 *	  --streams N --range BYTES --stall MS --retry MS
 *	  --starters DIR      where starter files lie
 *	  --part BYTES        of a push
 *	  --allow-push HOST:PORT  plain http, and pushes
 *	  push NAME           the same
 *	  pull NAME [AS]      progress as JSON lines; exit 0, or 1 with the error's slug on stderr
 *	  list | rm NAME | cp A B | show NAME | prune | create JSON | upload DIGEST FILE
 *
 * Three processes: this one is the server's side; a small keeper (forked first) that answers ASK_*
 * with blobdir and forks writer and GGUF jobs, each locked as SANDBOX_JAIL; and egress, loaded from
 * its module and locked as in the product. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/hex.h"
#include "base/log.h"
#include "models/blobdir.h"
#include "models/gguf_job.h"
#include "models/pull.h"
#include "models/reader_job.h"
#include "models/starter.h"
#include "models/writer.h"
#include "net/egress_client.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "os/threads.h"
#include "proto/keeper.h"
#include "proto/sink.h"

#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static void need(enum err e, const char *what)
{
	if (!e)
		return;
	(void)fprintf(stderr, "driver: %s: %s\n", what, err_slug(e));
	exit(2);
}

/* ---- the small keeper ---- */
struct mini {
	struct ipc *server;
	struct blobdir *blobs;
	const char *starters;
};

static void lock_jail(const int *keep, size_t n)
{
	const struct sandbox_limits limits = { .memory_bytes = 256u << 20, .open_files = 64 };
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd_close_others(keep, n);
	if (SANITIZED) /* its runtime needs more than a jail has */
		return;
	need(sandbox_enter(SANDBOX_JAIL, NULL, 0, &limits), "jail");
	need(sandbox_lock(SANDBOX_JAIL), "jail");
}

static enum err run_writer(struct mini *k, struct str digest, uint64_t size, int source,
	struct ipc_out *answer, struct err_info *info)
{
	int file, journal, control[2], sink[2] = { -1, -1 };
	struct writer_job j = { .size = size, .sink_fd = -1, .source_fd = source };
	TRY(hex_decode(digest, j.digest, sizeof j.digest));
	TRY(blobdir_stage(k->blobs, digest, size, &file, &journal, info));
	TRY(ipc_pair(control));
	if (source < 0)
		TRY(sink_pair(sink));
	pid_t pid = fork();
	if (pid == 0) {
		const int keep[] = { 2, file, journal, control[1], sink[1] >= 0 ? sink[1] : 2,
			source >= 0 ? source : 2 };
		need(ipc_new(control[1], &j.control), "writer");
		j.file_fd = file;
		j.journal_fd = journal;
		j.sink_fd = sink[1];
		lock_jail(keep, sizeof keep / sizeof *keep);
		_exit(writer_job_main(&j));
	}
	(void)close(file);
	(void)close(journal);
	(void)close(control[1]);
	if (sink[1] >= 0)
		(void)close(sink[1]);
	ipc_put_fd(answer, control[0]);
	if (sink[0] >= 0)
		ipc_put_fd(answer, sink[0]);
	return OK;
}

static enum err run_check(
	struct mini *k, struct str digest, bool describe, struct ipc_out *answer)
{
	int model, ch[2];
	uint64_t size;
	struct ipc *c;
	TRY(blobdir_get(k->blobs, digest, &model, &size));
	TRY(ipc_pair(ch));
	pid_t pid = fork();
	if (pid == 0) {
		const int keep[] = { 2, model, ch[1] };
		need(ipc_new(ch[1], &c), "check");
		lock_jail(keep, 3);
		_exit(describe ? gguf_describe_main(c, model, false) : gguf_job_main(c, model));
	}
	(void)close(model);
	(void)close(ch[1]);
	ipc_put_fd(answer, ch[0]);
	return OK;
}

static enum err run_local(
	struct mini *k, struct str name, struct ipc_out *answer, struct err_info *info)
{
	const struct starter *s = starter_find(name);
	char path[4096];
	AUTO_FD int source = -1;
	if (!s || !k->starters)
		return ERR_NOT_FOUND;
	TRY(path_join(path, sizeof path, k->starters, s->file));
	TRY(fd_open(path, O_RDONLY, 0, &source));
	return run_writer(k, str_from(s->digest), s->size, source, answer, info);
}

static enum err list_blobs(struct mini *k, struct ipc_out *m)
{
	AUTO_BUF struct buf list = BUF(LIMIT_IPC_BULK);
	TRY(blobdir_pack(k->blobs, &list));
	ipc_put_str(m, buf_str(&list));
	return OK;
}

static enum err run_reader(
	struct mini *k, struct str digest, uint64_t from, uint64_t to, struct ipc_out *answer)
{
	int file, out[2];
	uint64_t size;
	TRY(blobdir_get(k->blobs, digest, &file, &size));
	if (from > to || to > size || lseek(file, (off_t)from, SEEK_SET) < 0)
		return ERR_INVALID;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out))
		return ERR_IO;
	pid_t pid = fork();
	if (pid == 0) {
		const int keep[] = { 2, file, out[0] };
		lock_jail(keep, 3);
		_exit(reader_job_main(file, to - from, out[0]));
	}
	(void)close(file);
	(void)close(out[0]);
	ipc_put_fd(answer, out[1]);
	return OK;
}

static enum err answer_one(
	struct mini *k, struct ipc_in *q, struct ipc_out *body, struct err_info *info)
{
	struct str what = q->type == ASK_BLOBS ? STR_NONE : ipc_get_str(q);
	bool two = q->type == ASK_READ;
	uint64_t size = q->type == ASK_STAGE || two ? ipc_get_u64(q) : 0;
	uint64_t to = two ? ipc_get_u64(q) : 0;
	if (q->type == ASK_DESCRIBE) /* without lists, as what is tested here asks */
		(void)ipc_get_bool(q);
	TRY(ipc_end(q));
	switch (q->type) {
	case ASK_STAGE:
		return run_writer(k, what, size, -1, body, info);
	case ASK_STAGE_LOCAL:
		return run_local(k, what, body, info);
	case ASK_COMMIT:
		return blobdir_commit(k->blobs, what);
	case ASK_DELETE:
		return blobdir_delete(k->blobs, what);
	case ASK_GGUF:
		return run_check(k, what, false, body);
	case ASK_DESCRIBE:
		return run_check(k, what, true, body);
	case ASK_READ:
		return run_reader(k, what, size, to, body);
	case ASK_BLOBS:
		return list_blobs(k, body);
	default:
		return ERR_PROTOCOL;
	}
}

static void mini_keeper(struct mini *k)
{
	for (;;) {
		AUTO_IPC_IN struct ipc_in q = { 0 };
		struct err_info info = { 0 };
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (ipc_recv_wait(k->server, -1, &q)) {
			while (waitpid(-1, NULL, 0) > 0)
				; /* writers note what they have */
			_exit(0);
		}
		struct ipc_out a, trial;
		/* code and detail come first, so the body is made twice: once to learn them */
		ipc_out_init(&trial, ANSWER, q.id);
		answer_put(&trial, OK, STR(""));
		enum err e = answer_one(k, &q, &trial, &info);
		if (!e) {
			need(ipc_send(k->server, &trial), "answer");
		} else {
			ipc_out_init(&a, ANSWER, q.id);
			answer_put(&a, e, str_from(info.detail));
			need(ipc_send(k->server, &a), "answer");
			ipc_out_done(&a);
		}
		ipc_out_done(&trial);
		need(ipc_drain(k->server, 5000), "answer");
	}
}

/* ---- the server's side ---- */
struct server {
	struct keeper_link *link;
	struct egress_client *egress;
	struct model_store *store;
	struct pulls *pulls;
	atomic_bool ending;
};

static void on_other(struct ipc_in *m, void *arg)
{
	(void)m;
	(void)arg;
}

static void *ipc_thread(void *arg)
{
	struct server *s = arg;
	while (!s->ending) {
		struct pollfd w[2] = { { .fd = keeper_link_fd(s->link), .events = POLLIN },
			{ .fd = egress_client_fd(s->egress), .events = POLLIN } };
		if (egress_client_wants_write(s->egress))
			w[1].events |= POLLOUT;
		(void)poll(w, w[1].fd >= 0 ? 2 : 1, 50);
		if (keeper_link_pump(s->link, on_other, NULL))
			exit(3);
		egress_client_pump(s->egress);
	}
	return NULL;
}

/* The role itself, on descriptor 3. */
static int be_egress(const char *module)
{
	struct ipc *c;
	void *so = dlopen(module, RTLD_NOW);
	if (!so) {
		(void)fprintf(stderr, "driver: %s\n", dlerror());
		return 2;
	}
	union {
		void *p;
		int (*fn)(struct ipc *);
	} entry = { .p = dlsym(so, "egress_main") };
	need(ipc_new(3, &c), "egress");
	return entry.fn(c);
}

/* Executes anew, as the keeper does. A sanitized driver names a plain one: its runtime and the
 * sandbox of egress do not go together. */
static struct ipc *start_egress(const char *module, struct ipc **ret_control)
{
	int ctl[2], server[2];
	const char *plain = getenv("TRESOR_PLAIN_DRIVER");
	need(ipc_pair(ctl), "pair");
	need(ipc_pair(server), "pair");
	pid_t pid = fork();
	if (pid == 0) {
		const int keep[] = { 2, 3 };
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		int low = dup(ctl[1]); /* above 3 or 3 itself: dup2 then clears close-on-exec */
		if (low < 0 || (low != 3 && dup2(low, 3) < 0) || fcntl(3, F_SETFD, 0))
			_exit(2);
		fd_close_others(keep, 2);
		(void)execl(plain ? plain : "/proc/self/exe", "driver", "--egress", module,
			(char *)NULL);
		_exit(2);
	}
	(void)close(ctl[1]);
	struct ipc *control, *channel;
	struct ipc_out m;
	need(ipc_new(ctl[0], &control), "egress");
	AUTO_IPC_IN struct ipc_in ready = { 0 };
	need(ipc_recv_wait(control, 10000, &ready), "egress is not ready");
	if (ready.type != READY)
		need(ERR_EGRESS, "egress refused to start");
	ipc_out_init(&m, ATTACH, 0);
	attach_put(&m, ROLE_SERVER, server[1]);
	need(ipc_send(control, &m), "attach");
	ipc_out_done(&m);
	need(ipc_new(server[0], &channel), "egress");
	*ret_control = control;
	return channel;
}

static void print_progress(const struct pull_progress *p, void *arg)
{
	(void)arg;
	printf("{\"status\":\"%s\",\"digest\":\"%s\",\"total\":%llu,\"completed\":%llu,"
	       "\"all_total\":%llu,"
	       "\"all_completed\":%llu}\n",
		p->status, p->digest, (unsigned long long)p->total,
		(unsigned long long)p->completed, (unsigned long long)p->all_total,
		(unsigned long long)p->all_completed);
	(void)fflush(stdout);
}

static int fail(enum err e, const struct err_info *info)
{
	(void)fprintf(stderr, "%s: %s\n", err_slug(e), info->detail);
	return 1;
}

static int do_pull(struct server *s, bool push, const char *name, const char *as)
{
	struct err_info info = { 0 };
	char id[ID_LEN + 1];
	struct pull_request q = { .name = str_from(name), .as = str_from(as), .push = push };
	uint64_t watch;
	enum err e = pulls_start(s->pulls, &q, print_progress, NULL, id, &watch, &info);
	if (!e)
		e = pulls_wait(s->pulls, id, -1, &info);
	if (!e)
		pulls_unwatch(s->pulls, watch);
	return e ? fail(e, &info) : 0;
}

static int do_list(struct server *s)
{
	struct model_entry *list;
	size_t n;
	need(model_store_list(s->store, &list, &n), "list");
	for (size_t i = 0; i < n; i++)
		printf("%s %s %llu %s %s %s %llu %d\n", list[i].name, list[i].model_digest,
			(unsigned long long)list[i].size, list[i].family, list[i].parameters,
			list[i].quantization, (unsigned long long)list[i].gguf.context,
			list[i].starter);
	free(list);
	return 0;
}

static int do_show(struct server *s, const char *name)
{
	struct err_info info = { 0 };
	struct buf t[6];
	for (int i = 0; i < 6; i++)
		t[i] = BUF(LIMIT_MANIFEST);
	struct model_texts texts = { &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], NULL };
	struct model_entry m;
	enum err e = model_store_find(s->store, str_from(name), &m, &info);
	if (!e)
		e = model_store_texts(s->store, &m, &texts);
	if (e)
		return fail(e, &info);
	static const char *const keys[] = { "template", "system", "params", "licence", "messages",
		"manifest" };
	AUTO_BUF struct buf out = BUF(LIMIT_MANIFEST * 8);
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	for (int i = 0; i < 6; i++) {
		jw_kstr(&w, keys[i], buf_str(&t[i]));
		buf_done(&t[i]);
	}
	jw_end(&w);
	printf("%.*s\n", (int)out.len, out.ptr);
	return 0;
}

static int do_upload(struct server *s, const char *digest, const char *path)
{
	struct err_info info = { 0 };
	AUTO(model_upload) struct model_upload *u = NULL;
	AUTO_BUF struct buf all = BUF(1u << 30);
	need(file_read(path, &all), "file");
	enum err e = model_upload_begin(s->store, str_from(digest), all.len, &u, &info);
	if (!e)
		e = model_upload_add(u, buf_str(&all), &info);
	if (!e)
		e = model_upload_end(u, &info);
	return e ? fail(e, &info) : 0;
}

static void print_line(const char *line, void *arg)
{
	(void)arg;
	printf("{\"status\":\"%s\"}\n", line);
}

static int do_create(struct server *s, const char *text)
{
	struct err_info info = { 0 };
	AUTO_JSON json_t *o = NULL;
	enum err e = json_read(str_from(text), 1 << 20, 16, &o, &info);
	if (!e)
		e = model_store_create(s->store, o,
			&(struct create_watch){ .status = print_line }, NULL, &info);
	return e ? fail(e, &info) : 0;
}

static int command(struct server *s, int argc, char **argv)
{
	struct err_info info = { 0 };
	enum err e;
	unsigned n = 0;
	const char *c = argv[0], *a = argc > 1 ? argv[1] : "", *b = argc > 2 ? argv[2] : NULL;
	if (!strcmp(c, "pull"))
		return do_pull(s, false, a, b);
	if (!strcmp(c, "push"))
		return do_pull(s, true, a, NULL);
	if (!strcmp(c, "list"))
		return do_list(s);
	if (!strcmp(c, "show"))
		return do_show(s, a);
	if (!strcmp(c, "create"))
		return do_create(s, a);
	if (!strcmp(c, "upload"))
		return do_upload(s, a, b);
	if (!strcmp(c, "rm"))
		e = model_store_delete(s->store, str_from(a), false, &info);
	else if (!strcmp(c, "cp"))
		e = model_store_copy(s->store, str_from(a), str_from(b), NULL, &info);
	else if (!strcmp(c, "prune"))
		e = model_store_prune(s->store, &n);
	else
		e = ERR_INVALID;
	if (!strcmp(c, "prune"))
		printf("%u\n", n);
	return e ? fail(e, &info) : 0;
}

/* A number of the command line; anything else is 0. */
static uint64_t number(const char *text)
{
	uint64_t n = 0;
	return str_to_u64(str_from(text), &n) ? 0 : n;
}

/* --allow, --allow-tls or --allow-push with HOST:PORT. */
static void allow_one(struct allow *allow, const char *how, const char *where)
{
	const char *colon = strrchr(where, ':');
	struct str host = { where, (size_t)(colon - where) };
	uint16_t port = (uint16_t)number(colon + 1);
	need(allow_add(allow, host, port, strcmp(how, "--allow-tls") != 0), "allow");
	if (!strcmp(how, "--allow-push"))
		need(allow_add_push(allow, host, port), "allow");
}

int main(int argc, char **argv)
{
	static struct allow allow;
	struct server s = { 0 };
	struct pulls_options o = { 0 };
	struct mini k = { 0 };
	int pair[2], at = 3;
	if (argc == 3 && !strcmp(argv[1], "--egress"))
		return be_egress(argv[2]);
	if (argc < 4)
		return 2;
	need(crypto_init(), "crypto");
	log_init("driver", LOG_INFO_, 2);
	for (; at + 1 < argc && !strncmp(argv[at], "--", 2); at += 2) {
		char *v = argv[at + 1];
		if (!strncmp(argv[at], "--allow", 7)) {
			allow_one(&allow, argv[at], v);
		} else if (!strcmp(argv[at], "--part")) {
			o.part_bytes = number(v);
		} else if (!strcmp(argv[at], "--streams")) {
			o.streams = (unsigned)number(v);
		} else if (!strcmp(argv[at], "--range")) {
			o.range_bytes = number(v);
		} else if (!strcmp(argv[at], "--stall")) {
			o.stall_ms = (int)number(v);
		} else if (!strcmp(argv[at], "--retry")) {
			o.retry_ms = (int)number(v);
		} else if (!strcmp(argv[at], "--starters")) {
			k.starters = v;
		}
	}
	need(blobdir_open(argv[1], &k.blobs), "blobs");
	need(ipc_pair(pair), "pair");
	pid_t keeper = fork();
	if (keeper == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(pair[0]);
		need(ipc_new(pair[1], &k.server), "keeper");
		mini_keeper(&k);
	}
	(void)close(pair[1]);
	struct ipc *channel, *control, *up;
	need(ipc_new(pair[0], &up), "keeper");
	need(keeper_link_new(up, &s.link), "keeper");
	channel = start_egress(argv[2], &control);
	need(egress_client_new(&s.egress), "egress");
	need(egress_client_policy(s.egress, &allow), "egress");
	need(egress_client_attach(s.egress, channel), "egress");
	pthread_t t;
	need(thread_start("ipc", 256 * 1024, ipc_thread, &s, &t), "thread");
	need(model_store_open(argv[1], NULL, &keeper_blob_ops, s.link, &s.store), "store");
	o.store = s.store;
	o.ops = &keeper_blob_ops;
	o.ops_arg = s.link;
	o.egress = s.egress;
	need(pulls_new(&o, &s.pulls), "pulls");
	int status = command(&s, argc - at, argv + at);
	s.pulls = pulls_free(s.pulls);
	s.store = model_store_free(s.store);
	s.ending = true;
	(void)pthread_join(t, NULL);
	s.egress = egress_client_free(s.egress);
	s.link = keeper_link_free(s.link);
	(void)waitpid(keeper, NULL, 0);
	(void)ipc_free(control);
	k.blobs = blobdir_free(k.blobs);
	return status;
}
