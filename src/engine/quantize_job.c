#include "engine/quantize_job.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "engine/engine_lock.h"
#include "engine/llama/backend.h"
#include "engine/llama/quantize.h"
#include "os/sandbox.h"
#include "proto/make.h"

enum {
	NICE = 10, /* people's answers go first */
	STUCK_MS = 30 * 60 * 1000, /* for one tensor */
	END_STOPPED = 3,
};

struct quantize_job {
	struct ipc *ch;
	atomic_llong moved_ms; /* when it last got on */
	atomic_bool ended;      /* it has said its last word: who leaves now may */
	int64_t told_ms;
};

/* Of the memory a quarter is left to others; the mapped file is page cache. What it makes is
 * smaller than the model. */
static enum err lock(int out, int model)
{
	enum { SLACK_BYTES = 1 << 30 }; /* libraries, stacks and arenas: mapped, not used */
	char in_name[32], out_name[32];
	struct stat st;
	uint64_t memory = engine_memory();
	if (fstat(model, &st))
		return err_from_errno(errno);
	quantize_fd_name(model, in_name);
	quantize_fd_name(out, out_name);
	const struct sandbox_path paths[] = { { in_name, SANDBOX_READ },
		{ out_name, SANDBOX_WRITE } };
	struct sandbox_limits limits = {
		.file_bytes_mib = (unsigned)((uint64_t)st.st_size >> 20) + 64,
	};
	if (memory)
		limits.memory_bytes = memory - memory / 4 + (uint64_t)st.st_size + SLACK_BYTES;
	(void)signal(SIGXFSZ, SIG_IGN);
	TRY(sandbox_enter(SANDBOX_ENGINE_LOAD, paths, 2, &limits));
	return sandbox_lock(SANDBOX_ENGINE_LOAD);
}

/* The server says nothing on this channel: when it becomes readable it has left. */
static void *watch(void *arg)
{
	struct quantize_job *j = arg;
	for (;;) {
		struct pollfd p = { .fd = ipc_fd(j->ch), .events = POLLIN };
		bool left = poll(&p, 1, 1000) > 0;
		if (atomic_load(&j->ended))
			return NULL; /* it has left because it knows */
		if (left)
			_exit(END_STOPPED);
		if (time_mono_ms() - atomic_load(&j->moved_ms) > STUCK_MS)
			_exit(END_STOPPED);
	}
	return NULL;
}

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
	enum { TELL_MS = 100 };
	struct quantize_job *j = arg;
	int64_t now = time_mono_ms();
	atomic_store(&j->moved_ms, now);
	if (now - j->told_ms < TELL_MS && done < all)
		return;
	j->told_ms = now;
	if (make_progress(j->ch, done, all))
		_exit(END_STOPPED);
}

static int run_job(struct ipc *ch, int out, int model, const char *what)
{
	struct quantize_job j = { .ch = ch };
	struct err_info info = { 0 };
	pthread_t watcher;
	uint64_t type = 0;
	uint32_t cores = llama_backend_prepare(NULL, 0);
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	enum err e = lock(out, model);
	if (e) {
		log_error("the quantiser is not locked", KV_ERR(e));
		return make_end(ch, e == ERR_UNSUPPORTED ? e : ERR_INTERNAL,
			e == ERR_UNSUPPORTED
				? "this machine's kernel has no Landlock, without which models are "
				  "not quantised here"
				: NULL);
	}
	if (str_to_u64(str_from(what), &type) || type > INT32_MAX)
		return make_end(ch, ERR_PROTOCOL, NULL);
	atomic_store(&j.moved_ms, time_mono_ms());
	if (pthread_create(&watcher, NULL, watch, &j))
		return make_end(ch, ERR_NOMEM, NULL);
	struct quantize_wish w = { .out = out,
		.model = model,
		.type = (unsigned)type,
		.threads = cores,
		.progress = on_progress,
		.arg = &j };
	e = quantize_run(&w, &info);
	atomic_store(&j.ended, true);
	int status = make_end(ch, e, info.detail);
	/* the thread that watches ends with the process */
	_exit(status);
}

int quantize_job_main(
	int channel, uint64_t protocol_hash, int out, int model, const char *what)
{
	struct ipc *ch = NULL;
	ipc_speak(protocol_hash);
	return ipc_new(channel, &ch) ? 1 : run_job(ch, out, model, what);
}
