/* engine/llama_fixture.h - what the tests with real models share: the starter models of the
 * dependencies' prefix, and an engine that runs as its role does. */
#pragma once

#include "engine/drive.h"

enum { WAIT_MS = 120000, READY_MS = 60000 };
extern const char *const STARTERS[2]; /* smollm2, gemma3-270m */
int open_model(const char *name);      /* skips the test when it is not there */
struct gen_request ask(const char *input); /* plain text, greedy, 48 tokens */
struct drive *start(const char *name, uint32_t n_seq, uint32_t n_ctx, struct engine_info *info);
/* Fails the test when the request fails. */
struct drive_answer run(struct drive *d, const struct gen_request *g);
