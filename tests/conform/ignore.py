#!/usr/bin/env python3
"""The proof that checks see a field: each row's field is removed on its way, and its check must fail.

usage: tests/conform/ignore.py [WORDS]     every row (whose check's name has WORDS), as TAP; tests/conform/py runs a few
Needs TRESOR_BIN and TRESOR_DEPS, and the packages of TRESOR_PY.
"""
import importlib
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "py")]
import harness  # noqa: E402
from proxy import Proxy  # noqa: E402

GEN, CHAT, EMBED, SHOW, CREATE = "/api/generate", "/api/chat", "/api/embed", "/api/show", "/api/create"
OPENAI, COMPLETIONS, VECTORS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
O, C, G = "http: options: ", "ollama-python: /api/chat: ", "ollama-python: /api/generate: "
P, A, R = "openai-python: chat: ", "anthropic-python: messages: ", "openai-python: responses: "
ROWS = (  # route, field, the check that must see that it is not read
    (GEN, "options.temperature", O + "temperature 0 draws nothing"),
    (GEN, "options.seed", O + "seed repeats an answer, another seed does not"),
    (GEN, "options.top_k", O + "top_k 1 leaves the likeliest token"),
    (GEN, "options.top_p", O + "top_p near 0 leaves the likeliest token"),
    (GEN, "options.min_p", O + "min_p 1 leaves the likeliest token"),
    (GEN, "options.typical_p", O + "typical_p near 0 leaves one token"),
    (GEN, "options.repeat_penalty", O + "repeat_penalty keeps a text from repeating itself"),
    (GEN, "options.repeat_last_n", O + "repeat_last_n 0 switches the penalty off"),
    (GEN, "options.presence_penalty", O + "presence_penalty keeps words from coming again"),
    (GEN, "options.frequency_penalty", O + "frequency_penalty keeps words from coming again and again"),
    (GEN, "options.num_predict", O + "num_predict is the number of tokens, and the reason is length"),
    (GEN, "options.num_ctx", O + "num_ctx is this request's limit, without another load"),
    (GEN, "options.stop", O + "stop ends the text before it"),
    (GEN, "options.mirostat", O + "mirostat 2 is done, where Ollama gave it up"),
    (GEN, "options.num_gpu", O + "num_gpu is accepted, and a warning says that it has no effect"),
    (GEN, "suffix", G + "suffix is what the text leads to"),
    (GEN, "system", G + "system takes the place of the model's own"),
    (GEN, "raw", G + "raw takes the prompt as it is"),
    (GEN, "stream", G + "stream gives lines whose texts are the whole answer"),
    (GEN, "format", G + "format a schema is kept to"),
    (GEN, "keep_alive", G + "keep_alive is how long the model stays"),
    (GEN, "images", G + "images are seen by a model that can, and refused by one that cannot"),
    (GEN, "think", G + "think false has no thoughts"),
    (GEN, "logprobs", G + "logprobs come with each token"),
    (GEN, "top_logprobs", G + "top_logprobs names so many others"),
    (GEN, "grammar", "http: /api/generate: grammar is GBNF in the place of a format (not Ollama's)"),
    (GEN, "answer:prompt_eval_count", G + "prompt_eval_count is there at the end, whole and streamed"),
    (GEN, "answer:done_reason", G + "done_reason is stop at the model's own end and length at the limit"),
    (CHAT, "truncate", "http: /api/chat: truncate true leaves out what came first, and says how much"),
    (CHAT, "messages.*.images", C + "messages.images are seen by a model that can, and refused by one that cannot"),
    (CHAT, "messages.*.thinking", C + "messages.thinking of an earlier turn goes to the template"),
    (CHAT, "messages.*.tool_calls", C + "messages.tool_calls of an earlier turn are in the prompt"),
    (CHAT, "tools", C + "tools are told to the model"),
    (CHAT, "tools.*.function.parameters.$defs", "http: /api/chat: tools: $defs is told to the model"),
    (CHAT, "tools.*.function.parameters.properties", "http: /api/chat: tools: pattern is told to the model, too"),
    (CHAT, "format", C + "format a schema is kept to, also in a stream"),
    (CHAT, "think", C + "think low, medium and high are told to the model"),
    (EMBED, "dimensions", "ollama-python: /api/embed: dimensions is how long a vector is, still of length one"),
    (EMBED, "truncate", "ollama-python: /api/embed: truncate cuts a text that is too long, false refuses it"),
    (CREATE, "system", "ollama-python: /api/create: system is what the model is told"),
    (CREATE, "messages", "ollama-python: /api/create: messages come before those of a request"),
    (CREATE, "parameters", "ollama-python: /api/create: parameters count when a request says nothing"),
    (OPENAI, "temperature", P + "temperature 0 draws nothing"),
    (OPENAI, "top_p", P + "top_p near 0 leaves the likeliest token"),
    (OPENAI, "seed", P + "seed repeats an answer, another seed does not"),
    (OPENAI, "max_tokens", P + "max_tokens is the number of tokens, and the reason is length"),
    (OPENAI, "max_completion_tokens", P + "max_completion_tokens is the newer word for it"),
    (OPENAI, "stop", P + "stop ends the text before it; a text or a list of them"),
    (OPENAI, "frequency_penalty", P + "frequency_penalty keeps words from coming again"),
    (OPENAI, "presence_penalty", P + "presence_penalty keeps words from coming again"),
    (OPENAI, "logit_bias", P + "logit_bias bans a token"),
    (OPENAI, "logprobs", P + "logprobs come with each token"),
    (OPENAI, "top_logprobs", P + "top_logprobs names so many others"),
    (OPENAI, "n", P + "n gives so many answers, each by a seed of its own"),
    (OPENAI, "response_format", P + "response_format json_schema is kept to"),
    (OPENAI, "tools", P + "tools are told to the model"),
    (OPENAI, "tool_choice", P + "tool_choice a named function gives a call of that one"),
    (OPENAI, "parallel_tool_calls", P + "parallel_tool_calls false gives one call"),
    (OPENAI, "reasoning_effort", P + "reasoning_effort none has no thoughts, another level has"),
    (OPENAI, "stream_options", P + "stream_options include_usage adds one chunk with the usage and no choices"),
    (OPENAI, "messages.*.reasoning", P + "messages.reasoning of an earlier turn goes to the template"),
    (OPENAI, "user", P + "user has no effect, and a warning says so"),
    (OPENAI, "answer:usage", P + "usage adds up, with cached_tokens"),
    (COMPLETIONS, "echo", "openai-python: completions: echo says the prompt again"),
    (COMPLETIONS, "suffix", "openai-python: completions: suffix is what the text leads to, or is refused by name"),
    (COMPLETIONS, "logprobs", "openai-python: completions: logprobs come as four lists of one length"),
    (VECTORS, "dimensions", "openai-python: embeddings: dimensions is how long a vector is"),
    (VECTORS, "encoding_format", "openai-python: embeddings: encoding_format base64 and float are the same numbers"),
    (RESPONSES, "instructions", R + "instructions come before the input, and are said again"),
    (RESPONSES, "text", R + "text.format a JSON schema is kept to, and said again"),
    (RESPONSES, "previous_response_id", R + "previous_response_id goes on from an answer that was kept"),
    (RESPONSES, "truncation", R + "truncation auto leaves out what came first, disabled refuses it"),
    (MESSAGES, "system", A + "system a text is read"),
    (MESSAGES, "top_k", A + "top_k 1 leaves the likeliest token"),
    (MESSAGES, "stop_sequences", A + "stop_sequences end the text, and the one that did is named"),
    (MESSAGES, "tool_choice", A + "tool_choice tool gives a call of that one"),
    (MESSAGES, "tool_choice.disable_parallel_tool_use", A + "tool_choice.disable_parallel_tool_use gives one call"),
    (MESSAGES, "thinking", A + "thinking enabled gives a block of thoughts, within its budget"),
    (MESSAGES, "thinking.display", A + "thinking.display omitted leaves the text of the thoughts out"),
    (MESSAGES, "output_config.format", A + "output_config.format a JSON schema is kept to"),
    (COUNT, "tools", "anthropic-python: count_tokens: messages, system, tools are what an answer says that it read"),
    ("/v1/rerank", "top_n", "http: /v1/rerank: top_n keeps the best"),
    ("/infill", "input_extra", "http: /infill: input_extra brings other files into the prompt"),
)


def load():
    from conftest import PARTS
    for part in PARTS:
        importlib.import_module(part)
    unknown = [name for _, _, name in ROWS if name not in harness.CHECKS]
    assert not unknown, f"no such checks: {unknown}"


def sees(site, row):
    """Its check passes through the proxy as it is, and fails when the field goes lost there."""
    route, field, name = row
    run = harness.CHECKS[name].run
    with Proxy(site.port) as proxy:
        through = harness.Site(proxy.port, site.key, site.instance)
        run(through)
        proxy.ignore(route, field)
        try:
            run(through)
        except Exception as e:  # pylint: disable=broad-except
            assert proxy.removed, f"{field} was never there: {e}"
            return
        raise AssertionError(f"it passes without {field} ({proxy.removed} times removed)")


def main():
    load()
    rows = [r for r in ROWS if not sys.argv[1:] or sys.argv[1] in r[2]]
    failed = 0
    print(f"1..{len(rows)}")
    with tempfile.TemporaryDirectory() as folder, harness.tresor(folder) as site:
        for i, row in enumerate(rows, 1):
            try:
                sees(site, row)
                print(f"ok {i} - without {row[1]} fails {row[2]}", flush=True)
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {i} - without {row[1]} fails {row[2]}\n# {str(e)[:300]}", flush=True)
    print(f"# {len(rows) - failed} of {len(rows)} checks fail without their field")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
