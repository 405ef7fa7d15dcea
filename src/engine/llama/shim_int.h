/* engine/llama/shim_int.h - private to the shim: what its C++ files share. */
#pragma once

#include "engine/llama/shim.h"

#include <chat.h>
#include <cstring>
#include <json.h>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace shim
{

using json = common_json;

inline void set_why(char *why, const char *text)
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

/* What llama-common cannot turn into a grammar it writes to stderr as a warning and leaves out, so
 * that the answer would be freer than asked; libllama writes there why a grammar is bad, and all of
 * it. This catches the text: it makes the schema invalid, and a person's text stays out of our log.
 * stderr is the process's, so one thread at a time. */
inline std::recursive_mutex stderr_lock;
class stderr_catch
{
	std::lock_guard<std::recursive_mutex> alone{ stderr_lock };
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

using msgs = std::vector<common_chat_msg>;
using tools = std::vector<common_chat_tool>;

/* What the template is asked for beside messages and tools. */
struct how {
	common_chat_tool_choice choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
	bool parallel = true, generation = true;
	int think = 0; /* enum gen_think: 0 default, 1 off, 2 on, 3 low, 4 medium, 5 high */
	std::string schema;
	explicit how(const shim_ask *a = nullptr);
	const char *effort() const;
};

/* What a template and a list of tools make of an answer. */
struct answer {
	std::string grammar;
	bool lazy = false;
	std::vector<std::string> words, patterns; /* what begins a call */
	std::string generation_prompt;            /* the parser and the grammar begin with it */
	common_chat_parser_params parser;
	std::vector<llama_token> shown; /* control tokens whose text the parser needs */
	std::vector<std::string> stops; /* the answer ends before these */
	std::string force;              /* what begins the answer, behind its reasoning */
	std::vector<std::string> tags;  /* around reasoning */
	bool wraps = false;
	bool whole = true; /* the parser wants the reasoning too, not only what follows it */
	mutable std::shared_ptr<shim_grammar> compiled; /* NULL until the first use */
};

} // namespace shim

struct shim_templates {
	common_chat_templates_ptr all;
	std::unique_ptr<common_chat_template> plain, tools;
	const llama_vocab *vocab = nullptr;
	bool add_bos = false, add_eos = false;
	bool fits = false; /* the model's own, or made for its tokens */
	/* Our own rendering, which tells input from template, gives the same as llama-common's for
	 * this template: plain talk, with tools offered, with tools called. Where it does not (a
	 * model with special handling there), theirs is used, on messages made harmless. */
	bool own_plain = false, own_tools = false, own_calls = false;
	bool knows_tools = false; /* the template has a form for calls */
	bool wraps = false;       /* every answer is written in a form that needs a parser */
	common_chat_templates_ptr general; /* the form of calls for templates that have none */
	std::string source, think_start, think_end;
	std::vector<std::string> control; /* texts of control tokens */
	struct made {
		std::string key;
		std::shared_ptr<const shim::answer> what;
	};
	mutable std::mutex cache_lock;
	mutable std::vector<made> cache; /* of the last few lists of tools, newest last */
};

namespace shim
{
/* shim_template.cpp */
common_chat_params their_render(const common_chat_templates *t, const msgs &m, const tools &list,
	const how &h, bool bos, bool eos);
bool has_calls(const msgs &m);
/* shim_grammar.cpp; throws */
shim_grammar *answer_grammar(const answer &a, const llama_vocab *v);
/* shim_chat.cpp: calls and tools as plain text, for a template without a form for them */
void describe_tools(msgs &m, const tools &list);
common_chat_templates_ptr general_templates(const llama_model *m);
void learn_answers(shim_templates &s, const llama_model *m);
} // namespace shim
