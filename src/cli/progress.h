/* cli/progress.h - how far a pull or create is: a bar on a terminal, a line a step elsewhere. */
#pragma once

#include "base/json.h"

struct progress { /* zero-initialise with progress_init */
	bool terminal, open; /* open: the cursor stands in a line that is being rewritten */
	char step[128];
	int64_t began_ms;
	uint64_t began_at; /* bytes */
};
void progress_init(struct progress *p);
/* A line of Ollama's progress, {status, total, completed}: for client_stream(). */
enum err progress_line(const json_t *line, void *arg);
/* The same for bytes of our own. */
void progress_bytes(struct progress *p, const char *step, uint64_t done, uint64_t total);
void progress_end(struct progress *p); /* leaves the line */

/* Something that takes a moment: a wheel on a terminal, nothing elsewhere. */
struct wheel {
	bool on;
	int64_t last_ms;
	unsigned frame;
};
void wheel_init(struct wheel *w);
void wheel_turn(struct wheel *w); /* at most ten times a second */
void wheel_end(struct wheel *w);  /* nothing is left of it; it does not turn any more */
