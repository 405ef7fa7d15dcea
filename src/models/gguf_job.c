#include "models/gguf_job.h"

#include <sys/stat.h>

#include "os/fd.h"

static enum err read_fd(void *arg, uint64_t at, void *dst, size_t n)
{
	return fd_pread_full(*(const int *)arg, dst, n, at);
}

static int refuse(struct ipc *ch, enum err e, const char *why)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GGUF_REFUSED, 0);
	ipc_put_u64(&m, e);
	ipc_put_str(&m, str_from(why));
	return ipc_send(ch, &m) || ipc_drain(ch, 5000) ? 2 : 1;
}

int gguf_job_main(struct ipc *ch, int model_fd)
{
	struct gguf_summary s;
	struct stat st;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf json = BUF(GGUF_SUMMARY_MAX);
	if (fstat(model_fd, &st) || st.st_size < 0)
		return refuse(ch, ERR_IO, "the file cannot be read");
	enum err e = gguf_check(read_fd, &model_fd, (uint64_t)st.st_size, &s, why);
	if (!e)
		e = gguf_summary_json(&s, &json);
	if (e)
		return refuse(ch, e, why[0] ? why : err_text(e));
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, GGUF_SUMMARY, 0);
	ipc_put_str(&m, buf_str(&json));
	return ipc_send(ch, &m) || ipc_drain(ch, 5000) ? 2 : 0;
}

enum err gguf_job_wait(
	struct ipc *ch, int timeout_ms, struct gguf_summary *ret, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	enum err e = ipc_recv_wait(ch, timeout_ms, &m);
	if (e == ERR_CLOSED)
		return err_set(info, e, "not a usable model: reading its header broke the reader");
	TRY(e);
	if (m.type == GGUF_SUMMARY) {
		struct str json = ipc_get_str(&m);
		if (ipc_end(&m) || gguf_summary_read(json, ret))
			return ERR_PROTOCOL;
		return OK;
	}
	if (m.type != GGUF_REFUSED)
		return ERR_PROTOCOL;
	uint64_t code = ipc_get_u64(&m);
	struct str why = ipc_get_str(&m);
	if (ipc_end(&m) || code == OK || code >= ERR_COUNT_ || why.len >= GGUF_WHY_MAX ||
		!str_is_utf8(why) || str_has_control(why))
		return ERR_PROTOCOL;
	return err_set(info, (enum err)code, "%s%.*s",
		code == ERR_MODEL_BAD ? "not a usable model: " : "", STR_ARG(why));
}
