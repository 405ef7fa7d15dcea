#include "os/tty.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "os/fd.h"

static enum err read_line(int fd, struct buf *out)
{
	for (;;) {
		char c;
		size_t n = 0;
		TRY(fd_read(fd, &c, 1, &n));
		if (!n)
			return ERR_CLOSED;
		if (c == '\n')
			return OK;
		TRY(buf_add_byte(out, c));
	}
}

enum err tty_ask_secret(const char *prompt, struct buf *out)
{
	AUTO_FD int fd = -1;
	struct termios before, quiet;
	if (fd_open("/dev/tty", O_RDWR, 0, &fd) || tcgetattr(fd, &before))
		return ERR_NOT_FOUND;
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(fd, TCSAFLUSH, &quiet);
	enum err e = fd_write_full(fd, prompt, strlen(prompt));
	if (!e)
		e = read_line(fd, out);
	(void)tcsetattr(fd, TCSAFLUSH, &before);
	enum err nl = fd_write_full(fd, "\n", 1);
	return e ? e : nl;
}
