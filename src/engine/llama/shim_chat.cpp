/* Answers of models that are offered tools: which part is reasoning, text, calls. */
#include "engine/llama/shim_int.h"

#include <algorithm>
#include <common.h>

using namespace shim;

struct shim_chat {
	std::shared_ptr<const answer> what;
	const llama_vocab *vocab = nullptr;
	std::string raw;                     /* all that was written */
	size_t parsed = 0;                   /* length of raw at the last look */
	std::string out_thought, out_answer; /* given out */
	size_t called = 0;                   /* length of raw when its calls were last whole ones */
	bool one_call = false, stopped = false, changed = false;
};

namespace
{

enum {
	CACHE_MAX = 16,
	LOOK_ALWAYS = 4096, /* bytes; above, an answer is looked at again when it grew by a part */
	LOOK_PART = 64,
	CUTS_MAX = 64,
};

/* The form that models without one of their own have seen most often: Hermes 2 Pro's, with ChatML
 * around it. Only the form of calls is taken from it; prompts are written by the model's template.
 * */
const char GENERAL[] = R"({%- if tools %}{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
{{- "# Tools\n\n<tools>" }}
{%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
{{- "\n</tools>\n\n" }}
{{- "<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n" }}
{{- "</tool_call><|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == "user" or (message.role == "system" and not loop.first)
	or (message.role == "assistant" and not message.tool_calls) %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- elif message.role == "assistant" %}
{{- '<|im_start|>' + message.role }}
{%- if message.content %}{{- '\n' + message.content }}{%- endif %}
{%- for tool_call in message.tool_calls %}
{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '\n<tool_call>\n{"name": "' }}{{- tool_call.name }}
{{- '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}
{%- endfor %}{{- '<|im_end|>\n' }}
{%- elif message.role == "tool" %}
{%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
{{- '<|im_start|>user' }}{%- endif %}
{{- '\n<tool_response>\n' }}{{- message.content }}{{- '\n</tool_response>' }}
{%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\n' }}{%- endif %}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %})";

common_chat_msg user(const char *text)
{
	common_chat_msg m;
	m.role = "user";
	m.content = text;
	return m;
}

std::string anchored(const std::string &p)
{
	return p.empty() ? "^$" : (p.front() != '^' ? "^" : "") + p + (p.back() != '$' ? "$" : "");
}

std::shared_ptr<const answer> make(const shim_templates &s, const shim::tools &list, const how &h)
{
	bool own = list.empty() || s.knows_tools;
	stderr_catch schemas; /* llama-common says there which part of a schema it leaves out */
	auto a = std::make_shared<answer>();
	common_chat_params p = their_render(own ? s.all.get() : s.general.get(), { user("Hello") },
		list, h, s.add_bos, s.add_eos);
	if (h.choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
		/* Its grammar allows any text before the call, and a model may never come to it. So
		 * the
		 * word that begins a call is written for it, and the grammar of free choice goes
		 * on. */
		how free = h;
		free.choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
		common_chat_params q = their_render(own ? s.all.get() : s.general.get(),
			{ user("Hello") }, list, free, s.add_bos, s.add_eos);
		bool word = !q.grammar_triggers.empty() &&
			    q.grammar_triggers[0].type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD;
		if (q.grammar_lazy && word) {
			p = q;
			a->force = q.grammar_triggers[0].value;
		}
	}
	a->whole = own;
	a->grammar = p.grammar;
	a->lazy = p.grammar_lazy;
	a->generation_prompt = p.generation_prompt;
	a->stops = p.additional_stops;
	a->wraps = s.wraps;
	a->tags = { s.think_start, s.think_end };
	for (const auto &t : p.grammar_triggers)
		if (t.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN)
			a->patterns.push_back(t.value);
		else if (t.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL)
			a->patterns.push_back(anchored(t.value));
		else
			a->words.push_back(t.value);
	if (a->lazy && a->words.empty() && a->patterns.empty())
		a->grammar.clear(); /* it could never begin to rule */
	a->parser = common_chat_parser_params(p);
	a->parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
	if (!p.parser.empty())
		a->parser.parser.load(p.parser);
	for (const auto &text : p.preserved_tokens) {
		auto ids = common_tokenize(s.vocab, text, false, true);
		if (ids.size() == 1)
			a->shown.push_back(ids[0]);
	}
	return a;
}

/* The last few lists of tools: a template is taken apart by some thirty renderings. */
std::shared_ptr<const answer> find(const shim_templates &s, const shim_ask *ask, const how &h)
{
	std::string key = std::string(ask->choice) + (h.parallel ? "+" : "1") +
			  std::to_string(h.think) + ask->tools + '\n' + ask->schema;
	auto &c = s.cache;
	{
		std::lock_guard<std::mutex> guard(s.cache_lock);
		for (size_t i = 0; i < c.size(); i++)
			if (c[i].key == key) {
				std::rotate(c.begin() + i, c.begin() + i + 1, c.end());
				return c.back().what;
			}
	}
	shim::tools list;
	if (*ask->tools)
		list = common_chat_tools_parse_oaicompat(json::parse(ask->tools));
	auto made = make(s, list, h);
	std::lock_guard<std::mutex> guard(s.cache_lock);
	if (c.size() == CACHE_MAX)
		c.erase(c.begin());
	c.push_back({ key, made });
	return made;
}

/* Gives out how `now` goes on behind what was given. A parser that has changed its mind about text
 * that is out already cannot be followed: the end says so. */
void give(shim_chat &c, std::string &given, const std::string &now, shim_part kind,
	void (*part)(void *, shim_part, const char *, size_t), void *arg)
{
	if (now.size() <= given.size()) {
		c.changed = c.changed || given.compare(0, now.size(), now) != 0;
		return;
	}
	if (now.compare(0, given.size(), given) != 0) {
		c.changed = true;
		return;
	}
	part(arg, kind, now.data() + given.size(), now.size() - given.size());
	given = now;
}

/* What was written after the text that was given out. */
std::string rest(const shim_chat &c)
{
	size_t at = 0;
	for (const std::string *s : { &c.out_thought, &c.out_answer }) {
		size_t found = s->empty() ? std::string::npos : c.raw.find(*s, at);
		at = found == std::string::npos ? at : found + s->size();
	}
	return c.raw.substr(at);
}

/* Text behind what was given out that is neither blank nor a reasoning tag: the parser is lenient
 * and
 * takes the beginning of a call for one that may still come. Where answers are wrapped the wrapping
 * is there too, so nothing can be said. */
bool lost(const shim_chat &c)
{
	std::string left = rest(c);
	for (const auto &tag : c.what->tags) {
		size_t at = tag.empty() ? std::string::npos : left.find(tag);
		if (at != std::string::npos)
			left.erase(at, tag.size());
	}
	return !c.what->wraps && left.find_first_not_of(" \t\r\n") != std::string::npos;
}

/* The parser gives {} also where something else stood, at least in the general form, whose calls
 * have {} as text when they have no arguments. */
bool empty_by_mistake(const shim_chat &c, const json &args)
{
	std::string text = c.raw;
	text.erase(std::remove_if(
			   text.begin(), text.end(), [](char x) { return x == ' ' || x == '\n'; }),
		text.end());
	return !c.what->whole && args.empty() && text.find("{}") == std::string::npos;
}

/* "": a call's arguments are no object. */
std::string calls_json(const shim_chat &c, const common_chat_msg &m)
{
	json all = json::array();
	for (const auto &t : m.tool_calls) {
		json args = json::parse_no_throw(t.arguments);
		if (args.is_discarded() || !args.is_object() || t.name.empty() ||
			empty_by_mistake(c, args))
			return "";
		json one = json::object({ { "name", t.name } });
		if (!t.id.empty())
			one["id"] = t.id;
		one["arguments"] = args;
		all.push_back(one);
	}
	return all.dump();
}

/* llama-common's own parse takes an answer that breaks off for a whole one. */
bool complete(const shim_chat &c, const std::string &raw)
{
	const common_chat_parser_params &p = c.what->parser;
	if (p.parser.empty())
		return true;
	common_peg_parse_context ctx(p.generation_prompt + raw);
	return p.parser.parse(ctx).success();
}

void cut_at_stop(shim_chat &c, size_t from)
{
	for (const auto &s : c.what->stops) {
		size_t at = c.raw.find(s, from > s.size() ? from - s.size() : 0);
		if (s.empty() || at == std::string::npos)
			continue;
		c.raw.resize(at);
		c.stopped = true;
	}
}

/* One call to a function of the list, as text. */
std::string call_text(const common_chat_tool_call &t)
{
	json args = json::parse_no_throw(t.arguments);
	json one = json::object({ { "name", t.name } });
	one["arguments"] = args.is_discarded() ? json(t.arguments) : args;
	return "<tool_call>\n" + one.dump() + "\n</tool_call>";
}

std::string tools_text(const shim::tools &list)
{
	std::string text =
		"# Tools\n\nYou may call one or more functions to assist with the user query."
		"\n\nYou are provided with function signatures within <tools></tools> XML "
		"tags:\n<tools>";
	for (const auto &one : common_chat_tools_to_json_oaicompat(list))
		text += "\n" + one.dump();
	return text +
	       "\n</tools>\n\nFor each function call, return a json object with function name and "
	       "arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": "
	       "<function-name>, \"arguments\": <args-json-object>}\n</tool_call>";
}

} // namespace

common_chat_templates_ptr shim::general_templates(const llama_model *m)
{
	return common_chat_templates_init(m, GENERAL);
}

void shim::describe_tools(msgs &all, const shim::tools &list)
{
	msgs out;
	bool was_tool = false;
	for (auto m : all) {
		bool is_tool = m.role == "tool";
		m.content = m.render_content("\n");
		m.content_parts.clear();
		for (const auto &t : m.tool_calls)
			m.content += (m.content.empty() ? "" : "\n") + call_text(t);
		m.tool_calls.clear();
		m.tool_call_id.clear();
		if (is_tool) {
			m.role = "user";
			m.tool_name.clear();
			m.content = "<tool_response>\n" + m.content + "\n</tool_response>";
		}
		if (is_tool && was_tool)
			out.back().content += "\n" + m.content;
		else
			out.push_back(m);
		was_tool = is_tool;
	}
	if (!list.empty()) {
		if (out.empty() || out[0].role != "system") {
			common_chat_msg m;
			m.role = "system";
			out.insert(out.begin(), m);
		}
		out[0].content += (out[0].content.empty() ? "" : "\n\n") + tools_text(list);
	}
	all = out;
}

/* Once a model: has its template a form for calls, and does every answer need the parser? */
void shim::learn_answers(shim_templates &s, const llama_model *m)
{
	const shim::tools list = { { "f", "does f", "{\"type\":\"object\",\"properties\":{}}" } };
	const std::string text = "An answer.";
	try {
		common_chat_params p = their_render(
			s.all.get(), { user("Hello") }, list, how(), s.add_bos, s.add_eos);
		s.knows_tools = !p.grammar.empty() && p.prompt.find("does f") != std::string::npos;
	} catch (const std::exception &) {
	}
	if (!s.knows_tools)
		s.general = general_templates(m);
	try {
		how closed;
		closed.generation = false;
		msgs talk = { user("Hello"), user("") };
		talk[1].role = "assistant";
		talk[1].content = text;
		std::string open =
			their_render(s.all.get(), { talk[0] }, {}, how(), s.add_bos, s.add_eos)
				.prompt;
		std::string all =
			their_render(s.all.get(), talk, {}, closed, s.add_bos, s.add_eos).prompt;
		size_t n = 0, at = all.find(text);
		while (n < open.size() && n < all.size() && open[n] == all[n])
			n++;
		if (at == std::string::npos || at < n)
			return;
		std::string between = all.substr(n, at - n);
		for (const auto *tag : { &s.think_start, &s.think_end }) {
			size_t t = tag->empty() ? std::string::npos : between.find(*tag);
			if (t != std::string::npos)
				between.erase(t, tag->size());
		}
		if (between.find_first_not_of(" \t\r\n") == std::string::npos)
			return;
		auto a = make(s, {}, how());
		s.wraps =
			common_chat_parse(all.substr(n, at - n) + text, true, a->parser).content ==
			text;
	} catch (const std::exception &) {
	}
}

shim_result shim_chat_new(
	const shim_templates *t, const shim_ask *ask, shim_chat **ret, char why[SHIM_WHY])
{
	*ret = nullptr;
	return guarded(why, SHIM_INVALID, [&] {
		if (!*ask->tools && !t->wraps)
			return SHIM_OK;
		how h(ask);
		auto c = std::make_unique<shim_chat>();
		c->vocab = t->vocab;
		c->one_call = ask->one_call;
		c->what = find(*t, ask, h);
		*ret = c.release();
		return SHIM_OK;
	});
}

void shim_chat_free(shim_chat *c)
{
	delete c;
}

bool shim_chat_shows(const shim_chat *c, int32_t token)
{
	const auto &v = c->what->shown;
	return std::find(v.begin(), v.end(), token) != v.end();
}

bool shim_chat_whole(const shim_chat *c)
{
	return c->what->whole;
}

const char *shim_chat_force(const shim_chat *c)
{
	return c->what->force.c_str();
}

bool shim_chat_lazy(const shim_chat *c)
{
	return c->what->lazy;
}

shim_result shim_chat_grammar(const shim_chat *c, shim_grammar **ret, char why[SHIM_WHY])
{
	*ret = nullptr;
	return guarded(why, SHIM_INVALID, [&] {
		const answer &a = *c->what;
		if (a.grammar.empty())
			return SHIM_OK;
		if (!a.compiled)
			a.compiled = std::shared_ptr<shim_grammar>(
				answer_grammar(a, c->vocab), shim_grammar_free);
		return shim_grammar_clone(a.compiled.get(), ret);
	});
}

namespace
{

/* Looks at what is there so far; false: it cannot be read (yet). */
bool look(shim_chat &c, bool end, common_chat_msg &m)
{
	try {
		m = common_chat_parse(c.raw, !end, c.what->parser);
	} catch (const std::exception &) {
		return false;
	}
	if (m.tool_calls.empty())
		return true;
	if (complete(c, c.raw)) {
		c.called = c.raw.size();
		c.stopped = c.stopped || c.one_call;
		return true;
	}
	return !end;
}

/* Many characters came at once, so nobody looked while the calls were whole. */
void find_called(shim_chat &c)
{
	size_t at = c.raw.size();
	for (int tries = 0; tries < CUTS_MAX && at && at != std::string::npos; tries++) {
		at = c.raw.find_last_of(">}]|", at - 1);
		if (at == std::string::npos)
			return;
		std::string part = c.raw.substr(0, at + 1);
		common_chat_msg m;
		try {
			m = common_chat_parse(part, false, c.what->parser);
		} catch (const std::exception &) {
			continue;
		}
		if (!m.tool_calls.empty() && complete(c, part)) {
			c.called = part.size();
			return;
		}
	}
}

/* The end: calls, and what is left over when it cannot be read. */
shim_result finish(shim_chat &c, bool read, common_chat_msg &m,
	void (*part)(void *, shim_part, const char *, size_t), void *arg)
{
	std::string calls, left;
	if (!read && !c.called)
		find_called(c);
	if (!read && c.called) { /* broken off in a further call */
		left = c.raw.substr(c.called);
		m = common_chat_parse(c.raw.substr(0, c.called), false, c.what->parser);
		calls = calls_json(c, m);
	} else if (read && !c.changed && !m.tool_calls.empty()) {
		calls = calls_json(c, m);
	}
	if (calls.empty() && (!read || c.changed || !m.tool_calls.empty() || lost(c)))
		left = rest(c);
	if (!calls.empty())
		part(arg, SHIM_CALLS, calls.data(), calls.size());
	if (!left.empty())
		part(arg, SHIM_ANSWER, left.data(), left.size());
	return left.empty() ? SHIM_OK : SHIM_INVALID;
}

} // namespace

shim_result shim_chat_split(shim_chat *c, const char *text, size_t len, bool end,
	void (*part)(void *arg, shim_part kind, const char *text, size_t len), void *arg,
	bool *stopped)
{
	*stopped = false;
	return guarded(nullptr, SHIM_FAILED, [&] {
		size_t before = c->raw.size();
		if (!c->stopped) {
			c->raw.append(text, len);
			cut_at_stop(*c, before);
		}
		*stopped = c->stopped;
		if (!end && !c->stopped && c->raw.size() > LOOK_ALWAYS &&
			c->raw.size() - c->parsed < c->raw.size() / LOOK_PART)
			return SHIM_OK;
		c->parsed = c->raw.size();
		common_chat_msg m;
		bool read = look(*c, end, m);
		*stopped = c->stopped;
		if (read && !c->changed) {
			give(*c, c->out_thought, m.reasoning_content, SHIM_THOUGHT, part, arg);
			give(*c, c->out_answer, m.content, SHIM_ANSWER, part, arg);
		}
		return end ? finish(*c, read, m, part, arg) : SHIM_OK;
	});
}
