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

/* Exported by engine.so. Returns the exit status: 0 asked to end, 1 failed or refused. */
[[gnu::visibility("default")]] int engine_main(struct ipc *keeper);
