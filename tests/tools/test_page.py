"""tools/embed_page.py: the table of src/api/page.h."""
import base64
import ctypes
import gzip
import hashlib
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).parents[2]))

BUILD = os.environ.get("TRESOR_BUILD", ROOT / "build-test")


class PageFile(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), ("media_type", ctypes.c_char_p), ("etag", ctypes.c_char_p),
                ("gz", ctypes.POINTER(ctypes.c_uint8)), ("gz_len", ctypes.c_size_t), ("len", ctypes.c_size_t),
                ("immutable", ctypes.c_bool)]


def embed(dist, out):
    return subprocess.run([ROOT / "tools/embed_page.py", dist, out], capture_output=True, text=True, check=False)


@pytest.fixture
def dist(tmp_path):
    top = tmp_path / "dist"
    (top / "assets").mkdir(parents=True)
    (top / "index.html").write_text("<html><script>let a = 1</script><script src=/assets/x.js></script></html>")
    (top / "assets/app-B3xYz019.js").write_text("console.log('ä')\n" * 50)
    (top / "favicon.svg").write_text("<svg/>")
    return top


def test_table_holds_every_file(dist, tmp_path):
    assert embed(dist, tmp_path / "page.c").returncode == 0
    subprocess.run(["cc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{ROOT}/src",
                    f"-I{BUILD}/src", tmp_path / "page.c", "-o", tmp_path / "page.so"], check=True)
    lib = ctypes.CDLL(str(tmp_path / "page.so"))
    count = ctypes.c_size_t.in_dll(lib, "page_file_count").value
    rows = list((PageFile * count).in_dll(lib, "page_files"))
    assert [r.path.decode() for r in rows] == ["/assets/app-B3xYz019.js", "/favicon.svg", "/index.html"]
    for r in rows:
        data = (dist / r.path.decode()[1:]).read_bytes()
        assert gzip.decompress(bytes(r.gz[:r.gz_len])) == data and r.len == len(data)
        assert r.etag.decode() == f'"{hashlib.sha256(data).hexdigest()}"'
    assert [r.immutable for r in rows] == [True, False, False]
    assert rows[0].media_type == b"text/javascript; charset=utf-8"
    hashes = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(lib, "page_script_hashes")))
    want = base64.b64encode(hashlib.sha256(b"let a = 1").digest()).decode()
    assert hashes.decode() == f"'sha256-{want}'"


def test_without_a_page_there_is_no_table(tmp_path):
    (tmp_path / "empty").mkdir()
    done = embed(tmp_path / "empty", tmp_path / "page.c")
    assert done.returncode and "page was not built" in done.stderr and not (tmp_path / "page.c").exists()


def test_a_file_of_unknown_kind_is_refused(dist, tmp_path):
    (dist / "x.exe").write_text("")
    assert "no media type" in embed(dist, tmp_path / "page.c").stderr


def test_the_same_page_gives_the_same_bytes(dist, tmp_path):
    embed(dist, tmp_path / "a.c")
    (dist / "index.html").touch()
    embed(dist, tmp_path / "b.c")
    assert (tmp_path / "a.c").read_bytes() == (tmp_path / "b.c").read_bytes()
