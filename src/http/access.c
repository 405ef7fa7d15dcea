/* What MHD calls, on its threads: a request line, a head, pieces of a body, the end.
 *
 *   HEAD --head ok--> RECEIVE --body whole--> WORK --http_reply--> ANSWERED --queued--> (MHD)
 *     |                  |                     |  `--http_stream-> ANSWERED -> STREAM --finish-->
 *     `--bad----------------> ANSWERED (a refused body is read on for a while, so that the
 *                             answer reaches a client that first sends everything)
 * A streamed body (body_max -1) goes to WORK at once; its pieces come in during WORK. A large body
 * that is kept goes HEAD -> WORK (http_options.admit) -> RECEIVE.
 * While in WORK the connection is suspended; whoever answers resumes it. */
#include "http/http_int.h"

#include <sys/epoll.h>

#include "base/time.h"

static struct http_conn *conn_of(struct MHD_Connection *m)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	return i ? i->socket_context : NULL;
}

void access_connection(void *server, struct MHD_Connection *m, void **socket_context,
	enum MHD_ConnectionNotificationCode what)
{
	struct http_server *s = server;
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(m, MHD_CONNECTION_INFO_CONNECTION_FD);
	pthread_mutex_lock(&s->lock);
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		struct http_conn *c = i ? conn_of_fd(s, i->connect_fd) : NULL;
		if (c)
			c->started = true;
		*socket_context = c;
	} else if (*socket_context) {
		struct http_conn *c = *socket_context;
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
		conn_remove(c);
		*socket_context = NULL;
	}
	pthread_mutex_unlock(&s->lock);
}

void *access_uri(void *server, const char *uri, struct MHD_Connection *m)
{
	struct http_server *s = server;
	struct http_conn *c = conn_of(m);
	struct http_req *q = c ? req_new(s, c, m) : NULL;
	if (!q)
		return NULL;
	char *target = arena_str(q->arena, str_from(uri ? uri : ""));
	q->raw_target = str_from(target ? target : "");
	pthread_mutex_lock(&s->lock);
	c->req = q;
	q->gone = c->hup;
	conn_phase_locked(c, CONN_HEAD);
	pthread_mutex_unlock(&s->lock);
	return q;
}

void access_completed(
	void *server, struct MHD_Connection *m, void **req, enum MHD_RequestTerminationCode how)
{
	struct http_server *s = server;
	struct http_req *q = *req;
	(void)m, (void)how;
	if (!q)
		return;
	*req = NULL;
	pthread_mutex_lock(&q->lock);
	struct http_conn *c = q->conn;
	void (*fn)(void *) = q->on_close;
	void *arg = q->on_close_arg;
	q->on_close = NULL;
	q->mhd = NULL;
	q->conn = NULL;
	q->gone = true;
	q->state = REQ_DONE;
	if (q->counted)
		s->busy--;
	if (q->stream_counted)
		s->streams--;
	pthread_cond_broadcast(&q->more);
	pthread_mutex_lock(&s->lock);
	if (c) {
		c->req = NULL;
		conn_phase_locked(c, CONN_IDLE);
	}
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&q->lock);
	if (fn)
		fn(arg);
	http_release(q);
}

static void suspend_locked(struct http_req *q)
{
	q->suspended = true;
	MHD_suspend_connection(q->mhd);
}

/* Not answered by http_options.admit: now the body may come. */
static void admitted(struct http_req *q)
{
	pthread_mutex_lock(&q->lock);
	q->admitting = false;
	if (q->state == REQ_WORK) {
		q->state = REQ_RECEIVE;
		req_resume_locked(q);
	}
	pthread_mutex_unlock(&q->lock);
	http_release(q);
}

/* The worker's job. */
static void run(void *arg)
{
	struct http_req *q = arg;
	struct http_server *s = q->server;
	bool admit = q->admitting;
	log_request(http_request_id(q));
	(admit ? s->o.admit : s->dispatch)(q, s->app);
	log_request(STR_NONE);
	if (admit) {
		admitted(q);
		return;
	}
	if (!http_answered(q)) {
		struct err_info e = { .code = ERR_INTERNAL };
		pthread_mutex_lock(&q->lock);
		if (q->state == REQ_WORK) {
			req_fail(q, &e);
			req_resume_locked(q);
		}
		pthread_mutex_unlock(&q->lock);
	}
	http_release(q);
}

/* The request goes to a worker; with the lock. The connection sleeps until somebody resumes. */
static enum MHD_Result to_worker(struct http_req *q)
{
	q->state = REQ_WORK;
	q->to_run = true; /* access_handler() hands it over when the worker can have the lock */
	suspend_locked(q);
	http_hold(q);
	conn_phase(q->conn, CONN_WORK);
	return MHD_YES;
}

static void hand_over(struct http_req *q)
{
	struct err_info e = { .code = ERR_BUSY };
	if (!pool_run(q->server->pool, run, q))
		return;
	pthread_mutex_lock(&q->lock);
	req_fail(q, &e);
	req_resume_locked(q);
	pthread_mutex_unlock(&q->lock);
	http_release(q);
}

/* MHD gets it in access_handler(), when the lock is free again: MHD locks a response before it
 * calls
 * read_stream(), which locks the request. */
static enum MHD_Result queue_answer(struct http_req *q)
{
	q->response = req_response_locked(q);
	if (!q->response)
		return MHD_NO;
	q->state = q->is_stream ? REQ_STREAM : REQ_ANSWERED;
	q->queued = true;
	return MHD_YES;
}

/* May we read the rest of a refused body, so that the client gets to read the answer? A client
 * that waits for 100 Continue gets the answer at once. */
static bool worth_reading(const struct http_req *q)
{
	if (http_header(q, "Expect").len || q->must_close)
		return false;
	return q->body_bytes && (q->body_bytes == UINT64_MAX || q->body_bytes <= DISCARD_MAX);
}

static enum MHD_Result answer_or_discard(struct http_req *q)
{
	if (!q->body_begun && worth_reading(q)) {
		q->body_begun = true;
		conn_phase(q->conn, CONN_BODY);
		return MHD_YES;
	}
	return queue_answer(q);
}

static enum MHD_Result on_head(struct http_req *q, const char *method, const char *version)
{
	struct err_info info = { .code = OK };
	char *copy = arena_str(q->arena, str_from(method));
	if (!copy)
		return MHD_NO;
	q->method = str_from(copy);
	q->server->requests++;
	q->server->busy++;
	q->counted = true;
	q->http_1_1 = strcmp(version, "HTTP/1.1") == 0;
	enum err e = head_read(q, &info);
	if (!e && q->server->stopping)
		e = err_set(&info, ERR_BUSY, "the server is stopping");
	if (e) {
		info.code = e;
		q->must_close = e == ERR_INVALID || e == ERR_HEADERS || e == ERR_NOMEM;
		req_fail(q, &info);
		return answer_or_discard(q);
	}
	if (q->streamed)
		return to_worker(q);
	q->body.max = (size_t)q->body_max;
	if (q->server->o.admit && q->body_bytes > HTTP_ADMIT_BYTES &&
		q->body_max > HTTP_ADMIT_BYTES) {
		q->admitting = true;
		return to_worker(q);
	}
	q->state = REQ_RECEIVE;
	q->body_begun = true;
	if (q->body_bytes)
		conn_phase(q->conn, CONN_BODY);
	return MHD_YES;
}

/* A body that still comes gets more time; one that stalls does not. */
static void allow_more_time(struct http_req *q, size_t n)
{
	q->body_seen += n;
	struct http_conn *c = q->conn;
	pthread_mutex_lock(&q->server->lock);
	if (c->phase == CONN_BODY)
		c->deadline_ms = c->body_began_ms + q->server->o.body_timeout_s * 1000LL +
				 (int64_t)(q->body_seen * 1000 / 1024);
	pthread_mutex_unlock(&q->server->lock);
}

static enum MHD_Result discard(struct http_req *q, size_t *size)
{
	q->discarded += *size;
	if (q->discarded > DISCARD_MAX)
		return MHD_NO;
	allow_more_time(q, *size);
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_whole_piece(struct http_req *q, const char *data, size_t *size)
{
	enum err e = buf_add(&q->body, (struct str){ data, *size });
	if (e) {
		struct err_info info = { .code = e == ERR_LIMIT ? ERR_TOO_LARGE : ERR_NOMEM };
		if (e == ERR_LIMIT)
			(void)err_set(&info, ERR_TOO_LARGE,
				"the body is over the limit of %llu bytes",
				(unsigned long long)q->body_max);
		buf_done(&q->body);
		req_fail(q, &info);
		return discard(q, size);
	}
	allow_more_time(q, *size);
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result on_streamed_piece(struct http_req *q, const char *data, size_t *size)
{
	size_t room = q->body.len < IN_LIMIT ? IN_LIMIT - q->body.len : 0;
	size_t n = *size < room ? *size : room;
	q->body.max = IN_LIMIT;
	if (n && buf_add(&q->body, (struct str){ data, n }))
		return MHD_NO;
	*size -= n;
	allow_more_time(q, n);
	pthread_cond_signal(&q->more);
	if (*size) { /* the reader is behind: the sender waits */
		conn_phase(q->conn, CONN_WORK);
		suspend_locked(q);
	}
	return MHD_YES;
}

static enum MHD_Result on_piece(struct http_req *q, const char *data, size_t *size)
{
	q->body_begun = true;
	if (q->state == REQ_ANSWERED)
		return discard(q, size);
	if (q->state == REQ_RECEIVE)
		return on_whole_piece(q, data, size);
	if (q->state == REQ_WORK && q->streamed)
		return on_streamed_piece(q, data, size);
	return MHD_NO;
}

/* Called without data: the head is there (again, after a resume), or the body has ended. */
static enum MHD_Result on_quiet(struct http_req *q)
{
	if (q->state == REQ_ANSWERED)
		return q->body_begun ? queue_answer(q) : answer_or_discard(q);
	bool let_in = q->state == REQ_RECEIVE && !q->body_begun;
	if (q->state == REQ_RECEIVE && !let_in)
		return to_worker(q);
	if (q->state != REQ_WORK && !let_in)
		return MHD_NO;
	if ((q->streamed || let_in) && !q->body_begun) { /* somebody wants the first piece */
		q->body_begun = true;
		conn_phase(q->conn, CONN_BODY);
		return MHD_YES;
	}
	if (q->streamed && !q->body_end) {
		q->body_end = true;
		pthread_cond_signal(&q->more);
	}
	conn_phase(q->conn, CONN_WORK);
	suspend_locked(q);
	return MHD_YES;
}

enum MHD_Result access_handler(void *server, struct MHD_Connection *m, const char *url,
	const char *method, const char *version, const char *data, size_t *data_size, void **req)
{
	struct http_server *s = server;
	struct http_req *q = *req;
	enum MHD_Result rc;
	(void)url;
	if (!q)
		return MHD_NO;
	pthread_mutex_lock(&q->lock);
	if (s->aborting) /* under the lock: req_abort() must not miss a suspended request */
		rc = MHD_NO;
	else if (q->queued)
		rc = MHD_YES;
	else if (q->state == REQ_HEAD)
		rc = on_head(q, method, version);
	else if (*data_size)
		rc = on_piece(q, data, data_size);
	else
		rc = on_quiet(q);
	struct MHD_Response *r = TAKE(q->response);
	unsigned status = (unsigned)q->status;
	bool go = q->to_run;
	q->to_run = false;
	pthread_mutex_unlock(&q->lock);
	if (go)
		hand_over(q);
	if (r) {
		rc = MHD_queue_response(m, status, r);
		MHD_destroy_response(r); /* MHD has its own reference now */
	}
	return rc;
}
