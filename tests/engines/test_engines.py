"""Engine builds side by side, against the real program: who keeps one has it, whatever becomes current."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

BUILD = pathlib.Path(os.environ.get("TRESOR_BUILD") or os.path.join(os.path.dirname(__file__), "../../build-test"))
HEADER = "X-Tresor-Engine"
PROGRAM = ("tresor", "cli.so", "egress.so", "doc.so")


def link_tree(src, dst):
    shutil.copytree(src, dst, symlinks=True, copy_function=os.link)


class Engines:
    """The folder engines/ of a program of our own, and what is done to it."""

    def __init__(self, top):
        self.top = top / "engines"
        self.top.mkdir(mode=0o755)
        own = os.readlink(BUILD / "engines/current")
        link_tree(BUILD / "engines" / own, self.top / own)
        self.own = own
        self.point(own)

    def point(self, ident):
        (self.top / "fresh").symlink_to(ident)
        (self.top / "fresh").rename(self.top / "current")

    def another(self, variant, change=None):
        """The same code under another id: its manifest says another variant. `change` alters it further."""
        tmp = self.top / f".{variant}"
        link_tree(self.top / self.own, tmp)
        manifest = json.loads((tmp / "engine.json").read_text())
        manifest["variant"] = variant
        if change:
            change(manifest, tmp)
        text = json.dumps(manifest)
        (tmp / "engine.json").unlink()  # a hard link: not the other's
        (tmp / "engine.json").write_text(text)
        (tmp / "engine.json").chmod(0o644)
        ident = f"llama.cpp-{manifest['version']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        tmp.rename(self.top / ident)
        return ident


class House(Instance):
    def __init__(self, top):
        for name in PROGRAM:
            os.link(BUILD / name, top / name) if os.stat(BUILD).st_dev == os.stat(top).st_dev \
                else shutil.copy2(BUILD / name, top / name)
        (top / "starter").symlink_to(BUILD / "starter")
        self.engines = Engines(top)
        super().__init__(binary=top / "tresor")

    def begin(self):
        self.start()
        self.must("pull", "starter:smollm2", "--as", "m:1")
        self.add_user("o@example.org", "owner")
        self.secret = self.key("o@example.org", "chat,models.read,models.change,metrics")
        return self

    def ask(self, model, path="/api/chat", **more):
        """(status, build that the header names, body)."""
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "stream": False,
                "options": {"num_predict": 4, "temperature": 0, "seed": 1}, **more}
        body = {k: v for k, v in body.items() if v is not None}
        status, text, headers = self.request("POST", path, body, {"Authorization": f"Bearer {self.secret}"})
        return status, headers.get(HEADER), text.decode()

    def team(self, method, path, body=None):
        return self.api(method, "/team/v1" + path, body, self.secret)

    def builds(self, check=False):
        return {e["id"]: e for e in self.team("GET", "/engines" + ("?check=1" if check else ""))[1]["engines"]}

    def reload(self):
        before = self.log_text().count("read again")
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 20
        while self.log_text().count("read again") == before:
            assert time.monotonic() < end, "no answer to SIGHUP"
            time.sleep(0.01)

    def doctor(self):
        return {c["name"]: c for c in json.loads(self.run("doctor", "--json")[1])["checks"]}

    def fresh(self):
        """m:1 as the alias "a", which keeps nothing; the own build is current."""
        self.run("alias", "rm", "a")
        self.must("alias", "set", "a", "m:1")
        self.engines.point(self.engines.own)
        self.reload()


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with House(tmp_path_factory.mktemp("program")) as h:
        yield h.begin()


@pytest.fixture(scope="module")
def other(house):
    return house.engines.another("other")


def test_every_answer_names_the_build_that_made_it(house):
    own = house.engines.own
    plain = {"options": None, "max_tokens": 4, "temperature": 0}
    for path, more in (("/api/chat", {}), ("/api/chat", {"stream": True}), ("/api/generate", {"prompt": "Hi", "messages": None}),
                       ("/v1/chat/completions", plain), ("/v1/chat/completions", {**plain, "stream": True}),
                       ("/v1/messages", plain), ("/api/embed", {"messages": None, "input": "Hi"})):
        status, build, text = house.ask("m:1", path, **more)
        assert (status, build) == (200, own), (path, text)
    status, _, text = house.ask("m:1")
    assert json.loads(text)["engine"] == own
    assert house.api("GET", "/api/ps", key=house.secret)[1]["models"][0]["engine"] == own
    assert house.team("GET", "/fleet")[1]["models"][0]["engine"] == own


def test_the_list_says_what_is_installed_and_current(house, other):
    own = house.engines.own
    builds = house.builds(check=True)
    assert set(builds) == {own, other}
    assert builds[own]["current"] and not builds[other]["current"]
    assert all(b["usable"] and b["proto"] >= 1 and not b["why"] for b in builds.values())
    assert builds[other]["variant"] == "other" and len(builds[own]["tree"]) == 64
    rows = [line for line in house.must("engines", "--check").splitlines() if own in line]
    assert len(rows) == 1 and "current" in rows[0] and "whole" in rows[0]


def test_who_keeps_a_build_has_it_whatever_becomes_current(house, other):
    own = house.engines.own
    house.fresh()
    assert house.must("alias", "keep", "a").endswith(f"under {own}")
    assert house.run("alias", "keep", "a")[0] == 1  # it keeps one already
    assert house.builds()[own]["kept_by"] == ["a"]
    stop, wrong, seen = threading.Event(), [], set()

    def client():
        while not stop.is_set():
            for model in ("a", "m:1"):
                status, build, text = house.ask(model)
                seen.add((model, build))
                if status != 200:
                    wrong.append((model, status, text))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for t in threads:
        t.start()
    house.engines.point(other)
    house.reload()
    assert house.ask("m:1")[:2] == (200, other) and house.ask("a")[:2] == (200, own)
    stop.set()
    for t in threads:
        t.join(60)
    assert not wrong, wrong[:3]
    assert not [s for s in seen if s[0] == "a" and s[1] != own]
    loaded = house.api("GET", "/api/ps", key=house.secret)[1]["models"]
    assert {m["engine"] for m in loaded} == {own, other}  # side by side
    metrics = house.request("GET", "/metrics", headers={"Authorization": f"Bearer {house.secret}"})[1].decode()
    ready = [x for x in metrics.splitlines() if x.startswith("tresor_model_loaded{")]
    assert len(ready) == len({x.split("}")[0] for x in ready}) == 2, ready  # no series twice
    assert house.stop() == 0
    house.start()
    assert house.ask("a")[:2] == (200, own) and house.ask("m:1")[:2] == (200, other)
    shown = house.api("POST", "/api/show", {"model": "a"}, house.secret)[1]
    assert shown["engine"] == shown["alias"]["engine"] == own
    assert own in house.must("show", "a") and own in house.must("alias", "list")


def test_another_build_is_let_in_by_a_trial_and_goes_back_in_one_step(house, other):
    own = house.engines.own
    house.fresh()
    house.must("alias", "keep", "a")
    house.engines.point(other)
    house.reload()
    house.must("alias", "set", "a", "m:1")  # the same model under the build that is current now
    target = house.team("GET", "/aliases")[1]["aliases"][0]
    assert (target["candidate"]["engine"], target["production"]["engine"]) == (other, own)
    assert target["candidate"]["digest"] == target["production"]["digest"]
    assert house.run("alias", "promote", "a")[0] == 1
    for i in range(20):
        house.must("trial", "add", "a", f"What is {i} and {i}?")
    house.must("trial", "run", "a", "--tokens", "4")
    end = time.monotonic() + 240
    while house.team("GET", "/aliases/a/trials")[1]["trials"][0]["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.2)
    trial = house.team("GET", "/aliases/a/trials")[1]["trials"][0]
    assert (trial["state"], trial["old_engine"], trial["new_engine"]) == ("done", own, other), trial
    full = house.team("GET", f"/aliases/a/trials/{trial['id']}")[1]["answers"]
    assert sum(x["old"] == x["new"] for x in full) > 10  # the same code, but for how requests met in a batch
    assert own in house.must("trial", "show", "a")
    house.must("trial", "accept", "a")
    house.must("alias", "promote", "a")
    assert house.ask("a")[1] == other
    start = time.monotonic()
    house.must("alias", "back", "a")
    assert house.ask("a")[1] == own and time.monotonic() - start < 5


def keep(house, ident):
    """The alias "a" keeps this build."""
    house.fresh()
    house.must("alias", "set", "a", "m:1", "--engine", ident)
    house.must("alias", "promote", "a", "--override", "test")


def refused(house, why):
    """Whoever asks "a" is told why; nobody gets another build, and others are answered."""
    status, build, text = house.ask("a")
    assert status == 503 and why in text and "tresor engines" in text, text
    assert build is None
    assert str(house.engines.top) not in text
    status, _, text = house.ask("a", "/v1/chat/completions", options=None, max_tokens=4, stream=True)
    assert status == 503 and why in text, text
    assert house.ask("m:1")[:2] == (200, house.engines.own)


def unload(house):
    house.run("stop", "m:1")
    end = time.monotonic() + 20
    while house.api("GET", "/api/ps", key=house.secret)[1]["models"]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_missing_build_is_said_and_never_replaced(house, other):
    keep(house, other)
    assert house.ask("a")[:2] == (200, other)
    unload(house)
    away = house.engines.top / ".away"
    (house.engines.top / other).rename(away)
    refused(house, "not installed here")
    missing = house.builds()[other]
    assert not missing["usable"] and missing["kept_by"] == ["a"] and not missing["current"]
    assert "not installed" in house.must("engines")
    check = house.doctor()["builds"]
    assert check["state"] == "bad" and other in check["text"] and "tresor alias set" in check["cure"]
    assert house.run("alias", "set", "a", "m:1", "--engine", other)[0] == 1  # nobody can keep it now
    away.rename(house.engines.top / other)
    assert house.ask("a")[:2] == (200, other)
    assert house.doctor()["builds"]["state"] == "ok"


@pytest.mark.parametrize("file", ["engine.so", "libllama.so.0"])
def test_a_changed_file_is_not_run(house, other, file):
    keep(house, other)
    assert house.ask("a")[:2] == (200, other)
    unload(house)
    path = house.engines.top / other / file
    whole = house.engines.top / f".{file}"
    path.rename(whole)
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    path.chmod(0o755)
    refused(house, "not the one it was made with")
    assert not house.builds(check=True)[other]["usable"]
    path.unlink()
    whole.rename(path)
    assert house.ask("a")[:2] == (200, other)
    unload(house)
    more = path.with_name("libggml-cpu-zzz.so")
    shutil.copy2(path, more)
    refused(house, "does not belong to it")
    more.unlink()
    path.parent.chmod(0o777)
    refused(house, "may write it")
    path.parent.chmod(0o755)


def test_another_protocol_is_refused_by_manifest_and_by_the_module_itself(house):
    def older(manifest, _folder):
        manifest["proto"] = 99
    ident = house.engines.another("older", older)
    assert not house.builds()[ident]["usable"] and "speaks protocol 99" in house.builds()[ident]["why"]
    code, _, err = house.run("alias", "set", "a", "m:1", "--engine", ident)
    assert code == 1 and "speaks protocol 99" in err

    def liar(manifest, folder):  # the manifest is right, the module is not what it says
        (folder / "engine.so").unlink()
        shutil.copy(BUILD / "doc.so", folder / "engine.so")
        (folder / "engine.so").chmod(0o755)
        manifest["files"]["engine.so"] = hashlib.sha256((folder / "engine.so").read_bytes()).hexdigest()
    ident = house.engines.another("liar", liar)
    keep(house, ident)
    status, _, text = house.ask("a")
    assert status == 503 and "does not speak this program's protocol" in text, text
    assert house.ask("m:1")[:2] == (200, house.engines.own)


def test_a_restore_says_what_is_kept_and_not_there(house, other, tmp_path):
    keep(house, other)
    code = tmp_path / "code"
    code.write_text(house.must("recovery-sheet", "--json").split('"')[3])
    house.must("backup", "--to", str(tmp_path / "backup"))
    restore = ("restore", "--from", str(tmp_path / "backup"), "--code-file", str(code))
    with Instance(binary=house.binary) as fresh:
        status, _, err = fresh.run(*restore)
        assert status == 0 and other not in err, err
    away = house.engines.top / ".away"
    (house.engines.top / other).rename(away)
    with Instance(binary=house.binary) as fresh:
        status, out, err = fresh.run(*restore)
        away.rename(house.engines.top / other)
        assert status == 0 and "restored" in out, err
        assert f'the alias "a" keeps the engine build {other}, which is not here' in err
        fresh.start()  # what was restored is whole
        assert json.loads(fresh.must("alias", "list", "--json"))["aliases"][0]["production"]["engine"] == other


def test_a_build_of_another_program_that_speaks_the_same_answers(house):
    """Its own protocol hash is another one, as after each change of a header."""
    text = (BUILD / "src/os/protocol.inc").read_text()
    own = int(text.split("0x")[1][:16], 16).to_bytes(8, "little")

    def before(manifest, folder):
        data = (folder / "engine.so").read_bytes()
        assert data.count(own) == 1
        (folder / "engine.so").unlink()
        (folder / "engine.so").write_bytes(data.replace(own, bytes(8)))
        (folder / "engine.so").chmod(0o755)
        manifest["files"]["engine.so"] = hashlib.sha256((folder / "engine.so").read_bytes()).hexdigest()
    ident = house.engines.another("before", before)
    keep(house, ident)
    assert house.ask("a")[:2] == (200, ident)


def test_no_current_build_is_said_and_mended_by_a_link(house):
    house.fresh()
    unload(house)
    (house.engines.top / "current").unlink()
    house.reload()
    status, _, text = house.ask("m:1")
    assert status == 503 and "no engine build is current" in text, text
    house.engines.point(house.engines.own)
    house.reload()
    assert house.ask("m:1")[:2] == (200, house.engines.own)


def test_code_does_not_come_from_the_data_directory(house):
    house.fresh()
    link_tree(house.engines.top, pathlib.Path(house.data) / "engines")
    ident = house.engines.another("data")
    (house.engines.top / ident).rename(pathlib.Path(house.data) / "engines" / ident)
    assert ident not in house.builds()
    assert house.run("alias", "set", "a", "m:1", "--engine", ident)[0] == 1
    assert house.run("alias", "set", "a", "m:1", "--engine", "../data/engines/x")[0] == 1
