"""The Ollama API with Ollama's own Python client, against the real program and the starter model."""
import json
import os
import sys
import threading
import time

import httpx
import ollama
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

HI = [{"role": "user", "content": "Say hello."}]
SHORT = {"num_predict": 12, "seed": 1, "temperature": 0}


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        yield i.ready("chat,models.read,models.change,metrics")


@pytest.fixture(scope="module")
def client(server):
    return ollama.Client(host=f"http://127.0.0.1:{server.port}",
                         headers={"Authorization": f"Bearer {server.secret}"}, timeout=120)


def raw(server, method, path, data=None):
    return httpx.request(method, f"http://127.0.0.1:{server.port}{path}", content=data, timeout=120,
                         headers={"Authorization": f"Bearer {server.secret}"})


def test_list_show_and_version(server, client):
    models = client.list().models
    assert [m.model for m in models] == ["smollm2:latest"]
    assert models[0].details.family == "llama" and models[0].details.quantization_level == "Q4_1"
    assert len(models[0].digest) == 64 and models[0].size > 90_000_000
    shown = client.show("smollm2")
    assert "completion" in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama" and shown.modelinfo["llama.context_length"] == 8192
    assert httpx.get(f"http://127.0.0.1:{server.port}/api/version").json()["version"]
    for path in ("/", "/api/version", "/api/tags"):
        assert raw(server, "HEAD", path).status_code == 200


def test_chat_whole_and_streamed_say_the_same(client):
    whole = client.chat("smollm2", HI, options=SHORT)
    assert whole.done and whole.done_reason in ("stop", "length") and whole.message.role == "assistant"
    assert whole.eval_count > 0 and whole.prompt_eval_count > 5 and whole.total_duration > 0
    parts = list(client.chat("smollm2", HI, stream=True, options=SHORT))
    assert len(parts) > 2 and [p.done for p in parts] == [False] * (len(parts) - 1) + [True]
    assert "".join(p.message.content for p in parts) == whole.message.content


def test_generate_stops_where_told(client):
    r = client.generate("smollm2", "Count: one, two, three,", raw=True, options={**SHORT, "num_predict": 20})
    assert r.response
    word = r.response.split()[1].strip(",.") if len(r.response.split()) > 1 else r.response[:3]
    cut = client.generate("smollm2", "Count: one, two, three,", raw=True,
                          options={**SHORT, "num_predict": 20, "stop": [word]})
    assert word not in cut.response and cut.done_reason == "stop"
    assert r.response.startswith(cut.response)


def test_num_predict_is_a_limit(client):
    r = client.chat("smollm2", [{"role": "user", "content": "Tell me a long story."}], options={"num_predict": 3})
    assert r.eval_count == 3 and r.done_reason == "length"


def test_json_format_gives_json(client):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                                               "age": {"type": "integer"}}, "required": ["name", "age"]}
    r = client.chat("smollm2", [{"role": "user", "content": "Name and age of a cat as JSON."}], format=schema,
                    options={"num_predict": 60, "temperature": 0})
    assert r.done_reason == "stop", r
    value = json.loads(r.message.content)
    assert set(value) == {"name", "age"} and isinstance(value["age"], int)


def test_load_ps_and_unload(server, client):
    r = client.generate("smollm2")
    assert r.done and r.done_reason == "load" and r.response == ""
    loaded = client.ps().models
    assert [m.model for m in loaded] == ["smollm2:latest"] and loaded[0].context_length > 0
    assert client.generate("smollm2", keep_alive=0).done_reason == "unload"
    for _ in range(100):
        if not client.ps().models:
            break
        time.sleep(0.1)
    assert client.ps().models == []


def test_errors_are_ollamas(server, client):
    with pytest.raises(ollama.ResponseError) as e:
        client.chat("nope", HI)
    assert e.value.status_code == 404 and e.value.error == "model 'nope' not found"
    with pytest.raises(ollama.ResponseError) as e:
        client.chat("smollm2", HI, think=True)
    assert e.value.status_code == 400 and e.value.error == '"smollm2" does not support thinking'
    with pytest.raises(ollama.ResponseError) as e:
        list(client.pull("evil.example/x/y", stream=True))
    assert "evil.example" in e.value.error
    bad = ollama.Client(host=f"http://127.0.0.1:{server.port}", headers={"Authorization": "Bearer nonsense"})
    with pytest.raises(ollama.ResponseError) as e:
        bad.list()
    assert e.value.status_code == 401


def test_a_prompt_longer_than_the_context_names_both_counts(client):
    with pytest.raises(ollama.ResponseError) as e:
        client.chat("smollm2", [{"role": "user", "content": "word " * 3000}], options={"num_ctx": 512})
    assert e.value.status_code == 400
    numbers = [int(w.strip(",.")) for w in e.value.error.split() if w.strip(",.").isdigit()]
    assert len(numbers) == 2 and numbers[0] > 2000 and numbers[1] <= 512, e.value.error
    many = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "ok"}] * 4 + HI
    r = raw_chat(client, many, truncate=True)
    assert r["done"] and any("left out" in w for w in r["warnings"]), r


def raw_chat(client, messages, **more):
    r = client._client.post("/api/chat", json={"model": "smollm2", "stream": False, "messages": messages,
                                               "options": {**SHORT, "num_ctx": 512}, **more})
    assert r.status_code == 200, r.text
    return r.json()


def test_bad_bodies_get_400_and_nobody_else_is_hurt(server, client):
    deep = b'{"model":' + b"[" * 5000 + b"]" * 5000 + b"}"
    for body in (b"", b"{", b"[]", b'{"model":"a","model":"b"}', b'{"model":"\xff"}', deep, b'{"model":1}', b"null",
                 b'{"model":"smollm2","messages":[{"role":"user","content":"\\ud800"}]}', b'{"model":"x"}trailing'):
        r = raw(server, "POST", "/api/chat", body)
        assert r.status_code in (400, 413), (body[:60], r.status_code, r.text)
        assert r.json()["error"]
    assert raw(server, "POST", "/api/chat", b'{"model":"' + b"x" * (17 << 20) + b'"}').status_code == 413
    assert client.list().models


def test_pull_and_delete(client):
    lines = list(client.pull("starter:smollm2", stream=True))
    assert lines[-1].status == "success" and len(lines) > 1
    names = {m.model for m in client.list().models}
    extra = (names - {"smollm2:latest"}).pop()
    assert client.delete(extra).status == "success"
    assert {m.model for m in client.list().models} == {"smollm2:latest"}
    with pytest.raises(ollama.ResponseError) as e:
        client.delete(extra)
    assert e.value.status_code == 404


def test_blob_and_create(client):
    path = os.path.join(os.environ["TRESOR_DEPS"], "share/starter/smollm2.gguf")
    digest = client.create_blob(path)
    assert client.create_blob(path) == digest  # twice is fine
    done = client.create("mine", files={"smollm2.gguf": digest}, system="You are brief.")
    assert done.status == "success"
    assert client.show("mine").modelinfo["general.architecture"] == "llama"
    assert client.chat("mine", HI, options=SHORT).message.content
    client.delete("mine")
    assert [m.model for m in client.list().models] == ["smollm2:latest"]


def active(server):
    text = raw(server, "GET", "/metrics").text
    return int(next(x for x in text.splitlines() if x.startswith("tresor_generations_active ")).split()[1])


def test_a_client_that_goes_away_stops_its_answer(server):
    url, head = f"http://127.0.0.1:{server.port}/api/chat", {"Authorization": f"Bearer {server.secret}"}
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Count to one thousand, slowly."}],
            "options": {"num_predict": 4000, "temperature": 0, "repeat_penalty": 1.0, "num_ctx": 4096}}
    for stream in (True, False):
        got = threading.Event()

        def leave(stream=stream, got=got):
            try:
                with httpx.stream("POST", url, json={**body, "stream": stream}, headers=head,
                                  timeout=120 if stream else 3) as r:
                    for _ in r.iter_lines():
                        got.set()
                        return
            except httpx.TimeoutException:
                got.set()

        t = threading.Thread(target=leave)
        t.start()
        assert got.wait(120)
        t.join()
        end = time.monotonic() + 5
        while active(server) and time.monotonic() < end:
            time.sleep(0.02)
        assert active(server) == 0, f"still running, stream={stream}"


def test_the_command_line_client_of_python_runs_async(server):
    import asyncio

    async def many():
        c = ollama.AsyncClient(host=f"http://127.0.0.1:{server.port}",
                               headers={"Authorization": f"Bearer {server.secret}"}, timeout=120)
        return await asyncio.gather(*[c.chat("smollm2", HI, options=SHORT) for _ in range(6)])

    answers = asyncio.run(many())
    assert len(answers) == 6 and all(a.done for a in answers)
