/* api/app.h - what a handler can reach: a plain struct of pointers, made by the server role.
 *
 * Everything is borrowed and outlives http_stop(). A handler translates: it reads the request,
 * calls one of these, and writes the reply in its API's form. No decision is made in src/api but
 * the ones in dispatch.c, which asks authorize(). */
#pragma once

#include "http/http.h"

struct advice_table;
struct api_state;
struct audit;
struct chat_hub;
struct chat_search;
struct chats;
struct db;
struct egress_client;
struct fleet;
struct keeper_link;
struct machine;
struct model_store;
struct pulls;
struct responses;
struct trials;
struct vault;

struct app_config {
	const char *name;    /* of the instance, for the log-in page */
	const char *version; /* "0.1.0" */
	const char *build;   /* build id */
	const char *data_dir;
	const char *public_url; /* "https://ki.firma.de:7070", no slash at the end; for links */
	const char *hosts; /* further names the Host header may carry, comma-separated, or NULL */
	int64_t start_ms;  /* wall time of the server's start */
	bool trial;        /* made by ./run: defaults of a trial */
	bool local_only;   /* only the Unix socket is open */
	bool sandboxed;    /* what the role's own sandbox reported, for doctor */
	const char *sandbox_report;
};

struct app {
	struct app_config config;
	int64_t keep_alive_ms; /* where a request says nothing: FLEET_KEEP_AS_IS, or ms */
	struct db *db;
	struct vault *vault;
	struct keeper_link *keeper;
	struct audit *audit;
	struct chats *chats;
	struct chat_hub *hub;
	struct chat_search *search;
	struct responses *responses;
	struct fleet *fleet;
	struct model_store *models;
	struct pulls *pulls;
	struct trials *trials;
	struct egress_client *egress;
	struct advice_table *advice;
	struct machine *machine;
	_Atomic int64_t tls_expires_ms; /* of the certificate in use; 0: plain HTTP */
	struct http_server *http; /* set after http_start(); for /metrics; may be NULL */
	struct api_state *state;  /* api_state_new(): what src/api counts */
};

/* Call before http_start() and after http_stop(). Errors: ERR_NOMEM. */
enum err api_state_new(struct app *a);
void api_state_free(struct app *a);

/* For http_start(): the one path that every request takes, its first half for requests with a large
 * body (http_options.admit), and errors in each API's own form (http_options.on_error). */
void api_dispatch(struct http_req *q, void *app);
void api_admit(struct http_req *q, void *app);
void api_error_body(enum dialect d, const struct err_info *e, struct str request_id,
	struct buf *out, const char **ret_media_type);
