"""Pulling from a real registry: whole, cut off, wrong, without room."""
import hashlib, json, os, pathlib, random, signal, subprocess, time

import pytest

from conftest import House, STARTERS, make_gguf, sha

MiB = 1024 * 1024
TEXTS = dict(template="{{ .Prompt }}", system="Du bist nett.", params='{"temperature": 0.5, "stop": ["<end>"]}',
             license="Apache License\nVersion 2.0")


def whole(house, model):
    blob = house.folder / "models/blobs" / ("sha256-" + sha(model))
    return blob.exists() and sha(blob.read_bytes()) == sha(model)


def test_a_model_with_texts_comes_whole(registry, house):
    model = make_gguf(5 * MiB)
    manifest = registry.put_model("library/tiny", "latest", model, **TEXTS)
    assert house.pull(registry.port, "tiny").code == 0, house.err
    lines = [json.loads(x) for x in house.out.splitlines()]
    assert lines[0]["status"] == "pulling manifest" and lines[-1]["status"] == "success"
    statuses = house.statuses()
    for wanted in [f"pulling {sha(model)[:12]}", "verifying sha256 digest", "writing manifest"]:
        assert wanted in statuses
    last = [x for x in lines if x["digest"] == sha(model)][-1]
    assert last["completed"] == last["total"] == len(model)
    assert whole(house, model)
    name = f"127.0.0.1:{registry.port}/library/tiny:latest"
    assert house.names() == [name]
    shown = json.loads(house("show", name).out)
    assert shown["manifest"] == manifest
    assert shown["system"] == TEXTS["system"] and json.loads(shown["params"]) == json.loads(TEXTS["params"])
    assert len(house.blobs()) == 6 and not [b for b in house.blobs() if "partial" in b]


def test_a_second_pull_fetches_nothing_again(registry, proxy, house):
    model = make_gguf(3 * MiB)
    registry.put_model("library/again", "latest", model)
    assert house.pull(proxy.port, "again").code == 0, house.err
    before = proxy.bytes
    assert house.pull(proxy.port, "again").code == 0, house.err
    assert proxy.bytes - before < 64 * 1024


def test_another_name_and_deleting(registry, house):
    model = make_gguf(MiB)
    registry.put_model("library/two", "v1", model, system="eins")
    registry.put_model("library/two", "v2", model, system="zwei")
    assert house.pull(registry.port, "two:v1", "meins").code == 0, house.err
    assert house.pull(registry.port, "two:v2").code == 0, house.err
    assert house("rm", "meins").code == 0
    assert whole(house, model)  # the other name still needs it
    assert house("rm", f"127.0.0.1:{registry.port}/two:v2").code == 0
    assert house.blobs() == [] and house.names() == []
    assert house("rm", "meins").code == 1 and "not_found" in house.err


@pytest.mark.parametrize("seed", range(4))
def test_cut_off_everywhere_it_still_comes(registry, proxy, house, seed):
    """Every connection is cut after a random number of bytes, from the first header byte on."""
    model = make_gguf(6 * MiB + seed)
    registry.put_model(f"library/cut{seed}", "latest", model, **TEXTS)
    rng = random.Random(seed)
    proxy.cut = lambda: rng.choice([rng.randrange(1, 500), rng.randrange(300, 60000), rng.randrange(300, 3 * MiB)])
    for _ in range(60):  # each run gives up after some failures in a row; the next goes on
        if house.pull(proxy.port, f"cut{seed}", options=["--range", "700001"]).code == 0:
            break
        assert "upstream_failed" in house.err or "timeout" in house.err, house.err
        assert house.names() == []  # never half a model in the list
    assert house.code == 0, house.err
    assert whole(house, model) and proxy.connections > 5


def test_bytes_once_durable_are_not_fetched_again(registry, proxy, house):
    model = make_gguf(40 * MiB)
    registry.put_model("library/resume", "latest", model)
    left = [24 * MiB]

    def cut():
        return max(1, left[0] - proxy.bytes)
    proxy.cut = cut
    assert house.pull(proxy.port, "resume", options=["--streams", "1", "--range", str(4 * MiB)]).code == 1
    first = proxy.bytes
    assert any("partial" in b for b in house.blobs()) and house.names() == []
    proxy.cut = None
    assert house.pull(proxy.port, "resume").code == 0, house.err
    assert whole(house, model)
    assert proxy.bytes < len(model) + 2 * MiB, (first, proxy.bytes)


@pytest.mark.parametrize("after", [0.05, 0.2, 0.5, 1.0])
def test_killed_in_the_middle_it_goes_on(registry, proxy, house, after):
    model = make_gguf(30 * MiB + int(after * 100))
    registry.put_model("library/killed", f"t{int(after * 100)}", model)
    proxy.cut = lambda: 3 * MiB
    p = house.pull(proxy.port, f"killed:t{int(after * 100)}", wait=False)
    time.sleep(after)
    p.send_signal(signal.SIGKILL)
    p.communicate()
    time.sleep(0.2)
    assert house.names() in ([], [f"127.0.0.1:{proxy.port}/library/killed:t{int(after * 100)}"])
    proxy.cut = None
    assert house.pull(proxy.port, f"killed:t{int(after * 100)}").code == 0, house.err
    assert whole(house, model)


def test_a_stalled_stream_begins_anew(registry, proxy, house):
    model = make_gguf(4 * MiB)
    registry.put_model("library/stall", "latest", model)
    times = iter([None, None, 100000, 100000])
    proxy.cut, proxy.stall = lambda: next(times, None), 20
    begin = time.time()
    assert house.pull(proxy.port, "stall", options=["--stall", "600", "--range", str(MiB)]).code == 0, house.err
    assert whole(house, model) and time.time() - begin < 15


def test_wrong_bytes_are_refused(registry, house):
    model = make_gguf(2 * MiB + 8192)
    registry.put_model("library/wrong", "latest", model)
    stored = registry.blob_file(model)
    bad = bytearray(model)
    bad[MiB] ^= 1
    stored.write_bytes(bad)
    assert house.pull(registry.port, "wrong").code == 1
    assert "digest_mismatch" in house.err and house.names() == []
    stored.write_bytes(model)
    assert house.pull(registry.port, "wrong").code == 0, house.err
    assert whole(house, model)


def test_too_short_a_file_is_refused(registry, house):
    model = make_gguf(2 * MiB + 4096)
    registry.put_model("library/short", "latest", model)
    registry.blob_file(model).write_bytes(model[:MiB])
    assert house.pull(registry.port, "short").code == 1
    assert house.names() == []


@pytest.mark.parametrize("name,change,why", [
    ("magic", lambda m: b"GGML" + m[4:], "not a GGUF file"),
    ("cut", lambda m: m[:len(m) // 2], "outside the file"),
    ("claim", lambda m: m[:8] + (2**60).to_bytes(8, "little") + m[16:1024], "too many tensors"),
    ("empty", lambda m: b"x", "too short"),
])
def test_a_hostile_file_leaves_nothing(registry, house, name, change, why):
    registry.put_model(f"library/bad-{name}", "latest", change(make_gguf(MiB)), **TEXTS)
    assert house.pull(registry.port, f"bad-{name}").code == 1
    assert "model_unusable" in house.err and why in house.err
    assert house.names() == [] and house.blobs() == []


def test_unknown_names_and_hosts(registry, house):
    assert house.pull(registry.port, "nothing").code == 1 and "not_found" in house.err
    assert house("pull", "127.0.0.1:1/x").code == 1 and "egress_refused" in house.err
    assert house("pull", "evil.example/a/b").code == 1 and "egress_refused" in house.err
    assert house("pull", "../../etc").code == 1 and "invalid" in house.err
    assert house.blobs() == []


def test_two_pulls_of_one_blob_at_once(registry, house):
    model = make_gguf(20 * MiB)
    registry.put_model("library/same", "a", model)
    registry.put_model("library/same", "b", model)
    a = house.pull(registry.port, "same:a", wait=False)
    b = house.pull(registry.port, "same:b", wait=False)
    for p in (a, b):
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
    assert whole(house, model) and len(house.names()) == 2


def test_a_full_disk_says_so_and_keeps_what_came(registry, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root for a small tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=140m", "tmpfs", folder]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        house = House(folder / "house")
        model = make_gguf(60 * MiB)
        registry.put_model("library/full", "latest", model)
        # too large from the start: told at once, nothing left behind
        huge = make_gguf(120 * MiB)
        registry.put_model("library/huge", "latest", huge)
        assert house.pull(registry.port, "huge").code == 1
        assert "disk_full" in house.err and "MB more" in house.err
        assert not [b for b in house.blobs() if sha(huge) in b]
        # the room goes while it comes
        p = house.pull(registry.port, "full", options=["--streams", "1", "--range", str(2 * MiB)], wait=False)
        blobs = folder / "house/models/blobs"
        part = blobs / f"sha256-{sha(model)}-partial"
        for _ in range(2000):
            if part.exists() and part.stat().st_blocks > 0:
                break
            time.sleep(0.001)
        filler = folder / "filler"
        with open(filler, "wb") as f:
            try:
                while True:
                    f.write(b"\0" * MiB)
            except OSError:
                pass
        out, err = p.communicate(timeout=60)
        if p.returncode == 0:
            pytest.skip("the pull was faster than the disk filled up")
        assert "disk_full" in err, err
        filler.unlink()
        assert house.names() == []
        assert house.pull(registry.port, "full").code == 0, house.err
        assert whole(house, model)
    finally:
        subprocess.run(["umount", "-l", folder])


def test_upload_and_create(registry, house, tmp_path):
    model = make_gguf(3 * MiB)
    path = tmp_path / "m.gguf"
    path.write_bytes(model)
    assert house("upload", "sha256:" + "0" * 64, path).code == 1 and "digest_mismatch" in house.err
    assert house("upload", "sha256:" + sha(model), path).code == 0, house.err
    body = {"model": "eigen:v1", "files": {"m.gguf": "sha256:" + sha(model)}, "system": "Hallo",
            "parameters": {"temperature": 0.1}}
    assert house("create", json.dumps(body)).code == 0, house.err
    assert house.statuses()[0] == "parsing GGUF" and house.statuses()[-1] == "success"
    assert house("create", json.dumps({"model": "zwei", "from": "eigen:v1", "parameters": {"top_k": 7}})).code == 0
    shown = json.loads(house("show", "zwei").out)
    assert shown["system"] == "Hallo" and json.loads(shown["params"]) == {"temperature": 0.1, "top_k": 7}
    assert house("cp", "zwei", "drei").code == 0
    assert sorted(house.names()) == ["drei:latest", "eigen:v1", "zwei:latest"]
    for name in ("drei", "zwei", "eigen:v1"):
        assert house("rm", name).code == 0
    assert house.blobs() == []
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUFxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
    assert house("upload", sha(bad.read_bytes()), bad).code == 0
    assert house("create", json.dumps({"model": "x", "files": {"a": "sha256:" + sha(bad.read_bytes())}})).code == 1
    assert "model_unusable" in house.err and house.blobs() == []


def test_prune_takes_what_a_crash_left(registry, house, tmp_path):
    model = make_gguf(MiB)
    path = tmp_path / "m.gguf"
    path.write_bytes(model)
    assert house("upload", sha(model), path).code == 0
    registry.put_model("library/kept", "latest", make_gguf(2 * MiB))
    assert house.pull(registry.port, "kept").code == 0
    assert house("prune").out.strip() == "0"  # it came just now: the create that names it may be on its way
    blob = house.folder / "models/blobs" / f"sha256-{sha(model)}"
    os.utime(blob, (time.time() - 3700,) * 2)
    assert house("prune").out.strip() == "1"
    assert not whole(house, model) and len(house.names()) == 1


def test_a_damaged_manifest_is_left_out(registry, house):
    model = make_gguf(MiB)
    registry.put_model("library/dam", "a", model)
    registry.put_model("library/dam", "b", model)
    house.pull(registry.port, "dam:a")
    house.pull(registry.port, "dam:b")
    files = sorted((house.folder / "models/manifests").rglob("library/dam/*"))
    files[0].write_text('{"schemaVersion":2')
    (files[0].parent / "c.0123456789abcdef.tmp").write_text("{}")
    assert len(house.names()) == 1
    assert not (files[0].parent / "c.0123456789abcdef.tmp").exists()


def test_the_meta_file_is_made_again(registry, house):
    registry.put_model("library/meta", "latest", make_gguf(MiB))
    assert house.pull(registry.port, "meta").code == 0
    for f in (house.folder / "models/manifests/.meta").iterdir():
        f.unlink()
    house("prune")
    house("list")
    assert " llama " in house.out


@pytest.mark.skipif(not STARTERS or not (STARTERS / "smollm2.gguf").exists(), reason="no starter model here")
def test_the_starter_model(registry, house):
    assert house("pull", "starter:smollm2").code == 0, house.err
    assert house("pull", "starter:smollm2").code == 0, house.err
    house("list")
    line = house.out.split()
    assert line[0] == "starter:smollm2" and line[3:] == ["llama", "134.52M", "Q4_1", "8192", "1"]
    # the same file through the registry, in parts, must give the same blob
    model = (STARTERS / "smollm2.gguf").read_bytes()
    registry.put_model("library/smollm2", "135m", model)
    other = House(house.folder.parent / "other")
    assert other.pull(registry.port, "smollm2:135m").code == 0, other.err
    assert whole(other, model)
    assert house("pull", "starter:unknown").code == 1 and "not_found" in house.err
