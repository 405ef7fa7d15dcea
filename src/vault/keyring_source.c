/* Where the wrapping keys come from: key files, passphrases, systemd credentials
 * (vault/keyring_int.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fault.h"
#include "base/hex.h"
#include "os/fd.h"
#include "vault/keyring_int.h"

enum { SECRET_FILE_MAX = 4096 };
#define KEY_FILE_TITLE "tresor-key 1 "

void wrap_from_bytes(struct str secret, enum key_slot kind, uint8_t ret[KEY_LEN])
{
	uint8_t hash[SHA256_LEN];
	sha256_of(secret.ptr, secret.len, hash);
	key_derive(hash, kind == SLOT_TPM ? "tresor slot tpm" : "tresor slot file", ret);
	wipe(hash, sizeof hash);
}

enum err wrap_from_passphrase(struct str passphrase, const struct slot *s, uint8_t ret[KEY_LEN])
{
	uint8_t key[KEY_LEN];
	TRY(password_key(passphrase, s->salt, s->strength, key));
	key_derive(key, "tresor slot passphrase", ret);
	wipe(key, sizeof key);
	return OK;
}

/* 160 random bits need no slow hash: this is HKDF's extract step (RFC 5869). */
void wrap_from_recovery(const uint8_t code[20], const struct slot *s, uint8_t ret[KEY_LEN])
{
	struct hmac h;
	uint8_t key[KEY_LEN];
	hmac_init(&h, s->salt, sizeof s->salt);
	hmac_add(&h, code, 20);
	hmac_end(&h, key);
	key_derive(key, "tresor slot recovery", ret);
	wipe(key, sizeof key);
}

/* ---- key files ---- */

/* Would `path` lie in or below `dir`? Follows links as far as the path exists. */
static bool inside(const char *path, const char *dir)
{
	char here[PATH_MAX], root[PATH_MAX], cut[KEYRING_PATH_MAX];
	if (!realpath(dir, root) || str_copy(str_from(path), cut, sizeof cut))
		return false;
	while (!realpath(cut, here)) {
		char *slash = strrchr(cut, '/');
		if (!slash) {
			if (!realpath(".", here))
				return false;
			break;
		}
		slash[slash == cut] = 0; /* keeps the "/" of the root */
	}
	size_t n = strlen(root);
	return strncmp(here, root, n) == 0 && (here[n] == '/' || here[n] == 0 || n == 1);
}

static enum err refuse_inside(const char *path, const char *data_dir, struct err_info *info)
{
	if (!inside(path, data_dir))
		return OK;
	(void)err_set(info, ERR_INVALID, "the key file \"%s\" lies inside the data directory",
		      path);
	err_hint(info, "name a place outside: whoever copies the data must not get its key");
	return ERR_INVALID;
}

static enum err key_file_parse(struct str text, uint8_t ret[KEY_LEN])
{
	struct str hex = str_trim(text);
	if (!str_starts(hex, STR(KEY_FILE_TITLE)))
		return ERR_INVALID;
	return hex_decode(str_sub(hex, sizeof KEY_FILE_TITLE - 1, SIZE_MAX), ret, KEY_LEN);
}

enum err key_file_read(const char *path, const char *data_dir, uint8_t ret_wrap[KEY_LEN],
		       struct err_info *info)
{
	AUTO_SECRET_BUF struct buf text = BUF(SECRET_FILE_MAX);
	uint8_t key[KEY_LEN];
	struct stat st;
	AUTO_FD int fd = -1;
	size_t got = 0;
	TRY(fd_open(path, O_RDONLY | O_NONBLOCK, 0, &fd));
	if (fstat(fd, &st) != 0)
		return err_from_errno(errno);
	TRY(refuse_inside(path, data_dir, info));
	if (!S_ISREG(st.st_mode) || st.st_mode & 077 ||
	    (st.st_uid != geteuid() && st.st_uid != 0)) {
		(void)err_set(info, ERR_DENIED, "others may read the key file \"%s\"", path);
		err_hint(info, "chown it to the user that runs Tresor and chmod it to 600");
		return ERR_DENIED;
	}
	TRY(buf_add_zeros(&text, SECRET_FILE_MAX));
	TRY(fd_read(fd, text.ptr, text.len, &got));
	buf_cut(&text, got);
	if (key_file_parse(buf_str(&text), key))
		return err_set(info, ERR_CORRUPT, "\"%s\" is not a key file of Tresor", path);
	wrap_from_bytes((struct str){ (const char *)key, KEY_LEN }, SLOT_FILE, ret_wrap);
	wipe(key, sizeof key);
	return OK;
}

static enum err key_text(struct buf *out)
{
	uint8_t key[KEY_LEN];
	char hex[2 * KEY_LEN + 1];
	random_bytes(key, sizeof key);
	hex_encode(key, sizeof key, hex);
	enum err e = buf_addf(out, KEY_FILE_TITLE "%s\n", hex);
	wipe(key, sizeof key);
	wipe(hex, sizeof hex);
	return e;
}

enum err key_file_make(const char *path, const char *data_dir, uint8_t ret_wrap[KEY_LEN],
		       struct err_info *info)
{
	AUTO_SECRET_BUF struct buf text = BUF(SECRET_FILE_MAX);
	char folder[KEYRING_PATH_MAX];
	TRY(refuse_inside(path, data_dir, info));
	enum err e = key_file_read(path, data_dir, ret_wrap, info);
	if (e != ERR_NOT_FOUND)
		return e;
	TRY(str_copy(str_from(path), folder, sizeof folder));
	char *slash = strrchr(folder, '/');
	if (slash && slash != folder) {
		*slash = 0;
		TRY(dir_make(folder, 0700));
	}
	TRY(key_text(&text));
	TRY(file_write_atomic(path, buf_str(&text), 0600));
	/* What counts is what is on the disk. */
	return key_file_read(path, data_dir, ret_wrap, info);
}

/* ---- systemd credentials ---- */

static enum err secret_wrap(struct str secret, uint8_t ret[KEY_LEN], struct err_info *info)
{
	if (secret.len < KEY_LEN)
		return err_set(info, ERR_CORRUPT,
			       "the credential tresor-master has fewer than %d bytes",
			       (int)KEY_LEN);
	wrap_from_bytes(secret, SLOT_TPM, ret);
	return OK;
}

enum err credential_read(const char *credentials_dir, uint8_t ret_wrap[KEY_LEN],
			 struct err_info *info)
{
	AUTO_SECRET_BUF struct buf text = BUF(SECRET_FILE_MAX);
	char path[KEYRING_PATH_MAX];
	TRY(path_join(path, sizeof path, credentials_dir, "tresor-master"));
	TRY(file_read(path, &text));
	return secret_wrap(buf_str(&text), ret_wrap, info);
}

/* Reads what the child says, then how it ended. */
static enum err hear(pid_t pid, int out, struct buf *output)
{
	enum err e = OK;
	for (size_t n = 1; !e && n > 0;) {
		char piece[512];
		e = fd_read(out, piece, sizeof piece, &n);
		if (!e)
			e = buf_add(output, (struct str){ piece, n });
		wipe(piece, sizeof piece);
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_from_errno(errno);
	if (e)
		return e;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? OK : ERR_UNSUPPORTED;
}

/* The input is a memfd: nothing to write, so no pipe can break or fill up. */
static enum err run_tool(char *const argv[], struct str input, struct buf *output)
{
	AUTO_FD int in = -1;
	int out[2];
	pid_t pid;
	posix_spawn_file_actions_t fa;
	TRY(fd_memfd("tresor-secret", input, &in));
	if (lseek(in, 0, SEEK_SET) < 0)
		return err_from_errno(errno);
	if (pipe2(out, O_CLOEXEC) != 0)
		return err_from_errno(errno);
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawn_file_actions_adddup2(&fa, in, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, out[1], 1);
	int bad = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)close(out[1]);
	enum err e = bad ? ERR_UNSUPPORTED : hear(pid, out[0], output);
	(void)close(out[0]);
	return e;
}

enum err credential_seal(const char *out_path, const char *tool, uint8_t ret_wrap[KEY_LEN],
			 struct err_info *info)
{
	AUTO_SECRET_BUF struct buf text = BUF(SECRET_FILE_MAX);
	AUTO_SECRET_BUF struct buf again = BUF(SECRET_FILE_MAX);
	char *name = (char *)(tool ? tool : "systemd-creds"), *path = (char *)out_path;
	char *const enc[] = { name, "encrypt", "--with-key=tpm2", "--name=tresor-master", "-", path,
			      NULL };
	char *const dec[] = { name, "decrypt", "--name=tresor-master", path, "-", NULL };
	TRY(key_text(&text));
	enum err e = run_tool(enc, buf_str(&text), &again);
	buf_clear(&again);
	if (!e) /* a slot that cannot be opened again would be worse than none */
		e = run_tool(dec, STR(""), &again);
	if (!e && !str_eq(buf_str(&text), buf_str(&again)))
		e = ERR_CORRUPT;
	if (e) {
		(void)err_set(info, e, "systemd-creds could not seal a key to the TPM");
		err_hint(info, "it needs systemd 250 and a TPM 2: see `systemd-creds has-tpm2`");
		return e;
	}
	return secret_wrap(buf_str(&text), ret_wrap, info);
}
