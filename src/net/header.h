/* net/header.h - what a foreign server's answer says in its headers. Pure parsers of hostile text.
 *
 * What they return borrows from the text they were given. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* "Name: value" without its line end; the value trimmed. False: not a header, not UTF-8, or with
 * control characters. */
bool header_line_read(struct str line, struct str *ret_name, struct str *ret_value);
/* "bytes FROM-TO/WHOLE" (RFC 9110 14.4) as the half-open [*ret_from, *ret_to); WHOLE -1 for an
 * asterisk. False: anything else; then nothing is set. */
bool header_content_range(
	struct str value, uint64_t *ret_from, uint64_t *ret_to, int64_t *ret_whole);
/* The address to ask for a token, of `Bearer realm="..",service="..",scope=".."` (RFC 6750 and
 * Docker's token scheme). Errors: ERR_UPSTREAM (another scheme, or no usable realm), buf's. */
enum err header_token_url(struct str challenge, struct buf *out);
