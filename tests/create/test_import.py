"""The models of an Ollama's folder: taken over without a copy, and without a change there."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import hf  # noqa: E402
from tresor import Instance  # noqa: E402

bert = hf.bert
MEDIA = "application/vnd.ollama.image."


class Ollama:
    """A folder as Ollama keeps its models: manifests/HOST/NAMESPACE/MODEL/TAG, blobs/sha256-HEX."""

    def __init__(self, path):
        self.path = str(path)
        os.makedirs(os.path.join(self.path, "blobs"))
        self.model = bert.tiny_cross_encoder()
        self.model.w = {k: v for k, v in self.model.w.items() if not k.startswith("classifier")}

    def blob(self, data):
        hexa = hashlib.sha256(data).hexdigest()
        path = os.path.join(self.path, "blobs/sha256-" + hexa)
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.write(data)
        return hexa, len(data)

    def layer(self, kind, data):
        hexa, n = self.blob(data)
        return {"mediaType": MEDIA + kind, "digest": "sha256:" + hexa, "size": n}

    def gguf(self, n, **more):
        path = os.path.join(self.path, "tmp.gguf")
        self.model.write(path, bert.MEAN, **{"general.description": f"number {n}"}, **more)
        with open(path, "rb") as f:
            data = f.read()
        os.remove(path)
        return data

    def add(self, name, data, host="registry.ollama.ai", namespace="library", tag="latest", texts=True, template=None,
            code=None):
        layers = [self.layer("model", data)]
        if texts:
            layers += [self.layer("license", f"Licence of {name}".encode()),
                       self.layer("params", json.dumps({"temperature": 0.5, "name_is": [name]}).encode()),
                       self.layer("system", f"You are {name}.".encode())]
        if template:
            layers.append(self.layer("template", template.encode()))
        config = self.layer("x", json.dumps({"model_format": "gguf", "name": name, **(code or {})}).encode())
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": dict(config, mediaType="application/vnd.docker.container.image.v1+json"),
                    "layers": layers}
        folder = os.path.join(self.path, "manifests", host, namespace, name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, tag), "w", encoding="utf-8") as f:
            json.dump(manifest, f)
        return layers[0]["digest"].replace(":", "-")

    def seen(self):
        """Everything that a change would show in: names, bytes, sizes, modes, owners, times of writing."""
        out = {}
        for folder, _, files in os.walk(self.path):
            for f in ["", *files]:
                p = os.path.join(folder, f)
                st = os.lstat(p)
                sha = hashlib.sha256(open(p, "rb").read()).hexdigest() if f else None
                out[p] = (sha, st.st_mode, st.st_uid, st.st_gid, st.st_ino, st.st_mtime_ns,
                          st.st_size if f else 0)
        return out


def owner(i):
    i.start()
    i.add_user("o@example.org", "owner")
    i.secret = i.key("o@example.org", "chat,models.read,models.change")
    return i


@pytest.fixture
def server():
    with Instance() as i:
        yield owner(i)


@pytest.fixture
def folder(server):
    """On the file system of the data directory."""
    return Ollama(os.path.join(server.home, "ollama"))


def names(i):
    return sorted(m["name"] for m in i.api("GET", "/api/tags", key=i.secret)[1]["models"])


def own(i, blob):
    return os.path.join(i.data, "models/blobs", blob)


def shared(a, b):
    """The same file, or a clone of its blocks (which `filefrag` would show; here: the file system can)."""
    return os.stat(a).st_ino == os.stat(b).st_ino


def test_beside_a_renderer_a_stub_of_a_template_does_not_count(server, folder):
    code = {"renderer": "qwen3-coder", "parser": "qwen3", "requires": "0.14.0"}
    own_template = {"tokenizer.chat_template": "{{ messages[0].content }}"}
    for n, (name, meta) in enumerate({"both": own_template, "stub": {}}.items()):
        folder.add(name, folder.gguf(n, **meta), template="{{ .Prompt }}", code=code)
    folder.add("plain", folder.gguf(2, **own_template), template="{{ .Prompt }}")
    server.must("import-ollama", folder.path)
    shown = {n: server.api("POST", "/api/show", {"model": n}, server.secret)[1] for n in ("both", "stub", "plain")}
    assert {n: s["template"] for n, s in shown.items()} == {
        "both": own_template["tokenizer.chat_template"], "stub": "", "plain": "{{ .Prompt }}"}
    assert [[s.get(k) for k in code] for s in shown.values()] == [list(code.values())] * 2 + [[None] * 3]


def test_a_thousand_blobs_without_a_copy_and_without_a_change(server, folder):
    quick = os.environ.get("TRESOR_QUICK") == "1"
    count = 30 if quick else 200
    for n in range(count):
        folder.add(f"model{n}", folder.gguf(n))
    blobs = os.listdir(os.path.join(folder.path, "blobs"))
    assert len(blobs) == 5 * count
    before = folder.seen()
    out = server.must("import-ollama", folder.path)
    assert folder.seen() == before
    assert f"{count} models: {count} new, 0 here already, 0 failed" in out, out
    probe = os.path.join(server.home, "probe")
    clones = subprocess.run(["cp", "--reflink=always", os.path.join(folder.path, "blobs", blobs[0]), probe],
                            check=False, stderr=subprocess.DEVNULL).returncode == 0
    assert (f"{5 * count} cloned" if clones else f"{5 * count} linked") in out
    if not clones:
        assert all(shared(own(server, b), os.path.join(folder.path, "blobs", b)) for b in blobs)
    assert len(names(server)) == count
    status, r = server.api("POST", "/api/embed", {"model": "model7", "input": "river"}, key=server.secret)
    assert status == 200 and abs(float(r["embeddings"][0][0]) - folder.model.vector("river")[0]) < 1e-3
    show = server.api("POST", "/api/show", {"model": "model7"}, key=server.secret)[1]
    assert show["license"] == "Licence of model7" and show["system"] == "You are model7."
    # again: nothing to do, and nothing changes
    assert f"0 new, {count} here already" in server.must("import-ollama", folder.path)
    assert folder.seen() == before
    # deleted here: the folder keeps what it has
    server.must("rm", "model7")
    assert folder.seen() == before
    # the folder goes: what was taken over stays
    shutil.rmtree(folder.path)
    status, _ = server.api("POST", "/api/embed", {"model": "model3", "input": "x"}, key=server.secret)
    assert status == 200


def test_names_are_those_of_ollama(server, folder):
    g = folder.gguf(1)
    folder.add("m", g)
    folder.add("m", folder.gguf(2), tag="7B-q4_K_M")
    folder.add("m", g, namespace="someone")
    folder.add("repo", g, host="hf.co", namespace="user", tag="Q8_0")
    server.must("import-ollama", folder.path)
    assert names(server) == ["hf.co/user/repo:Q8_0", "m:7B-q4_K_M", "m:latest", "someone/m:latest"]


def test_what_is_wrong_in_one_model_does_not_keep_the_others_away(server, folder):
    good = folder.add("good", folder.gguf(1))
    bad = folder.add("changed", folder.gguf(2))
    with open(os.path.join(folder.path, "blobs", bad), "r+b") as f:
        f.seek(-1, os.SEEK_END)
        f.write(b"\x7f")
    os.remove(os.path.join(folder.path, "blobs", folder.add("missing", folder.gguf(3))))
    folder.add("noise", b"no GGUF at all" * 100)
    away = folder.add("elsewhere", folder.gguf(4))
    path = os.path.join(folder.path, "blobs", away)
    os.rename(path, path + ".away")
    os.symlink(path + ".away", path)
    folder.add("bad name", folder.gguf(5))
    os.makedirs(os.path.join(folder.path, "manifests/registry.ollama.ai/library/torn"))
    with open(os.path.join(folder.path, "manifests/registry.ollama.ai/library/torn/latest"), "w") as f:
        f.write('{"schemaVersion": 2, "lay')
    before = folder.seen()
    code, out, err = server.run("import-ollama", folder.path)
    assert code == 1 and "7 models: 1 new, 0 here already, 6 failed" in out, (out, err)
    for text in ("changed:latest: blobs/sha256-", "digest in its name", "missing:latest: blobs/sha256-",
                 "noise:latest: not a usable model", "elsewhere:latest: blobs/sha256-", "6 of 7 models"):
        assert text in err, err
    assert names(server) == ["good:latest"] and folder.seen() == before
    assert not os.path.exists(own(server, bad)) and os.path.exists(own(server, good))
    assert not [b for b in os.listdir(os.path.join(server.data, "models/blobs")) if not b.startswith("sha256-")]


def test_a_file_that_others_may_write_is_copied_or_refused(server, folder):
    """A second name for it would let them change a model after it was checked."""
    blob = folder.add("open", folder.gguf(1), texts=False)
    path = os.path.join(folder.path, "blobs", blob)
    os.chmod(path, 0o664)
    probe = os.path.join(server.home, "probe")
    if subprocess.run(["cp", "--reflink=always", path, probe], check=False, stderr=subprocess.DEVNULL).returncode == 0:
        pytest.skip("this file system clones: a clone is nobody else's")
    before = folder.seen()
    code, _, err = server.run("import-ollama", folder.path)
    assert code == 1 and "others than its owner may write it" in err and "--copy" in err
    out = server.must("import-ollama", folder.path, "--copy")
    assert "1 copied" in out and folder.seen() == before
    assert not shared(own(server, blob), path)
    with open(path, "r+b") as f:  # whoever may write it changes it: nothing of ours changes
        f.write(b"\0" * 64)
    assert hashlib.sha256(open(own(server, blob), "rb").read()).hexdigest() == blob[7:]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away and to mount")
def test_another_owner_or_another_file_system_is_said(server, folder, tmp_path):
    blob = folder.add("theirs", folder.gguf(1), texts=False)
    os.chown(os.path.join(folder.path, "blobs", blob), 12345, 12345)
    code, _, err = server.run("import-ollama", folder.path)
    if "cloned" not in err and code:
        assert "belongs to another user" in err
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        other = Ollama(small / "ollama")
        other.add("far", other.gguf(2))
        code, _, err = server.run("import-ollama", other.path)
        assert code == 1 and "another file system" in err and "--copy" in err
        before = other.seen()
        assert "5 copied" in server.must("import-ollama", other.path, "--copy")
        assert other.seen() == before and "far:latest" in names(server)
    finally:
        subprocess.run(["umount", "-l", small], check=False)


def test_only_the_operator_on_the_spot_may_name_a_folder(server, folder):
    folder.add("m", folder.gguf(1))
    with open(os.path.join(folder.path, "manifests/registry.ollama.ai/library/m/latest"), encoding="utf-8") as f:
        manifest = f.read()
    status, r = server.api("POST", "/team/v1/models/import",
                           {"folder": folder.path, "name": "m", "manifest": manifest}, key=server.secret)
    assert status == 400 and "on its own machine" in json.dumps(r)
    assert names(server) == []


def test_a_folder_that_is_none_is_said(server, tmp_path):
    code, _, err = server.run("import-ollama", str(tmp_path))
    assert code == 1 and "has no manifests" in err
    code, _, err = server.run("import-ollama", str(tmp_path / "nowhere"))
    assert code == 1 and "there is no folder" in err
