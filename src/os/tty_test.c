#include "os/tty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/auto.h"
#include "tests/test.h"

/* A pseudo-terminal; the side that a program sees. */
static int terminal(int *ret_master)
{
	char name[64];
	*ret_master = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(*ret_master >= 0 && !grantpt(*ret_master) && !unlockpt(*ret_master));
	CHECK(!ptsname_r(*ret_master, name, sizeof name));
	int fd = open(name, O_RDWR | O_NOCTTY);
	CHECK(fd >= 0);
	return fd;
}

static struct termios modes(int fd)
{
	struct termios t;
	CHECK(!tcgetattr(fd, &t));
	return t;
}

TEST(keys_come_one_by_one_and_the_terminal_goes_back)
{
	AUTO_FD int master = -1;
	AUTO_FD int fd = terminal(&master);
	struct termios before = modes(fd), now;
	struct tty *t;
	CHECK_OK(tty_new(fd, &t));
	CHECK_OK(tty_set(t, TTY_KEYS));
	now = modes(fd);
	CHECK(!(now.c_lflag & (ECHO | ICANON | ISIG)) && !(now.c_iflag & ICRNL));
	CHECK_OK(tty_set(t, TTY_WATCH));
	now = modes(fd);
	CHECK(!(now.c_lflag & (ECHO | ICANON)) && (now.c_lflag & ISIG));
	tty_free(t);
	now = modes(fd);
	CHECK(now.c_lflag == before.c_lflag && now.c_iflag == before.c_iflag);
	CHECK(now.c_cc[VMIN] == before.c_cc[VMIN]);
}

TEST(the_size_is_told_and_what_is_no_terminal_has_none)
{
	AUTO_FD int master = -1;
	AUTO_FD int fd = terminal(&master), null = open("/dev/null", O_RDWR);
	struct winsize w = { .ws_row = 7, .ws_col = 33 };
	unsigned columns, rows;
	struct tty *t;
	CHECK(!ioctl(fd, TIOCSWINSZ, &w));
	CHECK(tty_size(fd, &columns, &rows));
	CHECK(columns == 33 && rows == 7);
	CHECK(!tty_size(null, &columns, &rows) && !columns && !rows);
	CHECK_ERR(tty_new(null, &t), ERR_NOT_FOUND);
	setenv("TERM", "xterm", 1);
	CHECK(tty_moves(fd) && !tty_moves(null));
	setenv("TERM", "dumb", 1);
	CHECK(!tty_moves(fd));
}

TEST(no_memory_leaves_the_terminal_alone)
{
	AUTO_FD int master = -1;
	AUTO_FD int fd = terminal(&master);
	FOR_EACH_FAULT(FAULT_ALLOC, n)
	{
		struct tty *t = NULL;
		enum err e = tty_new(fd, &t);
		CHECK(e == (fault_fired(FAULT_ALLOC) ? ERR_NOMEM : OK));
		tty_free(t);
	}
}
