/* proto/make.h - what a job that makes a model file tells the server that asked for it.
 *
 *   MAKE_PROGRESS  u64 done, u64 all: steps of the job's own
 *   MAKE_DONE      -: the file is whole; the job then exits with 0
 *   MAKE_REFUSED   u64 err code, str why: then it exits with 1
 * The server closes the channel to cancel. What name the file gets is none of the job's business:
 * the keeper has another process hash it (ASK_MADE). */
#pragma once

#include "os/ipc.h"

enum make_msg { MAKE_PROGRESS = 0x360, MAKE_DONE, MAKE_REFUSED };
enum make_kind {       /* what a job makes a model file of, and what `what` says to it */
	MAKE_CONVERT,  /* a folder of safetensors: the files' names, a line each */
	MAKE_MERGE,    /* the parts of a GGUF: nothing */
	MAKE_ADAPTER,  /* a model's GGUF, then a LoRA's folder of PEFT: as MAKE_CONVERT */
	MAKE_QUANTIZE, /* a GGUF: the number of the file type (llama.h, enum llama_ftype) */
	MAKE_KINDS
};
enum { MAKE_WHY_MAX = 300, MAKE_PARTS_MAX = 24, MAKE_WHAT_MAX = 8 * 1024 };

/* ---- the job ---- */
/* Errors: ERR_CLOSED: nobody waits any more, the job ends. */
enum err make_progress(struct ipc *ch, uint64_t done, uint64_t all);
/* The last word: `e` OK or why not. Returns the exit status. */
int make_end(struct ipc *ch, enum err e, const char *why);

/* ---- the server ---- */
struct make_event {
	bool ended; /* else progress */
	uint64_t done, all;
};
/* Next event. Errors: ERR_TIMEOUT, ERR_CLOSED (the job died), ERR_PROTOCOL; the job's own (info has
 * its reason). */
enum err make_wait(struct ipc *ch, int timeout_ms, struct make_event *ret, struct err_info *info);
