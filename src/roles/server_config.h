/* roles/server_config.h - what the keeper tells the server at its start, as JSON in HELLO. */
#pragma once

#include "base/json.h"
#include "roles/config.h"

struct server_config { /* strings are owned by `doc` */
	json_t *doc;
	const char *name, *hosts, *behind_proxy, *public_url, *build, *key_kind;
	const char *engine; /* the current build's id; empty: there is none */
	int64_t http_threads, workers, max_connections, max_engines, context, sequences,
		keep_alive_s;
	int64_t cards; /* which to ask for: bits of models/cards.h */
	bool local_only, trial, recovery;
	int64_t tls_expires_ms;
};
struct keeper;
enum err server_config_write(const struct keeper *k, struct buf *out);
enum err server_config_read(struct str json, struct server_config *ret);
void server_config_done(struct server_config *c);
