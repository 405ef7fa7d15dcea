"""Bodies and heads that are no requests: each API answers in its own form, and nobody else is hurt."""
import json
import os
import socket
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import PASSWORD, Browser, Instance  # noqa: E402

DEEP = b'{"model":' + b"[" * 5000 + b"]" * 5000 + b"}"
BODIES = {
    "empty": b"", "cut": b'{"model":', "an array": b"[]", "null": b"null", "a key twice": b'{"model":"a","model":"b"}',
    "not UTF-8": b'{"model":"\xff"}', "half a surrogate": b'{"model":"\\ud800"}', "too deep": DEEP,
    "text behind": b'{"model":"x"} trailing', "a number for a name": b'{"model":1}', "a NUL": b'{"model":"a\\u0000b"}',
    "NaN": b'{"model":NaN}', "comments": b'/* */{"model":"a"}',
}
TOO_LARGE = b'{"model":"' + b"x" * (17 << 20) + b'"}'


@pytest.fixture(scope="module")
def server():
    with Instance() as i:
        i.start()
        i.add_user("o@example.org", "owner")
        i.secret = i.key("o@example.org", "chat,models.read,models.change")
        yield i


def ollama(reply):
    assert isinstance(reply["error"], str) and reply["error"]


def openai(reply):
    assert isinstance(reply["error"]["message"], str) and reply["error"]["type"] == "invalid_request_error"


def anthropic(reply):
    assert reply["type"] == "error" and isinstance(reply["error"]["message"], str) and reply["request_id"]
    assert reply["error"]["type"] in ("invalid_request_error", "request_too_large")


def team(reply):
    assert isinstance(reply["error"]["message"], str) and reply["error"]["slug"]


ROUTES = [("/api/chat", ollama), ("/api/generate", ollama), ("/api/show", ollama), ("/v1/chat/completions", openai),
          ("/v1/completions", openai), ("/infill", openai), ("/v1/messages", anthropic),
          ("/v1/messages/count_tokens", anthropic), ("/api/tokenize", ollama), ("/team/v1/conversations", team)]


def post(i, path, body):
    status, text, _ = i.request("POST", path, body, {"Authorization": f"Bearer {i.secret}"}, raw=True)
    return status, json.loads(text)


@pytest.mark.parametrize("path,form", ROUTES)
def test_what_is_no_request_is_refused_in_the_form_of_its_api(server, path, form):
    for name, body in BODIES.items():
        if path.startswith("/team") and name == "empty":
            continue  # nothing of its body is required
        status, reply = post(server, path, body)
        assert status == (413 if name == "too deep" else 400), (path, name, status, reply)
        form(reply)
    assert server.request("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("path,form", ROUTES)
def test_too_much_gets_413_in_the_form_of_its_api(server, path, form):
    status, reply = post(server, path, TOO_LARGE)
    assert status == 413, reply
    form(reply)


def talk(i, head):
    with socket.create_connection(("127.0.0.1", i.port), 60) as s:
        s.settimeout(60)  # an unfinished head gets its 408 after 20 s
        try:
            s.sendall(head)
            return s.recv(200)
        except ConnectionError:
            return b""


def test_heads_over_the_limit_and_nonsense_end_their_connection_only(server):
    b = Browser(server)
    assert b.login("o@example.org", PASSWORD)[0] == 200
    good, stop = [], threading.Event()

    def others():
        while not stop.is_set():
            good.append(b.call("GET", "/team/v1/me")[0])

    t = threading.Thread(target=others)
    t.start()
    try:
        host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
        for head in (b"GET / HTTP/1.1\r\n" + host + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n",
                     b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + host + b"\r\n",
                     b"GET / HTTP/1.1\r\n" + host + b"A: b\r\n" * 20000 + b"\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
                     b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n \0\0\0\r\n\r\n",
                     b"POST /api/chat HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ",
                     b"POST /api/chat HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
                     b"POST /api/chat HTTP/1.1\r\n" + host + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"):
            said = talk(server, head)
            assert not said or said.split()[1][:1] in (b"4", b"5"), (head[:60], said)
    finally:
        stop.set()
        t.join()
    assert good and set(good) == {200}
