#include "api/show.h"

#include <stdio.h>
#include <string.h>

void show_capabilities(const struct model_entry *m, struct jw *w)
{
	const struct {
		bool has;
		const char *name;
	} all[] = {
		{ !m->gguf.embedding_model, "completion" },
		{ m->gguf.embedding_model, "embedding" },
		{ m->can.tools, "tools" },
		{ m->can.insert, "insert" },
		{ m->projector_digest[0], "vision" },
		{ m->can.thinking, "thinking" },
	};
	jw_key(w, "capabilities");
	jw_arr(w);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i].has)
			jw_str(w, str_from(all[i].name));
	jw_end(w);
}

void show_headers_read(
	struct call *c, const struct model_entry *m, bool verbose, struct model_headers *ret)
{
	struct err_info why = { .code = OK };
	*ret = (struct model_headers){ .model = NULL };
	enum err e = model_store_describe(c->app->models, m, verbose, ret, &why);
	if (e)
		call_warn(c, "not all of the model's file can be shown: %s",
			why.detail[0] ? why.detail : err_text(e));
}

struct str show_file_template(const struct model_headers *h)
{
	const json_t *t = json_object_get(h->model, "template");
	return (struct str){ json_string_value(t), json_string_length(t) };
}

static void info_number(struct jw *w, const char *prefix, const char *key, uint64_t v)
{
	char name[128];
	snprintf(name, sizeof name, "%.60s.%s", prefix, key);
	if (v)
		jw_ki64(w, name, (int64_t)v);
}

/* What the check noted when the model came. */
static void stored_info(const struct model_entry *m, struct jw *w)
{
	const struct gguf_summary *g = &m->gguf;
	const char *a = g->architecture;
	jw_kstr(w, "general.architecture", str_from(a));
	if (g->name[0])
		jw_kstr(w, "general.name", str_from(g->name));
	info_number(w, a, "context_length", g->context);
	info_number(w, a, "embedding_length", g->embedding);
	info_number(w, a, "block_count", g->layers);
	info_number(w, a, "attention.head_count", g->heads);
	info_number(w, a, "attention.head_count_kv", g->kv_heads);
	info_number(w, a, "vocab_size", g->vocab);
	info_number(w, a, "expert_count", g->experts);
	if (g->tokenizer[0])
		jw_kstr(w, "tokenizer.ggml.model", str_from(g->tokenizer));
}

static void put_info(const json_t *header, struct jw *w)
{
	const char *key;
	json_t *v;
	json_object_foreach(json_object_get(header, "info"), key, v)
	{
		if (strcmp(key, "general.parameter_count") == 0)
			continue;
		jw_key(w, key);
		jw_json(w, v);
	}
}

/* As many numbers as its matrices have. */
static uint64_t parameters_of(const json_t *header)
{
	const json_t *t, *dim;
	uint64_t sum = 0;
	size_t i, k;
	json_array_foreach(json_object_get(header, "tensors"), i, t)
	{
		uint64_t n = 1;
		json_array_foreach(json_object_get(t, "shape"), k, dim)
			n *= (uint64_t)json_integer_value(dim);
		sum += n;
	}
	return sum;
}

/* Not Ollama's. */
static void adapters_json(const struct model_entry *m, const struct model_headers *h, struct jw *w)
{
	char digest[72];
	if (!m->adapters.n)
		return;
	jw_key(w, "adapters");
	jw_arr(w);
	for (unsigned i = 0; i < m->adapters.n; i++) {
		jw_obj(w);
		snprintf(digest, sizeof digest, "sha256:%s", m->adapters.digest[i]);
		jw_kstr(w, "digest", str_from(digest));
		jw_key(w, "info");
		jw_obj(w);
		put_info(h->adapter[i], w);
		if (h->adapter[i])
			jw_ki64(w, "general.parameter_count",
				(int64_t)parameters_of(h->adapter[i]));
		jw_end(w);
		jw_end(w);
	}
	jw_end(w);
}

void show_headers_json(const struct model_entry *m, const struct model_headers *h, struct jw *w)
{
	jw_key(w, "model_info");
	jw_obj(w);
	if (h->model)
		put_info(h->model, w);
	else
		stored_info(m, w);
	jw_ki64(w, "general.parameter_count", (int64_t)m->gguf.parameters);
	jw_end(w);
	if (h->projector) {
		jw_key(w, "projector_info");
		jw_obj(w);
		put_info(h->projector, w);
		jw_end(w);
	}
	adapters_json(m, h, w);
	if (h->model) {
		jw_key(w, "tensors");
		jw_json(w, json_object_get(h->model, "tensors"));
	}
}
