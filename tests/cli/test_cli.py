"""The command as an administrator types it."""
import json
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Browser, Instance  # noqa: E402


@pytest.fixture(scope="module")
def running():
    with Instance() as i:
        i.start()
        i.with_model()
        i.add_user("owner@example.org", "owner")
        yield i


def test_commands_without_a_server_start_one_for_the_moment():
    with Instance() as i:
        i.add_user("ada@example.org", "owner")
        assert "ada@example.org" in i.must("user", "list")
        assert not os.path.exists(os.path.join(i.data, "control.sock"))
        assert i.must("audit", "verify")


def test_a_second_serve_refuses_and_names_the_first(running):
    r = subprocess.run([running.binary, "serve", "--data", running.data, "--listen", "127.0.0.1:1"],
                       env=running.env, capture_output=True, text=True, timeout=30)
    assert r.returncode == 1
    assert str(running.process.pid) in r.stderr


def test_wrong_use_exits_with_2_and_says_why(running):
    for args in (["frobnicate"], ["pull"], ["list", "--colour"], ["user", "add"], ["serve", "--key", "cheese"]):
        code, out, err = running.run(*args)
        assert code == 2, args
        assert err.startswith("tresor: ") and not out


def test_a_data_directory_that_is_not_there_is_not_made_by_list(tmp_path, running):
    r = subprocess.run([running.binary, "list", "--data", str(tmp_path / "nothing")], env=running.env,
                       capture_output=True, text=True, timeout=30)
    assert r.returncode == 1 and "no data directory" in r.stderr
    assert not (tmp_path / "nothing").exists()


def test_list_show_and_json(running):
    assert "smollm2" in running.must("list")
    models = json.loads(running.must("list", "--json"))["models"]
    assert models[0]["name"].startswith("smollm2")
    assert "llama" in running.must("show", "smollm2")


def test_a_question_on_the_command_line_is_answered(running):
    answer = running.must("run", "smollm2", "What is the capital of France? One word.")
    assert len(answer) > 10
    assert "smollm2" in running.must("ps")
    running.must("stop", "smollm2")


def test_pull_from_a_file_needs_a_name_and_then_works(running):
    starter = os.path.join(os.environ["TRESOR_DEPS"], "share/starter/smollm2.gguf")
    assert running.run("pull", "file:" + starter)[0] == 1
    running.must("pull", "file:" + starter, "--as", "mine")
    assert "mine" in running.must("list")
    running.must("rm", "mine")
    assert "mine" not in running.must("list")
    assert "smollm2" in running.must("list")  # the blob they shared is still there


@pytest.mark.parametrize("content, why", [
    (b"not a model at all", "not a usable model"),
    (b"GGUF" + b"\x03\0\0\0" + b"\xff" * 16, "not a usable model"),
])
def test_what_is_not_a_model_is_refused_and_not_stored(running, tmp_path, content, why):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)
    code, _, err = running.run("pull", f"file:{bad}", "--as", "bad")
    assert code == 1 and why in err
    assert "bad" not in running.must("list")


def test_a_key_prints_the_key_and_only_that(running):
    out = running.key("owner@example.org")
    assert out.startswith("tsr_") and "\n" not in out
    status, reply = running.api("GET", "/v1/models", key=out)
    assert status == 200 and reply["data"]


def test_a_leaver_is_out_at_once(running):
    running.add_user("leaver@example.org")
    key = running.key("leaver@example.org")
    b = Browser(running)
    assert b.login("leaver@example.org")[0] == 200
    assert b.call("GET", "/team/v1/me")[0] == 200
    running.must("user", "disable", "leaver@example.org")
    assert b.call("GET", "/team/v1/me")[0] == 401
    assert b.login("leaver@example.org")[0] == 401
    assert running.api("GET", "/v1/models", key=key)[0] == 401
    running.must("user", "enable", "leaver@example.org")
    assert b.login("leaver@example.org")[0] == 200


def test_an_owner_link_makes_an_owner_once(running):
    link = running.must("owner-link")
    token = link.rsplit("/", 1)[1]
    b = Browser(running)
    accept = {"token": token, "email": "second@example.org", "name": "Zwei", "password": "a good long password"}
    status, me = b.call("POST", "/team/v1/link/accept", accept)
    assert status == 200 and me["person"]["role"] == "owner"
    assert Browser(running).call("POST", "/team/v1/link/accept", accept)[0] in (404, 410)


def test_doctor_names_what_a_key_file_does_not_protect(running):
    code, out, _ = running.run("doctor")
    assert code == 0
    assert "stolen" in out


def test_audit_verify_is_intact_and_finds_a_changed_byte():
    with Instance() as i:
        i.add_user("ada@example.org", "owner")
        assert i.run("audit", "verify")[0] == 0
        log = os.path.join(i.data, "audit", sorted(f for f in os.listdir(os.path.join(i.data, "audit"))
                                                   if f.endswith(".log"))[0])
        raw = bytearray(open(log, "rb").read())
        raw[len(raw) // 2] ^= 1
        open(log, "wb").write(raw)
        code, out, _ = i.run("audit", "verify")
        assert code == 1 and out


def test_help_and_man_page_come_from_the_same_table(running):
    text = running.run("help", data=False)[1]
    man = running.run("man", data=False)[1]
    for word in ("serve", "owner-link", "undo-upgrade", "audit verify"):
        assert word in text and word in man
    r = subprocess.run(["mandoc", "-T", "lint", "-W", "error"], input=man, text=True, capture_output=True)
    assert r.returncode == 0, r.stdout
