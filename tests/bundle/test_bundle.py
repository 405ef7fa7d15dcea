"""Models in one signed file: from one house into another that trusts it, and files that were made to harm."""
import hashlib, json, os, pathlib, struct, sys, threading, time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "registry")]
from conftest import make_gguf, sha  # noqa: E402
from tresor import Browser, Instance  # noqa: E402

MiB = 1 << 20


def house():
    i = Instance()
    i.start()
    i.add_user("chefin@firma.example", "owner")
    i.add_user("mia@firma.example", "member")
    return i


@pytest.fixture(scope="module")
def sender(tmp_path_factory):
    with house() as i:
        i.folder = tmp_path_factory.mktemp("sender")
        i.model = make_gguf(6 * MiB)
        path = i.folder / "m.gguf"
        path.write_bytes(i.model)
        i.must("pull", f"file:{path}", "--as", "firma/haus:v1")
        i.must("cp", "firma/haus:v1", "zweiter")
        i.file = i.folder / "b.tresor"
        i.must("bundle", "export", "firma/haus:v1", "zweiter", "-o", str(i.file))
        i.own = json.loads(i.must("bundle", "signers", "--json"))["own"]
        yield i


@pytest.fixture(scope="module")
def receiver():
    with house() as i:
        yield i


def names(i):
    return sorted(m["name"] for m in json.loads(i.must("list", "--json"))["models"])


def blobs(i):
    return sorted(p.name for p in (pathlib.Path(i.data) / "models/blobs").iterdir())


def clean(i):
    for n in names(i):
        i.must("rm", n)
    assert blobs(i) == []


def test_the_file_is_what_the_header_says(sender):
    """Read by a second program, from src/models/bundle.h."""
    data = sender.file.read_bytes()
    assert data[:16] == b"TRESOR-BUNDLE 1\n"
    n, = struct.unpack_from("<I", data, 16)
    listing = json.loads(data[20:20 + n])
    key = data[20 + n:52 + n]
    print_ = hashlib.sha256(key).hexdigest()[:40]
    assert "-".join(print_[i:i + 4] for i in range(0, 40, 4)) == sender.own
    at = 116 + n
    for blob in listing["blobs"]:
        assert sha(data[at:at + blob["size"]]) == blob["digest"]
        at += blob["size"]
    assert at == len(data)  # the two names share every part: each is there once
    assert {m["name"] for m in listing["models"]} == {"firma/haus:v1", "zweiter:latest"}
    for m in listing["models"]:
        parts = json.loads(m["manifest"])
        wanted = {x["digest"][7:] for x in [*parts["layers"], *([parts["config"]] if "config" in parts else [])]}
        assert wanted <= {b["digest"] for b in listing["blobs"]}


def test_a_signer_must_be_trusted_by_name(sender, receiver):
    clean(receiver)
    code, _, err = receiver.run("bundle", "import", str(sender.file))
    assert code == 1 and sender.own in err and "--trust" in err
    assert names(receiver) == [] and blobs(receiver) == []
    wrong = "0000" + sender.own[4:]
    code, _, err = receiver.run("bundle", "import", str(sender.file), "--trust", wrong)
    assert code == 1 and sender.own in err and names(receiver) == []
    out = receiver.must("bundle", "import", str(sender.file), "--trust", sender.own)
    assert "firma/haus:v1" in out and "licence" in out
    assert names(receiver) == ["firma/haus:v1", "zweiter:latest"]
    blob = pathlib.Path(receiver.data) / "models/blobs" / ("sha256-" + sha(sender.model))
    assert sha(blob.read_bytes()) == sha(sender.model)
    mine, theirs = ({m["name"]: m["digest"] for m in json.loads(i.must("list", "--json"))["models"]}
                    for i in (sender, receiver))
    assert mine == theirs
    clean(receiver)
    receiver.must("bundle", "import", str(sender.file))  # from now on without the flag
    signers = json.loads(receiver.must("bundle", "signers", "--json"))
    assert [s["fingerprint"] for s in signers["signers"]] == [sender.own] and signers["own"] != sender.own
    receiver.must("bundle", "distrust", sender.own)
    clean(receiver)
    assert receiver.run("bundle", "import", str(sender.file))[0] == 1
    b = Browser(receiver)
    assert b.login("chefin@firma.example")[0] == 200
    seen = {e["action"]: e for e in b.call("GET", "/team/v1/audit?limit=100")[1]["entries"]}
    assert seen["bundle.trust"]["object"] == sender.own
    assert {"bundle.import", "bundle.distrust"} <= set(seen)


def test_its_own_bundle_needs_nobodys_trust(sender):
    sender.must("bundle", "import", str(sender.file))
    assert names(sender) == ["firma/haus:v1", "zweiter:latest"]


def test_show_needs_no_server(sender):
    out = sender.must("bundle", "show", str(sender.file))
    assert sender.own in out and "firma/haus:v1" in out and "signature is right" in out


def change(data, how):
    n, = struct.unpack_from("<I", data, 16)
    body = 116 + n
    if how == "list":  # a digit in the signed list
        at = data.index(b'"created_ms":') + 14
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
    if how == "signature":
        return data[:body - 1] + bytes([data[body - 1] ^ 1]) + data[body:]
    if how == "key":
        return data[:20 + n] + os.urandom(32) + data[52 + n:]
    if how == "blob":
        return data[:body + 1000] + bytes([data[body + 1000] ^ 1]) + data[body + 1001:]
    if how == "truncated":
        return data[:-1]
    if how == "head cut":
        return data[:body - 40]
    if how == "goes on":
        return data + b"x" * MiB
    if how == "huge list":
        return data[:16] + struct.pack("<I", 0xffffffff) + data[20:]
    if how == "no bundle":
        return b"\x1f\x8b" + data[2:]
    if how == "next format":
        return data[:14] + b"2\n" + data[16:]
    return b""


HOSTILE = {"list": "signature is wrong", "signature": "signature is wrong", "key": "signature is wrong",
           "blob": "digest", "truncated": "", "head cut": "cut short", "goes on": "", "huge list": "too large",
           "no bundle": "not a bundle", "next format": "format", "empty": "not a bundle"}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_changed_file_is_refused_and_nothing_stays(sender, receiver, tmp_path, how):
    clean(receiver)
    path = tmp_path / "bad"
    path.write_bytes(change(sender.file.read_bytes(), how))
    code, _, err = receiver.run("bundle", "import", str(path), "--trust", sender.own)
    assert code == 1 and HOSTILE[how] in err, err
    # and past the command, which looks first: straight to the server
    key = receiver.key("chefin@firma.example", "models.change,egress")
    status, text, _ = receiver.request("POST", f"/team/v1/bundles/import?trust={sender.own}", path.read_bytes(),
                                       {"Authorization": f"Bearer {key}"}, raw=True)
    assert status in (400, 413, 502), (status, text)
    assert names(receiver) == [] and blobs(receiver) == []


def test_an_endless_file_ends(sender, receiver):
    """The head, then bytes without end: refused at the first one too many."""
    import socket
    clean(receiver)
    key = receiver.key("chefin@firma.example", "models.change,egress")
    s = socket.create_connection(("127.0.0.1", receiver.port))
    s.sendall((f"POST /team/v1/bundles/import?trust={sender.own} HTTP/1.1\r\nHost: localhost\r\n"
               f"Authorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n").encode())
    sent, data, answer = 0, sender.file.read_bytes(), b""
    s.settimeout(20)
    try:
        while sent < len(data) + 64 * MiB:
            piece = (data[sent:sent + MiB] if sent < len(data) else b"x" * MiB)
            s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sent += len(piece)
    except OSError:
        pass
    try:
        answer = s.recv(65536)
    except OSError:
        pass
    s.close()
    assert sent < len(data) + 64 * MiB
    assert not answer or b" 400 " in answer.split(b"\r\n")[0]
    for _ in range(100):
        if not blobs(receiver):
            break
        time.sleep(0.05)
    assert names(receiver) == [] and blobs(receiver) == []


def test_memory_does_not_grow_with_the_file(sender, receiver, tmp_path):
    """160 MiB through both servers; their own memory stays small."""
    clean(receiver)
    big = tmp_path / "big.gguf"
    big.write_bytes(make_gguf(160 * MiB))
    sender.must("pull", f"file:{big}", "--as", "gross")
    peak = {}

    def rss(pid):
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1])
        return 0

    def watch(i, stop):
        while not stop.is_set():
            for p in pathlib.Path("/proc").iterdir():
                try:
                    if p.name.isdigit() and int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == i.process.pid:
                        role = (p / "cmdline").read_bytes().split(b"\0")[2].decode()
                        peak[role] = max(peak.get(role, 0), rss(p.name))
                except (OSError, IndexError, ValueError):
                    pass
            time.sleep(0.02)
    stop = threading.Event()
    watchers = [threading.Thread(target=watch, args=(i, stop)) for i in (sender, receiver)]
    for w in watchers:
        w.start()
    out = tmp_path / "big.tresor"
    sender.must("bundle", "export", "gross", "-o", str(out))
    receiver.must("bundle", "import", str(out), "--trust", sender.own)
    stop.set()
    for w in watchers:
        w.join()
    sender.must("rm", "gross")
    assert "gross:latest" in names(receiver)
    assert peak["jail"] < 8 * 1024 and peak["server"] < 48 * 1024, peak


def test_who_may(sender):
    """Members neither send models out nor take them in; a key needs its scope."""
    b = Browser(sender)
    assert b.login("mia@firma.example")[0] == 200
    assert b.call("POST", "/team/v1/bundles/export", {"models": ["zweiter"]})[0] == 403
    assert b.call("GET", "/team/v1/bundles/signers")[0] == 403
    key = sender.key("chefin@firma.example", "models.change")
    assert sender.api("POST", "/team/v1/bundles/export", {"models": ["zweiter"]}, key)[0] == 403
    assert sender.api("POST", "/api/push", {"model": "zweiter"}, key)[0] == 403
    status, text, _ = sender.request("POST", f"/team/v1/bundles/import?trust={'0000-' * 9}0000", b"x" * 100,
                                     {"Authorization": f"Bearer {key}"}, raw=True)
    assert status == 400


def test_a_file_that_is_there_is_not_written_over(sender, tmp_path):
    path = tmp_path / "x"
    path.write_text("mine")
    code, _, err = sender.run("bundle", "export", "zweiter", "-o", str(path))
    assert code == 1 and "already" in err and path.read_text() == "mine"
    code, _, err = sender.run("bundle", "export", "nirgends", "-o", str(tmp_path / "y"))
    assert code == 1 and "not found" in err and list(tmp_path.iterdir()) == [path]
