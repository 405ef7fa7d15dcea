/* States: RECEIVING (frames, notes, hashing as the prefix grows) -> FINISHING (FINISH came: the
 * sink
 * is drained, the rest hashed) -> one of the ends in writer.h. Copy mode starts in FINISHING.
 * Invariants: bytes below `hashed` are never written again, so what was hashed is what lies in the
 * file; the journal's ranges are a subset of what is durable; `have` is what was written. */
#include "models/writer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/fault.h"
#include "base/hex.h"
#include "base/time.h"
#include "models/journal.h"
#include "os/fd.h"
#include "proto/sink.h"

enum {
	CHUNK = 1024 * 1024,   /* bytes read back at once */
	HASH_STEP = 8 * CHUNK, /* bytes hashed between looks at the channels */
	FRAMES_STEP = 64,      /* frames taken between looks at the channels */
	TELL_MS = 100,
	END_WHOLE = 0,
	END_MISMATCH = 1,
	END_FAILED = 2,
	END_STOPPED = 3,
	GO_ON = -1,
};

struct writer {
	const struct writer_job *job;
	struct journal journal;
	struct ranges have;
	struct sha256 hash;
	uint64_t hashed, unsynced, told_have, told_hashed;
	int64_t synced_ms, told_ms;
	bool finishing, sink_ended;
	struct err_info why;
	uint8_t mem[CHUNK];
	uint8_t frame[SINK_FRAME_HEAD + SINK_FRAME_MAX + 1];
};

/* ---- saying ---- */
static enum err say(struct writer *w, struct ipc_out *m)
{
	enum err e = ipc_send(w->job->control, m);
	ipc_out_done(m);
	return e;
}

static enum err say_state(struct writer *w)
{
	struct writer_range gap[WRITER_GAPS_MAX];
	size_t n = ranges_gaps(&w->have, w->job->size, gap, WRITER_GAPS_MAX);
	struct ipc_out m;
	ipc_out_init(&m, WRITER_STATE, 0);
	ipc_put_u64(&m, w->job->size);
	ipc_put_u64(&m, ranges_total(&w->have));
	ipc_put_u64(&m, n);
	for (size_t i = 0; i < n; i++) {
		ipc_put_u64(&m, gap[i].from);
		ipc_put_u64(&m, gap[i].to);
	}
	return say(w, &m);
}

static enum err say_progress(struct writer *w)
{
	uint64_t have = ranges_total(&w->have);
	int64_t now = time_mono_ms();
	if ((have == w->told_have && w->hashed == w->told_hashed) || now - w->told_ms < TELL_MS)
		return OK;
	w->told_have = have;
	w->told_hashed = w->hashed;
	w->told_ms = now;
	struct ipc_out m;
	ipc_out_init(&m, WRITER_PROGRESS, 0);
	ipc_put_u64(&m, have);
	ipc_put_u64(&m, w->hashed);
	return say(w, &m);
}

static int end(struct writer *w, struct ipc_out *m, int status)
{
	if (say(w, m) || ipc_drain(w->job->control, 5000))
		return status == END_WHOLE ? END_FAILED : status;
	return status;
}

/* ---- keeping ---- */
static enum err note(struct writer *w)
{
	w->synced_ms = time_mono_ms();
	if (!w->unsynced)
		return OK;
	TRY(fd_sync(w->job->file_fd));
	TRY(journal_note(&w->journal, &w->have));
	w->unsynced = 0;
	return OK;
}

static int fail(struct writer *w, enum err e)
{
	struct ipc_out m;
	(void)note(w); /* the parts that came are good; when even this fails, the last note holds */
	if (!w->why.detail[0])
		(void)err_set(&w->why, e, "%s", err_text(e));
	ipc_out_init(&m, WRITER_FAILED, 0);
	ipc_put_u64(&m, e);
	ipc_put_str(&m, str_from(w->why.detail));
	return end(w, &m, END_FAILED);
}

/* Writes `n` bytes that belong at `at`; what is hashed already is left alone. */
static enum err keep(struct writer *w, uint64_t at, const uint8_t *p, size_t n)
{
	uint64_t to;
	if (__builtin_add_overflow(at, n, &to) || to > w->job->size)
		return err_set(&w->why, ERR_PROTOCOL, "bytes beyond the end of the file were sent");
	if (to <= w->hashed)
		return OK;
	if (at < w->hashed) {
		p += w->hashed - at;
		at = w->hashed;
	}
	n = (size_t)(to - at);
	enum err e = fd_pwrite_full(w->job->file_fd, p, n, at);
	if (e == ERR_NOSPACE)
		return err_set(&w->why, e, "the disk is full; %llu more bytes are needed",
			(unsigned long long)(w->job->size - ranges_total(&w->have)));
	TRY(e);
	e = ranges_add(&w->have, at, to);
	if (e)
		return err_set(&w->why, ERR_PROTOCOL, "the parts came in too many pieces");
	w->unsynced += n;
	if (at == w->hashed) {
		sha256_add(&w->hash, p, n);
		w->hashed = to;
	}
	return OK;
}

/* Hashes what is there behind the hashed prefix, up to HASH_STEP bytes. */
static enum err hash_more(struct writer *w)
{
	uint64_t reach = ranges_reach(&w->have, w->hashed);
	uint64_t stop = reach - w->hashed > HASH_STEP ? w->hashed + HASH_STEP : reach;
	while (w->hashed < stop) {
		size_t n = stop - w->hashed < CHUNK ? (size_t)(stop - w->hashed) : CHUNK;
		TRY(fd_pread_full(w->job->file_fd, w->mem, n, w->hashed));
		sha256_add(&w->hash, w->mem, n);
		w->hashed += n;
	}
	return OK;
}

/* ---- receiving ---- */
/* Takes up to `max` frames. ERR_AGAIN: the sink is empty. */
static enum err take_frames(struct writer *w, size_t max)
{
	for (size_t i = 0; i < max; i++) {
		uint64_t at;
		size_t n;
		if (w->sink_ended)
			return ERR_AGAIN;
		enum err e = sink_take(w->job->sink_fd, w->frame, &at, &n);
		if (e == ERR_CLOSED) { /* the control channel decides what that means */
			w->sink_ended = true;
			return ERR_AGAIN;
		}
		if (e == ERR_PROTOCOL)
			return err_set(&w->why, e, "a frame of a wrong size was sent");
		TRY(e);
		TRY(keep(w, at, w->frame + SINK_FRAME_HEAD, n));
	}
	return OK;
}

static enum err drain_sink(struct writer *w)
{
	for (;;) {
		enum err e = take_frames(w, FRAMES_STEP);
		if (e)
			return e == ERR_AGAIN ? OK : e;
	}
}

static enum err copy_more(struct writer *w)
{
	for (int i = 0; i < HASH_STEP / CHUNK; i++) {
		uint64_t at = ranges_reach(&w->have, w->hashed);
		if (at >= w->job->size)
			return OK;
		size_t n = w->job->size - at < CHUNK ? (size_t)(w->job->size - at) : CHUNK;
		if (fd_pread_full(w->job->source_fd, w->mem, n, at))
			return err_set(&w->why, ERR_IO, "the source is shorter than it should be");
		TRY(keep(w, at, w->mem, n));
	}
	return OK;
}

static enum err take_control(struct writer *w)
{
	for (;;) {
		AUTO_IPC_IN struct ipc_in m = { 0 };
		TRY(ipc_recv(w->job->control, &m));
		uint16_t type = m.type;
		if (ipc_end(&m) || (type != WRITER_ASK && type != WRITER_FINISH))
			return ERR_PROTOCOL;
		if (w->job->sink_fd >= 0)
			TRY(drain_sink(w));
		if (type == WRITER_ASK)
			TRY(say_state(w));
		else
			w->finishing = true;
	}
}

/* ---- ends ---- */
static int finish(struct writer *w)
{
	uint8_t sum[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];
	struct ipc_out m;
	sha256_end(&w->hash, sum);
	if (memcmp(sum, w->job->digest, sizeof sum) != 0) {
		struct ranges none = { 0 };
		(void)journal_note(&w->journal, &none); /* nobody knows which part is wrong */
		hex_encode(sum, sizeof sum, hex);
		ipc_out_init(&m, WRITER_MISMATCH, 0);
		ipc_put_str(&m, str_from(hex));
		return end(w, &m, END_MISMATCH);
	}
	enum err e = note(w);
	if (e)
		return fail(w, e);
	ipc_out_init(&m, WRITER_WHOLE, 0);
	return end(w, &m, END_WHOLE);
}

static int wait_for_work(struct writer *w)
{
	struct pollfd p[2] = {
		{ .fd = ipc_fd(w->job->control), .events = POLLIN },
		{ .fd = w->sink_ended ? -1 : w->job->sink_fd, .events = POLLIN },
	};
	bool hashing = ranges_reach(&w->have, w->hashed) > w->hashed;
	bool copying = w->job->source_fd >= 0 && w->hashed < w->job->size;
	int timeout = hashing || copying ? 0 : w->unsynced ? TELL_MS : -1;
	if (ipc_wants_write(w->job->control))
		p[0].events |= POLLOUT;
	if (poll(p, 2, timeout) < 0 && errno != EINTR)
		return END_FAILED;
	if (p[0].revents & POLLOUT)
		(void)ipc_flush(w->job->control);
	return GO_ON;
}

/* The server left, which shows when hearing or when speaking: keep what came. */
static int stop(struct writer *w)
{
	enum err e = w->job->sink_fd >= 0 ? drain_sink(w) : OK;
	return note(w) || e ? END_FAILED : END_STOPPED;
}

static int step(struct writer *w)
{
	int status = wait_for_work(w);
	if (status != GO_ON)
		return status;
	enum err e = take_control(w);
	if (e == ERR_CLOSED)
		return stop(w);
	if (e && e != ERR_AGAIN)
		return fail(w, e);
	e = w->job->source_fd >= 0 ? copy_more(w) : take_frames(w, FRAMES_STEP);
	if (e && e != ERR_AGAIN)
		return fail(w, e);
	e = hash_more(w);
	if (!e && (w->unsynced >= WRITER_SYNC_BYTES ||
			  time_mono_ms() - w->synced_ms >= WRITER_SYNC_MS))
		e = note(w);
	if (e)
		return fail(w, e);
	if (w->finishing && w->hashed == w->job->size)
		return finish(w);
	if (w->finishing && w->job->source_fd < 0 && ranges_total(&w->have) < w->job->size) {
		w->finishing = false; /* parts are missing: say which, go on receiving */
		return say_state(w) ? stop(w) : GO_ON;
	}
	return say_progress(w) ? stop(w) : GO_ON;
}

int writer_job_main(const struct writer_job *j)
{
	struct writer *w = mem_zalloc(1, sizeof *w);
	if (!w)
		return END_FAILED;
	w->job = j;
	w->finishing = j->source_fd >= 0;
	w->synced_ms = time_mono_ms();
	sha256_init(&w->hash);
	enum err e = journal_open(&w->journal, j->journal_fd, j->size, j->digest, &w->have);
	/* Both slots written once: their disk space is then there when the disk runs full. */
	if (!e)
		e = journal_note(&w->journal, &w->have);
	if (!e)
		e = journal_note(&w->journal, &w->have);
	if (!e)
		e = say_state(w);
	int status = e ? fail(w, e) : GO_ON;
	while (status == GO_ON)
		status = step(w);
	mem_free(w);
	return status;
}

/* ---- the other ends ---- */
static void read_state(struct ipc_in *m, struct writer_event *ret)
{
	ret->size = ipc_get_u64(m);
	ret->have = ipc_get_u64(m);
	uint64_t n = ipc_get_u64(m);
	if (n > WRITER_GAPS_MAX)
		m->err = ERR_PROTOCOL;
	for (uint64_t i = 0; i < n && !m->err; i++) {
		uint64_t from = ipc_get_u64(m), to = ipc_get_u64(m);
		if (from >= to || to > ret->size)
			m->err = ERR_PROTOCOL;
		ret->gaps[ret->n_gaps++] = (struct writer_range){ from, to };
	}
}

enum err writer_wait(struct ipc *control, int timeout_ms, struct writer_event *ret)
{
	AUTO_IPC_IN struct ipc_in m = { 0 };
	TRY(ipc_recv_wait(control, timeout_ms, &m));
	ret->n_gaps = 0;
	ret->digest[0] = ret->detail[0] = '\0';
	ret->code = OK;
	switch (m.type) {
	case WRITER_STATE:
		ret->kind = WRITER_EV_STATE;
		read_state(&m, ret);
		break;
	case WRITER_PROGRESS:
		ret->kind = WRITER_EV_PROGRESS;
		ret->have = ipc_get_u64(&m);
		ret->hashed = ipc_get_u64(&m);
		break;
	case WRITER_WHOLE:
		ret->kind = WRITER_EV_WHOLE;
		break;
	case WRITER_MISMATCH:
		ret->kind = WRITER_EV_MISMATCH;
		if (str_copy(ipc_get_str(&m), ret->digest, sizeof ret->digest))
			m.err = ERR_PROTOCOL;
		break;
	case WRITER_FAILED: {
		ret->kind = WRITER_EV_FAILED;
		uint64_t code = ipc_get_u64(&m);
		ret->code = code > OK && code < ERR_COUNT_ ? (enum err)code : ERR_PROTOCOL;
		if (str_copy(ipc_get_str(&m), ret->detail, sizeof ret->detail))
			m.err = ERR_PROTOCOL;
		break;
	}
	default:
		return ERR_PROTOCOL;
	}
	return ipc_end(&m);
}

enum err writer_ask(struct ipc *control, enum writer_msg ask_or_finish)
{
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, (uint16_t)ask_or_finish, 0);
	return ipc_send(control, &m);
}
