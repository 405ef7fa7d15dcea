/* cli/client.h - a command's connection to the server of a data directory, or to another machine's.
 *
 * HTTP over DIR/control.sock. When no server runs, one is started for the moment with --local-only
 * and ended by client_close(): there is one way to do things. A named host is asked by HTTP(S) with
 * its API key; its certificate is checked by the system's list, or by $TRESOR_CA_FILE (PEM). */
#pragma once

#include "base/auto.h"
#include "base/json.h"
#include "cli/host.h"

struct client;
/* `may_create`: a data directory that does not exist is made. Errors: ERR_NOT_FOUND (no such data
 * directory), ERR_CLOSED (the server did not start; it said why on stderr). */
enum err client_open(const char *dir, bool may_create, struct client **ret, struct err_info *info);
/* Copies what it needs of `h`. Connects with the first request. */
enum err client_open_host(const struct host *h, struct client **ret, struct err_info *info);
struct client *client_close(struct client *c);
[[maybe_unused]] static inline void client_autofree(struct client **c)
{
	*c = client_close(*c);
}
bool client_server_runs(const char *dir);
/* Called about ten times a second while a reply is awaited; true ends the request with
 * ERR_CANCELLED. NULL: nobody is called. */
typedef bool (*client_wait)(void *arg);
void client_on_wait(struct client *c, client_wait fn, void *arg);

/* Of the last reply; 0: none came. */
long client_status(const struct client *c);

/* One request with a JSON body (STR_NONE: none). `out` gets the reply's body. Errors: those the
 * server's reply names (info has its text), ERR_IO. */
enum err client_call(struct client *c, const char *method, const char *path, struct str body,
	struct buf *out, struct err_info *info);
/* The same, parsed. The caller owns *ret. */
enum err client_json(struct client *c, const char *method, const char *path, struct str body,
	json_t **ret, struct err_info *info);
/* Calls fn for each line of the reply as it comes; fn's error ends the request. A line
 * {"error": ..} becomes ERR_UPSTREAM with its text. */
typedef enum err (*client_line)(const json_t *line, void *arg);
enum err client_stream(struct client *c, const char *path, struct str body, client_line fn,
	void *arg, struct err_info *info);
/* Calls fn for the reply's bytes as they come; fn's error ends the request. */
typedef enum err (*client_piece)(struct str bytes, void *arg);
enum err client_bytes(struct client *c, const char *path, struct str body, client_piece fn,
	void *arg, struct err_info *info);
/* Sends the file's bytes as the body. `progress` is NULL or called after each piece. */
struct client_upload {
	int fd; /* borrowed, at the file's beginning */
	uint64_t size, done;
	void (*progress)(uint64_t done, uint64_t size, void *arg);
	void *arg;
};
enum err client_upload(
	struct client *c, const char *path, struct client_upload *u, struct err_info *info);
/* The same, with the reply's body. */
enum err client_upload_reply(struct client *c, const char *path, struct client_upload *u,
	struct buf *out, struct err_info *info);
