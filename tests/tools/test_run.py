"""tools/bootstrap, tools/preflight and tools/run.py."""
import os
import pathlib
import socket
import subprocess
import sys
import time

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


def test_help_builds_nothing(tmp_path):
    done = tool(ROOT / "run", "--help", TRESOR_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0 and "--listen" in done.stdout
    assert not (tmp_path / "cache").exists()
