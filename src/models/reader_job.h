/* models/reader_job.h - the jail job that gives a blob's bytes to whoever sends them out of the
 * house (egress, or a bundle): the one that sends never holds a descriptor of a stored file. */
#pragma once

#include <stdint.h>

/* Copies `size` bytes from `file`, from where it stands, into the stream socket `out`. Returns the
 * exit status: 0 all went, 1 the other end left, 2 the file is shorter or cannot be read. The end
 * of the stream before `size` bytes tells the reader.
 * System calls: read, sendmsg, memory. */
int reader_job_main(int file, uint64_t size, int out);
