#include "engine/llama/shim_int.h"

#include <cstdio>

using shim::guarded;

namespace
{

struct hearing {
	const shim_quantize_wish *wish;
	char *why;
};

/* The library tells each tensor by a line, "[  12/ 290] name ..", and why it failed as an error. */
void hear(ggml_log_level level, const char *text, void *arg)
{
	auto *h = static_cast<hearing *>(arg);
	unsigned long long done, all;
	const char *reason = "failed to quantize: ";
	if (level == GGML_LOG_LEVEL_ERROR) {
		const char *at = std::strstr(text, reason);
		shim::set_why(h->why, at ? at + std::strlen(reason) : text);
	} else if (std::sscanf(text, "[%llu/%llu]", &done, &all) == 2 && done && done <= all) {
		h->wish->progress(h->wish->arg, done - 1, all);
	}
}

} // namespace

shim_result shim_quantize(const shim_quantize_wish *w, char why[SHIM_WHY])
{
	hearing h = { w, why };
	return guarded(why, SHIM_FAILED, [&] {
		llama_model_quantize_params p = llama_model_quantize_default_params();
		p.nthread = w->threads;
		p.ftype = static_cast<llama_ftype>(w->type);
		p.max_buf_size = 256u << 20; /* of rows at once: the default is 8 GiB */
		llama_log_set(hear, &h);
		return llama_model_quantize(w->in, w->out, &p) ? SHIM_INVALID : SHIM_OK;
	});
}
