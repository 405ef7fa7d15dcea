/* Bytes from a client, or a small text of our own, into a blob: through a writer like a pull's. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hex.h"
#include "models/store_int.h"
#include "models/writer.h"
#include "proto/sink.h"

enum {
	WRITER_WAIT_MS = 60000,
	HASH_WAIT_MS = 3600 * 1000,
	LOCKED_TRIES = 100,
	LOCKED_WAIT_MS = 100
};

struct model_upload {
	struct model_store *store;
	struct ipc *control;
	int sink;
	char digest[65];
	uint64_t size, at;
	bool pinned;
	struct writer_event event;
};

struct model_upload *model_upload_free(struct model_upload *u)
{
	if (!u)
		return NULL;
	(void)ipc_free(u->control); /* the writer notes what it has and ends */
	if (u->sink >= 0)
		(void)close(u->sink);
	if (u->pinned)
		model_store_unpin(u->store, u->digest);
	mem_free(u);
	return NULL;
}

static enum err from_event(struct model_upload *u, struct err_info *info)
{
	switch (u->event.kind) {
	case WRITER_EV_FAILED:
		return err_set(info, u->event.code, "%s", u->event.detail);
	case WRITER_EV_MISMATCH:
		return err_set(
			info, ERR_DIGEST, "the bytes have the digest sha256:%s", u->event.digest);
	default:
		return OK;
	}
}

enum err model_upload_begin(struct model_store *s, struct str digest, uint64_t size,
	struct model_upload **ret, struct err_info *info)
{
	AUTO(model_upload) struct model_upload *u = mem_zalloc(1, sizeof *u);
	if (!u)
		return ERR_NOMEM;
	u->store = s;
	u->sink = -1;
	u->size = size;
	if (digest_parse(digest, u->digest))
		return err_set(info, ERR_INVALID, "the digest is not sha256: and 64 hex digits");
	TRY(model_store_pin(s, u->digest));
	u->pinned = true;
	TRY(s->ops->stage(s->ops_arg, u->digest, size, &u->control, &u->sink, info));
	TRY(writer_wait(u->control, WRITER_WAIT_MS, &u->event)); /* STATE, or why not */
	TRY(from_event(u, info));
	*ret = TAKE(u);
	return OK;
}

/* Takes what the writer says meanwhile, so that its messages do not pile up. */
static enum err listen(struct model_upload *u, int timeout_ms, struct err_info *info)
{
	for (;;) {
		enum err e = writer_wait(u->control, timeout_ms, &u->event);
		if (e == ERR_TIMEOUT || e == ERR_AGAIN)
			return OK;
		TRY(e);
		TRY(from_event(u, info));
		timeout_ms = 0;
	}
}

static enum err send_piece(struct model_upload *u, const char *p, size_t n, struct err_info *info)
{
	for (;;) {
		enum err e = sink_send(u->sink, u->at, p, n, false);
		if (!e)
			return OK;
		if (e != ERR_AGAIN) { /* it ended: its last message says why */
			TRY(listen(u, 1000, info));
			return e;
		}
		struct pollfd w[2] = { { .fd = u->sink, .events = POLLOUT },
			{ .fd = ipc_fd(u->control), .events = POLLIN } };
		(void)poll(w, 2, 1000);
		if (w[1].revents)
			TRY(listen(u, 0, info));
	}
}

enum err model_upload_add(struct model_upload *u, struct str bytes, struct err_info *info)
{
	if (bytes.len > u->size - u->at)
		return err_set(info, ERR_LIMIT, "more bytes came than were announced");
	while (bytes.len) {
		size_t n = bytes.len < SINK_FRAME_MAX ? bytes.len : SINK_FRAME_MAX;
		TRY(send_piece(u, bytes.ptr, n, info));
		u->at += n;
		bytes = str_sub(bytes, n, bytes.len);
	}
	return listen(u, 0, info);
}

enum err model_upload_end(struct model_upload *u, struct err_info *info)
{
	if (u->at < u->size)
		return err_set(info, ERR_INVALID, "%llu bytes are missing",
			(unsigned long long)(u->size - u->at));
	TRY(writer_ask(u->control, WRITER_FINISH));
	while (u->event.kind != WRITER_EV_WHOLE) {
		TRY(writer_wait(u->control, HASH_WAIT_MS, &u->event));
		enum err e = from_event(u, info);
		if (e == ERR_DIGEST)
			(void)u->store->ops->remove(u->store->ops_arg, u->digest);
		TRY(e);
	}
	return u->store->ops->commit(u->store->ops_arg, u->digest, info);
}

struct blob_search {
	const char *digest;
	bool found;
};

static enum err is_it(
	const char *digest, uint64_t size, bool partial, int64_t modified_ms, void *arg)
{
	struct blob_search *f = arg;
	f->found |= !partial && !strcmp(digest, f->digest);
	return OK;
}

enum err model_blob_exists(struct model_store *s, struct str digest)
{
	char hex[65];
	struct blob_search f = { .digest = hex };
	TRY(digest_parse(digest, hex));
	TRY(s->ops->list(s->ops_arg, is_it, &f));
	return f.found ? OK : ERR_NOT_FOUND;
}

enum err store_text_layer(struct model_store *s, enum layer_kind kind, struct str text,
	struct layer *ret, bool *ret_new, struct err_info *info)
{
	uint8_t sum[SHA256_LEN];
	struct layer l = { .kind = kind, .size = text.len };
	AUTO(model_upload) struct model_upload *u = NULL;
	sha256_of(text.ptr, text.len, sum);
	hex_encode(sum, sizeof sum, l.digest);
	TRY(model_store_pin(s, l.digest));
	enum err e;
	/* The same text of another model may be under way at this moment: it will be there soon. */
	for (unsigned tries = 0;; tries++) {
		e = model_upload_begin(s, str_from(l.digest), text.len, &u, info);
		if (e != ERR_LOCKED || tries == LOCKED_TRIES)
			break;
		(void)poll(NULL, 0, LOCKED_WAIT_MS);
	}
	*ret_new = !e;
	if (!e)
		e = model_upload_add(u, text, info);
	if (!e)
		e = model_upload_end(u, info);
	if (e && e != ERR_EXISTS) {
		model_store_unpin(s, l.digest);
		return e;
	}
	*ret = l;
	return OK;
}
