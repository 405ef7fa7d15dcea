#include "engine/llama/template.h"

#include <pthread.h>
#include <string.h>

#include "base/fault.h"

enum {
	CACHE_MAX = 16,
	READ_SECONDS = 5, /* for a template in Jinja; a working one needs milliseconds */
};

struct brought { /* a template that requests brought */
	struct llama_template t;
	struct buf text;
	uint64_t used;
	unsigned held; /* by requests being made */
};
struct template_cache {
	struct brought *v[CACHE_MAX];
	size_t n;
	uint64_t uses;
};

static struct brought *brought_free(struct brought *f)
{
	if (!f)
		return NULL;
	gotmpl_free(f->t.go);
	if (f->t.jinja)
		shim_templates_free(f->t.jinja);
	buf_wipe(&f->text); /* it may quote somebody's words */
	mem_free(f);
	return NULL;
}
DEFINE_AUTO(brought)

struct template_cache *template_cache_free(struct template_cache *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		brought_free(c->v[i]);
	mem_free(c);
	return NULL;
}

/* A tag that is too long is none: nobody waits for it. */
static void set_think(struct engine_think *t, struct str start, struct str end)
{
	if (str_copy(start, t->start, sizeof t->start) || str_copy(end, t->end, sizeof t->end))
		*t = (struct engine_think){ "", "" };
}

void llama_template_think(struct llama_template *t)
{
	set_think(&t->think, str_from(shim_templates_think(t->jinja, false)),
		str_from(shim_templates_think(t->jinja, true)));
}

static enum err read_jinja(struct llama_backend *b, struct brought *f, struct err_info *info)
{
	char why[SHIM_WHY] = "";
	const char *source;
	TRY(buf_cstr(&f->text, &source));
	llama_guard(b, READ_SECONDS);
	enum shim_result e = shim_templates_new(b->model, source, &f->t.jinja, why);
	llama_guard(b, 0);
	llama_clean(why);
	if (e == SHIM_NOMEM)
		return ERR_NOMEM;
	if (e)
		return err_set(info, ERR_INVALID, "the template is not right in Jinja: %s", why);
	llama_template_think(&f->t);
	return OK;
}

static enum err read_text(
	struct llama_backend *b, struct str text, struct brought **ret, struct err_info *info)
{
	AUTO(brought) struct brought *f = mem_zalloc(1, sizeof *f);
	struct err_info why = { .code = OK };
	struct str start, end;
	if (!f)
		return ERR_NOMEM;
	f->text = BUF(LIMIT_TEMPLATE + 1);
	TRY(buf_add(&f->text, text));
	if (str_find_byte(text, 0, 0) != SIZE_MAX)
		return err_set(info, ERR_INVALID, "the template has a byte 0");
	enum err e = gotmpl_parse_any(text, &f->t.go, &why);
	if (e) /* "template line 1, column 3: ..." */
		return err_set(info, e, "%s (a text with {%% .. %%} would be Jinja)",
			why.detail[0] ? why.detail : err_text(e));
	if (!f->t.go)
		TRY(read_jinja(b, f, info));
	else if (gotmpl_think_tags(f->t.go, &start, &end))
		set_think(&f->t.think, start, end);
	*ret = TAKE(f);
	return OK;
}

/* With the lock held. */
static struct brought *find(struct template_cache *c, struct str text)
{
	for (size_t i = 0; c && i < c->n; i++)
		if (str_eq(buf_str(&c->v[i]->text), text)) {
			c->v[i]->used = ++c->uses;
			c->v[i]->held++;
			return c->v[i];
		}
	return NULL;
}

/* With the lock held: takes `f`. The oldest that nobody holds makes room: of two threads each holds
 * one at most. */
static void keep(struct template_cache *c, struct brought *f)
{
	struct brought **at = c->n < CACHE_MAX ? &c->v[c->n++] : NULL;
	for (size_t i = 0; i < c->n && (!at || *at); i++)
		if (!c->v[i]->held && (!at || c->v[i]->used < (*at)->used))
			at = &c->v[i];
	brought_free(*at);
	*at = f;
	f->used = ++c->uses;
	f->held++;
}

static enum err get_brought(struct llama_backend *b, struct str text,
	const struct llama_template **ret, struct err_info *info)
{
	struct brought *f, *fresh = NULL;
	(void)pthread_mutex_lock(&b->templates_lock);
	f = find(b->brought, text);
	(void)pthread_mutex_unlock(&b->templates_lock);
	if (!f) {
		TRY(read_text(b, text, &fresh, info));
		(void)pthread_mutex_lock(&b->templates_lock);
		f = find(b->brought, text); /* the other thread may have been faster */
		if (!f && !b->brought)
			b->brought = mem_zalloc(1, sizeof *b->brought);
		if (!f && b->brought) {
			keep(b->brought, fresh);
			f = TAKE(fresh);
		}
		(void)pthread_mutex_unlock(&b->templates_lock);
		brought_free(fresh);
	}
	if (!f)
		return ERR_NOMEM;
	*ret = &f->t;
	return OK;
}

enum err llama_template_get(struct llama_backend *b, const struct gen_request *g,
	const struct llama_template **ret, struct err_info *info)
{
	if (g->template_.len)
		return get_brought(b, g->template_, ret, info);
	if (!b->own.jinja)
		return err_set(info, ERR_UNSUPPORTED, "the model's chat template does not work: %s",
			b->no_template);
	*ret = &b->own;
	return OK;
}

void llama_template_put(struct llama_backend *b, const struct llama_template *t)
{
	if (!t || t == &b->own)
		return;
	struct brought *f = (struct brought *)(uintptr_t)t; /* its first member */
	(void)pthread_mutex_lock(&b->templates_lock);
	f->held--;
	(void)pthread_mutex_unlock(&b->templates_lock);
}

enum err llama_op_think(void *backend, const struct gen_request *g, struct engine_think *ret)
{
	struct llama_backend *b = llama_self(backend);
	const struct llama_template *t;
	*ret = (struct engine_think){ "", "" };
	if (g->kind != GEN_CHAT)
		return OK;
	TRY(llama_template_get(b, g, &t, NULL));
	*ret = t->think;
	llama_template_put(b, t);
	return OK;
}
