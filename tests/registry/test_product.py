"""The whole program pulls from a real registry, while its parts are killed under it."""
import json, os, pathlib, signal, sys, time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from conftest import BUILD, ROOT, make_gguf, sha
from test_egress import Connect, Server, company, server  # noqa: F401 (fixtures)
from tresor import Browser, Instance

MiB = 1024 * 1024
BIN = os.environ.get("TRESOR_BIN", BUILD / "tresor")
pytestmark = pytest.mark.skipif(not os.path.exists(BIN), reason="the program is not built here")


class Product(Instance):
    """An instance whose owner may change the list of allowed hosts."""

    def __init__(self, env=None):
        super().__init__(binary=str(BIN))
        self.env.update(env or {})

    def begin(self, *ports, plain=True, host="127.0.0.1"):
        self.start()
        self.add_user("chefin@firma.example", "owner")
        self.owner = Browser(self)
        assert self.owner.login("chefin@firma.example")[0] == 200
        for port in ports:
            status, reply = self.owner.call("PUT", "/team/v1/egress", {
                "host": host, "port": port, "purpose": "test registry", "plain": plain})
            assert status in (200, 204), reply
        return self

    def models(self):
        code, out, err = self.run("list", "--json")
        assert code == 0, err
        found = json.loads(out)
        return [m["name"] for m in (found["models"] if isinstance(found, dict) else found)]

    def blob(self, model):
        return pathlib.Path(self.data) / "models/blobs" / ("sha256-" + sha(model))

    def role(self, name):
        """Pids of our own roles of this name."""
        found = []
        for p in pathlib.Path("/proc").iterdir():
            try:
                if p.name.isdigit() and int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    if f"role\0{name}".encode() in (p / "cmdline").read_bytes():
                        found.append(int(p.name))
            except (OSError, IndexError):
                pass
        return found

    def pull_in_background(self, name):
        status, reply = self.owner.call("POST", "/team/v1/models/pull", {"name": name})
        assert status in (200, 201, 202), reply
        return reply["id"]

    def wait_pull(self, wanted, seconds=90):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for p in self.owner.call("GET", "/team/v1/pulls")[1]["pulls"]:
                if p["id"] == wanted and p["state"] != "running":
                    return p
            time.sleep(0.1)
        raise AssertionError("the pull does not end")


@pytest.fixture
def product():
    made = []

    def make(*a, **kw):
        made.append(Product(*a, **kw))
        return made[-1]
    yield make
    for p in made:
        p.__exit__()


def test_pull_list_and_remove(registry, product):
    model = make_gguf(8 * MiB)
    registry.put_model("library/produkt", "v1", model, system="Hallo", license="MIT License")
    p = product().begin(registry.port)
    name = f"127.0.0.1:{registry.port}/library/produkt:v1"
    p.must("pull", name)
    assert name in p.models()
    told = p.owner.call("GET", "/team/v1/pulls")[1]["pulls"][0]
    assert told["licence"] == "MIT License" and told["source"] == name
    shown = p.owner.call("POST", "/api/show", {"model": name})[1]
    assert shown["origin"]["source"] == name and shown["origin"]["person_name"] == ""  # by the operator's command
    assert sha(p.blob(model).read_bytes()) == sha(model)
    assert oct(p.blob(model).stat().st_mode & 0o777) == "0o400"
    p.must("rm", name)
    assert p.models() == [] and not p.blob(model).exists()
    assert not list((pathlib.Path(p.data) / "models/blobs").iterdir())


def test_hosts_that_are_not_listed_are_refused(registry, product):
    p = product().begin()
    code, _, err = p.run("pull", f"127.0.0.1:{registry.port}/library/x:v1")
    assert code == 1 and "not on the list" in err
    code, _, err = p.run("pull", "evil.example/a/b:c")
    assert code == 1 and "not on the list" in err


def test_an_unusable_model_leaves_nothing(registry, product):
    registry.put_model("library/kaputt", "v1", b"GGUF" + os.urandom(200000))
    p = product().begin(registry.port)
    code, _, err = p.run("pull", f"127.0.0.1:{registry.port}/library/kaputt:v1")
    assert code == 1 and "not a usable model" in err
    assert p.models() == [] and not list((pathlib.Path(p.data) / "models/blobs").iterdir())


def test_killing_egress_and_writer_under_a_pull(registry, proxy, product):
    model = make_gguf(48 * MiB)
    registry.put_model("library/zaeh", "v1", model)
    p = product().begin(proxy.port)
    proxy.cut = lambda: 5 * MiB
    pull = p.pull_in_background(f"127.0.0.1:{proxy.port}/library/zaeh:v1")
    for victim in ("egress", "jail", "egress", "jail"):
        time.sleep(0.3)
        for pid in p.role(victim):
            os.kill(pid, signal.SIGKILL)
    proxy.cut = None
    done = p.wait_pull(pull)
    assert done["state"] == "done", done
    assert sha(p.blob(model).read_bytes()) == sha(model)


def test_killing_the_server_under_a_pull(registry, proxy, product):
    model = make_gguf(48 * MiB + 999)
    registry.put_model("library/weiter", "v1", model)
    p = product().begin(proxy.port)
    proxy.cut = lambda: 2 * MiB
    name = f"127.0.0.1:{proxy.port}/library/weiter:v1"
    for _ in range(3):
        p.pull_in_background(name)
        time.sleep(0.7)
        for pid in p.role("server"):
            os.kill(pid, signal.SIGKILL)
        p.wait_ready()
        assert p.models() in ([], [name])
    proxy.cut = None
    p.must("pull", name)
    assert p.models() == [name] and sha(p.blob(model).read_bytes()) == sha(model)


def test_the_company_proxy_and_ca_reach_egress(server, product, company):
    ca, context = company
    model = make_gguf(2 * MiB)
    s = server(tls=context)
    s.add("m", model)
    proxy = Connect(s.port)
    p = product({"TRESOR_CA_FILE": str(ca), "HTTPS_PROXY": f"http://user:pw@127.0.0.1:{proxy.port}", "NO_PROXY": ""})
    p.begin(443, plain=False, host="registry.firma.example")
    p.must("pull", "registry.firma.example/m")
    assert sha(p.blob(model).read_bytes()) == sha(model) and proxy.seen
