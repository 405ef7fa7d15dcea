"""Backup, restore, undo; and that nothing readable lies in the data directory."""
import glob
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Browser, Instance, wait_answer  # noqa: E402

CANARY = "Xylophonkanarienvogel"
EMAIL = "kanarienvogel@beispiel-kanzlei.de"
NAME = "Wilhelmine Kanarienvogelsang"


def fill(i, questions=3):
    """A person with a name and a conversation that carries a word no machine would write by chance."""
    i.with_model()
    i.must("user", "add", EMAIL, "--role", "owner", "--name", NAME, "--password-stdin",
           stdin="correct horse battery\n")
    b = Browser(i)
    assert b.login(EMAIL)[0] == 200
    _, conversation = b.call("POST", "/team/v1/conversations", {"model": "smollm2", "title": CANARY + " Titel"})
    texts = []
    for n in range(questions):
        text = f"{CANARY} {n}: say yes"
        status, sent = b.call("POST", f"/team/v1/conversations/{conversation['id']}/messages",
                              {"content": text, "client_id": f"c{n}"})
        assert status == 201, sent
        wait_answer(b.call, sent["answer"]["id"], stop_after=1.5)
        texts.append(text)
    return conversation["id"], texts


def messages(i, conversation):
    b = Browser(i)
    status, _ = b.login(EMAIL)
    assert status == 200
    status, reply = b.call("GET", f"/team/v1/conversations/{conversation}")
    assert status == 200
    return [m["content"] for m in reply["messages"]]


def raw_files(folder):
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path) and "/models/blobs/" not in path:
            yield path, open(path, "rb").read()


def test_no_file_holds_a_word_a_name_or_an_address():
    with Instance() as i:
        i.start()
        fill(i)
        for word in (CANARY, EMAIL, NAME, "kanarienvogel", "Wilhelmine"):
            needles = [word.encode(), word.encode("utf-16le"), word.lower().encode()]
            for path, raw in raw_files(i.data):
                assert not any(n in raw for n in needles), f"{word} in {path}"
        # the check itself can fail: the name of the model is in the clear on purpose
        assert any(b"smollm2" in raw or "smollm2" in path for path, raw in raw_files(i.data))


def test_restore_with_backup_and_sheet_only(tmp_path):
    target = str(tmp_path / "backup")
    with Instance() as old:
        old.start()
        conversation, texts = fill(old)
        sheet = old.must("recovery-sheet", "--json")
        first = old.must("backup", "--to", target, "--with-models")
        second = old.must("backup", "--to", target, "--with-models")
        assert "backed up" in first and "backed up" in second
        stored = messages(old, conversation)
    code = sheet.split('"')[3]
    for path, raw in raw_files(target):
        assert CANARY.encode() not in raw and EMAIL.encode() not in raw
    with Instance() as new:
        code_file = tmp_path / "code"
        code_file.write_text(code + "\n")
        new.must("restore", "--from", target, "--code-file", str(code_file))
        new.start()
        assert messages(new, conversation) == stored
        assert set(texts) <= set(stored)
        assert new.run("audit", "verify")[0] == 0
        assert "smollm2" in new.must("list")


def test_a_wrong_code_a_damaged_object_and_a_cut_backup_are_named(tmp_path):
    target = tmp_path / "backup"
    with Instance() as old:
        old.start()
        fill(old, 1)
        code = old.must("recovery-sheet", "--json").split('"')[3]
        old.must("backup", "--to", str(target))
    code_file, wrong = tmp_path / "code", tmp_path / "wrong"
    code_file.write_text(code)
    swap = {"a": "b", "b": "a"}
    wrong.write_text("".join(swap.get(c, c) for c in code))
    objects = sorted(target.glob("objects/*/*"), key=lambda p: p.stat().st_size)
    with Instance() as new:
        if wrong.read_text() != code:
            status, _, err = new.run("restore", "--from", str(target), "--code-file", str(wrong))
            assert status == 1 and err
        victim = objects[-1]
        good = victim.read_bytes()
        victim.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        status, _, err = new.run("restore", "--from", str(target), "--code-file", str(code_file))
        assert status == 1 and "db/tresor.db" in err
        victim.unlink()
        status, _, err = new.run("restore", "--from", str(target), "--code-file", str(code_file))
        assert status == 1 and "db/tresor.db" in err
        assert not os.path.exists(os.path.join(new.data, "db"))
        victim.write_bytes(good)
        new.must("restore", "--from", str(target), "--code-file", str(code_file))
        status, _, err = new.run("restore", "--from", str(target), "--code-file", str(code_file))
        assert status == 1, "a second restore must not overwrite"


@pytest.mark.parametrize("what", ["database header", "database removed", "keys", "no key file", "audit head"])
def test_what_is_damaged_is_refused_and_nothing_is_written(what):
    with Instance() as i:
        i.start()
        fill(i, 1)
        i.stop()
        key_file = glob.glob(os.path.join(i.home, "config/tresor/*.key"))[0]
        db = os.path.join(i.data, "db/tresor.db")
        if what == "database header":
            raw = bytearray(open(db, "rb").read())
            raw[0:200] = os.urandom(200)
            open(db, "wb").write(raw)
        elif what == "database removed":
            shutil.copy(db, i.home + "/kept")
            open(db, "wb").write(b"SQLite format 3\0" + b"\0" * 4080)
        elif what == "keys":
            path = os.path.join(i.data, "keys.json")
            raw = bytearray(open(path, "rb").read())
            raw[len(raw) // 2] ^= 4
            open(path, "wb").write(raw)
        elif what == "no key file":
            os.rename(key_file, key_file + ".away")
        else:
            logs = sorted(glob.glob(os.path.join(i.data, "audit/*.log")))
            raw = open(logs[-1], "rb").read()
            open(logs[-1], "wb").write(raw[: raw[:-1].rfind(b"\n") + 1])  # the last record is gone
        before = {p: r for p, r in raw_files(i.data) if not p.endswith("/lock")}
        i.start(wait=0)
        assert i.process.wait(60) == 1
        said = i.log_text()
        assert "cannot start" in said
        after = {p: r for p, r in raw_files(i.data) if not p.endswith("/lock")}
        assert before == after


