/* cli/commands.h - the commands of cli.so; each returns the exit code. */
#pragma once

#include "cli/client.h"
#include "cli/table.h"

/* "tresor: what: why (what to do)" on stderr, or {"error": ..} with --json. Returns 1. */
int cli_fail(const struct args *a, const char *what, enum err e, const struct err_info *why);
/* Runs fn with an open client; prints its error. */
typedef enum err (*cli_fn)(struct client *c, const struct args *a, struct err_info *info);
int cli_with_client(const struct args *a, cli_fn fn);
/* Prints "yes/no" question on the terminal; false without one. */
bool cli_confirm(const char *question);
void cli_bytes(uint64_t n, char ret[16]); /* "92 MB" */
/* Adds a path segment, percent-encoded. */
enum err cli_path(struct buf *out, const char *prefix, const char *segment);

int cmd_people(const struct args *a);   /* user ..., owner-link, key new */
int cmd_ps(const struct args *a);
int cmd_pin(const struct args *a);      /* pin, unpin */
int cmd_models(const struct args *a);   /* list, show, stop, rm, advise */
int cmd_pull(const struct args *a);
int cmd_run(const struct args *a);
int cmd_audit(const struct args *a);
int cmd_doctor(const struct args *a);
int cmd_backup(const struct args *a);
int cmd_restore(const struct args *a);
int cmd_vault(const struct args *a);    /* recovery-sheet, vault ..., tls ..., undo-upgrade */
