/* vault/audit_log.h - the keeper's half of the audit log: files, durable before acknowledged.
 *
 * DIR/audit/00000001.log, .. hold lines "SEQ MS SEALED MAC" (vault/audit_chain.h); SEALED is
 * base64 of XChaCha20-Poly1305(event) with "SEQ MS" authenticated. Both keys are derived from the
 * audit key. DIR/audit/head is the signed checkpoint: the last record known when it was written
 * (every 64 records, at a new file, at close).
 * Opening checks the files from the checkpoint on and refuses a log that is behind its checkpoint
 * or whose chain is broken; a last write that a power cut tore is cut off, and a record says so.
 * audit_log_verify() reads everything from record 1.
 * Not found by any of it: the log and its checkpoint put back together to an older state, and up to
 * 63 records cut off the end after a crash. One thread. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"
#include "base/crypto.h"

enum { AUDIT_BATCH_MAX = 64, AUDIT_CHECKPOINT_EVERY = 64 };

struct audit_log;
struct audit_log_options {
	const char *data_dir;           /* DIR; DIR/audit is made when missing */
	uint8_t key[KEY_LEN];           /* the audit key */
	bool create;                    /* make an empty log when there is none and no checkpoint:
					 * true until there is a database. Else that is refused */
	size_t file_bytes;              /* a new file after so many; 0: 8 MiB */
};
/* Errors: ERR_CORRUPT (info names the record), ERR_KEY (the checkpoint's signature), ERR_IO .. */
enum err audit_log_open(const struct audit_log_options *o, struct audit_log **ret,
			struct err_info *info);
/* Writes a checkpoint if it can; never fails. */
struct audit_log *audit_log_close(struct audit_log *l);
[[maybe_unused]] static inline void audit_log_autofree(struct audit_log **l)
{
	*l = audit_log_close(*l);
}
/* Appends n events (JSON objects, at most LIMIT_AUDIT_EVENT each); returns when they are durable.
 * Errors: ERR_INVALID (an event is empty or too long, n is 0 or over AUDIT_BATCH_MAX) and, before
 * anything was written, ERR_NOMEM: nothing happened. All others (ERR_IO, ERR_NOSPACE ..): from then
 * on every append fails with it, until audit_log_reopen() or closing and opening. */
enum err audit_log_append(struct audit_log *l, const struct str *events, size_t n,
			  uint64_t *ret_first_seq);
/* After an append failed: cuts off what was not acknowledged and goes on. Returns at once when
 * nothing is wrong. Errors: ERR_IO .. (the log stays closed for appends). */
enum err audit_log_reopen(struct audit_log *l, struct err_info *info);
uint64_t audit_log_last(const struct audit_log *l); /* 0: none */
/* Calls fn for up to `count` records with seq < before (0: from the end), newest first. `event` is
 * borrowed for the call. Errors: fn's, ERR_CORRUPT, ERR_IO. */
typedef enum err (*audit_log_fn)(void *arg, uint64_t seq, int64_t at_ms, struct str event);
enum err audit_log_read(struct audit_log *l, uint64_t before, size_t count, audit_log_fn fn,
			void *arg);

/* Checks all files of DIR from record 1, opened or not, and writes nothing. *ret_records counts the
 * good ones before the first bad one. `report` gets one line: what is wrong, or what is good.
 * OK: intact. Errors: ERR_CORRUPT (first bad record named), ERR_KEY, ERR_IO, ERR_NOT_FOUND (no
 * log): cannot read. */
enum err audit_log_verify(const char *data_dir, const uint8_t key[KEY_LEN], uint64_t *ret_records,
			  struct buf *report);
