/* What this machine is: the first half of models/advise.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/advise.h"
#include "os/fd.h"
#include "os/threads.h"

enum {
	SMALL_FILE = 256 * 1024,
	BANDWIDTH_BYTES = 64 * 1024 * 1024,
	THREADS_MAX = 64
};

/* ---- memory, processor, disk ---- */
static uint64_t meminfo(struct str text, struct str key)
{
	size_t at = str_find(text, key, 0);
	uint64_t kib = 0;
	if (at == SIZE_MAX)
		return 0;
	at += key.len;
	while (at < text.len && text.ptr[at] == ' ')
		at++;
	size_t end = at;
	while (end < text.len && text.ptr[end] >= '0' && text.ptr[end] <= '9')
		end++;
	return str_to_u64(str_sub(text, at, end - at), &kib) ? 0 : kib * 1024;
}

static void read_memory(struct machine *m)
{
	char text[4096];
	ssize_t n = m->meminfo_fd > 0 ? pread(m->meminfo_fd, text, sizeof text, 0) : -1;
	if (n <= 0)
		return;
	struct str s = { text, (size_t)n };
	uint64_t total = meminfo(s, STR("MemTotal:")), available = meminfo(s, STR("MemAvailable:"));
	m->memory = m->cgroup_memory && m->cgroup_memory < total ? m->cgroup_memory : total;
	m->memory_free = available < m->memory ? available : m->memory;
}

static uint64_t number_in(const char *path)
{
	AUTO_BUF struct buf text = BUF(256);
	uint64_t v = 0;
	if (file_read(path, &text) || str_to_u64(str_trim(buf_str(&text)), &v))
		return 0; /* "max" is no limit */
	return v;
}

/* The tightest memory limit of our control groups (version 2: "0::/path"). */
static uint64_t cgroup_memory(void)
{
	AUTO_BUF struct buf text = BUF(SMALL_FILE);
	char path[4200];
	uint64_t tightest = 0;
	if (file_read("/proc/self/cgroup", &text))
		return 0;
	struct str rest = buf_str(&text), line;
	while (str_next(&rest, '\n', &line)) {
		if (!str_starts(line, STR("0::")))
			continue;
		int n = snprintf(
			path, sizeof path, "/sys/fs/cgroup%.*s", STR_ARG(str_sub(line, 3, 4000)));
		for (char *slash = path + n; slash && slash >= path + strlen("/sys/fs/cgroup");
			slash = strrchr(path, '/')) {
			(void)snprintf(slash, sizeof path - (size_t)(slash - path), "/memory.max");
			uint64_t v = number_in(path);
			if (v && (!tightest || v < tightest))
				tightest = v;
			*slash = '\0';
		}
	}
	uint64_t v1 = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
	return v1 && (!tightest || v1 < tightest) ? v1 : tightest;
}

static void read_cpu(struct machine *m)
{
	AUTO_BUF struct buf text = BUF(16 * 1024 * 1024);
	cpu_set_t set;
	m->cores = sched_getaffinity(0, sizeof set, &set) ? 1 : (unsigned)CPU_COUNT(&set);
	if (file_read("/proc/cpuinfo", &text))
		return;
	struct str rest = buf_str(&text), line, key;
	while (str_next(&rest, '\n', &line)) {
		if (!str_next(&line, ':', &key) || !str_eq(str_trim(key), STR("model name")))
			continue;
		struct str name = str_trim(line);
		(void)str_copy(str_sub(name, 0, sizeof m->cpu - 1), m->cpu, sizeof m->cpu);
		return;
	}
}

void machine_refresh(const char *data_dir, struct machine *m)
{
	struct statvfs v;
	read_memory(m);
	if (!statvfs(data_dir, &v))
		m->disk_free = (uint64_t)v.f_bavail * v.f_frsize;
}

void machine_probe(const char *data_dir, unsigned cards, struct machine *ret)
{
	struct machine m = { 0 };
	if (fd_open("/proc/meminfo", O_RDONLY, 0, &m.meminfo_fd))
		m.meminfo_fd = 0;
	m.cgroup_memory = cgroup_memory();
	read_cpu(&m);
	cards_probe(cards, &m.cards);
	cards_text(&m.cards, m.gpu, sizeof m.gpu);
	machine_refresh(data_dir, &m);
	*ret = m;
}

void machine_id(const struct machine *m, char ret[MACHINE_ID_MAX])
{
	snprintf(ret, MACHINE_ID_MAX, "%s; %u cores%s%s", m->cpu, m->cores, m->gpu[0] ? "; " : "",
		m->gpu);
}

/* ---- bandwidth ---- */
struct reader {
	const uint64_t *p;
	size_t words;
	int64_t until_ns, cpu_ns;
	uint64_t bytes, sum;
};

/* Time this thread really ran: others on the machine must not make it look slow. */
static int64_t thread_ns(void)
{
	struct timespec t;
	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
		       ? 0
		       : (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *read_on(void *arg)
{
	struct reader *r = arg;
	int64_t begin = thread_ns();
	do {
		uint64_t a = 0, b = 0, c = 0,
			 d = 0; /* four chains: the sum must not be the brake */
		for (size_t i = 0; i + 3 < r->words; i += 4) {
			a += r->p[i];
			b += r->p[i + 1];
			c += r->p[i + 2];
			d += r->p[i + 3];
		}
		r->sum += a + b + c + d; /* kept, so that the loop is not thrown away */
		r->bytes += r->words * sizeof *r->p;
	} while (time_mono_ns() < r->until_ns);
	r->cpu_ns = thread_ns() - begin;
	return NULL;
}

double machine_bandwidth(unsigned threads, unsigned ms)
{
	struct reader r[THREADS_MAX];
	pthread_t t[THREADS_MAX];
	bool started[THREADS_MAX] = { false };
	double sum = 0;
	if (!threads || threads > THREADS_MAX)
		threads = threads ? THREADS_MAX : 1;
	size_t words =
		(size_t)BANDWIDTH_BYTES / sizeof(uint64_t); /* a thread: more than its cache */
	uint64_t *mem = mem_alloc(words * sizeof *mem * threads);
	if (!mem)
		return 0;
	memset(mem, 1, words * sizeof *mem * threads);
	int64_t begin = time_mono_ns();
	for (unsigned i = 0; i < threads; i++) {
		r[i] = (struct reader){ mem + words * i, words, begin + (int64_t)ms * 1000000, 0, 0,
			0 };
		started[i] = !thread_start("bandwidth", 64 * 1024, read_on, &r[i], &t[i]);
	}
	for (unsigned i = 0; i < threads; i++) {
		if (!started[i])
			continue;
		(void)pthread_join(t[i], NULL);
		if (r[i].cpu_ns > 0)
			sum += (double)r[i].bytes / ((double)r[i].cpu_ns / 1e9);
	}
	mem_free(mem);
	return sum;
}
