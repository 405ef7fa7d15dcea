#include "roles/jail.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/log.h"
#include "doc/image_job.h"
#include "models/gguf_job.h"
#include "models/reader_job.h"
#include "models/writer.h"
#include "os/sandbox.h"
#include "os/spawn.h"
#include "proto/keeper.h"

enum { JAIL_FDS_MAX = 3 };

struct job {
	uint64_t kind, size;
	char digest[65];
	int fd[JAIL_FDS_MAX];
	unsigned nfds;
	struct ipc *channel;
};

static bool is_writer(uint64_t kind)
{
	return kind == JAIL_WRITER || kind == JAIL_COPY;
}

/* How many descriptors a job has, by its kind. */
static const uint64_t fds_of[] = { [JAIL_GGUF] = 1,
	[JAIL_DESCRIBE] = 1,
	[JAIL_DESCRIBE_LISTS] = 1,
	[JAIL_WRITER] = 3,
	[JAIL_COPY] = 3,
	[JAIL_IMAGE] = 1,
	[JAIL_READER] = 2 };

static enum err job_read(struct ipc *keeper, struct job *j)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	TRY(ipc_recv_wait(keeper, -1, &m));
	if (m.type != JAIL_JOB)
		return ERR_PROTOCOL;
	j->kind = ipc_get_u64(&m);
	struct str digest = ipc_get_str(&m);
	j->size = ipc_get_u64(&m);
	uint64_t n = ipc_get_u64(&m);
	if (j->kind >= sizeof fds_of / sizeof *fds_of || n != fds_of[j->kind])
		return ERR_PROTOCOL;
	for (j->nfds = 0; j->nfds < n; j->nfds++)
		j->fd[j->nfds] = ipc_get_fd(&m);
	int channel = ipc_get_fd(&m);
	TRY(ipc_end(&m));
	TRY(str_copy(digest, j->digest, sizeof j->digest));
	return ipc_new(channel, &j->channel);
}

static int run_writer(const struct job *j)
{
	bool copy = j->kind == JAIL_COPY;
	struct writer_job w = { .control = j->channel,
		.sink_fd = copy ? -1 : j->fd[0],
		.source_fd = copy ? j->fd[0] : -1,
		.file_fd = j->fd[1],
		.journal_fd = j->fd[2],
		.size = j->size };
	if (hex_decode(str_from(j->digest), w.digest, sizeof w.digest))
		return 2;
	return writer_job_main(&w);
}

static int run_gguf(const struct job *j)
{
	return j->kind == JAIL_GGUF ? gguf_job_main(j->channel, j->fd[0])
				    : gguf_describe_main(j->channel, j->fd[0],
					      j->kind == JAIL_DESCRIBE_LISTS);
}

typedef int (*job_fn)(struct ipc *ch, int fd);

/* The picture libraries: loaded before the process locks itself, and only for this job. */
static job_fn image_module(void)
{
	char path[4200];
	job_fn fn = NULL;
	snprintf(path, sizeof path, "%s/%s", spawn_module_dir(), IMAGE_MODULE);
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!module)
		log_error(
			"module not loaded", KV_Z("module", IMAGE_MODULE), KV_Z("why", dlerror()));
	else
		*(void **)&fn = dlsym(module, IMAGE_MODULE_MAIN);
	return fn;
}

int jail_main(struct ipc *keeper)
{
	struct job j = { 0 };
	job_fn image = NULL;
	struct sandbox_limits limits = {
		.memory_bytes = JAIL_MEMORY_BYTES, .cpu_seconds = JAIL_CPU_SECONDS, .open_files = 16
	};
	/* The job message comes from the keeper, who is trusted; its files' bytes are not. */
	enum err e = job_read(keeper, &j);
	if (!e && j.kind == JAIL_IMAGE) {
		limits.memory_bytes = JAIL_IMAGE_MEMORY_BYTES;
		limits.cpu_seconds = JAIL_IMAGE_CPU_SECONDS;
		image = image_module();
		e = image ? OK : ERR_UNSUPPORTED;
	}
	if (!e)
		e = sandbox_enter(SANDBOX_JAIL, NULL, 0, &limits);
	if (!e)
		e = sandbox_lock(SANDBOX_JAIL);
	if (e) {
		log_error("the jail cannot be locked", KV_ERR(e));
		return 4;
	}
	int status = image                   ? image(j.channel, j.fd[0])
		     : is_writer(j.kind)     ? run_writer(&j)
		     : j.kind == JAIL_READER ? reader_job_main(j.fd[0], j.size, j.fd[1])
					     : run_gguf(&j);
	(void)ipc_drain(j.channel, 5000);
	/* the keeper's channel stays open until the exit, which carries the verdict */
	return status;
}
