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

#include "base/fault.h"
#include "os/fd.h"
#include "os/spawn.h"

enum { REPLY_MAX = 64 * 1024 * 1024, LINE_MAX_BYTES = 16 * 1024 * 1024, START_WAIT_MS = 120000 };

struct client {
	CURL *curl;
	int dir_fd;
	pid_t server; /* the one we started; 0: it ran already */
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
	spawn_die_with_parent();
	(void)dup2(null, 1);
	setenv("TRESOR_LOG", "error", 1);
	execl("/proc/self/exe", "tresor", "serve", "--local-only", "--data", dir, (char *)NULL);
	_exit(127);
}

static enum err start_server(struct client *c, const char *dir, struct err_info *info)
{
	c->server = fork();
	if (c->server < 0)
		return err_from_errno(errno);
	if (!c->server)
		exec_server(dir);
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

enum err client_open(const char *dir, bool may_create, struct client **ret, struct err_info *info)
{
	AUTO(client) struct client *c = mem_zalloc(1, sizeof *c);
	struct stat st;
	char keys[4200];
	if (!c)
		return ERR_NOMEM;
	c->dir_fd = -1;
	TRY(path_join(keys, sizeof keys, dir, "keys.json"));
	if (!may_create && stat(keys, &st)) {
		(void)err_set(info, ERR_NOT_FOUND, "there is no data directory at %s", dir);
		err_hint(info, "name it with --data, or start it first with tresor serve");
		return ERR_NOT_FOUND;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c->curl = curl_easy_init();
	if (!c->curl)
		return ERR_NOMEM;
	(void)fd_open(dir, O_PATH | O_DIRECTORY, 0, &c->dir_fd);
	AUTO_FD int probe = c->dir_fd >= 0 ? connect_socket(c->dir_fd) : -1;
	if (probe < 0)
		TRY(start_server(c, dir, info));
	*ret = TAKE(c);
	return OK;
}

struct client *client_close(struct client *c)
{
	if (!c)
		return NULL;
	curl_easy_cleanup(c->curl);
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
	client_line line; /* NULL: gather everything */
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
	r->err = buf_add(r->out, (struct str){ bytes, one * n });
	if (!r->err && r->line && status < 400)
		r->err = take_lines(r);
	return r->err ? 0 : one * n;
}

static enum err perform(struct client *c, struct reply *r)
{
	long status = 0;
	CURLcode bad = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (r->err)
		return r->err;
	if (bad != CURLE_OK)
		return err_set(r->info, ERR_IO, "the server does not answer (%s)",
			curl_easy_strerror(bad));
	if (status < 400)
		return r->line && r->out->len ? one_line(r, buf_str(r->out)) : OK;
	AUTO_JSON json_t *doc = NULL;
	if (json_read(buf_str(r->out), REPLY_MAX, JSON_DEPTH_DEFAULT, &doc, NULL))
		return err_set(r->info, ERR_UPSTREAM, "the server answered %ld", status);
	error_text(doc, r->info);
	return status == 404 ? ERR_NOT_FOUND : ERR_UPSTREAM;
}

static void prepare(struct client *c, const char *method, const char *path, struct reply *r)
{
	char url[4096], sock[64];
	snprintf(url, sizeof url, "http://localhost%s", path);
	snprintf(sock, sizeof sock, "/proc/self/fd/%d/control.sock", c->dir_fd);
	curl_easy_reset(c->curl);
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, sock);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, r);
	r->curl = c->curl;
}

static enum err request(
	struct client *c, const char *method, const char *path, struct str body, struct reply *r)
{
	prepare(c, method, path, r);
	struct curl_slist *h = curl_slist_append(NULL, "Content-Type: application/json");
	h = curl_slist_append(h, "Expect:");
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, h);
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

struct upload {
	int fd;
	uint64_t done, total;
	void (*progress)(uint64_t, uint64_t);
};

static size_t on_read(char *at, size_t one, size_t n, void *arg)
{
	struct upload *u = arg;
	size_t got = 0;
	if (fd_read(u->fd, at, one * n, &got))
		return CURL_READFUNC_ABORT;
	u->done += got;
	if (u->progress)
		u->progress(u->done, u->total);
	return got;
}

enum err client_upload(struct client *c, const char *path, int fd, uint64_t size,
	void (*progress)(uint64_t done, uint64_t total), struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(REPLY_MAX);
	struct reply r = { .out = &out, .info = info };
	struct upload u = { .fd = fd, .total = size, .progress = progress };
	prepare(c, "POST", path, &r);
	struct curl_slist *h = curl_slist_append(NULL, "Content-Type: application/octet-stream");
	h = curl_slist_append(h, "Expect:");
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, h);
	curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, "POST");
	curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c->curl, CURLOPT_READDATA, &u);
	curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	enum err e = perform(c, &r);
	curl_slist_free_all(h);
	return e;
}
