"""tools/fetch.py and tools/deps.py: hash before use, works offline, honours a proxy and a company CA."""
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

ROOT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).parents[2]))
TOOLS = ROOT / "tools"
sys.path.insert(0, str(TOOLS))
import deps  # noqa: E402

DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import fetch
with open(sys.argv[3], "w") as log:
    try:
        print(fetch.fetch(json.loads(sys.argv[2]), log))
    except fetch.FetchError as e:
        sys.exit(str(e))
"""


def fetch(item, cache, **env):
    full = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("PIP_")}
    full.update(TRESOR_CACHE=str(cache), PIP_CONFIG_FILE="/dev/null", **env)
    # through env.sh, as every tool starts
    return subprocess.run(["sh", "-c", f'. "{TOOLS}/env.sh"; exec "$@"', "sh", sys.executable, "-c", DRIVER,
                           str(TOOLS), json.dumps(item), str(cache / "log")],
                          env=full, capture_output=True, text=True, check=False)


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path):
    """A wheel of our own in a folder that pip finds by PIP_FIND_LINKS."""
    links = tmp_path / "links"
    links.mkdir()
    path = links / "tresor_sample-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("tresor_sample/data", "hello")
        z.writestr("tresor_sample-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tresor-sample\nVersion: 1.0\n")
        z.writestr("tresor_sample-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("tresor_sample-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def sdist(tmp_path):
    """An sdist whose own build backend leaves a mark if anybody runs it."""
    links = tmp_path / "links"
    links.mkdir(exist_ok=True)
    src = tmp_path / "tresor_sdist-1.0"
    (src / "scikit_build_core").mkdir(parents=True)
    mark = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    (src / "pyproject.toml").write_text('[build-system]\nrequires = ["scikit-build-core"]\n'
                                        'build-backend = "scikit_build_core.build"\n')
    (src / "scikit_build_core/build.py").write_text(mark)
    (src / "setup.py").write_text(mark)
    (src / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tresor-sdist\nVersion: 1.0\n")
    path = links / "tresor_sdist-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as t:
        t.add(src, src.name)
    return path


def item_of(path, kind, name, digest=None):
    return {"registry": "pip", "kind": kind, "package": name, "version": "1.0", "file": path.name,
            "sha256": digest or hashlib.sha256(path.read_bytes()).hexdigest()}


def offline(path):
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(path.parent)}


def test_a_wheel_comes_by_name_and_stays_for_offline(wheel, cache):
    item = item_of(wheel, "wheel", "tresor-sample")
    done = fetch(item, cache, **offline(wheel))
    assert done.returncode == 0, done.stderr + (cache / "log").read_text()
    kept = pathlib.Path(done.stdout.strip())
    assert kept.read_bytes() == wheel.read_bytes()
    wheel.unlink() # now there is no source at all
    assert fetch(item, cache, PIP_NO_INDEX="1").stdout.strip() == str(kept)


def test_a_wrong_hash_is_refused_and_nothing_stays(wheel, cache):
    done = fetch(item_of(wheel, "wheel", "tresor-sample", "0" * 64), cache, **offline(wheel))
    assert done.returncode != 0
    assert not [p for p in (cache / "downloads").iterdir() if p.is_file()]


def test_a_damaged_download_is_fetched_again(wheel, cache):
    item = item_of(wheel, "wheel", "tresor-sample")
    kept = pathlib.Path(fetch(item, cache, **offline(wheel)).stdout.strip())
    kept.write_bytes(b"damaged")
    assert fetch(item, cache, **offline(wheel)).returncode == 0
    assert kept.read_bytes() == wheel.read_bytes()


def test_an_sdist_is_fetched_without_running_its_code(sdist, cache, tmp_path):
    done = fetch(item_of(sdist, "sdist", "tresor-sdist"), cache, **offline(sdist))
    assert done.returncode == 0, done.stderr + (cache / "log").read_text()
    assert pathlib.Path(done.stdout.strip()).read_bytes() == sdist.read_bytes()
    assert not (tmp_path / "ran").exists()


def test_an_sdist_with_a_wrong_hash_is_not_even_unpacked(sdist, cache, tmp_path):
    done = fetch(item_of(sdist, "sdist", "tresor-sdist", "0" * 64), cache, **offline(sdist))
    assert done.returncode != 0 and not (tmp_path / "ran").exists()


# ---- proxy and company CA ----

class Index(http.server.SimpleHTTPRequestHandler):
    """A package index over TLS with a certificate that only the company's CA signed."""

    def do_GET(self):
        folder = pathlib.Path(self.directory)
        names = sorted(p.name for p in folder.glob("*.whl"))
        if self.path.endswith("/tresor-sample/"):
            body = "".join(f'<a href="/files/{n}">{n}</a>' for n in names).encode()
            kind = "text/html"
        elif self.path.startswith("/files/") and self.path[7:] in names:
            body, kind = (folder / self.path[7:]).read_bytes(), "application/octet-stream"
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Proxy(socketserver.ThreadingTCPServer):
    """CONNECT only; every name leads to the index. Remembers what it was asked for."""
    allow_reuse_address = daemon_threads = True

    def __init__(self, target):
        self.asked, self.target = [], target
        super().__init__(("127.0.0.1", 0), Tunnel)


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(line.split()[1])
        with socket.create_connection(("127.0.0.1", self.server.target)) as up:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.pump, args=(up, self.connection), daemon=True)
            back.start()
            self.pump(self.connection, up)
            back.join(5)

    @staticmethod
    def pump(src, dst):
        try:
            while data := src.recv(65536):
                dst.sendall(data)
            dst.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def company(tmp_path, wheel):
    """(proxy, CA file): index.company.example behind a proxy, signed by a private CA."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    pem = lambda name: str(tmp_path / name) # noqa: E731
    for cmd in (
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Company CA",
         "-keyout", pem("ca.key"), "-out", pem("ca.pem")],
        ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=index.company.example",
         "-addext", "subjectAltName=DNS:index.company.example", "-keyout", pem("s.key"), "-out", pem("s.csr")],
        ["x509", "-req", "-in", pem("s.csr"), "-CA", pem("ca.pem"), "-CAkey", pem("ca.key"), "-CAcreateserial",
         "-days", "2", "-copy_extensions", "copy", "-out", pem("s.pem")],
    ):
        subprocess.run(["openssl", *cmd], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem("s.pem"), pem("s.key"))
    index = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: Index(*a, directory=str(wheel.parent)))
    index.daemon_threads = True
    index.socket = context.wrap_socket(index.socket, server_side=True)
    proxy = Proxy(index.server_address[1])
    for server in (index, proxy):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield proxy, pem("ca.pem")
    for server in (proxy, index):
        server.shutdown()
        server.server_close()


def test_proxy_and_company_ca_work(company, wheel, cache):
    proxy, ca = company
    env = {"PIP_INDEX_URL": "https://index.company.example/simple", "PIP_RETRIES": "0",
           "HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_address[1]}", "TRESOR_CA_FILE": ca}
    item = item_of(wheel, "wheel", "tresor-sample")
    done = fetch(item, cache, **env)
    assert done.returncode == 0, done.stderr + (cache / "log").read_text()
    assert proxy.asked and set(proxy.asked) == {"index.company.example:443"}


def test_without_the_company_ca_it_is_refused(company, wheel, cache):
    proxy, _ = company
    env = {"PIP_INDEX_URL": "https://index.company.example/simple", "PIP_RETRIES": "0",
           "HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_address[1]}"}
    assert fetch(item_of(wheel, "wheel", "tresor-sample"), cache, **env).returncode != 0


def test_an_unreadable_ca_file_is_said(wheel, cache):
    done = fetch(item_of(wheel, "wheel", "tresor-sample"), cache, TRESOR_CA_FILE="/nonexistent.pem")
    assert done.returncode == 2 and "TRESOR_CA_FILE" in done.stderr


# ---- keys ----

def machine(**facts):
    m = deps.Machine.__new__(deps.Machine)
    m.variant, m.amx, m.gpu, m.nvcc = "native", False, "none", ""
    m.facts = {"compiler": "cc 12", "cpu": "avx2", "gpu": "none ", "variant": "native", **facts}
    return m


def test_another_cpu_is_another_llama_but_the_same_starter():
    here, there = machine(), machine(cpu="avx2 avx512f")
    assert here.key("llama.cpp") != there.key("llama.cpp")
    assert here.key("sqlite3mc") == there.key("sqlite3mc")
    assert here.key("starter-smollm2") == there.key("starter-smollm2")


def test_another_gpu_is_another_llama_but_the_same_store():
    here, there = machine(), machine(gpu="vulkan shaderc 2023.2")
    assert here.key("llama.cpp") != there.key("llama.cpp")
    assert here.key("llama-server") != there.key("llama-server")
    assert here.key("sqlite3mc") == there.key("sqlite3mc")


@pytest.fixture
def programs(monkeypatch):
    """Which of nvcc and glslc are there."""
    have = set()
    monkeypatch.setattr(deps.shutil, "which", lambda name: f"/bin/{name}" if name in have else None)
    monkeypatch.setattr(deps.os.path, "exists", lambda path: False)
    monkeypatch.setattr(deps, "SHADERS", pathlib.Path("/"))
    monkeypatch.delenv("TRESOR_GPU", raising=False)
    return have


def test_without_a_choice_cuda_is_built_where_its_compiler_is(programs):
    assert deps.gpu() == "none"
    programs.update(("nvcc", "glslc"))
    assert deps.gpu() == "cuda"


def test_a_choice_is_kept_or_refused_and_never_replaced(programs, monkeypatch):
    for choice, needs in (("none", "nvcc"), ("cuda", "nvcc"), ("vulkan", "glslc")):
        monkeypatch.setenv("TRESOR_GPU", choice)
        programs.add(needs)
        assert deps.gpu() == choice
        programs.clear()
        if choice != "none":
            with pytest.raises(SystemExit, match=f"TRESOR_GPU={choice}.*{needs}"):
                deps.gpu()
    monkeypatch.setenv("TRESOR_GPU", "metal")
    with pytest.raises(SystemExit, match="none of none, cuda, vulkan"):
        deps.gpu()


def test_another_compiler_rebuilds_code_only():
    here, there = machine(), machine(compiler="cc 13")
    assert here.key("sqlite3mc") != there.key("sqlite3mc")
    assert here.key("starter-gemma3-270m") == there.key("starter-gemma3-270m")


def test_another_source_is_another_key(tmp_path, monkeypatch):
    before = machine().key("sqlite3mc")
    (tmp_path / "sqlite3.c").write_text("int x;")
    monkeypatch.setenv("TRESOR_SQLITE_SRC", str(tmp_path))
    first = machine().key("sqlite3mc")
    (tmp_path / "sqlite3.c").write_text("int y;")
    assert len({before, first, machine().key("sqlite3mc")}) == 3


def test_the_bench_server_is_the_same_source_as_the_product():
    product, server = deps.recipe("llama.cpp"), deps.recipe("llama-server")
    for field in ("version", "fetch", "tree_sha256", "key"):
        assert product[field] == server[field]


@pytest.mark.parametrize("name", sorted(p.parent.name for p in (ROOT / "deps").glob("*/recipe.json")))
def test_every_recipe_is_complete(name):
    r = deps.recipe(name)
    items = r.get("fetch") or list(r["fetch_by_machine"].values())
    assert r["version"] and r["licence"] and r["upstream"] and items
    for item in items:
        assert len(bytes.fromhex(item["sha256"])) == 32 and item["registry"] in ("pip", "npm")
        assert "://" not in json.dumps(item)
    readme = (ROOT / "deps" / name / "README.md").read_text()
    assert "pgrade" in readme or name == "llama-server"


def test_amx_stays_out_unless_the_probe_ran(monkeypatch):
    monkeypatch.setattr(deps, "cpu_flags", lambda: "x86_64 avx2")
    assert not deps.amx_runs() # the kernel does not report it: not even probed
    monkeypatch.setattr(deps, "cpu_flags", lambda: "x86_64 amx_tile")
    monkeypatch.setenv("CC", "false") # a probe that does not build proves nothing
    assert not deps.amx_runs()
