/* engine/words.h - questions about text that need no batch and are answered at once: how many
 * tokens a request has, which tokens a text has, what tokens stand for. */
#pragma once

#include "os/ipc.h"

struct llama_backend;
struct sched;
/* Each reads its message and fills `out` (initialised here) with the answer or a GEN_FAILED.
 * Errors: ERR_PROTOCOL (what was sent is not valid; `out` is not to be sent). */
enum err words_count(struct sched *s, struct ipc_in *m, struct ipc_out *out);
enum err words_tokens(const struct llama_backend *b, struct ipc_in *m, struct ipc_out *out);
