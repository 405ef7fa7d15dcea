/* States of one sequence, written without the library's list of writes.
 *
 * Where attention is off flash, values lie transposed, and tokens that were answered beside others
 * lie apart: a state of 170 cells of a small model is a million writes of two bytes. libllama's own
 * writer notes each of them in 40 bytes before it copies any. This one copies at once. */
#include "engine/llama/shim.h"

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
