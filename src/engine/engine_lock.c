#include "engine/engine_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fd.h"
#include "os/sandbox.h"

uint64_t engine_memory(void)
{
	AUTO_BUF struct buf text = BUF(64 * 1024);
	const char *z;
	if (file_read("/proc/meminfo", &text) || buf_cstr(&text, &z))
		return 0;
	const char *at = strstr(z, "MemAvailable:");
	uint64_t kib = 0;
	if (!at)
		return 0;
	at += strspn(at, "MemAvailable: ");
	return str_to_u64((struct str){ at, strspn(at, "0123456789") }, &kib) ? 0 : kib * 1024;
}

static const struct sandbox_path GPU_PATHS[] = {
	{ "/dev", SANDBOX_READ | SANDBOX_WRITE },
	{ "/proc", SANDBOX_READ },
	{ "/sys", SANDBOX_READ },
	{ "/usr", SANDBOX_READ | SANDBOX_EXEC },
	{ "/lib", SANDBOX_READ | SANDBOX_EXEC },
	{ "/lib64", SANDBOX_READ | SANDBOX_EXEC },
	{ "/etc", SANDBOX_READ },
};

/* When memory runs out it is an engine that goes, not the keeper or somebody's database. */
static void offer_for_oom(void)
{
	int fd;
	if (fd_open("/proc/self/oom_score_adj", O_WRONLY, 0, &fd))
		return;
	(void)!write(fd, "900", 3);
	(void)close(fd);
}

static enum sandbox_profile profile_of(const struct engine_load *load)
{
	return load->gpu                 ? SANDBOX_ENGINE_GPU
	       : load->has_projector ? SANDBOX_ENGINE_LOAD
				     : SANDBOX_ENGINE_CPU;
}

/* A template or a header may ask for any amount: past what is free now (and the mapped file, which
 * is page cache) allocations fail, and the model or the request is refused. A GPU driver maps far
 * more than it uses, so there no limit holds. */
enum err engine_lock(const struct engine_load *load, uint64_t memory)
{
	enum { SLACK_BYTES = 1 << 30 }; /* libraries, stacks and arenas: mapped, not used */
	enum sandbox_profile p = profile_of(load);
	char projector[32];
	struct sandbox_path paths[sizeof GPU_PATHS / sizeof *GPU_PATHS + 1];
	size_t n = 0;
	struct sandbox_limits limits = { 0 };
	struct stat st, eyes = { 0 };
	if (fstat(load->model_fd, &st) < 0 ||
		(load->has_projector && fstat(load->projector_fd, &eyes) < 0))
		return err_from_errno(errno);
	/* A file that grows is one of the ways to harm: past this a write gets EFBIG. */
	if (load->disk_bytes) {
		limits.file_bytes_mib = (unsigned)(load->disk_bytes >> 20) + 1;
		(void)signal(SIGXFSZ, SIG_IGN);
	}
	if (!load->gpu && memory)
		limits.memory_bytes = memory - memory / 16 +
				      (uint64_t)(st.st_size + eyes.st_size) + SLACK_BYTES;
	offer_for_oom();
	for (size_t i = 0; load->gpu && i < sizeof GPU_PATHS / sizeof *GPU_PATHS; i++)
		paths[n++] = GPU_PATHS[i];
	if (load->has_projector) { /* the one file that the library opens by its name */
		snprintf(projector, sizeof projector, "/proc/self/fd/%d", load->projector_fd);
		paths[n++] = (struct sandbox_path){ projector, SANDBOX_READ };
	}
	TRY(sandbox_enter(p, paths, n, &limits));
	return sandbox_lock(p);
}
