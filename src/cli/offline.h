/* cli/offline.h - the data directory under its lock, without a server: for what must work when a
 * server cannot start (a broken audit chain, a lost key file) or must not run (restore). */
#pragma once

#include "cli/commands.h"
#include "vault/keyring.h"

/* Opens the keyring with the key file, the credential, or a passphrase asked for on the terminal.
 * */
enum err offline_keys(const char *dir, struct keyring **ret, struct err_info *info);
/* Takes DIR/lock. Errors: ERR_LOCKED (a server runs; info names it). */
enum err offline_lock(const char *dir, int *ret_fd, struct err_info *info);
/* A secret from a file (trailing newline dropped), else from the terminal. */
enum err offline_secret(
	const char *file, const char *prompt, struct buf *out, struct err_info *info);
/* The key that backup manifests are signed with: both sides derive it by the same words. */
void offline_backup_key(const struct keyring *k, uint8_t ret[KEY_LEN]);
