#include "proto/keeper.h"

enum { PEM_MAX = 256 * 1024, CONFIG_MAX = 256 * 1024, PATH_LEN_MAX = 4096, LISTEN_MAX = 8 };

static struct str get_text(struct ipc_in *m, size_t max)
{
	struct str s = ipc_get_str(m);
	ipc_want(m, s.len <= max);
	return s;
}

static void put_key(struct ipc_out *m, const uint8_t key[KEY_LEN])
{
	ipc_put_str(m, (struct str){ (const char *)key, KEY_LEN });
}

static void get_key(struct ipc_in *m, uint8_t key[KEY_LEN])
{
	struct str s = ipc_get_str(m);
	ipc_want(m, s.len == KEY_LEN);
	if (s.len == KEY_LEN)
		memcpy(key, s.ptr, KEY_LEN);
}

void server_hello_put(struct ipc_out *m, struct server_hello *v)
{
	ipc_put_str(m, v->data_dir);
	ipc_put_str(m, v->config);
	ipc_put_str(m, v->tls_cert);
	ipc_put_str(m, v->tls_key);
	put_key(m, v->page_key);
	put_key(m, v->blob_key);
	put_key(m, v->name_key);
	ipc_put_u64(m, v->n_listen);
	for (unsigned i = 0; i < v->n_listen && i < LISTEN_MAX; i++) {
		ipc_put_fd(m, v->listen_fd[i]);
		v->listen_fd[i] = -1;
	}
	ipc_put_bool(m, v->local_fd >= 0);
	if (v->local_fd >= 0)
		ipc_put_fd(m, v->local_fd);
	v->local_fd = -1;
	v->n_listen = 0;
}

enum err server_hello_get(struct ipc_in *m, struct server_hello *v)
{
	struct server_hello got = { .local_fd = -1 };
	got.data_dir = get_text(m, PATH_LEN_MAX);
	got.config = get_text(m, CONFIG_MAX);
	got.tls_cert = get_text(m, PEM_MAX);
	got.tls_key = get_text(m, PEM_MAX);
	get_key(m, got.page_key);
	get_key(m, got.blob_key);
	get_key(m, got.name_key);
	uint64_t n = ipc_get_u64(m);
	ipc_want(m, n <= LISTEN_MAX);
	for (size_t i = 0; i < LISTEN_MAX; i++)
		got.listen_fd[i] = -1;
	for (; got.n_listen < n && !m->err; got.n_listen++)
		got.listen_fd[got.n_listen] = ipc_get_fd(m);
	if (ipc_get_bool(m))
		got.local_fd = ipc_get_fd(m);
	enum err e = ipc_end(m);
	if (e) {
		for (size_t i = 0; i < LISTEN_MAX; i++)
			if (got.listen_fd[i] >= 0)
				(void)close(got.listen_fd[i]);
		if (got.local_fd >= 0)
			(void)close(got.local_fd);
		wipe(&got, sizeof got);
		return e;
	}
	*v = got;
	wipe(&got, sizeof got);
	return OK;
}

void attach_put(struct ipc_out *m, enum role peer, int fd)
{
	ipc_put_u64(m, peer);
	ipc_put_fd(m, fd);
}

enum err attach_get(struct ipc_in *m, enum role *peer, int *ret_fd)
{
	uint64_t role = ipc_get_u64(m);
	ipc_want(m, role <= ROLE_JAIL);
	int fd = ipc_get_fd(m);
	enum err e = ipc_end(m);
	if (e) {
		if (fd >= 0)
			(void)close(fd);
		return e;
	}
	*peer = (enum role)role;
	*ret_fd = fd;
	return OK;
}

void answer_put(struct ipc_out *m, enum err code, struct str detail)
{
	ipc_put_u64(m, code);
	ipc_put_str(m, detail);
}

enum err answer_get(struct ipc_in *m, enum err *code, struct str *detail)
{
	uint64_t c = ipc_get_u64(m);
	ipc_want(m, c < ERR_COUNT_);
	struct str text = get_text(m, ERR_DETAIL_MAX);
	if (m->err)
		return m->err;
	*code = (enum err)c;
	*detail = text;
	return OK;
}
