/* Models of an Ollama on the same machine: progress as NDJSON lines, as /api/pull has them. */
#include "api/team/team.h"

#include <unistd.h>

#include "api/errors.h"
#include "base/limits.h"
#include "models/import.h"

static void write_line(struct http_req *q, struct buf *out)
{
	(void)buf_add_byte(out, '\n');
	if (!out->err)
		(void)!!http_write(q, buf_str(out)); /* a client that is gone misses nothing */
}

static void on_status(const char *line, void *arg)
{
	struct call *c = arg;
	AUTO_BUF struct buf out = BUF(4096);
	struct jw w;
	jw_init(&w, &out);
	jw_obj(&w);
	jw_kstr(&w, "status", str_from(line));
	jw_end(&w);
	write_line(c->q, &out);
}

static bool client_gone(void *arg)
{
	const struct call *c = arg;
	return http_gone(c->q);
}

static void on_close(void *arg)
{
	(void)arg;
}

static void done_line(const struct import_done *d, struct buf *out)
{
	struct jw w;
	jw_init(&w, out);
	jw_obj(&w);
	jw_kstr(&w, "status", STR("success"));
	jw_kbool(&w, "here_already", d->here_already);
	jw_ki64(&w, "linked", d->linked);
	jw_ki64(&w, "cloned", d->cloned);
	jw_ki64(&w, "copied", d->copied);
	if (d->kept.name[0])
		jw_kstr(&w, "kept", str_from(d->kept.name));
	jw_end(&w);
}

/* The keeper opens the folder with its own rights, so only its own user (or root) may name one. */
static enum err check_local(struct call *c)
{
	unsigned uid = 0;
	if (http_is_local(c->q, &uid) && (uid == geteuid() || uid == 0))
		return OK;
	return err_set(&c->info, ERR_UNSUPPORTED,
		"a folder is imported on its own machine, by the user that Tresor runs as");
}

enum err team_import(struct call *c)
{
	AUTO_BUF struct buf out = BUF(8 * 1024);
	struct import_request q = { .folder = call_str(c, "folder"),
		.name = call_str(c, "name"),
		.manifest = call_str(c, "manifest"),
		.texts = json_object_get(c->body, "texts"),
		.copy = json_is_true(json_object_get(c->body, "copy")) };
	struct create_watch watch = { .status = on_status, .gone = client_gone, .arg = c };
	struct import_done done = { .here_already = false };
	TRY(check_local(c));
	http_stream(c->q, 200, "application/x-ndjson", on_close, NULL);
	enum err e = model_import(c->app->models, &q, &watch, &done, &c->info);
	if (e) {
		const char *type;
		c->info.code = e;
		api_error_body(DIALECT_TEAM, &c->info, http_request_id(c->q), &out, &type);
	} else {
		done_line(&done, &out);
	}
	write_line(c->q, &out);
	http_finish(c->q);
	return OK;
}
