/* models/make_job.h - the jail job that makes a model file of others: what all its kinds share.
 *
 * fd[0] is the new file, the others are the parts; `names` has their names, a line each, or is
 * empty. Says on `ch` what proto/make.h has. Needs of the system only: pread64, pwrite64, fstat,
 * sendmsg, clock_gettime, memory. */
#pragma once

#include "models/gguf.h"
#include "os/ipc.h"

struct make_part {
	struct str name; /* of a folder's file, seen from the folder; or empty */
	uint64_t size;
	gguf_read_fn read;
	void *arg;
};
struct make_sink {
	enum err (*write)(void *arg, const void *p, size_t n); /* one behind the other */
	enum err (*progress)(void *arg, uint64_t done, uint64_t all);
	void *arg;
};
/* convert_run(), merge_run(). `info` gets why not. */
typedef enum err (*make_fn)(const struct make_part *parts, size_t n, const struct make_sink *sink,
	struct err_info *info);

/* Runs the job; the process is already locked. Borrows all. Returns the exit status: 0 = made. */
int make_job_main(struct ipc *ch, const int *fd, unsigned n, struct str names, make_fn run);
