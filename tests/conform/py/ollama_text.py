"""/api/generate, /api/chat, /api/embed and /api/embeddings: every field, by Ollama's Python client or raw."""
import asyncio
import base64
import datetime
import json
import os
import sys
import threading
import time

import httpx
import numpy as np
import ollama

from harness import check, differs, refused, unsupported

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../vision"))

HI = [{"role": "user", "content": "Say hello."}]
COLD = {"temperature": 0, "num_predict": 12}
ASK = [{"role": "user", "content": "How is the weather in Paris?"}]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
          "required": ["name", "age"]}
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
                   "required": ["city"]}}}
METRICS = ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration")


def picture():
    from test_model import picture as rgb
    from test_server import png
    return png(rgb(1))


def gen(field, behaviour):
    return check("ollama-python", "/api/generate", field, behaviour)


def chat(field, behaviour):
    return check("ollama-python", "/api/chat", field, behaviour)


# ---- generate: what goes in ----

@gen("model", "that is not there is 404 with Ollama's text")
def no_model(s):
    with refused(ollama.ResponseError, 404, "model 'nope' not found"):
        s.ollama.generate("nope", "x")


@gen("prompt", "is what is answered")
def prompt(s):
    a = s.ollama.generate("smollm2", "Say hello.", options=COLD)
    b = s.ollama.generate("smollm2", "Write one line about the sea.", options=COLD)
    assert a.response and b.response and a.response != b.response


@gen("prompt", "absent only loads the model")
def load(s):
    a = s.ollama.generate("smollm2")
    assert (a.done, a.done_reason, a.response) == (True, "load", "")


@gen("suffix", "is what the text leads to")
def suffix(s):
    a = s.ollama.generate("smart", "def add(a, b):", suffix="return c", options=COLD)
    b = s.ollama.generate("smart", "def add(a, b):", options=COLD, raw=True)
    assert a.prompt_eval_count >= b.prompt_eval_count + 3  # three marks and the suffix
    with refused(ollama.ResponseError, 400, '"smollm2" does not support insert'):
        s.ollama.generate("smollm2", "a", suffix="b")


@gen("system", "takes the place of the model's own")
def system(s):
    long = s.ollama.generate("smollm2", "Hi", system="You are a pirate. " * 20, options=COLD)
    short = s.ollama.generate("smollm2", "Hi", system="Be brief.", options=COLD)
    assert long.prompt_eval_count > short.prompt_eval_count + 60


@check("http", "/api/generate", "template", "of the request is used, or refused by name")
def template(s):
    status, r = s.post("/api/generate", {"model": "smollm2", "prompt": "Hi", "stream": False, "options": COLD,
                                         "template": "{{ .Prompt }}"})
    if status == 200:
        assert r["prompt_eval_count"] == s.generate("Hi")["prompt_eval_count"]
    else:
        assert status == 400 and "template" in r["error"]


@differs("ollama-python", "/api/generate", "context", "has no effect, and a warning says so",
         why="deprecated by Ollama; token ids of a client would go past the marks that keep a person's text apart")
def context(s):
    a = s.ask("/api/generate", {"model": "smollm2", "prompt": "Hi", "context": [1, 2, 3], "stream": False,
                                "options": COLD})
    assert any("context" in w for w in a["warnings"])
    assert s.ollama.generate("smollm2", "Hi", context=[1, 2, 3], options=COLD).context is None


@gen("raw", "takes the prompt as it is")
def raw(s):
    a = s.ollama.generate("smollm2", "Hi", raw=True, options=COLD)
    b = s.ollama.generate("smollm2", "Hi", options=COLD)
    assert a.prompt_eval_count == 1 and b.prompt_eval_count > 10


@gen("raw", "refuses what it cannot go with")
def raw_alone(s):
    with refused(ollama.ResponseError, 400, "raw mode does not support template, system, or context"):
        s.ollama.generate("smollm2", "Hi", raw=True, system="x")


@gen("stream", "gives lines whose texts are the whole answer")
def stream(s):
    parts = list(s.ollama.generate("smollm2", "Say hello.", stream=True, options=COLD))
    assert len(parts) > 2 and [p.done for p in parts] == [False] * (len(parts) - 1) + [True]
    assert "".join(p.response for p in parts) == s.ollama.generate("smollm2", "Say hello.", options=COLD).response


@check("http", "/api/generate", "stream", "is true when it is not said")
def stream_default(s):
    lines = s.lines("/api/generate", {"model": "smollm2", "prompt": "Say hello.", "options": COLD})
    assert len(lines) > 2 and lines[-1]["done"] and not lines[0]["done"]


@gen("format", "json gives JSON")
def format_json(s):
    a = s.ollama.generate("smollm2", "A cat as JSON:", format="json", options={"temperature": 0, "num_predict": 60})
    if a.done_reason == "stop":
        json.loads(a.response)
    assert a.response.lstrip()[0] in "{["


@gen("format", "a schema is kept to")
def format_schema(s):
    a = s.ollama.generate("smollm2", "A cat.", format=SCHEMA, options={"temperature": 0, "num_predict": 60})
    v = json.loads(a.response)
    assert set(v) == {"name", "age"} and isinstance(v["age"], int) and len(v["name"]) <= 8


@check("http", "/api/generate", "format", "that is neither is refused")
def format_wrong(s):
    for value in ("xml", 3, ["json"]):
        status, r = s.post("/api/generate", {"model": "smollm2", "prompt": "x", "format": value})
        assert status == 400 and "format" in r["error"], (value, r)


@gen("keep_alive", "0 unloads, and says so")
def unload(s):
    s.ollama.generate("smart")
    assert s.ollama.generate("smart", keep_alive=0).done_reason == "unload"
    end = time.monotonic() + 20
    while any(m.model.startswith("smart") for m in s.ollama.ps().models):
        assert time.monotonic() < end
        time.sleep(0.05)


@gen("keep_alive", "is how long the model stays")
def keep_alive(s):
    for value, seconds in (("10m", 600), (3600, 3600), ("90s", 90), ("1h30m", 5400)):
        s.ollama.generate("smollm2", keep_alive=value)
        left = next(m for m in s.ollama.ps().models if m.model == "smollm2:latest").expires_at
        left = (left - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
        assert seconds - 20 < left <= seconds + 1, (value, left)


@gen("keep_alive", "negative is for ever")
def keep_for_ever(s):
    s.ollama.generate("smollm2", keep_alive=-1)
    assert next(m for m in s.ollama.ps().models if m.model == "smollm2:latest").expires_at.year > 2100
    s.ollama.generate("smollm2", keep_alive="5m")


@check("http", "/api/generate", "keep_alive", "that is no duration is refused")
def keep_wrong(s):
    status, r = s.post("/api/generate", {"model": "smollm2", "keep_alive": "soon"})
    assert status == 400 and "keep_alive" in r["error"]


@gen("images", "are seen by a model that can, and refused by one that cannot")
def images(s):
    a = s.ollama.generate("seer", "What is it?", images=[picture()], options=COLD)
    b = s.ollama.generate("seer", "What is it?", options=COLD)
    assert a.prompt_eval_count == b.prompt_eval_count + 4
    with refused(ollama.ResponseError, 400, '"smollm2" does not support vision'):
        s.ollama.generate("smollm2", "What is it?", images=[picture()])


@gen("think", "puts the thoughts into a field of their own")
def think(s):
    a = s.ollama.generate("smart", "Why?", think=True, options={**COLD, "num_predict": 20})
    assert a.thinking and "<think>" not in a.thinking + a.response


@gen("think", "false has no thoughts")
def think_off(s):
    a = s.ollama.generate("smart", "Why?", think=False, options=COLD)
    assert not a.thinking and a.response


@gen("think", "is refused by a model that cannot")
def think_refused(s):
    with refused(ollama.ResponseError, 400, '"smollm2" does not support thinking'):
        s.ollama.generate("smollm2", "Why?", think=True)


@check("http", "/api/generate", "think", "of another word is refused")
def think_word(s):
    status, r = s.post("/api/generate", {"model": "smart", "prompt": "x", "think": "deeply"})
    assert status == 400 and "think" in r["error"]


@check("http", "/api/chat", "truncate", "true leaves out what came first, and says how much")
def truncate(s):
    many = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "ok"}] * 4 + HI
    a = s.ask("/api/chat", {"model": "smollm2", "messages": many, "truncate": True, "stream": False,
                            "options": {**COLD, "num_ctx": 512}})
    assert any("left out" in w for w in a["warnings"]) and a["prompt_eval_count"] < 512


@differs("http", "/api/chat", "truncate", "absent, a prompt that is too long is an error with both counts",
         why="Ollama drops the oldest messages and says it in its log alone")
def truncate_absent(s):
    status, r = s.post("/api/chat", {"model": "smollm2", "stream": False, "options": {"num_ctx": 512}, "messages":
                                     [{"role": "user", "content": "word " * 3000}]})
    counts = [int(w.strip(",.")) for w in r["error"].split() if w.strip(",.").isdigit()]
    assert status == 400 and counts[0] > 2000 and counts[1] <= 512, r


@differs("http", "/api/generate", "shift", "true has no effect, and a warning says so",
         why="a shifted context is a text that the model never read; an answer ends where the context is full")
def shift(s):
    a = s.generate(shift=True)
    assert any("shift" in w for w in a["warnings"])


@check("http", "/api/generate", "shift", "false ends the answer where the context is full")
def shift_off(s):
    a = s.generate("word " * 100, shift=False, num_ctx=128, num_predict=500, ignore_eos=True)
    assert a["done_reason"] in ("length", "stop") and a["prompt_eval_count"] + a["eval_count"] <= 128


@gen("logprobs", "come with each token")
def logprobs(s):
    a = s.ollama.generate("smollm2", "One, two,", raw=True, logprobs=True, options=COLD)
    assert len(a.logprobs) == a.eval_count and all(x.logprob <= 0 for x in a.logprobs)
    assert "".join(x.token for x in a.logprobs) == a.response
    assert s.ollama.generate("smollm2", "One, two,", raw=True, options=COLD).logprobs is None


@gen("top_logprobs", "names so many others")
def top_logprobs(s):
    a = s.ollama.generate("smollm2", "One, two,", raw=True, logprobs=True, top_logprobs=3,
                          options={**COLD, "repeat_penalty": 1.0})
    assert all(len(x.top_logprobs) == 3 for x in a.logprobs)
    assert all(x.top_logprobs[0].token == x.token for x in a.logprobs)  # the likeliest was drawn
    with refused(ollama.ResponseError, 400, "top_logprobs must be between 0 and 20"):
        s.ollama.generate("smollm2", "x", logprobs=True, top_logprobs=21)


@check("http", "/api/generate", "logprobs", "have the bytes of a token")
def logprobs_bytes(s):
    for x in s.generate("Grüße: ", logprobs=True)["logprobs"]:
        assert bytes(x["bytes"]).decode(errors="replace") == x["token"]


@unsupported("http", "/api/generate", "_debug_render_only", "is refused by name",
             why="an internal switch of Ollama's; prompts are counted by /v1/messages/count_tokens")
def debug_render(s):
    for path, more in (("/api/generate", {"prompt": "x"}), ("/api/chat", {"messages": HI})):
        status, r = s.post(path, {"model": "smollm2", "_debug_render_only": True, "stream": False, **more})
        assert status == 400 and "_debug_render_only" in r["error"], r


@unsupported("ollama-python", "/api/generate", "width, height, steps", "have no effect, and a warning says so",
             why="no models that make pictures are served")
def image_size(s):
    a = s.ask("/api/generate", {"model": "smollm2", "prompt": "x", "stream": False, "options": COLD, "width": 64,
                                "height": 64, "steps": 4})
    for name in ("width", "height", "steps"):
        assert any(f'"{name}"' in w for w in a["warnings"]), a["warnings"]
    assert s.ollama.generate("smollm2", "x", width=64, height=64, steps=4, options=COLD).image is None


@check("http", "/api/generate", "grammar", "is GBNF in the place of a format (not Ollama's)")
def grammar(s):
    assert s.text("Yes or no? ", grammar='root ::= "yes" | "no"') in ("yes", "no")


# ---- generate: what comes out ----

@gen("model, created_at, done", "are in every line")
def every_line(s):
    for p in s.ollama.generate("smollm2", "Say hello.", stream=True, options=COLD):
        assert p.model == "smollm2" and p.done is not None
        at = datetime.datetime.fromisoformat(p.created_at.replace("Z", "+00:00")[:26] + "+00:00"
                                             if len(p.created_at) > 27 else p.created_at.replace("Z", "+00:00"))
        assert abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) < 60


@gen("done_reason", "is stop at the model's own end and length at the limit")
def done_reason(s):
    assert s.ollama.generate("smollm2", "Say yes.", options={"temperature": 0, "num_predict": 200}).done_reason == "stop"
    assert s.ollama.generate("smollm2", "Count.", options={"num_predict": 2}).done_reason == "length"


for _name in METRICS:
    def _metric(s, name=_name):
        a = s.ollama.generate("smollm2", "Say hello.", options=COLD)
        b = list(s.ollama.generate("smollm2", "Say hello.", stream=True, options=COLD))
        assert a[name] >= 0 and b[-1][name] >= 0 and all(getattr(p, name) is None for p in b[:-1])
        if name.endswith("count"):
            assert a[name] == b[-1][name] > 0
        else:
            assert a[name] < 120e9 and (a[name] > 1000 or name != "total_duration")
    gen(_name, "is there at the end, whole and streamed")(_metric)


@differs("http", "/api/generate", "model_digest, engine_build, template_hash", "say what made the answer",
         why="Ollama's answers do not say which version of a model they are from")
def origin(s):
    a = s.generate()
    assert len(a["model_digest"]) == 64 and a["engine_build"] and a["template_hash"]


@unsupported("http", "/api/generate", "remote_model, remote_host", "are in no answer",
             why="no model runs elsewhere: there is no cloud behind a local name")
def remote(s):
    for path, body in (("/api/generate", {"prompt": "x"}), ("/api/chat", {"messages": HI}), ("/api/show", {})):
        r = s.ask(path, {"model": "smollm2", "stream": False, "options": {"num_predict": 1}, **body})
        assert not {"remote_model", "remote_host"} & set(r)


@differs("http", "/api/generate", "warnings", "stand in a header, too", why="Ollama says what it ignores in its log alone")
def warnings_header(s):
    r = s.http.post("/api/generate", json={"model": "smollm2", "prompt": "x", "raw": True, "options": {
        "num_predict": 1, "tfs_z": 1}})
    assert "tfs_z" in r.headers["x-tresor-warnings"]


@gen("", "runs async and in parallel")
def parallel(s):
    async def many():
        c = ollama.AsyncClient(host=s.url, headers=s.headers, timeout=120)
        return await asyncio.gather(*[c.generate("smollm2", f"Say {n}.", options=COLD) for n in range(6)])

    assert all(a.done for a in asyncio.run(many()))


# ---- chat ----

@chat("messages", "all roles are read, in their order")
def messages(s):
    def count(m):
        return s.ollama.chat("smollm2", m, options={"num_predict": 1}).prompt_eval_count
    one = count([{"role": "user", "content": "Hi"}])
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Hi"}]
    assert count(talk[:2]) != one and count(talk) > count(talk[:2])


@chat("messages.content", "is what is answered")
def content(s):
    a = s.ollama.chat("smollm2", HI, options=COLD)
    b = s.ollama.chat("smollm2", [{"role": "user", "content": "Write one line about the sea."}], options=COLD)
    assert a.message.role == "assistant" and a.message.content != b.message.content != ""


@check("http", "/api/chat", "messages.role", "that is none is refused with Ollama's words")
def role(s):
    status, r = s.post("/api/chat", {"model": "smollm2", "messages": [{"role": "boss", "content": "x"}]})
    assert status == 400 and "invalid role" in r["error"] and "boss" in r["error"]


@chat("messages.images", "are seen by a model that can, and refused by one that cannot")
def chat_images(s):
    def ask(model, **more):
        return s.ollama.chat(model, [{"role": "user", "content": "What is it?", **more}], options=COLD)
    assert ask("seer", images=[picture()]).prompt_eval_count == ask("seer").prompt_eval_count + 4
    with refused(ollama.ResponseError, 400, '"smollm2" does not support vision'):
        ask("smollm2", images=[picture()])


@check("http", "/api/chat", "messages.images", "that are no pictures are refused")
def chat_bad_image(s):
    status, r = s.post("/api/chat", {"model": "seer", "messages": [
        {"role": "user", "content": "x", "images": [base64.b64encode(b"not a picture").decode()]}]})
    assert status == 400 and "image" in r["error"].lower() or "picture" in r["error"].lower(), r


@chat("messages.thinking", "of an earlier turn goes to the template")
def chat_thinking_back(s):
    def count(**more):
        talk = [*HI, {"role": "assistant", "content": "Hello.", **more}, *HI]
        return s.ollama.chat("smart", talk, think=False, options={"num_predict": 1}).prompt_eval_count
    assert count(thinking="I should greet them politely, I think.") > count() + 8


@chat("messages.tool_calls", "of an earlier turn are in the prompt")
def chat_calls_back(s):
    def count(**more):
        talk = [*ASK, {"role": "assistant", "content": "", **more}]
        return s.ollama.chat("smollm2", talk, tools=[WEATHER], options={"num_predict": 1}).prompt_eval_count
    call = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    assert count(tool_calls=[call]) > count() + 8


@chat("messages.role", "tool brings the result of a call into the prompt")
def chat_tool_result(s):
    call = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    talk = [*ASK, {"role": "assistant", "content": "", "tool_calls": [call]}]

    def count(m):
        return s.ollama.chat("smollm2", m, tools=[WEATHER], options={"num_predict": 1}).prompt_eval_count
    assert count([*talk, {"role": "tool", "tool_name": "weather", "content": "sunny and warm, 24 degrees"}]) > \
        count([*talk, {"role": "tool", "tool_name": "weather", "content": ""}]) + 4


@check("http", "/api/chat", "messages.tool_name, tool_call_id", "must be texts")
def chat_tool_name(s):
    for name in ("tool_name", "tool_call_id"):
        status, r = s.post("/api/chat", {"model": "smollm2", "messages": [
            *ASK, {"role": "tool", "content": "sunny", name: 3}]})
        assert status == 400 and name in r["error"], r


@chat("tools", "are told to the model")
def tools(s):
    a = s.ollama.chat("smollm2", ASK, tools=[WEATHER], options={"num_predict": 1})
    b = s.ollama.chat("smollm2", ASK, options={"num_predict": 1})
    assert a.prompt_eval_count > b.prompt_eval_count + 30


def tool_tokens(s, **more):
    tool = json.loads(json.dumps(WEATHER))
    tool["function"]["parameters"].update(more)
    return s.ask("/api/chat", {"model": "smollm2", "messages": ASK, "tools": [tool], "stream": False,
                               "options": {"num_predict": 1}})["prompt_eval_count"]


CITIES = {"type": "array", "items": {"type": "string"}}
for _keyword, _schema in (
        ("$defs", {"$defs": {"city": {"type": "string"}}}), ("items", {"properties": {"cities": CITIES}}),
        ("anyOf", {"properties": {"city": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}),
        ("a list of types", {"properties": {"city": {"type": ["string", "integer", "null"]}}}),
        ("enum", {"properties": {"city": {"type": "string", "enum": ["Paris", "Rome", "Berlin", "Madrid"]}}}),
        ("description", {"properties": {"city": {"type": "string", "description": "The name of the city, as it is on a map."}}}),
        ("required", {"required": ["city", "country", "street"]})):
    def _keyword_told(s, schema=_schema):
        plain = {"properties": {"city": {"type": "string"}}, "required": []}
        assert tool_tokens(s, **{**plain, **schema}) > tool_tokens(s, **plain) + 3
    check("http", "/api/chat", f"tools: {_keyword}", "is told to the model")(_keyword_told)

for _keyword, _schema in (("pattern", {"pattern": "^[A-Z][a-z]+$"}), ("maxLength", {"maxLength": 20}),
                          ("const", {"const": "Paris"}), ("default", {"default": "Paris"}), ("format", {"format": "city-name"})):
    def _keyword_kept(s, schema=_schema):
        assert tool_tokens(s, properties={"city": {"type": "string", **schema}}) > \
            tool_tokens(s, properties={"city": {"type": "string"}}) + 2
    differs("http", "/api/chat", f"tools: {_keyword}", "is told to the model, too",
            why="Ollama's types drop keywords that they do not know")(_keyword_kept)


@check("http", "/api/chat, /v1/chat/completions", "message.tool_calls", "have an id, a name and an object of arguments")
def tool_calls(s):
    a = s.ask("/api/chat", {"model": "smollm2", "messages": [{"role": "user", "content": "weather"}], "stream": False,
                            "tools": [WEATHER], "options": {"temperature": 0, "num_predict": 40},
                            "format": None})
    calls = a["message"].get("tool_calls")
    if not calls:  # the small model may talk instead; what a call looks like is fixed by a grammar
        a = s.ask("/v1/chat/completions", {"model": "smollm2", "messages": ASK, "tools": [WEATHER], "temperature": 0,
                                           "tool_choice": "required", "max_tokens": 80})
        calls = [{"id": c["id"], "function": {"index": c["index"], "name": c["function"]["name"],
                                              "arguments": json.loads(c["function"]["arguments"])}}
                 for c in a["choices"][0]["message"]["tool_calls"]]
    for i, c in enumerate(calls):
        assert c["id"] and c["function"]["index"] == i and c["function"]["name"] == "weather"
        assert c["function"]["arguments"]["city"] in ("Paris", "Rome")


@chat("stream", "gives lines whose texts are the whole answer")
def chat_stream(s):
    parts = list(s.ollama.chat("smollm2", HI, stream=True, options=COLD))
    assert len(parts) > 2 and all(p.message.role == "assistant" for p in parts)
    assert "".join(p.message.content for p in parts) == s.ollama.chat("smollm2", HI, options=COLD).message.content


@check("http", "/api/chat", "stream", "is true when it is not said")
def chat_stream_default(s):
    assert len(s.lines("/api/chat", {"model": "smollm2", "messages": HI, "options": COLD})) > 2


@chat("format", "a schema is kept to, also in a stream")
def chat_format(s):
    parts = s.ollama.chat("smollm2", [{"role": "user", "content": "A cat."}], format=SCHEMA, stream=True,
                          options={"temperature": 0, "num_predict": 60})
    assert set(json.loads("".join(p.message.content for p in parts))) == {"name", "age"}


@check("http", "/api/chat", "format", "goes with thinking: the schema begins after the thoughts")
def chat_format_thinking(s):
    a = s.ask("/api/chat", {"model": "smart", "messages": [{"role": "user", "content": "A cat."}], "format": SCHEMA,
                            "think": True, "stream": False,
                            "options": {"temperature": 0, "num_predict": 90, "think_budget": 8}})
    assert a["message"]["thinking"] and set(json.loads(a["message"]["content"])) == {"name", "age"}


@chat("think", "streams the thoughts in lines of their own")
def chat_think(s):
    parts = list(s.ollama.chat("smart", HI, think=True, stream=True,
                               options={"temperature": 0, "num_predict": 30, "think_budget": 8}))
    thoughts = [p for p in parts if p.message.thinking]
    assert thoughts and not any(p.message.content for p in thoughts)
    assert any(p.message.content for p in parts)


@chat("think", "low, medium and high are told to the model")
def chat_think_levels(s):
    counts = [s.ollama.chat("smart", HI, think=level, options={"num_predict": 1}).prompt_eval_count
              for level in ("low", "medium", "high")]
    assert counts == sorted(set(counts)), counts


@chat("options", "count here, too")
def chat_options(s):
    a = s.ollama.chat("smollm2", HI, options={"num_predict": 3, "temperature": 0})
    assert (a.eval_count, a.done_reason) == (3, "length")


@chat("keep_alive", "with no messages loads and unloads")
def chat_load(s):
    assert s.ollama.chat("smart").done_reason == "load"
    assert s.ollama.chat("smart", keep_alive=0).done_reason == "unload"


@chat("logprobs", "come with each token, also in a stream")
def chat_logprobs(s):
    a = s.ollama.chat("smollm2", HI, logprobs=True, top_logprobs=2, options=COLD)
    parts = list(s.ollama.chat("smollm2", HI, logprobs=True, top_logprobs=2, stream=True, options=COLD))
    streamed = [x for p in parts for x in p.logprobs or ()]
    assert [x.token for x in streamed] == [x.token for x in a.logprobs]
    assert all(len(x.top_logprobs) == 2 for x in streamed)


for _name in METRICS:
    def _chat_metric(s, name=_name):
        last = list(s.ollama.chat("smollm2", HI, stream=True, options=COLD))[-1]
        assert last.done and last[name] >= 0
    chat(_name, "is in the last line")(_chat_metric)


@chat("", "a client that goes away stops its answer")
def cancel(s):
    parts = s.ollama.chat("smollm2", [{"role": "user", "content": "Count to one thousand."}], stream=True,
                          options={"num_predict": 4000, "temperature": 0, "num_ctx": 4096})
    next(iter(parts))
    parts.close()
    end = time.monotonic() + 5
    while s.active():
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)


@chat("", "a client that does not stream and goes away stops its answer")
def cancel_whole(s):
    def leave():
        try:
            httpx.post(s.url + "/api/chat", headers=s.headers, timeout=1, json={
                "model": "smollm2", "stream": False, "options": {"num_predict": 4000, "temperature": 0},
                "messages": [{"role": "user", "content": "Count to one thousand."}]})
        except httpx.TimeoutException:
            pass
    t = threading.Thread(target=leave)
    t.start()
    t.join()
    end = time.monotonic() + 5
    while s.active():
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)


# ---- vectors ----

TEXT = "Hello world, how are you?"


def minilm():
    if not hasattr(minilm, "made"):
        import bert
        minilm.made = bert.load_minilm()
    return minilm.made


@check("ollama-python", "/api/embed", "input", "one text has the vector of an independent BERT")
def embed(s):
    a = s.ollama.embed("minilm", TEXT)
    assert np.abs(np.array(a.embeddings[0]) - minilm().vector(TEXT)).max() < 1e-3
    assert abs(np.linalg.norm(a.embeddings[0]) - 1) < 1e-5
    assert a.prompt_eval_count == len(minilm().ids(TEXT)) and a.total_duration > 0 and a.load_duration >= 0


@check("ollama-python", "/api/embed", "input", "a list has one vector each, in its order")
def embed_list(s):
    texts = ["apples", TEXT, "engines"]
    a = s.ollama.embed("minilm", texts)
    assert len(a.embeddings) == 3
    for text, v in zip(texts, a.embeddings):
        assert np.abs(np.array(v) - minilm().vector(text)).max() < 1e-3


@check("http", "/api/embed", "input", "an empty list has an empty answer; another type is refused")
def embed_empty(s):
    assert s.ask("/api/embed", {"model": "minilm", "input": []})["embeddings"] == []
    status, r = s.post("/api/embed", {"model": "minilm", "input": {"a": 1}})
    assert status == 400 and r["error"] == "invalid input type"


@check("ollama-python", "/api/embed", "dimensions", "is how long a vector is, still of length one")
def embed_dimensions(s):
    v = s.ollama.embed("minilm", TEXT, dimensions=64).embeddings[0]
    assert len(v) == 64 and np.abs(np.array(v) - minilm().vector(TEXT, dimensions=64)).max() < 1e-3


@check("ollama-python", "/api/embed", "truncate", "cuts a text that is too long, false refuses it")
def embed_truncate(s):
    long = "word " * 2000
    assert len(s.ollama.embed("minilm", long).embeddings[0]) == 384
    with refused(ollama.ResponseError, 400):
        s.ollama.embed("minilm", long, truncate=False)


@check("ollama-python", "/api/embed", "keep_alive", "is how long the model stays")
def embed_keep_alive(s):
    s.ollama.embed("minilm", TEXT, keep_alive="30m")
    left = next(m for m in s.ollama.ps().models if m.model == "minilm:latest").expires_at
    assert 1700 < (left - datetime.datetime.now(datetime.timezone.utc)).total_seconds() <= 1801


@differs("http", "/api/embed", "options", "have no effect, and a warning says so", why="a vector is not drawn")
def embed_options(s):
    a = s.ask("/api/embed", {"model": "minilm", "input": TEXT, "options": {"temperature": 1}})
    assert any("options" in w for w in a["warnings"])
    assert s.post("/api/embed", {"model": "minilm", "input": TEXT, "options": {"temperature": "x"}})[0] == 400


@check("ollama-python", "/api/embed", "model", "that only talks is refused, and one that only embeds does not talk")
def embed_kind(s):
    with refused(ollama.ResponseError, 400, '"minilm" does not support chat'):
        s.ollama.chat("minilm", HI)
    with refused(ollama.ResponseError, 400, '"minilm" does not support generate'):
        s.ollama.generate("minilm", "x")
    with refused(ollama.ResponseError, 404, 'model "nope" not found, try pulling it first'):
        s.ollama.embed("nope", TEXT)


@check("ollama-python", "/api/embeddings", "prompt", "has one vector, not scaled to length one")
def embeddings(s):
    v = np.array(s.ollama.embeddings("minilm", TEXT).embedding)
    assert np.abs(v - minilm().vector(TEXT, normalise=False)).max() < 1e-2
    assert abs(np.linalg.norm(v) - 1) > 0.01


@check("http", "/api/embeddings", "keep_alive, options", "are read")
def embeddings_more(s):
    assert s.post("/api/embeddings", {"model": "minilm", "prompt": "x", "keep_alive": "soon"})[0] == 400
    assert s.post("/api/embeddings", {"model": "minilm", "prompt": "x", "options": {"top_k": "x"}})[0] == 400
