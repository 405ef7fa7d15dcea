/* vault/audit_files.h - the files of the audit log, for audit_log.c and audit_verify.c only. */
#pragma once

#include "vault/audit_chain.h"
#include "vault/audit_log.h"

enum { AUDIT_PATH_MAX = 4096, AUDIT_TAIL_MAX = AUDIT_BATCH_MAX * AUDIT_LINE_MAX };

struct audit_keys { uint8_t chain[KEY_LEN], seal[KEY_LEN], head[KEY_LEN]; };
void audit_keys_make(const uint8_t key[KEY_LEN], struct audit_keys *ret);

/* DATA_DIR/audit/NAME. Errors: ERR_LIMIT. */
enum err audit_path(const char *data_dir, const char *name, char ret[AUDIT_PATH_MAX]);
enum err audit_file_path(const char *data_dir, unsigned number, char ret[AUDIT_PATH_MAX]);
/* How many files 1, 2, .. n there are. Errors: ERR_CORRUPT (one is missing between them; info says
 * which), ERR_NOT_FOUND (no folder), ERR_IO. */
enum err audit_files_count(const char *data_dir, unsigned *ret, struct err_info *info);

/* The checkpoint. Errors: ERR_NOT_FOUND, ERR_KEY (signature), ERR_CORRUPT (form), ERR_IO. */
enum err audit_head_read(const char *data_dir, const struct audit_keys *k, struct audit_head *ret);
enum err audit_head_write(const char *data_dir, const struct audit_keys *k,
			  const struct audit_head *head);

/* Calls fn for each line (without newline) from offset `at`. *ret_end, written always, is the
 * offset behind the last whole line that fn took; what is left behind it has no newline, or fn
 * refused its first line. Errors: fn's, ERR_CORRUPT (a line without end), ERR_IO, ERR_NOMEM. */
typedef enum err (*audit_line_fn)(void *arg, struct str line, uint64_t at);
enum err audit_scan(int fd, uint64_t at, audit_line_fn fn, void *arg, uint64_t *ret_end);
/* First and last record of a file. ERR_NOT_FOUND: no whole line. Errors: ERR_CORRUPT, ERR_IO. */
enum err audit_file_first(const char *data_dir, unsigned number, uint64_t *ret_seq);
enum err audit_file_last(const char *data_dir, unsigned number, struct audit_head *ret);

/* Checks lines against a chain and the checkpoint: an audit_line_fn. */
struct audit_walk {
	struct audit_chain *chain;
	const struct audit_head *checkpoint;
	int64_t last_ms;
	bool not_the_checkpoint; /* the record is sound but not the one the checkpoint names */
};
enum err audit_walk_line(void *arg, struct str line, uint64_t at);
/* Is what lies behind `end` the rest of a write that a power cut tore, rather than damage? It has
 * no newline or a NUL byte (a block that never arrived) in its first line, and fits in one
 * batch. */
enum err audit_is_torn(int fd, uint64_t end, uint64_t size, bool *ret);
