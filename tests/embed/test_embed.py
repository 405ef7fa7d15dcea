"""Vectors and scores through every API, compared with BERT computed here in numpy (bert.py)."""
import base64
import concurrent.futures
import os
import struct
import sys

import numpy as np
import ollama
import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import bert  # noqa: E402
from tresor import Instance  # noqa: E402

TEXTS = ["Hello world, how are you?", "Die Straße ist naß; GPU-Treiber: café!", "x", "",
         "The quick brown fox jumps over the lazy dog. " * 12, "東京 is the capital of Japan (日本)."]


@pytest.fixture(scope="module")
def minilm():
    return bert.load_minilm()


@pytest.fixture(scope="module")
def ranker():
    return bert.tiny_cross_encoder()


@pytest.fixture(scope="module")
def server(minilm, ranker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with Instance() as i:
        i.start()
        i.with_model()
        i.must("pull", "file:" + str(minilm.write(folder / "minilm.gguf", bert.MEAN)), "--as", "minilm")
        i.must("pull", "file:" + str(ranker.write(folder / "rank.gguf", bert.RANK)), "--as", "rank")
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", "chat,models.read,models.change,metrics")
        yield i


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=server.secret, max_retries=0,
                         timeout=120)


def post(server, path, body):
    return server.api("POST", path, body, key=server.secret)


def embed(server, texts, **more):
    status, reply = post(server, "/api/embed", {"model": "minilm", "input": texts, **more})
    assert status == 200, reply
    return reply


def far(a, b):
    return float(np.abs(np.array(a) - np.array(b)).max())


def test_vectors_are_those_of_an_independent_bert(server, minilm):
    r = embed(server, TEXTS)
    assert len(r["embeddings"]) == len(TEXTS)
    for text, v in zip(TEXTS, r["embeddings"]):
        assert len(v) == 384 and far(v, minilm.vector(text)) < 1e-3, text
        assert abs(np.linalg.norm(v) - 1) < 1e-6
    assert r["prompt_eval_count"] == sum(len(minilm.ids(t)) for t in TEXTS)
    assert r["total_duration"] > 0 and r["model_digest"] and r["engine_build"]
    assert "warnings" not in r


def test_alone_and_among_others_a_text_has_the_same_vector(server):
    many = [f"sentence number {i} about {'apples' if i % 2 else 'engines'}" for i in range(150)]
    together = embed(server, many)["embeddings"]
    for i in (0, 7, 149):
        assert far(embed(server, many[i])["embeddings"][0], together[i]) < 1e-4  # rounding of other batch sizes
    near = np.array(together) @ np.array(together[1])
    assert near[3] > near[2]  # apples are nearer to apples than engines are


def test_dimensions_are_cut_and_normalised_again(server, minilm):
    v = embed(server, TEXTS[0], dimensions=64)["embeddings"][0]
    assert len(v) == 64 and abs(np.linalg.norm(v) - 1) < 1e-6
    assert far(v, minilm.vector(TEXTS[0], dimensions=64)) < 1e-3
    status, r = post(server, "/api/embed", {"model": "minilm", "input": "a", "dimensions": 385})
    assert status == 400 and "dimensions" in r["error"]
    for bad in (0, -1, 1.5, "8", 1 << 40):
        status, r = post(server, "/api/embed", {"model": "minilm", "input": "a", "dimensions": bad})
        assert status == 400 and '"dimensions"' in r["error"], (bad, r)


def test_too_long_is_cut_with_a_warning_or_refused_with_both_counts(server, minilm):
    long = "word " * 700
    r = embed(server, [long, "short"])
    assert any("1 input was cut" in w and "512" in w for w in r["warnings"])
    ids = minilm.ids(long)
    assert far(r["embeddings"][0], minilm.vector("", ids=ids[:511] + ids[-1:])) < 1e-3
    assert r["prompt_eval_count"] == 512 + 3
    status, r = post(server, "/api/embed", {"model": "minilm", "input": ["short", long], "truncate": False})
    assert status == 400 and "input 1 has 702 tokens" in r["error"] and "512" in r["error"]


def test_ollamas_client(server, minilm):
    c = ollama.Client(host=f"http://127.0.0.1:{server.port}", headers={"Authorization": f"Bearer {server.secret}"})
    r = c.embed("minilm", ["one", "two"])
    assert len(r.embeddings) == 2 and far(r.embeddings[1], minilm.vector("two")) < 1e-3
    assert c.embed("minilm", []).embeddings == []
    old = c.embeddings("minilm", "one").embedding
    assert far(old, minilm.vector("one", normalise=False)) < 5e-3 and np.linalg.norm(old) > 1.5
    assert c.embeddings("minilm", "").embedding == []
    assert "embedding" in c.show("minilm").capabilities


def test_openais_client_takes_base64_and_floats(server, client, minilm):
    r = client.embeddings.create(model="minilm", input=TEXTS[:3])  # the client asks for base64
    assert [d.index for d in r.data] == [0, 1, 2] and r.usage.prompt_tokens == r.usage.total_tokens
    f = client.embeddings.create(model="minilm", input=TEXTS[:3], encoding_format="float")
    for d, e, t in zip(r.data, f.data, TEXTS):
        assert far(d.embedding, minilm.vector(t)) < 1e-3
        assert [struct.pack("f", x) for x in d.embedding] == [struct.pack("f", x) for x in e.embedding]
    status, raw = post(server, "/v1/embeddings", {"model": "minilm", "input": "a", "encoding_format": "base64"})
    assert len(base64.b64decode(raw["data"][0]["embedding"])) == 384 * 4
    assert len(client.embeddings.create(model="minilm", input="a", dimensions=100).data[0].embedding) == 100


def test_token_ids_are_as_good_as_their_text(client, minilm):
    ids = [minilm.pieces(t) for t in TEXTS[:3]]
    got = client.embeddings.create(model="minilm", input=ids)
    for d, t in zip(got.data, TEXTS):
        assert far(d.embedding, minilm.vector(t)) < 1e-3
    one = client.embeddings.create(model="minilm", input=ids[0])
    assert far(one.data[0].embedding, got.data[0].embedding) < 1e-4
    with pytest.raises(openai.BadRequestError) as e:
        client.embeddings.create(model="minilm", input=[[1, 30522]])
    assert "vocabulary" in e.value.message


@pytest.mark.parametrize("more,param", [
    ({"input": []}, "input"), ({"input": 7}, "input"), ({"input": [["a"]]}, "input"), ({"input": [[]]}, "input"),
    ({"input": ["a", 1]}, "input"), ({"input": [[1], "a"]}, "input"), ({"input": [[-1]]}, "input"),
    ({"input": ["a"] * 2049}, "input"), ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ({"input": "a", "dimensions": 0}, "dimensions")])
def test_openai_errors_name_the_field(server, more, param):
    status, r = post(server, "/v1/embeddings", {"model": "minilm", **more})
    assert status == 400 and r["error"]["param"] == param, r


def test_openai_refuses_what_is_too_long_and_warns_of_what_is_ignored(server):
    status, r = post(server, "/v1/embeddings", {"model": "minilm", "input": "word " * 600})
    assert status == 400 and r["error"]["code"] == "context_length_exceeded" and "602" in r["error"]["message"]
    status, r = post(server, "/v1/embeddings", {"model": "minilm", "input": "a", "user": "u", "zzz": 1})
    assert status == 200 and any('"user"' in w for w in r["warnings"]) and any('"zzz"' in w for w in r["warnings"])
    assert post(server, "/v1/embeddings", {"model": "nope", "input": "a"})[0] == 404


def test_a_model_that_writes_gives_vectors_too(server):
    texts = ["a cat sat on the mat", "the cat sits on a mat", "interest rates of the central bank"]
    status, r = post(server, "/api/embed", {"model": "smollm2", "input": texts})
    assert status == 200, r
    v = np.array(r["embeddings"])
    assert v.shape == (3, 576) and np.allclose(np.linalg.norm(v, axis=1), 1, atol=1e-6)
    assert v[0] @ v[1] > v[0] @ v[2]
    one = post(server, "/api/embed", {"model": "smollm2", "input": texts[2]})[1]["embeddings"][0]
    assert far(one, v[2]) < 2e-3  # other batch sizes, other order of sums
    long = post(server, "/api/embed", {"model": "smollm2", "input": "many words " * 300})  # in pieces of 512
    assert long[0] == 200 and 600 <= long[1]["prompt_eval_count"] <= 602 and "warnings" not in long[1]
    status, r = post(server, "/api/chat", {"model": "smollm2", "stream": False, "options": {"num_predict": 4},
                                           "messages": [{"role": "user", "content": "Say hello."}]})
    assert status == 200 and r["message"]["content"]


def test_a_model_for_vectors_does_not_write(server):
    status, r = post(server, "/api/chat", {"model": "minilm", "messages": [{"role": "user", "content": "Hi"}]})
    assert status == 400 and r["error"] == '"minilm" does not support chat'


def test_documents_are_ranked_as_an_independent_cross_encoder_does(server, ranker):
    docs = ["water of the river", "money", "the bank", "river bank", "", "a b c. d? e"]
    want = [ranker.score("river bank?", d) for d in docs]
    status, r = post(server, "/v1/rerank", {"model": "rank", "query": "river bank?", "documents": docs})
    assert status == 200 and r["object"] == "list" and r["model"] == "rank", r
    got = {x["index"]: x["relevance_score"] for x in r["results"]}
    assert len(got) == len(docs)
    for i, w in enumerate(want):
        assert abs(got[i] - w) < 3e-3, (docs[i], got[i], w)  # the library's GELU comes from a table of 16 bits
    scores = [x["relevance_score"] for x in r["results"]]
    assert scores == sorted(scores, reverse=True) and max(scores) - min(scores) > 0.2
    assert r["usage"]["total_tokens"] == sum(len(ranker.ids("river bank?", d)) for d in docs)
    status, r = post(server, "/v1/rerank", {"model": "rank", "query": "river bank?", "top_n": 2,
                                            "documents": [{"text": d} for d in docs], "return_documents": True})
    assert [x["index"] for x in r["results"]] == list(np.argsort(want)[::-1][:2])
    assert all(x["document"]["text"] == docs[x["index"]] for x in r["results"])


def test_rerank_cuts_the_document_and_never_the_query(server, ranker):
    status, r = post(server, "/v1/rerank", {"model": "rank", "query": "river bank", "documents": ["money " * 90]})
    assert status == 200 and any("1 input was cut" in w for w in r["warnings"])
    fits = "money " * (48 - 5)
    assert abs(r["results"][0]["relevance_score"] - ranker.score("river bank", fits)) < 5e-3
    body = {"model": "rank", "query": "river bank", "documents": ["x", "money " * 90], "truncate": False}
    status, r = post(server, "/v1/rerank", body)
    assert status == 400 and "input 1 has 95 tokens" in r["error"]["message"]
    status, r = post(server, "/v1/rerank", {"model": "rank", "query": "money " * 60, "documents": ["x"]})
    assert status == 400 and "query" in r["error"]["message"]


def test_rerank_and_embed_know_what_a_model_is_for(server):
    status, r = post(server, "/v1/rerank", {"model": "minilm", "query": "a", "documents": ["b"]})
    assert status == 400 and "no classifier to rank" in r["error"]["message"]
    status, r = post(server, "/api/embed", {"model": "rank", "input": "a"})
    assert status == 400 and "makes no vectors" in r["error"]
    for more, param in (({"documents": []}, "documents"), ({"documents": [1]}, "documents"),
                        ({"documents": ["a"], "query": ""}, "query"), ({"documents": ["a"], "top_n": 0}, "top_n")):
        status, r = post(server, "/v1/rerank", {"model": "rank", "query": "a", **more})
        assert status == 400 and r["error"]["param"] == param, r


def test_many_at_once_all_get_their_own(server, minilm):
    words = ["apple", "engine", "river", "money", "cat", "castle", "theory", "ocean"]
    want = {w: minilm.vector(w) for w in words}

    def one(i):
        w = words[i % len(words)]
        return w, embed(server, [w] * (1 + i % 5))["embeddings"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for w, rows in pool.map(one, range(64)):
            assert all(far(r, want[w]) < 1e-3 for r in rows)


def test_a_key_without_the_scope_is_refused(server):
    key = server.key("o@example.org", "models.read")
    for path, body in (("/api/embed", {"model": "minilm", "input": "a"}), ("/v1/embeddings", {}), ("/v1/rerank", {}),
                       ("/api/embeddings", {})):
        assert server.api("POST", path, body, key=key)[0] == 403
        assert server.api("POST", path, body)[0] == 401


def test_hostile_numbers_in_the_file_are_refused_and_hurt_nobody(server, ranker, tmp_path):
    for n, change in enumerate(({"bert.pooling_type": 77}, {"bert.embedding_length_out": 1 << 20},
                                {"bert.classifier.output_labels": ["x"] * 4000},
                                {"tokenizer.ggml.bos_token_id": 1 << 30}, {"bert.attention.causal": True},
                                {"bert.context_length": 1 << 30})):
        path = ranker.write(tmp_path / f"bad{n}.gguf", bert.RANK, **change)
        code, _, _ = server.run("pull", f"file:{path}", "--as", f"bad{n}")
        if code:
            continue
        status, r = post(server, "/v1/rerank", {"model": f"bad{n}", "query": "a", "documents": ["b"]})
        assert status in (200, 400, 422), (change, status, r)
    assert embed(server, "still here")["embeddings"]
    assert "engine died" not in server.log_text()
