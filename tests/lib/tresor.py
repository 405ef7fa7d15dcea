"""An instance of the real binary for black-box tests: own home, own data directory, own port."""
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time

PASSWORD = "correct horse battery"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Failed(Exception):
    pass


class Instance:
    """One data directory and the process that serves it. A context manager: cleans up at its end."""

    def __init__(self, binary=None, port=None, listen=None, options=(), prefix=()):
        self.binary = binary or os.environ.get("TRESOR_BIN") or os.path.join(
            os.path.dirname(__file__), "../../build/tresor")
        self.binary = os.path.abspath(self.binary)
        self.port = port or free_port()
        self.listen = listen or f"127.0.0.1:{self.port}"
        self.options, self.prefix = list(options), list(prefix)
        self.home = tempfile.mkdtemp(prefix="tresor-test-")
        self.data = os.path.join(self.home, "data")
        self.env = dict(os.environ, HOME=self.home, XDG_CONFIG_HOME=os.path.join(self.home, "config"))
        self.env.pop("TRESOR_DATA", None)
        self.log_path = os.path.join(self.home, "log")
        self.process = None
        self.context = None  # ssl context: https

    # ---- life ----
    def start(self, wait=60):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*self.prefix, self.binary, "serve", "--data", self.data, "--listen", self.listen, *self.options],
            env=self.env, stdout=self.log, stderr=self.log)
        if wait:
            self.wait_ready(wait)
        return self

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failed("serve ended: " + self.log_text()[-2000:])
            try:
                if self.request("GET", "/healthz", timeout=2)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)
        raise Failed("not ready: " + self.log_text()[-2000:])

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode if self.process else None

    def log_text(self):
        return open(self.log_path, errors="replace").read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- commands ----
    def run(self, *args, stdin=None, timeout=300, data=True):
        r = subprocess.run([self.binary, *args, *(["--data", self.data] if data else [])], env=self.env, input=stdin,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        return r.returncode, r.stdout.strip(), r.stderr.strip()

    def must(self, *args, stdin=None):
        code, out, err = self.run(*args, stdin=stdin)
        if code:
            raise Failed(f"tresor {' '.join(args)}: {code}: {out} {err}")
        return out

    def add_user(self, email, role="member"):
        self.must("user", "add", email, "--role", role, "--password-stdin", stdin=PASSWORD + "\n")

    def key(self, email, scopes=None):
        return self.must("key", "new", "test", "--user", email, *(["--scopes", scopes] if scopes else []))

    def with_model(self, name="smollm2"):
        self.must("pull", "starter:smollm2", "--as", name)
        return self

    def ready(self, scopes=None):
        """Started, with the starter model; an owner's key is in .secret."""
        self.start()
        self.with_model()
        self.add_user("o@example.org", "owner")
        self.secret = self.key("o@example.org", scopes)
        return self

    # ---- requests ----
    def connection(self, timeout=60, host="127.0.0.1"):
        if self.context:
            return http.client.HTTPSConnection(host, self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection(host, self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=180, raw=False):
        c = self.connection(timeout)
        data = body if raw or body is None else json.dumps(body)
        c.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, text, r.headers

    def api(self, method, path, body=None, key=None):
        status, text, _ = self.request(method, path, body, {"Authorization": f"Bearer {key}"} if key else None)
        return status, json.loads(text) if text else None


class Browser:
    """A session as the page has it: cookie, CSRF token, Origin."""

    def __init__(self, instance):
        self.i = instance
        self.cookie, self.csrf = None, None

    def call(self, method, path, body=None, csrf=True, origin=True):
        headers = {}
        if self.cookie:
            headers["Cookie"] = self.cookie
        if csrf and self.csrf:
            headers["X-Tresor-CSRF"] = self.csrf
        if origin and method != "GET":
            scheme = "https" if self.i.context else "http"
            headers["Origin"] = f"{scheme}://127.0.0.1:{self.i.port}"
        status, text, h = self.i.request(method, path, body, headers)
        for name, value in h.items():
            if name.lower() == "set-cookie" and value.startswith("tresor_session="):
                self.cookie = value.split(";")[0]
        reply = json.loads(text) if text and h.get("Content-Type", "").startswith("application/json") else None
        if reply and "csrf" in reply:
            self.csrf = reply["csrf"]
        return status, reply

    def login(self, email, password=PASSWORD):
        return self.call("POST", "/team/v1/login", {"email": email, "password": password})


def context_for(ca_pem):
    c = ssl.create_default_context(cadata=ca_pem)
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    return c


def wait_answer(call, message, seconds=120, stop_after=None):
    """Polls a message until its answer has ended; a small model may talk on and on, so it can be stopped."""
    end = time.monotonic() + seconds
    stop_at = time.monotonic() + stop_after if stop_after else None
    while time.monotonic() < end:
        if stop_at and time.monotonic() > stop_at:
            call("POST", f"/team/v1/messages/{message}/stop", {})
            stop_at = None
        status, m = call("GET", f"/team/v1/messages/{message}")
        if status != 200:
            raise Failed(f"message {message}: {status} {m}")
        if m["state"] != "streaming":
            return m
        time.sleep(0.05)
    raise Failed("the answer does not end")
