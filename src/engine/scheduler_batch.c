/* Which tokens a step computes: answers first, then prompts within the wanted gap. */
#include "engine/draft.h"
#include "engine/scheduler_int.h"

enum {
	CHUNK_FIRST = 64,  /* tokens of prompt a step carries while nothing is measured */
	LOWER_SHARE = 8,   /* one part in so many of a step is for prompts of lower classes */
	/* Eight tokens at once cost up to four: many are guessed after a few were right. */
	DRAFT_FIRST = 2,
	DRAFT_RUNNING = 2, /* with more than so many running, their batch is wide enough without */
	/* Short prompts that come together are read together in a step of so many gaps, one step
	 * in so many: a hundredth of the gaps may be longer; more often when more people wait for
	 * their first token than for their next. */
	LONG_GAPS = 4,
	LONG_EVERY = 128,
	LONG_EVERY_MANY = 16,
	/* When so many gaps' worth of prompts waits beside the longest, gaps are twice as long: all
	 * are done sooner, because longer steps and wider batches cost less a token. */
	BACKLOG_GAPS = 32,
};

static const double GAP_AIM = 0.875; /* of the wanted gap */

/* Where its tokens are computed now. */
struct slot *sched_place_of(struct slot *l)
{
	return l->reader ? l->reader : l;
}

size_t sched_left(const struct slot *l)
{
	return l->req->feed.n - (l->reader ? l->reader->kv.n : l->kv.n);
}

static void put(struct sched *s, struct slot *l, size_t n)
{
	const struct slot *at = sched_place_of(l);
	l->out = s->n_batch + n - 1;
	for (size_t i = 0; i < n; i++) {
		size_t pos = at->kv.n + i;
		s->batch[s->n_batch++] = (struct engine_token){
			.token = l->req->feed.v[pos],
			.pos = (int32_t)pos,
			.seq = at->seq,
			.out = pos + 1 == l->req->feed.n,
		};
	}
	l->n_batch = n;
}

/* Guessed tokens behind the one that is due: computed with it, kept if they prove right. */
static void put_draft(struct sched *s, struct slot *l)
{
	struct request *r = l->req;
	size_t taken = s->n_batch + s->n_running; /* the others have their token in any case */
	size_t room = taken < s->caps->n_batch ? s->caps->n_batch - taken : 0;
	uint32_t may = r->limit > r->feed.n + 1 ? r->limit - (uint32_t)r->feed.n - 1 : 0;
	r->n_draft = 0;
	if (s->no_drafts || r->grammar || s->n_running > DRAFT_RUNNING || r->strict)
		return;
	if (r->draft_pause) {
		r->draft_pause--;
		return;
	}
	if (!r->may_draft)
		r->may_draft = DRAFT_FIRST;
	may = may < r->may_draft ? may : r->may_draft;
	may = may < room ? may : (uint32_t)room;
	r->n_draft = draft_lookup(&r->feed, r->draft, may);
	for (unsigned i = 0; i < r->n_draft; i++)
		s->batch[s->n_batch++] = (struct engine_token){ .token = r->draft[i],
			.pos = (int32_t)(l->kv.n + l->n_batch + i),
			.seq = l->seq,
			.out = true };
	s->stats.drafted += r->n_draft;
}

/* The tokens a strict request computes together depend on nothing but itself: its prompt in full
 * batches, then one at a time, as they were when it was drawn. */
static size_t strict_chunk(const struct sched *s, const struct slot *l)
{
	size_t prompt = l->req->prompt_tokens;
	if (l->kv.n >= prompt)
		return 1;
	size_t n = prompt - l->kv.n;
	return n < s->caps->n_batch ? n : s->caps->n_batch;
}

static size_t tokens_in(const struct sched *s, double ns)
{
	size_t n = CHUNK_FIRST;
	if (s->token_ns > 0)
		n = ns > CHUNK_MIN * s->token_ns ? (size_t)(ns / s->token_ns) : CHUNK_MIN;
	return n < s->caps->n_batch ? n : s->caps->n_batch;
}

/* What waits for this step. */
struct waiting {
	size_t answering; /* requests whose next token is due */
	/* short prompts of persons, for which a long step is made now and then */
	size_t newcomers, newcomer_tokens;
	bool soon;  /* somebody is about to answer */
	bool lower; /* prompts of lower classes */
	size_t behind; /* tokens of all prompts but the longest */
};

static bool long_step_due(const struct sched *s, const struct waiting *w)
{
	uint64_t every = w->newcomers > w->answering ? LONG_EVERY_MANY : LONG_EVERY;
	return !s->squeeze && (!s->long_step || s->steps >= s->long_step + every);
}

/* Tokens of prompt a step may carry: as many as fit into the gap; twice as many while nobody
 * answers or is about to, so that somebody new does not wait for long either. */
static size_t prompt_share(struct sched *s, const struct waiting *w)
{
	double answers = w->answering ? s->answer_ns : 0, gap = (double)s->gap_ns;
	if (w->answering && (double)w->behind * s->token_ns > BACKLOG_GAPS * gap)
		gap *= 2;
	if (w->answering) /* what is measured varies: the gap is to be kept, not met on average */
		gap *= GAP_AIM;
	size_t room = tokens_in(s, (w->answering || w->soon ? gap : 2 * gap) - answers);
	if (w->answering && w->newcomer_tokens > room && long_step_due(s, w)) {
		size_t most = tokens_in(s, LONG_GAPS * gap - answers);
		room = most < w->newcomer_tokens ? most : w->newcomer_tokens;
		s->long_step = s->steps;
	}
	if (!w->answering && w->newcomer_tokens <= CHUNK_FIRST) /* a few tokens cost a step, too */
		room = room > w->newcomer_tokens ? room : w->newcomer_tokens;
	room >>= s->squeeze;
	return room ? room : 1;
}

static bool reads(const struct slot *l)
{
	return !l->leader && sched_left(l) > 1 && !l->req->strict;
}

/* How far a batch of tokens goes: to the next picture, and to a border at which others could start
 * from a state that cannot be divided. */
static size_t to_border(const struct sched *s, const struct slot *l, size_t n)
{
	const struct request *r = l->req;
	const struct engine_media *m = media_from(&r->media, l->kv.n);
	if (m && m->at < l->kv.n + n) /* rows go into a batch of their own */
		n = m->at - l->kv.n;
	if (s->caps->state_part && !s->caps->swa_window)
		return n;
	const size_t border[] = { r->n_company, r->n_group, r->prompt_tokens };
	for (size_t i = 0; i < sizeof border / sizeof *border; i++)
		if (border[i] > l->kv.n && border[i] < l->kv.n + n)
			n = border[i] - l->kv.n;
	return n;
}

/* Prompts are read one after the other, in the order in which they would be ready if all were read
 * at once, each person as fast as any other (fair sojourn: Friedman and Henderson, SIGMETRICS
 * 2003). So no first token comes later than with equal shares, and most come much sooner. */

/* What it would still lack with equal shares; a prompt that is late owes nothing. */
static size_t owes(const struct slot *l)
{
	size_t left = sched_left(l);
	return l->req->owed < left ? l->req->owed : left;
}

bool sched_reads_before(const struct slot *a, const struct slot *b)
{
	const struct request *r = a->req, *q = b->req;
	if (r->priority != q->priority)
		return r->priority < q->priority;
	return owes(a) != owes(b) ? owes(a) < owes(b) : r->order < q->order;
}

struct part {
	uint64_t person;
	size_t most, got; /* tokens */
	size_t *owed;     /* where they are taken off; NULL: nowhere */
};

static bool lacks(const struct part *p)
{
	return p->got < p->most;
}

/* How many of a person lack something. */
static size_t lacking_of(const struct part *v, size_t n, uint64_t person)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += lacks(&v[i]) && v[i].person == person;
	return k;
}

static size_t lacking_persons(const struct part *v, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < n; i++)
		k += lacks(&v[i]) && !lacking_of(v, i, v[i].person);
	return k;
}

/* Splits `room` equally by person, then by request; what a short one leaves over goes to the
 * others. Returns what nobody lacks. */
static size_t split(struct part *v, size_t n, size_t room)
{
	for (size_t k; room && (k = lacking_persons(v, n));) {
		size_t each = room / k;
		for (size_t i = 0; i < n && room; i++) {
			if (!lacks(&v[i]))
				continue;
			size_t part = each / lacking_of(v, n, v[i].person),
			       lack = v[i].most - v[i].got;
			part = part ? part : 1;
			part = part < lack ? part : lack;
			part = part < room ? part : room;
			v[i].got += part;
			room -= part;
		}
	}
	return room;
}

/* What prompts of a class owe, and what was read of others ahead of their time, paid with equal
 * shares of `room`. */
static void pay_equally(struct sched *s, unsigned class, size_t room)
{
	struct part v[CELLS_SLOTS + AHEAD_MAX];
	size_t n = 0;
	EACH_RUNNING(s, l)
	if (reads(l) && l->req->priority == class && owes(l)) {
		l->req->owed = owes(l);
		v[n++] = (struct part){ l->req->person, l->req->owed, 0, &l->req->owed };
	}
	for (size_t i = 0; i < s->n_ahead; i++)
		if (s->ahead[i].class == class)
			v[n++] = (struct part){ s->ahead[i].person, s->ahead[i].owed, 0,
				&s->ahead[i].owed };
	(void)split(v, n, room);
	while (n--)
		*v[n].owed -= v[n].got;
}

/* A prompt is ready, but with equal shares it would not be: the others pay on as if it were not. */
static void note_ahead(struct sched *s)
{
	size_t n = 0, reading = 0;
	for (size_t i = 0; i < s->n_ahead; i++)
		if (s->ahead[i].owed)
			s->ahead[n++] = s->ahead[i];
	s->n_ahead = n;
	EACH_RUNNING(s, l)
	{
		struct request *r = l->req;
		reading += reads(l);
		if (reads(l) || l->leader || r->owed == SIZE_MAX)
			continue;
		if (r->owed && s->n_ahead < AHEAD_MAX)
			s->ahead[s->n_ahead++] =
				(struct ahead){ r->person, r->priority, r->owed };
		r->owed = 0;
	}
	if (!reading)
		s->n_ahead = 0;
}

/* The prompts of a class that are next: the first; those that are nearly ready are so together,
 * because answers that begin together cost less than one after the other. */
static size_t next_prompts(struct sched *s, unsigned class, struct slot **v)
{
	struct slot *first = NULL;
	size_t n = 0;
	EACH_RUNNING(s, l)
	if (reads(l) && l->req->priority == class && l->n_batch < sched_left(l)) {
		if (sched_left(l) <= CHUNK_FIRST)
			v[n++] = l;
		if (!first || sched_reads_before(l, first))
			first = l;
	}
	if (first && sched_left(first) > CHUNK_FIRST) /* late, or nobody is nearly ready */
		v[n++] = first;
	return n;
}

/* Gives `room` to the prompts of a class, into n_batch of their slots. Returns what is left. */
static size_t share_out(struct sched *s, unsigned class, size_t room)
{
	struct slot *v[CELLS_SLOTS];
	struct part part[CELLS_SLOTS];
	size_t given = room;
	for (size_t n; room && (n = next_prompts(s, class, v));) {
		for (size_t i = 0; i < n; i++)
			part[i] = (struct part){ v[i]->req->person,
				sched_left(v[i]) - v[i]->n_batch, 0, NULL };
		room = split(part, n, room);
		for (size_t i = 0; i < n; i++)
			v[i]->n_batch += part[i].got;
	}
	pay_equally(s, class, given - room);
	return room;
}

/* Is a batch of the reading pool's best size short enough? */
bool sched_tile_fits(const struct sched *s)
{
	return s->token_ns * s->caps->read_tile <= 2 * (double)s->gap_ns;
}

/* What the reading pool computes together are whole tiles, because a part of one costs as much:
 * what is over waits for the next step; shares that are less are saved up until they make one, so
 * that the others' steps stay short meanwhile. */
static void fill_tile(struct sched *s)
{
	size_t total = 0, tile = s->caps->read_tile;
	EACH_RUNNING(s, l)
	total += l->reader ? l->n_batch : 0;
	EACH_RUNNING(s, l)
	if (l->reader && total > tile && l->n_batch > total % tile &&
		l->n_batch + 1 < sched_left(l)) {
		l->n_batch -= total % tile;
		total -= total % tile;
	}
	bool later = total && total + s->read_saved < s->caps->read_tile;
	s->read_saved = later ? s->read_saved + total : 0;
	size_t more = total && total < s->caps->read_tile ? s->caps->read_tile - total : 0;
	EACH_RUNNING(s, l)
	if (l->reader && later) {
		l->n_batch = 0;
	} else if (l->reader && more) {
		size_t room = sched_left(l) - 1;
		room = room > l->n_batch ? room - l->n_batch : 0;
		room = room < more ? room : more;
		l->n_batch += room;
		more -= room;
	}
}

/* How many tokens of its prompt each slot computes in this step. */
void sched_share_prompts(struct sched *s)
{
	struct waiting w = { 0 };
	size_t most = 0;
	note_ahead(s);
	EACH_RUNNING(s, l)
	{
		size_t left = reads(l) ? sched_left(l) : 0;
		w.behind += left;
		most = left > most ? left : most;
		l->n_batch = 0;
		w.answering += !l->leader && sched_left(l) == 1;
		w.lower |= reads(l) && l->req->priority > 0;
		if (!reads(l) || sched_left(l) > CHUNK_FIRST)
			continue;
		w.soon = true;
		w.newcomers += !l->req->priority;
		w.newcomer_tokens += l->req->priority ? 0 : sched_left(l);
	}
	w.behind -= most;
	size_t room = prompt_share(s, &w);
	size_t kept = w.lower ? room / LOWER_SHARE : 0;
	room = share_out(s, 0, room - kept) + kept;
	room = share_out(s, 1, room);
	(void)share_out(s, 2, room);
	fill_tile(s);
	EACH_RUNNING(s, l)
	{
		l->n_rows = 0;
		if (!sched_picture_at(l))
			continue;
		l->n_rows = l->req->strict ? s->caps->n_batch : l->n_batch;
		l->n_batch = 0;
	}
}

/* The batch of one pool: a token for each that answers, then prompts. False: nothing to compute. */
bool sched_fill(struct sched *s, enum engine_pool p, size_t *ret_prompts)
{
	size_t prompts = 0;
	s->n_batch = 0;
	EACH_RUNNING(s, l)
	if (l->pool == p && !l->leader && !l->reader && !l->req->strict && sched_left(l) == 1 &&
		!sched_tell_begun(s, l)) {
		put(s, l, 1);
		put_draft(s, l);
	}
	EACH_RUNNING(s, l)
	{
		size_t room = s->caps->n_batch - s->n_batch, n = l->n_batch;
		if (sched_place_of(l)->pool != p || l->leader || !sched_left(l) ||
			sched_picture_at(l))
			continue;
		if (l->req->strict)
			n = strict_chunk(s, l);
		else if (sched_left(l) == 1)
			continue;
		n = to_border(s, l, n < room ? n : room);
		if (l->reader && n >= sched_left(l)) /* the last one is computed where it answers */
			n = sched_left(l) - 1;
		l->n_batch = 0;
		if (!n || sched_tell_begun(s, l))
			continue;
		put(s, l, n);
		prompts += n;
	}
	*ret_prompts = prompts;
	return s->n_batch > 0;
}

