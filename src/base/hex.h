/* base/hex.h - hex (lower case), base64 (RFC 4648, padded) and base64url (no padding). */
#pragma once

#include "base/buf.h"

void hex_encode(const uint8_t *src, size_t n, char *dst); /* writes 2n+1, terminated */
/* Accepts both cases. Errors: ERR_INVALID (length or byte). */
enum err hex_decode(struct str s, uint8_t *dst, size_t n);
enum err b64_add(struct buf *out, const uint8_t *src, size_t n);
enum err b64url_add(struct buf *out, const uint8_t *src, size_t n);
/* Strict: padding required for b64, refused for b64url; no blanks. Errors: ERR_INVALID, buf's. */
enum err b64_decode(struct str s, struct buf *out);
enum err b64url_decode(struct str s, struct buf *out);
