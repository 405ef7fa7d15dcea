/* http/test_client.h - a raw HTTP client on a socket, for the tests of http/ and api/. */
#pragma once

#include "base/buf.h"

void send_all(int fd, struct str s);
void send_z(int fd, const char *z);
/* Reads until the peer closes, or `ms` passed without a byte. */
struct str recv_all(int fd, int ms, struct buf *b);
/* Reads one answer with Content-Length or chunked body; returns the status, 0 if none came. */
int recv_answer(int fd, struct buf *head, struct buf *body);
bool closed_within(int fd, int ms);
/* A header's value in a head; STR_NONE. */
struct str head_value(const struct buf *head, const char *name);
