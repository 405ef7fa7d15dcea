/* Questions to a registry: one address at a time, each hop past the allow-list. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/pull_int.h"
#include "net/header.h"
#include "os/fd.h"

enum { REQUEST_MS = 60000, STREAM_CONNECT_MS = 15000, ANSWER_MAX = 64 * 1024 };

/* ---- mailboxes: the IPC thread's side ---- */
static struct str header(const struct egress_head *h, const char *name)
{
	for (unsigned i = 0; i < h->n_headers; i++)
		if (str_eq(h->header[i].name, str_from(name)))
			return h->header[i].value;
	return STR_NONE;
}

static void on_egress(const struct egress_event *e, void *arg)
{
	struct pull_stream *s = arg;
	struct pull_mail *m = &s->mail;
	pthread_mutex_lock(&s->pull->lock);
	switch (e->kind) {
	case EGRESS_EV_HEAD:
		m->status = e->head.status;
		/* What is too long to keep counts as absent: the answer is then not usable. */
		(void)str_copy(header(&e->head, "location"), m->location, sizeof m->location);
		(void)str_copy(header(&e->head, "www-authenticate"), m->auth, sizeof m->auth);
		(void)str_copy(header(&e->head, "range"), m->range, sizeof m->range);
		break;
	case EGRESS_EV_DATA:
		(void)buf_add(&m->body, e->data); /* the error sticks and is seen at the end */
		break;
	case EGRESS_EV_MOVED:
		m->moved = e->moved;
		break;
	case EGRESS_EV_DONE:
		m->moved = e->done.bytes;
		m->ended = true;
		break;
	case EGRESS_EV_FAILED:
		m->code = e->failed.code;
		m->moved = e->failed.bytes;
		(void)str_copy(e->failed.detail, m->detail, sizeof m->detail);
		m->ended = true;
		break;
	}
	uint64_t one = 1;
	if (e->kind != EGRESS_EV_DATA && write(s->pull->bell, &one, sizeof one) < 0)
		(void)0; /* full: it rings already */
	pthread_mutex_unlock(&s->pull->lock);
}

/* ---- the pull's side ---- */
/* Token and log-in are the registry's: they never travel on to where a redirect leads. */
static bool is_home(const struct pull *p, struct str url)
{
	struct url u, home;
	return !url_parse(url, &u, NULL) && !url_parse(str_from(p->base), &home, NULL) &&
	       !strcmp(u.host, home.host) && u.port == home.port && u.https == home.https;
}

/* For each request anew: egress keeps a log-in only for a moment. */
enum err pull_login(struct pull *p, uint64_t *ret)
{
	const struct pulls_options *o = &p->pulls->o;
	struct url home;
	*ret = 0;
	TRY(url_parse(str_from(p->base), &home, NULL));
	return o->login ? o->login(o->login_arg, home.host, home.port, ret) : OK;
}

/* Takes f's descriptors. */
static enum err stream_out(struct pull *p, struct pull_stream *s, struct egress_fetch *f,
	struct buf *bearer, struct err_info *info)
{
	f->url = str_from(s->url);
	f->connect_ms = STREAM_CONNECT_MS;
	f->stall_ms = p->pulls->o.stall_ms ? (uint32_t)p->pulls->o.stall_ms : PULL_STALL_MS;
	enum err e = OK;
	if (is_home(p, f->url) && p->token[0]) {
		e = buf_addf(bearer, "Bearer %s", p->token);
		f->header[f->n_headers++] =
			(struct egress_header){ STR("Authorization"), buf_str(bearer) };
	} else if (p->asks_token || (is_home(p, f->url) && p->basic)) {
		e = pull_login(p, &f->login);
	}
	pthread_mutex_lock(&p->lock);
	struct buf body = s->mail.body;
	buf_clear(&body);
	body.max = EGRESS_INLINE_MAX;
	memset(&s->mail, 0, sizeof s->mail);
	s->mail.body = body;
	pthread_mutex_unlock(&p->lock);
	s->begin_ms = 0;
	s->credited = 0;
	if (e) {
		if (f->sink_fd >= 0)
			(void)close(f->sink_fd);
		if (f->source_fd >= 0)
			(void)close(f->source_fd);
		return e;
	}
	e = egress_start(p->pulls->o.egress, f, on_egress, s, &s->id, info);
	s->busy = s->out = !e;
	return e;
}

enum err pull_stream_start(
	struct pull *p, struct pull_stream *s, int sink, uint64_t max_bytes, struct err_info *info)
{
	struct egress_fetch f = { .sink_fd = -1, .source_fd = -1, .max_bytes = max_bytes };
	AUTO_BUF struct buf bearer = BUF(PULL_TOKEN_MAX + 16);
	f.method = STR("GET");
	f.header[f.n_headers++] = (struct egress_header){
		STR("Accept"),
		STR("application/vnd.docker.distribution.manifest.v2+json, "
		    "application/vnd.oci.image.manifest.v1+json, application/octet-stream, "
		    	"*/*;q=0.1")
	};
	f.has_range = s->to > s->from;
	f.from = f.sink_offset = s->from;
	f.to = s->to;
	f.total_ms = sink < 0 ? REQUEST_MS : 0;
	if (sink >= 0)
		TRY(fd_dup(sink, &f.sink_fd));
	return stream_out(p, s, &f, &bearer, info);
}

enum err pull_stream_send(
	struct pull *p, struct pull_stream *s, struct pull_send *out, struct err_info *info)
{
	struct egress_fetch f = { .sink_fd = -1,
		.source_fd = TAKE_FD(out->source_fd),
		.source_bytes = out->source_bytes,
		.max_bytes = ANSWER_MAX };
	AUTO_BUF struct buf bearer = BUF(PULL_TOKEN_MAX + 16);
	f.method = str_from(out->method);
	f.body = out->body;
	if (out->type)
		f.header[f.n_headers++] =
			(struct egress_header){ STR("Content-Type"), str_from(out->type) };
	if (out->range[0])
		f.header[f.n_headers++] =
			(struct egress_header){ STR("Content-Range"), str_from(out->range) };
	f.total_ms = f.source_fd < 0 ? REQUEST_MS : 0;
	return stream_out(p, s, &f, &bearer, info);
}

void pull_wait(struct pull *p, int fd, int timeout_ms)
{
	struct pollfd w[2] = { { .fd = p->bell, .events = POLLIN },
		{ .fd = fd, .events = POLLIN } };
	uint64_t rings;
	(void)poll(w, fd >= 0 ? 2 : 1, timeout_ms);
	if (w[0].revents && read(p->bell, &rings, sizeof rings) < 0)
		(void)0; /* somebody may have emptied it: nothing to do */
}

bool pull_stream_take(struct pull *p, struct pull_stream *s, struct pull_mail **ret)
{
	pthread_mutex_lock(&p->lock);
	bool ended = s->out && s->mail.ended;
	pthread_mutex_unlock(&p->lock);
	if (!ended)
		return false;
	s->busy = s->out = false;
	*ret = &s->mail; /* nobody else touches it now */
	return true;
}

void pull_streams_stop(struct pull *p)
{
	struct pull_mail *m;
	for (size_t i = 0; i < PULL_STREAMS_MAX; i++) {
		if (p->stream[i].out)
			egress_cancel(p->pulls->o.egress, p->stream[i].id);
		else
			p->stream[i].busy = false;
	}
	for (size_t i = 0; i < PULL_STREAMS_MAX; i++)
		while (p->stream[i].out && !pull_stream_take(p, &p->stream[i], &m))
			pull_wait(p, -1, 1000);
}

enum err pull_redirect(
	struct pull *p, char url[URL_MAX + 1], const char *location, struct err_info *info)
{
	AUTO_BUF struct buf scratch = BUF(URL_MAX * 2);
	AUTO_BUF struct buf text = BUF(URL_MAX);
	struct url from, to;
	if (!location[0])
		return err_set(info, ERR_UPSTREAM, "the registry redirects to nowhere");
	TRY(url_parse(str_from(url), &from, info));
	if (url_resolve(&from, str_from(location), &scratch, &to, info))
		return ERR_UPSTREAM;
	if (from.https && !to.https)
		return err_set(info, ERR_EGRESS, "%s redirects to an address without encryption",
			from.host);
	TRY(url_add(&to, &text));
	return str_copy(buf_str(&text), url, URL_MAX + 1);
}

enum err pull_status_error(struct pull *p, uint32_t status, struct err_info *info)
{
	char name[LIMIT_MODEL_NAME + 1];
	name_format(&p->name, name);
	if (status == 404)
		return err_set(info, ERR_NOT_FOUND, "%s has no model \"%s\"", p->name.host, name);
	if (status == 401 || status == 403) {
		const char *whom = p->has_login ? "by the log-in that is stored for it"
				   : p->push    ? "from everybody"
						: "to everybody";
		return err_set(info, ERR_UPSTREAM,
			"%s does not %s \"%s\" %s (status %u; an administrator can store a "
			"log-in: tresor sources login %s)",
			p->name.host, p->push ? "take" : "give", name, whom, status,
			p->name.host);
	}
	return err_set(info, ERR_UPSTREAM, "%s answered with status %u", p->name.host, status);
}

/* One request on stream 0 to its end. */
static enum err ask(
	struct pull *p, uint64_t max_bytes, struct pull_mail **ret, struct err_info *info)
{
	struct pull_stream *s = &p->stream[0];
	s->from = s->to = 0;
	TRY(pull_stream_start(p, s, -1, max_bytes, info));
	while (!pull_stream_take(p, s, ret)) {
		if (pull_is_cancelled(p)) {
			pull_streams_stop(p);
			return ERR_CANCELLED;
		}
		pull_wait(p, -1, 1000);
	}
	if ((*ret)->code)
		return err_set(info, (*ret)->code, "%s", (*ret)->detail);
	return (*ret)->body.err;
}

bool pull_may_get_better(enum err e, uint32_t status)
{
	return e == ERR_UPSTREAM || e == ERR_TIMEOUT || e == ERR_CLOSED || e == ERR_AGAIN ||
	       e == ERR_BUSY || (!e && (status == 429 || status >= 500));
}

static int64_t pause_ms(const struct pull *p, unsigned try)
{
	int64_t first = p->pulls->o.retry_ms ? p->pulls->o.retry_ms : 500;
	int64_t ms = first << (try < 6 ? try : 6);
	return ms > 30000 ? 30000 : ms;
}

bool pull_pause(struct pull *p, unsigned tries)
{
	int64_t until = time_mono_ms() + pause_ms(p, tries);
	for (int64_t left; (left = until - time_mono_ms()) > 0 && !pull_is_cancelled(p);)
		pull_wait(p, -1, (int)left);
	return !pull_is_cancelled(p);
}

/* As ask(), tried again while that may help. */
static enum err ask_patiently(
	struct pull *p, uint64_t max_bytes, struct pull_mail **ret, struct err_info *info)
{
	for (unsigned try = 0;; try++) {
		*ret = NULL;
		enum err e = ask(p, max_bytes, ret, info);
		if (!pull_may_get_better(e, e ? 0 : (*ret)->status) || try + 1 >= PULL_TRIES)
			return e;
		if (!pull_pause(p, try))
			return ERR_CANCELLED;
	}
}

enum err pull_get_token(struct pull *p, const char *challenge, struct err_info *info)
{
	AUTO_BUF struct buf url = BUF(URL_MAX);
	AUTO_JSON json_t *o = NULL;
	struct pull_mail *m;
	struct str token = STR_NONE;
	char copy[PULL_AUTH_MAX]; /* the mailbox is used again by the question below */
	(void)snprintf(copy, sizeof copy, "%s", challenge);
	enum err e = header_token_url(str_from(copy), &url);
	if (e)
		return err_set(info, e, "the registry asks for a kind of log-in we do not know");
	TRY(str_copy(buf_str(&url), p->stream[0].url, sizeof p->stream[0].url));
	p->token[0] = '\0';
	p->asks_token = true; /* this one request may carry the log-in elsewhere */
	e = ask_patiently(p, 64 * 1024, &m, info);
	p->asks_token = false;
	TRY(e);
	if (m->status != 200)
		return pull_status_error(p, m->status, info);
	TRY(json_read(buf_str(&m->body), 64 * 1024, 8, &o, info));
	TRY(json_want_str(o, "token", false, &token, info));
	if (!token.len)
		TRY(json_want_str(o, "access_token", true, &token, info));
	if (str_has_control(token) || str_copy(token, p->token, sizeof p->token))
		return err_set(info, ERR_UPSTREAM, "the registry's token is not usable");
	return OK;
}

enum err pull_authenticate(struct pull *p, const struct pull_mail *m, struct err_info *info)
{
	char challenge[PULL_AUTH_MAX]; /* the mailbox is used again by the question for a token */
	(void)snprintf(challenge, sizeof challenge, "%s", m->auth);
	if (!str_eq_nocase(str_sub(str_from(challenge), 0, 6), STR("Basic ")))
		return pull_get_token(p, challenge, info);
	if (!p->has_login || p->basic)
		return pull_status_error(p, 401, info);
	p->basic = true;
	return OK;
}

enum err pull_get(struct pull *p, const char *path, uint64_t max_bytes, struct buf *out,
	struct err_info *info)
{
	char url[URL_MAX + 1];
	bool asked_token = false;
	if (snprintf(url, sizeof url, "%s%s", p->base, path) > URL_MAX)
		return ERR_LIMIT;
	for (unsigned hops = 0; hops <= PULL_HOPS_MAX; hops++) {
		struct pull_mail *m;
		TRY(str_copy(str_from(url), p->stream[0].url, sizeof p->stream[0].url));
		TRY(ask_patiently(p, max_bytes, &m, info));
		if (m->status == 200) {
			if (m->body.len > max_bytes)
				return err_set(
					info, ERR_TOO_LARGE, "the registry's answer is too large");
			return buf_add(out, buf_str(&m->body));
		}
		if (m->status == 401 && !asked_token && m->auth[0]) {
			asked_token = true;
			TRY(pull_authenticate(p, m, info));
			continue;
		}
		if (m->status < 300 || m->status > 399)
			return pull_status_error(p, m->status, info);
		TRY(pull_redirect(p, url, m->location, info));
	}
	return err_set(info, ERR_UPSTREAM, "%s redirects too often", p->name.host);
}
