"""OpenAI's completions, embeddings and models; rerank, tokens and infill as llama-server and others have them."""
import struct

import numpy as np
import openai

from harness import check, refused, unsupported

SEA = "Count: one, two, three,"
TEXT = "Hello world, how are you?"


def comp(field, behaviour):
    return check("openai-python", "completions", field, behaviour)


def create(s, **more):
    return s.openai.completions.create(**{"model": "smollm2", "prompt": SEA, "max_tokens": 10, "temperature": 0,
                                          "extra_body": {"repeat_penalty": 1}, **more})


def text(s, **more):
    return create(s, **more).choices[0].text


# ---- completions ----

@comp("prompt", "goes on without a template")
def prompt(s):
    r = create(s)
    assert r.object == "text_completion" and r.id.startswith("cmpl-") and r.choices[0].text == s.text(SEA, num_predict=10)
    assert r.usage.prompt_tokens == s.generate(SEA)["prompt_eval_count"]


@unsupported("openai-python", "completions", "prompt", "a list of prompts, or token ids, are refused by name",
             why="several answers come by n; ids of a client would go past the marks that keep a person's text apart")
def prompt_list(s):
    for value in (["a", "b"], [1, 2, 3]):
        with refused(openai.BadRequestError, 400) as e:
            create(s, prompt=value)
        assert e[0].param == "prompt"
    assert text(s, prompt=[SEA]) == text(s)


@comp("suffix", "is what the text leads to, or is refused by name")
def suffix(s):
    a = create(s, model="smart", prompt="def add(a, b):", suffix="return c").usage.prompt_tokens
    assert a >= create(s, model="smart", prompt="def add(a, b):").usage.prompt_tokens + 3
    with refused(openai.BadRequestError, 400) as e:
        create(s, suffix="x")
    assert e[0].param == "suffix"


@comp("max_tokens", "is the number of tokens")
def max_tokens(s):
    r = create(s, max_tokens=3)
    assert (r.usage.completion_tokens, r.choices[0].finish_reason) == (3, "length")


@comp("stream", "gives chunks whose texts are the whole answer, with the usage if wanted")
def stream(s):
    chunks = list(create(s, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == text(s)
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == create(s).usage.total_tokens
    assert all(c.choices for c in create(s, stream=True))


@comp("echo", "says the prompt again")
def echo(s):
    assert text(s, echo=True) == SEA + text(s)
    assert "".join(c.choices[0].text for c in create(s, echo=True, stream=True)) == SEA + text(s)


@comp("logprobs", "come as four lists of one length")
def logprobs(s):
    p = create(s, logprobs=2, max_tokens=4).choices[0].logprobs
    assert "".join(p.tokens) == text(s, max_tokens=4) and len(p.token_logprobs) == len(p.top_logprobs) == 4
    assert all(1 <= len(t) <= 2 for t in p.top_logprobs)
    assert p.text_offset == [sum(len(t) for t in p.tokens[:i]) for i in range(4)]
    assert create(s).choices[0].logprobs is None


@comp("logprobs", "of the echo are refused by name")
def logprobs_echo(s):
    with refused(openai.BadRequestError, 400) as e:
        create(s, logprobs=1, echo=True)
    assert e[0].param == "echo"


@comp("n", "gives so many answers")
def n(s):
    r = create(s, n=3, temperature=1.5, seed=5)
    assert [c.index for c in r.choices] == [0, 1, 2] and len({c.text for c in r.choices}) == 3


@comp("best_of", "of more than n is refused by name")
def best_of(s):
    assert create(s, best_of=1).choices
    with refused(openai.BadRequestError, 400) as e:
        create(s, best_of=4)
    assert e[0].param == "best_of"


@comp("stop", "ends the text before it")
def stop(s):
    word = text(s).split()[1].strip(",")
    assert word not in text(s, stop=[word])


@comp("seed", "repeats an answer, another seed does not")
def seed(s):
    assert text(s, temperature=1.5, seed=7) == text(s, temperature=1.5, seed=7) != text(s, temperature=1.5, seed=8)


@comp("temperature", "0 draws nothing")
def temperature(s):
    assert len({text(s, seed=i) for i in (1, 2, 3)}) == 1


@comp("top_p", "near 0 leaves the likeliest token")
def top_p(s):
    assert {text(s, temperature=1.5, top_p=0.0001, seed=i) for i in (1, 2, 3)} == {text(s)}


@comp("frequency_penalty, presence_penalty", "keep words from coming again")
def penalties(s):
    same = "one two one two one two one two one"
    free = text(s, prompt=same)
    for name in ("frequency_penalty", "presence_penalty"):
        assert text(s, prompt=same, **{name: 2}) != free, name


@comp("logit_bias", "forces a token")
def logit_bias(s):
    id_ = s.ask("/tokenize", {"content": " sea"})["tokens"][0]
    assert text(s, logit_bias={str(id_): 100}, max_tokens=3) == " sea sea sea"


@unsupported("openai-python", "completions", "user", "has no effect, and a warning says so",
             why="who asks is whoever the key belongs to")
def user(s):
    assert any('"user"' in w for w in create(s, user="u", max_tokens=1).model_extra["warnings"])


# ---- embeddings ----

def emb(field, behaviour):
    return check("openai-python", "embeddings", field, behaviour)


def embed(s, **more):
    return s.openai.embeddings.create(**{"model": "minilm", "input": TEXT, **more})


def vector(text_, **more):
    from ollama_text import minilm
    return minilm().vector(text_, **more)


@emb("input", "one text has the vector of an independent BERT")
def embedding(s):
    r = embed(s)
    assert np.abs(np.array(r.data[0].embedding) - vector(TEXT)).max() < 1e-3
    assert r.object == "list" and r.data[0].object == "embedding" and r.usage.prompt_tokens == r.usage.total_tokens > 5


@emb("input", "a list has one vector each, by its index")
def embedding_list(s):
    r = embed(s, input=["apples", TEXT])
    assert [d.index for d in r.data] == [0, 1]
    assert np.abs(np.array(r.data[1].embedding) - vector(TEXT)).max() < 1e-3


@emb("input", "may be token ids, or lists of them")
def embedding_tokens(s):
    from ollama_text import minilm
    ids = minilm().ids(TEXT)[1:-1]
    a, b = embed(s, input=ids), embed(s, input=[ids, ids])
    assert len(b.data) == 2 and len(a.data) == 1 and len(a.data[0].embedding) == 384
    assert np.abs(np.array(a.data[0].embedding) - b.data[1].embedding).max() < 1e-4
    with refused(openai.BadRequestError, 400) as e:
        embed(s, input={"a": 1})
    assert e[0].param == "input"


@emb("dimensions", "is how long a vector is")
def dimensions(s):
    v = embed(s, dimensions=64).data[0].embedding
    assert len(v) == 64 and np.abs(np.array(v) - vector(TEXT, dimensions=64)).max() < 1e-3


@emb("encoding_format", "base64 and float are the same numbers")
def encoding_format(s):
    import base64
    raw = s.ask("/v1/embeddings", {"model": "minilm", "input": TEXT, "encoding_format": "base64"})
    data = base64.b64decode(raw["data"][0]["embedding"])
    plain = s.ask("/v1/embeddings", {"model": "minilm", "input": TEXT, "encoding_format": "float"})
    assert np.abs(np.array(struct.unpack("<384f", data)) - plain["data"][0]["embedding"]).max() < 1e-6
    with refused(openai.BadRequestError, 400) as e:
        embed(s, encoding_format="hex")
    assert e[0].param == "encoding_format"


@emb("model", "that is not there is 404 model_not_found")
def embedding_model(s):
    with refused(openai.NotFoundError, 404) as e:
        embed(s, model="nope")
    assert e[0].code == "model_not_found"


@emb("input", "too long is refused, truncate cuts it (not OpenAI's)")
def embedding_long(s):
    with refused(openai.BadRequestError, 400):
        embed(s, input="word " * 2000)
    assert embed(s, input="word " * 2000, extra_body={"truncate": True}).data


@unsupported("openai-python", "embeddings", "user", "has no effect, and a warning says so",
             why="who asks is whoever the key belongs to")
def embedding_user(s):
    r = s.ask("/v1/embeddings", {"model": "minilm", "input": TEXT, "user": "u"})
    assert any('"user"' in w for w in r["warnings"])


# ---- models ----

@check("openai-python", "models", "list", "has id, created and owned_by")
def models(s):
    found = {m.id: m for m in s.openai.models.list()}
    assert {"smollm2:latest", "minilm:latest"} <= set(found)
    m = found["smollm2:latest"]
    assert (m.object, m.owned_by) == ("model", "library") and m.created > 1_700_000_000


@check("openai-python", "models", "retrieve", "finds one, and another is 404")
def model(s):
    assert s.openai.models.retrieve("smollm2").id == "smollm2:latest"
    with refused(openai.NotFoundError, 404) as e:
        s.openai.models.retrieve("nope")
    assert e[0].code == "model_not_found"


@unsupported("openai-python", "images, audio, batches, files, fine_tuning, assistants", "",
             "are not there: 404 in OpenAI's form", why="no such models are served; documents are not read by this API")
def absent(s):
    for path in ("/v1/images/generations", "/v1/audio/transcriptions", "/v1/batches", "/v1/files", "/v1/assistants",
                 "/v1/fine_tuning/jobs", "/v1/moderations"):
        status, r = s.post(path, {})
        assert status == 404 and r["error"]["message"], (path, status, r)


# ---- rerank, tokens, infill ----

def raw(feature, field, behaviour):
    return check("http", feature, field, behaviour)


DOCS = ["money of the bank", "water of the river", "the"]


def rerank(s, **more):
    return s.ask("/v1/rerank", {"model": "rank", "query": "river bank", "documents": DOCS, **more})


@raw("/v1/rerank", "query, documents", "are scored as by an independent cross-encoder, the best first")
def scores(s):
    import bert
    ranker = bert.tiny_cross_encoder()
    got = {r["index"]: r["relevance_score"] for r in rerank(s)["results"]}
    for i, d in enumerate(DOCS):
        assert abs(got[i] - ranker.score("river bank", d)) < 2e-3
    order = [r["relevance_score"] for r in rerank(s)["results"]]
    assert order == sorted(order, reverse=True)


@raw("/v1/rerank", "top_n", "keeps the best")
def top_n(s):
    assert [r["index"] for r in rerank(s, top_n=2)["results"]] == [r["index"] for r in rerank(s)["results"]][:2]


@raw("/v1/rerank", "return_documents", "says the text again")
def return_documents(s):
    assert all(r["document"]["text"] == DOCS[r["index"]] for r in rerank(s, return_documents=True)["results"])
    assert all("document" not in r for r in rerank(s)["results"])


@raw("/v1/rerank", "documents", "may be objects with a text; empty ones are refused")
def document_objects(s):
    a = rerank(s, documents=[{"text": d} for d in DOCS])["results"]
    assert a == rerank(s)["results"]
    assert s.post("/v1/rerank", {"model": "rank", "query": "x", "documents": []})[0] == 400


@raw("/tokenize", "content", "is the model's own tokens")
def tokenize(s):
    assert s.ask("/tokenize", {"content": "Hello world", "model": "smollm2"})["tokens"] == [19556, 905]


@raw("/tokenize", "parse_special", "false reads a mark as text")
def parse_special(s):
    assert len(s.ask("/tokenize", {"content": "<|im_end|>"})["tokens"]) == 1
    assert len(s.ask("/tokenize", {"content": "<|im_end|>", "parse_special": False})["tokens"]) > 1


@raw("/tokenize", "with_pieces", "gives ids and texts")
def with_pieces(s):
    assert s.ask("/tokenize", {"content": "Hello world", "with_pieces": True})["tokens"] == \
        [{"id": 19556, "piece": "Hello"}, {"id": 905, "piece": " world"}]


@raw("/detokenize", "tokens", "are the text; others are refused by their place")
def detokenize(s):
    assert s.ask("/detokenize", {"tokens": [19556, 905]})["content"] == "Hello world"
    status, r = s.post("/detokenize", {"tokens": [1, 10 ** 6]})
    assert status == 400 and "tokens[1]" in r["error"]["message"]


def infill(s, **more):
    return s.ask("/infill", {"model": "smart", "input_prefix": "def add(a, b):\n", "input_suffix": "\n\nprint(add(1, 2))",
                             "n_predict": 8, "temperature": 0, **more})


@raw("/infill", "input_prefix, input_suffix", "are both in the prompt")
def infill_texts(s):
    base = infill(s)["tokens_evaluated"]
    assert infill(s, input_prefix="# a long comment line before it\ndef add(a, b):\n")["tokens_evaluated"] > base + 4
    assert infill(s, input_suffix="\n\nprint(add(1, 2))\nprint(add(3, 4))\n")["tokens_evaluated"] > base + 4


@raw("/infill", "input_extra", "brings other files into the prompt")
def infill_extra(s):
    more = infill(s, input_extra=[{"filename": "util.py", "text": "def sub(a, b):\n    return a - b\n"}])
    assert more["tokens_evaluated"] > infill(s)["tokens_evaluated"] + 8


@raw("/infill", "n_predict", "is a limit, and is named as what ended the text")
def infill_n(s):
    a = infill(s, n_predict=1)
    assert (a["tokens_predicted"], a["stop_type"]) == (1, "limit")
