#include "models/delete.h"

#include <poll.h>
#include <string.h>

#include "base/fault.h"
#include "base/time.h"
#include "models/store_int.h"

enum { LOOK_MS = 50 };

static bool somebody(struct fleet *f, const char *digest)
{
	struct fleet_user one;
	return fleet_users(f, digest, &one, 1) > 0;
}

/* Is this name (with its versions) all that has these weights? */
static bool is_only(struct model_store *s, const struct model_entry *m)
{
	struct model_name mine;
	bool only = true;
	if (name_parse(str_from(m->name), &mine, NULL))
		return true;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_items && only; i++)
		only = strcmp(s->item[i].entry.model_digest, m->model_digest) != 0 ||
		       name_eq_base(&s->item[i].name, &mine);
	pthread_mutex_unlock(&s->lock);
	return only;
}

/* Nobody can ask for it by name any more: those who were first are waited for. */
static void let_end(struct fleet *f, const struct model_entry *m)
{
	int64_t until = time_mono_ms() + MODEL_WAIT_MS;
	while (somebody(f, m->model_digest) && time_mono_ms() < until)
		(void)poll(NULL, 0, LOOK_MS);
	if (fleet_is_pinned(f, m->model_digest)) {
		struct fleet_model gone = { .keep_alive_ms = FLEET_KEEP_AS_IS };
		memcpy(gone.digest, m->model_digest, sizeof gone.digest);
		(void)!!fleet_pin(f, &gone, false);
	}
	fleet_unload(f, m->model_digest);
}

/* What its engine may still need while others are answered; with adapters also what it read. */
static size_t files_of(const struct model_entry *m, char ret[][65])
{
	const struct model_adapters *a = &m->adapters;
	size_t n = 0;
	memcpy(ret[n++], m->model_digest, sizeof ret[0]);
	if (m->projector_digest[0])
		memcpy(ret[n++], m->projector_digest, sizeof ret[0]);
	if (a->n)
		memcpy(ret[n++], a->weights, sizeof ret[0]);
	for (unsigned i = 0; i < a->n; i++)
		memcpy(ret[n++], a->digest[i], sizeof ret[0]);
	return n;
}

enum err model_delete(struct model_store *s, struct fleet *f, struct str name, bool force,
	struct fleet_user *ret_user, size_t *ret_n, struct err_info *info)
{
	struct model_entry m, other;
	char files[3 + ENGINE_ADAPTERS_MAX][65];
	size_t n = 0, pinned = 0;
	*ret_n = 0;
	enum err e = model_store_find(s, name, &m, NULL);
	if (e || m.alias[0])
		return model_store_delete(s, name, force, info); /* which says what is wrong */
	if (!force && is_only(s, &m)) {
		*ret_n = fleet_users(f, m.model_digest, ret_user, MODEL_USERS_MAX);
		if (*ret_n)
			return err_set(info, ERR_CONFLICT, "model \"%s\" is in use", m.name);
	}
	n = files_of(&m, files);
	while (!e && pinned < n) {
		e = model_store_pin(s, files[pinned]);
		pinned += !e;
	}
	if (!e)
		e = model_store_delete(s, name, force, info);
	if (!e && model_store_find_digest(s, m.model_digest, &other) == ERR_NOT_FOUND)
		let_end(f, &m);
	while (pinned)
		model_store_unpin(s, files[--pinned]);
	if (!e)
		(void)store_drop_unneeded(s, files, n); /* what stays, the next sweep finds */
	return e;
}
