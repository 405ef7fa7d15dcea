/* ps, pin, unpin: what is loaded and what stays so. */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/wrap.h"

enum { PROCESSOR_MAX = 640 };

static json_int_t number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static void until_text(const json_t *m, char ret[HUMAN_MAX])
{
	int64_t at = 0, now = time_now_ms();
	if (time_parse_rfc3339(str_from(cli_text(m, "expires_at")), &at))
		snprintf(ret, HUMAN_MAX, "?");
	else if (at < now)
		snprintf(ret, HUMAN_MAX, "Stopping...");
	else
		human_time(at, now, ret);
}

/* As Ollama says it; on cards with their names behind it. */
static void processor_text(const json_t *m, char ret[PROCESSOR_MAX])
{
	json_int_t size = number(m, "size"), gpu = number(m, "size_vram");
	if (gpu > size || gpu < 0)
		snprintf(ret, PROCESSOR_MAX, "Unknown");
	else if (gpu && gpu == size && *cli_text(m, "cards"))
		snprintf(ret, PROCESSOR_MAX, "100%% GPU (%s)", cli_text(m, "cards"));
	else if (!gpu || gpu == size)
		snprintf(ret, PROCESSOR_MAX, "100%% %s", gpu ? "GPU" : "CPU");
	else {
		long long cpu = (long long)((double)(size - gpu) / (double)size * 100 + 0.5);
		snprintf(ret, PROCESSOR_MAX, "%lld%%/%lld%% CPU/GPU", cpu, 100 - cpu);
	}
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
	char resident[HUMAN_MAX], weights[HUMAN_MAX], kv[HUMAN_MAX], cache[HUMAN_MAX],
		disk[HUMAN_MAX];
	json_int_t in = number(m, "tokens_in"), cached = number(m, "tokens_cached"),
		   drafted = number(m, "drafted");
	human_bytes((uint64_t)number(m, "resident_bytes"), resident);
	human_bytes((uint64_t)number(m, "model_bytes"), weights);
	human_bytes((uint64_t)number(m, "kv_bytes"), kv);
	human_bytes((uint64_t)number(m, "cache_bytes"), cache);
	human_bytes((uint64_t)number(m, "disk_bytes"), disk);
	wrap_printf(stdout, "\n%s (%s%s)\n", cli_text(m, "name"), cli_text(m, "state"),
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
	wrap_printf(stdout, "  settings                 %s\n", cli_text(m, "settings"));
	if (*cli_text(m, "cards"))
		wrap_printf(stdout, "  graphics cards           %s\n", cli_text(m, "cards"));
	if (*cli_text(m, "engine"))
		wrap_printf(stdout, "  engine build             %s\n", cli_text(m, "engine"));
	if (*cli_text(m, "tuned"))
		wrap_printf(stdout, "  measured                 %s\n", cli_text(m, "tuned"));
	if (json_is_true(json_object_get(m, "gpu_missed")))
		puts("  it runs on the processor: the GPU has no room for it, or its engine build "
		     "cannot use it");
}

static enum err print_all(struct client *c, struct err_info *info)
{
	AUTO_JSON json_t *doc = NULL;
	size_t i;
	json_t *m;
	char have[HUMAN_MAX], free_now[HUMAN_MAX];
	TRY(client_json(c, "GET", "/team/v1/fleet", STR_NONE, &doc, info));
	json_array_foreach(json_object_get(doc, "models"), i, m) print_model(m);
	const json_t *machine = json_object_get(doc, "machine"), *q = json_object_get(doc, "queue");
	human_bytes((uint64_t)number(machine, "memory"), have);
	human_bytes((uint64_t)number(machine, "memory_free"), free_now);
	printf("\nMemory: %s of %s free. Queue: %lld running, %lld waiting, at most %lld; %lld "
	       "refused.\n",
		free_now, have, (long long)number(q, "running"), (long long)number(q, "waiting"),
		(long long)number(q, "limit"), (long long)number(q, "refused"));
	json_array_foreach(json_object_get(doc, "quarantine"), i, m)
		wrap_printf(stdout,
			"Quarantined: request %.16s.. to %s made the model's process fail\n",
			cli_text(m, "request"), cli_text(m, "model"));
	return OK;
}

static enum err add_row(struct grid *g, const json_t *m)
{
	char size[HUMAN_MAX], context[HUMAN_MAX], until[HUMAN_MAX], id[13];
	char processor[PROCESSOR_MAX];
	human_bytes((uint64_t)number(m, "size"), size);
	processor_text(m, processor);
	snprintf(context, sizeof context, "%lld", (long long)number(m, "context_length"));
	until_text(m, until);
	snprintf(id, sizeof id, "%.12s", cli_text(m, "digest"));
	return grid_row(g,
		(const char *const[]){ cli_text(m, "name"), id, size, processor, context, until });
}

static enum err ps(struct client *c, const struct args *a, struct err_info *info)
{
	static const char *const head[] = { "NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL" };
	AUTO_JSON json_t *doc = NULL;
	AUTO_GRID struct grid g;
	bool verbose = args_get(a, "--verbose") != NULL;
	size_t i;
	json_t *m;
	grid_init(&g, 6, true);
	if (a->json)
		return cli_print_json(
			c, "GET", verbose ? "/team/v1/fleet" : "/api/ps", STR_NONE, info);
	TRY(client_json(c, "GET", "/api/ps", STR_NONE, &doc, info));
	TRY(grid_row(&g, head));
	json_array_foreach(json_object_get(doc, "models"), i, m) TRY(add_row(&g, m));
	grid_print(&g, stdout);
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
