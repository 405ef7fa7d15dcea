#include "chat/hub.h"

#include <pthread.h>

#include "base/fault.h"
#include "base/random.h"

/* Streams hang in buckets by person. Sinks run under the lock: that is what makes hub_leave() final
 * and keeps the order of events; it is cheap because sinks only queue bytes. */

enum { BUCKETS = 64 };

struct stream {
	struct stream *next;
	uint64_t id;
	char person[ID_LEN + 1];
	hub_sink sink;
	void *arg;
};
struct chat_hub {
	pthread_mutex_t lock;
	uint64_t last_id;
	struct stream *buckets[BUCKETS];
};

static unsigned bucket_of(const char *person)
{
	uint32_t h = 2166136261u; /* FNV-1a */
	for (; *person; person++)
		h = (h ^ (unsigned char)*person) * 16777619u;
	return h % BUCKETS;
}

enum err chat_hub_new(struct chat_hub **ret)
{
	struct chat_hub *h = mem_zalloc(1, sizeof *h);
	if (!h)
		return ERR_NOMEM;
	pthread_mutex_init(&h->lock, NULL);
	*ret = h;
	return OK;
}

struct chat_hub *chat_hub_free(struct chat_hub *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct stream *s = h->buckets[i], *next; s; s = next) {
			next = s->next;
			mem_free(s);
		}
	}
	pthread_mutex_destroy(&h->lock);
	mem_free(h);
	return NULL;
}

enum err hub_join(
	struct chat_hub *h, const char *person, hub_sink sink, void *arg, uint64_t *ret_id)
{
	struct stream *s = mem_zalloc(1, sizeof *s), **at = &h->buckets[bucket_of(person)];
	unsigned same = 0;
	if (!s)
		return ERR_NOMEM;
	s->sink = sink;
	s->arg = arg;
	enum err e = str_copy(str_from(person), s->person, sizeof s->person);
	pthread_mutex_lock(&h->lock);
	for (const struct stream *o = *at; o; o = o->next)
		same += strcmp(o->person, s->person) == 0;
	if (!e && same >= HUB_STREAMS_A_PERSON)
		e = ERR_LIMIT;
	if (!e) {
		*ret_id = s->id = ++h->last_id;
		s->next = *at;
		*at = s;
	}
	pthread_mutex_unlock(&h->lock);
	if (e)
		mem_free(s);
	return e;
}

void hub_leave(struct chat_hub *h, uint64_t id)
{
	struct stream *gone = NULL;
	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < BUCKETS && !gone; i++) {
		for (struct stream **at = &h->buckets[i]; *at; at = &(*at)->next) {
			if ((*at)->id != id)
				continue;
			gone = *at;
			*at = gone->next;
			break;
		}
	}
	pthread_mutex_unlock(&h->lock);
	mem_free(gone);
}

static void tell_bucket(struct stream *s, const char *person, struct str event)
{
	for (; s; s = s->next)
		if (!*person || strcmp(s->person, person) == 0)
			s->sink(event, s->arg);
}

void hub_tell(struct chat_hub *h, const char *person, struct str event_json)
{
	pthread_mutex_lock(&h->lock);
	if (*person)
		tell_bucket(h->buckets[bucket_of(person)], person, event_json);
	else
		for (size_t i = 0; i < BUCKETS; i++)
			tell_bucket(h->buckets[i], person, event_json);
	pthread_mutex_unlock(&h->lock);
}
