/* roles/keeper.h - `tresor serve` is the keeper: it starts, wires and restarts the rest, holds the
 * master key, writes the audit log, opens sockets and model files and passes descriptors. */
#pragma once

#include "roles/config.h"

struct serve_options {
	const char *data_dir;
	struct config config; /* file and command line, merged */
	bool quiet;           /* no lines on stdout */
};
/* Runs until SIGTERM or SIGINT. Returns the exit code: 0 ended, 1 failed (said on stderr). */
int keeper_run(const struct serve_options *o);
