/* States: LOCKED (sandboxed, no server) -> ATTACHED (a server's channel, no policy yet:
 * everything is
 * refused) -> SERVING. A new ATTACH goes back to ATTACHED and ends what ran for the old server. */
#include "net/egress.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/time.h"
#include "net/fetch.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "proto/keeper.h"

enum {
	TICK_MS = 250,
	CA_MAX = 4 * 1024 * 1024, /* bytes of all trusted certificates */
	MEMORY_MAX =
		1024 * 1024 * 1024, /* address space: 64 transfers with their threads' stacks */
};

/* A log-in that the keeper unsealed for one errand. */
struct login {
	uint64_t number;
	char host[URL_HOST_MAX + 1];
	uint16_t port;
	char pair[512]; /* "user:password" */
};

struct egress {
	struct ipc *keeper, *server;
	struct allow *allow;
	bool have_policy, ending;
	struct proxy proxy;
	char ca_path[64];
	int ca_fd;
	struct fetch_env env;
	struct fetch *fetch[EGRESS_FETCHES_MAX];
	size_t n;
	struct login login[EGRESS_LOGINS_MAX]; /* ring */
	size_t n_logins; /* ever put in */
};

/* ---- trusted certificates ---- */
static enum err add_file(const char *path, struct buf *pem)
{
	AUTO_BUF struct buf one = BUF(CA_MAX);
	TRY(file_read(path, &one));
	TRY(buf_add(pem, buf_str(&one)));
	return buf_add_byte(pem, '\n');
}

/* The system's list and the company's in one sealed memory file: libcurl's GnuTLS takes one file.
 * */
static enum err load_ca(struct egress *g)
{
	static const char *const systems[] = { "/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };
	AUTO_BUF struct buf pem = BUF(CA_MAX);
	const char *all = getenv("SSL_CERT_FILE"), *company = getenv("TRESOR_CA_FILE");
	for (size_t i = 0; i < sizeof systems / sizeof *systems && !all && !pem.len; i++)
		if (add_file(systems[i], &pem))
			buf_clear(&pem);
	if (all && *all && add_file(all, &pem))
		log_warn("SSL_CERT_FILE cannot be read", KV_Z("file", all));
	if (company && *company && add_file(company, &pem))
		log_warn("TRESOR_CA_FILE cannot be read", KV_Z("file", company));
	if (!pem.len)
		return OK; /* no list: every encrypted connection will fail and say why */
	TRY(fd_memfd("ca", buf_str(&pem), &g->ca_fd));
	(void)snprintf(g->ca_path, sizeof g->ca_path, "/proc/self/fd/%d", g->ca_fd);
	return OK;
}

/* ---- getting ready ---- */
static enum err enter(struct egress *g)
{
	static const struct sandbox_path paths[] = {
		{ "/etc/resolv.conf", SANDBOX_READ },
		{ "/run/systemd/resolve", SANDBOX_READ },
		{ "/run/resolvconf", SANDBOX_READ },
		{ "/run/NetworkManager", SANDBOX_READ },
		{ "/etc/hosts", SANDBOX_READ },
		{ "/etc/host.conf", SANDBOX_READ },
		{ "/etc/nsswitch.conf", SANDBOX_READ },
		{ "/etc/gai.conf", SANDBOX_READ },
		{ "/etc/services", SANDBOX_READ },
		{ "/etc/localtime", SANDBOX_READ },
		{ "/usr/share/zoneinfo", SANDBOX_READ },
		{ "/usr/lib", SANDBOX_READ | SANDBOX_EXEC },
		{ "/lib", SANDBOX_READ | SANDBOX_EXEC },
		{ "/lib64", SANDBOX_READ | SANDBOX_EXEC },
		{ "/etc/ld.so.cache", SANDBOX_READ },
	};
	const struct sandbox_limits limits = { .memory_bytes = MEMORY_MAX, .open_files = 512 };
	struct addrinfo *warm = NULL;
	proxy_from_env(&g->proxy);
	TRY(load_ca(g));
	TRY(sandbox_enter(SANDBOX_EGRESS, paths, sizeof paths / sizeof *paths, &limits));
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return ERR_NOMEM;
	/* Name service modules are loaded at the first question: ask one while they still can be.
	 * */
	if (!getaddrinfo("localhost", NULL, NULL, &warm))
		freeaddrinfo(warm);
	g->env.multi = curl_multi_init();
	if (!g->env.multi)
		return ERR_NOMEM;
	return sandbox_lock(SANDBOX_EGRESS);
}

static enum err say_ready(struct egress *g, enum err e)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, e ? REFUSED : READY, 0);
	if (e)
		ipc_put_str(&m, str_from(err_text(e)));
	TRY(ipc_send(g->keeper, &m));
	return ipc_drain(g->keeper, 5000);
}

/* ---- transfers ---- */
static void drop(struct egress *g, size_t i)
{
	g->fetch[i] = fetch_free(g->fetch[i]);
	g->fetch[i] = g->fetch[--g->n];
}

static void drop_all(struct egress *g)
{
	while (g->n)
		drop(g, 0);
}

static void drop_server(struct egress *g)
{
	drop_all(g);
	g->server = g->env.server = ipc_free(g->server);
	g->have_policy = false;
	wipe(g->login, sizeof g->login);
}

static size_t find(const struct egress *g, const struct fetch *f)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->fetch[i] == f)
			return i;
	return SIZE_MAX;
}

static void end_transfers(struct egress *g)
{
	struct CURLMsg *msg;
	int left;
	while ((msg = curl_multi_info_read(g->env.multi, &left))) {
		char *p = NULL;
		if (msg->msg != CURLMSG_DONE ||
			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &p) != CURLE_OK)
			continue;
		struct fetch *f = (struct fetch *)(void *)p;
		CURLcode code = msg->data.result;
		size_t i = find(g, f);
		if (i != SIZE_MAX && fetch_over(f, code))
			drop(g, i);
	}
}

static void refuse(struct egress *g, uint64_t id, enum err e, const char *why)
{
	struct ipc_out m;
	ipc_out_init(&m, EGRESS_FAILED, id);
	egress_failed_put(&m, &(struct egress_failed){ e, str_from(why), 0 });
	(void)ipc_send(g->server, &m);
	ipc_out_done(&m);
}

/* ---- log-ins ---- */
static struct login *find_login(struct egress *g, uint64_t number)
{
	for (size_t i = 0; i < EGRESS_LOGINS_MAX; i++)
		if (g->login[i].number == number)
			return &g->login[i];
	return NULL;
}

/* For its own host; or, encrypted, for the place where that host says that tokens are given. */
static const char *login_for(void *arg, uint64_t number, const struct url *u)
{
	const struct login *l = find_login(arg, number);
	if (!l)
		return NULL;
	bool own = !strcmp(l->host, u->host) && l->port == u->port;
	return own || u->https ? l->pair : NULL;
}

static enum err on_login(struct egress *g, struct ipc_in *m)
{
	struct egress_login in;
	struct login *l = &g->login[g->n_logins % EGRESS_LOGINS_MAX];
	TRY(egress_login_get(m, &in));
	if (in.user.len + 1 + in.password.len >= sizeof l->pair ||
		str_copy(in.host, l->host, sizeof l->host))
		return ERR_PROTOCOL;
	l->number = in.number;
	l->port = in.port;
	(void)snprintf(l->pair, sizeof l->pair, "%.*s:%.*s", STR_ARG(in.user),
		STR_ARG(in.password));
	g->n_logins++;
	return OK;
}

/* ---- the keeper ---- */
static enum err on_attach(struct egress *g, struct ipc_in *m)
{
	enum role peer;
	AUTO_FD int fd = -1;
	TRY(attach_get(m, &peer, &fd));
	if (peer != ROLE_SERVER)
		return ERR_PROTOCOL;
	drop_server(g);
	TRY(ipc_new(TAKE_FD(fd), &g->server));
	g->env.server = g->server;
	return OK;
}

static enum err from_keeper(struct egress *g)
{
	for (;;) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		enum err e = ipc_recv(g->keeper, &m);
		if (e)
			return e == ERR_AGAIN ? OK : e;
		if (m.type == ATTACH) {
			TRY(on_attach(g, &m));
		} else if (m.type == EGRESS_LOGIN) {
			TRY(on_login(g, &m));
		} else if (m.type == SHUTDOWN) {
			g->ending = true;
			return OK;
		} else {
			return ERR_PROTOCOL;
		}
	}
}

/* ---- messages ---- */
static enum err on_policy(struct egress *g, struct ipc_in *m)
{
	AUTO_MEM struct egress_policy_entry *e = mem_zalloc(ALLOW_MAX, sizeof *e);
	size_t n;
	if (!e)
		return ERR_NOMEM;
	TRY(egress_policy_get(m, e, ALLOW_MAX, &n));
	g->allow->n = 0;
	g->have_policy = true;
	for (size_t i = 0; i < n; i++) {
		TRY(allow_add(g->allow, e[i].host, e[i].port, e[i].plain));
		if (e[i].push)
			TRY(allow_add_push(g->allow, e[i].host, e[i].port));
	}
	return OK;
}

static enum err on_fetch(struct egress *g, struct ipc_in *m)
{
	struct egress_fetch q = { .sink_fd = -1, .source_fd = -1 };
	uint64_t id = m->id;
	TRY(egress_fetch_get(m, &q));
	if (q.login && !find_login(g, q.login))
		TRY(from_keeper(g)); /* it was sent before, by another channel */
	struct fetch *f = NULL;
	if (!g->have_policy || g->n == EGRESS_FETCHES_MAX) {
		if (q.sink_fd >= 0)
			(void)close(q.sink_fd);
		if (q.source_fd >= 0)
			(void)close(q.source_fd);
		if (g->have_policy)
			refuse(g, id, ERR_BUSY, "too many transfers at once");
		else
			refuse(g, id, ERR_EGRESS, "no list of allowed addresses yet");
		return OK;
	}
	if (!fetch_start(&g->env, id, &q, &f)) /* else it told the server already */
		g->fetch[g->n++] = f;
	return OK;
}

static enum err on_cancel(struct egress *g, struct ipc_in *m)
{
	uint64_t id = m->id;
	TRY(ipc_end(m));
	for (size_t i = 0; i < g->n; i++) {
		if (fetch_id(g->fetch[i]) != id)
			continue;
		fetch_fail(g->fetch[i], ERR_CANCELLED, err_text(ERR_CANCELLED));
		drop(g, i);
		break;
	}
	return OK;
}

static enum err from_server(struct egress *g)
{
	for (;;) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		enum err e = ipc_recv(g->server, &m);
		if (e)
			return e == ERR_AGAIN ? OK : e;
		switch (m.type) {
		case EGRESS_POLICY:
			e = on_policy(g, &m);
			break;
		case EGRESS_FETCH:
			e = on_fetch(g, &m);
			break;
		case EGRESS_CANCEL:
			e = on_cancel(g, &m);
			break;
		default:
			e = ERR_PROTOCOL;
		}
		TRY(e);
	}
}

/* ---- the loop ---- */
static void wait_for_work(struct egress *g)
{
	struct curl_waitfd w[2 + 2 * EGRESS_FETCHES_MAX];
	unsigned n = 0;
	w[n++] = (struct curl_waitfd){ .fd = ipc_fd(g->keeper), .events = CURL_WAIT_POLLIN };
	if (g->server) {
		short events = CURL_WAIT_POLLIN;
		if (ipc_wants_write(g->server))
			events |= CURL_WAIT_POLLOUT;
		w[n++] = (struct curl_waitfd){ .fd = ipc_fd(g->server), .events = events };
	}
	for (size_t i = 0; i < g->n; i++) {
		int fd = fetch_waits_for(g->fetch[i]);
		if (fd >= 0)
			w[n++] = (struct curl_waitfd){ .fd = fd, .events = CURL_WAIT_POLLOUT };
		fd = fetch_reads_from(g->fetch[i]);
		if (fd >= 0)
			w[n++] = (struct curl_waitfd){ .fd = fd, .events = CURL_WAIT_POLLIN };
	}
	(void)curl_multi_poll(g->env.multi, w, n, g->n ? TICK_MS : 60000, NULL);
	for (size_t i = 0; i < g->n; i++) {
		struct pollfd p = { .fd = fetch_reads_from(g->fetch[i]), .events = POLLIN };
		if (p.fd >= 0 && poll(&p, 1, 0) > 0)
			fetch_feed(g->fetch[i]);
	}
}

static void push_and_tick(struct egress *g)
{
	int64_t now = time_mono_ms();
	for (size_t i = g->n; i-- > 0;)
		if ((fetch_waits_for(g->fetch[i]) >= 0 && fetch_push(g->fetch[i])) ||
			fetch_tick(g->fetch[i], now))
			drop(g, i);
}

static enum err loop(struct egress *g)
{
	int running;
	while (!g->ending) {
		wait_for_work(g);
		TRY(from_keeper(g)); /* the keeper's word is law: anything wrong there ends us */
		if (g->server && from_server(g))
			drop_server(g); /* gone, or not to be trusted */
		if (g->server && ipc_wants_write(g->server))
			(void)ipc_flush(g->server);
		(void)curl_multi_perform(g->env.multi, &running);
		end_transfers(g);
		push_and_tick(g);
	}
	return OK;
}

static int run(struct egress *g)
{
	g->allow = mem_zalloc(1, sizeof *g->allow);
	enum err e = g->allow ? OK : ERR_NOMEM;
	if (!e)
		e = enter(g);
	g->env.allow = g->allow;
	g->env.proxy = &g->proxy;
	g->env.ca_file = g->ca_path[0] ? g->ca_path : NULL;
	g->env.agent = "tresor";
	g->env.login = login_for;
	g->env.login_arg = g;
	enum err said = say_ready(g, e);
	if (e || said) {
		log_error("egress cannot start", KV_ERR(e ? e : said));
		return 1;
	}
	e = loop(g);
	drop_server(g);
	return e && e != ERR_CLOSED;
}

int egress_main(struct ipc *keeper)
{
	struct egress *g = mem_zalloc(1, sizeof *g);
	if (!g) {
		(void)ipc_free(keeper);
		return 1;
	}
	g->keeper = keeper;
	g->ca_fd = -1;
	log_init("egress", LOG_INFO_, STDERR_FILENO);
	int status = crypto_init() ? 1 : run(g);
	if (g->env.multi)
		(void)curl_multi_cleanup(g->env.multi);
	curl_global_cleanup();
	if (g->ca_fd >= 0)
		(void)close(g->ca_fd);
	mem_free(g->allow);
	(void)ipc_free(keeper);
	mem_free(g);
	return status;
}
