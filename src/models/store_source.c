/* What a created model is made of: files that were uploaded (one GGUF, its parts, or a folder of
 * safetensors) or a model that is here; and a smaller one of it. */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "models/gguf_int.h"
#include "models/make.h"
#include "models/store_int.h"

static enum err add_part(struct source *src, const char *name, const json_t *digest,
	struct model_store *s, struct err_info *info)
{
	struct str text = { json_string_value(digest), json_string_length(digest) };
	struct source_part *p = &src->part[src->n_parts];
	if (src->n_parts == MAKE_PARTS_MAX)
		return err_set(info, ERR_LIMIT, "a model of more than %d files", MAKE_PARTS_MAX);
	if (strchr(name, '\n') || !name[0])
		return err_set(info, ERR_INVALID, "a file's name is not valid");
	if (!text.ptr || digest_parse(text, src->digest[src->n_parts]))
		return err_set(info, ERR_INVALID, "the digest is not sha256: and 64 hex digits");
	p->name = name;
	TRY(model_store_pin(s, src->digest[src->n_parts]));
	src->n_parts++;
	return model_blob_exists(s, str_from(src->digest[src->n_parts - 1]));
}

static bool has_tensors(const json_t *files)
{
	const char *name;
	json_t *digest;
	json_object_foreach((json_t *)(uintptr_t)files, name, digest)
	{
		if (str_ends(str_from(name), STR(".safetensors")))
			return true;
	}
	return false;
}

/* "x-00002-of-00003.gguf" */
static bool is_split(const char *name)
{
	struct str s = str_from(name);
	if (!str_ends(s, STR(".gguf")) || s.len < 20)
		return false;
	s = str_sub(s, s.len - 20, 15);
	if (s.ptr[0] != '-' || !str_eq(str_sub(s, 6, 4), STR("-of-")))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if ((i < 6 || i > 9) && (s.ptr[i] < '0' || s.ptr[i] > '9'))
			return false;
	return true;
}

/* ---- made of several ---- */

static enum err use_made(struct model_store *s, struct source *src, const char *digest,
	const struct create_watch *w, struct err_info *info)
{
	char before[1][65];
	memcpy(before[0], src->made, sizeof before[0]);
	memcpy(src->made, digest, sizeof src->made);
	memcpy(src->model, digest, sizeof src->model);
	if (before[0][0]) { /* converted only to be made smaller */
		model_store_unpin(s, before[0]);
		(void)store_drop_unneeded(s, before, 1);
	}
	if (w && w->status)
		w->status("verifying conversion", w->arg);
	return store_check(s, digest, LAYER_MODEL, &src->gguf, info);
}

struct sum {
	const struct source *src;
	uint64_t bytes;
};

static enum err add_bytes(
	const char *digest, uint64_t size, bool partial, int64_t modified_ms, void *arg)
{
	struct sum *u = arg;
	for (size_t i = 0; !partial && i < u->src->n_parts; i++)
		if (!strcmp(digest, u->src->digest[i]))
			u->bytes += size;
	return OK;
}

static enum err uploaded_bytes(struct model_store *s, const struct source *src, uint64_t *ret)
{
	struct sum u = { .src = src };
	TRY(s->ops->list(s->ops_arg, add_bytes, &u));
	*ret = u.bytes;
	return OK;
}

static enum err convert(struct model_store *s, struct source *src, const struct create_watch *w,
	struct err_info *info)
{
	AUTO_BUF struct buf names = BUF(MAKE_WHAT_MAX);
	char digest[65];
	struct make_wish wish = { .kind = MAKE_CONVERT,
		.part = src->digest,
		.n = src->n_parts,
		.line = "converting model" };
	for (size_t i = 0; i < src->n_parts; i++)
		if (buf_addf(&names, "%s%s", i ? "\n" : "", src->part[i].name))
			return err_set(info, ERR_LIMIT, "the files' names are too long");
	wish.what = buf_str(&names);
	TRY(uploaded_bytes(s, src, &wish.room));
	TRY(store_make(s, &wish, w, digest, info));
	return use_made(s, src, digest, w, info);
}

static enum err merge(struct model_store *s, struct source *src, char (*part)[65], size_t n,
	const struct create_watch *w, struct err_info *info)
{
	char digest[65];
	struct make_wish wish = { .kind = MAKE_MERGE,
		.part = part,
		.n = n,
		.line = "putting the model's parts together" };
	TRY(uploaded_bytes(s, src, &wish.room));
	TRY(store_make(s, &wish, w, digest, info));
	return use_made(s, src, digest, w, info);
}

/* ---- GGUF files ---- */

static enum err take_gguf(
	struct model_store *s, struct source *src, const char *digest, struct err_info *info)
{
	struct gguf_summary g;
	TRY(s->ops->check(s->ops_arg, digest, &g, info));
	if (g.adapter)
		return store_check(s, digest, LAYER_MODEL, &g, info); /* which says why not */
	if (g.projector ? src->n_keep > 0 : src->model[0] != '\0')
		return err_set(info, ERR_UNSUPPORTED,
			"a model is made from one GGUF file, and its projector (mmproj) beside it");
	if (g.projector) {
		struct layer l = { .kind = LAYER_PROJECTOR, .size = g.file_bytes };
		memcpy(l.digest, digest, sizeof l.digest);
		src->keep[src->n_keep++] = l;
		return OK;
	}
	memcpy(src->model, digest, sizeof src->model);
	src->gguf = g;
	return OK;
}

static enum err take_ggufs(struct model_store *s, struct source *src,
	const struct create_watch *w, struct err_info *info)
{
	char split[MAKE_PARTS_MAX][65];
	size_t n_split = 0;
	if (w && w->status)
		w->status("parsing GGUF", w->arg);
	for (size_t i = 0; i < src->n_parts; i++)
		if (is_split(src->part[i].name))
			memcpy(split[n_split++], src->digest[i], sizeof split[0]);
		else
			TRY(take_gguf(s, src, src->digest[i], info));
	if (n_split && src->model[0])
		return err_set(info, ERR_UNSUPPORTED, "these are two models");
	if (n_split)
		TRY(merge(s, src, split, n_split, w, info));
	if (src->model[0])
		return OK;
	return err_set(info, ERR_UNSUPPORTED,
		"a model is made from one GGUF file, and its projector (mmproj) beside it");
}

enum err store_source_files(struct model_store *s, const json_t *files,
	const struct create_watch *w, struct source *src, struct err_info *info)
{
	const char *name;
	json_t *digest;
	json_object_foreach((json_t *)(uintptr_t)files, name, digest)
		TRY(add_part(src, name, digest, s, info));
	if (has_tensors(files))
		return convert(s, src, w, info);
	return take_ggufs(s, src, w, info);
}

/* ---- adapters ---- */

/* The model comes first among the parts: its header says how its matrices lie. */
static enum err convert_adapter(struct model_store *s, struct source *src, size_t from,
	const struct create_watch *w, struct err_info *info)
{
	AUTO_BUF struct buf names = BUF(MAKE_WHAT_MAX);
	char part[MAKE_PARTS_MAX + 1][65];
	struct make_wish wish = { .kind = MAKE_ADAPTER,
		.part = part,
		.n = src->n_parts - from + 1,
		.line = "converting adapter" };
	if (wish.n > MAKE_PARTS_MAX)
		return err_set(info, ERR_LIMIT, "an adapter of too many files");
	memcpy(part[0], src->model, sizeof part[0]);
	TRY(buf_add(&names, STR("model")));
	for (size_t i = from; i < src->n_parts; i++) {
		memcpy(part[i - from + 1], src->digest[i], sizeof part[0]);
		if (buf_addf(&names, "\n%s", src->part[i].name))
			return err_set(info, ERR_LIMIT, "the files' names are too long");
	}
	wish.what = buf_str(&names);
	TRY(uploaded_bytes(s, src, &wish.room));
	return store_make(s, &wish, w, src->adapter, info);
}

static bool has_layer(const struct source *src, const char *digest)
{
	for (size_t i = 0; i < src->n_keep; i++)
		if (!strcmp(src->keep[i].digest, digest))
			return true;
	return false;
}

enum err store_source_adapter(struct model_store *s, const json_t *adapters,
	const struct create_watch *w, struct source *src, struct err_info *info)
{
	const char *name;
	json_t *digest;
	size_t from = src->n_parts, n = 0;
	struct layer l = { .kind = LAYER_ADAPTER };
	struct gguf_summary g;
	bool tensors = has_tensors(adapters);
	if (!tensors && json_object_size(adapters) > 1) /* Ollama's words */
		return err_set(info, ERR_INVALID, "only one adapter is currently supported");
	json_object_foreach((json_t *)(uintptr_t)adapters, name, digest)
		TRY(add_part(src, name, digest, s, info));
	if (tensors)
		TRY(convert_adapter(s, src, from, w, info));
	memcpy(l.digest, src->adapter[0] ? src->adapter : src->digest[from], sizeof l.digest);
	if (w && w->status)
		w->status("parsing GGUF", w->arg);
	if (has_layer(src, l.digest)) /* the model has it already */
		return OK;
	for (size_t i = 0; i < src->n_keep; i++)
		n += src->keep[i].kind == LAYER_ADAPTER;
	if (n == ENGINE_ADAPTERS_MAX || src->n_keep == MANIFEST_LAYERS_MAX)
		return err_set(info, ERR_LIMIT, "a model of more than %d adapters",
			ENGINE_ADAPTERS_MAX);
	TRY(store_check_adapter(s, src->model, l.digest, &g, info));
	l.size = g.file_bytes;
	src->keep[src->n_keep++] = l;
	return OK;
}

/* ---- smaller ---- */

enum err store_source_quantize(struct model_store *s, struct str type,
	const struct create_watch *w, struct source *src, struct err_info *info)
{
	unsigned number = 0;
	char digest[65], source[1][65], line[100], what[16];
	TRY(make_type_find(type, &number, info));
	const char *to = gguf_file_type_text(number);
	if (!strcmp(to, src->gguf.quantization))
		return OK;
	TRY(make_source_ok(&src->gguf, info));
	(void)snprintf(line, sizeof line, "quantizing %s model to %s", src->gguf.quantization, to);
	(void)snprintf(what, sizeof what, "%u", number);
	memcpy(source[0], src->model, sizeof source[0]);
	struct make_wish wish = { .kind = MAKE_QUANTIZE,
		.what = str_from(what),
		.room = src->gguf.file_bytes / 4,
		.bytes = src->gguf.file_bytes,
		.part = source,
		.n = 1,
		.line = line };
	TRY(store_make(s, &wish, w, digest, info));
	return use_made(s, src, digest, w, info);
}

void store_source_done(struct model_store *s, struct source *src, enum err e)
{
	for (size_t i = 0; i < src->n_parts; i++)
		model_store_unpin(s, src->digest[i]);
	if (src->made[0])
		model_store_unpin(s, src->made);
	if (src->adapter[0])
		model_store_unpin(s, src->adapter);
	/* What the new model does not name goes: all of it, or the files of which it was made.
	 * Files that may still be of use for another try stay. */
	if (src->made[0])
		(void)store_drop_unneeded(s, &src->made, 1);
	if (src->adapter[0])
		(void)store_drop_unneeded(s, &src->adapter, 1);
	if (!e || e == ERR_MODEL_BAD)
		(void)store_drop_unneeded(s, src->digest, src->n_parts);
}
