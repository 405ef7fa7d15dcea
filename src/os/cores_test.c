#include "os/cores.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/test.h"

TEST(engines_at_work_divide_the_cores)
{
	int fd = -1;
	struct cores *a = NULL, *b = NULL, *c = NULL;
	CHECK_OK(cores_page_new(&fd));
	CHECK_OK(cores_new(fd, 0, &a));
	CHECK_OK(cores_new(fd, 1, &b));
	CHECK_OK(cores_new(fd, CORES_PLACES - 1, &c));
	cores_work(a, true);
	CHECK_EQ_INT(cores_part(a, 16), 16);
	CHECK_EQ_INT(cores_part(b, 16), 8); /* it is about to begin: there are two then */
	cores_work(b, true);
	CHECK_EQ_INT(cores_part(a, 16), 8);
	cores_work(c, true);
	CHECK_EQ_INT(cores_part(a, 16), 5);
	CHECK_EQ_INT(cores_part(a, 2), 1);
	CHECK_EQ_INT(cores_part(a, 1), 1);
	cores_clear(a, 1); /* killed: the keeper clears its place */
	CHECK_EQ_INT(cores_part(a, 16), 8);
	c = cores_free(c);
	CHECK_EQ_INT(cores_part(a, 16), 16);
	cores_clear(a, CORES_PLACES); /* no such place: nothing */
	cores_free(b);
	cores_free(a);
	close(fd);
}

TEST(what_is_no_such_page_is_refused)
{
	int fd = -1;
	struct cores *c = NULL;
	CHECK_OK(cores_page_new(&fd));
	CHECK_ERR(cores_new(fd, CORES_PLACES, &c), ERR_INVALID);
	CHECK(ftruncate(fd, 0) < 0); /* sealed: nobody's mapping can be cut off */
	close(fd);
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_ERR(cores_new(file, 0, &c), ERR_INVALID);
	close(file);
	CHECK(!c);
}
