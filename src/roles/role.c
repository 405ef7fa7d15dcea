#include "roles/role.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "net/egress.h"
#include "os/spawn.h"
#include "roles/jail.h"
#include "roles/server.h"

/* A private module: loaded before the role locks itself, so that libllama or libcurl cost nothing
 * in
 * the roles that do not need them. */
static int module_run(const char *file, const char *symbol, struct ipc *keeper)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/%s", spawn_module_dir(), file);
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!module) {
		log_error("module not loaded", KV_Z("module", file), KV_Z("why", dlerror()));
		return 1;
	}
	int (*run)(struct ipc *);
	*(void **)&run = dlsym(module, symbol);
	return run ? run(keeper) : 1;
}

int role_run(const char *name)
{
	struct ipc *keeper = NULL;
	log_init(name, log_level_from(getenv("TRESOR_LOG")), 2);
	if (crypto_init() || ipc_new(SPAWN_KEEPER_FD, &keeper))
		return 1;
	if (!strcmp(name, "server"))
		return server_main(keeper);
	if (!strcmp(name, "jail"))
		return jail_main(keeper);
	if (!strcmp(name, "engine"))
		return module_run("engine.so", "engine_main", keeper);
	if (!strcmp(name, "egress"))
		return module_run(EGRESS_MODULE_NAME, EGRESS_MODULE_MAIN, keeper);
	return 2;
}
