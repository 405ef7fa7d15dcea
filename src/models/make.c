#include "models/make.h"

#include <stdio.h>
#include <string.h>

#include "models/store_int.h"

enum { LISTEN_MS = 500 };

/* ---- file types ---- */

/* Those of llama.h that need nothing but the model: others want an importance matrix. */
static const struct {
	unsigned type;
	const char *name;
} types[] = {
	{ 15, "q4_K_M" }, { 14, "q4_K_S" }, { 7, "q8_0" }, { 18, "q6_K" }, { 17, "q5_K_M" },
	{ 16, "q5_K_S" }, { 13, "q3_K_L" }, { 12, "q3_K_M" }, { 11, "q3_K_S" }, { 10, "q2_K" },
	{ 2, "q4_0" }, { 3, "q4_1" }, { 8, "q5_0" }, { 9, "q5_1" }, { 25, "iq4_nl" },
	{ 30, "iq4_xs" }, { 1, "f16" }, { 32, "bf16" },
};
enum { N_TYPES = sizeof types / sizeof *types };

enum err make_type_find(struct str text, unsigned *ret, struct err_info *info)
{
	AUTO_BUF struct buf all = BUF(ERR_DETAIL_MAX);
	const char *list;
	for (size_t i = 0; i < N_TYPES; i++) {
		if (str_eq_nocase(text, str_from(types[i].name))) {
			*ret = types[i].type;
			return OK;
		}
		TRY(buf_addf(&all, "%s%s", i ? ", " : "", types[i].name));
	}
	TRY(buf_cstr(&all, &list));
	return err_set(info, ERR_INVALID, "unsupported quantization type \"%.*s\"; there are %s",
		(int)(text.len < 40 ? str_utf8_whole(text) : 0), text.ptr ? text.ptr : "", list);
}

enum err make_source_ok(const struct gguf_summary *g, struct err_info *info)
{
	static const char *const whole[] = { "F32", "F16", "BF16" };
	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (!strcmp(g->quantization, whole[i]))
			return OK;
	return err_set(info, ERR_UNSUPPORTED,
		"quantization is only supported for F16, BF16 and F32 models; this one is %s",
		g->quantization);
}

/* ---- making ---- */

static enum err begin(struct model_store *s, struct err_info *info)
{
	pthread_mutex_lock(&s->lock);
	bool room = s->n_makes < MAKE_AT_ONCE;
	s->n_makes += room;
	pthread_mutex_unlock(&s->lock);
	return room ? OK
		    : err_set(info, ERR_BUSY, "%d models are being made already; try again later",
			      MAKE_AT_ONCE);
}

static void end(struct model_store *s)
{
	pthread_mutex_lock(&s->lock);
	s->n_makes--;
	pthread_mutex_unlock(&s->lock);
}

static enum err listen(struct ipc *job, const struct make_wish *w, const struct create_watch *watch,
	struct err_info *info)
{
	for (;;) {
		struct make_event v;
		enum err e = make_wait(job, LISTEN_MS, &v, info);
		if (watch && watch->gone && watch->gone(watch->arg))
			return ERR_CANCELLED;
		if (e == ERR_TIMEOUT)
			continue;
		if (e == ERR_CLOSED || e == ERR_PROTOCOL)
			return err_set(info, ERR_MODEL_BAD,
				"the process that read the files ended without a word: they are "
				"not what they seem, or there was too little memory");
		TRY(e);
		if (v.ended)
			return OK;
		if (w->bytes && v.all) {
			v.done = (uint64_t)((double)v.done / (double)v.all * (double)w->bytes);
			v.all = w->bytes;
		}
		if (watch && watch->progress)
			watch->progress(w->line, v.done, v.all, watch->arg);
	}
}

static enum err run(struct model_store *s, const struct make_wish *w,
	const struct create_watch *watch, char ret_digest[65], struct err_info *info)
{
	AUTO(ipc) struct ipc *job = NULL;
	uint64_t number = 0;
	char digest[65];
	TRY(s->ops->make(s->ops_arg, w, &number, &job, info));
	enum err e = listen(job, w, watch, info);
	job = ipc_free(job); /* a job that still runs learns of it */
	if (e) {
		(void)s->ops->unmake(s->ops_arg, number);
		return e;
	}
	TRY(s->ops->made(s->ops_arg, number, digest, info));
	TRY(model_store_pin(s, digest));
	memcpy(ret_digest, digest, sizeof digest);
	return OK;
}

enum err store_make(struct model_store *s, const struct make_wish *w,
	const struct create_watch *watch, char ret_digest[65], struct err_info *info)
{
	TRY(begin(s, info));
	if (watch && watch->status)
		watch->status(w->line, watch->arg);
	enum err e = run(s, w, watch, ret_digest, info);
	end(s);
	return e;
}
