"""LangChain's ChatOllama, OllamaEmbeddings, ChatOpenAI and OpenAIEmbeddings."""
import asyncio
import functools
import time

import numpy as np

from harness import check

ASK = "How is the weather in Paris?"
FORMS = ("langchain-ollama", "langchain-openai")


def model(s, form, name="smollm2", **more):
    """The chat model of a form, cold and short; `more` are its own fields."""
    if form == "langchain-ollama":
        from langchain_ollama import ChatOllama
        return ChatOllama(**{"model": name, "base_url": s.url, "client_kwargs": {"headers": s.headers}, "temperature": 0,
                             "num_predict": 12, **more})
    from langchain_openai import ChatOpenAI
    return ChatOpenAI(**{"model": name, "base_url": s.url + "/v1", "api_key": s.key, "temperature": 0, "max_tokens": 12,
                         "max_retries": 0, **more})


def both(field, behaviour):
    def add(run):
        for form in FORMS:
            check(form, "chat", field, behaviour)(functools.partial(run, form=form))
        return run
    return add


def weather_tool():
    from langchain_core.tools import tool

    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"
    return weather


def tokens(answer):
    return answer.usage_metadata["input_tokens"]


@both("invoke", "answers, and counts its tokens")
def invoke(s, form):
    a = model(s, form).invoke("Say hello.")
    assert a.content and tokens(a) > 5 and 0 < a.usage_metadata["output_tokens"] <= 12


@both("messages", "system, human, ai and tool are read")
def messages(s, form):
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
    m = model(s, form)
    base = tokens(m.invoke([HumanMessage("Hi")]))
    assert tokens(m.invoke([SystemMessage("You are a pirate. " * 8), HumanMessage("Hi")])) > base + 20
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "call_1", "type": "tool_call"}
    talk = [HumanMessage(ASK), AIMessage("", tool_calls=[call]), ToolMessage("sunny and warm", tool_call_id="call_1")]
    assert tokens(m.invoke(talk)) > tokens(m.invoke(talk[:1])) + 10


@both("stream", "gives chunks whose texts are the whole answer")
def stream(s, form):
    chunks = list(model(s, form).stream("Say hello."))
    assert len(chunks) > 2 and "".join(c.content for c in chunks) == model(s, form).invoke("Say hello.").content


@both("astream", "does the same")
def astream(s, form):
    async def run():
        return [c.content async for c in model(s, form).astream("Say hello.")]
    assert len([c for c in asyncio.run(run()) if c]) > 2


@both("batch", "answers several at once, in their order")
def batch(s, form):
    ask = ["Say hello.", "Write one line about the sea.", "Say hello."]
    a = [x.content for x in model(s, form).batch(ask)]
    assert a[0] == a[2] != a[1]


@both("temperature", "0 draws nothing, 2 does")
def temperature(s, form):
    assert len({model(s, form, seed=i).invoke("Say hello.").content for i in (1, 2, 3)}) == 1
    assert len({model(s, form, seed=i, temperature=1.9).invoke("Say hello.").content for i in (1, 2, 3)}) > 1


@both("seed", "repeats an answer, another seed does not")
def seed(s, form):
    a, b, c = (model(s, form, seed=i, temperature=1.5).invoke("Say hello.").content for i in (7, 7, 8))
    assert a == b != c


@both("top_p", "near 0 leaves the likeliest token")
def top_p(s, form):
    cold = model(s, form).invoke("Say hello.").content
    assert {model(s, form, seed=i, temperature=1.5, top_p=0.0001).invoke("Say hello.").content for i in (1, 2)} == {cold}


@both("stop", "ends the text before it")
def stop(s, form):
    word = model(s, form).invoke("Say hello.").content.split()[1].strip(",.!")
    assert word not in model(s, form).invoke("Say hello.", stop=[word]).content


@both("bind_tools", "tells the model of the tools")
def bind_tools(s, form):
    plain, told = model(s, form), model(s, form).bind_tools([weather_tool()])
    assert tokens(told.invoke(ASK)) > tokens(plain.invoke(ASK)) + 20


@both("with_structured_output", "gives what the schema says")
def structured(s, form):
    import pydantic

    class Cat(pydantic.BaseModel):
        age: int
        male: bool

    more = {"num_predict": 60} if form == "langchain-ollama" else {"max_tokens": 60}
    assert isinstance(model(s, form, **more).with_structured_output(Cat, method="json_schema").invoke("A cat."), Cat)


@both("model", "that is not there is an error that names it")
def no_model(s, form):
    try:
        model(s, form, name="nope").invoke("x")
    except Exception as e:
        assert "nope" in str(e) and "not found" in str(e), e
    else:
        raise AssertionError("it was not refused")


@both("", "a stream that is left stops its answer")
def cancel(s, form):
    more = {"num_predict": 4000} if form == "langchain-ollama" else {"max_tokens": 4000}
    chunks = model(s, form, **more).stream("Count to one thousand.")
    next(chunks)
    chunks.close()
    end = time.monotonic() + 5
    while s.active():
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.02)


# ---- ChatOllama alone ----

def lc_ollama(field, behaviour):
    return check("langchain-ollama", "chat", field, behaviour)


@lc_ollama("num_predict", "is the number of tokens")
def num_predict(s):
    a = model(s, FORMS[0], num_predict=3).invoke("Tell me a story.")
    assert a.usage_metadata["output_tokens"] == 3 and a.response_metadata["done_reason"] == "length"


@lc_ollama("num_ctx", "is this request's limit")
def num_ctx(s):
    try:
        model(s, FORMS[0], num_ctx=128).invoke("word " * 300)
    except Exception as e:
        assert "128" in str(e)
    else:
        raise AssertionError("it was not refused")


@lc_ollama("top_k", "1 leaves the likeliest token")
def top_k(s):
    cold = model(s, FORMS[0]).invoke("Say hello.").content
    assert {model(s, FORMS[0], seed=i, temperature=1.5, top_k=1).invoke("Say hello.").content for i in (1, 2)} == {cold}


@lc_ollama("repeat_penalty", "keeps a text from repeating itself")
def repeat_penalty(s):
    ask = "Repeat the word one: one one one one one one"
    assert model(s, FORMS[0], repeat_penalty=2.0).invoke(ask).content != \
        model(s, FORMS[0], repeat_penalty=1.0).invoke(ask).content


@lc_ollama("format", "json gives JSON")
def format_json(s):
    assert model(s, FORMS[0], format="json", num_predict=40).invoke("A cat.").content.lstrip()[0] in "{["


@lc_ollama("reasoning", "puts the thoughts apart, false has none")
def reasoning(s):
    a = model(s, FORMS[0], name="smart", reasoning=True, num_predict=20).invoke("Why?")
    assert a.additional_kwargs["reasoning_content"]
    b = model(s, FORMS[0], name="smart", reasoning=False).invoke("Why?")
    assert "reasoning_content" not in b.additional_kwargs and b.content


@lc_ollama("keep_alive", "is how long the model stays")
def keep_alive(s):
    import datetime
    model(s, FORMS[0], keep_alive="20m").invoke("x")
    left = next(m for m in s.ollama.ps().models if m.model == "smollm2:latest").expires_at
    assert 1100 < (left - datetime.datetime.now(datetime.timezone.utc)).total_seconds() <= 1201


@lc_ollama("response_metadata", "has Ollama's fields of the end")
def metadata(s):
    a = model(s, FORMS[0]).invoke("Say hello.").response_metadata
    assert a["done"] and a["total_duration"] > 0 and a["eval_count"] > 0 and a["model"] == "smollm2"


# ---- ChatOpenAI alone ----

def lc_openai(field, behaviour):
    return check("langchain-openai", "chat", field, behaviour)


@lc_openai("max_tokens", "is the number of tokens")
def max_tokens(s):
    a = model(s, FORMS[1], max_tokens=3).invoke("Tell me a story.")
    assert a.usage_metadata["output_tokens"] == 3 and a.response_metadata["finish_reason"] == "length"


@lc_openai("tool_choice", "any gives a call that LangChain reads")
def tool_choice(s):
    a = model(s, FORMS[1], max_tokens=80).bind_tools([weather_tool()], tool_choice="any").invoke(ASK)
    assert a.tool_calls[0]["name"] == "weather" and isinstance(a.tool_calls[0]["args"]["city"], str) and a.tool_calls[0]["id"]


@lc_openai("tool_choice", "streams a call in chunks that add up")
def tool_choice_stream(s):
    whole = None
    for c in model(s, FORMS[1], max_tokens=80).bind_tools([weather_tool()], tool_choice="any").stream(ASK):
        whole = c if whole is None else whole + c
    assert whole.tool_calls[0]["name"] == "weather" and "city" in whole.tool_calls[0]["args"]


@lc_openai("parallel_tool_calls", "false gives one call")
def parallel(s):
    m = model(s, FORMS[1], max_tokens=120).bind_tools([weather_tool()], tool_choice="any", parallel_tool_calls=False)
    assert len(m.invoke(ASK).tool_calls) == 1


@lc_openai("n, logprobs", "are read")
def logprobs(s):
    a = model(s, FORMS[1], logprobs=True, top_logprobs=2).invoke("Say hello.")
    assert len(a.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 2


@lc_openai("stream_usage", "counts the tokens of a stream")
def stream_usage(s):
    whole = None
    for c in model(s, FORMS[1], stream_usage=True).stream("Say hello."):
        whole = c if whole is None else whole + c
    assert whole.usage_metadata["output_tokens"] > 0


@lc_openai("use_responses_api", "goes by /v1/responses")
def responses(s):
    m = model(s, FORMS[1], use_responses_api=True)
    a = m.invoke("Say hello.")
    assert a.response_metadata["id"].startswith("resp_") and a.text


# ---- vectors ----

@check("langchain-ollama", "embeddings", "embed_documents", "are those of an independent BERT")
def ollama_embeddings(s):
    from langchain_ollama import OllamaEmbeddings
    from ollama_text import minilm
    e = OllamaEmbeddings(model="minilm", base_url=s.url, client_kwargs={"headers": s.headers})
    texts = ["apples", "Hello world"]
    for text, v in zip(texts, e.embed_documents(texts)):
        assert np.abs(np.array(v) - minilm().vector(text)).max() < 1e-3
    assert np.abs(np.array(e.embed_query("apples")) - minilm().vector("apples")).max() < 1e-3


@check("langchain-openai", "embeddings", "embed_documents", "are those of an independent BERT")
def openai_embeddings(s):
    from langchain_openai import OpenAIEmbeddings
    from ollama_text import minilm
    e = OpenAIEmbeddings(model="minilm", base_url=s.url + "/v1", api_key=s.key, check_embedding_ctx_length=False)
    for text, v in zip(["apples", "Hello world"], e.embed_documents(["apples", "Hello world"])):
        assert np.abs(np.array(v) - minilm().vector(text)).max() < 1e-3
    short = OpenAIEmbeddings(model="minilm", base_url=s.url + "/v1", api_key=s.key, check_embedding_ctx_length=False,
                             dimensions=64)
    assert len(short.embed_query("apples")) == 64
