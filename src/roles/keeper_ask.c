/* The requests of the server, one function each, found by table. */
#include "roles/keeper_int.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "models/starter.h"
#include "proto/egress.h"
#include "roles/jail.h"

typedef enum err (*ask_fn)(struct keeper *k, struct child *server, struct ipc_in *m);

void answer_error(struct child *to, uint64_t id, enum err e, const char *detail)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ANSWER, id);
	answer_put(&m, e, str_from(detail));
	(void)ipc_send(to->chan, &m); /* a server that is gone needs no answer */
}

static enum err answer_plain(struct child *server, uint64_t id, enum err e)
{
	answer_error(server, id, e, e ? err_text(e) : "");
	return OK;
}

static enum err ask_engine(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct err_info why = { 0 };
	struct engine_wish w = { .cpu_less = 0 };
	char known[65];
	struct str d = ipc_get_str(m), projector = ipc_get_str(m), engine = ipc_get_str(m);
	w.cpu_less = ipc_get_u64(m);
	engine_params_get(m, &w.load);
	adapters_get(m, &w.adapters);
	TRY(ipc_end(m));
	if (str_copy(d, w.digest, sizeof w.digest) ||
		str_copy(projector, w.projector, sizeof w.projector) ||
		str_copy(engine, w.engine, sizeof w.engine))
		return ERR_PROTOCOL;
	if (w.adapters.n) { /* what it reads lies in a file of this name */
		adapters_identity(&w.adapters, known);
		if (strcmp(known, w.digest) != 0)
			return ERR_PROTOCOL;
	}
	enum err e = engine_start(k, m->id, &w, &why);
	if (e)
		answer_error(server, m->id, e, why.detail);
	return OK;
}

static enum err ask_engine_stop(struct keeper *k, struct child *server, struct ipc_in *m)
{
	uint64_t id = ipc_get_u64(m);
	TRY(ipc_end(m));
	struct child *c = child_engine(k, id);
	if (c)
		child_kill(k, c);
	return answer_plain(server, m->id, c ? OK : ERR_NOT_FOUND);
}

static enum err answer_str(struct child *server, uint64_t id, enum err e, struct str s)
{
	if (e)
		return answer_plain(server, id, e);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_str(&out, s);
	(void)ipc_send(server->chan, &out);
	return OK;
}

/* Sends the descriptors (taken; -1 ends the list) with an OK. */
static enum err answer_fds(struct child *server, uint64_t id, int a, int b)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ANSWER, id);
	answer_put(&m, OK, STR_NONE);
	ipc_put_fd(&m, a);
	if (b >= 0)
		ipc_put_fd(&m, b);
	(void)ipc_send(server->chan, &m);
	return OK;
}

/* The writer's three descriptors: source of bytes (a sink's reading end or a file), partial file,
 * journal. `source` is taken. */
enum err start_writer(struct keeper *k, uint64_t kind, struct str digest, uint64_t size,
	int source, int *ret_channel, struct err_info *info)
{
	int files[3] = { source, -1, -1 };
	enum err e = blobdir_stage(k->blobs, digest, size, &files[1], &files[2], info);
	if (e) {
		close(source);
		return e;
	}
	struct jail_wish w = { .kind = kind, .digest = digest, .size = size };
	return jail_start(k, &w, files, 3, ret_channel);
}

static enum err ask_stage(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m);
	uint64_t size = ipc_get_u64(m);
	TRY(ipc_end(m));
	struct err_info why = { 0 };
	int channel = -1, pair[2];
	enum err e = ipc_pair(pair);
	if (e)
		return answer_plain(server, m->id, e);
	e = start_writer(k, JAIL_WRITER, digest, size, pair[0], &channel, &why);
	if (!e)
		return answer_fds(server, m->id, channel, pair[1]);
	close(pair[1]);
	answer_error(server, m->id, e, why.detail[0] ? why.detail : err_text(e));
	return OK;
}

static enum err ask_stage_local(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str name = ipc_get_str(m);
	TRY(ipc_end(m));
	const struct starter *s = starter_find(name);
	struct err_info why = { 0 };
	int channel = -1, source = -1;
	enum err e = s ? starter_open(s, &source) : ERR_NOT_FOUND;
	if (e)
		(void)err_set(&why, e, "the starter model is not installed on this machine");
	else
		e = start_writer(
			k, JAIL_COPY, str_from(s->digest), s->size, source, &channel, &why);
	if (!e)
		return answer_fds(server, m->id, channel, -1);
	answer_error(server, m->id, e, why.detail[0] ? why.detail : err_text(e));
	return OK;
}

/* Starts a job that reads one file (taken) and answers with its channel. */
static enum err start_reader(
	struct keeper *k, struct child *server, uint64_t id, const struct jail_wish *w, int file)
{
	int channel = -1;
	enum err e = jail_start(k, w, &file, 1, &channel);
	return e ? answer_plain(server, id, e) : answer_fds(server, id, channel, -1);
}

static enum err read_header(struct keeper *k, struct child *server, const struct ipc_in *m,
	struct str digest, enum jail_kind job)
{
	int file = -1;
	struct jail_wish w = { .kind = job, .digest = digest };
	enum err e = blobdir_get(k->blobs, digest, &file, &w.size);
	return e ? answer_plain(server, m->id, e) : start_reader(k, server, m->id, &w, file);
}

static enum err ask_gguf(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m);
	TRY(ipc_end(m));
	return read_header(k, server, m, digest, JAIL_GGUF);
}

static enum err ask_describe(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m);
	bool lists = ipc_get_bool(m);
	TRY(ipc_end(m));
	return read_header(k, server, m, digest, lists ? JAIL_DESCRIBE_LISTS : JAIL_DESCRIBE);
}

/* The bytes are only passed on: the keeper reads none of them. */
static enum err ask_image(struct keeper *k, struct child *server, struct ipc_in *m)
{
	int file = ipc_get_fd(m);
	struct jail_wish w = { .kind = JAIL_IMAGE, .digest = STR("") };
	enum err e = ipc_end(m);
	if (e) {
		if (file >= 0)
			close(file);
		return e;
	}
	return start_reader(k, server, m->id, &w, file);
}

/* A blob is committed only after its writer ended well; one that is still ending is waited for. */
static enum err ask_commit(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m);
	TRY(ipc_end(m));
	for (struct child *c = k->children; c; c = c->next)
		if (c->role == ROLE_JAIL && c->writes && str_eq(digest, str_from(c->digest))) {
			c->ask_id = m->id;
			return OK;
		}
	return answer_plain(server, m->id,
		writer_was_whole(k, digest) ? blobdir_commit(k->blobs, digest) : ERR_CONFLICT);
}

static enum err ask_blobs(struct keeper *k, struct child *server, struct ipc_in *m)
{
	TRY(ipc_end(m));
	AUTO_BUF struct buf list = BUF(LIMIT_IPC_BULK);
	enum err e = blobdir_pack(k->blobs, &list);
	return answer_str(server, m->id, e, buf_str(&list));
}

/* The descriptor's place is where the job begins: it reads on from there. */
static enum err open_part(
	struct keeper *k, struct str digest, uint64_t from, uint64_t to, int *ret_file)
{
	AUTO_FD int file = -1;
	uint64_t size = 0;
	TRY(blobdir_get(k->blobs, digest, &file, &size));
	if (from > to || to > size || to > INT64_MAX)
		return ERR_INVALID;
	if (lseek(file, (off_t)from, SEEK_SET) < 0)
		return ERR_IO;
	*ret_file = TAKE_FD(file);
	return OK;
}

static enum err ask_read(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m);
	uint64_t from = ipc_get_u64(m), to = ipc_get_u64(m);
	TRY(ipc_end(m));
	int file = -1, pair[2] = { -1, -1 }, channel = -1;
	enum err e = open_part(k, digest, from, to, &file);
	if (!e && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		e = ERR_IO;
	if (e) {
		if (file >= 0)
			close(file);
		return answer_plain(server, m->id, e);
	}
	struct jail_wish w = { .kind = JAIL_READER, .digest = digest, .size = to - from };
	e = jail_start(k, &w, (int[]){ file, pair[0] }, 2, &channel);
	if (!e) {
		close(channel); /* the bytes say all */
		return answer_fds(server, m->id, pair[1], -1);
	}
	close(pair[1]);
	return answer_plain(server, m->id, e);
}

/* ---- log-ins at registries ---- */

enum { LOGIN_MAX = 500 };

static void login_place(struct str host, uint64_t port, char ret[300])
{
	snprintf(ret, 300, "registry %.*s:%llu", (int)(host.len < 256 ? host.len : 256), host.ptr,
		(unsigned long long)port);
}

/* user, zero byte, password: sealed for this host and port, so a row moved elsewhere opens
 * nothing. */
static enum err ask_login_seal(struct keeper *k, struct child *server, struct ipc_in *m)
{
	char place[300];
	uint8_t key[KEY_LEN];
	AUTO_SECRET_BUF struct buf plain = BUF(LOGIN_MAX);
	AUTO_BUF struct buf sealed = BUF(LOGIN_MAX + SEAL_EXTRA);
	struct str host = ipc_get_str(m);
	uint64_t port = ipc_get_u64(m);
	struct str user = ipc_get_str(m), password = ipc_get_str(m);
	TRY(ipc_end(m));
	login_place(host, port, place);
	enum err e = buf_add(&plain, user);
	if (!e)
		e = buf_add_byte(&plain, '\0');
	if (!e)
		e = buf_add(&plain, password);
	keyring_get(k->keys, DATA_KEY_CREDENTIAL, key);
	if (!e)
		e = seal(key, str_from(place), buf_str(&plain), &sealed);
	wipe(key, sizeof key);
	return answer_str(server, m->id, e, buf_str(&sealed));
}

static enum err tell_egress(struct keeper *k, struct str host, uint64_t port, struct str plain,
	uint64_t *ret_number)
{
	struct child *egress = child_find(k, ROLE_EGRESS);
	size_t zero = str_find_byte(plain, '\0', 0);
	struct egress_login l = { .number = k->next_login + 1,
		.host = host,
		.port = (uint16_t)port,
		.user = str_sub(plain, 0, zero),
		.password = str_sub(plain, zero + 1, plain.len) };
	AUTO_IPC_OUT struct ipc_out out;
	if (!egress || zero == SIZE_MAX)
		return egress ? ERR_CORRUPT : ERR_AGAIN;
	ipc_out_init(&out, EGRESS_LOGIN, 0);
	egress_login_put(&out, &l);
	enum err e = ipc_send(egress->chan, &out);
	if (!e)
		*ret_number = ++k->next_login;
	return e;
}

static enum err ask_login_use(struct keeper *k, struct child *server, struct ipc_in *m)
{
	char place[300];
	uint8_t key[KEY_LEN];
	uint64_t number = 0;
	AUTO_SECRET_BUF struct buf plain = BUF(LOGIN_MAX);
	struct str host = ipc_get_str(m);
	uint64_t port = ipc_get_u64(m);
	struct str sealed = ipc_get_str(m);
	TRY(ipc_end(m));
	login_place(host, port, place);
	keyring_get(k->keys, DATA_KEY_CREDENTIAL, key);
	enum err e = unseal(key, str_from(place), sealed, &plain);
	wipe(key, sizeof key);
	if (!e)
		e = tell_egress(k, host, port, buf_str(&plain), &number);
	if (e)
		return answer_plain(server, m->id, e);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_u64(&out, number);
	(void)ipc_send(server->chan, &out);
	return OK;
}

static enum err ask_bundle_sign(struct keeper *k, struct child *server, struct ipc_in *m)
{
	uint8_t key[SIGN_KEY_LEN], signature[SIGN_LEN];
	struct str hash = ipc_get_str(m);
	TRY(ipc_end(m));
	if (hash.len != SHA256_LEN)
		return ERR_PROTOCOL;
	keyring_bundle_sign(k->keys, hash, key, signature);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_str(&out, (struct str){ (const char *)key, sizeof key });
	ipc_put_str(&out, (struct str){ (const char *)signature, sizeof signature });
	(void)ipc_send(server->chan, &out);
	return OK;
}

static enum err ask_delete(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str digest = ipc_get_str(m);
	TRY(ipc_end(m));
	enum err e = blobdir_delete(k->blobs, digest);
	return answer_plain(server, m->id, e ? e : cache_delete(k, digest));
}

static enum err ask_cache_purge(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct engine_purge p;
	TRY(engine_purge_get(m, &p));
	return answer_plain(server, m->id, cache_purge(k, &p));
}

static enum err ask_cache(struct keeper *k, struct child *server, struct ipc_in *m)
{
	uint64_t files = 0, bytes = 0;
	TRY(ipc_end(m));
	enum err e = cache_usage(k, &files, &bytes);
	if (e)
		return answer_plain(server, m->id, e);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_u64(&out, files);
	ipc_put_u64(&out, bytes);
	ipc_put_u64(&out, (uint64_t)k->config.disk_cache_mib << 20);
	(void)ipc_send(server->chan, &out);
	return OK;
}

static enum err ask_builds(struct keeper *k, struct child *server, struct ipc_in *m)
{
	bool fresh = ipc_get_bool(m);
	TRY(ipc_end(m));
	AUTO_MEM struct build *list = mem_zalloc(BUILDS_MAX, sizeof *list);
	if (!list)
		return answer_plain(server, m->id, ERR_NOMEM);
	size_t n = builds_list(k->builds, fresh, list, BUILDS_MAX);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	for (size_t i = 0; i < n; i++) {
		ipc_put_str(&out, str_from(list[i].id));
		ipc_put_str(&out, str_from(list[i].version));
		ipc_put_str(&out, str_from(list[i].tree));
		ipc_put_str(&out, str_from(list[i].variant));
		ipc_put_u64(&out, list[i].proto);
		ipc_put_bool(&out, !strcmp(list[i].id, k->current));
		ipc_put_u64(&out, list[i].err);
		ipc_put_str(&out, str_from(list[i].why));
	}
	(void)ipc_send(server->chan, &out);
	return OK;
}

static enum err ask_audit(struct keeper *k, struct child *server, struct ipc_in *m)
{
	uint64_t n = ipc_get_u64(m), first = 0;
	if (n > AUDIT_BATCH_MAX)
		return ERR_PROTOCOL;
	struct str events[AUDIT_BATCH_MAX];
	for (uint64_t i = 0; i < n; i++)
		events[i] = ipc_get_str(m);
	TRY(ipc_end(m));
	enum err e = audit_log_reopen(k->audit, NULL); /* goes on when the disk has room again */
	if (!e)
		e = audit_log_append(k->audit, events, (size_t)n, &first);
	if (e)
		return answer_plain(server, m->id, e);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_u64(&out, first);
	(void)ipc_send(server->chan, &out);
	return OK;
}

/* ERR_AGAIN: the message is full; the reader asks again from the last one it got. */
static enum err add_entry(void *arg, uint64_t seq, int64_t at_ms, struct str event)
{
	struct ipc_out *out = arg;
	if (out->data.len + event.len + 256 > LIMIT_IPC_MESSAGE)
		return ERR_AGAIN;
	ipc_put_u64(out, seq);
	ipc_put_i64(out, at_ms);
	ipc_put_str(out, event);
	return out->err;
}

static enum err ask_audit_read(struct keeper *k, struct child *server, struct ipc_in *m)
{
	uint64_t before = ipc_get_u64(m), count = ipc_get_u64(m);
	TRY(ipc_end(m));
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	enum err e = audit_log_read(
		k->audit, before, count < 100 ? (size_t)count : 100, add_entry, &out);
	if (e && e != ERR_AGAIN)
		return answer_plain(server, m->id, e);
	(void)ipc_send(server->chan, &out);
	return OK;
}

static enum err ask_audit_verify(struct keeper *k, struct child *server, struct ipc_in *m)
{
	TRY(ipc_end(m));
	uint64_t records = 0;
	AUTO_BUF struct buf report = BUF(4096);
	uint8_t key[KEY_LEN];
	keyring_get(k->keys, DATA_KEY_AUDIT, key);
	enum err e = audit_log_verify(k->dir, key, &records, &report);
	wipe(key, sizeof key);
	if (e && e != ERR_CORRUPT)
		return answer_plain(server, m->id, e);
	AUTO_IPC_OUT struct ipc_out out;
	ipc_out_init(&out, ANSWER, m->id);
	answer_put(&out, OK, STR_NONE);
	ipc_put_bool(&out, !e);
	ipc_put_u64(&out, records);
	ipc_put_str(&out, buf_str(&report));
	(void)ipc_send(server->chan, &out);
	return OK;
}

static enum err ask_sign(struct keeper *k, struct child *server, struct ipc_in *m)
{
	struct str bytes = ipc_get_str(m);
	TRY(ipc_end(m));
	uint8_t mac[SHA256_LEN];
	keyring_sign(k->keys, bytes, mac);
	return answer_str(server, m->id, OK, (struct str){ (const char *)mac, sizeof mac });
}

static enum err ask_key_info(struct keeper *k, struct child *server, struct ipc_in *m)
{
	TRY(ipc_end(m));
	AUTO_BUF struct buf json = BUF(1024);
	enum err e = keyring_info_json(k->keys, &json);
	return answer_str(server, m->id, e, buf_str(&json));
}

static enum err ask_recovery(struct keeper *k, struct child *server, struct ipc_in *m)
{
	TRY(ipc_end(m));
	char code[RECOVERY_CODE_LEN + 1] = "";
	enum err e = keyring_add_recovery(k->keys, code, NULL);
	(void)answer_str(server, m->id, e, str_from(code));
	wipe(code, sizeof code);
	return OK;
}

static const struct {
	uint16_t type;
	ask_fn fn;
} asks[] = {
	{ ASK_ENGINE, ask_engine },
	{ ASK_ENGINE_STOP, ask_engine_stop },
	{ ASK_STAGE, ask_stage },
	{ ASK_STAGE_LOCAL, ask_stage_local },
	{ ASK_COMMIT, ask_commit },
	{ ASK_DELETE, ask_delete },
	{ ASK_GGUF, ask_gguf },
	{ ASK_DESCRIBE, ask_describe },
	{ ASK_IMAGE, ask_image },
	{ ASK_BLOBS, ask_blobs },
	{ ASK_READ, ask_read },
	{ ASK_LOGIN_SEAL, ask_login_seal },
	{ ASK_LOGIN_USE, ask_login_use },
	{ ASK_BUNDLE_SIGN, ask_bundle_sign },
	{ ASK_MAKE, ask_make },
	{ ASK_MADE, ask_made },
	{ ASK_UNMAKE, ask_unmake },
	{ ASK_SHARE, ask_share },
	{ ASK_STAGE_FILE, ask_stage_file },
	{ ASK_AUDIT, ask_audit },
	{ ASK_AUDIT_READ, ask_audit_read },
	{ ASK_AUDIT_VERIFY, ask_audit_verify },
	{ ASK_SIGN, ask_sign },
	{ ASK_KEY_INFO, ask_key_info },
	{ ASK_RECOVERY, ask_recovery },
	{ ASK_CACHE_PURGE, ask_cache_purge },
	{ ASK_CACHE, ask_cache },
	{ ASK_BUILDS, ask_builds },
};

enum err keeper_ask(struct keeper *k, struct child *server, struct ipc_in *m)
{
	for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
		if (asks[i].type == m->type)
			return asks[i].fn(k, server, m);
	return ERR_PROTOCOL;
}
