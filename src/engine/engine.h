/* engine/engine.h - the body of the engine's role: one loaded model behind proto/engine.h.
 *
 * Order at start: trusted code (backends look at the machine) -> ENGINE_LOAD from the keeper ->
 * Landlock and namespaces, with one thread -> seccomp -> only then the model's bytes, which are
 * foreign: parsing a GGUF, running its template and computing with it happen inside the sandbox.
 * Threads (compute pool, watchdog) start after the lock and inherit it.
 *
 * One thread decodes and reads messages between two batches. The server going away cancels its
 * requests; the keeper going away ends the engine. */
#pragma once

#include "os/ipc.h"

/* Returns the exit status: 0 asked to end, 1 failed or refused. */
int engine_body(struct ipc *keeper);

/* What engine.so exports. The program that loads it may be another build: it compares engine_proto
 * with its own ENGINE_PROTO first, and shares nothing with it but these and what goes through the
 * descriptor. engine_main() speaks by the program's protocol hash and runs engine_body(). */
[[gnu::visibility("default")]] extern const uint32_t engine_proto;
[[gnu::visibility("default")]] int engine_main(int keeper_fd, uint64_t protocol_hash);
