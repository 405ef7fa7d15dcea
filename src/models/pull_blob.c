/* One large layer: ranges in parallel from egress straight into the writer. The writer knows what
 * is
 * there; what is said here about progress may be wrong without harm, its word at the end counts.
 *
 * States: WAITING for the writer's first STATE -> FETCHING (queue of missing pieces, streams take
 * from
 * it) -> ASKING (FINISH sent) -> done, or back to FETCHING with what is still missing. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/pull_int.h"

enum {
	TELL_MS = 60,
	WRITER_SILENCE_MS = 120000,
	LOCKED_WAIT_MS = 500,
	WRITERS_MAX = 4,
	QUEUE_MAX = WRITER_GAPS_MAX + 32
};

struct job {
	struct pull *p;
	const struct layer *l;
	struct ipc *control;
	int sink;
	bool know_gaps, asking, whole;
	bool whole_mode, fetched; /* the server sends no parts; this round's request is out */
	unsigned tries;           /* failures since the last new byte */
	uint64_t have, best_have;
	struct writer_range queue[QUEUE_MAX];
	size_t n_queue;
	char url[URL_MAX + 1]; /* where the last redirect led; empty: ask the registry */
	bool asked_token;
	int64_t heard_ms; /* the writer's last word */
};

/* ---- the writer ---- */
static enum err on_writer(struct job *j, struct err_info *info)
{
	struct pull *p = j->p;
	j->heard_ms = time_mono_ms();
	switch (p->event.kind) {
	case WRITER_EV_STATE:
		j->have = p->event.have;
		j->know_gaps = true;
		j->asking = false;
		j->n_queue = j->whole_mode ? 0 : p->event.n_gaps;
		memcpy(j->queue, p->event.gaps, p->event.n_gaps * sizeof *j->queue);
		return OK;
	case WRITER_EV_PROGRESS:
		j->have = p->event.have;
		return OK;
	case WRITER_EV_WHOLE:
		j->have = j->l->size;
		j->whole = true;
		return OK;
	case WRITER_EV_MISMATCH:
		(void)p->pulls->o.ops->remove(p->pulls->o.ops_arg, j->l->digest);
		return err_set(info, ERR_DIGEST,
			"digest mismatch: expected sha256:%.12s.., got sha256:%.12s..",
			j->l->digest, p->event.digest);
	default:
		return err_set(info, p->event.code, "%s", p->event.detail);
	}
}

static enum err hear_writer(struct job *j, struct err_info *info)
{
	while (!j->whole) {
		enum err e = writer_wait(j->control, 0, &j->p->event);
		if (e == ERR_TIMEOUT || e == ERR_AGAIN)
			return OK;
		if (e == ERR_CLOSED)
			return err_set(info, e, "the process that writes the model ended");
		TRY(e);
		TRY(on_writer(j, info));
	}
	return OK;
}

/* ---- the queue of missing pieces ---- */
static uint64_t range_bytes(const struct job *j)
{
	return j->p->pulls->o.range_bytes ? j->p->pulls->o.range_bytes : PULL_RANGE_BYTES;
}

static void put_back(struct job *j, uint64_t from, uint64_t to)
{
	/* A full queue forgets: the writer's STATE brings it back. */
	if (from < to && j->n_queue < QUEUE_MAX && !j->whole_mode)
		j->queue[j->n_queue++] = (struct writer_range){ from, to };
}

/* The lowest piece first: the writer hashes the prefix as it grows. */
static bool take_piece(struct job *j, uint64_t *from, uint64_t *to)
{
	size_t low = 0;
	if (!j->n_queue)
		return false;
	for (size_t i = 1; i < j->n_queue; i++)
		if (j->queue[i].from < j->queue[low].from)
			low = i;
	*from = j->queue[low].from;
	*to = j->queue[low].to;
	if (*to - *from > range_bytes(j)) {
		*to = *from + range_bytes(j);
		j->queue[low].from = *to;
	} else {
		j->queue[low] = j->queue[--j->n_queue];
	}
	return true;
}

static unsigned busy_streams(const struct job *j)
{
	unsigned n = 0;
	for (size_t i = 0; i < PULL_STREAMS_MAX; i++)
		n += j->p->stream[i].busy;
	return n;
}

/* ---- streams ---- */
static enum err start(struct job *j, struct pull_stream *s, struct err_info *info)
{
	if (!s->url[0] && snprintf(s->url, sizeof s->url, "%s/blobs/sha256:%s", j->p->base,
				  j->l->digest) > URL_MAX)
		return ERR_LIMIT;
	uint64_t max = s->to > s->from ? s->to - s->from : j->l->size;
	return pull_stream_start(j->p, s, j->sink, max, info);
}

static bool fatal(enum err e)
{
	return e == ERR_EGRESS || e == ERR_TOO_LARGE || e == ERR_INVALID || e == ERR_NOMEM ||
	       e == ERR_LIMIT || e == ERR_NOT_FOUND || e == ERR_CANCELLED;
}

/* The piece goes back, or the stream waits a little and tries the same again. */
static enum err try_later(struct job *j, struct pull_stream *s, enum err e, struct err_info *info)
{
	if (fatal(e))
		return e;
	if (++j->tries >= PULL_TRIES)
		return e;
	int64_t first = j->p->pulls->o.retry_ms ? j->p->pulls->o.retry_ms : 500;
	int64_t pause = first << (j->tries - 1);
	s->begin_ms = time_mono_ms() + (pause > 30000 ? 30000 : pause);
	s->busy = true;
	s->hops = 0;
	s->url[0] = j->url[0] =
		'\0'; /* a signed address may have run out: ask the registry again */
	return OK;
}

/* An answer that is not the bytes: another address, a token, a refusal. */
static enum err on_status(
	struct job *j, struct pull_stream *s, const struct pull_mail *m, struct err_info *info)
{
	if (m->status >= 300 && m->status <= 399) {
		if (++s->hops > PULL_HOPS_MAX)
			return err_set(
				info, ERR_UPSTREAM, "%s redirects too often", j->p->name.host);
		TRY(pull_redirect(j->p, s->url, m->location, info));
		memcpy(j->url, s->url, sizeof j->url);
		return start(j, s, info);
	}
	bool redirected = s->hops > 0 || j->url[0];
	if ((m->status == 401 || m->status == 403) && redirected)
		return try_later(j, s, ERR_UPSTREAM, info);
	if (m->status == 401 && !j->asked_token && m->auth[0]) {
		struct pull_mail asked = *m; /* the mailbox is used again meanwhile */
		asked.body = (struct buf){ 0 };
		uint64_t from = s->from, to = s->to;
		j->asked_token = true;
		pull_streams_stop(
			j->p); /* the question needs stream 0; the pieces come back by STATE */
		TRY(pull_authenticate(j->p, &asked, info));
		put_back(j, from, to);
		return writer_ask(j->control, WRITER_ASK);
	}
	enum err e = pull_status_error(j->p, m->status, info);
	return m->status == 429 || m->status >= 500 ? try_later(j, s, e, info) : e;
}

static enum err begin_whole(struct job *j)
{
	j->whole_mode = true;
	j->n_queue = 0;
	pull_streams_stop(j->p);
	return OK;
}

static enum err on_ended(
	struct job *j, struct pull_stream *s, struct pull_mail *m, struct err_info *info)
{
	bool ranged = s->to > s->from;
	if (m->code == ERR_UNSUPPORTED && ranged)
		return begin_whole(j);
	bool bytes = m->status >= 200 && m->status <= 299;
	if (!m->code && !bytes)
		return on_status(j, s, m, info);
	uint64_t moved = ranged && m->moved > s->to - s->from ? s->to - s->from : m->moved;
	if (!bytes)
		moved = 0;
	if (m->code) {
		enum err e = err_set(info, m->code, "%s", m->detail);
		if (moved > 0)
			j->tries = 0;
		if (e == ERR_CLOSED && j->p->event.kind == WRITER_EV_FAILED)
			return e;
		if (ranged)
			s->from += moved;
		return try_later(j, s, e, info);
	}
	if (!moved && j->l->size)
		return try_later(j, s, err_set(info, ERR_UPSTREAM, "an empty answer came"), info);
	if (ranged)
		put_back(j, s->from + moved, s->to);
	s->url[0] = '\0';
	return OK;
}

static enum err hear_streams(struct job *j, struct err_info *info)
{
	struct pull_mail *m;
	for (size_t i = 0; i < PULL_STREAMS_MAX; i++)
		if (pull_stream_take(j->p, &j->p->stream[i], &m))
			TRY(on_ended(j, &j->p->stream[i], m, info));
	return OK;
}

/* Gives idle streams work, and starts those whose pause is over. */
static enum err feed(struct job *j, struct err_info *info)
{
	unsigned most = j->p->pulls->o.streams ? j->p->pulls->o.streams : PULL_STREAMS;
	int64_t now = time_mono_ms();
	if (j->whole_mode || most > PULL_STREAMS_MAX)
		most = j->whole_mode ? 1 : PULL_STREAMS_MAX;
	for (unsigned i = 0; i < most; i++) {
		struct pull_stream *s = &j->p->stream[i];
		if (s->out || (s->busy && s->begin_ms > now))
			continue;
		if (!s->busy) {
			if (j->whole_mode ? j->fetched : !take_piece(j, &s->from, &s->to))
				continue;
			if (j->whole_mode)
				s->from = s->to = 0;
			j->fetched = j->whole_mode;
			s->hops = 0;
			memcpy(s->url, j->url, sizeof s->url);
		} else if (s->from >= s->to && !j->whole_mode) {
			s->busy = false; /* its bytes all came before it failed */
			continue;
		}
		enum err e = start(j, s, info);
		if (e)
			TRY(try_later(j, s, e, info));
	}
	return OK;
}

static void tell(struct job *j)
{
	char status[32];
	(void)snprintf(status, sizeof status, "pulling %.12s", j->l->digest);
	pull_tell(j->p, status, j->l->digest, j->l->size, j->have, false);
}

/* All pieces are out and back: what does the writer say? */
static enum err ask_writer(struct job *j)
{
	j->asking = true;
	return writer_ask(j->control, WRITER_FINISH);
}

static enum err after_state(struct job *j, struct err_info *info)
{
	/* STATE after FINISH: pieces are missing. Each round must bring something. */
	if (j->have > j->best_have) {
		j->best_have = j->have;
		j->tries = 0;
	} else if (++j->tries >= PULL_TRIES) {
		return err_set(
			info, ERR_UPSTREAM, "%s does not send all of the model", j->p->name.host);
	}
	return OK;
}

static enum err fetch_all(struct job *j, struct err_info *info)
{
	j->heard_ms = time_mono_ms();
	while (!j->whole) {
		bool was_asking = j->asking;
		TRY(hear_writer(j, info));
		if (j->whole)
			break;
		if (was_asking && !j->asking) {
			TRY(after_state(j, info));
			j->fetched = false;
		}
		if (pull_is_cancelled(j->p))
			return ERR_CANCELLED;
		if (j->have > j->best_have) {
			j->best_have = j->have;
			j->tries = 0;
		}
		TRY(hear_streams(j, info));
		tell(j);
		if (j->know_gaps && !j->asking) {
			TRY(feed(j, info));
			if (!busy_streams(j) && !j->n_queue)
				TRY(ask_writer(j));
		}
		if (time_mono_ms() - j->heard_ms > WRITER_SILENCE_MS &&
			(!j->know_gaps || j->asking))
			return err_set(info, ERR_TIMEOUT,
				"the process that writes the model does not answer");
		pull_wait(j->p, ipc_fd(j->control), TELL_MS);
	}
	return OK;
}

static enum err stage(struct job *j, struct err_info *info)
{
	const struct pulls_options *o = &j->p->pulls->o;
	for (;;) {
		enum err e = o->ops->stage(
			o->ops_arg, j->l->digest, j->l->size, &j->control, &j->sink, info);
		if (e != ERR_LOCKED)
			return e;
		/* Another pull brings the same blob: wait for it. */
		if (pull_is_cancelled(j->p))
			return ERR_CANCELLED;
		pull_wait(j->p, -1, LOCKED_WAIT_MS);
	}
}

/* One writer's life. *ret_died: it ended without a word, so another may go on where it was. */
static enum err with_writer(
	struct pull *p, const struct layer *l, bool *ret_died, struct err_info *info)
{
	struct job *j = mem_zalloc(1, sizeof *j);
	if (!j)
		return ERR_NOMEM;
	j->p = p;
	j->l = l;
	j->sink = -1;
	enum err e = stage(j, info);
	bool there = e == ERR_EXISTS;
	if (!e)
		e = fetch_all(j, info);
	pull_streams_stop(p);
	if (e && !there && j->control) { /* did the writer say why? That is the better reason */
		struct err_info why = { 0 };
		enum err w = hear_writer(j, &why);
		*ret_died = w == ERR_CLOSED;
		if (w && w != ERR_CLOSED) {
			e = w;
			*info = why;
		}
	}
	(void)ipc_free(j->control);
	if (j->sink >= 0)
		(void)close(j->sink);
	mem_free(j);
	if (!e)
		e = p->pulls->o.ops->commit(p->pulls->o.ops_arg, l->digest, info);
	return there ? OK : e;
}

enum err pull_blob(struct pull *p, const struct layer *l, struct err_info *info)
{
	for (unsigned writers = 1;; writers++) {
		bool died = false;
		enum err e = with_writer(p, l, &died, info);
		if (!died || writers == WRITERS_MAX || pull_is_cancelled(p))
			return e;
	}
}

enum err pull_copied(
	struct pull *p, struct ipc *control, const struct layer *l, struct err_info *info)
{
	struct job *j = mem_zalloc(1, sizeof *j);
	if (!j)
		return ERR_NOMEM;
	j->p = p;
	j->l = l;
	j->control = control;
	j->sink = -1;
	enum err e = OK;
	while (!e && !j->whole) {
		e = hear_writer(j, info);
		tell(j);
		if (!e && pull_is_cancelled(p))
			e = ERR_CANCELLED;
		if (!e && !j->whole)
			pull_wait(p, ipc_fd(control), 1000);
	}
	mem_free(j);
	return e;
}
