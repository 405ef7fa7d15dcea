/* os/tty.h - a person at the terminal: asking for a secret, keys one by one, the window's size. */
#pragma once

#include <sys/types.h>

#include "base/auto.h"
#include "base/buf.h"

/* Prints `prompt` on the terminal and reads one line without echo. Appends without the newline.
 * Errors: ERR_NOT_FOUND (no terminal), ERR_CLOSED (end of input), buf's. */
enum err tty_ask_secret(const char *prompt, struct buf *out);

enum tty_mode {
	TTY_PLAIN, /* as it was found */
	TTY_KEYS,  /* each key at once, none shown; Enter is \r, and Ctrl+C a key like others */
	TTY_WATCH, /* the same, but Ctrl+C is SIGINT: while an answer comes */
};
struct tty;
/* Borrows fd. Errors: ERR_NOT_FOUND (not a terminal), ERR_NOMEM. */
enum err tty_new(int fd, struct tty **ret);
struct tty *tty_free(struct tty *t); /* puts the terminal back */
DEFINE_AUTO(tty)
/* While the mode is another than TTY_PLAIN, SIGINT, SIGTERM, SIGHUP and SIGQUIT put the terminal
 * back before they do what they did; those that are ignored stay so. One tty of a process at a
 * time. Errors: from errno. */
enum err tty_set(struct tty *t, enum tty_mode m);
/* What such a signal also writes to standard output; borrowed until tty_free(). */
void tty_last_words(struct tty *t, const char *text);
/* Cells of the window; false, and 0 for both, when fd is no terminal or does not say. */
bool tty_size(int fd, unsigned *ret_columns, unsigned *ret_rows);
/* A terminal that knows the sequences of ECMA-48: $TERM is not "dumb". */
bool tty_moves(int fd);
/* Gives the terminal (its Ctrl+C, its input) to a process group, if it is ours to give.
 * 0: takes it back. */
void tty_give(pid_t group);
