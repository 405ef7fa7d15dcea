/* roles/jail.h - the role jail: one job, then the process ends.
 *
 * JAIL_GGUF    fds: model file (read)                  models/gguf_job.h; so have JAIL_DESCRIBE,
 *              JAIL_DESCRIBE_LISTS
 * JAIL_WRITER  fds: sink, partial file, journal        models/writer.h
 * JAIL_IMAGE   fds: picture (read)                     doc/image_job.h
 * JAIL_READER  fds: model file at its place, socket    models/reader_job.h
 * JAIL_COPY    fds: source file, partial file, journal models/writer.h, copy mode
 * The last descriptor of the message is the channel to the server. */
#pragma once

#include "os/ipc.h"

enum jail_kind {
	JAIL_GGUF = 1,
	JAIL_WRITER,
	JAIL_COPY,
	JAIL_IMAGE,
	JAIL_DESCRIBE,
	JAIL_DESCRIBE_LISTS,
	JAIL_READER,
};
enum { JAIL_MEMORY_BYTES = 256 * 1024 * 1024, JAIL_CPU_SECONDS = 3600 };
enum { JAIL_IMAGE_MEMORY_BYTES = 512 * 1024 * 1024, JAIL_IMAGE_CPU_SECONDS = 20 };
int jail_main(struct ipc *keeper); /* takes; returns the exit status */
