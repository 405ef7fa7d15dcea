/* os/tty.h - asking a person at the terminal for a secret. */
#pragma once

#include "base/buf.h"

/* Prints `prompt` on the terminal and reads one line without echo. Appends without the newline.
 * Errors: ERR_NOT_FOUND (no terminal), ERR_CLOSED (end of input), buf's. */
enum err tty_ask_secret(const char *prompt, struct buf *out);
