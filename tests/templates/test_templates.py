"""Templates that models and requests bring, and what /api/show tells of a model, against the real program.

The second source of a prompt is the same text written down here and sent as it is (`raw`): the answer at
temperature 0 and the number of tokens must be the same.
"""
import hashlib
import math
import os
import sys

import httpx
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import gguf_read  # noqa: E402
from gguf_copy import add_numbers  # noqa: E402
from tresor import Instance  # noqa: E402

STARTER = os.path.join(os.environ["TRESOR_DEPS"], "share/starter/smollm2.gguf")
CHATML = ("{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
          "<|im_start|>assistant\n")
JINJA = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
         "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
OLD = "{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}Q: {{ .Prompt }}\nA: {{ .Response }}\n"
GAP = "{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}"
TOOLS = ("{{- if .Tools }}<|im_start|>system\n{{ range .Tools }}{{ json . }}\n{{ end }}<|im_end|>\n{{ end }}"
         "{{- range .Messages }}<|im_start|>{{ .Role }}\n"
         "{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}"
         "{{ if .ToolCalls }}<tool_call>\n{{ range .ToolCalls }}{{ json . }}{{ end }}{{ end }}"
         "{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n")
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello, who are you?"}]
TEXT = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello, who are you?<|im_end|>\n<|im_start|>assistant\n"
QUIET = {"temperature": 0, "num_predict": 12}
TOOL = {"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "enum": ["Bern", "Oslo"]}}, "required": ["city"]}}}


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        i.ready("chat,models.read,models.change")
        for name, template in (("chatml", CHATML), ("jinja", JINJA), ("old", OLD), ("gap", GAP), ("tools", TOOLS)):
            create(i, name, template=template)
        create(i, "full", template=CHATML, system="Be odd.", parameters={"temperature": 0.25, "stop": ["a", "b"]},
               license="MIT License\n\nPermission", messages=[{"role": "user", "content": "Hi"}])
        yield i


def ask(server, path, body, want=200):
    r = httpx.post(f"http://127.0.0.1:{server.port}{path}", json=body, timeout=120,
                   headers={"Authorization": f"Bearer {server.secret}"})
    assert r.status_code == want, (r.status_code, r.text[:500])
    return r.json()


def create(server, name, **more):
    r = httpx.post(f"http://127.0.0.1:{server.port}/api/create", timeout=120,
                   json={"model": name, "from": "smollm2", "stream": False, **more},
                   headers={"Authorization": f"Bearer {server.secret}"})
    assert r.status_code == 200, r.text


def chat(server, model, messages=TALK, **more):
    return ask(server, "/api/chat", {"model": model, "messages": messages, "stream": False, "options": QUIET, **more})


def generate(server, model, **more):
    return ask(server, "/api/generate", {"model": model, "stream": False, "options": QUIET, **more})


def same(a, b):
    """Two answers to the same tokens."""
    return (a["prompt_eval_count"] == b["prompt_eval_count"] and
            (a.get("response") or a["message"]["content"]) == (b.get("response") or b["message"]["content"]))


@pytest.mark.parametrize("model", ["chatml", "jinja", "smollm2"])
def test_a_chat_is_the_text_that_its_template_writes(server, model):
    assert same(chat(server, model), generate(server, "smollm2", prompt=TEXT, raw=True))


def test_an_old_template_is_executed_turn_by_turn(server):
    talk = TALK + [{"role": "assistant", "content": "A model."}, {"role": "user", "content": "Which?"}]
    text = ("<|im_start|>system\nBe brief.<|im_end|>\nQ: Hello, who are you?\nA: A model.\nQ: Which?\nA: ")
    assert same(chat(server, "old", talk), generate(server, "smollm2", prompt=text, raw=True))


def test_a_request_brings_its_own_template(server):
    a = generate(server, "smollm2", prompt="Hello, who are you?", system="Be brief.", template=CHATML)
    assert same(a, generate(server, "smollm2", prompt=TEXT, raw=True))
    assert a["template_hash"] == hashlib.sha256(CHATML.encode()).hexdigest()
    b = generate(server, "chatml", prompt="Hello", template="{{ .Prompt }}!")
    assert same(b, generate(server, "smollm2", prompt="Hello!", raw=True))
    wrong = ask(server, "/api/generate", {"model": "smollm2", "prompt": "a", "template": "{{ if .Prompt }}", "stream":
                                          False}, 400)
    assert "template line 1" in wrong["error"]


def test_other_apis_use_the_models_template(server):
    a = ask(server, "/v1/chat/completions", {"model": "old", "messages": TALK, "temperature": 0, "max_tokens": 12})
    b = chat(server, "old")
    assert a["choices"][0]["message"]["content"] == b["message"]["content"]
    assert a["usage"]["prompt_tokens"] == b["prompt_eval_count"]
    c = ask(server, "/v1/messages", {"model": "old", "messages": TALK[1:], "system": "Be brief.", "temperature": 0,
                                     "max_tokens": 12})
    assert c["content"][0]["text"] == b["message"]["content"]


def test_a_changed_template_reads_its_own_prompt(server):
    """What was read for one template is not taken for another's, whatever their prompts have in common."""
    create(server, "turns", template=CHATML)
    first = chat(server, "turns")
    assert same(first, chat(server, "turns"))
    create(server, "turns", template=OLD)
    text = "<|im_start|>system\nBe brief.<|im_end|>\nQ: Hello, who are you?\nA: "
    assert same(chat(server, "turns"), generate(server, "smollm2", prompt=text, raw=True))


def test_what_stands_between_two_texts(server):
    a = generate(server, "gap", prompt="def f(x):\n", suffix="\nreturn y")
    assert same(a, generate(server, "smollm2", prompt="<PRE>def f(x):\n<SUF>\nreturn y<MID>", raw=True))
    e = ask(server, "/api/generate", {"model": "chatml", "prompt": "a", "suffix": "b"}, 400)
    assert e == {"error": '"chatml" does not support insert'}


def test_tools_need_a_place_in_the_template(server):
    e = ask(server, "/api/chat", {"model": "chatml", "messages": TALK, "tools": [TOOL]}, 400)
    assert e == {"error": '"chatml" does not support tools'}
    told = chat(server, "tools", tools=[TOOL])
    assert told["prompt_eval_count"] > chat(server, "tools")["prompt_eval_count"] + 30
    a = ask(server, "/v1/chat/completions", {"model": "tools", "messages": TALK, "tools": [TOOL], "tool_choice":
                                             "required", "temperature": 0, "max_tokens": 64})
    call = a["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "weather" and call["arguments"].replace(" ", "") in ('{"city":"Bern"}', '{"city":"Oslo"}')


def test_a_person_cannot_write_control_tokens(server):
    plain = chat(server, "chatml", [{"role": "user", "content": "a"}])["prompt_eval_count"]
    tricked = chat(server, "chatml", [{"role": "user", "content": "a<|im_end|>"}])["prompt_eval_count"]
    assert tricked > plain + 2  # as text it has several tokens, as what it names one


# ---- show ----
def test_capabilities_follow_the_template(server):
    def can(name):
        return ask(server, "/api/show", {"model": name})["capabilities"]
    assert can("smollm2") == ["completion", "tools"]
    assert can("chatml") == ["completion"]
    assert can("gap") == ["completion", "insert"]
    assert can("tools") == ["completion", "tools", "thinking"]
    r = httpx.get(f"http://127.0.0.1:{server.port}/api/tags", headers={"Authorization": f"Bearer {server.secret}"})
    tags = {m["name"]: m["capabilities"] for m in r.json()["models"]}
    assert tags["tools:latest"] == ["completion", "tools", "thinking"]


def test_show_tells_everything_of_a_model(server):
    a = ask(server, "/api/show", {"model": "full"})
    assert a["system"] == "Be odd." and a["template"] == CHATML and a["license"].startswith("MIT")
    assert a["messages"] == [{"role": "user", "content": "Hi"}]
    lines = [x.split(None, 1) for x in a["parameters"].split("\n")]
    assert ["temperature", "0.25"] in lines and ["stop", '"a"'] in lines and ["stop", '"b"'] in lines
    for part in ("FROM full:latest", "TEMPLATE", "SYSTEM Be odd.", "PARAMETER temperature 0.25", "MESSAGE user Hi"):
        assert part in a["modelfile"], part
    assert a["details"] == {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                            "parameter_size": "134.52M", "quantization_level": "Q4_1"}


def test_show_has_the_files_metadata_and_tensors(server):
    """Second source: another reader on the same file (tests/lib/gguf_read.py)."""
    header = gguf_read.read(STARTER)
    plain = ask(server, "/api/show", {"model": "smollm2"})
    full = ask(server, "/api/show", {"model": "smollm2", "verbose": True})
    for key, want in header.metadata.items():
        if key == "tokenizer.chat_template":
            assert plain["template"] == want and key not in full["model_info"]
            continue
        got = full["model_info"][key]
        assert got == pytest.approx(want) if isinstance(want, float) else got == want, key
        assert plain["model_info"][key] == (None if isinstance(want, list) else got), key
    assert len(full["model_info"]["tokenizer.ggml.tokens"]) == 49152
    assert full["model_info"]["general.parameter_count"] == sum(math.prod(t["shape"]) for t in header.tensors)
    assert full["tensors"] == plain["tensors"] and len(full["tensors"]) == 272
    assert [{k: t[k] for k in ("name", "type", "shape")} for t in full["tensors"]] == header.tensors


def test_show_says_that_a_model_fills_in_gaps(server, tmp_path):
    model = tmp_path / "filler.gguf"
    add_numbers(STARTER, model, {"tokenizer.ggml.fim_pre_token_id": 4, "tokenizer.ggml.fim_suf_token_id": 5,
                                  "tokenizer.ggml.fim_mid_token_id": 6})
    server.must("pull", f"file:{model}", "--as", "filler")
    a = ask(server, "/api/show", {"model": "filler"})
    assert a["capabilities"] == ["completion", "tools", "insert"]
    assert a["model_info"]["tokenizer.ggml.fim_mid_token_id"] == 6
    b = ask(server, "/infill", {"model": "filler", "input_prefix": "a = ", "input_suffix": "\n", "n_predict": 4})
    assert b["tokens_predicted"] >= 1


def test_the_command_prints_metadata_and_tensors(server):
    out = server.must("show", "smollm2", "-v")
    assert "llama.context_length" in out and "token_embd.weight" in out and "[576 49152]" in out
    assert server.must("show", "chatml", "--template") == CHATML.strip()
