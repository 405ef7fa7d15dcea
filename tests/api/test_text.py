"""Tokens, completions, infill and copies against the real program and the starter model."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        yield i.ready("chat,models.read,models.change")


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=server.secret, max_retries=0,
                         timeout=120)


def ask(server, path, body):
    r = httpx.post(f"http://127.0.0.1:{server.port}{path}", json=body, timeout=120,
                   headers={"Authorization": f"Bearer {server.secret}"})
    return r.status_code, r.json() if r.content else None


# ---- tokens: ids by the model's own tokenizer.json (SmolLM2-135M-Instruct) ----
@pytest.mark.parametrize("text,ids", [("Hello world", [19556, 905]), ("", []), ("<|im_start|>user\n", [1, 4093, 198])])
def test_tokens_are_the_models(server, text, ids):
    status, a = ask(server, "/tokenize", {"content": text})
    assert status == 200 and a["tokens"] == ids
    status, a = ask(server, "/api/tokenize", {"model": "smollm2", "content": text})
    assert status == 200 and a["tokens"] == ids and a["model"] == "smollm2" and a["total_duration"] > 0


def test_a_text_comes_back_as_it_was(server):
    text = "Grüße, 世界! \U0001f600\n\ttab <|im_end|> end  "
    status, a = ask(server, "/tokenize", {"content": text, "with_pieces": True})
    assert status == 200
    pieces = b"".join(p["piece"].encode() if isinstance(p["piece"], str) else bytes(p["piece"]) for p in a["tokens"])
    assert pieces.decode() == text
    ids = [p["id"] for p in a["tokens"]]
    assert ask(server, "/detokenize", {"tokens": ids}) == (200, {"content": text})
    status, back = ask(server, "/api/detokenize", {"model": "smollm2", "tokens": ids})
    assert status == 200 and back["content"] == text
    special = ask(server, "/tokenize", {"content": "<|im_end|>"})[1]["tokens"]
    plain = ask(server, "/tokenize", {"content": "<|im_end|>", "parse_special": False})[1]["tokens"]
    assert len(special) == 1 and len(plain) > 1


def test_tokens_that_are_none_are_refused(server):
    status, a = ask(server, "/detokenize", {"tokens": [1, 49152]})
    assert status == 400 and "tokens[1]" in a["error"]["message"] and "49152" in a["error"]["message"]
    assert ask(server, "/api/detokenize", {"model": "smollm2", "tokens": [-1]})[0] == 400


# ---- completions ----
def test_whole_and_streamed_say_the_same(client):
    body = dict(model="smollm2", prompt="Count: one, two, three,", max_tokens=10, temperature=0)
    whole = client.completions.create(**body)
    assert whole.object == "text_completion" and whole.id.startswith("cmpl-") and whole.choices[0].text
    chunks = list(client.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens <= 10
    echo = client.completions.create(**body, echo=True)
    assert echo.choices[0].text == body["prompt"] + whole.choices[0].text


def test_logprobs_belong_to_the_text(client):
    r = client.completions.create(model="smollm2", prompt="One, two,", max_tokens=4, temperature=0, logprobs=2)
    p = r.choices[0].logprobs
    assert "".join(p.tokens) == r.choices[0].text and len(p.token_logprobs) == 4
    assert all(x <= 0 for x in p.token_logprobs) and all(1 <= len(t) <= 2 for t in p.top_logprobs)
    for token, logprob, top in zip(p.tokens, p.token_logprobs, p.top_logprobs):
        assert abs(top[token] - logprob) < 1e-4  # drawn at temperature 0: the likeliest
    assert p.text_offset == [sum(len(t) for t in p.tokens[:i]) for i in range(4)]


def test_several_answers_at_once(client):
    r = client.completions.create(model="smollm2", prompt="A story:", max_tokens=8, n=3, seed=5, temperature=1)
    assert [c.index for c in r.choices] == [0, 1, 2]
    one = client.completions.create(model="smollm2", prompt="A story:", max_tokens=8, seed=6, temperature=1)
    assert r.choices[1].text == one.choices[0].text  # seeds count up
    texts = {}
    for c in client.chat.completions.create(model="smollm2", n=2, max_tokens=6, stream=True, temperature=0,
                                            messages=[{"role": "user", "content": "Say hello."}]):
        texts.setdefault(c.choices[0].index, []).append(c.choices[0].delta.content)
    assert set(texts) == {0, 1} and "".join(texts[0]) == "".join(texts[1]) != ""


# ---- infill: this model has no tokens for it ----
def test_a_model_without_fim_tokens_says_so(server, client):
    status, a = ask(server, "/infill", {"input_prefix": "int ", "input_suffix": ";", "prompt": ""})
    assert status == 400 and "FIM" in a["error"]["message"]
    with pytest.raises(openai.BadRequestError) as e:
        client.completions.create(model="smollm2", prompt="a", suffix="b", max_tokens=1)
    assert e.value.param == "suffix" and "FIM" in e.value.message
    status, a = ask(server, "/api/generate", {"model": "smollm2", "prompt": "a", "suffix": "b", "stream": False})
    assert (status, a["error"]) == (400, '"smollm2" does not support insert')


@pytest.fixture(scope="module")
def fim(server):
    """The starter model with three of its control tokens renamed to those of a model that can fill in."""
    data = open(os.path.join(os.environ["TRESOR_DEPS"], "share/starter/smollm2.gguf"), "rb").read()
    for old, new in ((b"<issue_closed>", b"<|fim_prefix|>"), (b"<jupyter_text>", b"<|fim_suffix|>"),
                     (b"<jupyter_code>", b"<|fim_middle|>")):
        assert len(old) == len(new) and data.count(old) == 1
        data = data.replace(old, new)
    path = os.path.join(server.home, "fim.gguf")
    open(path, "wb").write(data)
    server.must("pull", "file:" + path, "--as", "fim")
    return "fim"


def test_what_stands_between_is_asked_for_in_the_models_form(server, client, fim):
    before, behind = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
    options = {"num_predict": 8, "temperature": 0}
    status, a = ask(server, "/api/generate", {"model": fim, "prompt": before, "suffix": behind, "stream": False,
                                              "options": options})
    assert status == 200
    status, raw = ask(server, "/api/generate", {  # the same by hand: a raw prompt may name control tokens
        "model": fim, "raw": True, "stream": False, "options": options,
        "prompt": f"<|fim_prefix|>{before}<|fim_suffix|>{behind}<|fim_middle|>"})
    assert (a["response"], a["prompt_eval_count"]) == (raw["response"], raw["prompt_eval_count"])
    c = client.completions.create(model=fim, prompt=before, suffix=behind, max_tokens=8, temperature=0)
    assert c.choices[0].text == a["response"]
    status, i = ask(server, "/infill", {"model": fim, "input_prefix": "def add(a, b):\n", "prompt": "    return ",
                                        "input_suffix": behind, "n_predict": 8, "temperature": 0})
    assert status == 200 and i["stop"] and i["timings"]["predicted_n"] == i["tokens_predicted"] <= 8
    assert abs(i["tokens_evaluated"] - a["prompt_eval_count"]) <= 2  # cut at another place


def test_a_persons_text_names_no_control_tokens_there(server, fim):
    n = {}
    for text in ("x", "<|fim_middle|>"):
        status, a = ask(server, "/infill", {"model": fim, "input_prefix": text, "input_suffix": "", "n_predict": 1})
        assert status == 200
        n[text] = a["tokens_evaluated"]
    plain = len(ask(server, "/tokenize", {"model": fim, "content": "<|fim_middle|>",
                                          "parse_special": False})[1]["tokens"])
    assert plain > 1 and n["<|fim_middle|>"] - n["x"] == plain - 1


def test_other_files_stand_before_and_the_first_are_left_out(server, fim):
    small = [{"filename": f"f{k}.py", "text": f"x{k} = {k}\n"} for k in range(3)]
    body = {"model": fim, "input_prefix": "a", "input_suffix": "b", "n_predict": 1}
    none = ask(server, "/infill", body)[1]
    some = ask(server, "/infill", {**body, "input_extra": small})[1]
    assert some["tokens_evaluated"] > none["tokens_evaluated"] + 15 and not some["truncated"]
    status, big = ask(server, "/infill", {**body, "input_extra": [{"text": "word " * 9000}, *small]})
    assert status == 200 and big["truncated"] and big["tokens_evaluated"] == some["tokens_evaluated"]
    assert any("left out" in w for w in big["warnings"])
    status, bad = ask(server, "/infill", {**body, "input_extra": [{"filename": "a"}]})
    assert status == 400 and "input_extra[0]" in bad["error"]["message"]


# ---- copies ----
def test_a_copy_is_another_name(server):
    status, _ = ask(server, "/api/copy", {"source": "smollm2", "destination": "mine:v1"})
    assert status == 200
    assert ask(server, "/api/copy", {"source": "nope", "destination": "x"}) == (
        404, {"error": 'model "nope" not found'})
    models = httpx.get(f"http://127.0.0.1:{server.port}/api/tags",
                       headers={"Authorization": f"Bearer {server.secret}"}).json()["models"]
    digests = {m["name"]: m["digest"] for m in models}
    assert digests["mine:v1"] == digests["smollm2:latest"]
    r = httpx.request("DELETE", f"http://127.0.0.1:{server.port}/api/delete", json={"model": "mine:v1"},
                      headers={"Authorization": f"Bearer {server.secret}"})
    assert r.status_code == 200
    assert ask(server, "/api/tokenize", {"model": "smollm2", "content": "a"})[0] == 200


# ---- long texts are made ready beside everybody's answers ----
def test_a_long_text_is_answered_and_counted_as_a_short_one_is(server, client):
    text = "time house river green letter " * 800  # over 16 KiB
    status, tokens = ask(server, "/tokenize", {"content": text})
    assert status == 200 and 3500 < len(tokens["tokens"]) < 6000
    messages = [{"role": "user", "content": text}]
    status, counted = ask(server, "/v1/messages/count_tokens", {"model": "smollm2", "messages": messages})
    assert status == 200 and counted["input_tokens"] > len(tokens["tokens"])
    a = client.chat.completions.create(model="smollm2", messages=messages, max_tokens=2)
    assert a.usage.prompt_tokens == counted["input_tokens"] and a.usage.completion_tokens == 2


def test_one_that_is_too_long_says_how_long_while_others_are_answered(server, client):
    with ThreadPoolExecutor(4) as pool:
        long = pool.submit(ask, server, "/v1/chat/completions", {
            "model": "smollm2", "messages": [{"role": "user", "content": "time house river " * 60000}]})
        short = [pool.submit(client.chat.completions.create, model="smollm2", max_tokens=4,
                             messages=[{"role": "user", "content": f"Hello {i}"}]) for i in range(3)]
        assert all(s.result().usage.completion_tokens for s in short)
        status, a = long.result()
    assert status == 400 and a["error"]["code"] == "context_length_exceeded"


def test_who_leaves_while_his_text_is_made_ready_leaves_nothing_behind(server, client):
    for _ in range(3):
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"http://127.0.0.1:{server.port}/v1/chat/completions", timeout=0.3,
                       headers={"Authorization": f"Bearer {server.secret}"},
                       json={"model": "smollm2", "messages": [{"role": "user", "content": "time house river " * 300000}]})
    a = client.chat.completions.create(model="smollm2", max_tokens=2, messages=[{"role": "user", "content": "Hello"}])
    assert a.usage.completion_tokens
