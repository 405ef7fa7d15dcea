/* Aliases without the database: how they are written, and what a change makes of one. */
#include "models/alias.h"

#include <string.h>

static const char *const channel_text[ALIAS_CHANNELS] = { "production", "candidate", "previous" };

const char *alias_channel_text(enum alias_channel c)
{
	return (unsigned)c < ALIAS_CHANNELS ? channel_text[c] : "";
}

enum err alias_channel_from(struct str s, enum alias_channel *ret)
{
	for (unsigned c = 0; c < ALIAS_CHANNELS; c++) {
		if (str_eq(s, str_from(channel_text[c]))) {
			*ret = (enum alias_channel)c;
			return OK;
		}
	}
	return ERR_INVALID;
}

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool name_ok(struct str s)
{
	if (!s.len || s.len > ALIAS_NAME_MAX || !is_letter(s.ptr[0]))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!is_letter(s.ptr[i]) && !(s.ptr[i] >= '0' && s.ptr[i] <= '9') &&
			s.ptr[i] != '-' && s.ptr[i] != '_')
			return false;
	return true;
}

enum err alias_name_check(struct str name, struct err_info *info)
{
	/* sources (models/name.h), and hosts without a dot */
	static const char *const taken[] = { "file", "starter", "http", "https", "localhost" };
	if (!name_ok(name))
		return err_set(info, ERR_INVALID,
			"an alias is a letter and then letters, digits, - and _ (a-z, at most %d)",
			ALIAS_NAME_MAX);
	for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
		if (str_eq(name, str_from(taken[i])))
			return err_set(
				info, ERR_INVALID, "\"%s\" cannot be an alias", taken[i]);
	return OK;
}

bool alias_parse(struct str text, char ret_name[ALIAS_NAME_MAX + 1], enum alias_channel *ret)
{
	char name[ALIAS_NAME_MAX + 1], channel[sizeof "production"];
	size_t colon = str_find_byte(text, ':', 0);
	struct str head = str_sub(text, 0, colon);
	enum alias_channel c = ALIAS_PRODUCTION;
	if (str_copy(head, name, sizeof name))
		return false;
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	if (!name_ok((struct str){ name, head.len }))
		return false;
	if (colon != SIZE_MAX) {
		struct str tail = str_sub(text, colon + 1, text.len);
		if (str_copy(tail, channel, sizeof channel))
			return false;
		for (char *p = channel; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p |= 0x20;
		struct str lower = { channel, tail.len };
		if (!str_eq(lower, STR("latest")) && alias_channel_from(lower, &c))
			return false;
	}
	memcpy(ret_name, name, head.len + 1);
	*ret = c;
	return true;
}

enum err alias_text_check(struct str text, const char *what, struct err_info *info)
{
	if (text.len > ALIAS_REASON_MAX)
		return err_set(
			info, ERR_INVALID, "%s: at most %d bytes", what, ALIAS_REASON_MAX);
	if (!str_is_utf8(text))
		return err_set(info, ERR_INVALID, "%s: not UTF-8", what);
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			return err_set(info, ERR_INVALID, "%s: has a control character", what);
	}
	return OK;
}

enum err alias_take(
	struct alias *a, enum alias_channel c, const struct alias_target *t, struct err_info *info)
{
	if (c != ALIAS_PRODUCTION && c != ALIAS_CANDIDATE)
		return err_set(info, ERR_INVALID,
			"channel: only production and candidate can be set; a promotion makes the "
			"previous one");
	if (c == ALIAS_PRODUCTION && a->at[c].digest[0]) {
		(void)err_set(info, ERR_CONFLICT, "the alias \"%s\" has a production version",
			a->name);
		err_hint(info, "set the candidate, run a trial, and promote it");
		return ERR_CONFLICT;
	}
	a->at[c] = *t;
	return OK;
}

static void let_in(struct alias_target *t, const char *person, int64_t now_ms)
{
	memset(t->person, 0, sizeof t->person);
	(void)!!str_copy(str_from(person ? person : ""), t->person, sizeof t->person);
	t->since_ms = now_ms;
}

enum err alias_promote(struct alias *a, const char *trial, struct str reason, const char *person,
	int64_t now_ms, struct err_info *info)
{
	struct alias_target t = a->at[ALIAS_CANDIDATE], *production = &a->at[ALIAS_PRODUCTION];
	bool by_trial = trial && trial[0];
	if (!t.digest[0])
		return err_set(
			info, ERR_CONFLICT, "the alias \"%s\" has no candidate", a->name);
	if (!strcmp(t.digest, production->digest) && !strcmp(t.engine, production->engine))
		return err_set(info, ERR_CONFLICT,
			"the candidate of \"%s\" is its production version already", a->name);
	if (!by_trial && !reason.len) {
		(void)err_set(info, ERR_CONFLICT,
			"no accepted trial of these two versions of \"%s\" with at least %d "
			"prompts",
			a->name, ALIAS_PROMPTS_MIN);
		err_hint(info, "run a trial and accept it, or promote with an override");
		return ERR_CONFLICT;
	}
	TRY(str_copy(str_from(by_trial ? trial : ""), t.trial, sizeof t.trial));
	TRY(str_copy(by_trial ? STR("") : reason, t.reason, sizeof t.reason));
	let_in(&t, person, now_ms);
	if (production->digest[0]) /* else there is nothing to go back to but what was */
		a->at[ALIAS_PREVIOUS] = *production;
	*production = t;
	a->at[ALIAS_CANDIDATE] = (struct alias_target){ .digest = "" };
	return OK;
}

enum err alias_back(struct alias *a, const char *person, int64_t now_ms, struct err_info *info)
{
	struct alias_target t = a->at[ALIAS_PREVIOUS];
	if (!t.digest[0])
		return err_set(
			info, ERR_CONFLICT, "the alias \"%s\" has no previous version", a->name);
	let_in(&t, person, now_ms);
	a->at[ALIAS_PREVIOUS] = a->at[ALIAS_PRODUCTION];
	a->at[ALIAS_PRODUCTION] = t;
	return OK;
}

enum err alias_keep(struct alias *a, const char *engine, struct err_info *info)
{
	struct alias_target *t = &a->at[ALIAS_PRODUCTION];
	if (!t->digest[0])
		return err_set(
			info, ERR_CONFLICT, "the alias \"%s\" has no production version", a->name);
	if (!engine[0])
		return err_set(info, ERR_CONFLICT, "no engine build is current here");
	if (t->engine[0])
		return err_set(info, ERR_CONFLICT,
			"the alias \"%s\" keeps the engine build %s already", a->name, t->engine);
	return str_copy(str_from(engine), t->engine, sizeof t->engine);
}
