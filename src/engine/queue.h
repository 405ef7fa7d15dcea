/* engine/queue.h - who waits, and whose turn it is.
 *
 * Classes: interactive before workflow before batch, but each `age_ns` of waiting lifts a request
 * by
 * one class, so that nobody starves. Within a class the persons take turns by deficit round robin
 * (Shreedhar and Varghese 1995): a turn adds a quantum to what a person may use, a request is let
 * in when its cost in tokens fits. So somebody with a hundred long requests delays another's single
 * one by a turn, not by a hundred. One person's requests of a class come in order of arrival; those
 * that were preempted first. Pure, no clock: the caller gives the time. */
#pragma once

#include "engine/request.h"

struct queue_wait;
enum err queue_wait_new(int64_t age_ns, struct queue_wait **ret);
struct queue_wait *queue_wait_free(struct queue_wait *q); /* frees the requests in it */
DEFINE_AUTO(queue_wait)
uint32_t queue_wait_n(const struct queue_wait *q);
/* Takes the request. Errors: ERR_NOMEM; then it is not taken. */
enum err queue_wait_add(struct queue_wait *q, struct request *r);
enum err queue_wait_put_back(struct queue_wait *q, struct request *r); /* preempted: to the front */
/* Whose turn it is, left in the queue; NULL: nobody waits. The same until it is taken out or
 * something better arrives. */
struct request *queue_wait_next(struct queue_wait *q, int64_t now_ns);
void queue_wait_take(struct queue_wait *q, struct request *r); /* the caller owns it again */
/* Each in the order in which they will be served if nothing else happens (about: by class, then
 * arrival). The callback may take the request out. */
void queue_wait_each(struct queue_wait *q, int64_t now_ns,
	void (*each)(void *arg, struct request *r, uint32_t place), void *arg);
/* Class of a request now: its own, lifted by age. */
unsigned queue_wait_class(const struct queue_wait *q, const struct request *r, int64_t now_ns);
