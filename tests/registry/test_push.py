"""Pushing to a real registry, and to one that asks who we are, fails, and lies."""
import base64, http.server, json, os, pathlib, re, socket, threading, urllib.parse

import pytest

from conftest import House, make_adapter, make_gguf, sha
from test_egress import Server
from test_product import Product, product  # noqa: F401 (fixture)

MiB = 1024 * 1024
TEXTS = dict(template="{{ .Prompt }}", system="Du bist nett.", license="Apache License\nVersion 2.0")


class Oci(Server):
    """A small registry that takes pushes; `answer` may take a request over, as in Server."""

    def __init__(self, answer=None, auth=None, user="haus:geheim", **kw):
        super().__init__(answer, **kw)
        self.auth, self.basic = auth, "Basic " + base64.b64encode(user.encode()).decode()
        self.uploads, self.manifests, self.taken = {}, {}, 0
        outer, handler = self, self.server.RequestHandlerClass
        for method in ("GET", "HEAD", "POST", "PATCH", "PUT"):
            setattr(handler, "do_" + method, lambda h: outer.serve(h))

    def serve(self, h):
        self.log.append((h.command, h.path, dict(h.headers)))
        path, _, query = h.path.partition("?")
        q = dict(urllib.parse.parse_qsl(query))
        got = h.headers.get("Authorization", "")
        if self.answer and self.answer(h):
            return None
        if path == "/token":
            ok = got == self.basic and "push" in q.get("scope", "")
            return h.reply(200, b'{"token": "zeichen"}') if ok else h.reply(401)
        if self.auth == "basic" and got != self.basic:
            return self.refuse(h, 'Basic realm="reg"')
        if self.auth == "bearer" and got != "Bearer zeichen":
            return self.refuse(h, f'Bearer realm="http://127.0.0.1:{self.port}/token",service="reg",'
                               'scope="repository:firma/m:pull,push"')
        return self.route(h, path, q)

    def refuse(self, h, challenge):
        h.rfile.read(int(h.headers.get("Content-Length", 0)))
        return h.reply(401, WWW_Authenticate=challenge)

    def body(self, h):
        data = h.rfile.read(int(h.headers.get("Content-Length", 0)))
        self.taken += len(data)
        return data

    def route(self, h, path, q):
        if "/blobs/uploads/" in path:
            return self.upload(h, path, q)
        if h.command == "PUT" and "/manifests/" in path:
            self.manifests[path] = self.body(h)
            return h.reply(201)
        if "/manifests/" in path:
            m = self.manifests.get(path)
            return h.reply(200, m) if m else h.reply(404)
        data = self.blobs.get(path.rsplit("/", 1)[1])
        if data is None:
            return h.reply(404)
        if h.command == "HEAD":
            h.send_response(200)
            h.send_header("Content-Length", str(len(data)))
            return h.end_headers()
        a, b = re.match(r"bytes=(\d+)-(\d+)", h.headers["Range"]).groups() if "Range" in h.headers else (0, len(data) - 1)
        part = data[int(a):int(b) + 1]
        return h.reply(206 if "Range" in h.headers else 200, part, Content_Range=f"bytes {a}-{b}/{len(data)}")

    def upload(self, h, path, q):
        name = path.rsplit("/", 1)[1]
        if h.command == "POST":
            if q.get("mount") in self.blobs:
                return h.reply(201)
            name = f"u{len(self.uploads)}"
            self.uploads[name] = b""
            return h.reply(202, Location=f"{path}{name}?state=x")
        if h.command == "GET":
            return h.reply(204, Location=h.path, Range=f"0-{max(0, len(self.uploads[name]) - 1)}")
        data = self.body(h)
        at = h.headers.get("Content-Range")
        if at and int(at.split("-")[0]) != len(self.uploads[name]):
            return h.reply(416)
        self.uploads[name] += data
        if h.command == "PATCH":
            return h.reply(202, Location=h.path, Range=f"0-{len(self.uploads[name]) - 1}")
        whole = self.uploads.pop(name)
        if "sha256:" + sha(whole) != q["digest"]:
            return h.reply(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
        self.blobs["sha256:" + sha(whole)] = whole
        return h.reply(201)


@pytest.fixture
def oci():
    made = []

    def make(*a, **kw):
        made.append(Oci(*a, **kw))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture
def filled(registry, tmp_path):
    """A house with one model of four parts: (house, model, name as it lies there)."""
    house = House(tmp_path / "full")
    model = make_gguf(5 * MiB)
    registry.put_model("library/quelle", "v1", model, **TEXTS)
    assert house.pull(registry.port, "quelle:v1").code == 0, house.err
    return house, model, f"127.0.0.1:{registry.port}/library/quelle:v1"


def push(house, port, name="firma/m:v1", *options, allow="--allow-push"):
    return house("push", f"127.0.0.1:{port}/{name}", options=[allow, f"127.0.0.1:{port}", "--retry", "5", *options])


def give(filled, port, name="firma/m:v1"):
    house, model, source = filled
    assert house("cp", source, f"127.0.0.1:{port}/{name}").code == 0, house.err
    return house, model


def test_a_real_registry_gets_it_whole(registry, filled, tmp_path):
    house, model = give(filled, registry.port)
    assert push(house, registry.port).code == 0, house.err
    lines = [json.loads(x) for x in house.out.splitlines()]
    assert lines[0]["status"] == "retrieving manifest" and lines[-1]["status"] == "success"
    assert lines[-2]["status"] == "pushing manifest"
    last = [x for x in lines if x["digest"] == sha(model)][-1]
    assert last["status"] == f"pushing {sha(model)[:12]}" and last["completed"] == last["total"] == len(model)
    other = House(tmp_path / "other")
    assert other.pull(registry.port, "firma/m:v1").code == 0, other.err
    blob = other.folder / "models/blobs" / ("sha256-" + sha(model))
    assert sha(blob.read_bytes()) == sha(model)
    name = f"127.0.0.1:{registry.port}/firma/m:v1"
    mine, theirs = (json.loads(h("show", name).out) for h in (house, other))
    assert mine["manifest"] == theirs["manifest"] and theirs["system"] == TEXTS["system"]


def test_an_adapter_goes_along(registry, filled, tmp_path):
    house, _ = give(filled, registry.port)
    here = f"127.0.0.1:{registry.port}/firma/m:v1"
    rows = 5 * MiB // 128
    paths = {}
    for n in (0, 1):  # one that fits, one that does not
        paths[n] = tmp_path / f"{n}.gguf"
        paths[n].write_bytes(make_adapter(rows + n))
        assert house("upload", sha(paths[n].read_bytes()), paths[n]).code == 0
    wanted = {"model": here, "from": here, "adapters": {"a.gguf": "sha256:" + sha(paths[1].read_bytes())}}
    assert house("create", json.dumps(wanted)).code == 1 and "shape" in house.err
    wanted["adapters"]["a.gguf"] = "sha256:" + sha(paths[0].read_bytes())
    assert house("create", json.dumps(wanted)).code == 0, house.err
    assert push(house, registry.port).code == 0, house.err
    other = House(tmp_path / "other")
    assert other.pull(registry.port, "firma/m:v1").code == 0, other.err
    assert "sha256-" + sha(paths[0].read_bytes()) in other.blobs()
    mine, theirs = (json.loads(h("show", here).out) for h in (house, other))
    assert mine["manifest"] == theirs["manifest"]


def test_an_adapter_of_another_model_ends_the_pull(registry, tmp_path):
    registry.put_model("library/bent", "latest", make_gguf(MiB), adapter=make_adapter(7))
    other = House(tmp_path / "other")
    assert other.pull(registry.port, "library/bent").code == 1
    assert "shape" in other.out + other.err and other.blobs() == [] and other.names() == []


def test_in_parts_to_a_real_registry(registry, filled):
    house, model = give(filled, registry.port, "firma/teile:v1")
    assert push(house, registry.port, "firma/teile:v1", "--part", "700001").code == 0, house.err
    assert registry.blob_file(model).read_bytes() == model


def test_what_is_there_is_not_sent(oci, filled):
    r = oci()
    house, model = give(filled, r.port)
    assert push(house, r.port).code == 0, house.err
    assert r.blobs["sha256:" + sha(model)] == model and r.taken > len(model)
    r.taken = 0
    assert push(house, r.port).code == 0, house.err
    assert r.taken < 4096


def test_a_neighbour_gives_what_it_has(oci, filled):
    r = oci()
    house, model = give(filled, r.port, "firma/alt:v1")
    give(filled, r.port, "firma/neu:v1")
    assert push(house, r.port, "firma/alt:v1").code == 0, house.err
    heads = lambda h: h.command == "HEAD" and h.reply(404)  # noqa: E731 (each repository sees only its own)
    r.answer, r.taken = heads, 0
    assert push(house, r.port, "firma/neu:v1").code == 0, house.err
    assert r.taken < 4096
    assert any(f"mount=sha256:{sha(model)}&from=firma/alt" in path for m, path, _ in r.log if m == "POST")


def test_only_where_it_is_allowed(oci, filled):
    r = oci()
    house, _ = give(filled, r.port)
    assert push(house, r.port, allow="--allow").code == 1
    assert "egress_refused" in house.err and "may not be sent" in house.err and not r.log


@pytest.mark.parametrize("name,slug", [("nirgends/x:v1", "not_found"), ("../m", "invalid"), ("A" * 300, "invalid")])
def test_names_that_are_none(oci, filled, name, slug):
    r = oci()
    assert push(filled[0], r.port, name).code == 1 and slug in filled[0].err and not r.log


def test_a_starter_or_hugging_face_is_no_registry(filled):
    house = filled[0]
    for name in ("starter:smollm2", "hf.co/a/b:c"):
        assert house("push", name).code == 1 and "unsupported" in house.err


def test_a_registry_that_fails_now_and_then(oci, filled):
    """Each part fails once: after an error page, after a cut, and by forgetting the upload."""
    failed = set()

    def answer(h):
        if h.command not in ("PATCH", "PUT") or "/uploads/" not in h.path:
            return False
        key = (h.command, h.headers.get("Content-Range"))
        if key in failed:
            return False
        failed.add(key)
        kind = len(failed) % 3
        if kind == 0:
            h.rfile.read(1000)
            h.close_connection = True
            h.connection.shutdown(socket.SHUT_RDWR)
            return True
        h.rfile.read(int(h.headers.get("Content-Length", 0)))
        return h.reply(503 if kind == 1 else 404)
    r = oci(answer)
    house, model = give(filled, r.port)
    assert push(house, r.port, "firma/m:v1", "--part", "1000003").code == 0, house.err
    assert r.blobs["sha256:" + sha(model)] == model and len(failed) > 5


def test_a_registry_that_never_takes_it(oci, filled):
    r = oci(lambda h: h.command == "PUT" and h.rfile.read(int(h.headers["Content-Length"])) is not None and h.reply(500))
    house, _ = give(filled, r.port)
    assert push(house, r.port).code == 1 and "upstream_failed" in house.err and "500" in house.err
    assert not r.manifests


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "http://127.0.0.1:1/x", "//u@h/"])
def test_an_upload_that_leads_elsewhere(oci, filled, location):
    r = oci(lambda h: h.command == "POST" and h.reply(202, Location=location))
    house, _ = give(filled, r.port)
    assert push(house, r.port).code == 1
    assert "upstream_failed" in house.err or "egress_refused" in house.err


def test_storage_elsewhere_gets_the_bytes_without_the_token(oci, filled):
    store = oci()

    def answer(h):
        if h.command == "PUT" and "/uploads/" in h.path:
            h.rfile.read(int(h.headers["Content-Length"]))
            return h.reply(307, Location=f"http://127.0.0.1:{store.port}/store")
        return False
    store.answer = lambda h: h.command == "PUT" and (store.blobs.update({"sha256:" + sha(d): d for d in [store.body(h)]})
                                                     or h.reply(201))
    r = oci(answer, auth=None)
    house, model = give(filled, r.port)
    options = ["--allow-push", f"127.0.0.1:{store.port}"]
    assert push(house, r.port, "firma/m:v1", *options).code == 0, house.err
    assert store.blobs["sha256:" + sha(model)] == model
    # and not where nobody allowed it
    assert push(house, oci(answer).port, "firma/m:v1").code == 1


# ---- the whole program ----

@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_stored_login_is_used_and_kept_from_everybody(oci, registry, product, auth):
    r = oci(auth=auth)
    model = make_gguf(3 * MiB)
    registry.put_model("library/eigen", "v1", model, **TEXTS)
    p = product().begin(registry.port)
    name = f"127.0.0.1:{r.port}/firma/m:v1"
    p.must("pull", f"127.0.0.1:{registry.port}/library/eigen:v1")
    p.must("cp", f"127.0.0.1:{registry.port}/library/eigen:v1", name)
    code, _, err = p.run("push", name)
    assert code == 1 and "not on the list" in err
    p.must("sources", "add", f"127.0.0.1:{r.port}", "our own registry", "--plain")
    code, _, err = p.run("push", name)
    assert code == 1 and "may not be sent" in err and "--push" in err
    p.must("sources", "add", f"127.0.0.1:{r.port}", "our own registry", "--push", "--plain")
    code, _, err = p.run("push", name)
    assert code == 1 and "sources login" in err
    p.must("sources", "login", f"127.0.0.1:{r.port}", "--user", "haus", "--password-stdin", stdin="falsch\n")
    code, _, err = p.run("push", name)
    assert code == 1 and "log-in that is stored" in err
    p.must("sources", "login", f"127.0.0.1:{r.port}", "--user", "haus", "--password-stdin", stdin="geheim\n")
    p.must("push", name)
    assert r.blobs["sha256:" + sha(model)] == model and len(r.manifests) == 1
    # a pull from there needs it, too
    p.must("rm", name)
    p.must("pull", name, "--as", "zurueck")
    assert "zurueck:latest" in p.models()
    listed = json.loads(p.must("sources", "list", "--json"))["hosts"]
    mine = next(h for h in listed if h["port"] == r.port)
    assert mine["push"] and mine["login"] and mine["purpose"] == "our own registry"
    secret = base64.b64encode(b"haus:geheim")
    for f in pathlib.Path(p.data).rglob("*"):
        if f.is_file() and "models" not in f.parts:
            data = f.read_bytes()
            assert b"geheim" not in data and secret not in data, f
    assert "geheim" not in p.log_text()
    actions = [e["action"] for e in p.owner.call("GET", "/team/v1/audit?limit=100")[1]["entries"]]
    assert {"models.push", "source.add", "source.login"} <= set(actions)
    p.must("sources", "logout", f"127.0.0.1:{r.port}")
    p.must("sources", "rm", f"127.0.0.1:{r.port}")
    code, _, err = p.run("push", f"127.0.0.1:{registry.port}/library/eigen:v1")
    assert code == 1 and "may not be sent" in err
