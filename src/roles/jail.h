/* roles/jail.h - the role jail: one job, then the process ends.
 *
 * JAIL_GGUF    fds: model file (read)                  models/gguf_job.h
 * JAIL_WRITER  fds: sink, partial file, journal        models/writer.h
 * JAIL_COPY    fds: source file, partial file, journal models/writer.h, copy mode
 * The last descriptor of the message is the channel to the server. */
#pragma once

#include "os/ipc.h"

enum jail_kind { JAIL_GGUF = 1, JAIL_WRITER, JAIL_COPY };
enum { JAIL_MEMORY_BYTES = 256 * 1024 * 1024, JAIL_CPU_SECONDS = 3600 };
int jail_main(struct ipc *keeper); /* takes; returns the exit status */
