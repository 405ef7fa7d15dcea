/* doc/image_job.h - the jail job that makes pixels of a picture.
 *
 * The keeper gives it a descriptor of the bytes and a channel to the asker (server). It answers
 * once on `ch`, and ends:
 *   IMAGE_RGB      u64 width, u64 height, fd sealed memfd with width * height * 3 bytes
 *   IMAGE_REFUSED  u64 err code, str why
 * Needs of the system only: pread64, fstat, memfd_create, sendmsg, memory. */
#pragma once

#include "os/ipc.h"

enum image_msg { IMAGE_RGB = 0x340, IMAGE_REFUSED };
#define IMAGE_MODULE "doc.so"
#define IMAGE_MODULE_MAIN "image_job_main"

/* Runs the job; the process is already locked. Borrows both. Returns the exit status: 0 = decoded,
 * 1 = refused, 2 = could not answer. Exported by doc.so. */
[[gnu::visibility("default")]] int image_job_main(struct ipc *ch, int fd);
