"""TLS from another host (a network namespace), and what happens to plain HTTP there."""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from tresor import Instance, context_for  # noqa: E402

# Of this process: the suite may run in several trees at once.
NUMBER = os.getpid() % 250
HOST, GUEST, NAMESPACE = f"10.79.{NUMBER}.1", f"10.79.{NUMBER}.2", f"tresor-desk-{NUMBER}"
CABLE, PLUG = f"trs{NUMBER}a", f"trs{NUMBER}b"
ROOT = os.environ.get("TRESOR_ROOT", os.path.join(os.path.dirname(__file__), "../.."))


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
    ip("link", "add", CABLE, "type", "veth", "peer", "name", PLUG, "netns", NAMESPACE)
    ip("addr", "add", HOST + "/24", "dev", CABLE)
    ip("link", "set", CABLE, "up")
    ip("-n", NAMESPACE, "addr", "add", GUEST + "/24", "dev", PLUG)
    ip("-n", NAMESPACE, "link", "set", PLUG, "up")
    ip("-n", NAMESPACE, "link", "set", "lo", "up")
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
    for path in ("/healthz", "/", "/api/version"):
        r = from_desk("curl", "-sS", "-i", "--max-time", "20", f"http://{HOST}:{instance.port}{path}")
        assert r.returncode or r.stdout.split()[1].startswith("4"), r.stdout
        assert "200" not in r.stdout.split("\n")[0] and "\nok" not in r.stdout


def test_the_command_talks_to_a_server_elsewhere(instance, tmp_path):
    instance.add_user("cli@example.org", "owner")
    key, ca = instance.key("cli@example.org"), tmp_path / "ca.pem"
    ca.write_text(instance.must("tls", "ca") + "\n")

    def command(*env):
        return from_desk("env", f"TRESOR_HOST=https://{HOST}:{instance.port}", *env, instance.binary, "list")
    r = command(f"TRESOR_API_KEY={key}", f"TRESOR_CA_FILE={ca}")
    assert r.returncode == 0 and r.stdout.startswith("NAME"), r.stderr
    r = command(f"TRESOR_CA_FILE={ca}")
    assert r.returncode == 1 and "TRESOR_API_KEY" in r.stderr
    r = command(f"TRESOR_API_KEY={key}")  # a certificate that nobody vouches for
    assert r.returncode == 1 and "does not answer" in r.stderr


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


def leaf_pin(i):
    """The key of the server's certificate, as Chromium names it; the chain was verified against our CA."""
    with socket.create_connection((HOST, i.port), 5) as plain:
        context = context_for(i.must("tls", "ca"))
        with context.wrap_socket(plain, server_hostname="ki.example.test") as tls:
            der = tls.getpeercert(binary_form=True)
    key = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-pubkey"], input=der, capture_output=True,
                         check=True).stdout
    raw = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, capture_output=True,
                         check=True).stdout
    return base64.b64encode(hashlib.sha256(raw).digest()).decode()


def test_a_browser_on_another_host_logs_in_and_reads_an_answer(instance):
    i = instance
    i.add_user("browser@example.org", "owner")
    i.with_model()
    r = subprocess.run(["ip", "netns", "exec", NAMESPACE, os.environ.get("NODE", "node"),
                        os.path.join(ROOT, "tests/tls/browser.mjs"), HOST, str(i.port), leaf_pin(i),
                        "browser@example.org", "correct horse battery"],
                       capture_output=True, text=True, timeout=150)
    assert r.returncode == 0, r.stdout + r.stderr
    said = json.loads(r.stdout)
    assert said["secure"] and said["protocol"] == "TLS 1.3" and len(said["answer"]) > 0
    assert said["plain"] == "no answer" or re.search(r"^http:\S+ 4\d\d 0$", said["plain"]), said
    assert said["stranger"] == "refused", "without the pin the browser must not trust the certificate"


# ---- a certificate of the company ----

def openssl(*args, **kw):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, **kw)


@pytest.fixture
def company(tmp_path):
    """The company's CA; sign(request, days) gives the file of a chain."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 400,
            "-subj", "/CN=Firma CA", "-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.pem")

    def sign(request, out, days):
        (tmp_path / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", tmp_path / "ca.pem", "-CAkey", tmp_path / "ca.key",
                "-CAcreateserial", "-days", days, "-extfile", tmp_path / "ext", "-out", out)
        with open(out, "a", encoding="ascii") as f:
            f.write((tmp_path / "ca.pem").read_text())

    sign.ca = tmp_path / "ca.pem"
    return sign


def wait_company(i, company, host):
    i.context = context_for(company.ca.read_text())
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if i.process.poll() is not None:
            raise AssertionError(i.log_text())
        try:
            return serial(i, host)
        except OSError:
            time.sleep(0.05)
    raise AssertionError("not ready: " + i.log_text())


def serial(i, host):
    """Of the certificate that a new connection is shown, verified against the company's CA."""
    with socket.create_connection((host, i.port), 5) as plain:
        with i.context.wrap_socket(plain, server_hostname="localhost") as tls:
            return tls.getpeercert()["serialNumber"]


def test_a_given_certificate_is_warned_of_and_replaced_without_a_restart(desk, company, tmp_path):
    key, chain = tmp_path / "server.key", tmp_path / "server.pem"
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-keyout", key, "-out", tmp_path / "request.pem")
    company(tmp_path / "request.pem", chain, 20)
    with Instance(options=["--tls-cert", str(chain), "--tls-key", str(key)]) as i:
        i.listen = f"0.0.0.0:{i.port}"
        i.start(wait=0)
        before = wait_company(i, company, HOST)
        assert "expires within 30 days" in i.log_text()
        assert "warn  tls" in i.run("doctor")[1]
        old = i.connection(host="localhost")  # stays open over the change
        old.request("GET", "/healthz")
        assert old.getresponse().read() == b"ok\n"
        company(tmp_path / "request.pem", chain, 90)
        i.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while serial(i, HOST) == before and time.monotonic() < end:
            time.sleep(0.05)
        assert serial(i, HOST) != before
        old.request("GET", "/healthz")
        assert old.getresponse().read() == b"ok\n"
        text = i.run("doctor")[1]
        assert "good for 89 days" in text or "good for 90 days" in text, text
        chain.write_text("no certificate")  # a bad one is said, and the one in use stays
        i.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while "not read again" not in i.log_text() and time.monotonic() < end:
            time.sleep(0.05)
        assert "not read again" in i.log_text()
        assert serial(i, HOST) != before


def test_a_request_signed_by_the_company_is_used(desk, company, tmp_path):
    with Instance() as i:
        i.start()
        i.stop()
        request = tmp_path / "request.pem"
        request.write_text(i.must("tls", "csr", "--hosts", "localhost") + "\n")
        openssl("req", "-in", request, "-verify", "-noout")
        chain = tmp_path / "chain.pem"
        company(request, chain, 300)
        i.listen = f"0.0.0.0:{i.port}"
        i.options = ["--tls-cert", str(chain)]  # its key never left the data directory
        i.start(wait=0)
        assert wait_company(i, company, HOST)
        assert "expires within 30 days" not in i.log_text()
