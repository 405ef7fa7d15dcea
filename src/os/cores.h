/* os/cores.h - who else computes on this machine: engines divide the cores instead of fighting.
 *
 * Each engine has a place in a page that all of them map, and says there whether it is at work.
 * With n at work each takes an nth of the cores: compute threads wait for each other at every
 * layer, so two engines with a thread a core each lose far more than half. Nobody waits for a lock,
 * and an engine that writes nonsense into the page makes others slower, no more. The keeper makes
 * the page and clears the place of an engine that has ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"

enum { CORES_PLACES = 64, CORES_PAGE = 4096 }; /* bytes */
struct cores;
/* The keeper's: a sealed page, nobody at work. Errors: from errno. */
enum err cores_page_new(int *ret_fd);
/* Maps the page (borrows the descriptor). Errors: ERR_INVALID (not such a page, no such place),
 * from errno. */
enum err cores_new(int fd, uint32_t place, struct cores **ret);
struct cores *cores_free(struct cores *c); /* no longer at work */
DEFINE_AUTO(cores)
void cores_work(struct cores *c, bool at_work);
void cores_clear(struct cores *c, uint32_t place); /* somebody's who has ended */
bool cores_busy(const struct cores *c);            /* is anybody at work? */
/* The keeper's: hundredths of a core that others use (os/others.h); engines leave them those. */
void cores_others(struct cores *c, uint32_t hundredths);
/* How many of `all` to use now: at least 1. */
uint32_t cores_part(const struct cores *c, uint32_t all);
