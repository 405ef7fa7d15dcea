"""The table of rights in docs/architecture.md against /proc of the running program."""
import glob
import hashlib
import http.client
import os
import re
import signal
import socket
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Browser, Instance, wait_answer  # noqa: E402

ROOT = os.environ.get("TRESOR_ROOT", os.path.join(os.path.dirname(__file__), "../.."))


def table():
    """{role: {column: text}} from the page a person reads."""
    text = open(os.path.join(ROOT, "docs/architecture.md"), encoding="utf-8").read()
    rows = text.split("<!-- roles-table")[1].split("\n\n")[0].splitlines()[1:]
    head = [c.strip() for c in rows[0].strip("|").split("|")]
    result = {}
    for row in rows[2:]:
        cells = [c.strip() for c in row.strip("|").split("|")]
        result[cells[0]] = dict(zip(head, cells))
    return result


def roles(i):
    found = {"keeper": i.process.pid}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            argv = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0")
            parent = int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == i.process.pid and len(argv) > 2 and argv[1] == b"role":
            found[argv[2].decode()] = int(entry)
    return found


def status(pid):
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)


def descriptors(pid):
    links = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return links


@pytest.fixture(scope="module")
def loaded():
    if os.geteuid():
        pytest.skip("reads /proc of processes that are not dumpable: needs root")
    with Instance() as i:
        i.start()
        i.with_model()
        i.add_user("ada@example.org", "owner")
        i.key_text = i.key("ada@example.org")
        i.must("run", "smollm2", "Say yes.")
        yield i


def test_every_role_of_the_table_runs_but_the_jail(loaded):
    assert set(roles(loaded)) == set(table()) - {"jail"}


@pytest.fixture
def jail(loaded):
    """A jail in the middle of its job: it receives a blob that comes slowly."""
    body = os.urandom(3_000_000)
    key = loaded.key("ada@example.org", "models.change")
    with socket.create_connection(("127.0.0.1", loaded.port)) as s:
        s.sendall(f"POST /api/blobs/sha256:{hashlib.sha256(body).hexdigest()} HTTP/1.1\r\n"
                  f"Host: 127.0.0.1:{loaded.port}\r\nAuthorization: Bearer {key}\r\n"
                  f"Content-Length: {len(body)}\r\nContent-Type: application/octet-stream\r\n\r\n".encode())
        s.sendall(body[:1_000_000])
        end = time.monotonic() + 20
        while "jail" not in roles(loaded) and time.monotonic() < end:
            time.sleep(0.02)
        while status(roles(loaded)["jail"])["Seccomp"] != "2" and time.monotonic() < end:
            time.sleep(0.02)
        yield roles(loaded)["jail"]
        s.sendall(body[1_000_000:])
        assert b" 201 " in s.recv(100)


def test_the_jail_has_the_rights_of_the_table(loaded, jail):
    check_rights(table()["jail"], jail)
    check_descriptors("jail", jail)
    assert status(jail)["Threads"] == "1"
    assert all(line.split()[4] == "0" for line in open(f"/proc/{jail}/limits") if line.startswith("Max core file"))


def test_the_gpu_profile_on_a_real_card():
    cuda = glob.glob(os.path.join(os.environ.get("TRESOR_DEPS", ""), "lib/libggml-cuda*"))
    if not (os.path.exists("/dev/nvidiactl") and cuda):
        pytest.skip("not run: no NVIDIA card with its driver here, or a build without CUDA")
    with Instance() as i:
        i.start()
        i.with_model()
        i.must("run", "smollm2", "Say yes.")
        assert "GPU" in i.must("ps")
        check_rights(table()["engine"], roles(i)["engine"])
        check_descriptors("engine", roles(i)["engine"], [r"^/dev/nvidia", r"^pipe:", r"^/dev/dri/"])


@pytest.mark.parametrize("role", ["keeper", "server", "egress", "engine"])
def test_rights_are_as_the_table_says(loaded, role):
    check_rights(table()[role], roles(loaded)[role])


def check_rights(row, pid):
    s = status(pid)
    assert s["Seccomp"] == ("2" if row["seccomp"] == "filter" else "0")
    assert s["NoNewPrivs"] == ("1" if row["no_new_privs"] == "yes" else "0")
    own = os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    assert own == (row["own network namespace"] == "yes")
    if row["capabilities"] == "none":
        assert int(s["CapEff"], 16) == 0


def test_the_engine_may_use_what_the_library_was_built_for(loaded):
    """A library built for AMX (a probe ran it here) asks the kernel for it, out of the sandbox."""
    assert "AMX is not ready" not in loaded.log_text()


# What a descriptor may point to, by role: words of the table's last column to patterns of /proc links.
ALLOWED = {
    "keeper": [r"/lock$", r"^socket:", r"/audit/\d+\.log$", r"/tresor$", r"pidfd", r"signalfd", r"/data/audit$",
               r"/models/blobs$", r"^/proc/\d+/fd$", r"/data$", r"/models(/.*)?$", r"/audit(/.*)?$",
               r"^/memfd:cores ", r"^/proc/stat$"],
    "server": [r"^socket:", r"/db/tresor\.db(-wal|-shm)?$", r"^/proc/meminfo$", r"eventfd", r"eventpoll", r"^/memfd:", r"/db$",
               r"^pipe:", r"timerfd"],
    "egress": [r"^socket:", r"^/memfd:ca ", r"eventfd", r"eventpoll", r"^pipe:", r"timerfd"],
    "engine": [r"^socket:", r"/models/blobs/sha256-[0-9a-f]{64}$", r"/cache/[0-9a-f]{64}\.kv$", r"eventfd", r"eventpoll",
               r"^/memfd:", r"timerfd"],
    "jail": [r"^socket:", r"/models/blobs/sha256-[0-9a-f]{64}-partial(\.journal)?$"],
}


@pytest.mark.parametrize("role", ["keeper", "server", "egress", "engine"])
def test_descriptors_are_those_of_the_table(loaded, role):
    check_descriptors(role, roles(loaded)[role])


def check_descriptors(role, pid, more=()):
    for fd, link in descriptors(pid).items():
        if fd <= 2:
            continue
        assert any(re.search(p, link) for p in [*ALLOWED[role], *more]), f"{role} has {fd} -> {link}"


# ---- ends ----

def ask_long(i, answers, n):
    code, reply = i.api("POST", "/v1/chat/completions", {
        "model": "smollm2", "max_tokens": 60, "seed": 3, "temperature": 0,
        "messages": [{"role": "user", "content": f"Count from {n} upwards."}]}, key=i.key_text)
    answers.append((code, reply))


def test_an_engine_that_dies_is_started_again_and_nobody_notices(loaded):
    answers = []
    threads = [threading.Thread(target=ask_long, args=(loaded, answers, n)) for n in range(3)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    os.kill(roles(loaded)["engine"], signal.SIGKILL)
    for t in threads:
        t.join(120)
    assert [code for code, _ in answers] == [200] * 3, answers
    assert all(r["choices"][0]["message"]["content"] for _, r in answers)


def test_a_server_that_dies_is_back_within_a_second_with_every_message(loaded):
    b = Browser(loaded)
    assert b.login("ada@example.org")[0] == 200
    _, c = b.call("POST", "/team/v1/conversations", {"model": "smollm2"})
    _, sent = b.call("POST", f"/team/v1/conversations/{c['id']}/messages",
                     {"content": "Write a long story about a lighthouse."})
    time.sleep(0.3)
    engine = roles(loaded)["engine"]
    begun = time.monotonic()
    os.kill(roles(loaded)["server"], signal.SIGKILL)
    loaded.wait_ready(20)
    seconds = time.monotonic() - begun
    print(f"# server back after {seconds * 1000:.0f} ms")
    assert roles(loaded)["engine"] == engine, "the loaded model stays"
    status_code, m = b.call("GET", f"/team/v1/messages/{sent['message']['id']}")
    assert status_code == 200 and "lighthouse" in m["content"]
    b.call("POST", f"/team/v1/messages/{sent['answer']['id']}/stop", {})
    done = wait_answer(b.call, sent["answer"]["id"], 180)
    assert done["state"] in ("done", "stopped")


def test_the_others_end_with_the_keeper():
    with Instance() as i:
        i.start()
        others = [pid for role, pid in roles(i).items() if role != "keeper"]
        os.kill(i.process.pid, signal.SIGKILL)
        i.process.wait()
        end = time.monotonic() + 5
        while time.monotonic() < end and any(os.path.exists(f"/proc/{p}") for p in others):
            time.sleep(0.05)
        assert not any(os.path.exists(f"/proc/{p}") for p in others)
        i.start()  # and a restart finds everything
        assert i.run("audit", "verify")[0] == 0


def test_a_stop_while_a_model_is_being_loaded_waits_for_nobody():
    with Instance() as i:
        i.start()
        i.with_model()
        i.add_user("ada@example.org", "owner")
        key = i.key("ada@example.org")

        def ask():
            try:
                i.api("POST", "/api/generate", {"model": "smollm2"}, key=key)
            except (OSError, http.client.HTTPException):
                pass  # the server left first

        asked = threading.Thread(target=ask)
        asked.start()
        end = time.monotonic() + 20
        while time.monotonic() < end and "engine" not in roles(i):
            time.sleep(0.002)
        server, begun = roles(i)["server"], time.monotonic()
        i.process.terminate()
        assert i.process.wait(20) == 0
        seconds = time.monotonic() - begun
        asked.join()
        assert not os.path.exists(f"/proc/{server}")
        assert seconds < 6, f"the server was waited for {seconds:.1f} s and then killed"
        assert not os.path.exists(os.path.join(i.data, "db/tresor.db-wal")), "the database was not closed"


def test_egress_comes_back(loaded):
    before = roles(loaded)["egress"]
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 5
    while time.monotonic() < end and roles(loaded).get("egress") in (None, before):
        time.sleep(0.05)
    assert roles(loaded)["egress"] != before
    assert loaded.request("GET", "/healthz")[0] == 200
