/* models/gguf_job.h - the jail job that checks a model file before libllama sees it, and the one
 * that says what is in its header.
 *
 * The keeper gives it a read-only descriptor and a channel to the asker (server). It reads by
 * pread, answers once on `ch`, and ends:
 *   GGUF_SUMMARY  str JSON (gguf_summary_json)      the file is a usable model
 *   GGUF_DESCRIPTION  str JSON (gguf_describe)      the same, of the second
 *   GGUF_REFUSED  u64 err code, str why             ERR_MODEL_BAD or ERR_IO
 * Needs of the system only: pread64, fstat, sendmsg, memory. */
#pragma once

#include "base/json.h"
#include "models/gguf.h"
#include "os/ipc.h"

enum gguf_msg { GGUF_SUMMARY = 0x320, GGUF_REFUSED, GGUF_DESCRIPTION };

/* Runs the job; the process is already locked. Borrows both. Returns the exit status: 0 = usable,
 * 1 = refused, 2 = could not answer. */
int gguf_job_main(struct ipc *ch, int model_fd);
int gguf_describe_main(struct ipc *ch, int model_fd, bool lists);
/* The asker's side: waits for the one answer (blocking). Errors: ERR_MODEL_BAD (info has why),
 * ERR_TIMEOUT, ERR_CLOSED (the job died: the file is refused as well), ERR_PROTOCOL. */
enum err gguf_job_wait(struct ipc *ch, int timeout_ms, struct gguf_summary *ret,
		       struct err_info *info);
/* The same for a description: an object as gguf_describe() writes it, owned by the caller. */
enum err gguf_describe_wait(
	struct ipc *ch, int timeout_ms, json_t **ret, struct err_info *info);
