"""/v1/messages and its count_tokens with Anthropic's own Python client."""
import base64
import json
import os
import sys
import time

import anthropic

from harness import check, refused, unsupported

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../vision"))

HI = [{"role": "user", "content": "Say hello."}]
ASK = [{"role": "user", "content": "How is the weather in Paris?"}]
WEATHER = {"name": "weather", "description": "The weather of a city.",
           "input_schema": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
                            "required": ["city"]}}


def msg(field, behaviour):
    return check("anthropic-python", "messages", field, behaviour)


def create(s, messages=None, body=None, **more):
    """Some fields are no arguments of the newest client any more, but of many programs that ask: `body`."""
    return s.anthropic.messages.create(**{"model": "smollm2", "max_tokens": 12, "messages": messages or HI,
                                          "extra_body": {"temperature": 0, **(body or {})}, **more})


def text(s, *args, **more):
    return "".join(b.text for b in create(s, *args, **more).content if b.type == "text")


def read(s, messages=None, **more):
    return s.anthropic.messages.count_tokens(model=more.pop("model", "smollm2"), messages=messages or HI, **more).input_tokens


def used(u):
    return u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens


# ---- what goes in ----

@msg("model", "that is not there is 404 not_found_error")
def no_model(s):
    with refused(anthropic.NotFoundError, 404) as e:
        create(s, model="nope")
    assert e[0].body["error"]["type"] == "not_found_error"


@msg("messages", "are what is answered")
def messages(s):
    assert text(s) != text(s, [{"role": "user", "content": "Write one line about the sea."}]) != ""


@msg("messages.content", "blocks of text are one text")
def blocks(s):
    assert text(s, [{"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]}]) \
        == text(s)


@msg("messages.content", "image as base64 is seen")
def image(s):
    from test_model import picture
    from test_server import png
    data = base64.b64encode(png(picture(1))).decode()
    part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    ask = [{"role": "user", "content": [part, {"type": "text", "text": "What is it?"}]}]
    a = used(create(s, ask, model="seer").usage)
    assert a == used(create(s, [{"role": "user", "content": "What is it?"}], model="seer").usage) + 4
    with refused(anthropic.BadRequestError, 400, "does not support vision"):
        create(s, ask)


@unsupported("anthropic-python", "messages", "messages.content", "image of a web address is refused",
             why="the server opens no outgoing connection for a request: send the picture itself")
def image_url(s):
    with refused(anthropic.BadRequestError, 400, "not fetched"):
        create(s, [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1:1/a.png"}}]}])


@msg("messages.content", "document of the type text is read")
def document(s):
    part = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 40}}
    assert read(s, [{"role": "user", "content": [part, {"type": "text", "text": "Sum up."}]}]) > 60


@unsupported("anthropic-python", "messages", "messages.content", "other documents, and search_result, are refused by name",
             why="documents that are no text are not read by this API")
def document_refused(s):
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    for part in ({"type": "document", "source": pdf},
                 {"type": "search_result", "source": "x", "title": "t", "content": [{"type": "text", "text": "x"}]}):
        with refused(anthropic.BadRequestError, 400, part["type"]):
            create(s, [{"role": "user", "content": [part]}])


@msg("messages.content", "tool_use and tool_result are in the prompt")
def tool_result(s):
    talk = [*ASK, {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather",
                                                     "input": {"city": "Paris"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
                                          "content": "sunny and warm, 24 degrees"}]}]
    assert read(s, talk, tools=[WEATHER]) > read(s, ASK, tools=[WEATHER]) + 25


@msg("messages.content", "thinking of an earlier turn goes to the template")
def thinking_back(s):
    def talk(*first):
        return [*HI, {"role": "assistant", "content": [*first, {"type": "text", "text": "Hello."}]}, *HI]
    thought = {"type": "thinking", "thinking": "I should greet them politely, I think.", "signature": "x"}
    assert read(s, talk(thought), model="smart") > read(s, talk(), model="smart") + 8


@msg("max_tokens", "is the number of tokens, and the reason is max_tokens")
def max_tokens(s):
    r = create(s, max_tokens=3)
    assert (r.usage.output_tokens, r.stop_reason) == (3, "max_tokens")
    status, r = s.post("/v1/messages", {"model": "smollm2", "messages": HI})
    assert status == 400 and "max_tokens" in r["error"]["message"]


@msg("system", "a text is read")
def system(s):
    assert used(create(s, system="You are a pirate. " * 8).usage) > used(create(s).usage) + 20


@msg("system", "blocks are read")
def system_blocks(s):
    more = [{"type": "text", "text": "You are a pirate. " * 8, "cache_control": {"type": "ephemeral"}}]
    assert used(create(s, system=more).usage) > used(create(s).usage) + 20


@msg("temperature", "0 draws nothing")
def temperature(s):
    assert len({text(s, body={"seed": i}) for i in (1, 2, 3)}) == 1
    assert len({text(s, body={"seed": i, "temperature": 1.0, "top_k": 0}) for i in range(6)}) > 1


@msg("top_p", "near 0 leaves the likeliest token")
def top_p(s):
    assert {text(s, body={"temperature": 1, "top_p": 0.0001, "seed": i}) for i in (1, 2, 3)} == {text(s)}


@msg("top_k", "1 leaves the likeliest token")
def top_k(s):
    assert {text(s, body={"temperature": 1, "top_k": 1, "seed": i}) for i in (1, 2, 3)} == {text(s)}


@msg("stop_sequences", "end the text, and the one that did is named")
def stop_sequences(s):
    whole = text(s)
    word = whole.split()[1].strip(",.!")
    r = create(s, stop_sequences=["never said", word])
    assert (r.stop_reason, r.stop_sequence) == ("stop_sequence", word) and word not in r.content[0].text


@msg("tools", "are told to the model")
def tools(s):
    assert used(create(s, ASK, tools=[WEATHER]).usage) > used(create(s, ASK).usage) + 30


@unsupported("anthropic-python", "messages", "tools", "of Anthropic's own servers are refused by name",
             why="they are run or defined elsewhere: web search, code execution, computers")
def tools_hosted(s):
    for kind in ("web_search_20250305", "code_execution_20250522", "bash_20250124"):
        with refused(anthropic.BadRequestError, 400, kind):
            create(s, tools=[{"type": kind, "name": "x"}])


@msg("tool_choice", "any gives a call of one of them")
def choice_any(s):
    r = create(s, ASK, tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=80)
    use = r.content[-1]
    assert r.stop_reason == "tool_use" and use.type == "tool_use" and use.id.startswith("toolu_")
    assert use.name == "weather" and use.input["city"] in ("Paris", "Rome")


@msg("tool_choice", "tool gives a call of that one")
def choice_tool(s):
    r = create(s, ASK, tools=[WEATHER, {**WEATHER, "name": "stock"}], tool_choice={"type": "tool", "name": "stock"},
               max_tokens=80)
    assert r.content[-1].name == "stock"


@msg("tool_choice", "none gives no call, another type is refused")
def choice_none(s):
    assert all(b.type == "text" for b in create(s, ASK, tools=[WEATHER], tool_choice={"type": "none"}).content)
    with refused(anthropic.BadRequestError, 400, "tool_choice"):
        create(s, ASK, tools=[WEATHER], tool_choice={"type": "some"})


@msg("tool_choice.disable_parallel_tool_use", "gives one call")
def one_call(s):
    r = create(s, ASK, tools=[WEATHER], max_tokens=120,
               tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert len([b for b in r.content if b.type == "tool_use"]) == 1


@msg("thinking", "enabled gives a block of thoughts, within its budget")
def thinking(s):
    r = create(s, model="smart", max_tokens=40, thinking={"type": "enabled", "budget_tokens": 8})
    assert [b.type for b in r.content] == ["thinking", "text"] and r.content[0].signature is not None
    longer = create(s, model="smart", max_tokens=40, thinking={"type": "enabled", "budget_tokens": 30})
    assert 0 < len(r.content[0].thinking) < len(longer.content[0].thinking)


@msg("thinking", "absent or disabled gives none")
def thinking_off(s):
    for more in ({}, {"thinking": {"type": "disabled"}}):
        assert [b.type for b in create(s, model="smart", **more).content] == ["text"]


@msg("thinking.budget_tokens", "must be less than max_tokens")
def budget(s):
    with refused(anthropic.BadRequestError, 400, "budget_tokens"):
        create(s, model="smart", max_tokens=10, thinking={"type": "enabled", "budget_tokens": 10})


@msg("thinking.type", "adaptive thinks as the model likes")
def adaptive(s):
    assert create(s, model="smart", thinking={"type": "adaptive"}).content[0].type == "thinking"


@msg("thinking.display", "omitted leaves the text of the thoughts out")
def display(s):
    r = create(s, model="smart", max_tokens=40,
               thinking={"type": "enabled", "budget_tokens": 8, "display": "omitted"})
    assert r.content[0].type == "thinking" and r.content[0].thinking == "" and r.content[-1].type == "text"


@msg("output_config.effort", "is told to a model that thinks")
def effort(s):
    counts = [used(create(s, model="smart", thinking={"type": "adaptive"}, output_config={"effort": x}, max_tokens=1).usage)
              for x in ("low", "medium", "high")]
    assert counts == sorted(set(counts)), counts


@msg("output_config.format", "a JSON schema is kept to")
def output_format(s):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    r = create(s, max_tokens=40, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert set(json.loads(r.content[0].text)) == {"ok"}


@msg("metadata.user_id", "is read, and must be a text")
def metadata(s):
    assert text(s, metadata={"user_id": "u"}) == text(s)
    status, r = s.post("/v1/messages", {"model": "smollm2", "max_tokens": 1, "messages": HI, "metadata": {"user_id": 3}})
    assert status == 400 and "user_id" in r["error"]["message"]


@msg("service_tier", "auto and standard_only are read, another is refused")
def service_tier(s):
    assert text(s, service_tier="standard_only") == text(s)
    with refused(anthropic.BadRequestError, 400, "service_tier"):
        create(s, service_tier="gold")


@msg("cache_control", "is accepted: what was read is kept without it")
def cache_control(s):
    ask = [{"role": "user", "content": [{"type": "text", "text": "word " * 60, "cache_control": {"type": "ephemeral"}}]}]
    create(s, ask)
    assert create(s, ask).usage.cache_read_input_tokens > 50


for _field, _value in (("mcp_servers", [{"type": "url", "name": "x", "url": "https://example.org"}]), ("container", "c")):
    def _refused(s, field=_field, value=_value):
        with refused(anthropic.BadRequestError, 400, field):
            create(s, body={field: value})
    unsupported("anthropic-python", "messages", _field, "is refused by name", why="nothing here runs elsewhere")(_refused)


@msg("an unknown field", "is answered with a warning")
def unknown(s):
    assert any('"zzz"' in w for w in create(s, body={"zzz": 1}).model_extra["warnings"])


# ---- what comes out ----

@msg("id, type, role, content, usage", "are as Anthropic has them")
def shape(s):
    r = create(s)
    assert r.id.startswith("msg_") and (r.type, r.role, r.model) == ("message", "assistant", "smollm2")
    assert r.content[0].text and r.stop_reason in ("end_turn", "max_tokens") and r.stop_sequence is None
    assert 0 < r.usage.output_tokens <= 12 and used(r.usage) == read(s) and create(s).id != r.id


@msg("stop_reason", "is end_turn at the model's own end")
def end_turn(s):
    assert create(s, [{"role": "user", "content": "Say yes."}], max_tokens=200).stop_reason == "end_turn"


@msg("stream", "has the events in their order")
def events(s):
    got = s.events("/v1/messages", {"model": "smollm2", "max_tokens": 3, "messages": HI, "stream": True})
    names = [n for n, _ in got]
    deltas = names.count("content_block_delta")
    assert names == [d["type"] for _, d in got] and deltas
    assert [n for n in names if n != "ping"] == ["message_start", "content_block_start", *["content_block_delta"] * deltas,
                                                 "content_block_stop", "message_delta", "message_stop"]
    assert got[-2][1]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert got[-2][1]["usage"]["output_tokens"] == 3


@msg("stream", "gives the same text as the whole answer")
def stream(s):
    with s.anthropic.messages.stream(model="smollm2", max_tokens=12, messages=HI, extra_body={"temperature": 0}) as m:
        streamed = "".join(m.text_stream)
        last = m.get_final_message()
    whole = create(s)
    assert streamed == whole.content[0].text == last.content[0].text and last.usage.output_tokens == whole.usage.output_tokens


@msg("stream", "has calls as input_json_delta")
def stream_tool(s):
    got = s.events("/v1/messages", {"model": "smollm2", "max_tokens": 80, "messages": ASK, "stream": True, "temperature": 0,
                                    "tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}})
    parts = [d["delta"]["partial_json"] for n, d in got
             if n == "content_block_delta" and d["delta"]["type"] == "input_json_delta"]
    assert json.loads("".join(parts))["city"] in ("Paris", "Rome")


@msg("stream", "has thoughts as thinking_delta, and a signature")
def stream_thinking(s):
    got = s.events("/v1/messages", {"model": "smart", "max_tokens": 40, "messages": HI, "stream": True, "temperature": 0,
                                    "thinking": {"type": "enabled", "budget_tokens": 8}})
    kinds = [d["delta"]["type"] for n, d in got if n == "content_block_delta"]
    assert kinds.index("thinking_delta") < kinds.index("signature_delta") < kinds.index("text_delta")


@msg("stream", "a client that goes away stops its answer")
def cancel(s):
    with s.anthropic.messages.stream(model="smollm2", max_tokens=4000, extra_body={"temperature": 0},
                                     messages=[{"role": "user", "content": "Count to one thousand."}]) as m:
        next(iter(m.text_stream))
    end = time.monotonic() + 5
    while s.active():
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)


# ---- count_tokens, errors ----

def count(field, behaviour):
    return check("anthropic-python", "count_tokens", field, behaviour)


@count("messages, system, tools", "are what an answer says that it read")
def counted(s):
    for more in ({}, {"system": "Be brief."}, {"tools": [WEATHER]}):
        assert read(s, **more) == used(create(s, max_tokens=1, **more).usage) > 5


@count("messages", "that do not fit are counted all the same")
def counted_long(s):
    assert read(s, [{"role": "user", "content": "word " * 9000}]) > 9000


@msg("error", "has Anthropic's form, with the request's id")
def error(s):
    with refused(anthropic.BadRequestError, 400, "prompt is too long") as e:
        create(s, [{"role": "user", "content": "word " * 9000}])
    assert e[0].body["type"] == "error" and e[0].request_id == e[0].body["request_id"]
    assert e[0].body["error"]["type"] == "invalid_request_error"


@msg("X-Api-Key", "that is wrong is 401 authentication_error; Bearer is read, too")
def keys(s):
    bad = anthropic.Anthropic(base_url=s.url, api_key="sk-nonsense", max_retries=0)
    with refused(anthropic.AuthenticationError, 401) as e:
        bad.messages.count_tokens(model="smollm2", messages=HI)
    assert e[0].body["error"]["type"] == "authentication_error"
    assert s.ask("/v1/messages/count_tokens", {"model": "smollm2", "messages": HI})["input_tokens"] == read(s)
