/* Model files that are made here (converted, merged, quantised) or shared with a folder of
 * Ollama's.
 *
 * A job writes the file (MAKING_WRITTEN), its exit with 0 makes it whole (MAKING_WHOLE), a second
 * job hashes it (MAKING_HASHED), and that digest alone becomes its name: what reads foreign bytes
 * has no say in it. Whatever fails removes the file, and so does the keeper's next start. */
#include "roles/keeper_int.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "models/name.h"
#include "os/fd.h"
#include "proto/make.h"
#include "roles/jail.h"

/* ---- places ---- */

static struct making *find(struct keeper *k, uint64_t number)
{
	for (unsigned i = 0; number && i < KEEPER_MAKES_MAX; i++)
		if (k->making[i].number == number)
			return &k->making[i];
	return NULL;
}

static enum err take_place(struct keeper *k, struct making **ret)
{
	for (unsigned i = 0; i < KEEPER_MAKES_MAX; i++)
		if (!k->making[i].number) {
			k->making[i] = (struct making){ .number = ++k->next_making };
			*ret = &k->making[i];
			return OK;
		}
	return ERR_BUSY;
}

static void forget(struct making *g)
{
	*g = (struct making){ .number = 0 };
}

static void drop(struct keeper *k, struct making *g)
{
	blobdir_unmake(k->blobs, g->number);
	forget(g);
}

/* ---- ends ---- */

static void fail(struct keeper *k, struct making *g, enum err e, const char *why)
{
	struct child *server = child_find(k, ROLE_SERVER);
	if (g->ask_id && server)
		answer_error(server, g->ask_id, e, why ? why : err_text(e));
	drop(k, g);
}

static void finish(struct keeper *k, struct making *g)
{
	struct child *server = child_find(k, ROLE_SERVER);
	if (g->shared && strcmp(g->want, g->digest) != 0) {
		fail(k, g, ERR_DIGEST, "its bytes do not have the digest in its name");
		return;
	}
	enum err e = blobdir_made(k->blobs, g->number, str_from(g->digest));
	if (e) {
		fail(k, g, e, NULL);
		return;
	}
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, g->ask_id);
	answer_put(&out, OK, STR_NONE);
	if (g->shared)
		ipc_put_bool(&out, g->linked);
	else
		ipc_put_str(&out, str_from(g->digest));
	ipc_put_u64(&out, g->size);
	if (server)
		(void)ipc_send(server->chan, &out);
	forget(g);
}

static void start_hash(struct keeper *k, struct making *g)
{
	int file = -1, channel = -1;
	struct jail_wish w = { .kind = JAIL_HASH, .digest = STR(""), .makes = g->number };
	enum err e = blobdir_make_open(k->blobs, g->number, &file, &w.size);
	if (!e)
		e = jail_start(k, &w, &file, 1, &channel);
	if (e) {
		fail(k, g, e, NULL);
		return;
	}
	close(channel); /* it tells us, nobody else */
	g->step = MAKING_HASHED;
}

void maker_exited(struct keeper *k, struct child *c, bool well)
{
	struct making *g = find(k, c->makes);
	if (!g)
		return;
	if (g->unwanted) {
		drop(k, g);
	} else if (g->step == MAKING_HASHED) {
		if (well && g->digest[0])
			finish(k, g);
		else
			fail(k, g, ERR_IO, "the file could not be read back");
	} else if (!well) {
		fail(k, g, ERR_CONFLICT, NULL);
		return;
	} else {
		g->step = MAKING_WHOLE;
		if (g->ask_id)
			start_hash(k, g);
	}
}

void maker_spoke(struct keeper *k, struct child *c, struct ipc_in *m)
{
	struct making *g = find(k, c->makes);
	struct str digest = ipc_get_str(m);
	uint64_t size = ipc_get_u64(m);
	if (ipc_end(m) || m->type != JAIL_HASHED || !g || g->step != MAKING_HASHED ||
		!digest_ok(digest) || str_copy(digest, g->digest, sizeof g->digest)) {
		child_kill(k, c);
		return;
	}
	g->size = size;
}

void makes_orphaned(struct keeper *k)
{
	for (unsigned i = 0; i < KEEPER_MAKES_MAX; i++) {
		struct making *g = &k->making[i];
		g->ask_id = 0;
		if (g->number && g->step == MAKING_WHOLE)
			drop(k, g);
		else
			g->unwanted = g->number != 0;
	}
}

/* ---- what the server asks ---- */

static enum err open_parts(struct keeper *k, const struct str *digest, uint64_t n, int *fds)
{
	uint64_t size;
	for (uint64_t i = 0; i < n; i++)
		TRY(blobdir_get(k->blobs, digest[i], &fds[i], &size));
	return OK;
}

static enum err start_make(struct keeper *k, const struct jail_wish *wish, uint64_t room,
	const struct str *digest, uint64_t n, struct making *g, int *ret_channel,
	struct err_info *info)
{
	int fds[MAKE_PARTS_MAX + 1];
	char build[LIMIT_ENGINE_ID + 1], dir[BUILD_PATH_MAX];
	struct jail_wish w = *wish;
	w.makes = g->number;
	memset(fds, -1, sizeof fds);
	if (w.kind == JAIL_QUANTIZE) { /* libllama's work */
		TRY(builds_current(k->builds, build, info));
		TRY(builds_check(k->builds, build, dir, info));
		w.engine = dir;
	}
	enum err e = blobdir_make(k->blobs, g->number, room, &fds[0], info);
	if (!e)
		e = open_parts(k, digest, n, fds + 1);
	if (!e)
		return jail_start(k, &w, fds, (unsigned)n + 1, ret_channel);
	for (uint64_t i = 0; i <= n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return e;
}

enum err ask_make(struct keeper *k, struct child *server, struct ipc_in *m)
{
	static const uint64_t jobs[MAKE_KINDS] = { [MAKE_CONVERT] = JAIL_CONVERT,
		[MAKE_MERGE] = JAIL_MERGE,
		[MAKE_ADAPTER] = JAIL_ADAPTER,
		[MAKE_QUANTIZE] = JAIL_QUANTIZE };
	struct str part[MAKE_PARTS_MAX];
	uint64_t kind = ipc_get_u64(m);
	struct str what = ipc_get_str(m);
	uint64_t room = ipc_get_u64(m), n = ipc_get_u64(m);
	if (kind >= MAKE_KINDS || n > MAKE_PARTS_MAX || what.len > MAKE_WHAT_MAX)
		return ERR_PROTOCOL;
	for (uint64_t i = 0; i < n; i++)
		part[i] = ipc_get_str(m);
	TRY(ipc_end(m));
	struct err_info why = { 0 };
	struct jail_wish w = { .kind = jobs[kind], .digest = STR(""), .what = what, .size = room };
	struct making *g = NULL;
	int channel = -1;
	enum err e = take_place(k, &g);
	if (e)
		(void)err_set(&why, e, "%d models are being made already", KEEPER_MAKES_MAX);
	else
		e = start_make(k, &w, room, part, n, g, &channel, &why);
	if (e) {
		answer_error(server, m->id, e, why.detail[0] ? why.detail : err_text(e));
		if (g)
			drop(k, g);
		return OK;
	}
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_u64(&out, g->number);
	ipc_put_fd(&out, channel);
	(void)ipc_send(server->chan, &out);
	return OK;
}

enum err ask_made(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct making *g = find(k, ipc_get_u64(m));
	TRY(ipc_end(m));
	if (!g || g->ask_id || g->shared || g->unwanted) {
		answer_error(server, m->id, ERR_CONFLICT, err_text(ERR_CONFLICT));
		return OK;
	}
	g->ask_id = m->id;
	if (g->step == MAKING_WHOLE)
		start_hash(k, g);
	return OK;
}

enum err ask_unmake(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct making *g = find(k, ipc_get_u64(m));
	TRY(ipc_end(m));
	if (g && g->step == MAKING_WHOLE)
		drop(k, g);
	else if (g)
		g->unwanted = true; /* its job learns of it by its channel */
	answer_error(server, m->id, OK, "");
	return OK;
}

/* ---- a folder of Ollama's ---- */

/* Nothing but a whole blob by its digest: the server cannot have another file opened with this. */
static enum err open_blob_of(struct str folder, struct str digest, int *ret)
{
	char path[PATH_MAX];
	AUTO_FD int dir = -1;
	if (!digest_ok(digest) || !str_starts(folder, STR("/")) ||
		memchr(folder.ptr, 0, folder.len))
		return ERR_INVALID;
	int n = snprintf(path, sizeof path, "%.*s/blobs", STR_ARG(folder));
	if (n < 0 || n >= (int)sizeof path)
		return ERR_INVALID;
	TRY(fd_open(path, O_RDONLY | O_DIRECTORY, 0, &dir));
	(void)snprintf(path, sizeof path, "sha256-%.*s", STR_ARG(digest));
	return fd_openat(dir, path, O_RDONLY | O_NONBLOCK, 0, ret);
}

enum err ask_share(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str folder = ipc_get_str(m), digest = ipc_get_str(m);
	TRY(ipc_end(m));
	AUTO_FD int source = -1;
	struct err_info why = { 0 };
	struct making *g = NULL;
	enum err e = open_blob_of(folder, digest, &source);
	if (e)
		(void)err_set(&why, e, "it cannot be opened: %s", err_text(e));
	else
		e = take_place(k, &g);
	if (!e)
		e = blobdir_share(k->blobs, g->number, source, &g->linked, &why);
	if (e) {
		answer_error(server, m->id, e, why.detail[0] ? why.detail : err_text(e));
		if (g)
			drop(k, g);
		return OK;
	}
	g->shared = true;
	g->step = MAKING_WHOLE;
	g->ask_id = m->id;
	(void)str_copy(digest, g->want, sizeof g->want);
	start_hash(k, g);
	return OK;
}

enum err ask_stage_file(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str folder = ipc_get_str(m), digest = ipc_get_str(m);
	TRY(ipc_end(m));
	int channel = -1, source = -1;
	uint64_t size = 0;
	struct err_info why = { 0 };
	enum err e = open_blob_of(folder, digest, &source);
	if (!e)
		e = fd_size(source, &size);
	if (!e)
		e = start_writer(k, JAIL_COPY, digest, size, TAKE_FD(source), &channel, &why);
	if (source >= 0)
		close(source);
	if (e) {
		answer_error(server, m->id, e, why.detail[0] ? why.detail : err_text(e));
		return OK;
	}
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_fd(&out, channel);
	ipc_put_u64(&out, size);
	(void)ipc_send(server->chan, &out);
	return OK;
}
