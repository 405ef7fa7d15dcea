"""Pictures in messages, through the whole program: what the jail refuses is a 400 that says why."""
import base64
import concurrent.futures
import os
import struct
import sys
import time
import zlib

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance  # noqa: E402

SEEDS = os.path.join(os.path.dirname(__file__), "../fuzz/image")


def png(width, height, claim=None, rows=None):
    """A grey PNG; `claim`: what its header says instead of its size."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    body = (b"\0" + b"\x80" * width) * (height if rows is None else rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *(claim or (width, height)), 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b""))


def text(data):
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        i.start()
        i.with_model()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org")
        yield i


def ask(server, *images):
    return server.api("POST", "/api/chat", {"model": "smollm2", "messages": [
        {"role": "user", "content": "What is this?", "images": [text(x) for x in images]}]}, key=server.secret)


def ask_openai(server, url):
    return server.api("POST", "/v1/chat/completions", {"model": "smollm2", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What?"},
                                     {"type": "image_url", "image_url": {"url": url}}]}]}, key=server.secret)


def seed(name):
    with open(os.path.join(SEEDS, name), "rb") as f:
        return f.read()


@pytest.mark.parametrize("data,words", [
    (b"", "not a picture"), (b"hello, I am a text", "not a picture"), (b"%PDF-1.7\n", "not a picture"),
    (b"<svg xmlns='http://www.w3.org/2000/svg' width='60000' height='60000'/>", "not a picture"),
    (b"GIF89a" + b"\0" * 20, "GIF and BMP pictures are not read"), (png(8, 8)[:40], "PNG picture is damaged"),
    (png(8, 8).replace(b"IDAT", b"IDBT"), "PNG picture is damaged"), (seed("jpeg")[:300], "JPEG picture is damaged"),
    (seed("webp")[:60], "WebP picture is damaged"),
    (png(4, 4, claim=(60000, 60000)), "claims 60000 x 60000 pixels"),
    (png(4, 4, claim=(16384, 16384)), "20 million"), (png(4, 4, claim=(2**31 - 1, 2**31 - 1)), "pictur"),
    (png(10000, 10000, rows=10000), "claims 10000 x 10000 pixels")])
def test_what_is_no_picture_or_claims_too_much_is_400_from_the_jail(server, data, words):
    status, r = ask(server, data)
    assert status == 400 and r["error"].startswith("messages[0].images[0]: ") and words in r["error"], r
    status, r = ask_openai(server, "data:image/png;base64," + text(data))
    assert status == 400 and r["error"]["param"] == "messages" and words in r["error"]["message"], r
    assert r["error"]["message"].startswith("messages[0].content[1]: ")


def test_pictures_are_read_whatever_their_type_is_called(server):
    for data in (png(64, 48), seed("jpeg"), seed("progressive"), seed("webp"), png(5000, 4000, rows=4000)):
        status, r = ask(server, data)
        assert status == 400 and r["error"] == '"smollm2" does not support vision', r
        status, r = ask_openai(server, "data:;base64," + text(data))
        assert status == 400 and "vision" in r["error"]["message"], r


def test_the_second_picture_is_the_wrong_one(server):
    status, r = ask(server, png(8, 8), b"nothing")
    assert status == 400 and r["error"].startswith("messages[0].images[1]: ")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "https://example.org/a.png", "file:///etc/passwd",
                                 "//x", "", "data:image/png,abc", "data:image/png;base64,???"])
def test_addresses_are_never_fetched(server, url):
    status, r = ask_openai(server, url)
    assert status == 400 and r["error"]["param"] == "messages", r


def test_too_many_pictures_are_refused(server):
    status, r = ask(server, *[png(2, 2)] * 17)
    assert status == 400 and "16 pictures" in r["error"]


def jails(server):
    children = open(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read().split()
    names = [open(f"/proc/{c}/cmdline").read() for c in children if os.path.exists(f"/proc/{c}")]
    return [n for n in names if "jail" in n]


def test_many_at_once_leave_no_jail_behind(server):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda i: ask(server, png(900, 900) if i % 2 else b"junk"), range(24)))
    assert all(s == 400 and ("vision" in r["error"]) == bool(i % 2) for i, (s, r) in enumerate(replies))
    end = time.monotonic() + 10
    while jails(server) and time.monotonic() < end:
        time.sleep(0.05)
    assert not jails(server)
    status, r = server.api("POST", "/api/generate", {"model": "smollm2", "prompt": "Hi", "stream": False, "options": {
        "num_predict": 2}}, key=server.secret)
    assert status == 200 and r["response"]
