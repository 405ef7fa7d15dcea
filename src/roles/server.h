/* roles/server.h - the role server: HTTP for the team, store, domain logic. */
#pragma once

#include "os/ipc.h"

int server_main(struct ipc *keeper); /* takes; returns the exit status */
