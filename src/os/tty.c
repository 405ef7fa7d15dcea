#include "os/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/fault.h"
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

/* ---- modes ---- */

struct tty {
	int fd;
	struct termios before;
	const char *last_words; /* borrowed; NULL: none */
};

enum err tty_new(int fd, struct tty **ret)
{
	struct termios before;
	if (tcgetattr(fd, &before))
		return ERR_NOT_FOUND;
	struct tty *t = mem_zalloc(1, sizeof *t);
	if (!t)
		return ERR_NOMEM;
	t->fd = fd;
	t->before = before;
	*ret = t;
	return OK;
}

struct tty *tty_free(struct tty *t)
{
	if (t)
		(void)!!tty_set(t, TTY_PLAIN);
	mem_free(t);
	return NULL;
}

void tty_last_words(struct tty *t, const char *text)
{
	t->last_words = text;
}

/* ---- signals that end the program ---- */

static const int deadly[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
enum { N_DEADLY = sizeof deadly / sizeof *deadly };
static const struct tty *volatile guarded; /* NULL: no handler is set */
static struct sigaction before_guard[N_DEADLY];

/* Only what signal-safety(7) names. In the background the terminal is another's. */
static void on_deadly(int signal_number)
{
	const struct tty *t = guarded;
	pid_t front = t ? tcgetpgrp(t->fd) : 0;
	struct pollfd out = { .fd = 1, .events = POLLOUT };
	if (t && (front < 0 || front == getpgrp())) {
		(void)tcsetattr(t->fd, TCSANOW, &t->before);
		if (t->last_words && poll(&out, 1, 0) == 1)
			(void)!write(1, t->last_words, strlen(t->last_words));
	}
	for (size_t i = 0; i < N_DEADLY; i++)
		if (deadly[i] == signal_number)
			(void)sigaction(signal_number, &before_guard[i], NULL);
	(void)raise(signal_number);
}

static void guard(const struct tty *t)
{
	struct sigaction act = { .sa_handler = on_deadly, .sa_flags = SA_NODEFER };
	if (guarded)
		return;
	guarded = t;
	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < N_DEADLY; i++)
		if (!sigaction(deadly[i], NULL, &before_guard[i]) &&
			before_guard[i].sa_handler != SIG_IGN)
			(void)sigaction(deadly[i], &act, NULL);
}

static void unguard(const struct tty *t)
{
	if (guarded != t)
		return;
	for (size_t i = 0; i < N_DEADLY; i++)
		(void)sigaction(deadly[i], &before_guard[i], NULL);
	guarded = NULL;
}

enum err tty_set(struct tty *t, enum tty_mode m)
{
	struct termios now = t->before;
	if (m != TTY_PLAIN) {
		now.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
		now.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IGNCR);
		now.c_cc[VMIN] = 1;
		now.c_cc[VTIME] = 0;
	}
	if (m == TTY_KEYS) {
		now.c_lflag &= ~(tcflag_t)(ISIG | IEXTEN);
		now.c_iflag &= ~(tcflag_t)IXON;
	}
	if (m != TTY_PLAIN)
		guard(t);
	enum err e = tcsetattr(t->fd, TCSADRAIN, &now) ? err_from_errno(errno) : OK;
	if (m == TTY_PLAIN)
		unguard(t);
	return e;
}

bool tty_size(int fd, unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize w;
	*ret_columns = *ret_rows = 0;
	if (ioctl(fd, TIOCGWINSZ, &w) || !w.ws_col || !w.ws_row)
		return false;
	*ret_columns = w.ws_col;
	*ret_rows = w.ws_row;
	return true;
}

bool tty_moves(int fd)
{
	const char *term = getenv("TERM");
	return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

void tty_give(pid_t group)
{
	AUTO_FD int fd = -1;
	static pid_t given; /* to whom */
	if ((!group && !given) || fd_open("/dev/tty", O_RDWR, 0, &fd))
		return;
	if (group && tcgetpgrp(fd) != getpgrp())
		return;
	/* From the background this call stops the caller, unless it says that it means it. */
	void (*before)(int) = signal(SIGTTOU, SIG_IGN);
	(void)tcsetpgrp(fd, group ? group : getpgrp());
	(void)signal(SIGTTOU, before);
	given = group;
}
