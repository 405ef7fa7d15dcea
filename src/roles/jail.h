/* roles/jail.h - the role jail: one job, then the process ends.
 *
 * JAIL_GGUF    fds: model file (read)                  models/gguf_job.h; so have JAIL_DESCRIBE,
 *              JAIL_DESCRIBE_LISTS
 * JAIL_WRITER  fds: sink, partial file, journal        models/writer.h
 * JAIL_IMAGE   fds: picture (read)                     doc/image_job.h
 * JAIL_READER  fds: model file at its place, socket    models/reader_job.h
 * JAIL_COPY    fds: source file, partial file, journal models/writer.h, copy mode
 * JAIL_HASH    fds: file (read)                        models/hash_job.h
 * JAIL_CONVERT fds: new file, then the parts (read)    models/convert.h
 * JAIL_MERGE   fds: new file, then the parts (read)    models/merge.h
 * JAIL_ADAPTER fds: the same, a model first             models/convert_adapter.h
 * JAIL_QUANTIZE fds: new file, model (read)           engine/quantize_job.h, locked as an engine
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
	JAIL_HASH,
	JAIL_CONVERT,
	JAIL_MERGE,
	JAIL_QUANTIZE,
	JAIL_ADAPTER,
};
enum { JAIL_MEMORY_BYTES = 256 * 1024 * 1024, JAIL_CPU_SECONDS = 3600 };
enum { JAIL_IMAGE_MEMORY_BYTES = 512 * 1024 * 1024, JAIL_IMAGE_CPU_SECONDS = 20 };
/* A tokenizer of 250,000 tokens is a large tree while it is read. */
enum { JAIL_MAKE_MEMORY_BYTES = 1024 * 1024 * 1024 };
int jail_main(struct ipc *keeper); /* takes; returns the exit status */
