/* base/random.h - bytes from the kernel. Never fails: a kernel without getrandom is fatal. */
#pragma once

#include "base/str.h"

void random_bytes(void *dst, size_t n);
uint64_t random_u64(void);
enum { ID_LEN = 26 }; /* characters, without terminator */
/* A sortable id in Crockford base32, lower case: 48 bits of Unix ms, 80 random bits (ULID). */
void id_new(char dst[ID_LEN + 1]);
bool id_ok(struct str s); /* has the form of id_new() */
