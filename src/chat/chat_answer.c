#include "chat/chat_int.h"

#include <stdio.h>

#include "base/fault.h"

enum err answer_new(struct chats *c, struct answer **ret)
{
	struct answer *a = mem_zalloc(1, sizeof *a);
	if (!a)
		return ERR_NOMEM;
	a->chats = c;
	a->refs = 1;
	a->seed = -1;
	a->content.text = BUF(LIMIT_ANSWER);
	a->thinking.text = BUF(LIMIT_ANSWER);
	a->tokens = BUF(LIMIT_ANSWER);
	a->warnings = BUF(CHAT_WARNINGS_MAX);
	*ret = a;
	return OK;
}

struct answer *answer_free(struct answer *a)
{
	if (!a)
		return NULL;
	buf_done(&a->content.text);
	buf_done(&a->thinking.text);
	buf_done(&a->tokens);
	buf_done(&a->warnings);
	mem_free(a);
	return NULL;
}

void answer_unref(struct answer *a)
{
	if (--a->refs)
		return;
	pthread_cond_broadcast(&a->chats->gone);
	answer_free(a);
}

void answer_list(struct answer *a)
{
	a->next = a->chats->answers;
	a->chats->answers = a;
}

void answer_unlist(struct answer *a)
{
	for (struct answer **at = &a->chats->answers; *at; at = &(*at)->next) {
		if (*at != a)
			continue;
		*at = a->next;
		pthread_cond_broadcast(&a->chats->gone);
		answer_unref(a);
		return;
	}
}

struct answer *answer_find(struct chats *c, struct str id)
{
	for (struct answer *a = c->answers; a; a = a->next)
		if (str_eq(str_from(a->id), id))
			return a;
	return NULL;
}

bool conversation_generating(struct chats *c, struct str conversation)
{
	for (const struct answer *a = c->answers; a; a = a->next)
		if (str_eq(str_from(a->conversation), conversation))
			return true;
	return false;
}

void answer_end(struct answer *a, const char *state, enum err error, struct str why)
{
	if (a->phase == ANSWER_ENDED || a->phase == ANSWER_DROPPED)
		return;
	a->phase = ANSWER_ENDED;
	a->end_state = state;
	a->error = error;
	why = str_sub(why, 0, sizeof a->error_text - 1);
	if (why.len)
		memcpy(a->error_text, why.ptr, str_utf8_whole(why));
	pthread_cond_signal(&a->chats->wake);
}

void answer_warn(struct answer *a, const char *what, uint64_t n)
{
	char begin[64];
	int len = snprintf(begin, sizeof begin, "\"%s:", what);
	if (str_find(buf_str(&a->warnings), (struct str){ begin, (size_t)len }, 0) != SIZE_MAX)
		return; /* said before a restart */
	(void)buf_addf(&a->warnings, "%s\"%s:%llu\"", a->warnings.len ? "," : "", what,
		       (unsigned long long)n); /* a list that is full already says enough */
}
