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

/* CUDA's driver opens devices and libraries as it goes, with the first kernel as well. */
static const struct sandbox_path CUDA_PATHS[] = {
	{ "/dev", SANDBOX_READ | SANDBOX_WRITE },
	{ "/proc", SANDBOX_READ },
	{ "/sys", SANDBOX_READ },
	{ "/usr", SANDBOX_READ | SANDBOX_EXEC },
	{ "/lib", SANDBOX_READ | SANDBOX_EXEC },
	{ "/lib64", SANDBOX_READ | SANDBOX_EXEC },
	{ "/etc", SANDBOX_READ },
};

/* The loader has read its lists of drivers and opened them before the lock. What is left is the
 * device itself (render nodes; NVIDIA's own), what a driver reads of it, and parts of drivers that
 * are loaded with the first shader. Nothing may be written but devices. */
static const struct sandbox_path VULKAN_PATHS[] = {
	{ "/dev/dri", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidiactl", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia0", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia1", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia2", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia3", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia4", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia5", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia6", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia7", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/nvidia-modeset", SANDBOX_READ | SANDBOX_WRITE },
	{ "/dev/null", SANDBOX_READ | SANDBOX_WRITE },
	{ "/proc/self", SANDBOX_READ },
	{ "/proc/cpuinfo", SANDBOX_READ },
	{ "/proc/driver/nvidia", SANDBOX_READ },
	{ "/sys/bus/pci", SANDBOX_READ },
	{ "/sys/class/drm", SANDBOX_READ },
	{ "/sys/dev/char", SANDBOX_READ },
	{ "/sys/devices", SANDBOX_READ },
	{ "/usr/lib", SANDBOX_READ | SANDBOX_EXEC },
	{ "/lib", SANDBOX_READ | SANDBOX_EXEC },
	{ "/lib64", SANDBOX_READ | SANDBOX_EXEC },
	{ "/etc/ld.so.cache", SANDBOX_READ },
	{ "/etc/drirc", SANDBOX_READ },
	{ "/usr/share/drirc.d", SANDBOX_READ },
	{ "/usr/share/libdrm", SANDBOX_READ },
	{ "/usr/share/nvidia", SANDBOX_READ },
};

enum { PATHS_MAX = 1 + sizeof VULKAN_PATHS / sizeof *VULKAN_PATHS };
_Static_assert(sizeof CUDA_PATHS < sizeof VULKAN_PATHS, "PATHS_MAX is that of the longer list");

/* What the cards' driver may still open. Returns how many. */
static size_t driver_paths(const struct engine_load *load, struct sandbox_path ret[PATHS_MAX])
{
	switch (load->n_cards ? card_api_of(str_from(load->card[0].id), NULL) : CARD_NONE) {
	case CARD_CUDA:
		memcpy(ret, CUDA_PATHS, sizeof CUDA_PATHS);
		return sizeof CUDA_PATHS / sizeof *CUDA_PATHS;
	case CARD_VULKAN:
		memcpy(ret, VULKAN_PATHS, sizeof VULKAN_PATHS);
		return sizeof VULKAN_PATHS / sizeof *VULKAN_PATHS;
	default:
		return 0;
	}
}

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
	return load->n_cards         ? SANDBOX_ENGINE_GPU
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
	struct sandbox_path paths[PATHS_MAX];
	size_t n = driver_paths(load, paths);
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
	if (!load->n_cards && memory)
		limits.memory_bytes = memory - memory / 16 +
				      (uint64_t)(st.st_size + eyes.st_size) + SLACK_BYTES;
	offer_for_oom();
	if (load->has_projector) { /* the one file that the library opens by its name */
		snprintf(projector, sizeof projector, "/proc/self/fd/%d", load->projector_fd);
		paths[n++] = (struct sandbox_path){ projector, SANDBOX_READ };
	}
	TRY(sandbox_enter(p, paths, n, &limits));
	return sandbox_lock(p);
}
