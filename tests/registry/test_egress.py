"""Servers that do not do as they should, and the company's network: what egress and a pull make of them."""
import base64, hashlib, http.server, json, os, socket, ssl, subprocess, threading, time

import pytest

from conftest import MANIFEST, MEDIA, free_port, make_gguf, sha

MiB = 1024 * 1024


class Server:
    """An HTTP server whose answers are a function: answer(handler) -> True when it answered itself."""

    def __init__(self, answer=None, tls=None):
        outer = self
        self.answer, self.blobs, self.log = answer, {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.log.append((self.path, dict(self.headers)))
                if outer.answer and outer.answer(self):
                    return
                outer.plain(self)

            def reply(self, status, body=b"", **headers):
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k.replace("_", "-"), v)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return True

            def log_message(self, *a):
                pass

        class HTTP(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # clients that hang up are part of the tests

        self.server = HTTP(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name, model, tag="latest"):
        """A model as a registry would serve it; ranges honoured."""
        d = sha(model)
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [
            {"mediaType": MEDIA + "model", "digest": "sha256:" + d, "size": len(model)}]}).encode()
        self.blobs[f"/v2/library/{name}/manifests/{tag}"] = manifest
        self.blobs[f"/v2/library/{name}/blobs/sha256:{d}"] = model

    def body_of(self, h):
        return self.blobs.get(h.path.split("?")[0])

    def part(self, h):
        body = self.body_of(h)
        wanted = h.headers.get("Range")
        if body is None or not wanted:
            return body, None
        a, b = wanted.removeprefix("bytes=").split("-")
        return body[int(a):int(b) + 1], (int(a), min(int(b), len(body) - 1), len(body))

    def plain(self, h):
        body, part = self.part(h)
        if body is None:
            return h.reply(404, b"{}")
        if part:
            return h.reply(206, body, Content_Range=f"bytes {part[0]}-{part[1]}/{part[2]}")
        return h.reply(200, body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server():
    made = []

    def make(*a, **kw):
        made.append(Server(*a, **kw))
        return made[-1]
    yield make
    for s in made:
        s.close()


def whole(house, model):
    blob = house.folder / "models/blobs" / ("sha256-" + sha(model))
    return blob.exists() and sha(blob.read_bytes()) == sha(model)


def blob_request(h):
    return "/blobs/" in h.path


def test_a_server_without_ranges(server, house):
    model = make_gguf(4 * MiB)
    s = server(lambda h: blob_request(h) and h.reply(200, s.body_of(h)))
    s.add("m", model)
    assert house.pull(s.port, "m", options=["--range", str(MiB)]).code == 0, house.err
    assert whole(house, model)


@pytest.mark.parametrize("what", ["other part", "longer part", "no range header", "rubbish range"])
def test_the_wrong_part_is_not_written(server, house, what):
    model = make_gguf(3 * MiB)
    headers = {"other part": "bytes 7-999/3000", "longer part": f"bytes 0-{len(model) * 2}/{len(model) * 3}",
               "rubbish range": "bytes x-y/z"}

    def answer(h):
        if not blob_request(h):
            return False
        extra = {"Content_Range": headers[what]} if what in headers else {}
        return h.reply(206, model[:MiB], **extra)
    s = server(answer)
    s.add("m", model)
    assert house.pull(s.port, "m").code == 1
    assert "upstream_failed" in house.err and house.names() == []


def test_a_server_that_sends_too_much(server, house):
    model = make_gguf(MiB)

    def answer(h):
        if not blob_request(h):
            return False
        _, (a, b, n) = s.part(h)
        return h.reply(206, model[a:] + b"x" * MiB, Content_Range=f"bytes {a}-{b}/{n}")
    s = server(answer)
    s.add("m", model)
    assert house.pull(s.port, "m").code == 1 and "too_large" in house.err
    assert house.names() == []


def test_a_redirect_to_another_allowed_host_without_the_token(server, house):
    model = make_gguf(2 * MiB)
    cdn = server()
    cdn.add("m", model)

    def answer(h):
        if h.path.startswith("/token"):
            assert "service=reg" in h.path and "scope=repository%3Alibrary%2Fm%3Apull" in h.path
            return h.reply(200, b'{"token": "s3cret"}')
        if h.headers.get("Authorization") != "Bearer s3cret":
            return h.reply(401, WWW_Authenticate=f'Bearer realm="http://127.0.0.1:{s.port}/token",service="reg",'
                           'scope="repository:library/m:pull"')
        if blob_request(h):
            return h.reply(307, Location=f"http://127.0.0.1:{cdn.port}{h.path}?sig=1")
        return False
    s = server(answer)
    s.add("m", model)
    assert house.pull(s.port, "m", options=["--allow", f"127.0.0.1:{cdn.port}"]).code == 0, house.err
    assert whole(house, model)
    assert cdn.log and not any("Authorization" in headers for _, headers in cdn.log)


def test_a_redirect_to_a_host_that_is_not_allowed(server, house):
    model = make_gguf(MiB)
    other = server()
    other.add("m", model)
    s = server(lambda h: blob_request(h) and h.reply(307, Location=f"http://127.0.0.1:{other.port}{h.path}"))
    s.add("m", model)
    assert house.pull(s.port, "m").code == 1 and "egress_refused" in house.err
    assert not other.log and house.names() == []


@pytest.mark.parametrize("location", ["", "x", "file:///etc/passwd", "//u@h/", "gopher://h/"])
def test_redirects_to_nowhere(server, house, location):
    s = server(lambda h: h.reply(302, Location=location))
    assert house.pull(s.port, "m").code == 1 and "upstream_failed" in house.err


def test_redirects_in_a_circle_end(server, house):
    s = server(lambda h: h.reply(302, Location=h.path + "x"))
    assert house.pull(s.port, "m").code == 1 and "too often" in house.err
    assert len(s.log) <= 7


def test_answers_that_are_no_manifest(server, house):
    for body in [b"", b"<html>", b"[]", b"{" * 100000, b"\xff\xfe", json.dumps({"schemaVersion": 2, "layers": []}).encode()]:
        s = server(lambda h: h.reply(200, body))
        assert house.pull(s.port, "m").code == 1, body[:20]
        assert house.names() == [] and house.blobs() == []


def test_a_manifest_without_end(server, house):
    s = server(lambda h: h.reply(200, b" " * (5 * MiB)))
    assert house.pull(s.port, "m").code == 1 and "too_large" in house.err


def test_headers_without_end(server, house):
    def answer(h):
        h.send_response(200)
        for i in range(3000):
            h.send_header(f"X-{i}", "y" * 100)
        h.end_headers()
        return True
    s = server(answer)
    assert house.pull(s.port, "m").code == 1 and "upstream_failed" in house.err


def test_a_server_that_is_down_for_a_moment(server, house):
    model = make_gguf(MiB)
    left = [3]

    def answer(h):
        if left[0]:
            left[0] -= 1
            return h.reply(503)
        return False
    s = server(answer)
    s.add("m", model)
    assert house.pull(s.port, "m").code == 0, house.err


def test_a_name_must_not_lead_inside(server, house):
    s = server()
    s.add("m", make_gguf(1))
    allow = ["--allow", f"localhost:{s.port}", "--retry", "20"]
    assert house("pull", f"localhost:{s.port}/m", options=allow).code == 1
    assert "egress_refused" in house.err and "internal network" in house.err and not s.log
    # listed by address, the same name is fine
    allow += ["--allow", f"127.0.0.1:{s.port}"]
    assert house("pull", f"localhost:{s.port}/m", options=allow).code == 0, house.err


@pytest.mark.parametrize("where", ["http://localhost:{}", "http://127.0.0.2:{}", "http://10.0.0.1:{}",
                                   "http://169.254.169.254:{}", "http://[::1]:{}", "http://[::ffff:127.0.0.1]:{}"])
def test_a_redirect_must_not_lead_inside(server, house, where):
    """Listed as a name only, or by nobody: an internal address is refused by egress, whatever led there."""
    inside = server()
    inside.add("m", make_gguf(MiB))
    s = server(lambda h: blob_request(h) and h.reply(307, Location=where.format(inside.port) + h.path))
    s.add("m", make_gguf(MiB))
    options = ["--allow", f"localhost:{inside.port}"]
    assert house.pull(s.port, "m", options=options).code == 1
    assert "egress_refused" in house.err and not inside.log and house.names() == []


def test_a_registry_that_never_answers(server, house):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert house.pull(silent.getsockname()[1], "m", options=["--stall", "200"]).code == 1
    assert "timeout" in house.err and "nothing came" in house.err
    assert time.monotonic() - began < 30 and house.names() == [] and house.blobs() == []


def test_a_registry_that_stops_in_the_middle_of_its_manifest(server, house):
    def answer(h):
        h.send_response(200)
        h.send_header("Content-Length", "1000")
        h.end_headers()
        h.wfile.write(b'{"schemaVersion":2')
        h.wfile.flush()
        time.sleep(1)
        return True
    s = server(answer)
    assert house.pull(s.port, "m", options=["--stall", "200"]).code == 1
    assert "timeout" in house.err and house.names() == []


def test_a_slow_registry_is_slow_but_right(server, house):
    model = make_gguf(200000)

    def answer(h):
        if not blob_request(h):
            return False
        body, part = s.part(h)
        h.send_response(206)
        h.send_header("Content-Length", str(len(body)))
        h.send_header("Content-Range", f"bytes {part[0]}-{part[1]}/{part[2]}")
        h.end_headers()
        for i in range(0, len(body), 20000):
            h.wfile.write(body[i:i + 20000])
            h.wfile.flush()
            time.sleep(0.05)
        return True
    s = server(answer)
    s.add("m", model)
    assert house.pull(s.port, "m", options=["--stall", "1000"]).code == 0, house.err
    assert whole(house, model)


@pytest.mark.parametrize("lie", ["smaller", "larger", "negative", "huge", "digest", "text"])
def test_a_manifest_that_lies(server, house, lie):
    model = make_gguf(MiB)
    s = server()
    s.add("m", model)
    path = "/v2/library/m/manifests/latest"
    manifest = json.loads(s.blobs[path])
    layer = manifest["layers"][0]
    if lie == "digest":  # of other bytes than those that come
        other = sha(b"other")
        s.blobs[f"/v2/library/m/blobs/sha256:{other}"] = model
        layer["digest"] = "sha256:" + other
    elif lie == "text":
        text = b"not what its digest says"
        manifest["layers"].append({"mediaType": MEDIA + "system", "digest": "sha256:" + sha(b"x"), "size": len(text)})
        s.blobs[f"/v2/library/m/blobs/sha256:{sha(b'x')}"] = text
    else:
        layer["size"] = {"smaller": len(model) - 1, "larger": len(model) + 1, "negative": -1, "huge": 1 << 49}[lie]
    s.blobs[path] = json.dumps(manifest).encode()
    assert house.pull(s.port, "m").code == 1
    wanted = {"smaller": ("digest_mismatch", "too_large", "upstream_failed"), "larger": ("upstream_failed",),
              "negative": ("invalid",), "huge": ("disk_full",), "digest": ("digest_mismatch",),
              "text": ("digest_mismatch",)}[lie]
    assert any(w in house.err for w in wanted), house.err
    assert house.names() == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/../../b", "..", ".", "a//b", "a/b/c/d/e", "m:..", "m:a/b", "ｍodel",
                                  "mo\u0301del", "modе1", "m odel", "m\n", "m@sha256:zz", "A" * 10000, "-m", ""])
def test_names_that_are_none(server, house, name):
    s = server()
    before = house.blobs() if house("list").code == 0 else []
    assert house("pull", f"127.0.0.1:{s.port}/{name}" if name not in ("", "..", ".") else name,
                 options=["--allow", f"127.0.0.1:{s.port}"]).code == 1
    assert "invalid" in house.err and not s.log and house.names() == [] and house.blobs() == before


def test_upper_case_is_the_same_name(server, house):
    """Names are compared without regard to case, and never become two files."""
    model = make_gguf(MiB)
    s = server()
    s.add("Tiny", model)
    s.blobs["/v2/library/TINY/manifests/latest"] = s.blobs["/v2/library/Tiny/manifests/latest"]
    s.blobs[f"/v2/library/TINY/blobs/sha256:{sha(model)}"] = model
    assert house.pull(s.port, "Tiny").code == 0, house.err
    assert house.pull(s.port, "TINY").code == 0, house.err
    assert len(house.names()) == 1


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """A company's own CA and a certificate for 127.0.0.1 under it."""
    d = tmp_path_factory.mktemp("ca")

    def run(*a):
        subprocess.run(["openssl", *map(str, a)], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", d / "ca.key", "-out", d / "ca.pem",
        "-days", "2", "-subj", "/CN=Firma CA")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", d / "s.key", "-out", d / "s.csr", "-subj", "/CN=s")
    (d / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:registry.firma.example\n")
    run("x509", "-req", "-in", d / "s.csr", "-CA", d / "ca.pem", "-CAkey", d / "ca.key", "-CAcreateserial",
        "-out", d / "s.pem", "-days", "2", "-extfile", d / "ext")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(d / "s.pem", d / "s.key")
    return d / "ca.pem", context


def test_a_company_ca_is_trusted_only_when_set(server, house, company):
    ca, context = company
    model = make_gguf(2 * MiB)
    s = server(tls=context)
    s.add("m", model)
    args = ("pull", f"127.0.0.1:{s.port}/m")
    options = ["--allow-tls", f"127.0.0.1:{s.port}", "--retry", "20"]
    assert house(*args, options=options).code == 1
    assert "egress_refused" in house.err and "not trusted" in house.err and not s.log
    assert house(*args, options=options, env={"TRESOR_CA_FILE": str(ca)}).code == 0, house.err
    assert whole(house, model)
    # a certificate for another name is refused, also from that CA
    other = ["--allow-tls", f"localhost:{s.port}", *options]
    assert house("pull", f"localhost:{s.port}/m", options=other, env={"TRESOR_CA_FILE": str(ca)}).code == 1
    assert "not trusted" in house.err


class Connect(threading.Thread):
    """A company's proxy: CONNECT, with a password; resolves names itself."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self.target, self.seen = target, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            client, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.seen.append(head.decode())
        if base64.b64encode(b"user:pw").decode() not in self.seen[-1]:
            client.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
            return client.close()
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        up = socket.create_connection(("127.0.0.1", self.target))

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
            except OSError:
                pass
            b.close()
        threading.Thread(target=pump, args=(client, up), daemon=True).start()
        pump(up, client)


def test_through_the_company_proxy(server, house, company):
    ca, context = company
    model = make_gguf(2 * MiB)
    s = server(tls=context)
    s.add("m", model)
    proxy = Connect(s.port)
    # the name exists only for the proxy: we could not even resolve it
    options = ["--allow-tls", "registry.firma.example:443", "--retry", "20"]
    env = {"TRESOR_CA_FILE": str(ca), "HTTPS_PROXY": f"http://user:pw@127.0.0.1:{proxy.port}", "NO_PROXY": ""}
    assert house("pull", "registry.firma.example/m", options=options, env=env).code == 0, house.err
    assert whole(house, model)
    assert proxy.seen and all(x.startswith("CONNECT registry.firma.example:443 ") for x in proxy.seen)
    # what is not on the list does not go to the proxy either
    n = len(proxy.seen)
    assert house("pull", "evil.example/m", options=options, env=env).code == 1
    assert "egress_refused" in house.err and len(proxy.seen) == n
