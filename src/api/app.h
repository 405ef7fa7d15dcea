/* api/app.h - what a handler can reach: a plain struct of pointers, made by the server role.
 *
 * Everything is borrowed and outlives http_stop(). A handler translates: it reads the request,
 * calls one of these, and writes the reply in its API's form. No decision is made in src/api but
 * the ones in dispatch.c, which asks authorize(). */
#pragma once

#include "base/auto.h"
#include "base/str.h"

struct audit;
struct chat_hub;
struct chats;
struct db;
struct egress_client;
struct fleet;
struct http_server;
struct keeper_link;
struct models;
struct people;
struct pulls;
struct sessions;
struct vault;

struct app_config {
	const char *name;          /* of the instance, for the log-in page */
	const char *version;       /* "0.1.0" */
	const char *build;         /* build id */
	const char *data_dir;
	const char *public_url;    /* "https://ki.firma.de:7070", no slash at the end; for links */
	const char *tls_cert;      /* PEM in use, NULL: plain; doctor reads its expiry */
	const char *hosts;         /* further names the Host header may carry, comma-separated, or NULL */
	int64_t start_ms;          /* wall time of the server's start */
	bool trial;                /* made by ./run: defaults of a trial */
	bool local_only;           /* only the Unix socket is open */
	bool sandboxed;            /* what the role's own sandbox reported, for doctor */
	const char *sandbox_report;
};

struct app {
	struct app_config config;
	struct db *db;
	struct keeper_link *keeper;
	struct audit *audit;
	struct chats *chats;
	struct chat_hub *hub;
	struct fleet *fleet;
	struct models *models;          /* models/store.h */
	struct pulls *pulls;            /* models/pull.h */
	struct egress_client *egress;   /* net/egress_client.h */
	struct http_server *http;       /* set after http_start(); for /metrics; may be NULL */
	struct api_state *state;        /* api_state_new(): counters of src/api */
};

/* Counters, limits and the compiled router of src/api. Call api_state_new before http_start. */
struct api_state;
enum err api_state_new(struct app *a);
void api_state_free(struct app *a);

/* The dispatcher to give to http_start(): the one path every request takes. */
struct http_req;
void api_dispatch(struct http_req *q, void *app);
