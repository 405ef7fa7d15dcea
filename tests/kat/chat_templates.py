#!/usr/bin/env python3
"""Writes tests/kat/chat_templates.json: prompts of the starter models by Jinja2 itself (HF's settings).

usage: chat_templates.py FOLDER_WITH_STARTERS > tests/kat/chat_templates.json
Shares no code with the engine: reads the GGUF header here, renders with the Python package jinja2.
"""
import hashlib
import json
import struct
import sys

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

# As published with google/gemma-3-1b-it (tokenizer_config.json); the starter's file carries none.
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

TALKS = {
    "one": [("user", "Hello, who are you?")],
    "system": [("system", "You are brief."), ("user", "Was ist 2+2?")],
    "talk": [("user", "a"), ("assistant", "b"), ("user", " c \n\nd "), ("assistant", "e\n"), ("user", "f")],
    "unicode": [("system", "Antworte auf Deutsch."), ("user", "Grüße, 日本語 🙂 {{ x }} {% if %}")],
    "long": [("user", "word " * 300)],
}


def header(path):
    """The key-value pairs of a GGUF file (version 3)."""
    f = open(path, "rb")

    def get(fmt):
        return struct.unpack("<" + fmt, f.read(struct.calcsize(fmt)))[0]

    def text():
        return f.read(get("Q")).decode("utf-8", "replace")

    scalar = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            inner, n = get("I"), get("Q")
            return [value(inner) for _ in range(n)]
        return get(scalar[kind])

    assert f.read(4) == b"GGUF"
    get("I"), get("Q")
    return {text(): value(get("I")) for _ in range(get("Q"))}


def refuse(message):
    raise jinja2.TemplateError(message)


def main():
    out = {}
    for name in ("smollm2", "gemma3-270m"):
        kv = header(f"{sys.argv[1]}/{name}.gguf")
        source = kv.get("tokenizer.chat_template", GEMMA)
        tokens = kv["tokenizer.ggml.tokens"]
        bos = tokens[kv["tokenizer.ggml.bos_token_id"]]
        eos = tokens[kv["tokenizer.ggml.eos_token_id"]]
        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        env.globals["raise_exception"] = refuse
        t = env.from_string(source)
        out[name] = {"bos": bos, "prompts": {}}
        if "tokenizer.chat_template" in kv:
            out[name]["hash"] = hashlib.sha256(source.encode()).hexdigest()
        for talk, messages in TALKS.items():
            m = [{"role": r, "content": c} for r, c in messages]
            prompt = t.render(messages=m, bos_token=bos, eos_token=eos, add_generation_prompt=True)
            out[name]["prompts"][talk] = {"messages": m, "prompt": prompt}
    json.dump(out, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
