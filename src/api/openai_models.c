/* GET /v1/models and /v1/models/{name}: OpenAI's fields and Anthropic's, whose clients ask the same
 * address. */
#include "api/aliases.h"

#include "base/limits.h"
#include "base/time.h"
#include "models/store.h"

static void one(const struct model_entry *m, struct jw *w)
{
	size_t slash = str_find_byte(str_from(m->name), '/', 0);
	char at[TIME_RFC3339_LEN];
	time_rfc3339(m->modified_ms, at);
	jw_obj(w);
	jw_kstr(w, "id", str_from(m->name));
	jw_kstr(w, "type", STR("model"));
	jw_kstr(w, "display_name", str_from(m->name));
	jw_kstr(w, "created_at", str_from(at));
	jw_key(w, "max_input_tokens");
	if (m->gguf.context)
		jw_i64(w, (int64_t)m->gguf.context);
	else
		jw_null(w);
	jw_kstr(w, "object", STR("model"));
	jw_ki64(w, "created", m->modified_ms / 1000);
	jw_kstr(w, "owned_by",
		slash == SIZE_MAX ? STR("library") : str_sub(str_from(m->name), 0, slash));
	jw_end(w);
}

static void one_alias(const struct alias_shown *a, void *arg)
{
	one(&a->model, arg);
}

enum err openai_models(struct call *c)
{
	AUTO_MEM struct model_entry *list = NULL;
	AUTO_BUF struct buf out = BUF(LIMIT_HTTP_BODY);
	struct jw w;
	size_t n;
	TRY(model_store_list(c->app->models, &list, &n));
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "object", STR("list"));
	jw_key(&w, "data");
	jw_arr(&w);
	TRY(call_aliases(c, one_alias, &w));
	for (size_t i = 0; i < n; i++)
		one(&list[i], &w);
	jw_end(&w);
	jw_kbool(&w, "has_more", false);
	jw_end(&w);
	call_json(c, 200, &out);
	return OK;
}

enum err openai_model(struct call *c)
{
	AUTO_BUF struct buf out = BUF(8 * 1024);
	struct model_entry m;
	struct jw w;
	struct str name = http_param(c->q, "name");
	enum err e = call_model(c, name, &m);
	if (e == ERR_NOT_FOUND || e == ERR_INVALID) {
		c->param = "model";
		return err_set(&c->info, ERR_NOT_FOUND, "model '%.*s' not found",
			(int)(name.len < 200 ? name.len : 200), name.ptr);
	}
	TRY(e);
	if (m.alias[0]) /* it answers as it was asked */
		TRY(str_copy(name, m.name, sizeof m.name));
	jw_init(&w, &out);
	one(&m, &w);
	call_json(c, 200, &out);
	return OK;
}
