/* http/http_test.h - a server with test routes, and a raw client, for the tests of this folder. */
#pragma once

#include "http/http.h"
#include "http/test_client.h"
#include "tests/test.h"

struct fixture {
	struct http_server *server;
	struct http_options o;
	int listen_fd, port;
	char local[128];
};
/* Starts on 127.0.0.1; fields of f->o that are set are kept. */
void fixture_start(struct fixture *f);
void fixture_stop(struct fixture *f);
int fixture_connect(const struct fixture *f);
int local_connect(const struct fixture *f);
/* One request on its own connection: status. */
int ask(const struct fixture *f, const char *request, struct buf *body);

/* What the test handlers saw. */
struct seen {
	_Atomic int on_close, on_gone, wrote, write_errors, handlers;
	_Atomic int last_write_error;
	_Atomic uint64_t upload_bytes;
	_Atomic int64_t closed_ms;
	uint8_t upload_sha[32];
	_Atomic bool pause;
};
extern struct seen seen;
