"""nginx in front: streams arrive piece by piece, and X-Forwarded-* counts only from where --behind-proxy says."""
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import httpx
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import PASSWORD, Instance, free_port  # noqa: E402

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")

# As an administrator would write it; only the paths are ours. Buffering is left on: we tell nginx ourselves.
CONF = """
daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  client_max_body_size 100m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{back};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For "$http_x_test_chain 203.0.113.7";
      proxy_set_header X-Forwarded-Proto https;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


class Nginx:
    def __init__(self, folder, back):
        self.port = free_port()
        conf = os.path.join(folder, "nginx.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(CONF.format(dir=folder, port=self.port, back=back))
        self.p = subprocess.Popen([NGINX, "-p", folder, "-c", conf, "-e", os.path.join(folder, "error.log")])
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("nginx does not start")

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.p.terminate()
        self.p.wait(10)


def world(tmp_path_factory, *options):
    folder = str(tmp_path_factory.mktemp("nginx"))
    i = Instance(options=options)
    i.start()
    i.with_model()
    i.add_user("o@example.org", "owner")
    i.secret = i.key("o@example.org", "chat,models.read,models.change,audit,metrics")
    return i, Nginx(folder, i.port)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    i, n = world(tmp_path_factory, "--behind-proxy", "127.0.0.0/8")
    with i:
        yield i, n
        n.stop()


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory):
    i, n = world(tmp_path_factory)
    with i:
        yield i, n
        n.stop()


def login(url, headers=None):
    return httpx.post(url, json={"email": "o@example.org", "password": PASSWORD}, headers=headers or {}, timeout=60)


def last_address(i):
    _, reply = i.api("GET", "/team/v1/audit?limit=5", key=i.secret)
    return next(e["address"] for e in reply["entries"] if "login" in e["action"])


def test_the_client_behind_a_trusted_proxy_is_recorded(trusted):
    i, n = trusted
    r = login(n.url("/team/v1/login"))
    assert r.status_code == 200, r.text
    assert last_address(i) == "203.0.113.7"
    assert "Secure" in r.headers["set-cookie"] and r.headers["strict-transport-security"]
    # what the client itself claims does not count: only what the proxy appended
    login(n.url("/team/v1/login"), {"X-Test-Chain": "6.6.6.6,"})
    assert last_address(i) == "203.0.113.7"


def test_without_the_option_the_header_is_only_a_claim(untrusted):
    i, n = untrusted
    r = login(n.url("/team/v1/login"))
    assert r.status_code == 200
    assert last_address(i) == "127.0.0.1"
    assert "Secure" not in r.headers["set-cookie"]
    login(f"http://127.0.0.1:{i.port}/team/v1/login", {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https"})
    assert last_address(i) == "127.0.0.1"


def arrivals(r):
    """When each piece came, in seconds after the first."""
    times = [time.monotonic() for _ in r.iter_lines()]
    return [t - times[0] for t in times]


@pytest.mark.parametrize("path,more", [("/api/chat", {"options": {"num_predict": 60, "temperature": 0}}),
                                       ("/v1/chat/completions", {"max_tokens": 60, "temperature": 0})])
def test_answers_stream_through_it(trusted, path, more):
    i, n = trusted
    body = {"model": "smollm2", "stream": True, "messages": [{"role": "user", "content": "Count to fifty."}], **more}
    for url in (n.url(path), f"http://127.0.0.1:{i.port}{path}"):
        with httpx.stream("POST", url, json=body, headers={"Authorization": f"Bearer {i.secret}"}, timeout=120) as r:
            assert r.status_code == 200
            at = arrivals(r)
        assert len(at) > 20
        spread = sum(1 for a, b in zip(at, at[1:]) if b - a > 0.001)
        assert spread > len(at) / 6, f"{url}: came in lumps: {at}"


def test_events_come_at_once_and_a_client_that_leaves_is_seen(trusted):
    i, n = trusted
    session = login(n.url("/team/v1/login"))
    cookie = session.headers["set-cookie"].split(";")[0]

    def streams():
        text = i.request("GET", "/metrics", headers={"Authorization": f"Bearer {i.secret}"})[1].decode()
        return int(next(x for x in text.splitlines() if x.startswith("tresor_http_streams ")).split()[1])

    before = streams()
    with httpx.stream("GET", n.url("/team/v1/events"), headers={"Cookie": cookie}, timeout=10) as r:
        begin = time.monotonic()
        lines = r.iter_lines()  # kept: httpx closes the response with its iterator
        line = next(lines)
        assert json.loads(line.removeprefix("data: "))["type"] == "hello"
        assert time.monotonic() - begin < 2
        assert streams() == before + 1
    end = time.monotonic() + 5
    while streams() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert streams() == before


def test_a_large_body_and_an_error_come_through(trusted):
    i, n = trusted
    head = {"Authorization": f"Bearer {i.secret}"}
    r = httpx.post(n.url("/api/chat"), content=b'{"model":"' + b"x" * (17 << 20) + b'"}', headers=head, timeout=60)
    assert r.status_code == 413 and "error" in r.json()
    assert httpx.get(n.url("/v1/models/nope"), headers=head).status_code == 404
    assert httpx.get(n.url("/healthz")).text == "ok\n"
