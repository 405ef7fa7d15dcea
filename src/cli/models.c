/* list, show, stop, rm, advise, pull. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/hex.h"
#include "cli/commands.h"
#include "os/fd.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static enum err print_json(struct client *c, const char *method, const char *path, struct str body,
	struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(64 * 1024 * 1024);
	TRY(client_call(c, method, path, body, &out, info));
	printf("%.*s\n", STR_ARG(str_trim(buf_str(&out))));
	return OK;
}

static enum err list(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	if (a->json)
		return print_json(c, "GET", "/api/tags", STR_NONE, info);
	TRY(client_json(c, "GET", "/api/tags", STR_NONE, &doc, info));
	printf("%-40s %-14s %-9s %s\n", "NAME", "ID", "SIZE", "MODIFIED");
	json_array_foreach(json_object_get(doc, "models"), i, m)
	{
		char size[16];
		cli_bytes((uint64_t)json_integer_value(json_object_get(m, "size")), size);
		printf("%-40s %-14.12s %-9s %.19s\n", text_of(m, "name"), text_of(m, "digest"),
			size, text_of(m, "modified_at"));
	}
	return OK;
}

static enum err model_body(const char *model, const char *more, struct buf *out)
{
	TRY(buf_add(out, STR("{\"model\":")));
	TRY(json_add_str(out, str_from(model)));
	return buf_addf(out, "%s}", more);
}

static enum err show(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(4096);
	AUTO_JSON json_t *doc = NULL;
	const char *key;
	json_t *v;
	TRY(model_body(a->operand[0], "", &body));
	if (a->json)
		return print_json(c, "POST", "/api/show", buf_str(&body), info);
	TRY(client_json(c, "POST", "/api/show", buf_str(&body), &doc, info));
	puts("Model");
	json_object_foreach(json_object_get(doc, "details"), key,
		v) if (json_is_string(v) && *json_string_value(v))
		printf("  %-22s %s\n", key, json_string_value(v));
	json_object_foreach(json_object_get(doc, "model_info"), key, v) if (json_is_integer(v))
		printf("  %-22s %lld\n", key, (long long)json_integer_value(v));
	else if (json_is_string(v)) printf("  %-22s %.100s\n", key, json_string_value(v));
	if (*text_of(doc, "tuned"))
		printf("  %-22s %s\n", "measured here", text_of(doc, "tuned"));
	if (json_is_true(json_object_get(doc, "pinned")))
		puts("  always loaded");
	static const char *const parts[] = { "parameters", "system", "license" };
	for (size_t i = 0; i < 3; i++)
		if (*text_of(doc, parts[i]))
			printf("\n%s\n  %.400s\n", parts[i], text_of(doc, parts[i]));
	return OK;
}

static enum err stop(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(4096);
	AUTO_BUF struct buf out = BUF(65536);
	TRY(model_body(a->operand[0], ",\"keep_alive\":0,\"stream\":false", &body));
	return client_call(c, "POST", "/api/generate", buf_str(&body), &out, info);
}

static enum err rm(struct client *c, const struct args *a, struct err_info *info)
{
	for (unsigned i = 0; i < a->n_operands; i++) {
		AUTO_BUF struct buf body = BUF(4096);
		AUTO_BUF struct buf out = BUF(65536);
		TRY(model_body(a->operand[i], "", &body));
		TRY(client_call(c, "DELETE", "/api/delete", buf_str(&body), &out, info));
		if (!a->json)
			printf("deleted %s\n", a->operand[i]);
	}
	return OK;
}

static enum err advise(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	if (a->json)
		return print_json(c, "GET", "/team/v1/advise", STR_NONE, info);
	TRY(client_json(c, "GET", "/team/v1/advise", STR_NONE, &doc, info));
	const json_t *machine = json_object_get(doc, "machine"),
		     *all = json_object_get(doc, "advice");
	if (args_get(a, "--best")) {
		const json_t *best = json_array_get(all, 0);
		if (!json_is_true(json_object_get(best, "fits")))
			return err_set(
				info, ERR_NOT_FOUND, "no model of the table fits this machine");
		puts(text_of(best, "source"));
		return OK;
	}
	char memory[16];
	cli_bytes((uint64_t)json_integer_value(json_object_get(machine, "memory")), memory);
	printf("This machine: %s, %lld cores, %s memory, %s\n\n", text_of(machine, "cpu"),
		(long long)json_integer_value(json_object_get(machine, "cores")), memory,
		*text_of(machine, "gpu") ? text_of(machine, "gpu") : "no GPU");
	printf("%-2s %-30s %-9s %-9s %-9s %-8s %s\n", "", "MODEL", "SIZE", "AT 8K", "AT 32K",
		"TOK/S", "LICENCE");
	json_array_foreach(all, i, m)
	{
		char size[16], m8[16], m32[16];
		cli_bytes((uint64_t)json_integer_value(json_object_get(m, "size")), size);
		cli_bytes((uint64_t)json_integer_value(json_object_get(m, "memory_8k")), m8);
		cli_bytes((uint64_t)json_integer_value(json_object_get(m, "memory_32k")), m32);
		printf("%-2s %-30s %-9s %-9s %-9s ~%-7.1f %s\n",
			json_is_true(json_object_get(m, "fits")) ? "+" : "-", text_of(m, "source"),
			size, m8, m32, json_number_value(json_object_get(m, "tokens_per_s")),
			text_of(m, "licence"));
	}
	puts("\n+ fits, - does not. Speeds are estimates from this machine's memory bandwidth.");
	return OK;
}

/* ---- pull ---- */

struct progress {
	bool tty;
	char last[128];
};

static void show_bar(const char *status, uint64_t done, uint64_t total)
{
	char have[16], all[16], bar[31];
	unsigned full = total ? (unsigned)(done * 30 / total) : 0;
	for (unsigned i = 0; i < 30; i++)
		bar[i] = i < full ? '#' : '.';
	bar[30] = '\0';
	cli_bytes(done, have);
	cli_bytes(total, all);
	fprintf(stderr, "\r\033[K%-28.28s [%s] %3u%%  %s / %s", status, bar,
		total ? (unsigned)(done * 100 / total) : 0, have, all);
}

static enum err pull_line(const json_t *line, void *arg)
{
	struct progress *p = arg;
	const char *status = text_of(line, "status");
	json_int_t total = json_integer_value(json_object_get(line, "total"));
	json_int_t done = json_integer_value(json_object_get(line, "completed"));
	bool fresh = strcmp(status, p->last) != 0;
	if (p->tty && fresh && p->last[0])
		fputc('\n', stderr);
	if (p->tty && total)
		show_bar(status, (uint64_t)done, (uint64_t)total);
	else if (fresh)
		fprintf(stderr, p->tty ? "%s" : "%s\n", status);
	snprintf(p->last, sizeof p->last, "%s", status);
	return OK;
}

static enum err hash_file(int fd, char hex[65])
{
	static char piece[1 << 20];
	struct sha256 h;
	uint8_t digest[SHA256_LEN];
	sha256_init(&h);
	for (;;) {
		size_t n = 0;
		TRY(fd_read(fd, piece, sizeof piece, &n));
		if (!n)
			break;
		sha256_add(&h, piece, n);
	}
	sha256_end(&h, digest);
	hex_encode(digest, sizeof digest, hex);
	return lseek(fd, 0, SEEK_SET) < 0 ? ERR_IO : OK;
}

static void show_upload(uint64_t done, uint64_t total)
{
	if (isatty(2))
		show_bar("copying", done, total);
}

static enum err pull_file(struct client *c, const char *path, const char *as, struct err_info *info)
{
	AUTO_FD int fd = -1;
	struct stat st;
	char hex[65];
	AUTO_BUF struct buf url = BUF(256);
	AUTO_BUF struct buf body = BUF(8192);
	const char *z, *base = strrchr(path, '/');
	struct progress p = { .tty = isatty(2) };
	if (!as)
		return err_set(
			info, ERR_INVALID, "say what the model is to be called with --as NAME");
	enum err e = fd_open(path, O_RDONLY, 0, &fd);
	if (e || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(info, e ? e : ERR_INVALID, "cannot read the file %s", path);
	TRY(hash_file(fd, hex));
	TRY(buf_addf(&url, "/api/blobs/sha256:%s", hex));
	TRY(buf_cstr(&url, &z));
	TRY(client_upload(c, z, fd, (uint64_t)st.st_size, show_upload, info));
	TRY(model_body(as, "", &body));
	buf_cut(&body, body.len - 1);
	TRY(buf_add(&body, STR(",\"files\":{")));
	TRY(json_add_str(&body, str_from(base ? base + 1 : path)));
	TRY(buf_addf(&body, ":\"sha256:%s\"}}", hex));
	return client_stream(c, "/api/create", buf_str(&body), pull_line, &p, info);
}

static enum err pull(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf body = BUF(8192);
	struct progress p = { .tty = isatty(2) };
	const char *as = args_get(a, "--as");
	if (!strncmp(a->operand[0], "file:", 5))
		return pull_file(c, a->operand[0] + 5, as, info);
	TRY(model_body(a->operand[0], "", &body));
	if (as) {
		buf_cut(&body, body.len - 1);
		TRY(buf_add(&body, STR(",\"as\":")));
		TRY(json_add_str(&body, str_from(as)));
		TRY(buf_add_byte(&body, '}'));
	}
	enum err e = client_stream(c, "/api/pull", buf_str(&body), pull_line, &p, info);
	if (p.tty)
		fputc('\n', stderr);
	return e;
}

int cmd_pull(const struct args *a)
{
	return cli_with_client(a, pull);
}

int cmd_models(const struct args *a)
{
	static const struct {
		const char *name;
		cli_fn fn;
	} table[] = {
		{ "list", list },
		{ "ls", list },
		{ "show", show },
		{ "stop", stop },
		{ "rm", rm },
	};
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (!strcmp(table[i].name, a->command->name))
			return cli_with_client(a, table[i].fn);
	return cli_with_client(a, advise);
}
