/* The store of models, pulls, the machine and egress for the tests of api/. */
#include <stdio.h>

#include "api/test_app.h"
#include "base/fault.h"
#include "models/advise.h"
#include "models/delete.h"
#include "models/import.h"
#include "models/pull.h"
#include "models/store.h"
#include "net/egress_client.h"
#include "os/threads.h"

/* ---- models ---- */

static void entry(struct model_entry *m, const char *name)
{
	*m = (struct model_entry){ .size = 123456,
		.modified_ms = 1700000000000,
		.parameters = "135M",
		.quantization = "Q4_1",
		.family = "llama",
		.licence = "apache-2.0",
		.template_hash = "feed",
		.can = { .tools = true } };
	memset(m->digest, 'a', 64);
	memset(m->model_digest, 'b', 64);
	snprintf(m->name, sizeof m->name, "%s", name);
	snprintf(m->gguf.architecture, sizeof m->gguf.architecture, "llama");
	m->gguf.context = 8192;
	m->gguf.parameters = 135000000;
}

enum err model_store_find(
	struct model_store *s, struct str name, struct model_entry *ret, struct err_info *info)
{
	(void)s;
	if (str_eq(name, STR("tiny")) || str_eq(name, STR("tiny:latest")) ||
		str_eq(name, STR("hf.co/u/r:Q4"))) {
		entry(ret, "tiny:latest");
		return OK;
	}
	if (str_eq(name, STR("embed"))) {
		entry(ret, "embed:latest");
		ret->gguf.embedding_model = true;
		ret->can = (struct model_can){ .tools = false };
		return OK;
	}
	bool vision = fakes.vision && str_eq(name, STR("vision"));
	if (vision || (fakes.seer && str_starts(name, STR("seer")))) {
		entry(ret, vision ? "look:latest" : "seer:latest");
		memset(ret->projector_digest, 'd', 64);
		if (vision)
			memcpy(ret->alias, "vision", sizeof "vision");
		return OK;
	}
	if (str_starts(name, STR("assistant"))) {
		entry(ret, "tiny:latest");
		memcpy(ret->alias, "assistant", sizeof "assistant");
		ret->channel = str_eq(name, STR("assistant:candidate")) ? ALIAS_CANDIDATE
									: ALIAS_PRODUCTION;
		return OK;
	}
	return err_set(info, ERR_NOT_FOUND, "model \"%.*s\" not found", STR_ARG(name));
}

enum err model_store_find_digest(struct model_store *s, const char *digest, struct model_entry *ret)
{
	(void)s, (void)digest;
	entry(ret, "tiny:latest");
	return OK;
}

enum err model_store_list(struct model_store *s, struct model_entry **ret, size_t *ret_n)
{
	(void)s;
	*ret_n = fakes.seer ? 2 : 1;
	*ret = mem_zalloc(*ret_n, sizeof **ret);
	if (!*ret)
		return ERR_NOMEM;
	entry(*ret, "tiny:latest");
	return fakes.seer ? model_store_find(s, STR("seer"), *ret + 1, NULL) : OK;
}

enum err model_store_texts(
	struct model_store *s, const struct model_entry *e, struct model_texts *t)
{
	(void)s, (void)e;
	if (t->params)
		TRY(buf_add(t->params, str_from(fakes.params)));
	if (t->system)
		TRY(buf_add(t->system, str_from(fakes.system)));
	if (t->template_)
		TRY(buf_add(t->template_, str_from(fakes.template_)));
	return OK;
}

enum err model_store_describe(struct model_store *s, const struct model_entry *e, bool lists,
	struct model_headers *ret, struct err_info *info)
{
	(void)s, (void)e;
	*ret = (struct model_headers){ .model = NULL };
	if (fakes.no_headers)
		return err_set(info, ERR_BUSY, "too many jobs");
	ret->model = json_pack("{s:{s:s,s:i,s:s,s:o},s:[{s:s,s:s,s:[ii]}],s:s}", "info",
		"general.architecture", "llama", "llama.context_length", 8192, "odd", "\xc3\xbc",
		"tokenizer.ggml.tokens", lists ? json_pack("[ss]", "a", "b") : json_null(),
		"tensors", "name", "token_embd.weight", "type", "F32", "shape", 8, 32, "template",
		"{{ messages }}");
	return ret->model ? OK : ERR_NOMEM;
}

void model_headers_done(struct model_headers *h)
{
	json_decref(h->model);
	*h = (struct model_headers){ .model = NULL };
}

enum err model_store_default(struct model_store *s, char ret[LIMIT_MODEL_NAME + 1])
{
	(void)s;
	return str_copy(STR("tiny:latest"), ret, LIMIT_MODEL_NAME + 1);
}

enum err model_store_default_set(
	struct model_store *s, struct str name, const char *person, struct err_info *info)
{
	struct model_entry m;
	(void)person;
	return model_store_find(s, name, &m, info);
}

enum err model_delete(struct model_store *s, struct fleet *f, struct str name, bool force,
	struct fleet_user *ret_user, size_t *ret_n, struct err_info *info)
{
	struct model_entry m;
	(void)f;
	*ret_n = 0;
	if (fakes.in_use && !force) {
		ret_user[0] = (struct fleet_user){ .person = fakes.in_use, .running = 2 };
		ret_user[1] = (struct fleet_user){ .person = 1, .waiting = 1 };
		*ret_n = 2;
		return err_set(info, ERR_CONFLICT, "in use");
	}
	TRY(model_store_find(s, name, &m, info));
	if (m.alias[0] && !force)
		return err_set(info, ERR_CONFLICT, "\"%s\" is an alias, not a model", m.alias);
	fakes.deleted++;
	return OK;
}

enum err model_store_copy(struct model_store *s, struct str from, struct str to,
	struct model_kept *ret, struct err_info *info)
{
	(void)s, (void)from;
	(void)snprintf(ret->name, sizeof ret->name, "%s",
		str_eq(to, STR("moved")) ? "moved:latest@sha256:aa" : "");
	if (str_find_byte(to, ' ', 0) != SIZE_MAX)
		return err_set(info, ERR_INVALID, "the new name is not valid");
	fakes.copied++;
	return OK;
}

enum err model_store_create(struct model_store *s, const json_t *request,
	const struct create_watch *watch, struct model_kept *ret, struct err_info *info)
{
	(void)s;
	ret->name[0] = '\0';
	if (!json_is_object(json_object_get(request, "files")))
		return err_set(info, ERR_INVALID, "neither 'from' or 'files' was specified");
	watch->status("parsing GGUF", watch->arg);
	if (json_object_get(request, "quantize"))
		watch->progress("quantizing F16 model to Q4_K_M", 3, 7, watch->arg);
	watch->status("success", watch->arg);
	return OK;
}

enum err model_import(struct model_store *s, const struct import_request *q,
	const struct create_watch *watch, struct import_done *ret, struct err_info *info)
{
	(void)s, (void)q, (void)watch, (void)info;
	ret->here_already = true;
	return OK;
}

struct model_upload {
	size_t n;
};
enum err model_upload_begin(struct model_store *s, struct str digest, uint64_t size,
	struct model_upload **ret, struct err_info *info)
{
	(void)s, (void)size, (void)info;
	if (digest.ptr[0] == 'e')
		return ERR_EXISTS;
	*ret = mem_zalloc(1, sizeof **ret);
	return *ret ? OK : ERR_NOMEM;
}
enum err model_upload_add(struct model_upload *u, struct str bytes, struct err_info *info)
{
	(void)info;
	for (size_t i = 0; i < bytes.len && u->n < sizeof fakes.uploaded - 1; i++)
		fakes.uploaded[u->n++] = bytes.ptr[i];
	return OK;
}
enum err model_upload_end(struct model_upload *u, struct err_info *info)
{
	(void)u, (void)info;
	return strcmp(fakes.uploaded, "wrong") == 0 ? ERR_DIGEST : OK;
}
struct model_upload *model_upload_free(struct model_upload *u)
{
	mem_free(u);
	return NULL;
}
enum err model_blob_exists(struct model_store *s, struct str digest)
{
	(void)s;
	return digest.ptr[0] == 'e' ? OK : ERR_NOT_FOUND;
}

/* ---- pulls ---- */

struct pull_job {
	pull_sink sink;
	void *arg;
	bool bad;
};

static void *pull_main(void *arg)
{
	struct pull_job *j = arg;
	struct pull_progress p = {
		.state = PULL_RUNNING, .name = "tiny:latest", .status = "pulling manifest"
	};
	fakes_nap(5);
	j->sink(&p, j->arg);
	snprintf(p.status, sizeof p.status, "pulling bbbbbbbbbbbb");
	memset(p.digest, 'b', 64);
	p.total = 100;
	p.completed = 40;
	j->sink(&p, j->arg);
	j->sink(&p, j->arg); /* nothing new: must not be repeated */
	p.state = j->bad ? PULL_FAILED : PULL_DONE;
	(void)!!err_set(&p.error, ERR_UPSTREAM, "the registry said 500");
	j->sink(&p, j->arg);
	mem_free(j);
	fakes.ended++;
	return NULL;
}

enum err pulls_start(struct pulls *p, const struct pull_request *q, pull_sink sink, void *arg,
	char ret_id[ID_LEN + 1], uint64_t *ret_watch, struct err_info *info)
{
	(void)p;
	pthread_t t;
	if (fakes.run_nothing)
		return ERR_BUSY;
	if (str_eq(q->name, STR("evil.example/x")))
		return err_set(info, ERR_EGRESS, "evil.example:443 is not on the list");
	struct pull_job *j = mem_zalloc(1, sizeof *j);
	*j = (struct pull_job){ sink, arg, str_eq(q->name, STR("broken")) };
	id_new(ret_id);
	*ret_watch = 1;
	fakes.started++;
	CHECK_OK(thread_start("fake-pull", 256 * 1024, pull_main, j, &t));
	pthread_detach(t);
	return OK;
}

size_t pulls_list(struct pulls *p, struct pull_progress *ret, size_t max)
{
	(void)p, (void)max;
	ret[0] =
		(struct pull_progress){ .state = PULL_FAILED, .name = "x:latest",
			.source = "hf.co/u/x:Q4", .licence = "MIT License", .all_total = 10 };
	id_new(ret[0].id);
	(void)!!err_set(&ret[0].error, ERR_DIGEST, "layer 1");
	return 1;
}

enum err pulls_cancel(struct pulls *p, const char *id)
{
	(void)p;
	return str_starts(str_from(id), STR("01")) ? ERR_NOT_FOUND : OK;
}

enum err pulls_get(struct pulls *p, const char *id, struct pull_progress *ret)
{
	(void)p;
	*ret = (struct pull_progress){ .state = PULL_RUNNING, .name = "tiny:latest" };
	return str_copy(str_from(id), ret->id, sizeof ret->id);
}

/* ---- machine, egress ---- */

void machine_refresh(const char *data_dir, struct machine *m)
{
	(void)data_dir, (void)m;
}
enum err machine_json(const struct machine *m, struct jw *w)
{
	(void)m;
	jw_obj(w);
	jw_end(w);
	return OK;
}
enum err advise_json(struct advice_table *t, const struct machine *m, struct buf *out)
{
	(void)t, (void)m;
	return buf_add(out, STR("{\"machine\":{},\"advice\":[]}"));
}
enum err egress_client_policy(struct egress_client *c, const struct allow *a)
{
	(void)c, (void)a;
	return OK;
}
