/* bundle ...: models in one signed file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/progress.h"
#include "cli/wrap.h"
#include "models/bundle.h"
#include "os/fd.h"

enum { BODY_MAX = 64 * 1024 };

/* ---- reading a file's head ---- */

static enum err read_head(const char *path, struct buf *out, uint64_t *ret_size, int *ret_fd,
	struct err_info *info)
{
	AUTO_FD int fd = -1;
	struct stat st;
	size_t size = BUNDLE_PREFIX;
	enum err e = fd_open(path, O_RDONLY, 0, &fd);
	if (e || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(info, e ? e : ERR_INVALID, "cannot read the file %s", path);
	if (st.st_size < BUNDLE_PREFIX)
		return err_set(info, ERR_INVALID, "%s is not a bundle of models", path);
	for (int part = 0; part < 2; part++) { /* the prefix says how long the head is */
		size_t more = size - out->len;
		if (size > (uint64_t)st.st_size)
			return err_set(info, ERR_INVALID, "the bundle is cut short");
		TRY(buf_reserve(out, more));
		TRY(fd_pread_full(fd, out->ptr + out->len, more, out->len));
		out->len += more;
		TRY(bundle_head_size(buf_str(out), &size, info));
	}
	*ret_size = (uint64_t)st.st_size;
	*ret_fd = TAKE_FD(fd);
	return OK;
}

static enum err print_bundle(const struct bundle *b, const char *state)
{
	AUTO_GRID struct grid g;
	static const char *const head[] = { "NAME", "ID", "LICENCE" };
	char size[HUMAN_MAX], made[HUMAN_MAX];
	human_bytes(b->bytes, size);
	human_time(b->created_ms, time_now_ms(), made);
	wrap_printf(stdout, "%s, made %s\nsigned by %s (%s)\n\n", size, made, b->fingerprint,
		state);
	grid_init(&g, 3, true);
	TRY(grid_row(&g, head));
	for (size_t i = 0; i < b->n_models; i++) {
		char name[LIMIT_MODEL_NAME + 1], id[13], licence[128];
		name_format(&b->model[i].name, name);
		snprintf(id, sizeof id, "%.12s", b->model[i].digest);
		snprintf(licence, sizeof licence, "%.*s",
			STR_ARG(str_sub(b->model[i].licence, 0, 100)));
		TRY(grid_row(&g, (const char *const[]){ name, id, licence }));
	}
	grid_print(&g, stdout);
	return OK;
}

/* Needs no server: the signature is checked here. */
static enum err show(const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf head = BUF(BUNDLE_HEAD_MAX);
	AUTO_BUNDLE struct bundle b = { 0 };
	AUTO_FD int fd = -1;
	uint64_t size;
	TRY(read_head(a->operand[0], &head, &size, &fd, info));
	TRY(bundle_read(buf_str(&head), &b, info));
	if (size != head.len + b.bytes)
		return err_set(info, ERR_INVALID, "the bundle %s",
			size < head.len + b.bytes ? "is cut short" : "goes on after its end");
	return print_bundle(&b, "the signature is right");
}

/* ---- export ---- */

struct receiving {
	struct progress p;
	uint64_t total; /* 0: not known */
	uint64_t done;
	int fd;
	struct buf head;
	struct err_info *info;
};

/* The size is known once the head is there, for the progress and for the end. */
static enum err look_at_head(struct receiving *r, struct str bytes)
{
	AUTO_BUNDLE struct bundle b = { 0 };
	size_t size = 0;
	TRY(buf_add(&r->head, str_sub(bytes, 0, r->head.max - r->head.len)));
	if (r->head.len < BUNDLE_PREFIX)
		return OK;
	TRY(bundle_head_size(str_sub(buf_str(&r->head), 0, BUNDLE_PREFIX), &size, r->info));
	if (r->head.len < size)
		return OK;
	TRY(bundle_read(str_sub(buf_str(&r->head), 0, size), &b, r->info));
	r->total = size + b.bytes;
	buf_done(&r->head);
	return OK;
}

static enum err on_bytes(struct str bytes, void *arg)
{
	struct receiving *r = arg;
	if (!r->total)
		TRY(look_at_head(r, bytes));
	TRY(fd_write_full(r->fd, bytes.ptr, bytes.len));
	r->done += bytes.len;
	progress_bytes(&r->p, "writing bundle", r->done, r->total);
	return OK;
}

static enum err export_to(struct client *c, const struct args *a, const char *part,
	struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(BODY_MAX);
	struct receiving r = { .fd = -1, .head = BUF(BUNDLE_HEAD_MAX + BODY_MAX), .info = info };
	struct jw w;
	jw_init(&w, &body);
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (unsigned i = 0; i < a->n_operands; i++)
		jw_str(&w, str_from(a->operand[i]));
	jw_end(&w);
	jw_end(&w);
	TRY(body.err);
	progress_init(&r.p);
	enum err e = fd_open(part, O_WRONLY | O_CREAT | O_EXCL, 0600, &r.fd);
	if (e)
		return err_set(info, e, "cannot write the file %s", part);
	e = client_bytes(c, "/team/v1/bundles/export", buf_str(&body), on_bytes, &r, info);
	progress_end(&r.p);
	if (!e && r.done != r.total)
		e = err_set(info, ERR_IO, "the server did not send all of the bundle");
	if (!e)
		e = fd_sync(r.fd);
	close(r.fd);
	buf_done(&r.head);
	return e;
}

/* Beside its place first: a file of that name is whole. */
static enum err export(struct client *c, const struct args *a, struct err_info *info)
{
	const char *path = args_get(a, "--output");
	char part[4096];
	if (!path || !*path)
		return err_set(info, ERR_INVALID, "say with -o FILE where the bundle goes");
	if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
		return ERR_LIMIT;
	if (!access(path, F_OK))
		return err_set(info, ERR_EXISTS, "there is a file %s already", path);
	enum err e = export_to(c, a, part, info);
	if (!e && rename(part, path))
		e = err_set(info, err_from_errno(errno), "cannot write the file %s", path);
	if (e)
		(void)unlink(part);
	return e;
}

/* ---- import ---- */

static void on_sent(uint64_t done, uint64_t size, void *arg)
{
	progress_bytes(arg, "reading bundle", done, size);
}

static enum err import(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf head = BUF(BUNDLE_HEAD_MAX), out = BUF(BODY_MAX * 8);
	AUTO_BUNDLE struct bundle b = { 0 };
	AUTO_JSON json_t *doc = NULL;
	AUTO_FD int fd = -1;
	const char *trust = args_get(a, "--trust");
	char path[256] = "/team/v1/bundles/import";
	struct progress p;
	uint64_t size;
	size_t i;
	json_t *m;
	TRY(read_head(a->operand[0], &head, &size, &fd, info));
	TRY(bundle_read(buf_str(&head), &b, info)); /* before gigabytes go to the server */
	if (trust && !bundle_fingerprint_ok(str_from(trust)))
		return err_set(info, ERR_INVALID, "\"%.60s\" is not a fingerprint", trust);
	if (trust)
		snprintf(path, sizeof path, "/team/v1/bundles/import?trust=%s", trust);
	progress_init(&p);
	struct client_upload u = { .fd = fd, .size = size, .progress = on_sent, .arg = &p };
	enum err e = client_upload_reply(c, path, &u, &out, info);
	progress_end(&p);
	TRY(e);
	if (a->json) {
		wrap_print_str(str_trim(buf_str(&out)), stdout);
		putchar('\n');
		return OK;
	}
	TRY(json_read(buf_str(&out), out.len, 8, &doc, info));
	json_array_foreach(json_object_get(doc, "models"), i, m)
	{
		const char *licence = cli_text(m, "licence"), *kept = cli_text(m, "kept");
		wrap_printf(stdout, "%s (%.12s), licence: %s\n", cli_text(m, "name"),
			cli_text(m, "digest"), *licence ? licence : "the model says none");
		if (*kept)
			wrap_printf(stdout, "the old version stays as %s\n", kept);
	}
	return OK;
}

/* ---- signers ---- */

static enum err signers(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "SIGNER", "TRUSTED BY", "SINCE" };
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	size_t i;
	json_t *s;
	grid_init(&g, 3, true);
	if (a->json)
		return cli_print_json(c, "GET", "/team/v1/bundles/signers", STR_NONE, info);
	TRY(client_json(c, "GET", "/team/v1/bundles/signers", STR_NONE, &doc, info));
	wrap_printf(stdout, "This house signs with %s\n\n", cli_text(doc, "own"));
	TRY(grid_row(&g, head));
	json_array_foreach(json_object_get(doc, "signers"), i, s)
	{
		char since[HUMAN_MAX];
		const char *name = cli_text(s, "person_name"), *id = cli_text(s, "person");
		human_time(json_integer_value(json_object_get(s, "since_ms")), time_now_ms(),
			since);
		TRY(grid_row(&g, (const char *const[]){ cli_text(s, "fingerprint"),
					 *name ? name : *id ? id : "the operator", since }));
	}
	grid_print(&g, stdout);
	return OK;
}

static enum err change_signer(
	struct client *c, const struct args *a, const char *method, struct err_info *info)
{
	AUTO_BUF struct buf path = BUF(4096), out = BUF(BODY_MAX);
	const char *z;
	TRY(cli_path(&path, "/team/v1/bundles/signers/", a->operand[0]));
	TRY(buf_cstr(&path, &z));
	return client_call(c, method, z, STR_NONE, &out, info);
}

static enum err trust(struct client *c, const struct args *a, struct err_info *info)
{
	return change_signer(c, a, "PUT", info);
}

static enum err distrust(struct client *c, const struct args *a, struct err_info *info)
{
	return change_signer(c, a, "DELETE", info);
}

int cmd_bundle(const struct args *a)
{
	static const struct {
		const char *name;
		cli_fn fn;
	} table[] = {
		{ "bundle export", export },
		{ "bundle import", import },
		{ "bundle signers", signers },
		{ "bundle trust", trust },
		{ "bundle distrust", distrust },
	};
	struct err_info why = { 0 };
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, a->command->name))
			return cli_with_client(a, table[i].fn);
	enum err e = show(a, &why);
	return e ? cli_fail(a, a->command->name, e, &why) : 0;
}
