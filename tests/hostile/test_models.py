"""Model files that are broken or meant to harm, through the running program."""
import os
import re
import struct
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

STARTER = os.path.join(os.environ.get("TRESOR_DEPS", ""), "share/starter/smollm2.gguf")


@pytest.fixture(scope="module")
def raw():
    return open(STARTER, "rb").read()


@pytest.fixture(scope="module")
def running():
    with Instance() as i:
        i.start()
        i.with_model()
        i.add_user("ada@example.org", "owner")
        i.key_text = i.key("ada@example.org")
        yield i


def chat(i, model, **more):
    return i.api("POST", "/v1/chat/completions",
                 {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Say yes."}], **more},
                 key=i.key_text)


def pull(i, tmp_path, content, name):
    path = tmp_path / (name + ".gguf")
    path.write_bytes(content)
    return i.run("pull", f"file:{path}", "--as", name)


def patched(raw, key, change):
    """The file with the value after a metadata key changed in place: change(value offset, raw) -> bytes."""
    at = raw.index(key) + len(key) + 4  # past the name and the value type
    return change(at, bytearray(raw))


def set_u32(value):
    def change(at, data):
        data[at:at + 4] = struct.pack("<I", value)
        return bytes(data)
    return change


def set_template(text):
    def change(at, data):
        length = struct.unpack_from("<Q", data, at)[0]
        data[at + 8:at + 8 + length] = text.encode().ljust(length)[:length]
        return bytes(data)
    return change


BROKEN = {
    "magic": lambda raw: b"GGML" + raw[4:4096],
    "version": lambda raw: raw[:4] + struct.pack("<I", 77) + raw[8:4096],
    "tensor count": lambda raw: raw[:8] + struct.pack("<Q", 2**60) + raw[16:4096],
    "key count": lambda raw: raw[:16] + struct.pack("<Q", 2**60) + raw[24:4096],
    "string length": lambda raw: raw[:24] + struct.pack("<Q", 2**62) + raw[32:4096],
    "cut header": lambda raw: raw[:3000],
    "cut in the last tensor": lambda raw: raw[:-1000],
    "only a header": lambda raw: raw[:1024 * 1024],
    "no layers": lambda raw: patched(raw, b"llama.block_count", set_u32(0)),
    "absurd layers": lambda raw: patched(raw, b"llama.block_count", set_u32(2**31)),
    "absurd context": lambda raw: patched(raw, b"llama.context_length", set_u32(2**32 - 1)),
    "absurd width": lambda raw: patched(raw, b"llama.embedding_length", set_u32(2**31)),
    "no heads": lambda raw: patched(raw, b"llama.attention.head_count", set_u32(0)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_refused_with_a_reason_and_not_stored(running, tmp_path, raw, what):
    name = "broken-" + re.sub(r"\W", "-", what)
    code, out, err = pull(running, tmp_path, BROKEN[what](raw), name)
    if code == 0:  # the header can be read: then loading has to refuse it, and nobody else dies
        status, reply = chat(running, name)
        assert status >= 400 and reply["error"]["message"], reply
        running.must("rm", name)
    else:
        assert "not a usable model" in err, err
    assert name not in running.must("list")
    assert chat(running, "smollm2")[0] == 200


def test_a_template_that_loops_for_ever_kills_only_its_engine(running, tmp_path, raw):
    evil = "{% for a in range(100000) %}{% for b in range(100000) %}{% set c = a * b %}{% endfor %}{% endfor %}"
    code, _, err = pull(running, tmp_path, patched(raw, b"tokenizer.chat_template", set_template(evil)), "loop")
    if code:
        assert "not a usable model" in err
        return
    good = []

    def others():
        for _ in range(5):
            good.append(chat(running, "smollm2")[0])
            time.sleep(0.5)

    t = threading.Thread(target=others)
    t.start()
    begun = time.monotonic()
    status, reply = chat(running, "loop")
    seconds = time.monotonic() - begun
    t.join()
    assert status >= 400 and reply["error"]["message"], reply
    assert good == [200] * 5
    print(f"# ended after {seconds:.1f} s")
    running.must("rm", "loop")


def test_a_template_that_does_not_parse_is_an_error_not_a_crash(running, tmp_path, raw):
    code, _, err = pull(running, tmp_path, patched(raw, b"tokenizer.chat_template", set_template("{% for %}{{")),
                        "unparsed")
    if code == 0:
        status, reply = chat(running, "unparsed")
        assert status >= 400 and reply["error"]["message"]
        running.must("rm", "unparsed")
    else:
        assert "not a usable model" in err
    assert chat(running, "smollm2")[0] == 200


def test_bytes_with_another_digest_are_refused(running):
    digest = "sha256:" + "0" * 64
    status, text, _ = running.request("POST", f"/api/blobs/{digest}", b"some bytes",
                                      {"Authorization": f"Bearer {running.key_text}",
                                       "Content-Type": "application/octet-stream"}, raw=True)
    assert status in (400, 403, 502), text
    assert running.request("GET", "/healthz")[0] == 200


def test_a_prompt_longer_than_the_context_is_refused_with_both_counts(running):
    status, reply = running.api("POST", "/v1/chat/completions", {
        "model": "smollm2", "max_tokens": 4,
        "messages": [{"role": "user", "content": "wort und noch ein wort " * 8000}]}, key=running.key_text)
    assert status == 400, reply
    numbers = [int(n) for n in re.findall(r"\d+", reply["error"]["message"])]
    assert len([n for n in numbers if n > 1000]) >= 2, reply


def test_deleting_a_model_in_use(running, tmp_path, raw):
    """It says by whom; --force lets the running answer end, and then the weights are gone."""
    other = set_u32(40000)  # other bytes, so that nobody else has these weights
    assert pull(running, tmp_path, patched(raw, b"llama.context_length", other), "inuse")[0] == 0
    got = {}

    def ask():
        got["answer"] = chat(running, "inuse", max_tokens=400, logit_bias={"0": -100, "2": -100})  # no end but the length
    t = threading.Thread(target=ask)
    t.start()
    end = time.monotonic() + 60
    code, err = 0, ""
    while time.monotonic() < end:
        status, reply = running.api("GET", "/api/ps", key=running.key("ada@example.org", "models.read"))
        if status == 200 and any(m["name"].startswith("inuse") and m["active"] for m in reply["models"]):
            break
        time.sleep(0.05)
    code, _, err = running.run("rm", "inuse")
    assert code == 1 and "in use" in err and "ada (1)" in err and "--force" in err, err
    began = time.monotonic()
    running.must("rm", "inuse", "--force")
    t.join(60)
    status, reply = got["answer"]
    assert status == 200 and reply["choices"][0]["finish_reason"] == "length", reply
    assert time.monotonic() - began < 60
    assert "inuse" not in running.must("list")
    status, reply = running.api("GET", "/api/ps", key=running.key("ada@example.org", "models.read"))
    assert not any(m["name"].startswith("inuse") for m in reply["models"])
