#include "engine/llama/quantize.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "engine/llama/backend_int.h"
#include "engine/llama/shim.h"
#include "os/fd.h"

enum { MORE_BYTES = 16 << 20 };

void quantize_fd_name(int fd, char dst[32])
{
	(void)snprintf(dst, 32, "/proc/self/fd/%d", fd);
}

/* libllama's stream goes on after a write that failed, but cannot go back to its beginning then:
 * the header stays empty. Whether it was for want of room shows by asking for more of it. */
static enum err check_written(int out)
{
	char magic[4] = "";
	uint64_t size = 0;
	TRY(fd_size(out, &size));
	if (size >= sizeof magic && !fd_pread_full(out, magic, sizeof magic, 0) &&
		!memcmp(magic, "GGUF", sizeof magic))
		return OK;
	int e = posix_fallocate(out, (off_t)size, MORE_BYTES);
	return e ? err_from_errno(e) : ERR_IO;
}

enum err quantize_run(const struct quantize_wish *w, struct err_info *info)
{
	char in[32], out[32], why[SHIM_WHY] = "";
	quantize_fd_name(w->model, in);
	quantize_fd_name(w->out, out);
	enum shim_result r = shim_quantize(&(struct shim_quantize_wish){ .in = in,
						   .out = out,
						   .type = w->type,
						   .threads = (int32_t)w->threads,
						   .progress = w->progress,
						   .arg = w->arg },
		why);
	if (r == SHIM_NOMEM || strstr(why, "bad_alloc"))
		return err_set(
			info, ERR_NOMEM, "there is too little memory to quantise this model");
	enum err e = r == SHIM_OK || strstr(why, "iostream") ? check_written(w->out) : OK;
	if (e)
		return err_set(info, e, "the new model cannot be written: %s", err_text(e));
	if (r == SHIM_OK)
		return OK;
	llama_clean(why);
	return err_set(info, ERR_MODEL_BAD, "the model cannot be quantised: %s",
		why[0] ? why : "libllama gives no reason");
}
