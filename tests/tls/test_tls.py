"""TLS from another host (a network namespace), and what happens to plain HTTP there."""
import os
import shutil
import socket
import ssl
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Browser, Instance, context_for  # noqa: E402

HOST, GUEST, NAMESPACE = "10.79.13.1", "10.79.13.2", "tresor-desk"


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


@pytest.fixture(scope="module")
def desk():
    """A second host: a namespace joined by a pair of virtual cables."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("needs root and iproute2 for a network namespace")
    subprocess.run(["ip", "netns", "del", NAMESPACE], capture_output=True)
    try:
        ip("netns", "add", NAMESPACE)
    except subprocess.CalledProcessError:
        pytest.skip("this system gives no network namespace")
    ip("link", "add", "trs0", "type", "veth", "peer", "name", "trs1", "netns", NAMESPACE)
    ip("addr", "add", HOST + "/24", "dev", "trs0")
    ip("link", "set", "trs0", "up")
    ip("-n", NAMESPACE, "addr", "add", GUEST + "/24", "dev", "trs1")
    ip("-n", NAMESPACE, "link", "set", "trs1", "up")
    yield
    ip("netns", "del", NAMESPACE)


@pytest.fixture(scope="module")
def instance(desk):
    with Instance(options=["--hosts", f"ki.example.test,{HOST}"]) as i:
        i.listen = f"{HOST}:{i.port}"
        i.start(wait=0)
        i.port_host = HOST
        end_wait(i)
        yield i


def end_wait(i):
    import time
    for _ in range(600):
        if i.process.poll() is not None:
            raise AssertionError(i.log_text())
        code, out, _ = i.run("tls", "ca")
        if code == 0:
            try:
                i.context = context_for(out)
                socket.create_connection((HOST, i.port), 1).close()
                return
            except OSError:
                pass
        time.sleep(0.05)
    raise AssertionError("not ready")


def from_desk(*args):
    return subprocess.run(["ip", "netns", "exec", NAMESPACE, *args], capture_output=True, text=True, timeout=60)


def curl(i, tmp_path, *args):
    ca = tmp_path / "ca.pem"
    ca.write_text(i.must("tls", "ca") + "\n")
    return from_desk("curl", "-sS", "--cacert", str(ca), "--resolve", f"ki.example.test:{i.port}:{HOST}", *args)


def test_from_another_host_by_name_and_by_address(instance, tmp_path):
    for where in ("ki.example.test", HOST):
        r = curl(instance, tmp_path, f"https://{where}:{instance.port}/healthz")
        assert r.returncode == 0 and r.stdout.strip() == "ok", r.stderr


def test_log_in_over_tls_gives_a_secure_cookie(instance, tmp_path):
    instance.add_user("desk@example.org", "owner")
    r = curl(instance, tmp_path, "-i", "-H", "Content-Type: application/json",
             "-d", '{"email":"desk@example.org","password":"correct horse battery"}',
             f"https://ki.example.test:{instance.port}/team/v1/login")
    head = r.stdout.lower()
    assert " 200" in head.splitlines()[0]
    cookie = next(line for line in head.splitlines() if line.startswith("set-cookie: tresor_session="))
    for word in ("secure", "httponly", "samesite=strict"):
        assert word in cookie
    assert "strict-transport-security" in head


def test_plain_http_is_refused(instance):
    r = from_desk("curl", "-sS", "-i", f"http://{HOST}:{instance.port}/healthz")
    assert "ok" not in r.stdout.split("\r\n\r\n")[-1:] or " 200" not in r.stdout


def test_nothing_older_than_tls_1_3(instance):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with socket.create_connection((HOST, instance.port), 5) as s:
            context.wrap_socket(s, server_hostname="ki.example.test").do_handshake()


def test_the_ca_is_limited_to_these_names(instance, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text(instance.must("tls", "ca") + "\n")
    r = subprocess.run(["openssl", "x509", "-in", str(ca), "-noout", "-text"], capture_output=True, text=True)
    assert "Name Constraints: critical" in r.stdout and "ki.example.test" in r.stdout


def test_a_browser_session_works_over_tls(instance):
    class There(Browser):
        def __init__(self, i):
            super().__init__(i)
    i = instance
    original = i.connection
    i.connection = lambda timeout=60, host=HOST: original(timeout, HOST)
    b = There(i)
    import http.client  # noqa: F401
    status, me = b.call("POST", "/team/v1/login",
                        {"email": "desk@example.org", "password": "correct horse battery"}, origin=False)
    i.connection = original
    assert status == 200 and me["instance"]["tls"]
