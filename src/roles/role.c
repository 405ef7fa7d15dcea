#include "roles/role.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/log.h"
#include "models/builds.h"
#include "net/egress.h"
#include "os/spawn.h"
#include "proto/engine.h"
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

static int refuse_build(struct ipc *keeper, const char *why)
{
	struct gen_failed f = { .code = ERR_BUILD, .detail = str_from(why) };
	AUTO_IPC_OUT struct ipc_out m;
	ipc_out_init(&m, ENGINE_REFUSED, 0);
	gen_failed_put(&m, &f);
	if (!ipc_send(keeper, &m))
		(void)ipc_drain(keeper, 1000);
	return 1;
}

/* The engine.so of the build that the keeper has looked at (models/builds.h). That it speaks our
 * language is asked of itself before it gets a message. */
static int engine_run(struct ipc *keeper)
{
	char path[BUILD_PATH_MAX + 16];
	const char *dir = getenv("TRESOR_ENGINE");
	snprintf(path, sizeof path, "%s/engine.so", dir ? dir : "");
	void *module = dir ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	if (!module) {
		log_error("engine build not loaded",
			KV_Z("why", dir ? dlerror() : "none is named"));
		return refuse_build(keeper,
			"the engine build cannot be loaded on this machine (the log says why)");
	}
	const uint32_t *proto = dlsym(module, "engine_proto");
	int (*run)(int, uint64_t);
	*(void **)&run = dlsym(module, "engine_main");
	if (!run || !proto || *proto != ENGINE_PROTO)
		return refuse_build(keeper,
			"the engine build does not speak this program's protocol");
	return run(ipc_fd(keeper), ipc_protocol_hash());
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
		return engine_run(keeper);
	if (!strcmp(name, "egress"))
		return module_run(EGRESS_MODULE_NAME, EGRESS_MODULE_MAIN, keeper);
	return 2;
}
