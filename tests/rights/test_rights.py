"""Every route x who x (own, foreign, missing) object against the running program.

The list and the expected answers are made by tools/gen_routes.py from api/routes.json and a table of rights that is
written there a second time; the program decides by src/vault/authorize.c."""
import http.client
import json
import os
import socket
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.environ.get("TRESOR_ROOT") or os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))
from tresor import PASSWORD, Browser, Instance  # noqa: E402

ALL_SCOPES = "chat,models.read,models.change,models.push,people,audit,doctor,egress,metrics"
ROLES = ("member", "admin", "owner")


class Local(http.client.HTTPConnection):
    """The operator's way in: the Unix socket in the data directory."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class World:
    """People with sessions and keys, and objects made fresh for each case that may use them up."""

    def __init__(self, instance):
        self.i = instance
        self.browsers, self.keys = {}, {}
        self.n = 0
        for role in ROLES:
            self.i.add_user(f"{role}@example.org", role)
            self.login(role)
            self.keys[f"key-{role}"] = self.i.key(f"{role}@example.org", ALL_SCOPES)
        self.i.add_user("other@example.org", "member")
        self.login("other")
        # Made while nothing runs: later they would wait for the answers that cases begin.
        self.kept = {whose: self.make("response", whose) for whose in self.browsers}
        for role in ("admin", "owner"):
            for scope in ("doctor", "metrics"):  # the other one is what the route asks for
                self.keys[f"key-noscope-{role}", scope] = self.i.key(f"{role}@example.org", scope)

    def login(self, who):
        b = Browser(self.i)
        status, reply = b.login(f"{who}@example.org")
        assert status == 200, reply
        self.browsers[who] = b

    def role_of(self, who):
        return who.split("-")[-1]

    def person(self, role):
        self.n += 1
        email = f"p{self.n}@example.org"
        status, text = self.local("POST", "/team/v1/people", {"email": email, "role": role, "password": PASSWORD})
        assert status == 200, text
        return json.loads(text)["id"]

    def make(self, kind, whose):
        b = self.browsers[whose]
        if kind == "key":
            status, reply = b.call("POST", "/team/v1/keys", {"name": "k"})
            assert status == 200, reply
            return reply["key"]["id"]
        if kind == "response":
            status, reply = b.call("POST", "/v1/responses", {"model": "smollm2", "input": "x", "max_output_tokens": 1})
            assert status == 200, reply
            return reply["id"]
        status, c = b.call("POST", "/team/v1/conversations", {"title": "t"})
        assert status == 201, c
        if kind == "conversation":
            return c["id"]
        status, sent = b.call("POST", f"/team/v1/conversations/{c['id']}/messages", {"content": "x"})
        assert status == 201, sent
        return sent["answer"]["id"]

    def object_id(self, case):
        if case["which"] == "missing":
            return "01" + "a" * 24
        if case["object"] == "person":
            return self.person(case["which"])
        whose = self.role_of(case["who"]) if case["which"] == "own" else "other"
        if case["object"] == "response" and not (case["method"] == "DELETE" and case["which"] == "own"):
            return self.kept[whose]
        return self.make(case["object"], whose)

    def local(self, method, path, body):
        c = Local(os.path.join(self.i.data, "control.sock"))
        return self.send(c, method, path, body, {})

    def send(self, c, method, path, body, headers):
        c.request(method, path, None if body is None else json.dumps(body),
                  {"Content-Type": "application/json", **headers})
        r = c.getresponse()
        stream = r.headers.get("Content-Type", "").startswith("text/event-stream")
        text = b"" if stream else r.read()
        c.close()
        return r.status, text

    def headers(self, case):
        who = case["who"]
        if who.startswith("key-noscope"):
            scope = "metrics" if case["scope"] == "doctor" else "doctor"
            return {"Authorization": f"Bearer {self.keys[who, scope]}"}
        if who in self.keys:
            return {"Authorization": f"Bearer {self.keys[who]}"}
        if who in self.browsers:
            b = self.browsers[who]
            return {"Cookie": b.cookie, "X-Tresor-CSRF": b.csrf, "Origin": f"http://127.0.0.1:{self.i.port}"}
        return {}

    def ask(self, case, path, body):
        method = case["method"]
        if case["who"] == "local":
            return self.local(method, path, body)
        return self.send(self.i.connection(60), method, path, body, self.headers(case))


@pytest.fixture(scope="module")
def world():
    with Instance() as i:
        i.start()
        i.with_model()
        yield World(i)


def load_cases():
    out = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"rights-{os.getpid()}.json")
    subprocess.run([sys.executable, os.path.join(ROOT, "tools/gen_routes.py"), "--cases",
                    os.path.join(ROOT, "api/routes.json"), out], check=True)
    with open(out, encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    os.remove(out)
    return cases


CASES = load_cases()
ROUTES = sorted({(c["method"], c["path"]) for c in CASES})


def body_of(case, world):
    if case["method"] in ("GET", "HEAD"):
        return None
    if case["object"] == "role":
        world.n += 1
        return {"email": f"r{world.n}@example.org", "role": case["which"],
                **({"password": PASSWORD} if case["handler"] == "team_person_new" else {})}
    if case["handler"] == "team_message_new":
        return {"content": "x"}
    return {}


def wrong(case, status, text):
    """What is wrong with this answer; None: nothing."""
    want = case["expect"]
    if want:
        return None if status == want else f"{status}, wanted {want}"
    if status in (401, 403):
        return f"{status}, should be let through"
    if status == 404 and case["handler"] == "team_message_picture" and b"no such picture" in text:
        return None  # let through: the message has none
    if status == 404 and case["object"] in ("conversation", "message", "response", "key", "person"):
        return "404, should be let through"
    return f"{status}" if status >= 500 else None


@pytest.mark.parametrize("method,path", ROUTES, ids=[f"{m} {p}" for m, p in ROUTES])
def test_route(world, method, path):
    bad, looks = [], {}
    for case in (c for c in CASES if (c["method"], c["path"]) == (method, path)):
        target = path.replace("{name}", "nope").replace("{digest}", "sha256:" + "0" * 64).replace("{host}", "h.example")
        target = target.replace("{prompt}", "01" + "a" * 24).replace("{trial}", "01" + "a" * 24)
        target = target.replace("{pull}", "01" + "a" * 24).replace("{place}", "0")
        if "{id}" in target:
            target = target.replace("{id}", world.object_id(case))
        status, text = world.ask(case, target, body_of(case, world))
        why = wrong(case, status, text)
        if why:
            bad.append(f'{case["who"]} on {case["which"]}: {why}: {text[:120]!r}')
        if case["which"] in ("foreign", "missing") and status == 404:
            looks.setdefault(case["who"], set()).add(json.loads(text)["error"]["message"])
        if case["handler"] in ("team_logout", "team_me_password") and status == 200:
            world.login(world.role_of(case["who"]))
    assert not bad, "\n".join(bad)
    for who, texts in looks.items():
        assert len(texts) == 1, f"{who} can tell a foreign object from a missing one: {texts}"


def test_every_route_of_the_contract_was_asked():
    with open(os.path.join(ROOT, "api/routes.json"), encoding="utf-8") as f:
        routes = {(r["method"], r["path"]) for r in json.load(f)["routes"]}
    assert routes == set(ROUTES)
    assert len(CASES) > 600
    assert {c["expect"] for c in CASES} == {0, 401, 403, 404}
