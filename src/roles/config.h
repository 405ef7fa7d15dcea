/* roles/config.h - what is needed to start: DIR/tresor.conf, overridden by the command line.
 *
 * The file is strict: `key = value` a line, `#` comments, no unknown or doubled key, values
 * checked.
 * Everything else lives in the database. The same table makes the man page (config_each). */
#pragma once

#include "base/str.h"

enum { CONFIG_LISTEN_MAX = 8, CONFIG_TEXT = 512 };

struct config {
	char listen[CONFIG_TEXT]; /* "127.0.0.1:7070, [::1]:7070" */
	char hosts[CONFIG_TEXT];  /* names and addresses people use; for the certificate */
	char tls_cert[CONFIG_TEXT], tls_key[CONFIG_TEXT]; /* PEM files; empty: own CA */
	char behind_proxy[CONFIG_TEXT];                   /* CIDRs */
	char key[16];                                     /* auto, file, passphrase, tpm */
	char key_file[CONFIG_TEXT];
	char passphrase_file[CONFIG_TEXT]; /* read once at start; empty: asked on the terminal */
	char gpu[12];                      /* auto, off, software */
	char name[CONFIG_TEXT];            /* of the installation, shown on the page */
	int64_t http_threads, workers, max_connections, max_engines, context, sequences;
	int64_t keep_alive_s, disk_cache_mib;
	bool local_only; /* only the socket in the data directory; not in the file */
};
void config_defaults(struct config *c);
/* Sets one key from text. Errors: ERR_INVALID (unknown key or bad value; info says which). */
enum err config_set(struct config *c, struct str key, struct str value, struct err_info *info);
/* The text of a tresor.conf. Errors: ERR_INVALID; info names the line. */
enum err config_parse(struct config *c, struct str text, struct err_info *info);
/* Reads DIR/tresor.conf; a missing file is fine. Errors: ERR_INVALID with the line, ERR_IO. */
enum err config_load(struct config *c, const char *dir, struct err_info *info);
struct config_doc {
	const char *key, *value, *doc;
	bool reload;
};
/* The next key after *at (0 at first; moved on) whose value differs and that is read at the start
 * only; NULL: no more. Both were made by config_defaults(). */
const char *config_needs_restart(const struct config *a, const struct config *b, size_t *at);
/* One row a key, for `tresor help` and the man page; NULL at the end. */
const struct config_doc *config_docs(void);
