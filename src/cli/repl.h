/* cli/repl.h - the talk on a terminal: messages, and commands that begin with a slash. */
#pragma once

#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/talk.h"

struct repl {
	struct talk *talk;       /* borrowed, as all here */
	const struct args *args;
	struct lines *lines;
	struct history *history;
	enum { WHOLE_LINES, IN_MESSAGE, IN_SYSTEM } in; /* between two """ */
	struct buf gathered;                              /* the text between them */
	bool quit;
};
/* Talks until the person leaves. `show`: the model's, borrowed. */
enum err repl(
	struct talk *t, const struct args *a, const json_t *show, struct err_info *info);

/* What begins with a slash. False: it is a message after all (a picture's path). */
bool slash(struct repl *r, struct str line);
/* Says what went wrong and goes on. */
void repl_sorry(const struct repl *r, enum err e, const struct err_info *why);
void repl_set_system(struct repl *r, struct str text);
