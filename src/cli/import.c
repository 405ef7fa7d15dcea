/* import-ollama: the models of an Ollama on this machine, without copying them. The folder is read
 * here; the keeper gives the files their second names. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "models/manifest.h"
#include "os/fd.h"

enum { PARTS = 4, BODY_MAX = 16 * 1024 * 1024 };

struct import {
	struct client *c;
	char folder[PATH_MAX];
	bool copy;
	unsigned models, here, linked, cloned, copied, failed;
	struct progress progress;
};

/* ---- one model ---- */

static enum err read_small(const char *path, struct buf *out, struct err_info *info)
{
	enum err e = file_read(path, out);
	return e ? err_set(info, e, "cannot read %s: %s", path, err_text(e)) : OK;
}

static enum err put_text(
	const struct import *m, const struct layer *l, struct jw *w, struct err_info *info)
{
	char path[PATH_MAX];
	AUTO_BUF struct buf text = BUF(LAYER_TEXT_MAX);
	int n = snprintf(path, sizeof path, "%s/blobs/sha256-%s", m->folder, l->digest);
	if (n >= (int)sizeof path)
		return ERR_LIMIT;
	TRY(read_small(path, &text, info));
	if (!str_is_utf8(buf_str(&text)))
		return err_set(info, ERR_MODEL_BAD, "a text part of the model is not UTF-8");
	jw_kstr(w, l->digest, buf_str(&text));
	return OK;
}

static enum err request(const struct import *m, const char *name, struct str manifest_text,
	struct buf *body, struct err_info *info)
{
	AUTO_MEM struct manifest *manifest = mem_zalloc(1, sizeof *manifest);
	struct jw w;
	if (!manifest)
		return ERR_NOMEM;
	TRY(manifest_read(manifest_text, manifest, info));
	jw_init(&w, body);
	jw_obj(&w);
	jw_kstr(&w, "folder", str_from(m->folder));
	jw_kstr(&w, "name", str_from(name));
	jw_kstr(&w, "manifest", manifest_text);
	jw_kbool(&w, "copy", m->copy);
	jw_key(&w, "texts");
	jw_obj(&w);
	for (size_t i = 0; i < manifest->n; i++)
		if (layer_is_text(manifest->layer[i].kind))
			TRY(put_text(m, &manifest->layer[i], &w, info));
	jw_end(&w);
	jw_end(&w);
	return body->err;
}

static enum err on_line(const json_t *line, void *arg)
{
	struct import *m = arg;
	if (strcmp(cli_text(line, "status"), "success") != 0)
		return progress_line(line, &m->progress);
	m->here += json_is_true(json_object_get(line, "here_already"));
	m->linked += (unsigned)json_integer_value(json_object_get(line, "linked"));
	m->cloned += (unsigned)json_integer_value(json_object_get(line, "cloned"));
	m->copied += (unsigned)json_integer_value(json_object_get(line, "copied"));
	if (cli_text(line, "kept")[0])
		fprintf(stderr, "the old version stays as %s\n", cli_text(line, "kept"));
	return OK;
}

static enum err bring(
	struct import *m, const char *name, const char *path, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_MANIFEST);
	AUTO_BUF struct buf body = BUF(BODY_MAX);
	TRY(read_small(path, &text, info));
	TRY(request(m, name, buf_str(&text), &body, info));
	return client_stream(m->c, "/team/v1/models/import", buf_str(&body), on_line, m, info);
}

/* One that cannot be taken does not keep the others from it. */
static enum err take(struct import *m, char *const part[PARTS], const char *path)
{
	char name[LIMIT_MODEL_NAME + 1];
	struct err_info why = { 0 };
	struct model_name parsed;
	int n = snprintf(
		name, sizeof name, "%s/%s/%s:%s", part[0], part[1], part[2], part[3]);
	enum err e = n >= (int)sizeof name ? ERR_INVALID
					   : name_parse(str_from(name), &parsed, &why);
	for (char *c = name; e && *c; c++) /* a folder may be called anything */
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
	if (!e) {
		name_format(&parsed, name);
		fprintf(stderr, "%s\n", name);
		e = bring(m, name, path, &why);
		progress_end(&m->progress);
	}
	m->models++;
	if (!e)
		return OK;
	m->failed++;
	fprintf(stderr, "tresor: %s: %s%s%s%s\n", name, why.detail[0] ? why.detail : err_text(e),
		why.hint[0] ? " (" : "", why.hint, why.hint[0] ? ")" : "");
	/* Refused as a whole, or the next would fail for the same reason. */
	return e == ERR_CANCELLED || e == ERR_CLOSED || e == ERR_NOSPACE ||
			       (client_status(m->c) && client_status(m->c) != 200)
		       ? e
		       : OK;
}

/* ---- the folder: manifests/HOST/NAMESPACE/MODEL/TAG ---- */

static enum err walk(struct import *m, const char *folder, char *part[PARTS], unsigned depth)
{
	struct dirent **list;
	enum err e = OK;
	int n = scandir(folder, &list, NULL, alphasort);
	if (n < 0)
		return depth ? OK : err_from_errno(ENOENT);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct stat st;
		part[depth] = list[i]->d_name;
		int len = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
		if (!e && list[i]->d_name[0] != '.' && len < (int)sizeof path &&
			!lstat(path, &st)) {
			if (depth < PARTS - 1 && S_ISDIR(st.st_mode))
				e = walk(m, path, part, depth + 1);
			else if (depth == PARTS - 1 && S_ISREG(st.st_mode))
				e = take(m, part, path);
		}
		free(list[i]);
	}
	free(list);
	return e;
}

static enum err find_folder(const struct args *a, char ret[PATH_MAX], struct err_info *info)
{
	const char *home = getenv("HOME"), *models = getenv("OLLAMA_MODELS");
	char path[PATH_MAX];
	int n;
	if (a->n_operands)
		n = snprintf(path, sizeof path, "%s", a->operand[0]);
	else if (models && *models)
		n = snprintf(path, sizeof path, "%s", models);
	else
		n = snprintf(path, sizeof path, "%s/.ollama/models", home ? home : "");
	if (n >= (int)sizeof path || !realpath(path, ret))
		return err_set(info, ERR_NOT_FOUND, "there is no folder %s", path);
	return OK;
}

static enum err import(struct client *c, const struct args *a, struct err_info *info)
{
	struct import m = { .c = c, .copy = args_get(a, "--copy") != NULL };
	char manifests[PATH_MAX];
	char *part[PARTS];
	TRY(find_folder(a, m.folder, info));
	TRY(path_join(manifests, sizeof manifests, m.folder, "manifests"));
	progress_init(&m.progress);
	enum err e = walk(&m, manifests, part, 0);
	if (e == ERR_NOT_FOUND && !m.models)
		return err_set(info, e,
			"%s is not a folder of Ollama's models: it has no manifests", m.folder);
	if (m.models > m.failed || !e)
		printf("%u models: %u new, %u here already, %u failed; "
		       "files: %u linked, %u cloned, %u copied\n",
			m.models, m.models - m.failed - m.here, m.here, m.failed, m.linked,
			m.cloned, m.copied);
	TRY(e);
	return m.failed ? err_set(info, ERR_MODEL_BAD, "%u of %u models could not be imported",
				  m.failed, m.models)
			: OK;
}

int cmd_import_ollama(const struct args *a)
{
	return cli_with_client(a, import);
}
