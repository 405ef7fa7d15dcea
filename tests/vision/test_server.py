"""A model that sees, through the whole program: made from two files, asked by both APIs.

The second source is vision_driver: the library alone, whose rows test_model.py holds against numpy.
"""
import base64
import hashlib
import os
import signal
import struct
import sys
import threading
import time
import zlib

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from test_model import STARTER, Projector, picture, see  # noqa: E402
from tresor import Instance  # noqa: E402

SYSTEM = "You look at pictures."
BEFORE = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n"
AFTER = "What is it?<|im_end|>\n<|im_start|>assistant\n"


def png(rgb):
    """An RGB PNG of an array of bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width, _ = rgb.shape
    body = b"".join(b"\0" + line.tobytes() for line in rgb)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))


def text(rgb):
    return base64.b64encode(png(rgb)).decode()


def upload(i, path):
    data = open(path, "rb").read()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    status, body, _ = i.request("POST", "/api/blobs/" + digest, data, {"Authorization": "Bearer " + i.secret}, raw=True)
    assert status == 201, body
    return digest


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", "chat,models.read,models.change").split()[-1]
        i.projector = Projector().write(tmp_path_factory.mktemp("p") / "mmproj.gguf")
        i.files = {"model.gguf": upload(i, STARTER), "mmproj.gguf": upload(i, i.projector)}
        status, r = i.api("POST", "/api/create", {"model": "seer", "files": i.files, "stream": False}, key=i.secret)
        assert status == 200, r
        yield i


def ask(server, *images, question="What is it?", model="seer", **more):
    return server.api("POST", "/api/chat", {
        "model": model, "stream": False, "options": {"temperature": 0, "num_predict": 6, "repeat_penalty": 1},
        "messages": [{"role": "system", "content": SYSTEM},
                     {"role": "user", "content": question, "images": [text(x) for x in images]}], **more},
        key=server.secret)


def test_it_says_that_it_sees_and_a_blind_one_does_not(server):
    status, r = server.api("POST", "/api/show", {"model": "seer"}, key=server.secret)
    assert status == 200 and "vision" in r["capabilities"], r
    status, _ = server.api("POST", "/api/create", {"model": "blind", "files": {"m.gguf": server.files["model.gguf"]},
                                                   "stream": False}, key=server.secret)
    assert status == 200
    status, r = server.api("POST", "/api/show", {"model": "blind"}, key=server.secret)
    assert status == 200 and "vision" not in r["capabilities"], r
    status, r = ask(server, picture(1), model="blind")
    assert status == 400 and r["error"] == '"blind" does not support vision', r


def test_the_first_token_is_the_librarys(server, tmp_path):
    for seed in (1, 2):
        want = see(server.projector, picture(seed), tmp_path, BEFORE, 1, AFTER)["first"]
        status, r = ask(server, picture(seed), logprobs=True, top_logprobs=5)
        assert status == 200, r
        got = [x["logprob"] for x in r["logprobs"][0]["top_logprobs"]]
        assert got == pytest.approx(want, abs=0.15), (got, want)


def test_the_same_picture_is_read_once_another_is_another(server):
    status, a = ask(server, picture(11))
    assert status == 200 and a["message"]["content"] and a["cached_tokens"] < a["prompt_eval_count"] - 4, a
    _, again = ask(server, picture(11))
    assert again["message"]["content"] == a["message"]["content"]
    assert again["cached_tokens"] == again["prompt_eval_count"] - 1, again
    _, b = ask(server, picture(12))
    assert b["cached_tokens"] < b["prompt_eval_count"] - 4, b
    _, plain = ask(server)
    assert plain["prompt_eval_count"] == a["prompt_eval_count"] - 4, (plain, a)


def test_parts_keep_their_order_and_openai_says_the_same(server):
    def content(*parts):
        return [{"type": "text", "text": p} if isinstance(p, str) else
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + text(p)}} for p in parts]

    def openai(*parts):
        status, r = server.api("POST", "/v1/chat/completions", {
            "model": "seer", "temperature": 0, "max_tokens": 6, "repeat_penalty": 1, "messages": [
                {"role": "system", "content": SYSTEM}, {"role": "user", "content": content(*parts)}]}, key=server.secret)
        assert status == 200, r
        return r["choices"][0]["message"]["content"], r["usage"]
    one, usage = openai(picture(1), "What is it?")
    _, ollama = ask(server, picture(1))
    assert one == ollama["message"]["content"]
    _, turned = openai("What is it?", picture(1))
    assert turned["prompt_tokens"] == usage["prompt_tokens"]
    _, two = openai(picture(1), "What is it?", picture(2))
    assert two["prompt_tokens"] == usage["prompt_tokens"] + 4


def test_generate_takes_images_and_raw_does_not(server):
    body = {"model": "seer", "prompt": "What is it?", "images": [text(picture(1))], "stream": False,
            "options": {"temperature": 0, "num_predict": 4}}
    status, r = server.api("POST", "/api/generate", body, key=server.secret)
    assert status == 200 and r["response"], r
    status, r = server.api("POST", "/api/generate", {**body, "raw": True}, key=server.secret)
    assert status == 400 and "raw" in r["error"], r


def test_a_message_cannot_name_somebody_elses_picture(server):
    """The list form of content is the engine's own; a client's text stays text."""
    status, r = ask(server, picture(1), question='[{"picture":0}]')
    assert status == 200, r
    status, r = server.api("POST", "/api/chat", {"model": "seer", "stream": False, "messages": [
        {"role": "user", "content": [{"picture": 0}]}]}, key=server.secret)
    assert status == 400, r


def engines(server):
    children = open(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read().split()
    return [int(c) for c in children if "engine" in open(f"/proc/{c}/cmdline").read()]


def test_the_engine_is_locked_after_its_projector_is_open(server):
    ask(server, picture(1))
    pid = engines(server)[0]
    status = open(f"/proc/{pid}/status").read()
    assert "Seccomp:\t2" in status and "Seccomp_filters:\t2" in status, status
    names = [os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")]
    digest = server.files["mmproj.gguf"].split(":")[1]
    assert not [n for n in names if digest in n], names


def test_an_answer_goes_on_after_its_engine_was_killed(server):
    body = {"temperature": 0, "num_predict": 200, "repeat_penalty": 1, "seed": 3}
    want, got = {}, {}

    def run(out):
        out["status"], out["r"] = ask(server, picture(21), question="Count to a thousand.", options=body)
    run(want)
    assert want["status"] == 200, want
    t = threading.Thread(target=run, args=(got,))
    before = engines(server)
    t.start()
    time.sleep(0.4)
    os.kill(before[0], signal.SIGKILL)
    t.join(120)
    assert got["status"] == 200 and got["r"]["message"]["content"], got
    assert engines(server) != before


def test_files_that_do_not_belong_together_are_refused(server, tmp_path):
    def create(**files):
        return server.api("POST", "/api/create", {"model": "x", "files": files, "stream": False}, key=server.secret)
    eyes, model = server.files["mmproj.gguf"], server.files["model.gguf"]
    status, r = create(a=eyes)
    assert status == 400 and "projector" in r["error"], r
    status, r = create(a=eyes, b=eyes)
    assert status == 400 and "projector" in r["error"], r
    status, r = create(a=model, b=model)
    assert status == 400, r
    other = Projector(out=512).write(tmp_path / "other.gguf")
    status, r = create(a=model, b=upload(server, other))
    assert status == 200, r  # the header is in order; the engine is who can tell
    status, r = ask(server, picture(1), model="x")
    assert status >= 400 and "projector" in r["error"], (status, r)
