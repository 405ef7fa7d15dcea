#include "roles/jail.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/hex.h"
#include "base/log.h"
#include "doc/image_job.h"
#include "engine/quantize_job.h"
#include "models/builds.h"
#include "models/convert.h"
#include "models/convert_adapter.h"
#include "models/gguf_job.h"
#include "models/hash_job.h"
#include "models/merge.h"
#include "models/reader_job.h"
#include "models/writer.h"
#include "os/sandbox.h"
#include "os/spawn.h"
#include "proto/keeper.h"
#include "proto/make.h"

enum { JAIL_FDS_MAX = MAKE_PARTS_MAX + 1 };

struct job {
	uint64_t kind, size;
	char digest[65], what[MAKE_WHAT_MAX + 1];
	int fd[JAIL_FDS_MAX];
	unsigned nfds;
	struct ipc *channel;
};

/* How many descriptors each kind of job has. */
static bool fds_fit(uint64_t kind, uint64_t n)
{
	switch (kind) {
	case JAIL_GGUF:
	case JAIL_IMAGE:
	case JAIL_HASH:
	case JAIL_DESCRIBE:
	case JAIL_DESCRIBE_LISTS:
		return n == 1;
	case JAIL_WRITER:
	case JAIL_COPY:
		return n == 3;
	case JAIL_QUANTIZE:
	case JAIL_READER:
		return n == 2;
	case JAIL_CONVERT:
	case JAIL_MERGE:
	case JAIL_ADAPTER:
		return n >= 2 && n <= JAIL_FDS_MAX;
	default:
		return false;
	}
}

static enum err job_read(struct ipc *keeper, struct job *j)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	TRY(ipc_recv_wait(keeper, -1, &m));
	if (m.type != JAIL_JOB)
		return ERR_PROTOCOL;
	j->kind = ipc_get_u64(&m);
	struct str digest = ipc_get_str(&m);
	j->size = ipc_get_u64(&m);
	struct str what = ipc_get_str(&m);
	uint64_t n = ipc_get_u64(&m);
	if (!fds_fit(j->kind, n))
		return ERR_PROTOCOL;
	for (j->nfds = 0; j->nfds < n; j->nfds++)
		j->fd[j->nfds] = ipc_get_fd(&m);
	int channel = ipc_get_fd(&m);
	TRY(ipc_end(&m));
	TRY(str_copy(digest, j->digest, sizeof j->digest));
	TRY(str_copy(what, j->what, sizeof j->what));
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

/* A module with libraries that only its job needs: loaded before the process locks itself. */
static void *module_symbol(const char *dir, const char *file, const char *symbol)
{
	char path[BUILD_PATH_MAX + 16];
	snprintf(path, sizeof path, "%s/%s", dir, file);
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!module)
		log_error("module not loaded", KV_Z("module", file), KV_Z("why", dlerror()));
	return module ? dlsym(module, symbol) : NULL;
}

typedef int (*image_fn)(struct ipc *ch, int fd);

/* libllama's, in the engine build that the keeper has looked at: it locks itself, as an engine
 * does, after its backends have looked at the machine. */
static int run_quantize(const struct job *j)
{
	const char *dir = getenv("TRESOR_ENGINE");
	int (*run)(int, uint64_t, int, int, const char *) = NULL;
	if (dir)
		*(void **)&run = module_symbol(dir, "engine.so", QUANTIZE_MODULE_MAIN);
	return run ? run(ipc_fd(j->channel), ipc_protocol_hash(), j->fd[0], j->fd[1], j->what)
		   : make_end(j->channel, ERR_UNSUPPORTED,
			     "the engine build here has no quantiser");
}

static int run(const struct job *j, struct ipc *keeper, image_fn image)
{
	switch (j->kind) {
	case JAIL_IMAGE:
		return image(j->channel, j->fd[0]);
	case JAIL_GGUF:
		return gguf_job_main(j->channel, j->fd[0]);
	case JAIL_DESCRIBE:
	case JAIL_DESCRIBE_LISTS:
		return gguf_describe_main(
			j->channel, j->fd[0], j->kind == JAIL_DESCRIBE_LISTS);
	case JAIL_READER:
		return reader_job_main(j->fd[0], j->size, j->fd[1]);
	case JAIL_HASH:
		return hash_job_main(keeper, j->fd[0]);
	case JAIL_CONVERT:
		return make_job_main(
			j->channel, j->fd, j->nfds, str_from(j->what), convert_run);
	case JAIL_ADAPTER:
		return make_job_main(
			j->channel, j->fd, j->nfds, str_from(j->what), convert_adapter_run);
	case JAIL_MERGE:
		return make_job_main(j->channel, j->fd, j->nfds, STR(""), merge_run);
	default:
		return run_writer(j);
	}
}

static enum err lock(const struct job *j)
{
	struct sandbox_limits limits = { .memory_bytes = JAIL_MEMORY_BYTES,
		.cpu_seconds = JAIL_CPU_SECONDS,
		.open_files = JAIL_FDS_MAX + 16 };
	if (j->kind == JAIL_IMAGE) {
		limits.memory_bytes = JAIL_IMAGE_MEMORY_BYTES;
		limits.cpu_seconds = JAIL_IMAGE_CPU_SECONDS;
	} else if (j->kind == JAIL_CONVERT) {
		limits.memory_bytes = JAIL_MAKE_MEMORY_BYTES;
	}
	TRY(sandbox_enter(SANDBOX_JAIL, NULL, 0, &limits));
	return sandbox_lock(SANDBOX_JAIL);
}

int jail_main(struct ipc *keeper)
{
	struct job j = { 0 };
	image_fn image = NULL;
	/* The job message comes from the keeper, who is trusted; its files' bytes are not. */
	enum err e = job_read(keeper, &j);
	if (!e && j.kind == JAIL_QUANTIZE)
		return run_quantize(&j);
	if (!e && j.kind == JAIL_IMAGE) {
		*(void **)&image =
			module_symbol(spawn_module_dir(), IMAGE_MODULE, IMAGE_MODULE_MAIN);
		e = image ? OK : ERR_UNSUPPORTED;
	}
	if (!e)
		e = lock(&j);
	if (e) {
		log_error("the jail cannot be locked", KV_ERR(e));
		return 4;
	}
	int status = run(&j, keeper, image);
	(void)ipc_drain(j.channel, 5000);
	/* the keeper's channel stays open until the exit, which carries the verdict */
	return status;
}
