"""Aliases against the real program and two small models: what answers changes only when a person says so."""
import http.client
import json
import os
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Browser, Instance  # noqa: E402

CLIENTS, FLIPS, PROMPTS = 8, 20, 20
HEADER = "X-Tresor-Model-Digest"


class House(Instance):
    """An instance with an owner, a member, and two models: old and new."""

    def begin(self):
        self.start()
        self.must("pull", "starter:smollm2", "--as", "old:1")
        self.must("pull", "starter:gemma3-270m", "--as", "new:1")
        self.add_user("o@example.org", "owner")
        self.add_user("m@example.org", "member")
        self.secret = self.key("o@example.org", "chat,models.read,models.change,audit")
        self.member = self.key("m@example.org", "chat,models.read,models.change")
        return self

    def tags(self):
        return {m["name"]: m for m in self.api("GET", "/api/tags", key=self.secret)[1]["models"]}

    def digest(self, name):
        return self.tags()[name]["digest"]

    def ask(self, model, key=None, path="/api/chat", **more):
        """(status, digest that the answer names, body)."""
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "stream": False,
                "options": {"num_predict": 4, "temperature": 0, "seed": 1}, **more}
        body = {k: v for k, v in body.items() if v is not None}
        status, text, headers = self.request("POST", path, body, {"Authorization": f"Bearer {key or self.secret}"})
        return status, headers.get(HEADER), text

    def team(self, method, path, body=None, key=None):
        return self.api(method, "/team/v1" + path, body, key or self.secret)

    def audited(self):
        return [(e["action"], e.get("object"), e["outcome"]) for e in self.records()]

    def records(self):
        found, before = [], 0
        while True:
            page = self.team("GET", f"/audit?limit=100&before={before}")[1]
            found += page["entries"]
            before = page["next"]
            if not before:
                return found


@pytest.fixture(scope="module")
def house():
    with House() as i:
        yield i.begin()


def fresh(house, name):
    """An alias with production old:1 and candidate new:1."""
    house.run("alias", "rm", name)
    house.must("alias", "set", name, "old:1")
    house.must("alias", "set", name, "new:1")
    return house.digest("old:1"), house.digest("new:1")


def test_an_alias_stands_wherever_a_model_name_stands(house):
    old, _ = fresh(house, "assistant")
    assert house.tags()["assistant"]["digest"] == old and house.tags()["assistant"]["alias_of"] == "old:1"
    assert "assistant" in [m["id"] for m in house.api("GET", "/v1/models", key=house.secret)[1]["data"]]
    assert "assistant " in house.must("list")
    other = {"max_tokens": 4, "options": None, "temperature": 0}
    prompt = {"prompt": "Hi", "messages": None}
    for path, more in (("/api/chat", {"stream": True}), ("/api/generate", prompt), ("/v1/chat/completions", other),
                       ("/v1/chat/completions", {**other, "stream": True}), ("/v1/completions", {**other, **prompt}),
                       ("/v1/messages", other), ("/v1/messages", {**other, "stream": True})):
        status, digest, text = house.ask("assistant", path=path, **more)
        assert (status, digest) == (200, old), (path, text)
    shown = house.api("POST", "/api/show", {"model": "assistant"}, house.secret)[1]
    assert shown["alias"]["name"] == "assistant" and shown["alias"]["channel"] == "production"
    assert shown["alias"]["model"] == "old:1" and shown["alias"]["digest"] == shown["digest"] == old
    assert abs(shown["alias"]["since_ms"] / 1000 - time.time()) < 300
    text = house.must("show", "assistant")
    assert "let in by" in text and "the operator" in text and old in text
    owner = Browser(house)
    assert owner.login("o@example.org")[0] == 200
    status, made = owner.call("POST", "/team/v1/conversations", {"model": "assistant"})
    status, sent = owner.call("POST", f"/team/v1/conversations/{made['id']}/messages", {"content": "Hi"})
    assert status == 201, sent
    owner.call("POST", f"/team/v1/messages/{sent['answer']['id']}/stop", {})


def test_a_pull_that_moves_a_name_moves_no_alias_and_says_so(house):
    house.must("cp", "old:1", "moving")
    house.must("alias", "set", "steady", "moving")
    before = house.digest("moving:latest")
    status, text, _ = house.request("POST", "/api/pull", {"model": "starter:gemma3-270m", "as": "moving"},
                                    {"Authorization": f"Bearer {house.secret}"})
    lines = [json.loads(x) for x in text.splitlines()]
    assert status == 200 and lines[-1]["status"] == "success"
    version = f"moving:latest@sha256:{before}"
    assert lines[-1]["kept"] == version and any(version in x["status"] for x in lines)
    assert house.digest("moving:latest") == house.digest("new:1")
    assert house.ask("steady")[1] == before
    assert house.tags()[version]["digest"] == before
    assert house.api("POST", "/api/show", {"model": version}, house.secret)[1]["digest"] == before
    # a copy says it too, and a name without an alias moves as Ollama moves it
    assert version in house.must("list")
    house.must("cp", "old:1", "free")
    assert "the old version stays as free:latest@sha256:" in house.must("cp", "new:1", "free")
    assert house.digest("free:latest") == house.digest("new:1")
    code, _, err = house.run("rm", version)
    assert code == 1 and "steady" in err
    house.must("alias", "rm", "steady")
    house.must("rm", version)
    house.must("rm", "moving", "free")
    assert not [n for n in house.tags() if n.startswith(("moving", "free"))]


def test_promotion_needs_a_trial_or_a_reason(house):
    old, new = fresh(house, "assistant")
    code, _, err = house.run("alias", "promote", "assistant")
    assert code == 1 and "no accepted trial" in err
    assert house.team("POST", "/aliases/assistant/promote", {"override": "  "})[0] == 400
    assert house.ask("assistant")[1] == old
    assert house.team("POST", "/aliases/assistant/promote", {"override": "the old one leaks names"})[0] == 200
    assert house.ask("assistant")[1] == new
    assert ("alias.override", "assistant", "begun") in house.audited()
    target = house.team("GET", "/aliases")[1]["aliases"][0]["production"]
    assert target["reason"] == "the old one leaks names" and target["person"]
    start = time.monotonic()
    house.must("alias", "back", "assistant")
    assert house.ask("assistant")[1] == old and time.monotonic() - start < 5
    assert ("alias.back", "assistant", "begun") in house.audited()


def wait_trial(house, alias):
    end = time.monotonic() + 240
    while time.monotonic() < end:
        trial = house.team("GET", f"/aliases/{alias}/trials")[1]["trials"][0]
        if trial["state"] != "running":
            return trial
        time.sleep(0.2)
    raise AssertionError("the trial does not end")


def test_a_trial_that_a_person_accepted_lets_the_candidate_in(house):
    old, new = fresh(house, "assistant")
    code, _, err = house.run("trial", "run", "assistant")
    assert code == 1 and "no prompts" in err
    ids = [house.must("trial", "add", "assistant", f"What is {i} plus {i}?") for i in range(PROMPTS)]
    assert len(set(ids)) == PROMPTS
    assert house.run("trial", "add", "assistant", "What is 1 plus 1?")[0] == 1
    house.must("trial", "rm", "assistant", ids[0])
    assert house.run("trial", "rm", "assistant", ids[0])[0] == 1
    house.must("trial", "run", "assistant", "--tokens", "4")
    assert wait_trial(house, "assistant")["answered"] == PROMPTS - 1
    code, _, err = house.run("trial", "accept", "assistant")
    assert code == 1 and "20" in err
    house.must("trial", "add", "assistant", "-", stdin="A prompt\nof two lines")
    assert house.must("trial", "list", "assistant").count("\n") == PROMPTS
    house.must("trial", "run", "assistant", "--tokens", "4")
    trial = wait_trial(house, "assistant")
    assert trial["state"] == "done", trial
    assert (trial["old_digest"], trial["new_digest"], trial["answered"]) == (old, new, PROMPTS)
    full = house.team("GET", f"/aliases/assistant/trials/{trial['id']}")[1]["answers"]
    assert len(full) == PROMPTS and all(a["old_ms"] > 0 and a["new_ms"] > 0 for a in full)
    assert full[-1]["prompt"] == "A prompt\nof two lines" and any(a["old"] != a["new"] for a in full)
    assert house.run("alias", "promote", "assistant")[0] == 1  # nobody accepted it yet
    house.must("trial", "reject", "assistant", "too", "short")
    assert house.run("alias", "promote", "assistant")[0] == 1
    house.must("trial", "accept", "assistant", "good", "enough")
    assert "good enough" in house.must("trial", "show", "assistant")
    # it counts for these two versions alone
    house.must("create", "other:1", "-f", modelfile(house, "FROM new:1\nSYSTEM other"))
    house.must("alias", "set", "assistant", "other:1")
    assert house.run("alias", "promote", "assistant")[0] == 1
    house.must("alias", "set", "assistant", "new:1")
    house.must("alias", "promote", "assistant")
    assert house.ask("assistant")[1] == new
    assert house.api("POST", "/api/show", {"model": "assistant"}, house.secret)[1]["alias"]["trial"] == trial["id"]
    done = [a for a, *_ in house.audited()]
    assert all(x in done for x in ("trial.run", "trial.accept", "trial.reject", "alias.promote", "alias.set"))
    assert not any("plus" in json.dumps(e) for e in house.records())


def modelfile(house, text):
    path = os.path.join(house.home, "Modelfile")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")
    return path


def test_what_an_alias_names_is_not_deleted(house):
    fresh(house, "assistant")
    house.must("cp", "old:1", "keep")
    house.must("alias", "set", "kept", "keep")
    code, _, err = house.run("rm", "keep")
    assert code == 1 and '"kept"' in err and "--force" in err
    assert house.api("DELETE", "/api/delete", {"model": "keep"}, house.secret)[0] == 409
    assert house.team("DELETE", "/models/keep")[0] == 409
    assert house.ask("kept")[0] == 200
    code, _, err = house.run("rm", "kept")
    assert code == 1 and "alias rm kept" in err
    house.must("rm", "--force", "keep")
    assert "keep:latest" not in house.tags()
    house.must("alias", "rm", "kept")


def test_members_use_production_and_change_nothing(house):
    fresh(house, "assistant")
    assert house.ask("assistant", house.member)[0] == 200
    assert house.ask("assistant:candidate", house.secret)[1] == house.digest("new:1")
    for channel in ("candidate", "CANDIDATE"):
        assert house.ask(f"assistant:{channel}", house.member)[0] == 403
    assert house.api("POST", "/api/show", {"model": "assistant:candidate"}, house.member)[0] == 403
    assert house.team("GET", "/aliases", key=house.member)[0] == 200
    for method, path, body in (("PUT", "/aliases/assistant", {"model": "new:1"}), ("DELETE", "/aliases/assistant", None),
                               ("POST", "/aliases/assistant/promote", {"override": "x"}),
                               ("POST", "/aliases/assistant/back", {}), ("GET", "/aliases/assistant/prompts", None),
                               ("POST", "/aliases/assistant/trials", {})):
        assert house.team(method, path, body, house.member)[0] == 403, path
    member = Browser(house)
    assert member.login("m@example.org")[0] == 200
    assert member.call("POST", "/team/v1/conversations", {"model": "assistant:candidate"})[0] == 403
    status, made = member.call("POST", "/team/v1/conversations", {"model": "assistant"})
    assert status == 201
    assert member.call("PATCH", f"/team/v1/conversations/{made['id']}", {"model": "assistant:candidate"})[0] == 403
    assert member.call("POST", f"/team/v1/conversations/{made['id']}/messages",
                       {"content": "x", "model": "assistant:candidate"})[0] == 403


BAD = ["..", "../x", "Assistant", "a b", "a.b", "1a", "-a", "_a", "starter", "file", "a" * 49, "a" * 10000,
       "аssistant", "assist\u200bant", "ａssistant", "assistänt", "a\n", "a@b", "a:b", ""]


@pytest.mark.parametrize("name", BAD, ids=[ascii(n[:20]) for n in BAD])
def test_what_no_alias_is_called(house, name):
    code, _, err = house.run("alias", "set", name, "old:1")
    assert code in (1, 2) and err, name
    assert all(a["name"] in ("assistant",) for a in house.team("GET", "/aliases")[1]["aliases"])
    status, digest, text = house.ask(name or "nobody")
    assert (400 <= status < 500 and not digest) or name in ("Assistant",), text


def test_names_of_models_and_aliases_do_not_meet(house):
    code, _, err = house.run("alias", "set", "old", "new:1")
    assert code == 0, err  # old:1 is another name than old
    code, _, err = house.run("cp", "new:1", "old")
    assert code == 1 and '"old" is an alias' in err
    assert house.run("create", "old", "-f", modelfile(house, "FROM new:1"))[0] == 1
    assert house.run("pull", "starter:smollm2", "--as", "old:candidate")[0] == 1
    house.must("alias", "rm", "old")


class Load:
    """Clients that stream all the time, and what production was meanwhile."""

    def __init__(self, house):
        self.house, self.stop, self.lock = house, threading.Event(), threading.Lock()
        self.wrong, self.answers, self.flips = [], 0, []  # flips: (from, to, digest from then on)
        self.seen = set()

    def one(self, i):
        sent = time.monotonic()
        c = http.client.HTTPConnection("127.0.0.1", self.house.port, timeout=60)
        body = {"model": "assistant", "messages": [{"role": "user", "content": f"Count to {i}."}],
                "options": {"num_predict": 6, "temperature": 0}}
        c.request("POST", "/api/chat", json.dumps(body), {"Authorization": f"Bearer {self.house.secret}"})
        r = c.getresponse()
        begun, digest = time.monotonic(), r.headers.get(HEADER)
        lines = [json.loads(x) for x in r.read().splitlines()]
        c.close()
        with self.lock:
            self.answers += 1
            self.seen.add(digest)
            if r.status != 200 or not lines[-1].get("done") or any("error" in x for x in lines):
                self.wrong.append((r.status, lines[-1]))
            elif not self.right(sent, begun, digest):
                self.wrong.append(("digest", digest, sent, begun))
            elif lines[-1].get("model_digest") not in (None, self.blobs[digest]):
                self.wrong.append(("made by another model", digest, lines[-1]["model_digest"]))

    def right(self, sent, begun, digest):
        """Was it production at some moment between the request and its first byte?"""
        held = [(f[1], f[2]) for f in self.flips if f[1] <= sent][-1:]
        return digest in [d for _, d in held] + [f[2] for f in self.flips if f[0] <= begun and f[1] > sent]

    def client(self, i):
        try:
            while not self.stop.is_set():
                self.one(i)
        except Exception as e:  # any failure of a request is one of the test
            self.wrong.append(repr(e))


def test_a_flip_under_load_fails_nobody(house):
    old, new = fresh(house, "assistant")
    load = Load(house)
    load.blobs = {d: house.api("POST", "/api/show", {"model": n}, house.secret)[1]["model_digest"]
                  for n, d in (("old:1", old), ("new:1", new))}
    assert house.ask("assistant")[1] == old and house.ask("assistant:candidate")[1] == new  # both are loaded
    load.flips.append((0, 0, old))
    threads = [threading.Thread(target=load.client, args=(i,)) for i in range(CLIENTS)]
    for t in threads:
        t.start()
    for i in range(FLIPS):
        now = new if i % 2 == 0 else old
        entry = [time.monotonic(), float("inf"), now]
        with load.lock:
            load.flips.append(entry)
        action, body = ("promote", {"override": "test"}) if i == 0 else ("back", {})
        status, reply = house.team("POST", f"/aliases/assistant/{action}", body)
        entry[1] = time.monotonic()
        assert status == 200 and reply["production"]["digest"] == now, reply
        start = time.monotonic()
        assert house.ask("assistant")[1] == now and time.monotonic() - start < 5
        time.sleep(0.2)
    load.stop.set()
    for t in threads:
        t.join(60)
    assert not load.wrong, load.wrong[:5]
    assert load.answers >= 2 * CLIENTS and load.seen == {old, new}


def test_everything_is_as_it_was_after_a_restart(house):
    old, new = fresh(house, "assistant")
    assert house.stop() == 0
    house.start()
    assert house.ask("assistant")[1] == old and house.ask("assistant:candidate")[1] == new
