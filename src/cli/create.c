/* create: a model made of a Modelfile, of GGUF files, or of a folder of safetensors. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "cli/commands.h"
#include "models/modelfile.h"
#include "os/fd.h"

enum { FILES_MAX = 24 };

struct files {
	struct { /* a file, and what it is called in the request */
		char path[PATH_MAX], name[NAME_MAX + 16];
	} file[FILES_MAX];
	size_t n;
};
struct creation {
	const char *name, *quantize; /* quantize may be NULL */
	struct files model, adapter;
	struct str adapter_digest; /* of one that the server has; or empty */
	struct modelfile *text; /* borrowed; NULL: only files */
};

/* `name` NULL: as the path ends. */
static enum err add_named(
	struct files *m, const char *path, const char *name, struct err_info *info)
{
	const char *slash = strrchr(path, '/');
	name = name ? name : slash ? slash + 1 : path;
	if (m->n == FILES_MAX)
		return err_set(info, ERR_LIMIT, "a model of more than %d files", FILES_MAX);
	bool taken = false; /* two folders may each have a model.gguf */
	for (size_t i = 0; i < m->n; i++)
		taken |= !strcmp(m->file[i].name, name);
	int n = snprintf(m->file[m->n].name, sizeof m->file[0].name, "%s%s",
		taken ? "second-" : "", name);
	if (n >= (int)sizeof m->file[0].name ||
		str_copy(str_from(path), m->file[m->n].path, PATH_MAX))
		return err_set(info, ERR_LIMIT, "the path is too long");
	m->n++;
	return OK;
}

static bool is_file(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* One file; of a model in parts ("x-00001-of-00003.gguf") all of them. */
static enum err add_file(struct files *m, const char *path, struct err_info *info)
{
	enum { TAIL = 20 }; /* "-00001-of-00003.gguf" */
	char part[PATH_MAX];
	unsigned number = 0, count = 0;
	size_t len = strlen(path);
	int used = 0;
	if (len <= TAIL || len >= PATH_MAX ||
		sscanf(path + len - TAIL, "-%5u-of-%5u.gguf%n", &number, &count, &used) != 2 ||
		used != TAIL || count < 2)
		return add_named(m, path, NULL, info);
	if (count > FILES_MAX)
		return err_set(info, ERR_LIMIT, "a model of more than %d files", FILES_MAX);
	for (unsigned i = 1; i <= count; i++) {
		snprintf(part, sizeof part, "%.*s-%05u-of-%05u.gguf", (int)(len - TAIL), path, i,
			count);
		if (!is_file(part))
			return err_set(info, ERR_NOT_FOUND, "the part %s is missing", part);
		TRY(add_named(m, part, NULL, info));
	}
	return OK;
}

/* ---- a folder ---- */

/* What of a folder of Hugging Face's a model is made of; "1_Pooling" and its like have one file. */
static enum err add_known(
	struct files *m, const char *folder, const char *entry, bool gguf, struct err_info *info)
{
	static const char *const known[] = { "config.json", "tokenizer.json",
		"tokenizer_config.json", "vocab.txt", "modules.json" };
	char path[PATH_MAX], name[NAME_MAX + 16];
	struct str s = str_from(entry);
	bool wanted = str_ends(s, gguf ? STR(".gguf") : STR(".safetensors"));
	for (size_t i = 0; !gguf && i < sizeof known / sizeof *known; i++)
		wanted |= !strcmp(entry, known[i]);
	bool pooling = !gguf && str_ends(s, STR("_Pooling"));
	int n = snprintf(name, sizeof name, "%s%s", entry, pooling ? "/config.json" : "");
	if (n >= (int)sizeof name || path_join(path, sizeof path, folder, name))
		return err_set(info, ERR_LIMIT, "the path is too long");
	return (wanted || pooling) && is_file(path) ? add_named(m, path, name, info) : OK;
}

static enum err add_folder(struct files *m, const char *folder, struct err_info *info)
{
	struct dirent **list;
	bool tensors = false, gguf = false;
	enum err e = OK;
	int n = scandir(folder, &list, NULL, alphasort);
	if (n < 0)
		return err_set(info, ERR_IO, "cannot read the folder %s", folder);
	for (int i = 0; i < n; i++) {
		tensors |= str_ends(str_from(list[i]->d_name), STR(".safetensors"));
		gguf |= str_ends(str_from(list[i]->d_name), STR(".gguf"));
	}
	if (!tensors && !gguf)
		e = err_set(info, ERR_UNSUPPORTED,
			"the folder %s has neither safetensors nor GGUF files", folder);
	for (int i = 0; i < n; i++) {
		if (!e)
			e = add_known(m, folder, list[i]->d_name, !tensors, info);
		free(list[i]);
	}
	free(list);
	return e;
}

/* A LoRA as PEFT writes it. */
static enum err add_peft(struct files *m, const char *folder, struct err_info *info)
{
	static const char *const names[] = { "adapter_config.json", "adapter_model.safetensors" };
	char path[PATH_MAX];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (path_join(path, sizeof path, folder, names[i]))
			return err_set(info, ERR_LIMIT, "the path is too long");
		if (!is_file(path))
			return err_set(info, ERR_NOT_FOUND, "the folder %s has no %s", folder,
				names[i]);
		TRY(add_named(m, path, names[i], info));
	}
	return OK;
}

/* ---- what the Modelfile says ---- */

static struct str value_of(const struct modelfile *m, enum modelfile_kind kind)
{
	const struct modelfile_cmd *c = modelfile_find(m, kind);
	return c ? c->value : STR_NONE;
}

static void put_texts(const struct modelfile *m, struct jw *w)
{
	static const struct {
		enum modelfile_kind kind;
		const char *key;
	} texts[] = { { MODELFILE_TEMPLATE, "template" }, { MODELFILE_SYSTEM, "system" },
		{ MODELFILE_RENDERER, "renderer" }, { MODELFILE_PARSER, "parser" },
		{ MODELFILE_REQUIRES, "requires" } };
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct str v = value_of(m, texts[i].kind);
		if (v.len)
			jw_kstr(w, texts[i].key, v);
	}
}

static void put_licences(const struct modelfile *m, struct jw *w)
{
	if (!modelfile_find(m, MODELFILE_LICENSE))
		return;
	jw_key(w, "license");
	jw_arr(w);
	for (size_t i = 0; i < modelfile_count(m); i++)
		if (modelfile_get(m, i)->kind == MODELFILE_LICENSE)
			jw_str(w, modelfile_get(m, i)->value);
	jw_end(w);
}

static void put_messages(const struct modelfile *m, struct jw *w)
{
	if (!modelfile_find(m, MODELFILE_MESSAGE))
		return;
	jw_key(w, "messages");
	jw_arr(w);
	for (size_t i = 0; i < modelfile_count(m); i++) {
		const struct modelfile_cmd *c = modelfile_get(m, i);
		if (c->kind != MODELFILE_MESSAGE)
			continue;
		jw_obj(w);
		jw_kstr(w, "role", c->name);
		jw_kstr(w, "content", c->value);
		jw_end(w);
	}
	jw_end(w);
}

static enum err put_parameters(const struct modelfile *m, struct jw *w)
{
	AUTO_JSON json_t *params = NULL;
	TRY(modelfile_params(m, &params));
	if (json_object_size(params)) {
		jw_key(w, "parameters");
		jw_json(w, params);
	}
	return OK;
}

static void tell_what_has_no_effect(const struct modelfile *m)
{
	for (size_t i = 0; i < modelfile_count(m); i++) {
		const struct modelfile_cmd *c = modelfile_get(m, i);
		if (c->kind == MODELFILE_PARAMETER && c->deprecated)
			fprintf(stderr, "tresor: line %u: the parameter %.*s has no effect\n",
				c->line, (int)c->name.len, c->name.ptr);
		if (c->kind == MODELFILE_REQUIRES)
			fprintf(stderr, "tresor: line %u: REQUIRES, a version of Ollama, has no "
					"effect here\n",
				c->line);
	}
}

/* ---- the request ---- */

static enum err put_files(struct client *c, const char *key, const struct files *m, struct jw *w,
	struct err_info *info)
{
	if (!m->n)
		return OK;
	jw_key(w, key);
	jw_obj(w);
	for (size_t i = 0; i < m->n; i++) {
		char digest[80], hex[65];
		TRY(upload_model_file(c, m->file[i].path, hex, info));
		snprintf(digest, sizeof digest, "sha256:%s", hex);
		jw_kstr(w, m->file[i].name, str_from(digest));
	}
	jw_end(w);
	return OK;
}

/* FROM what is no file: a model that is there. */
static void put_from(const struct creation *m, struct jw *w)
{
	struct str from = m->text && !m->model.n ? value_of(m->text, MODELFILE_FROM) : STR_NONE;
	if (from.len)
		jw_kstr(w, "from", from);
}

static enum err send(struct client *c, const struct creation *m, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(2 * LIMIT_MODELFILE);
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_kstr(&w, "model", str_from(m->name));
	if (m->quantize)
		jw_kstr(&w, "quantize", str_from(m->quantize));
	put_from(m, &w);
	TRY(put_files(c, "files", &m->model, &w, info));
	TRY(put_files(c, "adapters", &m->adapter, &w, info));
	if (m->adapter_digest.len) {
		jw_key(&w, "adapters");
		jw_obj(&w);
		jw_kstr(&w, "adapter.gguf", m->adapter_digest);
		jw_end(&w);
	}
	if (m->text) {
		put_texts(m->text, &w);
		put_licences(m->text, &w);
		put_messages(m->text, &w);
		TRY(put_parameters(m->text, &w));
		tell_what_has_no_effect(m->text);
	}
	jw_end(&w);
	return cli_with_progress(c, "/api/create", &body, info);
}

enum err create_from_gguf(
	struct client *c, const char *name, const char *path, struct err_info *info)
{
	struct stat st;
	AUTO_MEM struct creation *m = mem_zalloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	m->name = name;
	TRY(!stat(path, &st) && S_ISDIR(st.st_mode) ? add_folder(&m->model, path, info)
						    : add_file(&m->model, path, info));
	return send(c, m, info);
}

/* ---- which files ---- */

static enum err is_gguf(const char *path, bool *ret, struct err_info *info)
{
	AUTO_FD int fd = -1;
	char magic[4] = "";
	enum err e = fd_open(path, O_RDONLY, 0, &fd);
	if (e)
		return err_set(info, e, "cannot read the file %s", path);
	*ret = !fd_read_full(fd, magic, sizeof magic) && !memcmp(magic, "GGUF", 4);
	return OK;
}

/* The path a FROM or ADAPTER names, seen from the Modelfile's folder; "~/" is the home. */
static enum err path_of(const char *modelfile, struct str value, char ret[PATH_MAX])
{
	const char *slash = strrchr(modelfile, '/'), *home = getenv("HOME");
	int n, len = (int)value.len;
	if (value.len >= PATH_MAX || memchr(value.ptr, 0, value.len))
		return ERR_LIMIT;
	if (str_starts(value, STR("~/")) && home)
		n = snprintf(ret, PATH_MAX, "%s%.*s", home, len - 1, value.ptr + 1);
	else if (value.ptr[0] == '/' || !slash)
		n = snprintf(ret, PATH_MAX, "%.*s", len, value.ptr);
	else
		n = snprintf(ret, PATH_MAX, "%.*s/%.*s", (int)(slash - modelfile), modelfile, len,
			value.ptr);
	return n < PATH_MAX ? OK : ERR_LIMIT;
}

/* A FROM is a file when there is one of that name, else a model's name. */
static enum err take_from(struct files *m, const char *modelfile, const struct modelfile_cmd *c,
	struct err_info *info)
{
	char path[PATH_MAX];
	struct stat st;
	bool gguf = false;
	TRY(path_of(modelfile, c->value, path));
	if (stat(path, &st))
		return OK;
	if (S_ISDIR(st.st_mode)) {
		struct err_info why = { 0 };
		enum err e = add_folder(m, path, &why);
		return e ? err_set(info, e, "line %u: %s", c->line, why.detail) : OK;
	}
	TRY(is_gguf(path, &gguf, info));
	if (!gguf)
		return err_set(info, ERR_UNSUPPORTED, "line %u: %s is not a GGUF file", c->line,
			path);
	return add_file(m, path, info);
}

/* A file or a folder, or "sha256:..", as `show --modelfile` names what the server has. */
static enum err take_adapter(struct creation *m, const char *modelfile,
	const struct modelfile_cmd *c, struct err_info *info)
{
	char path[PATH_MAX];
	struct stat st;
	struct err_info why = { 0 };
	bool gguf = false;
	if (m->adapter.n || m->adapter_digest.len)
		return err_set(info, ERR_UNSUPPORTED,
			"line %u: only one adapter is currently supported", c->line);
	TRY(path_of(modelfile, c->value, path));
	enum err e = OK;
	if (str_starts(c->value, STR("sha256:")) && stat(path, &st))
		m->adapter_digest = c->value;
	else if (!stat(path, &st) && S_ISDIR(st.st_mode))
		e = add_peft(&m->adapter, path, &why);
	else
		e = is_gguf(path, &gguf, &why);
	if (!e && gguf)
		e = add_named(&m->adapter, path, NULL, &why);
	else if (!e && !m->adapter.n && !m->adapter_digest.len)
		e = err_set(&why, ERR_UNSUPPORTED, "%s is not a GGUF file", path);
	return e ? err_set(info, e, "line %u: %s", c->line,
			   why.detail[0] ? why.detail : err_text(e))
		 : OK;
}

static enum err read_modelfile(
	struct creation *m, const char *path, struct modelfile **ret, struct err_info *info)
{
	AUTO_BUF struct buf text = BUF(LIMIT_MODELFILE);
	char piece[16384];
	AUTO_FD int fd = -1;
	enum err e = fd_open(path, O_RDONLY, 0, &fd);
	if (e)
		return err_set(info, e, "cannot read the file %s", path);
	for (size_t n = 1; n;) {
		TRY(fd_read(fd, piece, sizeof piece, &n));
		if (buf_add(&text, (struct str){ piece, n }))
			return err_set(info, ERR_LIMIT, "%s is too large for a Modelfile", path);
	}
	TRY(modelfile_parse(buf_str(&text), ret, info));
	m->text = *ret;
	for (size_t i = 0; i < modelfile_count(m->text); i++) {
		const struct modelfile_cmd *c = modelfile_get(m->text, i);
		if (c->kind == MODELFILE_ADAPTER)
			TRY(take_adapter(m, path, c, info));
		if (c->kind == MODELFILE_FROM)
			TRY(take_from(&m->model, path, c, info));
	}
	return OK;
}

static enum err create(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO(modelfile) struct modelfile *text = NULL;
	const char *file = args_get(a, "--file"), *projector = args_get(a, "--projector");
	bool gguf = false;
	struct stat st;
	AUTO_MEM struct creation *m = mem_zalloc(1, sizeof *m);
	if (!m)
		return ERR_NOMEM;
	m->name = a->operand[0];
	m->quantize = args_get(a, "--quantize");
	file = file ? file : "Modelfile";
	if (!stat(file, &st) && S_ISDIR(st.st_mode)) {
		TRY(add_folder(&m->model, file, info));
	} else {
		TRY(is_gguf(file, &gguf, info));
		TRY(gguf ? add_file(&m->model, file, info) : read_modelfile(m, file, &text, info));
	}
	if (projector) {
		TRY(is_gguf(projector, &gguf, info));
		if (!gguf)
			return err_set(info, ERR_UNSUPPORTED, "%s is not a GGUF file", projector);
		TRY(add_file(&m->model, projector, info));
	}
	return send(c, m, info);
}

int cmd_create(const struct args *a)
{
	return cli_with_client(a, create);
}
