/* States of one sequence, written and read without the library's list of pieces.
 *
 * Where attention is off flash, values lie transposed, and tokens that were answered beside others
 * lie apart: a state of 170 cells of a small model is a million writes of two bytes. libllama's own
 * writer and reader note each of them in 40 bytes before they copy any. These copy at once, and
 * read from several places, so that what only changes its head need not be copied before. */
#include "engine/llama/shim.h"

extern "C" {
#include "engine/llama/state.h"
}

#include <cstring>
#include <ggml-backend.h>
#include <ggml.h>
#include <llama-io.h>
#include <llama-memory.h>
#include <new>
#include <stdexcept>

namespace
{

constexpr uint32_t STATE_MAGIC = 0xaf143cd8; /* io_magic in llama-context.cpp */

class writer final : public llama_io_write_i
{
	shim_bytes &to;

	uint8_t *room(size_t n)
	{
		if (to.cap - to.n < n && !to.grow(&to, n))
			throw std::bad_alloc();
		uint8_t *at = to.ptr + to.n;
		to.n += n;
		return at;
	}

	public:
	explicit writer(shim_bytes &b) : to(b)
	{
	}
	void write(const void *src, size_t n) override
	{
		memcpy(room(n), src, n);
	}
	void write_tensor(ggml_tensor *t, size_t from, size_t n) override
	{
		uint8_t *at = room(n);
		if (!t->buffer || !ggml_backend_buffer_is_host(t->buffer)) {
			ggml_backend_tensor_get(t, at, from, n);
			return;
		}
		const uint8_t *src = static_cast<const uint8_t *>(t->data) + from;
		if (n == 2)
			memcpy(at, src, 2); /* one value of one cell: no call */
		else
			memcpy(at, src, n);
	}
	size_t n_bytes() override
	{
		return to.n;
	}
};

class reader final : public llama_io_read_i
{
	const state_piece *v;
	size_t left, at = 0, total = 0; /* pieces; bytes of the first; bytes read */

	public:
	reader(const state_piece *pieces, size_t n) : v(pieces), left(n)
	{
	}
	bool ended()
	{
		for (; left && at == v->len; at = 0, left--)
			v++;
		return !left;
	}
	/* The next bytes that lie together, at most n. */
	const uint8_t *next(size_t n, size_t *ret)
	{
		if (ended())
			throw std::runtime_error("the state ends early");
		const uint8_t *p = static_cast<const uint8_t *>(v->ptr) + at;
		*ret = n < v->len - at ? n : v->len - at;
		at += *ret;
		total += *ret;
		return p;
	}
	void read(void *dst, size_t n) override
	{
		for (size_t got; n; n -= got) {
			const uint8_t *p = next(n, &got);
			memcpy(dst, p, got);
			dst = static_cast<uint8_t *>(dst) + got;
		}
	}
	void read_tensor(ggml_tensor *t, size_t to, size_t n) override
	{
		if (t->buffer && ggml_backend_buffer_is_host(t->buffer)) {
			read(static_cast<uint8_t *>(t->data) + to, n);
			return;
		}
		for (size_t got; n; n -= got, to += got) {
			const uint8_t *p = next(n, &got);
			ggml_backend_tensor_set(t, p, to, got);
		}
	}
	size_t n_bytes() override
	{
		return total;
	}
};

} // namespace

shim_result shim_state_get(llama_context *c, int32_t seq, shim_bytes *to)
{
	try {
		llama_synchronize(c);
		llama_memory_t memory = llama_get_memory(c);
		if (!memory || llama_memory_seq_pos_max(memory, seq) < 0)
			return SHIM_INVALID;
		writer w(*to);
		w.write(&STATE_MAGIC, sizeof STATE_MAGIC);
		w.write(&seq, sizeof seq);
		memory->state_write(w, seq, 0);
		return SHIM_OK;
	} catch (const std::bad_alloc &) {
		return SHIM_NOMEM;
	} catch (...) {
		return SHIM_FAILED;
	}
}

shim_result shim_state_set(llama_context *c, int32_t seq, const state_piece *v, size_t n)
{
	try {
		llama_synchronize(c);
		llama_memory_t memory = llama_get_memory(c);
		if (!memory)
			return SHIM_INVALID;
		reader r(v, n);
		uint32_t magic;
		int32_t was;
		r.read(&magic, sizeof magic);
		if (magic != STATE_MAGIC)
			return SHIM_INVALID;
		r.read(&was, sizeof was);
		memory->state_read(r, seq, 0);
		return r.ended() ? SHIM_OK : SHIM_INVALID;
	} catch (const std::bad_alloc &) {
		return SHIM_NOMEM;
	} catch (...) {
		return SHIM_INVALID;
	}
}
