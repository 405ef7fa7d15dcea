/* The way to the blobs in the server: questions to the keeper. */
#include <string.h>
#include <unistd.h>

#include "models/blobdir.h"
#include "models/gguf_job.h"
#include "models/make.h"
#include "models/name.h"
#include "models/store.h"
#include "proto/keeper.h"

/* HASH_MS: for a file of any size, which a second process reads through. */
enum { ASK_MS = 60000, CHECK_MS = 300000, DESCRIBE_MS = 20000, HASH_MS = 3600 * 1000 };

static enum err take_channel(struct ipc_in *m, struct ipc **ret)
{
	int fd = ipc_get_fd(m);
	return fd < 0 ? ERR_PROTOCOL : ipc_new(fd, ret);
}

static enum err keeper_stage(void *arg, const char *digest, uint64_t size, struct ipc **ret_control,
	int *ret_sink, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *control = NULL;
	AUTO_FD int sink = -1;
	ipc_out_init(&q, ASK_STAGE, 0);
	ipc_put_str(&q, str_from(digest));
	ipc_put_u64(&q, size);
	TRY(keeper_call(arg, &q, ASK_MS, &a, info));
	TRY(take_channel(&a, &control));
	sink = ipc_get_fd(&a);
	TRY(ipc_end(&a));
	*ret_control = TAKE(control);
	*ret_sink = TAKE_FD(sink);
	return OK;
}

static enum err keeper_stage_local(
	void *arg, const char *starter, struct ipc **ret_control, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *control = NULL;
	ipc_out_init(&q, ASK_STAGE_LOCAL, 0);
	ipc_put_str(&q, str_from(starter));
	TRY(keeper_call(arg, &q, ASK_MS, &a, info));
	TRY(take_channel(&a, &control));
	TRY(ipc_end(&a));
	*ret_control = TAKE(control);
	return OK;
}

static enum err ask_about(void *arg, enum keeper_msg what, const char *digest, struct ipc_in *a,
	struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	ipc_out_init(&q, (uint16_t)what, 0);
	ipc_put_str(&q, str_from(digest));
	return keeper_call(arg, &q, ASK_MS, a, info);
}

static enum err keeper_commit(void *arg, const char *digest, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	TRY(ask_about(arg, ASK_COMMIT, digest, &a, info));
	return ipc_end(&a);
}

static enum err keeper_remove(void *arg, const char *digest)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	TRY(ask_about(arg, ASK_DELETE, digest, &a, NULL));
	return ipc_end(&a);
}

static enum err check_once(
	void *arg, const char *digest, struct gguf_summary *ret, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *job = NULL;
	TRY(ask_about(arg, ASK_GGUF, digest, &a, info));
	TRY(take_channel(&a, &job));
	TRY(ipc_end(&a));
	return gguf_job_wait(job, CHECK_MS, ret, info);
}

static enum err keeper_check(
	void *arg, const char *digest, struct gguf_summary *ret, struct err_info *info)
{
	enum err e = check_once(arg, digest, ret, info);
	/* Killed from outside, or by the header? A second look tells. */
	if (e == ERR_CLOSED)
		e = check_once(arg, digest, ret, info);
	/* A header that breaks or holds up its reader is not one to load. */
	if (e == ERR_CLOSED || e == ERR_TIMEOUT || e == ERR_PROTOCOL)
		return err_set(
			info, ERR_MODEL_BAD, "not a usable model: its header could not be read");
	return e;
}

static enum err keeper_describe(
	void *arg, const char *digest, bool lists, json_t **ret, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *job = NULL;
	ipc_out_init(&q, ASK_DESCRIBE, 0);
	ipc_put_str(&q, str_from(digest));
	ipc_put_bool(&q, lists);
	TRY(keeper_call(arg, &q, ASK_MS, &a, info));
	TRY(take_channel(&a, &job));
	TRY(ipc_end(&a));
	return gguf_describe_wait(job, DESCRIBE_MS, ret, info);
}

static enum err keeper_make(void *arg, const struct make_wish *w, uint64_t *ret_number,
	struct ipc **ret_job, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *job = NULL;
	ipc_out_init(&q, ASK_MAKE, 0);
	ipc_put_u64(&q, w->kind);
	ipc_put_str(&q, w->what);
	ipc_put_u64(&q, w->room);
	ipc_put_u64(&q, w->n);
	for (size_t i = 0; i < w->n; i++)
		ipc_put_str(&q, str_from(w->part[i]));
	TRY(keeper_call(arg, &q, ASK_MS, &a, info));
	uint64_t number = ipc_get_u64(&a);
	TRY(take_channel(&a, &job));
	TRY(ipc_end(&a));
	*ret_number = number;
	*ret_job = TAKE(job);
	return OK;
}

static enum err ask_number(void *arg, enum keeper_msg what, uint64_t number, int timeout_ms,
	struct ipc_in *a, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	ipc_out_init(&q, (uint16_t)what, 0);
	ipc_put_u64(&q, number);
	return keeper_call(arg, &q, timeout_ms, a, info);
}

static enum err keeper_made(
	void *arg, uint64_t number, char ret_digest[65], struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	TRY(ask_number(arg, ASK_MADE, number, HASH_MS, &a, info));
	struct str digest = ipc_get_str(&a);
	(void)ipc_get_u64(&a);
	if (ipc_end(&a) || !digest_ok(digest))
		return ERR_PROTOCOL;
	return str_copy(digest, ret_digest, 65);
}

static enum err keeper_unmake(void *arg, uint64_t number)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	TRY(ask_number(arg, ASK_UNMAKE, number, ASK_MS, &a, NULL));
	return ipc_end(&a);
}

static enum err ask_foreign(void *arg, enum keeper_msg what, const char *folder,
	const char *digest, struct ipc_in *a, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	ipc_out_init(&q, (uint16_t)what, 0);
	ipc_put_str(&q, str_from(folder));
	ipc_put_str(&q, str_from(digest));
	return keeper_call(arg, &q, HASH_MS, a, info);
}

static enum err keeper_share(void *arg, const char *folder, const char *digest, bool *ret_linked,
	struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	TRY(ask_foreign(arg, ASK_SHARE, folder, digest, &a, info));
	bool linked = ipc_get_bool(&a);
	(void)ipc_get_u64(&a);
	TRY(ipc_end(&a));
	*ret_linked = linked;
	return OK;
}

static enum err keeper_stage_file(void *arg, const char *folder, const char *digest,
	struct ipc **ret_control, struct err_info *info)
{
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO(ipc) struct ipc *control = NULL;
	TRY(ask_foreign(arg, ASK_STAGE_FILE, folder, digest, &a, info));
	TRY(take_channel(&a, &control));
	(void)ipc_get_u64(&a);
	TRY(ipc_end(&a));
	*ret_control = TAKE(control);
	return OK;
}

static enum err keeper_list(void *arg,
	enum err (*fn)(
		const char *digest, uint64_t size, bool partial, int64_t modified_ms, void *fn_arg),
	void *fn_arg)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	ipc_out_init(&q, ASK_BLOBS, 0);
	TRY(keeper_call(arg, &q, ASK_MS, &a, NULL));
	struct str list = ipc_get_str(&a);
	if (ipc_end(&a) || list.len % sizeof(struct blobdir_item))
		return ERR_PROTOCOL;
	for (size_t at = 0; at < list.len; at += sizeof(struct blobdir_item)) {
		struct blobdir_item i;
		memcpy(&i, list.ptr + at, sizeof i);
		if (memchr(i.digest, 0, sizeof i.digest) != i.digest + 64)
			return ERR_PROTOCOL;
		TRY(fn(i.digest, i.size, i.partial, i.modified_ms, fn_arg));
	}
	return OK;
}

static enum err keeper_read(void *arg, const char *digest, uint64_t from, uint64_t to,
	int *ret_fd, struct err_info *info)
{
	AUTO_IPC_OUT struct ipc_out q;
	AUTO_IPC_IN struct ipc_in a = { 0 };
	AUTO_FD int fd = -1;
	ipc_out_init(&q, ASK_READ, 0);
	ipc_put_str(&q, str_from(digest));
	ipc_put_u64(&q, from);
	ipc_put_u64(&q, to);
	TRY(keeper_call(arg, &q, ASK_MS, &a, info));
	fd = ipc_get_fd(&a);
	TRY(ipc_end(&a));
	*ret_fd = TAKE_FD(fd);
	return OK;
}

const struct model_blob_ops keeper_blob_ops = {
	.stage = keeper_stage,
	.stage_local = keeper_stage_local,
	.commit = keeper_commit,
	.remove = keeper_remove,
	.check = keeper_check,
	.describe = keeper_describe,
	.make = keeper_make,
	.made = keeper_made,
	.unmake = keeper_unmake,
	.share = keeper_share,
	.stage_file = keeper_stage_file,
	.list = keeper_list,
	.read = keeper_read,
};
