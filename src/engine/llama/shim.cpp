#include "engine/llama/shim.h"

#include <algorithm>
#include <chat.h>
#include <cmath>
#include <ctime>
#include <dlfcn.h>
#include <json-schema-to-grammar.h>
#include <json.h>
#include <log.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>

/* Declared in libllama's llama-ext.h, which is not installed; exported by the library. The layout
 * is
 * checked by use: shim_context_bytes() is compared with the KV's arithmetic in a test. */
struct llama_memory_breakdown_data {
	size_t model, context, compute;
};
LLAMA_API std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data>
llama_get_memory_breakdown(const struct llama_context *ctx);

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

void set_why(char *why, const char *text)
{
	if (why)
		snprintf(why, SHIM_WHY, "%s", text);
}

/* Runs f and turns what it throws into a result. */
template <typename F> shim_result guarded(char *why, shim_result on_error, F f)
{
	try {
		return f();
	} catch (const std::bad_alloc &) {
		set_why(why, "not enough memory");
		return SHIM_NOMEM;
	} catch (const std::exception &e) {
		set_why(why, e.what());
		return on_error;
	} catch (...) {
		set_why(why, "unknown error");
		return on_error;
	}
}

} // namespace

/* Where backends are modules of their own they lie beside libllama. Nowhere else is looked: the
 * library's own search takes the current folder too. */
static void load_backend_modules(void)
{
	Dl_info info;
	if (ggml_backend_reg_count() || !dladdr((void *)&llama_backend_init, &info) ||
		!info.dli_fname)
		return;
	std::string path = info.dli_fname;
	size_t slash = path.rfind('/');
	if (slash != std::string::npos)
		ggml_backend_load_all_from_path(path.substr(0, slash).c_str());
}

uint32_t shim_init(void)
{
	setenv("GGML_NO_BACKTRACE", "1", 1); /* an abort must not start a debugger */
	llama_log_set(keep_error, nullptr);
	common_log_set_verbosity_thold(-1);
	common_log_pause(common_log_main()); /* ends its thread: Landlock wants one thread */
	tzset();
	load_backend_modules();
	llama_backend_init();
	/* Each device looks at its machine once, through files that are out of reach later. */
	for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
		ggml_backend_dev_t d = ggml_backend_dev_get(i);
		ggml_backend_dev_props props;
		ggml_backend_dev_get_props(d, &props);
	}
	(void)llama_print_system_info();
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

shim_result shim_context_new(llama_model *m, llama_context_params p, llama_context **ret)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		llama_context *c = llama_init_from_model(m, p);
		if (!c)
			return SHIM_INVALID;
		*ret = c;
		return SHIM_OK;
	});
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

int32_t shim_tokenize(const llama_vocab *v, const char *text, size_t len, int32_t *tokens,
	int32_t max, bool special)
{
	int32_t n = INT32_MIN;
	if (len > INT32_MAX)
		return n;
	(void)guarded(nullptr, SHIM_FAILED, [&] {
		n = llama_tokenize(v, text, (int32_t)len, tokens, max, false, special);
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

/* ---- chat templates ---- */

struct shim_templates {
	common_chat_templates_ptr all;
	std::unique_ptr<common_chat_template> plain, tools;
	bool add_bos = false, add_eos = false;
	bool fits = false; /* the model's own, or made for its tokens */
	/* Our own rendering, which tells input from template, gives the same as llama-common's for
	 * this template: plain talk, with tools offered, with tools called. Where it does not (a
	 * model
	 * with special handling there), theirs is used, on messages made harmless. */
	bool own_plain = false, own_tools = false, own_calls = false;
	std::string source, think_start, think_end;
	std::vector<std::string> control; /* texts of control tokens */
};

namespace
{

using json = common_json;

std::string token_text(const llama_vocab *v, llama_token t)
{
	char buf[256];
	int32_t n =
		t == LLAMA_TOKEN_NULL ? 0 : llama_token_to_piece(v, t, buf, sizeof buf, 0, true);
	return n > 0 ? std::string(buf, n) : std::string();
}

/* A template that knows no system messages gets them in front of the next message. */
void merge_system(json &messages)
{
	json out = json::array();
	std::string held;
	for (auto &m : messages) {
		if (m.value("role", "") == "system") {
			held += (held.empty() ? "" : "\n") + m.value("content", "");
			continue;
		}
		if (!held.empty() && m.contains("content") && m.at("content").is_string()) {
			m["content"] = held + "\n" + m.value("content", "");
			held.clear();
		}
		out.push_back(m);
	}
	if (!held.empty())
		out.push_back(json{ { "role", "user" }, { "content", held } });
	messages = out;
}

/* What llama-common does to messages before it renders them, for the simple forms. */
json normal_messages(const std::vector<common_chat_msg> &msgs, const jinja::caps &caps)
{
	json messages = json::array();
	for (const auto &msg : msgs) {
		json m = msg.to_json_oaicompat(!caps.supports_typed_content);
		if (m.value("role", "") == "developer")
			m["role"] = "system";
		if (!m.contains("content") || m.at("content").is_null())
			m["content"] = "";
		messages.push_back(m);
	}
	if (!caps.supports_system_role)
		merge_system(messages);
	bool only_typed = !caps.supports_string_content && caps.supports_typed_content;
	for (auto &m : messages) {
		if (only_typed && m.at("content").is_string()) {
			json part = json::object(
				{ { "type", "text" }, { "text", m.value("content", "") } });
			json list = json::array();
			list.push_back(part);
			m["content"] = list;
		}
		if (!m.contains("tool_calls") || !caps.supports_object_arguments)
			continue;
		for (auto &call : m["tool_calls"]) {
			json &args = call.at("function").at("arguments");
			if (args.is_string())
				args = json::parse(args.get<std::string>());
		}
	}
	return messages;
}

jinja::string own_render(const common_chat_template &t, const json &messages, const json &tools)
{
	jinja::context ctx(t.source());
	std::time_t now = std::time(nullptr);
	char date[64], datetime[64];
	std::tm tm;
	localtime_r(&now, &tm);
	strftime(date, sizeof date, "%d %b %Y", &tm);
	strftime(datetime, sizeof datetime, "%b %d %Y", &tm);
	json in = json::object({ { "bos_token", t.bos_token() }, { "eos_token", t.eos_token() },
		{ "enable_thinking", true }, { "add_generation_prompt", true },
		{ "date_string", std::string(date) }, { "datetime", std::string(datetime) } });
	in["messages"] = messages;
	if (tools.is_array() && !tools.empty())
		in["tools"] = tools;
	jinja::global_from_json(ctx, in, true);
	jinja::runtime runtime(ctx);
	const jinja::value result = runtime.execute(t.prog);
	return jinja::runtime::gather_string_parts(result)->as_string();
}

/* Takes the BOS (or EOS) text off: the tokenizer adds the token. */
void strip(const shim_templates &s, const common_chat_template &t, jinja::string &r)
{
	const std::string &bos = t.bos_token(), &eos = t.eos_token();
	if (s.add_bos && !bos.empty() && !r.parts.empty() &&
		r.parts.front().val.compare(0, bos.size(), bos) == 0)
		r.parts.front().val.erase(0, bos.size());
	if (!s.add_eos || eos.empty() || r.parts.empty())
		return;
	std::string &last = r.parts.back().val;
	if (last.size() >= eos.size() &&
		last.compare(last.size() - eos.size(), eos.size(), eos) == 0)
		last.erase(last.size() - eos.size());
}

/* Google's template for Gemma 2 and 3, for files that carry none: known by its turn tokens. */
const char GEMMA_TEMPLATE[] =
	"{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = "
	"messages[0]['content'] + '\n\n' %}"
	"{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% "
	"endif %}"
	"{% for m in rest %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
	"{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}{{ m['content'] | "
	"trim }}"
	"{{ '<end_of_turn>\n' }}{% endfor %}"
	"{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";

bool has_control(const shim_templates &s, const char *text)
{
	return std::find(s.control.begin(), s.control.end(), text) != s.control.end();
}

/* Without a template of its own a model gets one by its vocabulary; llama-common's last resort is
 * ChatML, which fits where its tokens exist. */
void init_templates(shim_templates &s, const llama_model *m)
{
	const char *own = llama_model_chat_template(m, nullptr);
	bool gemma = !own && has_control(s, "<start_of_turn>");
	s.all = common_chat_templates_init(m, gemma ? GEMMA_TEMPLATE : "");
	s.fits = common_chat_templates_was_explicit(s.all.get()) || has_control(s, "<|im_start|>");
}

common_chat_params their_render(const shim_templates &s, const std::vector<common_chat_msg> &msgs,
	const std::vector<common_chat_tool> &tools)
{
	common_chat_templates_inputs in;
	in.messages = msgs;
	in.tools = tools;
	in.add_bos = s.add_bos;
	in.add_eos = s.add_eos;
	in.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
	return common_chat_templates_apply(s.all.get(), in);
}

jinja::string render(const shim_templates &s, const std::vector<common_chat_msg> &msgs,
	const std::vector<common_chat_tool> &tools, bool own)
{
	if (!own)
		return jinja::string(their_render(s, msgs, tools).prompt);
	const common_chat_template &t = !tools.empty() && s.tools ? *s.tools : *s.plain;
	jinja::string r = own_render(t, normal_messages(msgs, t.original_caps()),
		common_chat_tools_to_json_oaicompat(tools));
	strip(s, t, r);
	return r;
}

bool has_calls(const std::vector<common_chat_msg> &msgs)
{
	for (const auto &m : msgs)
		if (!m.tool_calls.empty() || !m.tool_call_id.empty() || m.role == "tool")
			return true;
	return false;
}

/* Breaks every text of a control token by a zero-width blank behind its first character, so that
 * what a person or a tool wrote cannot end its message. Only where input cannot be marked. */
void make_harmless(const shim_templates &s, std::string &text)
{
	for (const std::string &c : s.control)
		for (size_t at = 0; (at = text.find(c, at)) != std::string::npos; at += 4)
			text.insert(at + 1, "\xe2\x80\x8b");
}

void make_harmless(const shim_templates &s, std::vector<common_chat_msg> &msgs)
{
	for (auto &m : msgs) {
		make_harmless(s, m.content);
		make_harmless(s, m.reasoning_content);
		for (auto &p : m.content_parts)
			make_harmless(s, p.text);
		for (auto &c : m.tool_calls)
			make_harmless(s, c.arguments);
	}
}

common_chat_msg message(const char *role, const char *content)
{
	common_chat_msg m;
	m.role = role;
	m.content = content;
	return m;
}

bool same(const shim_templates &s, const std::vector<common_chat_msg> &msgs,
	const std::vector<common_chat_tool> &tools)
{
	try {
		return render(s, msgs, tools, true).str() == their_render(s, msgs, tools).prompt;
	} catch (const std::exception &) {
		return false;
	}
}

/* Does our rendering give what llama-common gives? Also learns the reasoning tags. */
void compare_renders(shim_templates &s)
{
	const std::vector<common_chat_msg> one = { message("user", "Hello") }, talk = {
		message("system", "Be brief."), message("user", " a\n"), message("assistant", "b"),
		message("user", "c")
	};
	const std::vector<common_chat_tool> tools = { { "f", "does f",
		"{\"type\":\"object\",\"properties\":{}}" } };
	std::vector<common_chat_msg> calls = { message("user", "call f"), message("assistant", ""),
		message("tool", "result") };
	calls[1].tool_calls.push_back({ "f", "{\"x\":1}", "call00001" });
	calls[2].tool_call_id = "call00001";
	calls[2].tool_name = "f";
	common_chat_params p = their_render(s, one, {}); /* a template that cannot do this throws */
	if (p.supports_thinking && !p.thinking_end_tags.empty()) {
		s.think_start = p.thinking_start_tag;
		s.think_end = p.thinking_end_tags.front();
	}
	s.own_plain = same(s, one, {}) && same(s, talk, {});
	s.own_tools = s.own_plain && same(s, one, tools);
	s.own_calls = s.own_tools && same(s, calls, tools);
}

} // namespace

shim_result shim_templates_new(const llama_model *m, shim_templates **ret, char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		auto s = std::make_unique<shim_templates>();
		const llama_vocab *v = llama_model_get_vocab(m);
		for (int32_t i = 0, n = llama_vocab_n_tokens(v); i < n; i++)
			if (llama_vocab_get_attr(v, i) & LLAMA_TOKEN_ATTR_CONTROL &&
				token_text(v, i).size() > 1)
				s->control.push_back(token_text(v, i));
		init_templates(*s, m);
		s->add_bos = llama_vocab_get_add_bos(v);
		s->add_eos = llama_vocab_get_add_eos(v);
		s->source = common_chat_templates_source(s->all.get());
		std::string bos = token_text(v, llama_vocab_bos(v)),
			    eos = token_text(v, llama_vocab_eos(v));
		s->plain = std::make_unique<common_chat_template>(s->source, bos, eos);
		std::string with_tools = common_chat_templates_source(s->all.get(), "tool_use");
		if (!with_tools.empty())
			s->tools = std::make_unique<common_chat_template>(with_tools, bos, eos);
		compare_renders(*s);
		*ret = s.release();
		return SHIM_OK;
	});
}

void shim_templates_free(shim_templates *t)
{
	delete t;
}
bool shim_templates_fits(const shim_templates *t)
{
	return t->fits;
}
const char *shim_templates_source(const shim_templates *t)
{
	return t->source.c_str();
}
const char *shim_templates_think(const shim_templates *t, bool end)
{
	return (end ? t->think_end : t->think_start).c_str();
}

shim_result shim_render(const shim_templates *t, const char *messages, const char *tools,
	void (*part)(void *arg, const char *text, size_t len, bool input), void *arg,
	char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		auto msgs = common_chat_msgs_parse_oaicompat(json::parse(messages));
		std::vector<common_chat_tool> list;
		if (tools && *tools)
			list = common_chat_tools_parse_oaicompat(json::parse(tools));
		bool own = has_calls(msgs) ? t->own_calls
			   : list.empty()  ? t->own_plain
					   : t->own_tools;
		if (!own)
			make_harmless(*t, msgs);
		jinja::string r = render(*t, msgs, list, own);
		for (const auto &p : r.parts)
			part(arg, p.val.data(), p.val.size(), p.is_input);
		return SHIM_OK;
	});
}

/* ---- grammars ---- */

namespace
{

/* What llama-common cannot turn into a grammar it writes to stderr as a warning and leaves out, so
 * that the answer would be freer than asked. This catches the text: it makes the schema invalid,
 * and
 * a person's pattern stays out of our log. */
class stderr_catch
{
	FILE *old = stderr;
	char text[SHIM_WHY] = "";
	FILE *mem = fmemopen(text, sizeof text - 1, "w");

	public:
	stderr_catch() { stderr = mem ? mem : old; }
	~stderr_catch() { end(); }
	const char *end()
	{
		stderr = old;
		if (mem)
			fclose(mem);
		mem = nullptr;
		return text;
	}
};

} // namespace

shim_result shim_schema(const char *schema, char **ret, char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		stderr_catch warnings;
		std::string gbnf = json_schema_to_grammar(json::parse(schema));
		const char *warning = warnings.end();
		if (*warning) {
			const char *what = strstr(warning, ": ");
			set_why(why, what ? what + 2 : warning);
			return SHIM_INVALID;
		}
		if (gbnf.empty()) {
			set_why(why, "the schema gives no grammar");
			return SHIM_INVALID; /* an empty grammar would allow everything */
		}
		*ret = strdup(gbnf.c_str());
		return *ret ? SHIM_OK : SHIM_NOMEM;
	});
}

shim_result shim_grammar_new(const llama_vocab *v, const char *gbnf, llama_sampler **ret)
{
	return guarded(nullptr, SHIM_INVALID, [&] {
		llama_sampler *g = *gbnf ? llama_sampler_init_grammar(v, gbnf, "root") : nullptr;
		if (!g)
			return SHIM_INVALID;
		*ret = g;
		return SHIM_OK;
	});
}

shim_result shim_grammar_mask(llama_sampler *g, llama_token_data_array *c)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		llama_sampler_apply(g, c);
		return SHIM_OK;
	});
}

shim_result shim_grammar_accept(llama_sampler *g, int32_t token)
{
	return guarded(nullptr, SHIM_INVALID, [&] {
		/* An end token where none is allowed aborts inside, so it is asked for first. */
		llama_token_data d = { token, 1.0f, 0.0f };
		llama_token_data_array one = { &d, 1, -1, false };
		llama_sampler_apply(g, &one);
		if (std::isinf(d.logit))
			return SHIM_INVALID;
		llama_sampler_accept(g, token);
		return SHIM_OK;
	});
}
