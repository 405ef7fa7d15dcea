/* pull, push: models that come and go. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/hex.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "os/fd.h"

enum err cli_with_progress(
	struct client *c, const char *path, struct buf *body, struct err_info *info)
{
	struct progress p;
	TRY(body->err);
	progress_init(&p);
	enum err e = client_stream(c, path, buf_str(body), progress_line, &p, info);
	progress_end(&p);
	return e;
}

enum err pull_model(struct client *c, const char *source, const char *as, bool insecure,
	struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(16 * 1024);
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "model", str_from(source));
	if (as)
		jw_kstr(&w, "as", str_from(as));
	if (insecure)
		jw_kbool(&w, "insecure", true);
	jw_end(&w);
	return cli_with_progress(c, "/api/pull", &body, info);
}

/* ---- files ---- */

static enum err hash_file(int fd, char hex[65])
{
	static char piece[1 << 20];
	struct sha256 h;
	uint8_t digest[SHA256_LEN];
	sha256_init(&h);
	for (;;) {
		size_t n = 0;
		TRY(fd_read(fd, piece, sizeof piece, &n));
		if (!n)
			break;
		sha256_add(&h, piece, n);
	}
	sha256_end(&h, digest);
	hex_encode(digest, sizeof digest, hex);
	return lseek(fd, 0, SEEK_SET) < 0 ? ERR_IO : OK;
}

static void on_piece(uint64_t done, uint64_t size, void *arg)
{
	progress_bytes(arg, "copying file", done, size);
}

enum err upload_model_file(
	struct client *c, const char *path, char ret_hex[65], struct err_info *info)
{
	AUTO_FD int fd = -1;
	struct stat st;
	struct progress p;
	char url[128];
	progress_init(&p);
	enum err e = fd_open(path, O_RDONLY, 0, &fd);
	if (e || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(info, e ? e : ERR_INVALID, "cannot read the file %s", path);
	TRY(hash_file(fd, ret_hex));
	snprintf(url, sizeof url, "/api/blobs/sha256:%s", ret_hex);
	struct client_upload u = {
		.fd = fd, .size = (uint64_t)st.st_size, .progress = on_piece, .arg = &p
	};
	e = client_upload(c, url, &u, info);
	progress_end(&p);
	return e;
}

/* ---- pull, push ---- */

static enum err pull(struct client *c, const struct args *a, struct err_info *info)
{
	const char *source = a->operand[0], *as = args_get(a, "--as");
	bool insecure = args_get(a, "--insecure") != NULL;
	if (strncmp(source, "file:", 5))
		return pull_model(c, source, as, insecure, info);
	if (!as)
		return err_set(
			info, ERR_INVALID, "say what the model is to be called with --as NAME");
	return create_from_gguf(c, as, source + 5, info);
}

int cmd_pull(const struct args *a)
{
	return cli_with_client(a, pull);
}

static enum err push(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(8192);
	bool insecure = args_get(a, "--insecure") != NULL;
	TRY(cli_model_body(a->operand[0], insecure ? ",\"insecure\":true" : "", &body));
	return cli_no_route(c, cli_with_progress(c, "/api/push", &body, info),
		"push models (it has no POST /api/push)", info);
}

int cmd_push(const struct args *a)
{
	return cli_with_client(a, push);
}
