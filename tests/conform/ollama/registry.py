"""Both pull the same model from a registry on this machine; the lines of progress are compared."""
import http.server
import importlib.util
import os
import threading
import urllib.error
import urllib.request

import both
import harness
from tresor import Browser

PULL = ["pulling manifest", "verifying sha256 digest", "writing manifest", "success"]
SOME = ("pulling HEX", "removing unused layers")  # as many as there are; only where there are some


def parts():
    """tests/registry's own registry."""
    path = os.path.join(harness.HERE, "../registry/conftest.py")
    spec = importlib.util.spec_from_file_location("registry_parts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Front(http.server.BaseHTTPRequestHandler):
    """A registry as Ollama's own: blobs are elsewhere, under another name of the host."""

    def do_GET(self):
        if "/blobs/" in self.path:
            self.send_response(307)
            self.send_header("Location", f"http://localhost:{self.server.to}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.do_HEAD()

    def do_HEAD(self):
        ask = urllib.request.Request(f"http://127.0.0.1:{self.server.to}{self.path}", method=self.command,
                                     headers={"Accept": self.headers.get("Accept", "*/*")})
        try:
            r = urllib.request.urlopen(ask, timeout=30)
        except urllib.error.HTTPError as e:
            r = e
        data = r.read()
        self.send_response(r.status)
        self.send_header("Content-Type", r.headers.get("Content-Type", ""))
        self.send_header("Content-Length", r.headers.get("Content-Length", str(len(data))))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def start(pair, folder):
    """A registry with smollm2 in it, which Tresor's list of sources allows: the model's name for either, and the end."""
    r = parts().Registry(folder)
    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    front.to = r.port
    threading.Thread(target=front.serve_forever, daemon=True).start()
    with open(harness.SMOL, "rb") as f:
        r.put_model("library/small", "v1", f.read(), system="You are brief.", license="Own words.")
    owner = Browser(pair.site.instance)
    assert owner.login("o@example.org")[0] == 200
    status, reply = owner.call("PUT", "/team/v1/egress", {"host": "127.0.0.1", "port": r.port, "purpose": "test registry",
                                                          "plain": True})
    assert status in (200, 204), reply
    names = {pair.site: f"127.0.0.1:{r.port}/library/small:v1",
             pair.real: f"127.0.0.1:{front.server_address[1]}/library/small:v1"}

    def end():
        for site, name in names.items():
            site.http.request("DELETE", "/api/delete", json={"model": name})
        front.shutdown()
        r.close()
    return names, end


def checked(feature, field, behaviour, run):
    return harness.Check("ollama", feature, field, behaviour, "ok", "", run)


def lines(site, name, **more):
    return site.lines("/api/pull", {"model": name, "insecure": True, **more})


def progress(names):
    """Both tell the same steps in the same order, and how far they are."""
    for site, name in names.items():
        got = lines(site, name)
        order = []
        for x in got:
            if order[-1:] != [both.kind(x)]:
                order.append(both.kind(x))
        layers = [x for x in got if x["status"].startswith("pulling ") and "digest" in x]
        assert [k for k in order if k not in SOME] == PULL, (site.port, order)
        assert layers and all(x["digest"].startswith("sha256:") and x["total"] > 0 for x in layers)
        assert all(x["status"] == "pulling " + x["digest"][7:19] for x in layers)
        big = [x for x in layers if x["total"] > 90_000_000]
        assert big[-1]["completed"] == big[-1]["total"]
        assert all(a.get("completed", 0) <= b.get("completed", 0) for a, b in zip(big, big[1:]))


def texts(names):
    """What came with the model is there in both."""
    for site, name in names.items():
        r = site.ask("/api/show", {"model": name})
        assert r["system"] == "You are brief." and "Own words." in r["license"]


def whole(names):
    for site, name in names.items():
        r = site.ask("/api/pull", {"model": name, "insecure": True, "stream": False})
        assert r.pop("licence", "Own words.") == "Own words."  # Tresor tells under which terms it came
        assert r == {"status": "success"}


def none(names):
    """A model that the registry does not have."""
    for site, name in names.items():
        r = site.http.post("/api/pull", json={"model": name.replace("small", "nope"), "insecure": True})
        assert "error" in r.text and "success" not in r.text, r.text


CHECKS = [checked("/api/pull", "stream", "tells the same steps in the same order, and how far it is", progress),
          checked("/api/pull", "model", "brings the texts that belong to it", texts),
          checked("/api/pull", "stream", "false is answered alike", whole),
          checked("/api/pull", "model", "that the registry does not have is an error", none)]
