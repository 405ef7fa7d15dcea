/* models/writer.h - the blob writer: the jail job that receives, hashes and keeps a model's bytes.
 *
 * It holds four descriptors: the control channel (struct ipc, to the server), the data sink
 * (proto/sink.h), the partial file and its journal. Whoever holds the other end of the sink
 * (egress, or the server for an upload) sends frames in any order, also twice. The writer writes
 * them at their place, hashes the contiguous prefix as
 * it grows (parts that came out of order are read back), and every WRITER_SYNC_BYTES or
 * WRITER_SYNC_MS first makes the data durable, then notes the ranges in the journal. So a pull cut
 * off at any byte goes on from the last note, and a note never promises more than the disk holds.
 * The sender is not trusted: the digest decides, frames beyond the size end the job.
 *
 * Control channel, types with their fields:
 *   writer -> server
 *     WRITER_STATE     u64 size, u64 have, u64 n, n x (u64 from, u64 to): the missing ranges, first
 *                      WRITER_GAPS_MAX of them. At start (what the journal kept) and on WRITER_ASK
 *     WRITER_PROGRESS  u64 have, u64 hashed: at most every 100 ms while either changes
 *     WRITER_WHOLE     -: all bytes are there, durable, and have the digest. Then it exits with 0
 *     WRITER_MISMATCH  str 64 hex: the digest they have. The journal is emptied; exits with 1
 *     WRITER_FAILED    u64 err, str detail: ERR_NOSPACE, ERR_IO, ERR_PROTOCOL; what is good is
 *                      noted in the journal first; exits with 2
 *   server -> writer
 *     WRITER_ASK       -: drains the sink, then WRITER_STATE
 *     WRITER_FINISH    -: drains the sink, hashes to the end; WHOLE, MISMATCH, or STATE when parts
 *                      are missing
 * The server closes the control channel to stop: the writer notes what it has and exits with 3.
 * When the last sender closes the sink nothing happens; the control channel decides.
 * Mode "copy" (source_fd >= 0): reads the source itself, needs no FINISH. */
#pragma once

#include "base/crypto.h"
#include "os/ipc.h"

enum writer_msg {
	WRITER_STATE = 0x300,
	WRITER_PROGRESS,
	WRITER_WHOLE,
	WRITER_MISMATCH,
	WRITER_FAILED,
	WRITER_ASK,
	WRITER_FINISH,
};
enum {
	WRITER_GAPS_MAX = 256,    /* ranges in a STATE */
	WRITER_RANGES_MAX = 1000, /* disjoint ranges kept; more is refused */
	WRITER_SYNC_BYTES = 64 * 1024 * 1024,
	WRITER_SYNC_MS = 2000,
};

struct writer_job { /* descriptors are borrowed */
	struct ipc *control;
	int sink_fd;    /* -1 in copy mode */
	int source_fd;  /* copy mode, else -1 */
	int file_fd;    /* read and write */
	int journal_fd; /* read and write */
	uint64_t size;
	uint8_t digest[SHA256_LEN];
};
/* Runs the job; the process is already locked. Returns the exit status (above): 0 only after the
 * whole file is durable and has its digest, so a keeper may insist on it before it commits.
 * System calls: poll, recvmsg, sendmsg, pread64, pwrite64, fdatasync, clock_gettime, memory. */
int writer_job_main(const struct writer_job *j);

/* ---- the other ends ---- */
enum writer_event_kind {
	WRITER_EV_STATE,
	WRITER_EV_PROGRESS,
	WRITER_EV_WHOLE,
	WRITER_EV_MISMATCH,
	WRITER_EV_FAILED
};
struct writer_range {
	uint64_t from, to;
}; /* half open */
struct writer_event {
	enum writer_event_kind kind;
	uint64_t size, have, hashed;
	struct writer_range gaps[WRITER_GAPS_MAX]; /* STATE */
	size_t n_gaps;
	char digest[65]; /* MISMATCH */
	enum err code;   /* FAILED */
	char detail[200];
};
/* Next event of the writer. Errors: ERR_TIMEOUT, ERR_CLOSED (it died), ERR_PROTOCOL, ERR_NOMEM. */
enum err writer_wait(struct ipc *control, int timeout_ms, struct writer_event *ret);
enum err writer_ask(struct ipc *control, enum writer_msg ask_or_finish);
