#include "engine/llama/vision_shim.h"

#include <cstring>
#include <memory>
#include <mtmd.h>
#include <new>
#include <stdexcept>

struct shim_vision {
	mtmd::context_ptr ctx;
	size_t n_embd = 0; /* values of a row */
};
struct shim_picture {
	mtmd::input_chunks_ptr chunks;
};

namespace
{

void silent(ggml_log_level, const char *, void *)
{
}

template <typename F> shim_result guarded(char *why, F f)
{
	try {
		return f();
	} catch (const std::bad_alloc &) {
		return SHIM_NOMEM;
	} catch (const std::exception &e) {
		if (why)
			snprintf(why, SHIM_WHY, "%s", e.what());
		return SHIM_INVALID;
	} catch (...) {
		return SHIM_FAILED;
	}
}

const mtmd_input_chunk *chunk(const shim_picture *p, size_t i)
{
	return mtmd_input_chunks_get(p->chunks.get(), i);
}

} // namespace

shim_result shim_vision_new(const char *path, const llama_model *m, int n_threads, bool gpu,
	shim_vision **ret, char why[SHIM_WHY])
{
	return guarded(why, [&] {
		mtmd_log_set(silent, nullptr);
		mtmd_context_params p = mtmd_context_params_default();
		p.use_gpu = gpu;
		p.print_timings = false;
		p.n_threads = n_threads;
		p.warmup = false;
		p.flash_attn_type =
			gpu ? LLAMA_FLASH_ATTN_TYPE_AUTO : LLAMA_FLASH_ATTN_TYPE_DISABLED;
		auto v = std::make_unique<shim_vision>();
		v->ctx.reset(mtmd_init_from_file(path, m, p));
		if (!v->ctx)
			return SHIM_INVALID;
		v->n_embd = (size_t)llama_model_n_embd_inp(m);
		*ret = v.release();
		return SHIM_OK;
	});
}

void shim_vision_free(shim_vision *v)
{
	delete v;
}

bool shim_vision_sees(const shim_vision *v)
{
	return mtmd_support_vision(v->ctx.get());
}

bool shim_vision_mrope(const shim_vision *v)
{
	return mtmd_decode_use_mrope(v->ctx.get());
}

shim_result shim_picture_new(shim_vision *v, uint32_t width, uint32_t height,
	const unsigned char *rgb, shim_picture **ret)
{
	return guarded(nullptr, [&] {
		mtmd::bitmap_ptr bitmap(mtmd_bitmap_init(width, height, rgb));
		auto p = std::make_unique<shim_picture>();
		p->chunks.reset(mtmd_input_chunks_init());
		if (!bitmap || !p->chunks)
			return SHIM_NOMEM;
		mtmd_input_part part = { nullptr, bitmap.get() };
		const mtmd_input_part *parts[] = { &part };
		if (mtmd_tokenize_from_parts(v->ctx.get(), p->chunks.get(), parts, 1, false))
			return SHIM_INVALID;
		*ret = p.release();
		return SHIM_OK;
	});
}

void shim_picture_free(shim_picture *p)
{
	delete p;
}

size_t shim_picture_parts(const shim_picture *p)
{
	return mtmd_input_chunks_size(p->chunks.get());
}

const int32_t *shim_picture_tokens(const shim_picture *p, size_t part, size_t *ret_n)
{
	const mtmd_input_chunk *c = chunk(p, part);
	if (mtmd_input_chunk_get_type(c) == MTMD_INPUT_CHUNK_TYPE_TEXT)
		return mtmd_input_chunk_get_tokens_text(c, ret_n);
	*ret_n = mtmd_input_chunk_get_n_tokens(c);
	return nullptr;
}

bool shim_picture_non_causal(const shim_vision *v, const shim_picture *p, size_t part)
{
	return mtmd_decode_use_non_causal(v->ctx.get(), chunk(p, part));
}

size_t shim_picture_positions(const shim_picture *p, size_t part)
{
	return (size_t)mtmd_input_chunk_get_n_pos(chunk(p, part));
}

shim_result shim_picture_encode(
	shim_vision *v, const shim_picture *p, size_t part, float *out, size_t values)
{
	return guarded(nullptr, [&] {
		const mtmd_input_chunk *c = chunk(p, part);
		if (mtmd_input_chunk_get_type(c) != MTMD_INPUT_CHUNK_TYPE_IMAGE ||
			mtmd_input_chunk_get_n_tokens(c) * v->n_embd != values)
			return SHIM_INVALID;
		if (mtmd_encode_chunk(v->ctx.get(), c))
			return SHIM_FAILED;
		std::memcpy(out, mtmd_get_output_embd(v->ctx.get()), values * sizeof *out);
		return SHIM_OK;
	});
}
