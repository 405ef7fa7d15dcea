"""The prefix cache's tier on disk, seen from outside: what it saves, what it must not hold, what makes it forget."""
import glob
import json
import os
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Browser, Instance, wait_answer  # noqa: E402

CANARY = "Xylophonkanarienvogel"
LONG = CANARY + " says: " + " ".join(f"rule {n} of the house is to close door number {n * 7}." for n in range(12))
EMAIL = "ada@example.org"


def files(i):
    return sorted(glob.glob(os.path.join(i.data, "cache", "*.kv")))


def on_disk(i):
    """Bytes that lie in the cache files; a hole is none."""
    return sum(os.stat(f).st_blocks * 512 for f in files(i))


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


def settled(i):
    """The engine writes when it is idle: until the files stay as they are."""
    last = -1
    while last != on_disk(i):
        last = on_disk(i)
        time.sleep(1.5)
    return last


def ask(i, *texts, **more):
    status, reply = i.api("POST", "/v1/chat/completions", {
        "model": "smollm2", "max_tokens": 4, "temperature": 0, "seed": 1, **more,
        "messages": [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]}, key=i.key_text)
    assert status == 200, reply
    return reply["choices"][0]["message"]["content"], reply["usage"]["prompt_tokens_details"]["cached_tokens"]


@pytest.fixture
def running():
    with Instance() as i:
        i.start()
        i.with_model()
        i.add_user(EMAIL, "owner")
        i.key_text = i.key(EMAIL)
        yield i


def config(i, text):
    i.stop()
    with open(os.path.join(i.data, "tresor.conf"), "a", encoding="ascii") as f:
        f.write(text + "\n")
    i.start()


def test_a_conversation_goes_on_after_a_restart_without_being_read_again(running):
    answer, cached = ask(running, LONG)
    assert cached == 0
    assert wait_for(lambda: on_disk(running) > 0), "nothing was kept"
    settled(running)
    running.stop()
    running.start()
    again, cached = ask(running, LONG, answer, "And then?")
    assert cached > 100, "read again"
    running.stop()
    for path in files(running):  # and the same with every byte of it changed: found, and only read again
        with open(path, "r+b") as f:
            raw = bytearray(f.read())
            for at in range(200, len(raw), 1000):
                raw[at] ^= 0xFF
            f.seek(0)
            f.write(raw)
    running.start()
    third, cached = ask(running, LONG, answer, "And then?")
    assert cached == 0 and third == again


def test_without_the_tier_nothing_is_kept(running):
    config(running, "disk_cache_mib = 0")
    ask(running, LONG)
    time.sleep(3)
    assert on_disk(running) == 0
    running.stop()
    running.start()
    assert ask(running, LONG)[1] == 0


def test_no_word_lies_in_the_clear_and_a_temporary_request_leaves_nothing(running):
    ask(running, LONG, temporary=True)
    time.sleep(3)
    assert on_disk(running) == 0
    ask(running, LONG)
    assert wait_for(lambda: on_disk(running) > 0)
    settled(running)
    assert ask(running, LONG)[1] > 100
    running.stop()
    running.start()
    settled(running)
    found = 0
    for path in glob.glob(os.path.join(running.data, "**"), recursive=True):
        if not os.path.isfile(path) or "/models/blobs/" in path:
            continue
        with open(path, "rb") as f:
            raw = f.read()
        found += path.endswith(".kv") and any(raw)
        for needle in (CANARY.encode(), CANARY.encode("utf-16le"), CANARY.lower().encode(), b"kanarienvogel"):
            assert needle not in raw, path
    assert found, "no cache file was searched"


def chat(i):
    b = Browser(i)
    assert b.login(EMAIL)[0] == 200
    _, conversation = b.call("POST", "/team/v1/conversations", {"model": "smollm2"})
    status, sent = b.call("POST", f"/team/v1/conversations/{conversation['id']}/messages", {"content": LONG})
    assert status == 201, sent
    wait_answer(b.call, sent["answer"]["id"], stop_after=45)  # long enough to have read it
    assert wait_for(lambda: on_disk(i) > 0), "nothing was kept"
    settled(i)
    return b, conversation["id"]


@pytest.mark.parametrize("loaded", [True, False])
def test_deleting_a_conversation_takes_it_off_the_disk(running, loaded):
    b, conversation = chat(running)
    ask(running, "Something else entirely, of the same person: " + LONG[100:])  # stays
    settled(running)
    before = on_disk(running)
    if not loaded:
        running.must("stop", "smollm2")
        assert wait_for(lambda: "smollm2" not in running.must("ps"))
    assert b.call("DELETE", f"/team/v1/conversations/{conversation}")[0] == 200
    assert wait_for(lambda: on_disk(running) < before, 20), "nothing was given back"
    assert settled(running) > 0, "more went than was asked for"


def test_deleting_a_person_takes_all_off_the_disk(running):
    running.add_user("bob@example.org", "owner")
    b, _ = chat(running)
    ask(running, LONG)
    settled(running)
    boss = Browser(running)
    assert boss.login("bob@example.org")[0] == 200
    _, people = boss.call("GET", "/team/v1/people")
    ada = next(p["id"] for p in people["people"] if p["email"] == EMAIL)
    assert boss.call("DELETE", f"/team/v1/people/{ada}")[0] == 200
    assert wait_for(lambda: on_disk(running) == 0, 20), f"{on_disk(running)} bytes stayed"


def test_backup_leaves_it_out_doctor_shows_it_and_removing_the_model_removes_it(running, tmp_path):
    ask(running, LONG)
    assert wait_for(lambda: on_disk(running) > 0)
    settled(running)
    target = tmp_path / "backup"
    running.must("backup", "--to", str(target), "--with-models")
    names = [f["name"] for m in target.glob("manifest-*.json") for f in json.loads(m.read_text())["files"]]
    assert any(n.startswith("models/blobs/") for n in names) and not any("cache" in n or n.endswith(".kv") for n in names)
    status, reply = running.api("GET", "/team/v1/doctor", key=running.key(EMAIL, "doctor"))
    assert status == 200
    check = next(c for c in reply["checks"] if c["name"] == "cache")
    assert check["text"].startswith("what 1 models have read takes") and check["state"] == "ok"
    assert len(files(running)) == 1
    running.must("rm", "smollm2")
    assert not files(running)


def test_an_engine_killed_while_it_writes_leaves_a_file_that_opens(running):
    import signal  # pylint: disable=import-outside-toplevel
    import subprocess  # pylint: disable=import-outside-toplevel
    answer, _ = ask(running, LONG)
    for n in range(6):
        wait_for(lambda: on_disk(running) > 0)
        pids = subprocess.run(["pgrep", "-P", str(running.process.pid)], stdout=subprocess.PIPE, text=True, check=True)
        for pid in map(int, pids.stdout.split()):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"\0engine" in f.read():
                    os.kill(pid, signal.SIGKILL)
        ask(running, LONG, answer, f"And number {n}? " + LONG[n * 50:][:400])
    settled(running)
    running.stop()
    running.start()
    assert ask(running, LONG, answer, "And then?")[1] > 100
