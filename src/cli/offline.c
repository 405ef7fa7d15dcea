#include "cli/offline.h"

#include "base/limits.h"
#include "os/fd.h"
#include "os/tty.h"
#include "store/backup.h"

enum err offline_secret(
	const char *file, const char *prompt, struct buf *out, struct err_info *info)
{
	enum err e = file ? file_read(file, out) : tty_ask_secret(prompt, out);
	if (e)
		return err_set(
			info, e, file ? "cannot read the file" : "there is no terminal to ask on");
	while (out->len && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r'))
		buf_cut(out, out->len - 1);
	return OK;
}

enum err offline_keys(const char *dir, struct keyring **ret, struct err_info *info)
{
	struct key_source s = { .strength = 2 };
	enum err e = keyring_open(dir, &s, ret, info);
	if (e != ERR_KEY)
		return e;
	AUTO_SECRET_BUF struct buf pass = BUF(LIMIT_PASSWORD);
	if (tty_ask_secret("Passphrase of the vault: ", &pass))
		return e;
	s.passphrase = buf_str(&pass);
	return keyring_open(dir, &s, ret, info);
}

enum err offline_lock(const char *dir, int *ret_fd, struct err_info *info)
{
	char path[4200];
	long holder = 0;
	TRY(path_join(path, sizeof path, dir, "lock"));
	enum err e = file_lock(path, ret_fd, &holder);
	if (e == ERR_LOCKED) {
		(void)err_set(info, e, "process %ld uses this data directory", holder);
		err_hint(info, "stop it first");
		return e;
	}
	return e;
}

void offline_backup_key(const struct keyring *k, uint8_t ret[KEY_LEN])
{
	keyring_sign(k, STR(BACKUP_KEY_PURPOSE), ret);
}
