#include "os/others.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/fd.h"

struct others {
	int fd; /* /proc/stat */
	uint64_t busy;
	int64_t at_ns; /* of `busy`; 0: never */
	double cores;  /* between the last two calls */
	double lesser; /* of that and what it was the time before */
};

enum err others_new(struct others **ret)
{
	AUTO_FD int fd = -1;
	TRY(fd_open("/proc/stat", O_RDONLY, 0, &fd));
	struct others *o = mem_zalloc(1, sizeof *o);
	if (!o)
		return ERR_NOMEM;
	o->fd = TAKE_FD(fd);
	*ret = o;
	return OK;
}

struct others *others_free(struct others *o)
{
	if (o)
		close(o->fd);
	mem_free(o);
	return NULL;
}

/* "cpu  user nice system idle iowait irq softirq steal ...": what runs here is all but idle, iowait
 * and steal; guests are in user. */
bool others_busy(struct str stat, uint64_t *ret)
{
	enum { IDLE = 3, IOWAIT = 4, FIELDS = 7 };
	struct str line, word;
	uint64_t sum = 0, v;
	if (!str_next(&stat, '\n', &line) || !str_next(&line, ' ', &word) ||
		!str_eq(word, STR("cpu")))
		return false;
	for (int i = 0; i < FIELDS;) {
		if (!str_next(&line, ' ', &word))
			return false;
		if (!word.len) /* two blanks after the name */
			continue;
		if (str_to_u64(word, &v))
			return false;
		sum += i == IDLE || i == IOWAIT ? 0 : v;
		i++;
	}
	*ret = sum;
	return true;
}

uint32_t others_measure(struct others *o, uint64_t ours_ns, int64_t now_ns)
{
	char text[512];
	uint64_t busy;
	ssize_t n = pread(o->fd, text, sizeof text, 0);
	if (n <= 0 || !others_busy((struct str){ text, (size_t)n }, &busy))
		return (uint32_t)(o->lesser * 100 + 0.5);
	double wall = (double)(now_ns - o->at_ns) / 1e9;
	double all = (double)(busy - o->busy) / (double)sysconf(_SC_CLK_TCK);
	double now = 0;
	if (o->at_ns && wall > 0 && wall * 1000 < OTHERS_OLD_MS && busy >= o->busy)
		now = (all - (double)ours_ns / 1e9) / wall;
	now = now > 0 ? now : 0;
	o->lesser = now < o->cores ? now : o->cores;
	o->cores = now;
	o->busy = busy;
	o->at_ns = now_ns;
	return (uint32_t)(o->lesser * 100 + 0.5);
}
