#include "os/cores.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/fd.h"

struct page {
	atomic_uint at_work[CORES_PLACES], others;
};
_Static_assert(sizeof(struct page) <= CORES_PAGE, "one page");
struct cores {
	struct page *page;
	uint32_t place;
};

enum err cores_page_new(int *ret_fd)
{
	AUTO_FD int fd = memfd_create("cores", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_from_errno(errno);
	TRY(fd_cut(fd, CORES_PAGE));
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_from_errno(errno);
	*ret_fd = TAKE_FD(fd);
	return OK;
}

enum err cores_new(int fd, uint32_t place, struct cores **ret)
{
	uint64_t size = 0;
	int seals = fcntl(fd, F_GET_SEALS);
	if (place >= CORES_PLACES || seals < 0 || !(seals & F_SEAL_SHRINK))
		return ERR_INVALID;
	TRY(fd_size(fd, &size));
	if (size != CORES_PAGE)
		return ERR_INVALID;
	struct cores *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	void *p = mmap(NULL, CORES_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		mem_free(c);
		return err_from_errno(errno);
	}
	*c = (struct cores){ p, place };
	*ret = c;
	return OK;
}

struct cores *cores_free(struct cores *c)
{
	if (!c)
		return NULL;
	cores_work(c, false);
	(void)munmap(c->page, CORES_PAGE);
	mem_free(c);
	return NULL;
}

void cores_work(struct cores *c, bool at_work)
{
	atomic_store_explicit(&c->page->at_work[c->place], at_work, memory_order_relaxed);
}

void cores_clear(struct cores *c, uint32_t place)
{
	if (place < CORES_PLACES)
		atomic_store_explicit(&c->page->at_work[place], 0, memory_order_relaxed);
}

bool cores_busy(const struct cores *c)
{
	for (uint32_t i = 0; i < CORES_PLACES; i++)
		if (atomic_load_explicit(&c->page->at_work[i], memory_order_relaxed))
			return true;
	return false;
}

void cores_others(struct cores *c, uint32_t hundredths)
{
	atomic_store_explicit(&c->page->others, hundredths, memory_order_relaxed);
}

uint32_t cores_part(const struct cores *c, uint32_t all)
{
	uint32_t n = 1, taken = atomic_load_explicit(&c->page->others, memory_order_relaxed);
	taken = taken / 100 + (taken % 100 >= 50);
	all = all > taken ? all - taken : 1;
	for (uint32_t i = 0; i < CORES_PLACES; i++)
		n += i != c->place &&
		     atomic_load_explicit(&c->page->at_work[i], memory_order_relaxed) != 0;
	return all > n ? all / n : 1;
}
