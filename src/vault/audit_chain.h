/* vault/audit_chain.h - seals audit records so that history cannot be rewritten quietly.
 *
 * Each record's MAC covers the MAC before it: editing, dropping or reordering a stored record
 * breaks the next check. Not found: records cut off the end, so the caller keeps
 * audit_chain_head() in a checkpoint (vault/audit_log.h).
 * Line: "SEQ MS EVENT MAC"; MAC is hex of HMAC-SHA256(key, previous MAC as 32 raw bytes, zeros
 * before record 1, then "SEQ MS EVENT"). Source: RFC 2104. Pure: no I/O, no clock, no globals. */
#pragma once

#include "base/auto.h"
#include "base/buf.h"

enum {
	AUDIT_KEY_LEN = 32,
	AUDIT_MAC_LEN = 32,
	AUDIT_SEALED_MAX = 6 * 1024, /* bytes of EVENT: LIMIT_AUDIT_EVENT sealed and in base64 */
	AUDIT_LINE_MAX = AUDIT_SEALED_MAX + 128,
};

struct audit_chain;                                              /* used by one thread */
struct audit_head { uint64_t seq; uint8_t mac[AUDIT_MAC_LEN]; }; /* all zero: no record yet */
struct audit_record { uint64_t seq; int64_t at_ms; struct str event; };

/* Makes a chain that goes on after `head` (NULL: no records). Copies `key`. The caller frees *ret.
 * Errors: ERR_NOMEM. */
enum err audit_chain_new(const uint8_t key[AUDIT_KEY_LEN], const struct audit_head *head,
			 struct audit_chain **ret);

/* Adds the line for `event` (UTF-8, no blank, no control byte) at `at_ms` (Unix time, ms, not
 * negative) to `out`. Errors: ERR_INVALID (event empty, too long, bad byte), ERR_NOMEM, ERR_LIMIT
 * (`out` is full); on error `c` and `out` are as before. */
enum err audit_chain_seal(struct audit_chain *c, int64_t at_ms, struct str event, struct buf *out);

/* Checks that `line`, without its newline, is the next record, and moves past it. Fills *ret
 * (NULL is fine; borrows from line). Errors: ERR_CORRUPT; `c` is as before. */
enum err audit_chain_check(struct audit_chain *c, struct str line, struct audit_record *ret);

/* The parts of a line, unchecked: for readers of what was checked. Errors: ERR_CORRUPT. */
enum err audit_line_parse(struct str line, struct audit_record *ret, uint8_t mac[AUDIT_MAC_LEN]);

struct audit_head audit_chain_head(const struct audit_chain *c);
void audit_chain_set(struct audit_chain *c, const struct audit_head *head);
struct audit_chain *audit_chain_free(struct audit_chain *c); /* wipes; NULL is fine; returns NULL */
DEFINE_AUTO(audit_chain)
