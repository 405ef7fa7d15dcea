#include "models/gguf_job.h"

#include <stdio.h>
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

static int reply(struct ipc *ch, enum gguf_msg type, const struct buf *json)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, (uint16_t)type, 0);
	ipc_put_str(&m, buf_str(json));
	return ipc_send(ch, &m) || ipc_drain(ch, 5000) ? 2 : 0;
}

static enum err check_file(
	int fd, struct gguf_summary *ret, uint64_t *ret_size, char why[GGUF_WHY_MAX])
{
	struct stat st;
	(void)snprintf(why, GGUF_WHY_MAX, "the file cannot be read");
	if (fstat(fd, &st) || st.st_size < 0)
		return ERR_IO;
	*ret_size = (uint64_t)st.st_size;
	return gguf_check(read_fd, &fd, *ret_size, ret, why);
}

int gguf_job_main(struct ipc *ch, int model_fd)
{
	struct gguf_summary s;
	uint64_t size;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf json = BUF(GGUF_SUMMARY_MAX);
	enum err e = check_file(model_fd, &s, &size, why);
	if (!e)
		e = gguf_summary_json(&s, &json);
	return e ? refuse(ch, e, why[0] ? why : err_text(e)) : reply(ch, GGUF_SUMMARY, &json);
}

int gguf_describe_main(struct ipc *ch, int model_fd, bool lists)
{
	struct gguf_summary s;
	uint64_t size;
	char why[GGUF_WHY_MAX];
	AUTO_BUF struct buf json = BUF(GGUF_DESCRIPTION_MAX);
	enum err e = check_file(model_fd, &s, &size, why);
	if (!e)
		e = gguf_describe(read_fd, &model_fd, size, lists, &json, why);
	return e ? refuse(ch, e, why[0] ? why : err_text(e)) : reply(ch, GGUF_DESCRIPTION, &json);
}

/* The one answer, if it is of this type. Errors: those of gguf_job_wait(). */
static enum err wait_for(struct ipc *ch, int timeout_ms, enum gguf_msg type, struct ipc_in *ret,
	struct err_info *info)
{
	enum err e = ipc_recv_wait(ch, timeout_ms, ret);
	if (e == ERR_CLOSED)
		return err_set(info, e, "not a usable model: reading its header broke the reader");
	TRY(e);
	if (ret->type == type)
		return OK;
	if (ret->type != GGUF_REFUSED)
		return ERR_PROTOCOL;
	uint64_t code = ipc_get_u64(ret);
	struct str why = ipc_get_str(ret);
	if (ipc_end(ret) || code == OK || code >= ERR_COUNT_ || why.len >= GGUF_WHY_MAX ||
		!str_is_utf8(why) || str_has_control(why))
		return ERR_PROTOCOL;
	return err_set(info, (enum err)code, "%s%.*s",
		code == ERR_MODEL_BAD ? "not a usable model: " : "", STR_ARG(why));
}

enum err gguf_job_wait(
	struct ipc *ch, int timeout_ms, struct gguf_summary *ret, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	TRY(wait_for(ch, timeout_ms, GGUF_SUMMARY, &m, info));
	struct str json = ipc_get_str(&m);
	return ipc_end(&m) || gguf_summary_read(json, ret) ? ERR_PROTOCOL : OK;
}

enum err gguf_describe_wait(struct ipc *ch, int timeout_ms, json_t **ret, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	AUTO_JSON json_t *doc = NULL;
	json_t *part = NULL;
	struct str template_ = STR_NONE;
	TRY(wait_for(ch, timeout_ms, GGUF_DESCRIPTION, &m, info));
	struct str json = ipc_get_str(&m);
	TRY(ipc_end(&m));
	enum err e = json_read(json, GGUF_DESCRIPTION_MAX, 8, &doc, NULL);
	if (e)
		return e == ERR_NOMEM ? e : ERR_PROTOCOL;
	if (json_want_obj(doc, "info", true, &part, NULL) ||
		json_want_arr(doc, "tensors", true, &part, NULL) ||
		json_want_str(doc, "template", true, &template_, NULL))
		return ERR_PROTOCOL;
	*ret = json_incref(doc);
	return OK;
}
