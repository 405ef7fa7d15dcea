/* One push, from the name to the registry's manifest, in a straight line: each blob that the
 * registry does not have is taken from another repository there, or sent in parts; then the
 * manifest. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "models/pull_int.h"

enum { TELL_MS = 100 };
#define BYTES_TYPE "application/octet-stream"
#define MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"

/* ---- one request ---- */

static void tell_layer(struct pull *p, const struct layer *l, uint64_t done, bool force)
{
	char status[32];
	(void)snprintf(status, sizeof status, "pushing %.12s", l->digest);
	pull_tell(p, status, l->digest, l->size, done < l->size ? done : l->size, force);
}

static uint64_t moved(struct pull *p, const struct pull_stream *s)
{
	pthread_mutex_lock(&p->lock);
	uint64_t n = s->mail.moved;
	pthread_mutex_unlock(&p->lock);
	return n;
}

/* To its end. Takes out->source_fd. `l` (or NULL) is told of, from byte `before` on. */
static enum err send_one(struct pull *p, const char *url, struct pull_send *out,
	const struct layer *l, uint64_t before, struct pull_mail **ret, struct err_info *info)
{
	struct pull_stream *s = &p->stream[0];
	s->from = s->to = 0;
	memmove(s->url, url, strlen(url) + 1); /* every address here fits */
	TRY(pull_stream_send(p, s, out, info));
	while (!pull_stream_take(p, s, ret)) {
		if (pull_is_cancelled(p)) {
			pull_streams_stop(p);
			return ERR_CANCELLED;
		}
		if (l)
			tell_layer(p, l, before + moved(p, s), false);
		pull_wait(p, -1, TELL_MS);
	}
	if ((*ret)->code)
		return err_set(info, (*ret)->code, "%s", (*ret)->detail);
	return (*ret)->body.err;
}

struct question {
	const char *method, *type;
	struct str body;
};

/* A request that may be made again: after a 401 that says how, and while that may help. */
static enum err ask(struct pull *p, const char *url, const struct question *q,
	struct pull_mail **ret, struct err_info *info)
{
	char at[URL_MAX + 1];
	bool asked = false;
	TRY(str_copy(str_from(url), at, sizeof at));
	for (unsigned tries = 0;;) {
		struct pull_send out = {
			.method = q->method, .type = q->type, .body = q->body, .source_fd = -1
		};
		enum err e = send_one(p, at, &out, NULL, 0, ret, info);
		if (!e && (*ret)->status == 401 && !asked && (*ret)->auth[0]) {
			asked = true;
			TRY(pull_authenticate(p, *ret, info));
			continue;
		}
		if (!pull_may_get_better(e, e ? 0 : (*ret)->status) || ++tries == PULL_TRIES)
			return e;
		if (!pull_pause(p, tries - 1))
			return ERR_CANCELLED;
	}
}

/* ---- a blob ---- */

struct upload {
	struct pull *p;
	const struct layer *l;
	char url[URL_MAX + 1]; /* where its next part goes */
	uint64_t at;           /* bytes that the registry has */
	bool done;
	unsigned tries, hops; /* since the last part that came */
};

/* Another repository of the same registry that has the blob, as far as we know: it came from there
 * by another name. */
static bool other_repository(struct pull *p, const char *digest, char ret[2 * NAME_PART_MAX + 2])
{
	struct model_store *s = p->pulls->o.store;
	bool found = false;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->n_items && !found; i++) {
		const struct model_name *n = &s->item[i].name;
		bool same = str_eq_nocase(str_from(n->host), str_from(p->name.host)) &&
			    n->source == NAME_REGISTRY;
		bool mine = !strcmp(n->ns, p->name.ns) && !strcmp(n->model, p->name.model);
		for (size_t k = 0; same && !mine && k < s->item[i].n_digests && !found; k++)
			found = !strcmp(s->item[i].digest[k], digest);
		if (found)
			(void)snprintf(ret, 2 * NAME_PART_MAX + 2, "%s/%s", n->ns, n->model);
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* Asks for a place to send the blob to; or the registry takes it from its neighbour. */
static enum err begin(struct upload *u, struct err_info *info)
{
	char from[2 * NAME_PART_MAX + 2];
	struct pull_mail *m;
	bool near = other_repository(u->p, u->l->digest, from);
	int n = near ? snprintf(u->url, sizeof u->url,
			       "%s/blobs/uploads/?mount=sha256:%s&from=%s", u->p->base,
			       u->l->digest, from)
		     : snprintf(u->url, sizeof u->url, "%s/blobs/uploads/", u->p->base);
	if (n > URL_MAX)
		return ERR_LIMIT;
	u->at = 0;
	TRY(ask(u->p, u->url, &(struct question){ "POST", BYTES_TYPE, STR("") }, &m, info));
	u->done = m->status == 201; /* mounted */
	if (u->done)
		return OK;
	if (m->status != 202)
		return pull_status_error(u->p, m->status, info);
	return pull_redirect(u->p, u->url, m->location, info);
}

/* The upload's address that also says which digest it must have. */
static enum err final_url(const struct upload *u, char ret[URL_MAX + 1])
{
	int n = snprintf(ret, URL_MAX + 1, "%s%cdigest=sha256%%3A%s", u->url,
		strchr(u->url, '?') ? '&' : '?', u->l->digest);
	return n > URL_MAX ? ERR_LIMIT : OK;
}

/* After a failure: how much is there? A registry that does not say so gets it anew. */
static enum err look(struct upload *u, struct err_info *info)
{
	struct pull_mail *m;
	struct str last;
	uint64_t n = 0;
	if (++u->tries == PULL_TRIES)
		return info->code ? info->code : ERR_UPSTREAM;
	if (!pull_pause(u->p, u->tries - 1))
		return ERR_CANCELLED;
	enum err e = ask(u->p, u->url, &(struct question){ .method = "GET" }, &m, info);
	if (e == ERR_CANCELLED || e == ERR_EGRESS)
		return e;
	last = e ? STR_NONE : str_from(m->range);
	if (e || m->status / 100 != 2 || !str_starts(last, STR("0-")) ||
		str_to_u64(str_sub(last, 2, last.len), &n) || n >= u->l->size || !m->location[0])
		return begin(u, info);
	u->at = n ? n + 1 : 0; /* "0-0" is said of nothing, too: one byte again does no harm */
	return pull_redirect(u->p, u->url, m->location, info);
}

/* What the registry said to a part that ended at `to`. */
static enum err on_part(
	struct upload *u, const struct pull_mail *m, uint64_t to, struct err_info *info)
{
	switch (m->status) {
	case 201: /* the whole in one */
		u->done = true;
		return OK;
	case 202:
	case 204:
		u->at = to;
		u->tries = u->hops = 0;
		return m->location[0] ? pull_redirect(u->p, u->url, m->location, info) : OK;
	case 301:
	case 302:
	case 307:
	case 308: /* storage elsewhere: the same part again, there */
		if (++u->hops > PULL_HOPS_MAX)
			return err_set(
				info, ERR_UPSTREAM, "%s redirects too often", u->p->name.host);
		return pull_redirect(u->p, u->url, m->location, info);
	case 401: /* a token that ended meanwhile */
		if (++u->tries == PULL_TRIES || !m->auth[0])
			return pull_status_error(u->p, 401, info);
		return pull_authenticate(u->p, m, info);
	case 404:
	case 416: /* it forgot the upload, or counts otherwise */
		info->code = pull_status_error(u->p, m->status, info);
		return look(u, info);
	default:
		info->code = pull_status_error(u->p, m->status, info);
		return m->status == 429 || m->status >= 500 ? look(u, info) : info->code;
	}
}

static enum err send_part(struct upload *u, struct err_info *info)
{
	const struct pulls_options *o = &u->p->pulls->o;
	uint64_t part = o->part_bytes ? o->part_bytes : PUSH_PART_BYTES;
	uint64_t to = u->l->size - u->at > part ? u->at + part : u->l->size;
	bool whole = u->at == 0 && to == u->l->size;
	struct pull_send out = { .method = whole ? "PUT" : "PATCH",
		.type = BYTES_TYPE,
		.source_fd = -1,
		.source_bytes = to - u->at };
	char url[URL_MAX + 1];
	struct pull_mail *m = NULL;
	if (!whole)
		(void)snprintf(out.range, sizeof out.range, "%llu-%llu", (unsigned long long)u->at,
			(unsigned long long)(to - 1));
	TRY(whole ? final_url(u, url) : str_copy(str_from(u->url), url, sizeof url));
	TRY(o->ops->read(o->ops_arg, u->l->digest, u->at, to, &out.source_fd, info));
	enum err e = send_one(u->p, url, &out, u->l, u->at, &m, info);
	if (!e)
		return on_part(u, m, to, info);
	info->code = e;
	return pull_may_get_better(e, 0) ? look(u, info) : e;
}

static enum err finish_blob(struct upload *u, struct err_info *info)
{
	char url[URL_MAX + 1];
	struct pull_mail *m;
	TRY(final_url(u, url));
	TRY(ask(u->p, url, &(struct question){ "PUT", BYTES_TYPE, STR("") }, &m, info));
	return m->status == 201 ? OK : pull_status_error(u->p, m->status, info);
}

static enum err send_blob(struct pull *p, const struct layer *l, struct err_info *info)
{
	AUTO_MEM struct upload *u = mem_zalloc(1, sizeof *u);
	if (!u)
		return ERR_NOMEM;
	u->p = p;
	u->l = l;
	TRY(begin(u, info));
	while (!u->done && u->at < l->size)
		TRY(send_part(u, info));
	return u->done ? OK : finish_blob(u, info);
}

static enum err push_layer(struct pull *p, const struct layer *l, struct err_info *info)
{
	char url[URL_MAX + 1];
	struct pull_mail *m;
	tell_layer(p, l, 0, true);
	if (snprintf(url, sizeof url, "%s/blobs/sha256:%s", p->base, l->digest) > URL_MAX)
		return ERR_LIMIT;
	TRY(ask(p, url, &(struct question){ .method = "HEAD" }, &m, info));
	bool there = m->status == 200 || m->status == 307; /* 307: it is elsewhere, but it is */
	if (!there && m->status != 404)
		return pull_status_error(p, m->status, info);
	if (!there)
		TRY(send_blob(p, l, info));
	tell_layer(p, l, l->size, true);
	p->done_before += l->size;
	return OK;
}

/* ---- the manifest ---- */

static enum err push_manifest(struct pull *p, struct err_info *info)
{
	char url[URL_MAX + 1], type[128] = MANIFEST_TYPE;
	AUTO_JSON json_t *o = NULL;
	struct str media = STR_NONE;
	struct pull_mail *m;
	pull_tell(p, "pushing manifest", "", 0, 0, true);
	TRY(json_read(buf_str(&p->manifest_text), LIMIT_MANIFEST, 16, &o, info));
	TRY(json_want_str(o, "mediaType", false, &media, info));
	if (media.len && (str_has_control(media) || str_copy(media, type, sizeof type)))
		return err_set(info, ERR_INVALID, "the manifest's media type is not usable");
	if (snprintf(url, sizeof url, "%s/manifests/%s", p->base, p->name.tag) > URL_MAX)
		return ERR_LIMIT;
	struct question q = { "PUT", type, buf_str(&p->manifest_text) };
	TRY(ask(p, url, &q, &m, info));
	return m->status / 100 == 2 ? OK : pull_status_error(p, m->status, info);
}

/* Exactly what the name stands for at this moment. */
static enum err read_manifest(struct pull *p, struct err_info *info)
{
	struct model_store *s = p->pulls->o.store;
	struct model_texts t = { .manifest = &p->manifest_text };
	struct model_entry m;
	pull_tell(p, "retrieving manifest", "", 0, 0, true);
	TRY(model_store_find(s, str_from(p->progress.name), &m, info));
	TRY(model_store_texts(s, &m, &t));
	TRY(manifest_read(buf_str(&p->manifest_text), &p->manifest, info));
	pthread_mutex_lock(&p->lock);
	p->progress.all_total = p->manifest.total;
	pthread_mutex_unlock(&p->lock);
	return OK;
}

enum err push_run(struct pull *p, struct err_info *info)
{
	struct model_store *s = p->pulls->o.store;
	size_t pinned = 0;
	TRY(pull_base(p, info));
	TRY(read_manifest(p, info));
	enum err e = OK;
	while (!e && pinned < p->manifest.n) { /* a delete beside it spares them */
		e = model_store_pin(s, p->manifest.layer[pinned].digest);
		pinned += !e;
	}
	for (size_t i = 0; !e && i < p->manifest.n; i++)
		e = push_layer(p, &p->manifest.layer[i], info);
	if (!e)
		e = push_manifest(p, info);
	while (pinned)
		model_store_unpin(s, p->manifest.layer[--pinned].digest);
	return e;
}
