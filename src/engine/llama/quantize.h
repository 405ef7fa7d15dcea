/* engine/llama/quantize.h - libllama's quantiser, between two descriptors. */
#pragma once

#include "base/err.h"

/* The name under which libllama opens a descriptor of ours: "/proc/self/fd/5". */
void quantize_fd_name(int fd, char dst[32]);
struct quantize_wish {
	int out, model;
	unsigned type; /* enum llama_ftype */
	uint32_t threads;
	/* On the quantiser's thread, after each tensor. */
	void (*progress)(void *arg, uint64_t done, uint64_t all);
	void *arg;
};
/* Errors: ERR_MODEL_BAD (info: what libllama says of the model), ERR_NOSPACE, ERR_NOMEM. */
enum err quantize_run(const struct quantize_wish *w, struct err_info *info);
