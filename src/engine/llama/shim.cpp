#include "engine/llama/shim_int.h"
#include "engine/llama/variant.h"

#include <algorithm>
#include <common.h>
#include <ctime>
#include <dlfcn.h>
#include <log.h>
#include <map>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

/* Declared in libllama's llama-ext.h, which is not installed; exported by the library. The layout
 * is
 * checked by use: shim_context_bytes() is compared with the KV's arithmetic in a test. */
struct llama_memory_breakdown_data {
	size_t model, context, compute;
};
LLAMA_API std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data>
llama_get_memory_breakdown(const struct llama_context *ctx);

using shim::guarded;

namespace
{

std::mutex error_lock;
char last_error[SHIM_WHY]; /* process-wide, as the library's log is */

/* Only errors are kept, and only for "not a usable model": nothing logged while answering is
 * used. */
void keep_error(ggml_log_level level, const char *text, void *)
{
	if (level != GGML_LOG_LEVEL_ERROR || !text[0] || text[0] == '\n')
		return;
	std::lock_guard<std::mutex> guard(error_lock);
	/* The first error names the cause, later ones only who gave up because of it. */
	if (!last_error[0])
		snprintf(last_error, sizeof last_error, "%s", text);
}

} // namespace

/* Where backends are modules of their own they lie beside libllama. Nowhere else is looked: the
 * library's own search takes the current folder too. */
static void load_backend_modules(bool cards)
{
	Dl_info info;
	if (ggml_backend_reg_count() || !dladdr((void *)&llama_backend_init, &info) ||
		!info.dli_fname)
		return;
	std::string path = info.dli_fname;
	size_t slash = path.rfind('/');
	if (slash == std::string::npos)
		return;
	std::string dir = path.substr(0, slash);
	char module[4096];
	if (!variant_find(dir.c_str(), variant_less(), module, sizeof module)) {
		ggml_backend_load_all_from_path(dir.c_str());
		return;
	}
	/* what is loaded last is asked last: the card first, as the library has it */
	for (const char *card : { "cuda", "vulkan" }) {
		std::string lib = dir + "/libggml-" + card + ".so";
		if (cards && !access(lib.c_str(), R_OK))
			ggml_backend_load(lib.c_str());
	}
	ggml_backend_load(module);
}

uint32_t shim_init(bool cards)
{
	setenv("GGML_NO_BACKTRACE", "1", 1); /* an abort must not start a debugger */
	llama_log_set(keep_error, nullptr);
	common_log_set_verbosity_thold(-1);
	common_log_pause(common_log_main()); /* ends its thread: Landlock wants one thread */
	tzset();
	load_backend_modules(cards);
	llama_backend_init();
	/* Each device looks at its machine once, through files that are out of reach later. */
	for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
		ggml_backend_dev_t d = ggml_backend_dev_get(i);
		ggml_backend_dev_props props;
		ggml_backend_dev_get_props(d, &props);
	}
	(void)llama_print_system_info();
	last_error[0] = 0; /* "no card here" is no reason why a model cannot be read */
	int32_t cores = common_cpu_get_num_physical_cores();
	return cores > 0 ? (uint32_t)cores : 1;
}

void shim_build(char *ret, size_t size)
{
	snprintf(ret, size, "llama.cpp %s tree %s", llama_version(), LLAMA_TREE);
}

void shim_last_error(char *ret, size_t size)
{
	std::lock_guard<std::mutex> guard(error_lock);
	size_t n = snprintf(ret, size, "%s", last_error);
	for (n = n < size ? n : size - 1; n && (ret[n - 1] == '\n' || ret[n - 1] == ' '); n--)
		ret[n - 1] = 0;
	last_error[0] = 0;
}

shim_result shim_model_load(FILE *file, llama_model_params p, llama_model **ret)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		llama_model *m = llama_model_load_from_file_ptr(file, p);
		if (!m)
			return SHIM_INVALID;
		*ret = m;
		return SHIM_OK;
	});
}

shim_result shim_adapter_load(FILE *file, llama_model *m, llama_adapter_lora **ret)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		*ret = llama_adapter_lora_init_from_file_ptr(m, file);
		return *ret ? SHIM_OK : SHIM_INVALID;
	});
}

shim_result shim_context_new(llama_model *m, llama_context_params p, llama_adapter_lora **adapters,
	size_t n_adapters, llama_context **ret)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		std::vector<float> scales(n_adapters, 1.0f);
		std::unique_ptr<llama_context, decltype(&llama_free)> made(
			llama_init_from_model(m, p), llama_free);
		if (!made)
			return SHIM_INVALID;
		if (n_adapters && llama_set_adapters_lora(made.get(), adapters, n_adapters,
					  scales.data()))
			return SHIM_FAILED;
		*ret = made.release();
		return SHIM_OK;
	});
}

struct shim_cells {
	std::vector<ggml_backend_buffer_t> buffers, mapped;
	bool complete = false; /* one batch was seen */
};

static void add_once(std::vector<ggml_backend_buffer_t> &v, ggml_backend_buffer_t b)
{
	if (std::find(v.begin(), v.end(), b) == v.end())
		v.push_back(b);
}

/* Asked before each operation; wants to see none. An adapter's buffer is called as the one of the
 * weights that it belongs to, but no file lies behind it. */
static bool note_cells(ggml_tensor *t, bool ask, void *arg)
{
	auto *c = static_cast<shim_cells *>(arg);
	if (!ask || c->complete)
		return false;
	for (const ggml_tensor *s : t->src) {
		if (!s)
			continue;
		const ggml_tensor *root = s->view_src ? s->view_src : s;
		if (!root->buffer)
			continue;
		if (!strncmp(root->name, "cache_", 6))
			add_once(c->buffers, root->buffer);
		else if (ggml_backend_buffer_get_usage(root->buffer) ==
				 GGML_BACKEND_BUFFER_USAGE_WEIGHTS &&
			!strcmp(ggml_backend_buffer_name(root->buffer), "CPU_Mapped"))
			add_once(c->mapped, root->buffer);
	}
	return false;
}

shim_result shim_cells_new(llama_context_params *p, shim_cells **ret)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		auto c = std::make_unique<shim_cells>();
		c->buffers.reserve(64); /* not in the middle of the library's work */
		c->mapped.reserve(64);
		p->cb_eval = note_cells;
		p->cb_eval_user_data = c.get();
		*ret = c.release();
		return SHIM_OK;
	});
}

void shim_cells_free(shim_cells *c)
{
	delete c;
}

static void release(const std::vector<ggml_backend_buffer_t> &v)
{
	const uintptr_t page = 4096;
	for (ggml_backend_buffer_t b : v) {
		if (!ggml_backend_buffer_is_host(b))
			continue;
		uintptr_t from = (uintptr_t)ggml_backend_buffer_get_base(b);
		uintptr_t to = (from + ggml_backend_buffer_get_size(b)) & ~(page - 1);
		from = (from + page - 1) & ~(page - 1);
		if (to > from)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
}

void shim_cells_release(shim_cells *c)
{
	c->complete = true;
	release(c->buffers);
}

void shim_weights_release(shim_cells *c)
{
	release(c->mapped);
}

void shim_context_bytes(
	const llama_context *c, uint64_t *ret_model, uint64_t *ret_kv, uint64_t *ret_compute)
{
	*ret_model = *ret_kv = *ret_compute = 0;
	(void)guarded(nullptr, SHIM_FAILED, [&] {
		for (const auto &row : llama_get_memory_breakdown(c)) {
			*ret_model += row.second.model;
			*ret_kv += row.second.context;
			*ret_compute += row.second.compute;
		}
		return SHIM_OK;
	});
}

int shim_decode(llama_context *c, llama_batch b)
{
	int result = -100;
	(void)guarded(nullptr, SHIM_FAILED, [&] {
		result = llama_decode(c, b);
		return SHIM_OK;
	});
	return result;
}

ggml_threadpool_t shim_threadpool_new(int n_threads, uint32_t poll)
{
	ggml_threadpool_t pool = nullptr;
	(void)guarded(nullptr, SHIM_FAILED, [&] {
		ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
		if (!cpu)
			return SHIM_FAILED;
		auto make = (ggml_threadpool_t(*)(ggml_threadpool_params *))
			ggml_backend_reg_get_proc_address(
				ggml_backend_dev_backend_reg(cpu), "ggml_threadpool_new");
		ggml_threadpool_params p;
		ggml_threadpool_params_init(&p, n_threads);
		p.poll = poll;
		if (make)
			pool = make(&p);
		return SHIM_OK;
	});
	return pool;
}

int32_t shim_tokenize(const llama_vocab *v, shim_text text, int32_t *tokens, int32_t max, bool add,
	bool special)
{
	int32_t n = INT32_MIN;
	if (text.len > INT32_MAX)
		return n;
	(void)guarded(nullptr, SHIM_FAILED, [&] {
		n = llama_tokenize(v, text.ptr, (int32_t)text.len, tokens, max, add, special);
		return SHIM_OK;
	});
	return n;
}

int32_t shim_piece(const llama_vocab *v, int32_t token, char *buf, int32_t size, bool special)
{
	int32_t n = 0;
	(void)guarded(nullptr, SHIM_FAILED, [&] {
		n = llama_token_to_piece(v, token, buf, size, 0, special);
		return SHIM_OK;
	});
	return n;
}
