/* cli/commands.h - the commands of cli.so; each returns the exit code. */
#pragma once

#include "cli/client.h"
#include "cli/table.h"

/* "tresor: what: why (what to do)" on stderr, or {"error": ..} with --json. Returns 1. */
int cli_fail(const struct args *a, const char *what, enum err e, const struct err_info *why);
/* Runs fn with an open client (the host that is named in the environment, or the data directory's
 * server); prints its error. */
typedef enum err (*cli_fn)(struct client *c, const struct args *a, struct err_info *info);
int cli_with_client(const struct args *a, cli_fn fn);
/* Prints "yes/no" question on the terminal; false without one. */
bool cli_confirm(const char *question);
/* Adds a path segment, percent-encoded. */
enum err cli_path(struct buf *out, const char *prefix, const char *segment);
/* Prints the reply as it came; on a terminal without control bytes. */
enum err cli_print_json(struct client *c, const char *method, const char *path, struct str body,
	struct err_info *info);
/* {"model": NAME`more`}: `more` is JSON text that begins with a comma, or "". */
enum err cli_model_body(const char *model, const char *more, struct buf *out);
/* A member's text, "" when it is none. */
const char *cli_text(const json_t *o, const char *key);
/* When the request that failed with `e` failed because the server does not know its route, says
 * that "this server cannot WHAT". Returns the error. */
enum err cli_no_route(
	const struct client *c, enum err e, const char *what, struct err_info *info);

/* A request that answers with lines of progress, shown on stderr. */
enum err cli_with_progress(
	struct client *c, const char *path, struct buf *body, struct err_info *info);
/* Makes a model of one file, whatever that is: the server looks at it. */
enum err create_from_gguf(
	struct client *c, const char *name, const char *path, struct err_info *info);
/* Pulls with progress on stderr. `as` may be NULL. */
enum err pull_model(struct client *c, const char *source, const char *as, bool insecure,
	struct err_info *info);
/* Sends a file to the server's models; *ret_hex is its SHA-256. */
enum err upload_model_file(
	struct client *c, const char *path, char ret_hex[65], struct err_info *info);

int cmd_people(const struct args *a);   /* user ..., owner-link, key new */
int cmd_ps(const struct args *a);
int cmd_pin(const struct args *a);      /* pin, unpin */
int cmd_models(const struct args *a);   /* list, show, stop, rm, cp, advise */
int cmd_pull(const struct args *a);
int cmd_push(const struct args *a);
int cmd_create(const struct args *a);
int cmd_import_ollama(const struct args *a);
int cmd_engines(const struct args *a);
int cmd_alias(const struct args *a);   /* alias ..., trial ... */
int cmd_sources(const struct args *a); /* sources ... */
int cmd_bundle(const struct args *a);  /* bundle ... */
int cmd_run(const struct args *a);
int cmd_complete(const struct args *a);
int cmd_audit(const struct args *a);
int cmd_doctor(const struct args *a);
int cmd_backup(const struct args *a);
int cmd_restore(const struct args *a);
int cmd_vault(const struct args *a);    /* recovery-sheet, vault ..., tls ..., undo-upgrade */
