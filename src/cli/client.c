#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/fault.h"
#include "os/fd.h"
#include "os/spawn.h"
#include "os/tty.h"

enum { REPLY_MAX = 64 * 1024 * 1024, LINE_MAX_BYTES = 16 * 1024 * 1024, START_WAIT_MS = 120000,
	WAIT_MS = 100 };

struct client {
	CURL *curl;
	CURLM *multi;
	int dir_fd;
	pid_t server;    /* the one we started; 0: it ran already */
	struct buf base; /* of the URLs; empty: the socket in the data directory */
	struct buf authorization; /* header line with the key; empty: none */
	bool loopback; /* the named host is this machine */
	client_wait wait;
	void *wait_arg;
	long status; /* of the last reply */
};

/* ---- the server ---- */

static int connect_socket(int dir_fd)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/control.sock", dir_fd);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a)) {
		close(fd);
		return -1;
	}
	return fd;
}

bool client_server_runs(const char *dir)
{
	AUTO_FD int dir_fd = -1;
	if (fd_open(dir, O_PATH | O_DIRECTORY, 0, &dir_fd))
		return false;
	AUTO_FD int fd = connect_socket(dir_fd);
	return fd >= 0;
}

static void exec_server(const char *dir)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	(void)setpgid(0, 0);
	spawn_die_with_parent();
	(void)dup2(null, 1);
	setenv("TRESOR_LOG", "error", 1);
	execl("/proc/self/exe", "tresor", "serve", "--local-only", "--data", dir, (char *)NULL);
	_exit(127);
}

static enum err await_server(struct client *c, const char *dir, struct err_info *info)
{
	for (int waited = 0; waited < START_WAIT_MS; waited += 20) {
		int status;
		if (waitpid(c->server, &status, WNOHANG) == c->server) {
			c->server = 0;
			return err_set(info, ERR_CLOSED, "the server did not start");
		}
		if (c->dir_fd < 0)
			(void)fd_open(dir, O_PATH | O_DIRECTORY, 0, &c->dir_fd);
		AUTO_BUF struct buf out = BUF(1024);
		if (c->dir_fd >= 0 && !client_call(c, "GET", "/healthz", STR_NONE, &out, NULL))
			return OK;
		usleep(20000);
	}
	return err_set(info, ERR_TIMEOUT, "the server did not get ready");
}

/* In a process group of its own: a Ctrl+C that stops an answer must not end it. Until it is ready
 * the terminal is its: it may have to ask for the vault's passphrase. */
static enum err start_server(struct client *c, const char *dir, struct err_info *info)
{
	c->server = fork();
	if (c->server < 0)
		return err_from_errno(errno);
	if (!c->server)
		exec_server(dir);
	(void)setpgid(c->server, c->server);
	tty_give(c->server);
	enum err e = await_server(c, dir, info);
	tty_give(0);
	return e;
}

static enum err new_client(struct client **ret)
{
	AUTO(client) struct client *c = mem_zalloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	c->dir_fd = -1;
	c->base = BUF(URL_MAX);
	c->authorization = BUF(1024);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c->curl = curl_easy_init();
	c->multi = curl_multi_init();
	if (!c->curl || !c->multi)
		return ERR_NOMEM;
	*ret = TAKE(c);
	return OK;
}

enum err client_open(const char *dir, bool may_create, struct client **ret, struct err_info *info)
{
	AUTO(client) struct client *c = NULL;
	struct stat st;
	char keys[4200];
	TRY(path_join(keys, sizeof keys, dir, "keys.json"));
	if (!may_create && stat(keys, &st)) {
		(void)err_set(info, ERR_NOT_FOUND, "there is no data directory at %s", dir);
		err_hint(info, "name it with --data, or start it first with tresor serve");
		return ERR_NOT_FOUND;
	}
	TRY(new_client(&c));
	(void)fd_open(dir, O_PATH | O_DIRECTORY, 0, &c->dir_fd);
	AUTO_FD int probe = c->dir_fd >= 0 ? connect_socket(c->dir_fd) : -1;
	if (probe < 0)
		TRY(start_server(c, dir, info));
	*ret = TAKE(c);
	return OK;
}

enum err client_open_host(const struct host *h, struct client **ret, struct err_info *info)
{
	AUTO(client) struct client *c = NULL;
	TRY(new_client(&c));
	TRY(buf_add(&c->base, buf_str(&h->base)));
	c->loopback = h->loopback;
	if (h->key[0])
		TRY(buf_addf(&c->authorization, "Authorization: Bearer %s", h->key));
	*ret = TAKE(c);
	return OK;
}

void client_on_wait(struct client *c, client_wait fn, void *arg)
{
	c->wait = fn;
	c->wait_arg = arg;
}

long client_status(const struct client *c)
{
	return c->status;
}

struct client *client_close(struct client *c)
{
	if (!c)
		return NULL;
	curl_multi_cleanup(c->multi);
	curl_easy_cleanup(c->curl);
	buf_done(&c->base);
	buf_wipe(&c->authorization);
	if (c->server > 0) {
		(void)kill(c->server, SIGTERM);
		(void)waitpid(c->server, NULL, 0);
	}
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	mem_free(c);
	return NULL;
}

/* ---- requests ---- */

struct reply {
	struct buf *out;  /* whole body, or the current line */
	client_line line; /* NULL: gather everything; or: */
	client_piece piece;
	void *arg;
	CURL *curl;
	enum err err;
	struct err_info *info;
};

/* The text of any of the three error forms: {"error": {"message"}}, {"error": "text"}. */
static void error_text(const json_t *doc, struct err_info *info)
{
	const json_t *e = json_object_get(doc, "error");
	const char *text = json_string_value(json_is_object(e) ? json_object_get(e, "message") : e);
	const char *hint = json_string_value(json_object_get(e, "hint"));
	(void)err_set(info, ERR_UPSTREAM, "%s", text ? text : "the server answered with an error");
	if (hint)
		err_hint(info, "%s", hint);
}

static enum err one_line(struct reply *r, struct str text)
{
	AUTO_JSON json_t *doc = NULL;
	if (!str_trim(text).len)
		return OK;
	TRY(json_read(text, LINE_MAX_BYTES, JSON_DEPTH_DEFAULT, &doc, NULL));
	if (json_object_get(doc, "error")) {
		error_text(doc, r->info);
		return ERR_UPSTREAM;
	}
	return r->line(doc, r->arg);
}

static enum err take_lines(struct reply *r)
{
	for (;;) {
		size_t end = str_find_byte(buf_str(r->out), '\n', 0);
		if (end == SIZE_MAX)
			return OK;
		TRY(one_line(r, str_sub(buf_str(r->out), 0, end)));
		buf_drop_front(r->out, end + 1);
	}
}

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
	struct reply *r = arg;
	long status = 0;
	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	if (r->piece && status < 400) {
		r->err = r->piece((struct str){ bytes, one * n }, r->arg);
		return r->err ? 0 : one * n;
	}
	r->err = buf_add(r->out, (struct str){ bytes, one * n });
	if (!r->err && r->line && status < 400)
		r->err = take_lines(r);
	return r->err ? 0 : one * n;
}

/* One transfer to its end, or until whoever waits says stop. */
static CURLcode transfer(struct client *c, bool *ret_stopped)
{
	CURLcode result = CURLE_FAILED_INIT;
	int running = 1, left;
	CURLMcode bad = curl_multi_add_handle(c->multi, c->curl);
	while (!bad && running && !*ret_stopped) {
		bad = curl_multi_perform(c->multi, &running);
		if (!bad && running)
			bad = curl_multi_poll(c->multi, NULL, 0, c->wait ? WAIT_MS : 1000, NULL);
		*ret_stopped = running && c->wait && c->wait(c->wait_arg);
	}
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));)
		if (m->msg == CURLMSG_DONE)
			result = m->data.result;
	curl_multi_remove_handle(c->multi, c->curl);
	return bad ? CURLE_FAILED_INIT : result;
}

static enum err no_answer(const struct client *c, CURLcode bad, struct err_info *info)
{
	const char *why = curl_easy_strerror(bad);
	if (!c->base.len)
		return err_set(info, ERR_IO, "the server does not answer (%s)", why);
	return err_set(info, ERR_IO, "the server at %.*s does not answer (%s)",
		STR_ARG(buf_str(&c->base)), why);
}

static enum err perform(struct client *c, struct reply *r)
{
	bool stopped = false;
	c->status = 0;
	CURLcode bad = transfer(c, &stopped);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &c->status);
	if (r->err)
		return r->err;
	if (stopped)
		return err_set(r->info, ERR_CANCELLED, "stopped");
	if (bad != CURLE_OK)
		return no_answer(c, bad, r->info);
	if (c->status < 400)
		return r->line && r->out->len ? one_line(r, buf_str(r->out)) : OK;
	AUTO_JSON json_t *doc = NULL;
	if (json_read(buf_str(r->out), REPLY_MAX, JSON_DEPTH_DEFAULT, &doc, NULL))
		return err_set(r->info, ERR_UPSTREAM, "the server answered %ld", c->status);
	error_text(doc, r->info);
	if (c->status == 401 && c->base.len && !c->authorization.len)
		err_hint(r->info, "give a key in $TRESOR_API_KEY");
	return c->status == 404 ? ERR_NOT_FOUND : ERR_UPSTREAM;
}

static void to_socket(struct client *c)
{
	char sock[64];
	snprintf(sock, sizeof sock, "/proc/self/fd/%d/control.sock", c->dir_fd);
	curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, sock);
	curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
}

static void to_host(struct client *c)
{
	const char *ca = getenv("TRESOR_CA_FILE");
	curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 20L);
	if (c->loopback) { /* a proxy would get the key in the clear, and mean another machine */
		curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
		curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*");
	}
	if (ca && *ca)
		curl_easy_setopt(c->curl, CURLOPT_CAINFO, ca);
}

static void prepare(struct client *c, const char *method, const char *path, struct reply *r)
{
	char url[URL_MAX + 4096];
	struct str base = c->base.len ? buf_str(&c->base) : STR("http://localhost");
	snprintf(url, sizeof url, "%.*s%s", STR_ARG(base), path);
	curl_easy_reset(c->curl);
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	if (c->base.len)
		to_host(c);
	else
		to_socket(c);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, r);
	r->curl = c->curl;
}

/* The caller frees the list after the transfer. */
static struct curl_slist *headers(struct client *c, const char *type)
{
	const char *key;
	struct curl_slist *h = curl_slist_append(NULL, type);
	h = curl_slist_append(h, "Expect:");
	if (c->authorization.len && !buf_cstr(&c->authorization, &key))
		h = curl_slist_append(h, key);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, h);
	return h;
}

static enum err request(
	struct client *c, const char *method, const char *path, struct str body, struct reply *r)
{
	prepare(c, method, path, r);
	struct curl_slist *h = headers(c, "Content-Type: application/json");
	if (body.ptr || !strcmp(method, "POST")) {
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body.ptr ? body.ptr : "");
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
	}
	enum err e = perform(c, r);
	curl_slist_free_all(h);
	return e;
}

enum err client_call(struct client *c, const char *method, const char *path, struct str body,
	struct buf *out, struct err_info *info)
{
	struct reply r = { .out = out, .info = info };
	return request(c, method, path, body, &r);
}

enum err client_json(struct client *c, const char *method, const char *path, struct str body,
	json_t **ret, struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(REPLY_MAX);
	TRY(client_call(c, method, path, body, &out, info));
	return json_read(buf_str(&out), REPLY_MAX, JSON_DEPTH_DEFAULT, ret, info);
}

enum err client_stream(struct client *c, const char *path, struct str body, client_line fn,
	void *arg, struct err_info *info)
{
	AUTO_BUF struct buf line = BUF(LINE_MAX_BYTES);
	struct reply r = { .out = &line, .line = fn, .arg = arg, .info = info };
	return request(c, "POST", path, body, &r);
}

static size_t on_read(char *at, size_t one, size_t n, void *arg)
{
	struct client_upload *u = arg;
	size_t got = 0;
	if (fd_read(u->fd, at, one * n, &got))
		return CURL_READFUNC_ABORT;
	u->done += got;
	if (u->progress)
		u->progress(u->done, u->size, u->arg);
	return got;
}

enum err client_bytes(struct client *c, const char *path, struct str body, client_piece fn,
	void *arg, struct err_info *info)
{
	AUTO_BUF struct buf failed = BUF(REPLY_MAX);
	struct reply r = { .out = &failed, .piece = fn, .arg = arg, .info = info };
	return request(c, "POST", path, body, &r);
}

enum err client_upload(
	struct client *c, const char *path, struct client_upload *u, struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(REPLY_MAX);
	return client_upload_reply(c, path, u, &out, info);
}

enum err client_upload_reply(struct client *c, const char *path, struct client_upload *u,
	struct buf *out, struct err_info *info)
{
	struct reply r = { .out = out, .info = info };
	prepare(c, "POST", path, &r);
	struct curl_slist *h = headers(c, "Content-Type: application/octet-stream");
	curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, "POST");
	curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c->curl, CURLOPT_READDATA, u);
	curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)u->size);
	enum err e = perform(c, &r);
	curl_slist_free_all(h);
	return e;
}
