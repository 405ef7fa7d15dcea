"""/v1/chat/completions with OpenAI's own Python client: every field of its reference."""
import base64
import json
import os
import sys
import time

import httpx
import openai

from harness import check, differs, refused, unsupported

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../vision"))

HI = [{"role": "user", "content": "Say hello."}]
COLD = {"temperature": 0, "max_tokens": 12}
HOT = {"temperature": 1.5, "max_tokens": 12}
ASK = [{"role": "user", "content": "How is the weather in Paris?"}]


def tool(name="weather", **more):
    return {"type": "function", "function": {
        "name": name, "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
                       "required": ["city"], "additionalProperties": False}, **more}}


def chat(field, behaviour):
    return check("openai-python", "chat", field, behaviour)


def create(s, messages=None, model="smollm2", **more):
    return s.openai.chat.completions.create(model=model, messages=messages or HI, **{**COLD, **more})


def text(s, *args, **more):
    return create(s, *args, **more).choices[0].message.content


def prompt_tokens(s, messages=None, **more):
    return create(s, messages, **{"max_tokens": 1, **more}).usage.prompt_tokens


def warned(s, field, **more):
    r = create(s, max_tokens=1, **more)
    assert any(f'"{field}"' in w for w in r.model_extra["warnings"]), r.model_extra["warnings"]


# ---- messages ----

@chat("model", "that is not there is 404 model_not_found")
def no_model(s):
    with refused(openai.NotFoundError, 404) as e:
        create(s, model="nope")
    assert (e[0].code, e[0].type, e[0].param) == ("model_not_found", "not_found_error", "model")


@chat("messages.content", "is what is answered")
def content(s):
    assert text(s) != text(s, [{"role": "user", "content": "Write one line about the sea."}]) != ""


@chat("messages.role", "system, developer, user and assistant are read")
def roles(s):
    base = prompt_tokens(s)
    for role in ("system", "developer"):
        with_it = prompt_tokens(s, [{"role": role, "content": "You are a pirate. " * 10}, *HI])
        assert with_it > base + 20, role
    assert prompt_tokens(s, [*HI, {"role": "assistant", "content": "Hello."}, *HI]) > base + 5


@chat("messages.role", "another one is refused by its place")
def role_wrong(s):
    with refused(openai.BadRequestError, 400, "messages[0].role"):
        create(s, [{"role": "boss", "content": "x"}])


@chat("messages", "empty is refused")
def messages_empty(s):
    with refused(openai.BadRequestError, 400, "messages") as e:
        s.openai.chat.completions.create(model="smollm2", messages=[])
    assert e[0].param == "messages"


@chat("messages", "too long for the context is refused with both counts")
def too_long(s):
    with refused(openai.BadRequestError, 400, "8192") as e:
        create(s, [{"role": "user", "content": "word " * 9000}])
    assert e[0].code == "context_length_exceeded"


@chat("messages.content", "a list of text parts is one text")
def parts(s):
    joined = [{"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]}]
    assert text(s, joined) == text(s)


@chat("messages.content", "image_url as a data URI is seen")
def image(s):
    from test_model import picture
    from test_server import png
    uri = "data:image/png;base64," + base64.b64encode(png(picture(1))).decode()
    seen = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri}},
                                         {"type": "text", "text": "What is it?"}]}]
    plain = [{"role": "user", "content": "What is it?"}]
    assert prompt_tokens(s, seen, model="seer") == prompt_tokens(s, plain, model="seer") + 4
    with refused(openai.BadRequestError, 400, '"smollm2" does not support vision'):
        create(s, seen)


@unsupported("openai-python", "chat", "messages.content", "image_url of a web address is refused",
             why="the server opens no outgoing connection for a request: send the picture itself")
def image_url(s):
    with refused(openai.BadRequestError, 400):
        create(s, [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/a.png"}}]}], model="seer")


@unsupported("openai-python", "chat", "messages.content", "audio and files are refused by their place",
             why="no model that hears is served; documents are not read by this API")
def audio_part(s):
    for part in ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                 {"type": "file", "file": {"file_id": "f"}}):
        with refused(openai.BadRequestError, 400, "messages[0].content[0]", part["type"]):
            create(s, [{"role": "user", "content": [part]}])


@chat("messages.tool_calls, tool_call_id", "of an earlier turn are in the prompt")
def tools_back(s):
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    talk = [*ASK, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny and warm, 24 degrees"}]
    assert prompt_tokens(s, talk, tools=[tool()]) > prompt_tokens(s, ASK, tools=[tool()]) + 25
    with refused(openai.BadRequestError, 400, "arguments"):
        call["function"]["arguments"] = "{"
        create(s, talk, tools=[tool()])


# ---- sampling ----

@chat("temperature", "0 draws nothing")
def temperature(s):
    assert len({text(s, temperature=0, seed=i) for i in (1, 2, 3)}) == 1
    assert len({text(s, temperature=1.9, seed=i) for i in (1, 2, 3)}) > 1


@chat("temperature", "out of its range is refused by name")
def temperature_wrong(s):
    with refused(openai.BadRequestError, 400) as e:
        create(s, temperature=-1)
    assert e[0].param == "temperature"


@differs("openai-python", "chat", "temperature", "absent is the model's own, not 1",
         why="Ollama forces temperature and top_p to 1 and so loses the Modelfile's PARAMETER")
def temperature_absent(s):
    s.ask("/api/create", {"model": "cold", "from": "smollm2", "stream": False, "parameters": {"temperature": 0}})
    try:
        texts = {s.openai.chat.completions.create(model="cold", messages=HI, max_tokens=12, seed=i).choices[0]
                 .message.content for i in (1, 2, 3)}
        assert len(texts) == 1
    finally:
        s.ollama.delete("cold")


@chat("top_p", "near 0 leaves the likeliest token")
def top_p(s):
    assert {text(s, **HOT, top_p=0.0001, seed=i) for i in (1, 2, 3)} == {text(s)}


@chat("seed", "repeats an answer, another seed does not")
def seed(s):
    assert text(s, **HOT, seed=7) == text(s, **HOT, seed=7) != text(s, **HOT, seed=8)


@chat("max_tokens", "is the number of tokens, and the reason is length")
def max_tokens(s):
    r = create(s, max_tokens=3)
    assert (r.usage.completion_tokens, r.choices[0].finish_reason) == (3, "length")
    with refused(openai.BadRequestError, 400) as e:
        create(s, max_tokens=0)
    assert e[0].param == "max_tokens"


@chat("max_completion_tokens", "is the newer word for it")
def max_completion_tokens(s):
    r = s.openai.chat.completions.create(model="smollm2", messages=HI, max_completion_tokens=3)
    assert (r.usage.completion_tokens, r.choices[0].finish_reason) == (3, "length")


@chat("stop", "ends the text before it; a text or a list of them")
def stop(s):
    whole = text(s)
    word = whole.split()[1].strip(",.!")
    for value in (word, ["never said", word]):
        r = create(s, stop=value)
        assert word not in r.choices[0].message.content and r.choices[0].finish_reason == "stop"


@chat("frequency_penalty", "keeps words from coming again")
def frequency_penalty(s):
    ask = [{"role": "user", "content": "Repeat the word one: one one one one one one"}]
    assert text(s, ask, frequency_penalty=2) != text(s, ask, frequency_penalty=0)


@chat("presence_penalty", "keeps words from coming again")
def presence_penalty(s):
    ask = [{"role": "user", "content": "Repeat the word one: one one one one one one"}]
    assert text(s, ask, presence_penalty=2) != text(s, ask, presence_penalty=0)


@chat("logit_bias", "bans a token")
def logit_bias(s):
    first = create(s, logprobs=True).choices[0].logprobs.content[0].token
    id_ = s.ask("/tokenize", {"content": first})["tokens"][0]
    assert create(s, logprobs=True, logit_bias={str(id_): -100}).choices[0].logprobs.content[0].token != first


@chat("logit_bias", "forces a token, and refuses what is none")
def logit_bias_force(s):
    id_ = s.ask("/tokenize", {"content": " sea"})["tokens"][0]
    assert text(s, logit_bias={str(id_): 100}, max_tokens=3) == " sea sea sea"
    with refused(openai.BadRequestError, 400) as e:
        create(s, logit_bias={"x": 1})
    assert e[0].param == "logit_bias"


@chat("logprobs", "come with each token")
def logprobs(s):
    c = create(s, logprobs=True).choices[0]
    assert "".join(x.token for x in c.logprobs.content) == c.message.content
    assert all(x.logprob <= 0 and bytes(x.bytes) for x in c.logprobs.content)
    assert create(s).choices[0].logprobs is None


@chat("top_logprobs", "names so many others")
def top_logprobs(s):
    for x in create(s, logprobs=True, top_logprobs=3, extra_body={"repeat_penalty": 1}).choices[0].logprobs.content:
        assert len(x.top_logprobs) == 3 and x.top_logprobs[0].token == x.token
    with refused(openai.BadRequestError, 400, "logprobs"):
        create(s, top_logprobs=3)


@chat("n", "gives so many answers, each by a seed of its own")
def n(s):
    r = create(s, **HOT, n=3, seed=5)
    assert [c.index for c in r.choices] == [0, 1, 2] and len({c.message.content for c in r.choices}) == 3
    with refused(openai.BadRequestError, 400) as e:
        create(s, n=99)
    assert e[0].param == "n"


@chat("n", "streams all answers, by their index")
def n_stream(s):
    texts = {}
    for c in create(s, n=2, stream=True):
        texts.setdefault(c.choices[0].index, []).append(c.choices[0].delta.content)
    assert "".join(texts[0]) == "".join(texts[1]) == text(s)


# ---- the form of the answer ----

@chat("response_format", "json_object gives JSON")
def json_object(s):
    t = text(s, [{"role": "user", "content": "A cat."}], response_format={"type": "json_object"})
    assert t.lstrip()[0] in "{["


@chat("response_format", "json_schema is kept to")
def json_schema(s):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    r = create(s, max_tokens=40, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert r.choices[0].finish_reason == "stop" and set(json.loads(r.choices[0].message.content)) == {"ok"}


@chat("response_format", "text changes nothing, another type is refused by name")
def format_text(s):
    assert text(s, response_format={"type": "text"}) == text(s)
    with refused(openai.BadRequestError, 400) as e:
        create(s, response_format={"type": "xml"})
    assert e[0].param == "response_format"


@chat("response_format", "goes by parse() of the client")
def parse(s):
    import pydantic

    class Cat(pydantic.BaseModel):
        age: int
        male: bool

    r = s.openai.chat.completions.parse(model="smollm2", messages=HI, max_tokens=40, temperature=0, response_format=Cat)
    assert isinstance(r.choices[0].message.parsed, Cat)


# ---- tools ----

@chat("tools", "are told to the model")
def tools(s):
    assert prompt_tokens(s, ASK, tools=[tool()]) > prompt_tokens(s, ASK) + 30


@chat("tools", "that are wrong are refused by name")
def tools_wrong(s):
    for value in ([{"type": "function"}], [3], [tool(parameters="x")]):
        with refused(openai.BadRequestError, 400) as e:
            create(s, tools=value)
        assert e[0].param == "tools", value


@chat("tool_choice", "required gives a call of one of them")
def required(s):
    c = create(s, ASK, tools=[tool()], tool_choice="required", max_tokens=80).choices[0]
    call = c.message.tool_calls[0]
    assert c.finish_reason == "tool_calls" and call.id and call.type == "function"
    assert call.function.name == "weather" and json.loads(call.function.arguments)["city"] in ("Paris", "Rome")


@chat("tool_choice", "a named function gives a call of that one")
def named(s):
    c = create(s, ASK, tools=[tool(), tool("stock")], max_tokens=80,
               tool_choice={"type": "function", "function": {"name": "stock"}}).choices[0]
    assert c.message.tool_calls[0].function.name == "stock"


@chat("tool_choice", "none gives no call")
def none(s):
    c = create(s, ASK, tools=[tool()], tool_choice="none").choices[0]
    assert c.message.tool_calls is None and c.finish_reason != "tool_calls"


@chat("tool_choice", "of another kind is refused by name")
def choice_wrong(s):
    for value in ("some", {"type": "allowed_tools"}, {"type": "function", "function": {"name": "nope"}}):
        with refused(openai.BadRequestError, 400) as e:
            create(s, ASK, tools=[tool()], tool_choice=value)
        assert e[0].param == "tool_choice", value


@chat("parallel_tool_calls", "false gives one call")
def parallel(s):
    c = create(s, ASK, tools=[tool()], tool_choice="required", parallel_tool_calls=False, max_tokens=120).choices[0]
    assert len(c.message.tool_calls) == 1
    with refused(openai.BadRequestError, 400) as e:
        create(s, ASK, tools=[tool()], parallel_tool_calls="no")
    assert e[0].param == "parallel_tool_calls"


@chat("tool_calls", "stream whole, with the index and the reason tool_calls")
def tools_stream(s):
    chunks = list(create(s, ASK, tools=[tool()], tool_choice="required", max_tokens=80, stream=True))
    calls = [c for x in chunks for c in x.choices[0].delta.tool_calls or ()]
    assert calls[0].index == 0 and calls[0].id and calls[0].function.name == "weather"
    json.loads("".join(c.function.arguments for c in calls if c.index == 0))
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


# ---- thinking ----

@chat("reasoning_effort", "none has no thoughts, another level has")
def effort(s):
    a = create(s, model="smart", reasoning_effort="none").choices[0].message
    b = create(s, model="smart", reasoning_effort="high").choices[0].message
    assert not (a.model_extra or {}).get("reasoning") and b.model_extra["reasoning"]


@chat("reasoning_effort", "low, medium and high are told to the model")
def effort_levels(s):
    counts = [prompt_tokens(s, model="smart", reasoning_effort=x) for x in ("low", "medium", "high")]
    assert counts == sorted(set(counts)), counts
    with refused(openai.BadRequestError, 400) as e:
        create(s, reasoning_effort="much")
    assert e[0].param == "reasoning_effort"


@chat("reasoning", "effort and max_tokens are the same in one object")
def reasoning(s):
    r = create(s, model="smart", max_tokens=40, extra_body={"reasoning": {"effort": "high", "max_tokens": 5}})
    longer = create(s, model="smart", max_tokens=40, extra_body={"reasoning": {"effort": "high"}})
    assert 0 < len(r.choices[0].message.model_extra["reasoning"]) < len(longer.choices[0].message.model_extra["reasoning"])


@chat("reasoning", "streams in chunks of its own")
def reasoning_stream(s):
    thoughts = [c.choices[0].delta for c in create(s, model="smart", stream=True, max_tokens=20)
                if (c.choices[0].delta.model_extra or {}).get("reasoning")]
    assert thoughts and not any(d.content for d in thoughts)


@chat("messages.reasoning", "of an earlier turn goes to the template")
def reasoning_back(s):
    def talk(**more):
        return [*HI, {"role": "assistant", "content": "Hello.", **more}, *HI]
    assert prompt_tokens(s, talk(reasoning="I should greet them politely, I think."), model="smart") > \
        prompt_tokens(s, talk(), model="smart") + 8


# ---- streams ----

@chat("stream", "gives chunks whose texts are the whole answer")
def stream(s):
    chunks = list(create(s, stream=True))
    assert len(chunks) > 2 and len({c.id for c in chunks}) == 1
    assert all(c.object == "chat.completion.chunk" and c.choices[0].delta.role == "assistant" for c in chunks)
    assert "".join(c.choices[0].delta.content for c in chunks) == text(s)
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 1)


@chat("stream_options", "include_usage adds one chunk with the usage and no choices")
def include_usage(s):
    chunks = list(create(s, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == create(s).usage.total_tokens
    assert all(c.usage is None for c in chunks[:-1])
    assert all(c.choices for c in create(s, stream=True))
    with refused(openai.BadRequestError, 400) as e:
        create(s, stream_options={"include_usage": True})
    assert e[0].param == "stream_options"


@check("http", "/v1/chat/completions", "stream", "ends with [DONE]")
def done(s):
    events = s.events("/v1/chat/completions", {"model": "smollm2", "messages": HI, "max_tokens": 3, "stream": True})
    assert events[-1] == (None, "[DONE]") and all(n is None for n, _ in events)


@chat("stream", "a client that goes away stops its answer")
def cancel(s):
    stream = s.openai.chat.completions.create(model="smollm2", stream=True, max_tokens=4000, temperature=0,
                                              messages=[{"role": "user", "content": "Count to one thousand."}])
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 5
    while s.active():
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)


# ---- what comes out ----

@differs("openai-python", "chat", "id", "is another one for every answer", why="Ollama's are random from 0 to 998")
def ids(s):
    made = {create(s, max_tokens=1).id for _ in range(20)}
    assert len(made) == 20 and all(x.startswith("chatcmpl-") for x in made)


@differs("openai-python", "chat", "system_fingerprint", "names the model's digest and the engine's build",
         why="Ollama says fp_ollama whatever answered")
def fingerprint(s):
    r = create(s, max_tokens=1)
    assert r.system_fingerprint.startswith("fp_" + r.model_extra["model_digest"][:12])


@chat("object, created, model, choices", "are as OpenAI has them")
def shape(s):
    r = create(s)
    assert r.object == "chat.completion" and abs(r.created - time.time()) < 60 and r.model == "smollm2"
    c = r.choices[0]
    assert (c.index, c.message.role, c.message.refusal) == (0, "assistant", None) and c.finish_reason in ("stop", "length")


@chat("finish_reason", "is stop at the model's own end")
def finish(s):
    assert create(s, [{"role": "user", "content": "Say yes."}], max_tokens=200).choices[0].finish_reason == "stop"


@chat("usage", "adds up, with cached_tokens")
def usage(s):
    create(s)
    u = create(s).usage
    assert u.total_tokens == u.prompt_tokens + u.completion_tokens
    assert 0 < u.prompt_tokens_details.cached_tokens <= u.prompt_tokens


# ---- fields without an effect, and those that are not done ----

for _field, _value in (("user", "u-1"), ("metadata", {"a": "b"}), ("store", True), ("verbosity", "low"),
                       ("prompt_cache_key", "k"), ("safety_identifier", "s"),
                       ("prediction", {"type": "content", "content": "x"}), ("modalities", ["text"]),
                       ("prompt_cache_retention", "24h")):
    def _no_effect(s, field=_field, value=_value):
        warned(s, field, **{field: value})
    unsupported("openai-python", "chat", _field, "has no effect, and a warning says so",
                why="it has no meaning here; the answer is the same without it")(_no_effect)

for _field, _value in (("functions", [{"name": "f"}]), ("function_call", {"name": "f"}),
                       ("audio", {"voice": "alloy", "format": "wav"}), ("web_search_options", {"search_context_size": "low"}),
                       ("moderation", {"model": "m"})):
    def _refused(s, field=_field, value=_value):
        with refused(openai.BadRequestError, 400, field.split("_options")[0].split("_call")[0].replace("_", " ")) as e:
            create(s, **{field: value})
        assert e[0].param == field
    unsupported("openai-python", "chat", _field, "is refused by name",
                why="an answer without it would be another one than was asked for")(_refused)


@chat("service_tier", "flex waits behind the others, another word is refused")
def service_tier(s):
    assert text(s, service_tier="flex")
    with refused(openai.BadRequestError, 400) as e:
        create(s, service_tier="gold")
    assert e[0].param == "service_tier"


@chat("an unknown field", "is answered with a warning")
def unknown(s):
    warned(s, "zzz", extra_body={"zzz": 1})


@chat("num_ctx", "and Ollama's other options are read here, too")
def num_ctx(s):
    with refused(openai.BadRequestError, 400, "128"):
        create(s, [{"role": "user", "content": "word " * 300}], extra_body={"num_ctx": 128})
    assert {text(s, **HOT, seed=i, extra_body={"top_k": 1}) for i in (1, 2)} == {text(s)}


# ---- errors ----

@chat("Authorization", "that is wrong is 401 invalid_api_key")
def wrong_key(s):
    bad = openai.OpenAI(base_url=s.url + "/v1", api_key="sk-nonsense", max_retries=0)
    with refused(openai.AuthenticationError, 401) as e:
        create(type("Bad", (), {"openai": bad}))
    assert e[0].code == "invalid_api_key"


@chat("", "a body that is no JSON is 400 in OpenAI's form")
def no_json(s):
    r = httpx.post(s.url + "/v1/chat/completions", content=b"{", headers=s.headers)
    assert r.status_code == 400 and set(r.json()["error"]) == {"message", "type", "param", "code"}


@differs("http", "/v1/chat/completions", "error", "has its own type: not found is not api_error",
         why="Ollama says api_error for every error of a handler")
def error_type(s):
    status, r = s.post("/v1/chat/completions", {"model": "nope", "messages": HI})
    assert status == 404 and r["error"]["type"] in ("invalid_request_error", "not_found_error")
