/* POST /v1/rerank: the request that Cohere, Jina and llama-server have in common. Scores are the
 * classifier's own value, as llama-server gives them. */
#include "api/embed.h"

#include <stdlib.h>

struct rerank {
	json_t *documents; /* of the body */
	size_t top_n;
	bool with_documents;
};
struct place { /* of a document */
	size_t index;
	float score;
};

static struct str document_text(const json_t *d)
{
	const json_t *text = json_is_object(d) ? json_object_get(d, "text") : d;
	if (!json_is_string(text))
		return STR_NONE;
	return (struct str){ json_string_value(text), json_string_length(text) };
}

/* The best first; equal ones in the order in which they came. */
static int by_score(const void *pa, const void *pb)
{
	const struct place *a = pa, *b = pb;
	if (a->score != b->score)
		return a->score < b->score ? 1 : -1;
	return a->index < b->index ? -1 : 1;
}

static void one(const struct rerank *r, const struct place *p, struct jw *w)
{
	jw_obj(w);
	jw_ki64(w, "index", (int64_t)p->index);
	jw_kf64(w, "relevance_score", (double)p->score);
	if (r->with_documents) {
		jw_key(w, "document");
		jw_obj(w);
		jw_kstr(w, "text", document_text(json_array_get(r->documents, p->index)));
		jw_end(w);
	}
	jw_end(w);
}

static void whole(struct embed_call *e, const struct embed_done *d, struct buf *out)
{
	const struct rerank *r = e->of_form;
	struct place places[EMBED_INPUTS_MAX];
	struct jw w;
	for (size_t i = 0; i < d->n; i++)
		places[i] = (struct place){ i, d->values[i] };
	qsort(places, d->n, sizeof *places, by_score);
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "model", str_from(e->shown_model));
	jw_kstr(&w, "object", STR("list"));
	jw_key(&w, "usage");
	jw_obj(&w);
	jw_ki64(&w, "prompt_tokens", (int64_t)embed_tokens(d));
	jw_ki64(&w, "total_tokens", (int64_t)embed_tokens(d));
	jw_end(&w);
	jw_key(&w, "results");
	jw_arr(&w);
	for (size_t i = 0; i < d->n && i < r->top_n; i++)
		one(r, &places[i], &w);
	jw_end(&w);
	embed_origin_json(e, &w);
	jw_end(&w);
}

static enum err read_documents(struct embed_call *e, struct rerank *r)
{
	size_t i;
	json_t *d;
	if (!json_array_size(r->documents))
		return err_set(&e->c->info, ERR_INVALID, "\"documents\" must not be empty");
	json_array_foreach(r->documents, i, d)
	{
		struct str text = document_text(d);
		if (!text.ptr)
			return err_set(&e->c->info, ERR_INVALID,
				"documents[%zu] must be a string or an object with \"text\"", i);
		TRY(embed_add_text(e, text));
	}
	return OK;
}

static enum err read_query(struct embed_call *e, const json_t *body)
{
	TRY(json_want_str(body, "query", true, &e->r.query, &e->c->info));
	return e->r.query.len ? OK
			      : err_set(&e->c->info, ERR_INVALID, "\"query\" must not be empty");
}

enum err openai_rerank(struct call *c)
{
	json_t *body;
	struct embed_call *e;
	struct str model = STR_NONE;
	struct rerank *r = ARENA_NEW(c->arena, struct rerank);
	int64_t top_n = EMBED_INPUTS_MAX;
	bool truncate = true;
	if (!r)
		return ERR_NOMEM;
	TRY(call_body(c, &body));
	c->param = "model";
	TRY(json_want_str(body, "model", true, &model, &c->info));
	TRY(embed_new(c, model, &e));
	e->write = whole;
	e->of_form = r;
	e->r.rank = true;
	c->param = "top_n";
	TRY(json_want_i64(body, "top_n", false, 1, INT32_MAX, &top_n, &c->info));
	r->top_n = (size_t)top_n;
	c->param = "return_documents";
	TRY(json_want_bool(body, "return_documents", false, &r->with_documents, &c->info));
	c->param = "truncate";
	TRY(json_want_bool(body, "truncate", false, &truncate, &c->info));
	e->r.truncate = truncate;
	c->param = "query";
	TRY(read_query(e, body));
	c->param = "documents";
	TRY(json_want_arr(body, "documents", true, &r->documents, &c->info));
	TRY(read_documents(e, r));
	c->param = NULL;
	return embed_start(e);
}
