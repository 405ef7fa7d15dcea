/* The command tresor. Roles and `serve` live in this binary; every other command talks to a server
 * and lives in the private module cli.so, so that a server does not carry it. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "cli/complete.h"
#include "cli/table.h"
#include "os/spawn.h"
#include "roles/keeper.h"
#include "roles/role.h"

static int usage_error(const struct err_info *why)
{
	fprintf(stderr, "tresor: %s\n", why->detail);
	return 2;
}

static int serve(const struct args *a)
{
	static const struct {
		const char *option, *key;
	} keys[] = {
		{ "--listen", "listen" },
		{ "--hosts", "hosts" },
		{ "--behind-proxy", "behind_proxy" },
		{ "--tls-cert", "tls_cert" },
		{ "--tls-key", "tls_key" },
		{ "--key", "key" },
		{ "--key-file", "key_file" },
		{ "--passphrase-file", "passphrase_file" },
	};
	char dir[4096];
	struct err_info why = { 0 };
	struct serve_options o = { .data_dir = dir };
	config_defaults(&o.config);
	if (data_dir(a, dir, sizeof dir) || config_load(&o.config, dir, &why))
		return usage_error(&why);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const char *value = args_get(a, keys[i].option);
		if (value && config_set(&o.config, str_from(keys[i].key), str_from(value), &why))
			return usage_error(&why);
	}
	o.config.local_only = args_get(a, "--local-only") != NULL;
	log_init("keeper", log_level_from(getenv("TRESOR_LOG")), 2);
	return keeper_run(&o);
}

static int client(const struct args *a)
{
	char path[4200];
	if (spawn_init())
		return 1;
	snprintf(path, sizeof path, "%s/cli.so", spawn_module_dir());
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*run)(const struct args *);
	if (!module) {
		fprintf(stderr, "tresor: cannot load cli.so: %s (install it again)\n", dlerror());
		return 1;
	}
	*(void **)&run = dlsym(module, "cli_main");
	return run ? run(a) : 1;
}

static int help(const struct args *a)
{
	char name[128];
	snprintf(name, sizeof name, "%s%s%s", a->n_operands ? a->operand[0] : "",
		a->n_operands > 1 ? " " : "", a->n_operands > 1 ? a->operand[1] : "");
	for (const struct command_row *c = command_table; c->name; c++)
		if (a->n_operands && !strcmp(c->name, name)) {
			help_print(stdout, c);
			return 0;
		}
	help_print(a->n_operands ? stderr : stdout, NULL);
	return a->n_operands ? 2 : 0;
}

/* A file that is opened must not become input or output because that was closed. */
static bool open_what_is_closed(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct args a;
	if (!open_what_is_closed())
		return 1;
	if (argc == 3 && !strcmp(argv[1], "role"))
		return role_run(argv[2]);
	int bad = args_parse(argc, argv, &a);
	if (bad || !a.command)
		return bad;
	if (a.help) {
		help_print(stdout, a.command);
		return 0;
	}
	if (crypto_init())
		return 1;
	if (!strcmp(a.command->name, "serve") || !strcmp(a.command->name, "start"))
		return serve(&a);
	if (!strcmp(a.command->name, "help"))
		return help(&a);
	if (!strcmp(a.command->name, "man")) {
		man_print(stdout);
		return 0;
	}
	if (!strcmp(a.command->name, "completion"))
		return completion_print(stdout, a.operand[0]);
	if (!strcmp(a.command->name, "version")) {
		puts("tresor " TRESOR_VERSION);
		return 0;
	}
	return client(&a);
}
