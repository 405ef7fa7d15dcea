"""tools/bootstrap, tools/preflight and tools/run.py."""
import fcntl
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import pty
import re
import select
import socket
import subprocess
import sys
import termios
import time

import pytest

ROOT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(ROOT / "tools"))
import run as runner  # noqa: E402


def tool(*cmd, **env):
    return subprocess.run(list(map(str, cmd)), capture_output=True, text=True, check=False,
                          env=dict(os.environ, **env))


def test_bootstrap_says_nothing_and_takes_no_time_when_all_is_there():
    assert tool(ROOT / "tools/bootstrap", "--test").returncode == 0
    start = time.monotonic()
    done = tool(ROOT / "tools/bootstrap", "--test")
    assert time.monotonic() - start < 0.3
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_preflight_takes_under_two_seconds_and_names_each_thing(tmp_path):
    start = time.monotonic()
    done = tool(ROOT / "tools/preflight", "--all", "--port", "0", "--data", tmp_path)
    assert time.monotonic() - start < 2
    for word in ("disk", "memory", "port", "proxy", "CPU", "GPU", "Landlock", "namespaces", "compiler"):
        assert f" {word}" in done.stdout, done.stdout


def test_preflight_finds_a_taken_port_and_says_the_cure():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = tool(ROOT / "tools/preflight", "--port", str(s.getsockname()[1]))
    assert done.returncode == 1
    assert "BAD" in done.stdout and "--port N" in done.stdout


def test_preflight_says_when_the_proxy_is_dead():
    with socket.socket() as s: # a port that nobody listens on
        s.bind(("127.0.0.1", 0))
        done = tool(ROOT / "tools/preflight", "--port", "0", HTTPS_PROXY=f"http://127.0.0.1:{s.getsockname()[1]}")
    assert "proxy" in done.stdout and "does not answer" in done.stdout


@pytest.fixture
def preflight():
    loader = importlib.machinery.SourceFileLoader("preflight", str(ROOT / "tools/preflight"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("preflight", loader))
    loader.exec_module(module)
    return module


def test_preflight_gives_one_line_and_one_cure_for_each_lack(preflight, monkeypatch, capsys, tmp_path):
    class Args:
        data, port = str(tmp_path), 0
    report = preflight.Report(False)
    monkeypatch.setattr(preflight, "NEED_DISK", 1 << 60)
    monkeypatch.setattr(preflight, "NEED_MEMORY", 1 << 60)
    monkeypatch.setattr(preflight.platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(preflight.shutil, "which", lambda _: None)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://nowhere")
    preflight.disk(report, Args, str(tmp_path))
    preflight.memory(report)
    preflight.cpu(report)
    preflight.proxy(report)
    preflight.kernel(report)
    preflight.compiler(report)
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[1].rstrip(":"): line for line in lines}
    assert set(said) == {"disk", "memory", "CPU", "proxy", "namespaces", "compiler"} and len(lines) == 7, lines
    for line in lines:
        assert re.match(r"(BAD|note)  +[^:]+: .+: .{10,}$", line), line
    assert report.bad == 6  # two disks; without namespaces it works, less well


def address(*argv):
    return runner.address(runner.parse(argv)[0])


def test_the_printed_address():
    assert address("--port", "8080") == "http://127.0.0.1:8080/"
    assert address("--listen", "192.0.2.7:443") == "https://192.0.2.7:443/"
    assert address("--listen", "[::1]:7070") == "http://[::1]:7070/"
    assert address("--listen", "0.0.0.0:7070") == f"https://{socket.gethostname()}:7070/"


def test_other_options_go_to_serve_untouched():
    args, rest = runner.parse(["--hosts", "ai.example", "--port", "1", "--key", "passphrase"])
    assert rest == ["--hosts", "ai.example", "--key", "passphrase"] and args.port == 1


# ---- the first start, with the program under test instead of build/ ----

BUILD = os.environ.get("TRESOR_BUILD")
START = "import pathlib, run, sys; run.BUILD = pathlib.Path(sys.argv.pop(1)); sys.exit(run.main())"


class FirstStart:
    """tools/run.py start on a terminal of its own; text() is what was printed so far."""

    def __init__(self, home, *options, tty=True):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        env = dict(os.environ, HOME=str(home), XDG_CONFIG_HOME=str(home / "config"), PYTHONPATH=str(ROOT / "tools"))
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "TRESOR_DATA"):
            env.pop(name, None)
        self.ours, theirs = pty.openpty() if tty else os.pipe()
        self.p = subprocess.Popen(
            [sys.executable, "-c", START, BUILD, "start", "--port", str(self.port), "--data", str(home / "data"), *options],
            stdin=theirs if tty else subprocess.DEVNULL, stdout=theirs, stderr=subprocess.STDOUT, env=env,
            start_new_session=True, preexec_fn=(lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0)) if tty else None)
        os.close(theirs)
        self.said = ""

    def until(self, word, seconds=60):
        end = time.monotonic() + seconds
        while word not in self.said and time.monotonic() < end:
            if select.select([self.ours], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.ours, 65536).decode(errors="replace")
                except OSError:
                    break
        assert word in self.said, self.said
        return self.said

    def stop(self):
        self.p.terminate()
        self.p.wait(20)
        os.close(self.ours)


@pytest.fixture
def first_start(tmp_path):
    started = []

    def start(*options, **kw):
        started.append(FirstStart(tmp_path, *options, **kw))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_the_first_start_says_where_and_asks_which_model(first_start, tmp_path):
    s = first_start()
    said = s.until("Enter fetches it, n leaves it:")
    assert f"Tresor is ready: http://127.0.0.1:{s.port}/" in said
    assert f"http://127.0.0.1:{s.port}/#/link/" in said
    assert f"ssh -L {s.port}:127.0.0.1:{s.port} " in said and f"./run --listen 0.0.0.0:{s.port} --hosts " in said
    best = re.search(r"The best model for this machine is (\S+)\. ", said)[1]
    table = json.loads((ROOT / "src/models/advice.json").read_text())["models"]
    assert best in [m["source"] for m in table]
    os.write(s.ours, b"n\n")
    listed = subprocess.run([f"{BUILD}/tresor", "list", "--data", tmp_path / "data"], capture_output=True, text=True,
                            env=dict(os.environ, HOME=str(tmp_path)), check=True).stdout
    assert "smollm2" in listed and best not in listed


def test_enter_fetches_the_best_and_without_a_network_the_starter_stays(first_start, tmp_path):
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    before = {k: os.environ.get(k) for k in dead}
    os.environ.update(dead)
    try:
        s = first_start()
        s.until("Enter fetches it, n leaves it:")
    finally:
        for k, v in before.items():
            os.environ.pop(k) if v is None else os.environ.update({k: v})
    os.write(s.ours, b"\n")
    assert "build/tresor pull" in s.until("It did not come; later:", 150)


def test_without_a_terminal_nothing_is_asked(first_start):
    s = first_start(tty=False)
    assert "build/tresor pull" in s.until("The best model for this machine: ")


def test_help_builds_nothing(tmp_path):
    done = tool(ROOT / "run", "--help", TRESOR_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0 and "--listen" in done.stdout
    assert not (tmp_path / "cache").exists()
