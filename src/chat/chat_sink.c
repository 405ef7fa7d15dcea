#include "chat/chat_int.h"

#include <string.h>

#include "base/hex.h"
#include "base/time.h"
#include "models/own.h"

uint64_t utf16_units(struct str s)
{
	uint64_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		n += (c & 0xc0) != 0x80; /* every character once, */
		n += c >= 0xf0;          /* those beyond the 16-bit plane twice */
	}
	return n;
}

/* ---- events ---- */

static void begin_event(struct jw *w, struct buf *out, const char *type, const struct answer *a)
{
	jw_init(w, out);
	jw_obj(w);
	jw_kstr(w, "type", str_from(type));
	jw_kstr(w, "conversation", str_from(a->conversation));
	jw_kstr(w, "message", str_from(a->id));
}

static void send_event(struct jw *w, const struct chats *c, const struct answer *a)
{
	jw_end(w);
	if (!w->out->err) /* a lost delta is a gap, which pages heal by reading the message */
		hub_tell(c->opt.hub, a->person, buf_str(w->out));
}

void tell_delta(struct answer *a, uint64_t offset, struct str text, bool thinking)
{
	AUTO_BUF struct buf out = BUF(CHAT_EVENT_MAX);
	struct jw w;
	begin_event(&w, &out, "delta", a);
	jw_ki64(&w, "offset", (int64_t)offset);
	jw_kstr(&w, "text", text);
	jw_kbool(&w, "thinking", thinking);
	send_event(&w, a->chats, a);
}

void tell_rewind(struct chats *c, const struct answer *a, uint64_t offset)
{
	AUTO_BUF struct buf out = BUF(4096);
	struct jw w;
	begin_event(&w, &out, "rewind", a);
	jw_ki64(&w, "offset", (int64_t)offset);
	send_event(&w, c, a);
}

static void tell_queue(const struct answer *a, const struct fleet_event *e)
{
	AUTO_BUF struct buf out = BUF(4096);
	struct jw w;
	begin_event(&w, &out, "queue", a);
	jw_ki64(&w, "position", e->position);
	jw_kbool(&w, "loading", e->loading);
	if (e->estimate_ms >= 0)
		jw_ki64(&w, "estimate_ms", e->estimate_ms);
	send_event(&w, a->chats, a);
}

/* ---- text ---- */

struct grown {
	bool rewound;
	uint64_t rewind_to, offset; /* UTF-16 code units */
	struct str text;            /* new; borrowed from the delta */
};

/* Bytes that `text` and what is stored from t->seen on have in common, cut to whole characters. */
static size_t repeated(const struct told *t, struct str text)
{
	size_t most = t->text.len - t->seen, n = 0;
	if (most > text.len)
		most = text.len;
	while (n < most && t->text.ptr[t->seen + n] == text.ptr[n])
		n++;
	while (n && n < text.len && ((unsigned char)text.ptr[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* Takes what an engine told: skips what is there, cuts what it tells differently, adds the rest. */
static enum err grow(struct told *t, struct str text, struct grown *ret)
{
	size_t same = repeated(t, text);
	*ret = (struct grown){ .text = str_sub(text, same, text.len - same) };
	t->seen += same;
	if (ret->text.len && t->seen < t->text.len) {
		buf_cut(&t->text, t->seen);
		t->units = utf16_units(buf_str(&t->text));
		ret->rewound = true;
		ret->rewind_to = t->units;
	}
	ret->offset = t->units;
	if (!ret->text.len)
		return OK;
	TRY(buf_add(&t->text, ret->text));
	t->seen = t->text.len;
	t->units += utf16_units(ret->text);
	return OK;
}

static void mark_dirty(struct answer *a)
{
	if (!a->dirty)
		a->dirty_since_ms = time_mono_ms();
	bool first = !a->dirty;
	a->dirty = true;
	if (first || a->tokens.len - a->tokens_stored >= CHAT_FLUSH_TOKENS * sizeof(int32_t))
		pthread_cond_signal(&a->chats->wake);
}

static void on_delta(struct answer *a, const struct gen_delta *d)
{
	struct chats *c = a->chats;
	struct grown g = { 0 };
	uint64_t cancel = 0;
	pthread_mutex_lock(&c->lock);
	if (a->phase != ANSWER_STARTING && a->phase != ANSWER_RUNNING) {
		pthread_mutex_unlock(&c->lock);
		return;
	}
	enum err e = buf_add(&a->tokens, (struct str){ (const char *)d->tokens,
						      d->n_tokens * sizeof(int32_t) });
	if (!e)
		e = grow(d->thinking ? &a->thinking : &a->content, d->text, &g);
	if (e) {
		struct str why = e == ERR_LIMIT ? STR("the answer became too long") : STR_NONE;
		answer_end(a, "failed", e, why);
		cancel = a->fleet_id;
		g.text = STR_NONE;
	} else {
		mark_dirty(a);
	}
	pthread_mutex_unlock(&c->lock);
	if (g.rewound && !d->thinking)
		tell_rewind(c, a, g.rewind_to);
	if (g.text.len)
		tell_delta(a, g.offset, g.text, d->thinking);
	if (cancel)
		fleet_cancel(c->opt.fleet, cancel);
}

/* ---- beginning and end ---- */

static void copy_str(char *dst, size_t size, struct str s)
{
	s = str_sub(s, 0, size - 1);
	if (s.len)
		memcpy(dst, s.ptr, s.len);
	dst[s.len] = '\0';
}

static void on_begun(struct answer *a, const struct fleet_event *e)
{
	pthread_mutex_lock(&a->chats->lock);
	if (a->phase == ANSWER_STARTING || a->phase == ANSWER_RUNNING) {
		copy_str(a->engine_build, sizeof a->engine_build, e->engine->build);
		if (!a->template_hash[0]) /* else the model brought one */
			copy_str(a->template_hash, sizeof a->template_hash,
				e->engine->template_hash);
		a->seed = e->begun.seed;
		if (e->begun.truncated_tokens)
			answer_warn(a, "truncated_tokens", e->begun.truncated_tokens);
		mark_dirty(a); /* the seed is what a restart needs to go on alike */
	}
	pthread_mutex_unlock(&a->chats->lock);
}

static void on_done(struct answer *a, const struct gen_done *d)
{
	a->has_stats = true;
	a->stats = *d;
	if (d->reason == GEN_LENGTH)
		answer_warn(a, "length", d->answer_tokens);
	/* Text that the engine did not repeat after a restart stays: it was accepted once. */
	answer_end(a, d->reason == GEN_CANCELLED ? "stopped" : "done", OK, STR_NONE);
}

/* The last event: after it the fleet forgets `a`. */
static void on_end(struct answer *a, const struct fleet_event *e)
{
	struct chats *c = a->chats;
	pthread_mutex_lock(&c->lock);
	if (a->phase == ANSWER_STARTING || a->phase == ANSWER_RUNNING) {
		if (e->kind == FLEET_DONE)
			on_done(a, &e->done);
		else
			answer_end(a, "failed", e->failed.code, e->failed.detail);
	}
	c->outstanding--;
	pthread_cond_broadcast(&c->gone);
	answer_unref(a);
	pthread_mutex_unlock(&c->lock);
}

static void on_event(const struct fleet_event *e, void *arg)
{
	struct answer *a = arg;
	switch (e->kind) {
	case FLEET_QUEUED:
		tell_queue(a, e);
		break;
	case FLEET_BEGUN:
		on_begun(a, e);
		break;
	case FLEET_DELTA:
		on_delta(a, &e->delta);
		break;
	case FLEET_REWIND: /* the text is told again from its first byte */
		pthread_mutex_lock(&a->chats->lock);
		a->content.seen = a->thinking.seen = 0;
		pthread_mutex_unlock(&a->chats->lock);
		break;
	case FLEET_EMBEDDED: /* of no generation, as the next two */
	case FLEET_COUNTED:
	case FLEET_TOKENED:
		break;
	case FLEET_DONE:
	case FLEET_FAILED:
		on_end(a, e);
		break;
	}
}

/* ---- starting ---- */

static void add_own(void *input, struct str role, struct str content)
{
	struct buf *to = input;
	struct jw w;
	(void)buf_add_byte(to, to->len ? ',' : '[');
	jw_init(&w, to);
	jw_obj(&w);
	jw_kstr(&w, "role", role);
	jw_kstr(&w, "content", content);
	jw_kstr(&w, "share", STR("company")); /* the same for everybody */
	jw_end(&w);
}

/* What the model brings of its own, as for every other client: template, options, first messages.
 * A name that means another model by now brings nothing. `input` is used when it is not empty. */
static enum err take_own(const struct answer *a, struct str history, struct model_own *own,
	struct buf *input, struct gen_request *g)
{
	struct model_store *s = a->chats->opt.models;
	struct model_options o;
	struct model_entry m;
	gen_sampling_defaults(&g->sampling);
	if (!s || model_store_find(s, str_from(a->model.name), &m, NULL) ||
		strcmp(m.model_digest, a->model.digest) != 0)
		return OK;
	if (model_own_read(s, &m, own)) /* it answers all the same */
		return OK;
	model_options_init(&o);
	model_options_read(&o, own->params, NULL, NULL);
	g->template_ = buf_str(&own->template_);
	g->sampling = o.sampling;
	g->max_context = o.num_ctx;
	for (; g->n_stop < o.n_stop; g->n_stop++)
		g->stop[g->n_stop] = o.stop[g->n_stop];
	model_own_messages(own, true, add_own, input);
	if (!input->len)
		return input->err;
	TRY(buf_add_byte(input, history.len > 2 ? ',' : ']'));
	TRY(buf_add(input, history.len > 2 ? str_sub(history, 1, SIZE_MAX) : STR("")));
	g->input = buf_str(input);
	return OK;
}

void answer_start(struct answer *a, const struct past *past)
{
	struct chats *c = a->chats;
	AUTO_BUF struct buf resume = BUF(LIMIT_ANSWER), whole = BUF(5 * CHAT_HISTORY_MAX);
	AUTO_OWN struct model_own own = { .params = NULL };
	struct gen_request g = { .kind = GEN_CHAT, .input = buf_str(&past->input),
				 .truncate = true, .n_pictures = past->n,
				 .person = gen_number(str_from(a->person)),
				 .object = gen_number(str_from(a->conversation)) };
	memcpy(g.picture, past->picture, past->n * sizeof *g.picture);
	enum err e = take_own(a, g.input, &own, &whole, &g);
	pthread_mutex_lock(&c->lock);
	if (!e)
		e = buf_add(&resume, buf_str(&a->tokens));
	if (g.template_.len) {
		uint8_t sum[SHA256_LEN];
		sha256_of(g.template_.ptr, g.template_.len, sum);
		hex_encode(sum, sizeof sum, a->template_hash);
	}
	if (a->seed >= 0)
		g.sampling.seed = a->seed;
	g.resume = (const int32_t *)(const void *)resume.ptr;
	g.n_resume = resume.len / sizeof(int32_t);
	a->refs++; /* the fleet's, until its last event */
	c->outstanding++;
	pthread_mutex_unlock(&c->lock);
	uint64_t id = 0;
	if (!e)
		e = fleet_start(c->opt.fleet, &a->model, &g, on_event, a, &id);
	pthread_mutex_lock(&c->lock);
	if (e) {
		answer_end(a, "failed", e, STR_NONE);
		c->outstanding--;
		answer_unref(a);
	} else {
		a->fleet_id = id;
		if (a->phase == ANSWER_STARTING)
			a->phase = ANSWER_RUNNING;
		else /* stopped or deleted while it started: nobody knew the id to cancel */
			e = ERR_CANCELLED;
	}
	pthread_mutex_unlock(&c->lock);
	if (e == ERR_CANCELLED)
		fleet_cancel(c->opt.fleet, id);
}
