#include "models/cards.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/time.h"
#include "models/cards_vulkan.h"

enum { WAIT_MS = 5000 };

/* Bytes/s of cards by a piece of their name, from the vendor's data sheets; the first that fits. */
static const struct {
	const char *name;
	double bandwidth;
} known[] = {
	{ "B200", 8.0e12 },
	{ "H200", 4.8e12 },
	{ "H100 PCIe", 2.0e12 },
	{ "H100", 3.35e12 },
	{ "A100", 1.9e12 },
	{ "L40S", 0.86e12 },
	{ "L40", 0.86e12 },
	{ "L4", 0.3e12 },
	{ "A10", 0.6e12 },
	{ "T4", 0.32e12 },
	{ "V100", 0.9e12 },
	{ "RTX 5090", 1.79e12 },
	{ "RTX 5080", 0.96e12 },
	{ "RTX 4090", 1.01e12 },
	{ "RTX 4080", 0.72e12 },
	{ "RTX 3090", 0.94e12 },
	{ "RTX PRO 6000", 1.79e12 },
	{ "RTX 6000 Ada", 0.96e12 },
	{ "RTX A6000", 0.77e12 },
};
#define UNKNOWN_BANDWIDTH 200e9
#define RAM_BANDWIDTH 40e9 /* of a card in the machine's memory: two channels of today's */

/* ---- what counts ---- */

static double bandwidth_of(const struct card *c)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strstr(c->name, known[i].name))
			return known[i].bandwidth;
	return c->in_ram ? RAM_BANDWIDTH : UNKNOWN_BANDWIDTH;
}

static bool is_whole(const struct card_found *f)
{
	const struct card *c = &f->card;
	if (!memchr(c->id, 0, sizeof c->id) || !memchr(c->name, 0, sizeof c->name))
		return false;
	struct str name = str_from(c->name);
	return f->usable && c->total && c->total < UINT64_MAX / CARDS_MAX &&
	       card_api_of(str_from(c->id), NULL) != CARD_NONE && name.len && str_is_utf8(name) &&
	       !str_has_control(name);
}

static bool is_twin(const struct cards_found *found, size_t at)
{
	static const uint8_t none[sizeof found->v->uuid];
	const uint8_t *mine = found->v[at].uuid;
	for (size_t i = 0; i < at; i++)
		if (memcmp(mine, none, sizeof none) && is_whole(&found->v[i]) &&
			!memcmp(found->v[i].uuid, mine, sizeof none))
			return true;
	return false;
}

static void take(const struct cards_found *found, uint32_t kind, struct cards *ret)
{
	for (size_t i = 0; i < found->n && ret->n < CARDS_MAX; i++) {
		if (found->v[i].kind != kind || !is_whole(&found->v[i]) || is_twin(found, i))
			continue;
		struct card *c = &ret->v[ret->n++];
		*c = found->v[i].card;
		c->in_ram = kind == CARD_INTEGRATED || kind == CARD_SOFTWARE;
		c->bandwidth = bandwidth_of(c);
		if (c->free_bytes > c->total)
			c->free_bytes = c->total;
	}
}

void cards_choose(const struct cards_found *found, unsigned which, struct cards *ret)
{
	ret->n = 0;
	if (found->n > CARDS_FOUND_MAX)
		return;
	take(found, CARD_DISCRETE, ret);
	take(found, CARD_VIRTUAL, ret);
	if (!ret->n)
		take(found, CARD_INTEGRATED, ret);
	if (!ret->n && which & CARDS_SOFTWARE)
		take(found, CARD_SOFTWARE, ret);
}

void cards_text(const struct cards *c, char *ret, size_t size)
{
	size_t at = 0;
	ret[0] = '\0';
	for (size_t i = 0; i < c->n; i++) {
		size_t more = strlen(c->v[i].name) + (i ? 3 : 0), rest = c->n - i;
		if (at + more + (rest > 1 ? sizeof " and 8 more" : 1) > size) {
			(void)snprintf(ret + at, size - at, "%s%zu more", i ? " and " : "", rest);
			return;
		}
		at += (size_t)snprintf(
			ret + at, size - at, "%s%s", i ? " + " : "", c->v[i].name);
	}
}

/* ---- asking ---- */

struct nvml_memory {
	unsigned long long total, free, used;
};

/* A function of a library, as what it is. */
#define ENTRY(name, so, symbol, ...)                                                               \
	union {                                                                                    \
		void *p;                                                                           \
		int (*fn)(__VA_ARGS__);                                                            \
	} name = { .p = dlsym(so, symbol) }

/* NVIDIA's management library (nvml.h). */
static void ask_nvml(struct cards_found *r)
{
	void *so = dlopen("libnvidia-ml.so.1", RTLD_NOW);
	unsigned n = 0;
	if (!so)
		return;
	ENTRY(init, so, "nvmlInit_v2", void);
	ENTRY(count, so, "nvmlDeviceGetCount_v2", unsigned *);
	ENTRY(handle, so, "nvmlDeviceGetHandleByIndex_v2", unsigned, void **);
	ENTRY(name, so, "nvmlDeviceGetName", void *, char *, unsigned);
	ENTRY(uuid, so, "nvmlDeviceGetUUID", void *, char *, unsigned);
	ENTRY(memory, so, "nvmlDeviceGetMemoryInfo", void *, struct nvml_memory *);
	if (!init.p || !count.p || !handle.p || !name.p || !uuid.p || !memory.p || init.fn() ||
		count.fn(&n))
		return;
	for (unsigned i = 0; i < n && r->n < CARDS_FOUND_MAX; i++) {
		void *card;
		struct nvml_memory mem;
		char text[96] = "", id[96] = "";
		if (handle.fn(i, &card) || memory.fn(card, &mem) ||
			name.fn(card, text, sizeof text) || uuid.fn(card, id, sizeof id))
			continue;
		struct card_found *f = &r->v[r->n++];
		*f = (struct card_found){ .kind = CARD_DISCRETE, .usable = true };
		(void)snprintf(f->card.id, sizeof f->card.id, "cuda:%.42s", id);
		(void)snprintf(f->card.name, sizeof f->card.name, "%.95s", text);
		f->card.total = mem.total;
		f->card.free_bytes = mem.free;
	}
}

/* In the child. What drivers print is nobody's business: a software one warns of itself. */
static void ask(unsigned which, struct cards_found *r)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	cards_quiet_drivers();
	if (which & CARDS_CUDA && !access("/dev/nvidiactl", F_OK))
		ask_nvml(r);
	if (which & CARDS_VULKAN)
		cards_ask_vulkan(r);
}

/* Longer than a pipe need take at once, so it may come in pieces; in time all the same. */
static bool read_report(int fd, struct cards_found *ret)
{
	int64_t until = time_mono_ms() + WAIT_MS;
	size_t at = 0;
	while (at < sizeof *ret) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - time_mono_ms();
		ssize_t n = left > 0 && poll(&p, 1, (int)left) == 1
				    ? read(fd, (char *)ret + at, sizeof *ret - at)
				    : -1;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool write_report(int fd, const struct cards_found *r)
{
	for (size_t at = 0; at < sizeof *r;) {
		ssize_t n = write(fd, (const char *)r + at, sizeof *r - at);
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

void cards_probe(unsigned which, struct cards *ret)
{
	struct cards_found r = { 0 };
	int fd[2];
	ret->n = 0;
	if (!(which & (CARDS_CUDA | CARDS_VULKAN)) || pipe2(fd, O_CLOEXEC))
		return;
	pid_t pid = fork();
	if (pid == 0) {
		ask(which, &r);
		_exit(!write_report(fd[1], &r));
	}
	(void)close(fd[1]);
	bool got = pid > 0 && read_report(fd[0], &r);
	(void)close(fd[0]);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	if (got)
		cards_choose(&r, which, ret);
}
