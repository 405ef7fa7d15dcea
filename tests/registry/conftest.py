"""A registry, a proxy that misbehaves on demand, and the driver of the parts under test."""
import base64, hashlib, http.client, json, os, pathlib, socket, socketserver, struct, subprocess, threading, time

import pytest

ROOT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("TRESOR_BUILD", ROOT / "build"))
STARTERS = pathlib.Path(os.environ["TRESOR_DEPS"]) / "share/starter" if "TRESOR_DEPS" in os.environ else None
DRIVER = BUILD / "src/models/registry_driver"
EGRESS = BUILD / "egress.so"
MEDIA = "application/vnd.ollama.image."
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Registry:
    """docker-registry on loopback, filled over its own HTTP API."""

    def __init__(self, folder):
        self.port = free_port()
        self.folder = folder
        (folder / "config.yml").write_text(json.dumps({
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": f"127.0.0.1:{self.port}"}}))
        self.process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("docker-registry does not start")

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port)
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r, data

    def put_blob(self, name, data):
        r, _ = self.request("POST", f"/v2/{name}/blobs/uploads/")
        where = r.getheader("Location").split("/", 3)[3]
        r, body = self.request("PUT", f"/{where}&digest=sha256:{sha(data)}", data,
                               {"Content-Type": "application/octet-stream"})
        assert r.status == 201, body
        return {"digest": "sha256:" + sha(data), "size": len(data)}

    def put_model(self, name, tag, model, **texts):
        """Pushes a model as Ollama would; texts: template=, system=, params=, license=; adapter= is bytes."""
        layers = [dict(self.put_blob(name, model), mediaType=MEDIA + "model")]
        for kind, text in texts.items():
            layers.append(dict(self.put_blob(name, text if kind == "adapter" else text.encode()),
                               mediaType=MEDIA + kind))
        config = dict(self.put_blob(name, json.dumps({"model_format": "gguf"}).encode()),
                      mediaType="application/vnd.docker.container.image.v1+json")
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
        r, body = self.request("PUT", f"/v2/{name}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
        assert r.status == 201, body
        return manifest

    def blob_file(self, data):
        d = sha(data)
        return self.folder / "data/docker/registry/v2/blobs/sha256" / d[:2] / d / "data"

    def close(self):
        self.process.kill()
        self.process.wait()


class Proxy:
    """TCP in between: cuts each connection after `cut` bytes from the registry, or stalls it."""

    def __init__(self, target):
        self.target, self.cut, self.stall, self.connections, self.bytes = target, None, None, 0, 0
        self.lock = threading.Lock()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                proxy.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a cut connection is what we are here for

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, client):
        with self.lock:
            self.connections += 1
            left = self.cut() if callable(self.cut) else self.cut
        up = socket.create_connection(("127.0.0.1", self.target))
        threading.Thread(target=self.pump, args=(client, up), daemon=True).start()
        try:
            while data := up.recv(65536):
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                client.sendall(data)
                self.bytes += len(data)
                if left == 0:
                    if self.stall:
                        time.sleep(self.stall)
                    return
        except OSError:
            pass
        finally:
            for s in (client, up):  # shutdown first: the other thread still waits in recv
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class House:
    """A data directory and the driver on it."""

    def __init__(self, folder):
        self.folder = folder
        self.last = None

    def __call__(self, *args, options=(), wait=True, env=None):
        command = [DRIVER, self.folder, EGRESS, *options]
        if STARTERS:
            command += ["--starters", STARTERS]
        p = subprocess.Popen([*map(str, command), *map(str, args)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        if not wait:
            return p
        self.out, self.err = p.communicate(timeout=240)
        self.code = p.returncode
        return self

    def pull(self, port, name, *rest, options=(), **kw):
        return self("pull", f"127.0.0.1:{port}/{name}", *rest,
                    options=["--allow", f"127.0.0.1:{port}", "--retry", "20", *options], **kw)

    def names(self):
        self("list")
        return [line.split()[0] for line in self.out.splitlines()]

    def statuses(self):
        return [json.loads(line)["status"] for line in self.out.splitlines()]

    def blobs(self):
        return sorted(p.name for p in (self.folder / "models/blobs").iterdir())


def gguf_string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def make_gguf(filler=0, architecture="llama", template="{{ messages[0].content }}", **override):
    """A tiny model with a right header; `filler` adds tensor bytes so that there is something to pull."""
    width, vocab = 32, 8
    values = {"general.architecture": architecture, "general.name": "tiny", "tokenizer.ggml.model": "gpt2",
              "tokenizer.chat_template": template, f"{architecture}.context_length": 128,
              f"{architecture}.embedding_length": width, f"{architecture}.block_count": 1,
              f"{architecture}.attention.head_count": 4, **override}
    kv = b""
    for key, v in values.items():
        kv += gguf_string(key)
        kv += struct.pack("<I", 8) + gguf_string(v) if isinstance(v, str) else struct.pack("<II", 4, v)
    kv += gguf_string("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, vocab)
    kv += b"".join(gguf_string(f"t{i}") for i in range(vocab))
    rows = (filler + 4 * width - 1) // (4 * width) or 1
    shapes = [("token_embd.weight", vocab), ("blk.0.ffn_up.weight", rows)]
    tensors, at = b"", 0
    for name, n in shapes:
        tensors += gguf_string(name) + struct.pack("<IQQIQ", 2, width, n, 0, at)
        at += 4 * width * n
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(values) + 1) + kv + tensors
    head += b"\0" * (-len(head) % 32)
    block = hashlib.sha256(head).digest()
    body = bytearray()
    while len(body) < at:  # bytes that differ everywhere, so a misplaced part cannot pass
        block = hashlib.sha256(block).digest()
        body += block * 32
    return head + bytes(body[:at])


def make_adapter(rows, rank=2, width=32):
    """A LoRA for the ffn_up of make_gguf()."""
    pairs = b"".join(gguf_string(k) + struct.pack("<I", 8) + gguf_string(v) for k, v in (
        ("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora")))
    a, b = bytes(4 * width * rank), bytes(4 * rank * rows)
    pad = -len(a) % 32
    infos = gguf_string("blk.0.ffn_up.weight.lora_a") + struct.pack("<IQQIQ", 2, width, rank, 0, 0)
    infos += gguf_string("blk.0.ffn_up.weight.lora_b") + struct.pack("<IQQIQ", 2, rank, rows, 0, len(a) + pad)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 3) + pairs + infos
    return head + b"\0" * (-len(head) % 32) + a + b"\0" * pad + b


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.close()


@pytest.fixture
def proxy(registry):
    p = Proxy(registry.port)
    yield p
    p.close()


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "house")
