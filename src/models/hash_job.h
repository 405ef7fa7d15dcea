/* models/hash_job.h - the jail job that makes a file durable and says which digest it has.
 *
 * It tells the keeper, not the server: JAIL_HASHED (proto/keeper.h). Needs of the system only:
 * pread64, fstat, fdatasync, sendmsg, memory. */
#pragma once

#include "os/ipc.h"

/* Runs the job; the process is already locked. Borrows both. Returns the exit status: 0 = told. */
int hash_job_main(struct ipc *keeper, int fd);
