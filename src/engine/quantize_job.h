/* engine/quantize_job.h - the jail job that makes a smaller model of a model: libllama's quantiser.
 *
 * It is given a new file and a descriptor of the model and locks itself as an engine does: no
 * network, no file but those two (libllama opens both by name, /proc/self/fd/N, which Landlock
 * allows for these alone; so it needs Landlock). Threads: the quantiser's, and one that ends the
 * process when the server leaves or nothing has gone on for half an hour. */
#pragma once

#include "os/ipc.h"

#define QUANTIZE_MODULE_MAIN "quantize_job_main"

/* Exported by engine.so; takes plain values because the build may be another than the program's
 * (models/builds.h). `what` is the number of the file type (llama.h, enum llama_ftype); borrows.
 * Tells the channel as proto/make.h says; returns the exit status: 0 = the file is whole. */
[[gnu::visibility("default")]] int quantize_job_main(
	int channel, uint64_t protocol_hash, int out, int model, const char *what);
