/* Grammars: of a JSON schema, of GBNF text, of the calls a template makes. */
#include "engine/llama/shim_int.h"

#include <algorithm>
#include <cmath>
#include <common.h>
#include <json-schema-to-grammar.h>

struct shim_grammar {
	llama_sampler *s = nullptr;
	const llama_vocab *vocab = nullptr;
	/* Until one of these words is written nothing is ruled. libllama looks for them by a
	 * regular
	 * expression in all that was written so far, again for every token; here only the last
	 * tokens are kept in which a word may have begun, and given to it once one is there. */
	bool waiting = false;
	std::vector<std::string> words;
	size_t longest = 0;
	std::vector<std::pair<llama_token, std::string>> tail;

	~shim_grammar()
	{
		if (s)
			llama_sampler_free(s);
	}
};

namespace
{

using namespace shim;

const char *after_name(const char *text)
{
	const char *rest = strstr(text, ": ");
	return rest ? rest + 2 : text;
}

std::string text_of(const llama_vocab *v, llama_token t)
{
	return common_token_to_piece(v, t, true);
}

/* Only ASCII: a part of a character is allowed nowhere but after its beginning. */
bool plain_text(const llama_vocab *v, llama_token t)
{
	std::string text = text_of(v, t);
	for (char c : text)
		if (c <= 0)
			return false;
	return !llama_vocab_is_eog(v, t) && !text.empty();
}

llama_sampler *compile(const answer &a, const llama_vocab *v)
{
	std::vector<std::string> p = a.patterns;
	std::vector<const char *> c;
	for (const auto &w : a.words)
		p.push_back(regex_escape(w));
	for (const auto &x : p)
		c.push_back(x.c_str());
	if (!a.lazy)
		return llama_sampler_init_grammar(v, a.grammar.c_str(), "root");
	return llama_sampler_init_grammar_lazy_patterns(
		v, a.grammar.c_str(), "root", c.data(), c.size(), nullptr, 0);
}

/* Is the token allowed? Asked before every accept: an end token where none may come would abort. */
bool allows(llama_sampler *s, llama_token t)
{
	llama_token_data d = { t, 1.0f, 0.0f };
	llama_token_data_array one = { &d, 1, -1, false };
	llama_sampler_apply(s, &one);
	return !std::isinf(d.logit);
}

/* The parser's text begins with the generation prompt, and so does its grammar. */
bool prefill(shim_grammar &g, const std::string &text)
{
	auto tokens = common_tokenize(g.vocab, text, false, true);
	for (size_t i = 0; i < tokens.size(); i++) {
		std::string piece = text_of(g.vocab, tokens[i]);
		if (!i && !piece.empty() && isspace((unsigned char)piece[0]) &&
			!isspace((unsigned char)text[0]))
			continue; /* a blank that the tokenizer put there */
		if (!allows(g.s, tokens[i]))
			return false;
		llama_sampler_accept(g.s, tokens[i]);
	}
	return true;
}

bool has_word(const shim_grammar &g, const std::string &text)
{
	for (const auto &w : g.words)
		if (text.find(w) != std::string::npos)
			return true;
	return false;
}

/* Hands the kept tokens over. What does not fit the grammar although it begins like a call is left
 * to the parser, which says so at the end. */
void trigger(shim_grammar &g)
{
	llama_sampler *c = llama_sampler_clone(g.s);
	try {
		for (const auto &t : g.tail)
			llama_sampler_accept(c, t.first);
	} catch (const std::exception &) {
		llama_sampler_free(c);
		g.tail.clear();
		return;
	}
	llama_sampler_free(g.s);
	g.s = c;
	g.waiting = false;
	g.tail.clear();
}

void wait_for_word(shim_grammar &g, llama_token token)
{
	g.tail.push_back({ token, text_of(g.vocab, token) });
	std::string text;
	for (const auto &t : g.tail)
		text += t.second;
	if (has_word(g, text)) {
		trigger(g);
		return;
	}
	size_t len = text.size();
	while (g.tail.size() > 1 && len - g.tail.front().second.size() >= g.longest) {
		len -= g.tail.front().second.size();
		g.tail.erase(g.tail.begin());
	}
}

} // namespace

shim_result shim_schema(const char *schema, char **ret, char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		stderr_catch warnings;
		std::string gbnf = json_schema_to_grammar(json::parse(schema));
		const char *warning = warnings.end();
		if (*warning) {
			set_why(why, after_name(warning));
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

shim_result shim_grammar_new(
	const llama_vocab *v, const char *gbnf, shim_grammar **ret, char why[SHIM_WHY])
{
	return guarded(why, SHIM_INVALID, [&] {
		auto g = std::make_unique<shim_grammar>();
		stderr_catch said;
		g->vocab = v;
		g->s = *gbnf ? llama_sampler_init_grammar(v, gbnf, "root") : nullptr;
		if (!g->s) {
			char reason[SHIM_WHY];
			snprintf(reason, sizeof reason, "%s", after_name(said.end()));
			reason[strcspn(reason, "\n")] = 0; /* the grammar itself follows */
			shim_last_error(why, SHIM_WHY);
			if (*reason)
				set_why(why, reason);
			return SHIM_INVALID;
		}
		*ret = g.release();
		return SHIM_OK;
	});
}

void shim_grammar_free(shim_grammar *g)
{
	delete g;
}

shim_result shim_grammar_clone(const shim_grammar *g, shim_grammar **ret)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		auto c = std::make_unique<shim_grammar>();
		c->vocab = g->vocab;
		c->waiting = g->waiting;
		c->words = g->words;
		c->longest = g->longest;
		c->tail = g->tail;
		c->s = llama_sampler_clone(g->s);
		*ret = c.release();
		return SHIM_OK;
	});
}

shim_result shim_grammar_mask(shim_grammar *g, llama_token_data_array *c)
{
	if (g->waiting)
		return SHIM_OK;
	return guarded(nullptr, SHIM_FAILED, [&] {
		llama_sampler_apply(g->s, c);
		return SHIM_OK;
	});
}

shim_result shim_grammar_accept(shim_grammar *g, int32_t token)
{
	return guarded(nullptr, SHIM_INVALID, [&] {
		if (g->waiting) {
			wait_for_word(*g, token);
			return SHIM_OK;
		}
		if (!allows(g->s, token))
			return SHIM_INVALID;
		llama_sampler_accept(g->s, token);
		return SHIM_OK;
	});
}

/* All: it rules out nothing, at the start and after each of a few tokens. None: it begins with no
 * token. */
shim_result shim_grammar_probe(const shim_grammar *g, bool *ret_all, bool *ret_none)
{
	return guarded(nullptr, SHIM_FAILED, [&] {
		const int32_t n = llama_vocab_n_tokens(g->vocab), piece = 1024, probes = 3;
		*ret_all = *ret_none = true;
		int32_t next = 0;
		for (int32_t round = 0; *ret_all && round <= probes; round++) {
			std::unique_ptr<llama_sampler, void (*)(llama_sampler *)> s(
				llama_sampler_clone(g->s), llama_sampler_free);
			if (round) {
				while (next < n && !plain_text(g->vocab, next))
					next++;
				if (next >= n)
					break;
				llama_sampler_accept(s.get(), next);
				next += n / (probes + 1);
			}
			std::vector<llama_token_data> c;
			for (int32_t from = 0; (*ret_all || *ret_none) && from < n; from += piece) {
				c.clear();
				for (int32_t i = from; i < n && i < from + piece; i++) {
					if (plain_text(g->vocab, i))
						c.push_back({ i, 1.0f, 0.0f });
				}
				llama_token_data_array a = { c.data(), c.size(), -1, false };
				llama_sampler_apply(s.get(), &a);
				for (size_t i = 0; i < a.size; i++) {
					bool may = !std::isinf(a.data[i].logit);
					*ret_all = *ret_all && may;
					*ret_none = *ret_none && !may;
				}
			}
		}
		return SHIM_OK;
	});
}

shim_grammar *shim::answer_grammar(const answer &a, const llama_vocab *v)
{
	auto g = std::make_unique<shim_grammar>();
	stderr_catch said;
	g->vocab = v;
	g->s = compile(a, v);
	if (!g->s || (!a.lazy && !prefill(*g, a.generation_prompt)))
		throw std::runtime_error("no grammar can be made of the tools");
	g->waiting = a.lazy && a.patterns.empty();
	g->words = a.words;
	for (const auto &w : a.words)
		g->longest = std::max(g->longest, w.size());
	return g.release();
}
