/* os/spawn.h - starts a role by executing our own binary anew (fresh address space).
 *
 * The child gets descriptor 3 = its channel to the keeper and descriptor 0/1/2 = /dev/null,
 * /dev/null, our stderr; every other descriptor is closed before the exec. Its argv is
 * {"tresor", "role", NAME}, its environment only LANG, TZ, TRESOR_LOG and what `env` adds.
 * PR_SET_PDEATHSIG(SIGKILL) ties it to us. */
#pragma once

#include <sys/types.h>

#include "base/str.h"

enum { SPAWN_KEEPER_FD = 3 };
/* Holds the descriptor of our own binary from now on, so that a replaced file on disk never mixes
 * builds. Call once at start. Errors: from errno. */
enum err spawn_init(void);
/* The folder that holds our private modules (cli.so, egress.so) and engines/: beside the binary, or
 * PREFIX/lib/tresor. Terminated, static; works without spawn_init() too. Empty: not found. */
const char *spawn_module_dir(void);
/* Starts `role`; takes keeper_end. *ret_pidfd is owned by the caller (poll it for the exit). */
enum err spawn_role(const char *role, int keeper_end, const char *const *env, pid_t *ret_pid,
		    int *ret_pidfd);
/* For a child of a command, between fork and exec: it gets SIGTERM when its parent ends. */
void spawn_die_with_parent(void);
