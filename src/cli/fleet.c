/* ps, pin, unpin: what is loaded and what stays so. */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "cli/commands.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* "4 minutes from now", as Ollama writes it. */
static void until_text(const json_t *m, char ret[40])
{
	int64_t at = 0, left;
	const char *expires = text_of(m, "expires_at");
	static const struct {
		int64_t s;
		const char *unit;
	} units[] = { { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" }, { 1, "seconds" } };
	if (!strncmp(expires, "2318", 4)) {
		snprintf(ret, 40, "Forever");
		return;
	}
	if (time_parse_rfc3339(str_from(expires), &at)) {
		snprintf(ret, 40, "%.19s", expires);
		return;
	}
	left = (at - time_now_ms() + 500) / 1000;
	if (left <= 0) {
		snprintf(ret, 40, "Stopping...");
		return;
	}
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (left >= units[i].s * 2 || units[i].s == 1) {
			snprintf(ret, 40, "%lld %s from now", (long long)(left / units[i].s),
				units[i].unit);
			return;
		}
}

static enum err print_json(struct client *c, const char *path, struct err_info *info)
{
	AUTO_BUF struct buf out = BUF(4 * 1024 * 1024);
	TRY(client_call(c, "GET", path, STR_NONE, &out, info));
	printf("%.*s\n", STR_ARG(str_trim(buf_str(&out))));
	return OK;
}

static json_int_t all_classes(const json_t *m, const char *key)
{
	const json_t *o = json_object_get(m, key);
	return number(o, "interactive") + number(o, "workflow") + number(o, "batch");
}

static void print_times(const json_t *m)
{
	if (number(m, "first_p50_ms") >= 0)
		printf("  first token              half within %lld ms, 95 %% within %lld ms\n",
			(long long)number(m, "first_p50_ms"), (long long)number(m, "first_p95_ms"));
	if (number(m, "gap_p50_ms") >= 0)
		printf("  between tokens           half within %lld ms, 95 %% within %lld ms\n",
			(long long)number(m, "gap_p50_ms"), (long long)number(m, "gap_p95_ms"));
}

static void print_model(const json_t *m)
{
	char resident[16], weights[16], kv[16], cache[16], disk[16];
	json_int_t in = number(m, "tokens_in"), cached = number(m, "tokens_cached"),
		   drafted = number(m, "drafted");
	cli_bytes((uint64_t)number(m, "resident_bytes"), resident);
	cli_bytes((uint64_t)number(m, "model_bytes"), weights);
	cli_bytes((uint64_t)number(m, "kv_bytes"), kv);
	cli_bytes((uint64_t)number(m, "cache_bytes"), cache);
	cli_bytes((uint64_t)number(m, "disk_bytes"), disk);
	printf("\n%s (%s%s)\n", text_of(m, "name"), text_of(m, "state"),
		json_is_true(json_object_get(m, "pinned")) ? ", pinned" : "");
	printf("  running, waiting         %lld, %lld\n", (long long)all_classes(m, "running"),
		(long long)all_classes(m, "waiting"));
	printf("  memory                   %s (weights %s, context %s)\n", resident, weights, kv);
	printf("  prefix cache             %s in memory, %s on disk; %lld of %lld tokens found\n",
		cache, disk, (long long)cached, (long long)(in + cached));
	print_times(m);
	if (drafted)
		printf("  guessed tokens           %lld of %lld right\n",
			(long long)number(m, "accepted"), (long long)drafted);
	printf("  requests, failed         %lld, %lld\n", (long long)number(m, "requests"),
		(long long)number(m, "failed"));
	printf("  loads, crashes           %lld, %lld (last load %lld ms)\n",
		(long long)number(m, "loads"), (long long)number(m, "crashes"),
		(long long)number(m, "load_ms"));
	printf("  settings                 %s\n", text_of(m, "settings"));
	if (*text_of(m, "tuned"))
		printf("  measured                 %s\n", text_of(m, "tuned"));
	if (json_is_true(json_object_get(m, "gpu_missed")))
		puts("  it runs on the processor: the GPU has no room for it");
}

static enum err print_all(struct client *c, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	char have[16], free_now[16];
	TRY(client_json(c, "GET", "/team/v1/fleet", STR_NONE, &doc, info));
	json_array_foreach(json_object_get(doc, "models"), i, m) print_model(m);
	const json_t *machine = json_object_get(doc, "machine"), *q = json_object_get(doc, "queue");
	cli_bytes((uint64_t)number(machine, "memory"), have);
	cli_bytes((uint64_t)number(machine, "memory_free"), free_now);
	printf("\nMemory: %s of %s free. Queue: %lld running, %lld waiting, at most %lld; %lld "
	       "refused.\n",
		free_now, have, (long long)number(q, "running"), (long long)number(q, "waiting"),
		(long long)number(q, "limit"), (long long)number(q, "refused"));
	json_array_foreach(json_object_get(doc, "quarantine"), i, m)
		printf("Quarantined: request %.16s.. to %s made the model's process fail\n",
			text_of(m, "request"), text_of(m, "model"));
	return OK;
}

static enum err ps(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	bool verbose = args_get(a, "--verbose") != NULL;
	if (a->json)
		return print_json(c, verbose ? "/team/v1/fleet" : "/api/ps", info);
	TRY(client_json(c, "GET", "/api/ps", STR_NONE, &doc, info));
	printf("%-30s %-14s %-9s %-12s %-9s %s\n", "NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT",
		"UNTIL");
	json_array_foreach(json_object_get(doc, "models"), i, m)
	{
		char size[16], until[40];
		cli_bytes((uint64_t)number(m, "size"), size);
		until_text(m, until);
		printf("%-30s %-14.12s %-9s %-12s %-9lld %s\n", text_of(m, "name"),
			text_of(m, "digest"), size, number(m, "size_vram") ? "100% GPU" : "100% CPU",
			(long long)number(m, "context_length"), until);
	}
	return verbose ? print_all(c, info) : OK;
}

static enum err pin(struct client *c, const struct args *a, struct err_info *info)
{
	AUTO_BUF struct buf path = BUF(4096), out = BUF(65536);
	const char *z;
	bool on = !strcmp(a->command->name, "pin");
	TRY(cli_path(&path, "/team/v1/pins/", a->operand[0]));
	TRY(buf_cstr(&path, &z));
	return client_call(c, on ? "PUT" : "DELETE", z, STR_NONE, &out, info);
}

int cmd_ps(const struct args *a)
{
	return cli_with_client(a, ps);
}

int cmd_pin(const struct args *a)
{
	return cli_with_client(a, pin);
}
