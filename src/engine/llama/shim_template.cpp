/* Chat templates: from messages to the text of a prompt. */
#include "engine/llama/shim_int.h"

#include <algorithm>
#include <ctime>
#include <jinja/caps.h>

namespace
{

using namespace shim;

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

jinja::string own_render(
	const common_chat_template &t, const json &messages, const json &tools, const how &h)
{
	jinja::context ctx(t.source());
	std::time_t now = std::time(nullptr);
	char date[64], datetime[64];
	std::tm tm;
	localtime_r(&now, &tm);
	strftime(date, sizeof date, "%d %b %Y", &tm);
	strftime(datetime, sizeof datetime, "%b %d %Y", &tm);
	json in = json::object({ { "bos_token", t.bos_token() }, { "eos_token", t.eos_token() },
		{ "enable_thinking", h.think != 1 }, { "date_string", std::string(date) },
		{ "datetime", std::string(datetime) } });
	if (h.generation)
		in["add_generation_prompt"] = true;
	in["messages"] = messages;
	if (tools.is_array() && !tools.empty())
		in["tools"] = tools;
	if (h.effort()) {
		in["reasoning_effort"] = std::string(h.effort());
		jinja::caps_apply_reasoning_effort(ctx, h.effort());
	}
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
void init_templates(shim_templates &s, const llama_model *m, const char *source)
{
	const char *own = llama_model_chat_template(m, nullptr);
	bool gemma = !own && has_control(s, "<start_of_turn>");
	s.all = common_chat_templates_init(m, source ? source : gemma ? GEMMA_TEMPLATE : "");
	s.fits = common_chat_templates_was_explicit(s.all.get()) || has_control(s, "<|im_start|>");
}

common_chat_params theirs(
	const shim_templates &s, const msgs &m, const shim::tools &list, const how &h)
{
	return their_render(s.all.get(), m, list, h, s.add_bos, s.add_eos);
}

jinja::string render(
	const shim_templates &s, const msgs &m, const shim::tools &list, const how &h, bool own)
{
	if (!own)
		return jinja::string(theirs(s, m, list, h).prompt);
	const common_chat_template &t = !list.empty() && s.tools ? *s.tools : *s.plain;
	jinja::string r = own_render(t, normal_messages(m, t.original_caps()),
		common_chat_tools_to_json_oaicompat(list), h);
	strip(s, t, r);
	return r;
}

/* Breaks every text of a control token by a zero-width blank behind its first character, so that
 * what a person or a tool wrote cannot end its message. Only where input cannot be marked. */
void make_harmless(const shim_templates &s, std::string &text)
{
	for (const std::string &c : s.control)
		for (size_t at = 0; (at = text.find(c, at)) != std::string::npos; at += 4)
			text.insert(at + 1, "\xe2\x80\x8b");
}

void make_harmless(const shim_templates &s, msgs &all)
{
	for (auto &m : all) {
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

bool same(const shim_templates &s, const msgs &m, const shim::tools &list)
{
	try {
		how h;
		return render(s, m, list, h, true).str() == theirs(s, m, list, h).prompt;
	} catch (const std::exception &) {
		return false;
	}
}

/* Does our rendering give what llama-common gives? Also learns the reasoning tags. */
void compare_renders(shim_templates &s)
{
	const msgs one = { message("user", "Hello") }, talk = { message("system", "Be brief."),
		message("user", " a\n"), message("assistant", "b"), message("user", "c") };
	const shim::tools list = { { "f", "does f", "{\"type\":\"object\",\"properties\":{}}" } };
	msgs calls = { message("user", "call f"), message("assistant", ""),
		message("tool", "result") };
	calls[1].tool_calls.push_back({ "f", "{\"x\":1}", "call00001" });
	calls[2].tool_call_id = "call00001";
	calls[2].tool_name = "f";
	common_chat_params p =
		theirs(s, one, {}, how()); /* a template that cannot do this throws */
	if (p.supports_thinking && !p.thinking_end_tags.empty()) {
		s.think_start = p.thinking_start_tag;
		s.think_end = p.thinking_end_tags.front();
	}
	s.own_plain = same(s, one, {}) && same(s, talk, {});
	s.own_tools = s.own_plain && same(s, one, list);
	s.own_calls = s.own_tools && same(s, calls, list);
}

} // namespace

how::how(const shim_ask *a)
{
	if (!a)
		return;
	choice = common_chat_tool_choice_parse_oaicompat(a->choice);
	parallel = !a->one_call;
	generation = a->generation;
	think = a->think;
	schema = a->schema;
}

const char *how::effort() const
{
	static const char *const words[] = { "low", "medium", "high" };
	return think >= 3 && think <= 5 ? words[think - 3] : nullptr;
}

common_chat_params shim::their_render(const common_chat_templates *t, const msgs &m,
	const shim::tools &list, const how &h, bool bos, bool eos)
{
	common_chat_templates_inputs in;
	in.messages = m;
	in.tools = list;
	in.tool_choice = h.choice;
	in.parallel_tool_calls = h.parallel;
	in.json_schema = h.schema;
	in.add_generation_prompt = h.generation;
	in.enable_thinking = h.think != 1;
	if (h.effort())
		in.chat_template_kwargs["reasoning_effort"] = json(h.effort()).dump();
	in.add_bos = bos;
	in.add_eos = eos;
	in.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
	return common_chat_templates_apply(t, in);
}

bool shim::has_calls(const msgs &all)
{
	for (const auto &m : all)
		if (!m.tool_calls.empty() || !m.tool_call_id.empty() || m.role == "tool")
			return true;
	return false;
}

shim_result shim_templates_new(
	const llama_model *m, const char *source, shim_templates **ret, char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		auto s = std::make_unique<shim_templates>();
		const llama_vocab *v = llama_model_get_vocab(m);
		for (int32_t i = 0, n = llama_vocab_n_tokens(v); i < n; i++)
			if (llama_vocab_get_attr(v, i) & LLAMA_TOKEN_ATTR_CONTROL &&
				token_text(v, i).size() > 1)
				s->control.push_back(token_text(v, i));
		init_templates(*s, m, source);
		s->add_bos = llama_vocab_get_add_bos(v);
		s->add_eos = llama_vocab_get_add_eos(v);
		s->source = common_chat_templates_source(s->all.get());
		std::string bos = token_text(v, llama_vocab_bos(v)),
			    eos = token_text(v, llama_vocab_eos(v));
		s->plain = std::make_unique<common_chat_template>(s->source, bos, eos);
		std::string with_tools = common_chat_templates_source(s->all.get(), "tool_use");
		if (!with_tools.empty())
			s->tools = std::make_unique<common_chat_template>(with_tools, bos, eos);
		s->vocab = v;
		compare_renders(*s);
		learn_answers(*s, m);
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

shim_result shim_render(const shim_templates *t, const shim_ask *ask,
	void (*part)(void *arg, const char *text, size_t len, bool input), void *arg,
	char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		auto all = common_chat_msgs_parse_oaicompat(json::parse(ask->messages));
		shim::tools list;
		if (*ask->tools)
			list = common_chat_tools_parse_oaicompat(json::parse(ask->tools));
		if (!t->knows_tools) {
			describe_tools(all, list);
			list.clear();
		}
		how h(ask);
		h.schema.clear(); /* it says nothing about the prompt */
		bool own = has_calls(all) ? t->own_calls
			   : list.empty() ? t->own_plain
					  : t->own_tools;
		if (!own)
			make_harmless(*t, all);
		jinja::string r = render(*t, all, list, h, own);
		for (const auto &p : r.parts)
			part(arg, p.val.data(), p.val.size(), p.is_input);
		return SHIM_OK;
	});
}
