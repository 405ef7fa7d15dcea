/* Pictures: their rows are made beside all else, one picture at a time, and read like tokens once
 * they are there. */
#include "engine/scheduler_int.h"

const struct engine_media *sched_picture_at(const struct slot *l)
{
	size_t at = l->reader ? l->reader->kv.n : l->kv.n;
	const struct engine_media *m = media_from(&l->req->media, at);
	return m && m->at <= at ? m : NULL;
}

/* Runs of pictures that the request has behind it. */
static size_t seen(const struct slot *l, const struct engine_media *m)
{
	return (size_t)(m - l->req->media.v);
}

/* Who stands before a picture in this pool; first those with the fewest behind them, then in the
 * order in which they came: so one with many holds up nobody with one. */
static size_t who_waits(struct sched *s, enum engine_pool p, struct slot **v)
{
	size_t n = 0;
	EACH_RUNNING(s, l)
	{
		const struct engine_media *m = sched_picture_at(l);
		if (!m || l->pool != p || l->leader)
			continue;
		size_t i = n++;
		for (; i > 0; i--) {
			struct slot *o = v[i - 1];
			size_t a = seen(l, m), b = seen(o, sched_picture_at(o));
			if (b < a || (b == a && o->req->order < l->req->order))
				break;
			v[i] = o;
		}
		v[i] = l;
	}
	return n;
}

/* Rows of the run that fit into this step; a picture whose rows see each other comes whole. */
static uint32_t rows_now(const struct sched *s, const struct slot *l, const struct engine_media *m)
{
	uint32_t from = (uint32_t)l->kv.n - m->at, left = m->n - from;
	if (m->non_causal)
		return l->n_rows ? m->n : 0;
	left = left < l->n_rows ? left : (uint32_t)l->n_rows;
	return left < s->caps->n_batch ? left : s->caps->n_batch;
}

static enum err read_rows(struct sched *s, struct slot *l, const struct engine_media *m, uint32_t n)
{
	int64_t from = sched_now(s);
	uint32_t at = (uint32_t)l->kv.n - m->at;
	s->computed = true;
	enum err e = s->ops->decode_rows(s->backend, l->pool, m, at, n, l->seq);
	if (e == ERR_AGAIN) {
		sched_make_room(s, l->pool);
		return OK;
	}
	if (e == ERR_INVALID) {
		sched_finish_failed(s, l, ERR_ENGINE, "the model refused the picture");
		return OK;
	}
	TRY(e);
	int64_t spent = sched_now(s) - from;
	if (n >= CHUNK_MIN && spent > 0)
		sched_smooth(&s->token_ns, (double)spent / n);
	s->stats.tokens_in += n;
	return cells_grow(s->cells, l, l->req->feed.v + l->kv.n, n);
}

enum err sched_read_pictures(struct sched *s, enum engine_pool p)
{
	struct slot *v[CELLS_SLOTS];
	for (size_t i = 0, n = who_waits(s, p, v); i < n; i++) {
		struct slot *l = v[i];
		const struct engine_media *m = l->req ? sched_picture_at(l) : NULL;
		if (!m)
			continue; /* made way for another */
		if (m->non_causal && l->kv.n > m->at) /* a part of it is of no use */
			cells_cut(s->cells, l, m->at);
		enum err e = s->ops->picture_rows(s->backend, m->of);
		if (e == ERR_AGAIN || e == ERR_BUSY)
			continue;
		if (e) {
			sched_finish_failed(s, l, e == ERR_NOMEM ? e : ERR_ENGINE,
				"the picture could not be read");
			continue;
		}
		uint32_t rows = l->kv.n >= m->at ? rows_now(s, l, m) : 0;
		if (rows && !sched_tell_begun(s, l))
			TRY(read_rows(s, l, m, rows));
	}
	return OK;
}
