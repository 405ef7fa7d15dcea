/* net/egress.h - the body of the role egress: every outgoing connection of the house.
 *
 * Lives in the private module egress.so (with libcurl); the core program loads it before the role
 * locks itself. Environment read at start: HTTPS_PROXY, HTTP_PROXY (also in lower case), NO_PROXY,
 * SSL_CERT_FILE or TRESOR_CA_FILE (a company's CA, PEM, added to the system's). */
#pragma once

#include "os/ipc.h"

/* Enters the sandbox, sends READY to the keeper, serves until the keeper closes or says SHUTDOWN.
 * Takes `keeper`. Returns the exit status. Symbol in egress.so: EGRESS_MODULE_MAIN. */
int egress_main(struct ipc *keeper);
#define EGRESS_MODULE_NAME "egress.so"
#define EGRESS_MODULE_MAIN "egress_main"
