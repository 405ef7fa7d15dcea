/* roles/server_fleet.h - what the fleet asks of the server: memory, estimates, database, audit. */
#pragma once

#include "models/advise.h"
#include "models/fleet.h"

struct app;
struct pool;
struct server_fleet { /* borrowed; filled before fleet_new() */
	struct app *app;
	const struct machine *machine;
	const char *dir;
	uint32_t n_ctx, n_seq; /* as configured */
	struct pool *chores;   /* for what may block; set later */
	char machine_id[MACHINE_ID_MAX];
};
void server_fleet_options(struct server_fleet *s, struct fleet_options *o);
/* Loads what is pinned; on a thread that may block. */
void server_fleet_pins(void *server_fleet);
/* What the keeper says of engines. True: it was that. */
struct ipc_in;
bool server_fleet_message(struct server_fleet *s, struct ipc_in *m);
