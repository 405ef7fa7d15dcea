/* Opening and closing what the keeper holds: lock, keys, audit log, certificate, sockets. */
#include "roles/keeper_int.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "base/time.h"
#include "os/fd.h"
#include "os/spawn.h"
#include "os/tty.h"

/* ---- keys ---- */

static enum err read_passphrase(
	const struct keeper *k, const char *prompt, struct buf *out, struct err_info *info)
{
	if (!k->config.passphrase_file[0]) {
		enum err e = tty_ask_secret(prompt, out);
		if (e)
			err_hint(info,
				"name a file with --passphrase-file, or start it on a terminal");
		return e ? err_set(info, e,
				   "a passphrase is needed, and there is no terminal to ask on")
			 : OK;
	}
	enum err e = file_read(k->config.passphrase_file, out);
	if (e)
		return err_set(info, e, "cannot read the passphrase file");
	while (out->len && (out->ptr[out->len - 1] == '\n' || out->ptr[out->len - 1] == '\r'))
		buf_cut(out, out->len - 1);
	return OK;
}

static enum err ask_twice(const struct keeper *k, struct buf *pass, struct err_info *info)
{
	TRY(read_passphrase(k, "New passphrase for the vault: ", pass, info));
	if (k->config.passphrase_file[0])
		return OK;
	AUTO_SECRET_BUF struct buf again = BUF(LIMIT_PASSWORD);
	TRY(read_passphrase(k, "The same once more: ", &again, info));
	if (!str_eq(buf_str(pass), buf_str(&again)))
		return err_set(info, ERR_INVALID, "the two passphrases differ");
	return OK;
}

static enum err new_keys(
	struct keeper *k, struct key_source *s, struct buf *pass, struct err_info *info)
{
	if (!strcmp(k->config.key, "passphrase")) {
		TRY(ask_twice(k, pass, info));
		s->passphrase = buf_str(pass);
		if (s->passphrase.len < 10)
			return err_set(
				info, ERR_INVALID, "the passphrase needs at least 10 characters");
	}
	if (strcmp(k->config.key, "tpm"))
		s->credentials_dir = "";
	return keyring_create(k->dir, s, &k->keys, info);
}

static enum err old_keys(
	struct keeper *k, struct key_source *s, struct buf *pass, struct err_info *info)
{
	bool passphrase = !strcmp(k->config.key, "passphrase") || k->config.passphrase_file[0];
	if (!passphrase) {
		enum err e = keyring_open(k->dir, s, &k->keys, info);
		if (e != ERR_KEY || strcmp(k->config.key, "auto"))
			return e;
		struct err_info nobody = { 0 };
		if (read_passphrase(k, "Passphrase of the vault: ", pass, &nobody))
			return e; /* no terminal: the first answer says it better */
	} else {
		TRY(read_passphrase(k, "Passphrase of the vault: ", pass, info));
	}
	s->passphrase = buf_str(pass);
	return keyring_open(k->dir, s, &k->keys, info);
}

static enum err open_keys(struct keeper *k, struct err_info *info)
{
	AUTO_SECRET_BUF struct buf pass = BUF(LIMIT_PASSWORD);
	struct key_source s = { .key_file = k->config.key_file[0] ? k->config.key_file : NULL,
		.strength = 2 };
	char db[4096];
	struct stat st;
	TRY(path_join(db, sizeof db, k->dir, "db/tresor.db"));
	if (keyring_exists(k->dir))
		return old_keys(k, &s, &pass, info);
	if (!stat(db, &st)) {
		(void)err_set(info, ERR_KEY, "the data directory has a database but no keys.json");
		err_hint(info, "put keys.json back, from a backup if need be");
		return ERR_KEY;
	}
	return new_keys(k, &s, &pass, info);
}

/* ---- sockets ---- */

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >>
			       24 ==
		       127;
	return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

/* "HOST:PORT", "[V6]:PORT"; only numbers and localhost, so that no resolver decides where we
 * listen. */
static enum err parse_address(struct str text, struct addrinfo **ret, struct err_info *info)
{
	char host[128], port[8];
	size_t colon = text.len;
	while (colon && text.ptr[colon - 1] != ':')
		colon--;
	struct str h = str_sub(text, 0, colon ? colon - 1 : 0), p = str_sub(text, colon, SIZE_MAX);
	if (h.len > 2 && h.ptr[0] == '[' && h.ptr[h.len - 1] == ']')
		h = str_sub(h, 1, h.len - 2);
	uint64_t number;
	if (!h.len || str_copy(h, host, sizeof host) || str_copy(p, port, sizeof port) ||
		str_to_u64(p, &number) || number > 65535)
		return err_set(info, ERR_INVALID, "\"%.*s\" is not ADDRESS:PORT",
			STR_ARG(str_sub(text, 0, 100)));
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	if (getaddrinfo(strcmp(host, "localhost") ? host : "127.0.0.1", port, &hints, ret))
		return err_set(info, ERR_INVALID,
			"\"%s\" is not an address; --listen takes numbers such as "
			"0.0.0.0 or 192.168.1.5",
			host);
	return OK;
}

/* After a kill -9 the roles of the one before us may hold the port for a moment longer.
 * Returns errno's value, 0 when it listens. */
static int bind_patiently(int fd, const struct addrinfo *a)
{
	enum { TRIES = 20, PAUSE_MS = 50 };
	for (int i = 0;; i++) {
		if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, 1024))
			return 0;
		if (errno != EADDRINUSE || i == TRIES)
			return errno;
		(void)poll(NULL, 0, PAUSE_MS);
	}
}

static enum err listen_one(
	struct keeper *k, const struct addrinfo *a, struct str text, struct err_info *info)
{
	AUTO_FD int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;
	if (fd < 0)
		return err_set(info, err_from_errno(errno), "no socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	int n = bind_patiently(fd, a);
	if (n) {
		(void)err_set(info, err_from_errno(n), "cannot listen on %.*s: %s",
			STR_ARG(str_sub(text, 0, 100)),
			n == EADDRINUSE ? "the port is taken" : strerror(n));
		if (n == EADDRINUSE)
			err_hint(info,
				"choose another port with --listen, or end the program that has "
					"it");
		return err_from_errno(n);
	}
	k->listen_fd[k->n_listen++] = TAKE_FD(fd);
	return OK;
}

static enum err listen_all(struct keeper *k, struct err_info *info)
{
	struct str rest = str_from(k->config.listen), part;
	while (str_next(&rest, ',', &part)) {
		struct addrinfo *a = NULL;
		if (k->n_listen == KEEPER_LISTEN_MAX)
			return err_set(info, ERR_LIMIT, "more than %d addresses to listen on",
				KEEPER_LISTEN_MAX);
		TRY(parse_address(str_trim(part), &a, info));
		if (!is_loopback(a->ai_addr))
			k->tls_needed = true;
		enum err e = listen_one(k, a, str_trim(part), info);
		freeaddrinfo(a);
		TRY(e);
	}
	return k->n_listen ? OK : err_set(info, ERR_INVALID, "no address to listen on");
}

/* DIR/control.sock by way of the folder's descriptor: sun_path is short, data directories are
 * not. */
static enum err listen_local(struct keeper *k, struct err_info *info)
{
	AUTO_FD int dir = -1;
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (fd < 0)
		return err_from_errno(errno);
	TRY(fd_open(k->dir, O_PATH | O_DIRECTORY, 0, &dir));
	(void)unlinkat(dir, "control.sock", 0); /* we hold the lock: it is a dead one */
	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/control.sock", dir);
	mode_t before = umask(0177);
	int bad = bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 128);
	int n = errno;
	umask(before);
	if (bad)
		return err_set(
			info, err_from_errno(n), "cannot make control.sock: %s", strerror(n));
	k->local_fd = TAKE_FD(fd);
	return OK;
}

/* ---- certificate ---- */

/* The names the certificate is for, terminated, in memory of their own. */
struct names {
	const char *at[TLS_NAMES_MAX];
	size_t n, used;
	char text[4 * CONFIG_TEXT];
};

static void add_name(struct names *names, struct str name)
{
	name = str_trim(name);
	if (name.len > 2 && name.ptr[0] == '[')
		name = str_sub(name, 1, name.len - 2);
	if (!name.len || str_eq(name, STR("0.0.0.0")) || str_eq(name, STR("::")) ||
		names->n == TLS_NAMES_MAX || names->used + name.len + 1 > sizeof names->text)
		return;
	for (size_t i = 0; i < names->n; i++)
		if (str_eq(name, str_from(names->at[i])))
			return;
	char *copy = names->text + names->used;
	memcpy(copy, name.ptr, name.len);
	copy[name.len] = '\0';
	names->used += name.len + 1;
	names->at[names->n++] = copy;
}

/* Given names, the addresses listened on, and for our own CA what this machine calls itself. */
static void gather_names(const struct keeper *k, bool own_ca, struct names *names)
{
	struct str hosts = str_from(k->config.hosts), listen = str_from(k->config.listen), part;
	char host[256];
	while (str_next(&hosts, ',', &part))
		add_name(names, part);
	while (str_next(&listen, ',', &part)) {
		size_t colon = part.len;
		while (colon && part.ptr[colon - 1] != ':')
			colon--;
		add_name(names, str_sub(part, 0, colon ? colon - 1 : 0));
	}
	if (!own_ca)
		return; /* a given certificate need not cover what nobody asked for */
	if (!gethostname(host, sizeof host))
		add_name(names, str_from(host));
	add_name(names, STR("localhost"));
	add_name(names, STR("127.0.0.1"));
}

static enum err load_tls(struct keeper *k, struct err_info *info)
{
	struct names names = { .n = 0 };
	struct tls_options o = { .data_dir = k->dir,
		.names = names.at,
		.cert_file = k->config.tls_cert[0] ? k->config.tls_cert : NULL,
		.key_file = k->config.tls_key[0] ? k->config.tls_key : NULL };
	struct tls_pair fresh = { 0 };
	gather_names(k, !o.cert_file, &names);
	o.n_names = names.n;
	keyring_get(k->keys, DATA_KEY_TLS, o.key);
	enum err e = tls_load(&o, &fresh, info);
	wipe(o.key, sizeof o.key);
	if (e)
		return e;
	tls_pair_done(&k->tls);
	k->tls = fresh;
	if (k->tls.expires_soon)
		log_warn("the certificate expires within 30 days");
	if (k->tls.own && k->tls.ca_is_new)
		log_info("new CA", KV_Z("fingerprint", k->tls.fingerprint));
	return OK;
}

/* Reads the certificate again and hands it to the server: connections that are open stay. */
static enum err renew_tls(struct keeper *k, struct err_info *info)
{
	struct child *server = child_find(k, ROLE_SERVER);
	TRY(load_tls(k, info));
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, TLS_NEW, 0);
	ipc_put_str(&m, buf_str(&k->tls.cert_pem));
	ipc_put_str(&m, buf_str(&k->tls.key_pem));
	ipc_put_i64(&m, k->tls.expires_ms);
	return server ? ipc_send(server->chan, &m) : OK;
}

enum err keeper_reload(struct keeper *k, struct err_info *info)
{
	struct config fresh;
	size_t at = 0;
	const char *key;
	config_defaults(&fresh);
	engines_current(k);
	TRY(config_load(&fresh, k->dir, info));
	while ((key = config_needs_restart(&k->file, &fresh, &at)))
		log_warn("changed in tresor.conf, needs a restart", KV_Z("key", key));
	k->file = fresh;
	if (!k->tls_needed)
		return OK;
	if (fresh.hosts[0])
		memcpy(k->config.hosts, fresh.hosts, sizeof fresh.hosts);
	if (fresh.tls_cert[0]) {
		memcpy(k->config.tls_cert, fresh.tls_cert, sizeof fresh.tls_cert);
		memcpy(k->config.tls_key, fresh.tls_key, sizeof fresh.tls_key);
	}
	return renew_tls(k, info);
}

void keeper_tls_daily(struct keeper *k)
{
	struct err_info why = { 0 };
	if (!k->tls_needed || time_mono_ms() < k->next_tls_ms)
		return;
	bool first = !k->next_tls_ms; /* read a moment ago */
	k->next_tls_ms = time_mono_ms() + KEEPER_TLS_EVERY_MS;
	if (!first && renew_tls(k, &why))
		log_error("the certificate cannot be read again; the one before stays in use",
			KV_Z("why", why.detail));
}

/* ---- all of it ---- */

/* A log may be missing until there is a database: also when the very first start was cut short
 * between its keys and its log. */
static enum err open_audit(struct keeper *k, struct err_info *info)
{
	char db[4096];
	TRY(path_join(db, sizeof db, k->dir, "db/tresor.db"));
	struct audit_log_options o = { .data_dir = k->dir, .create = access(db, F_OK) != 0 };
	keyring_get(k->keys, DATA_KEY_AUDIT, o.key);
	enum err e = audit_log_open(&o, &k->audit, info);
	wipe(o.key, sizeof o.key);
	return e;
}

enum err keeper_open(struct keeper *k, struct err_info *info)
{
	char path[4096];
	long holder = 0;
	enum err e = dir_make(k->dir, 0700);
	if (e)
		return err_set(info, e, "cannot make the data directory %s", k->dir);
	TRY(path_join(path, sizeof path, k->dir, "lock"));
	e = file_lock(path, &k->lock_fd, &holder);
	if (e == ERR_LOCKED)
		return err_set(info, e, "process %ld uses this data directory", holder);
	if (e)
		return err_set(info, e, "cannot lock the data directory");
	config_defaults(&k->file);
	TRY(config_load(&k->file, k->dir, info));
	TRY(open_keys(k, info));
	TRY(open_audit(k, info));
	TRY(blobdir_open(k->dir, &k->blobs));
	TRY(builds_of(spawn_module_dir(), &k->builds));
	engines_current(k);
	if (!k->config.local_only) {
		TRY(listen_all(k, info));
		if (k->tls_needed)
			TRY(load_tls(k, info));
	}
	return listen_local(k, info);
}

void keeper_close(struct keeper *k)
{
	for (unsigned i = 0; i < k->n_listen; i++)
		close(k->listen_fd[i]);
	if (k->local_fd >= 0) {
		char path[4096];
		close(k->local_fd);
		if (!path_join(path, sizeof path, k->dir, "control.sock"))
			(void)unlink(path);
	}
	audit_log_close(k->audit);
	blobdir_free(k->blobs);
	builds_free(k->builds);
	if (k->cores)
		close(k->cores_fd);
	cores_free(k->cores);
	others_free(k->others);
	keyring_free(k->keys);
	tls_pair_done(&k->tls);
	if (k->signal_fd >= 0)
		close(k->signal_fd);
	if (k->lock_fd >= 0)
		close(k->lock_fd);
}
