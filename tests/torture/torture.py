#!/usr/bin/env python3
"""Kills roles with SIGKILL under load and checks that nothing acknowledged is lost.

Writers send messages with idempotency keys and remember each one that was answered with 201, and each
answer that was reported as done. A killer picks a random role (keeper included; then the whole is
started again, as a supervisor would). After each kill the audit log must be intact; at the end, and
every --check kills, every remembered message must be there exactly once and unchanged.

  torture.py --kills 2000 --writers 3 [--seed N]
Prints figures; exit code 1 on any loss.
"""
import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

ROLES = ["server", "server", "engine", "egress", "keeper"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Instance:
    """One data directory and the process that serves it."""

    def __init__(self, binary, port):
        self.binary, self.port = binary, port or free_port()
        self.home = tempfile.mkdtemp(prefix="tresor-torture-")
        self.data = os.path.join(self.home, "data")
        self.env = dict(os.environ, HOME=self.home, XDG_CONFIG_HOME=os.path.join(self.home, "config"))
        self.log = open(os.path.join(self.home, "log"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"],
            env=self.env, stdout=self.log, stderr=self.log)
        self.wait_ready(60)

    def wait_ready(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError("serve ended: " + open(self.home + "/log").read()[-2000:])
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                c.request("GET", "/healthz")
                if c.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)
        raise RuntimeError("not ready")

    def command(self, *args, stdin=None):
        r = subprocess.run([self.binary, *args, "--data", self.data], env=self.env, input=stdin,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
        return r.returncode, r.stdout.strip(), r.stderr.strip()

    def roles(self):
        """{role: [pid]} of this instance, from /proc."""
        found = {"keeper": [self.process.pid]}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                argv = open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0")
                parent = int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == self.process.pid and len(argv) > 2 and argv[1] == b"role":
                found.setdefault(argv[2].decode(), []).append(int(entry))
        return found

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


class Writer(threading.Thread):
    def __init__(self, world, number):
        super().__init__(daemon=True)
        self.world, self.number = world, number
        self.sent, self.answers, self.errors = [], [], 0

    def call(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.world.instance.port, timeout=10)
        c.request(method, path, json.dumps(body) if body is not None else None,
                  {"Authorization": "Bearer " + self.world.key, "Content-Type": "application/json"})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, json.loads(data) if data else None

    def patient(self, method, path, body=None):
        """The same request until it is answered with success: what a client with retries does."""
        while not self.world.done.is_set():
            try:
                status, reply = self.call(method, path, body)
                if status < 300:
                    return reply
                if status == 409:  # the answer before still runs: not acknowledged, go elsewhere
                    return {"conflict": True}
                if status < 500 and status not in (408, 429):
                    raise RuntimeError(f"{method} {path}: {status} {reply}")
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                pass
            self.errors += 1
            time.sleep(0.02)
        return None

    def watch(self, message):
        """Waits for a short while for the answer; an answer that was reported done must stay."""
        for _ in range(10):
            try:
                status, m = self.call("GET", f"/team/v1/messages/{message}")
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                return
            if status == 200 and m["state"] in ("done", "stopped"):
                self.answers.append((message, m["state"], m["content"]))
                return
            if self.world.done.is_set():
                return
            time.sleep(0.05)
        m = self.patient("POST", f"/team/v1/messages/{message}/stop", {})
        if m and m.get("state") in ("done", "stopped"):
            self.answers.append((message, m["state"], m["content"]))

    def run(self):
        try:
            self.write()
        except Exception as e:  # a writer that dies would leave nothing to lose
            self.world.losses.append(f"writer {self.number} ended: {e!r}")

    def write(self):
        n = 0
        conversation = None
        while not self.world.done.is_set():
            if conversation is None or n % 8 == 0:
                made = self.patient("POST", "/team/v1/conversations", {"model": "smollm2"})
                if not made:
                    return
                conversation = made["id"]
            n += 1
            text = f"writer {self.number} message {n}: say yes. {uuid.uuid4()}"
            client_id = str(uuid.uuid4())
            reply = self.patient("POST", f"/team/v1/conversations/{conversation}/messages",
                                 {"content": text, "client_id": client_id})
            if not reply:
                return
            if "conflict" in reply:
                conversation = None
                continue
            self.sent.append((conversation, reply["message"]["id"], text))
            self.watch(reply["answer"]["id"])


class World:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.instance = Instance(options.binary, options.port)
        self.done = threading.Event()
        self.key = None
        self.kills = {}
        self.back_ms = []
        self.verified = 0
        self.losses = []

    def set_up(self):
        self.instance.start()
        for args, stdin in ((("pull", "starter:smollm2", "--as", "smollm2"), None),
                            (("user", "add", "t@example.org", "--role", "member", "--password-stdin"),
                             "correct horse battery\n")):
            code, out, err = self.instance.command(*args, stdin=stdin)
            if code:
                raise RuntimeError(f"{args}: {out} {err}")
        code, self.key, err = self.instance.command("key", "new", "torture", "--user", "t@example.org")
        if code:
            raise RuntimeError(err)

    def kill_one(self):
        roles = self.instance.roles()
        role = self.random.choice(ROLES)
        if role not in roles:
            role = "server" if "server" in roles else "keeper"
        pid = self.random.choice(roles[role])
        begun = time.monotonic()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[role] = self.kills.get(role, 0) + 1
        if role == "keeper":
            self.instance.process.wait()
            self.instance.start()
        elif role == "server":
            self.instance.wait_ready(30)
            self.back_ms.append((time.monotonic() - begun) * 1000)

    def verify(self):
        """The audit log is intact, whoever was killed a moment ago."""
        code, out, err = self.instance.command("audit", "verify")
        self.verified += code == 0
        if code:
            self.losses.append(f"audit verify: {code} {out} {err}")

    def check(self, writers):
        """Every acknowledged message is there, once and unchanged; the audit log is intact."""
        reader = writers[0]
        shown = {}
        for w in writers:
            for conversation, message, text in list(w.sent):
                if conversation not in shown:
                    shown[conversation] = reader.patient("GET", f"/team/v1/conversations/{conversation}")
                    if shown[conversation] is None:
                        return
                found = [m for m in shown[conversation]["messages"] if m["content"] == text]
                if len(found) != 1 or found[0]["id"] != message:
                    fresh = reader.patient("GET", f"/team/v1/conversations/{conversation}")
                    found = [m for m in fresh["messages"] if m["content"] == text]
                    if len(found) != 1:
                        self.losses.append(f"message {message}: found {len(found)} times")
            for message, state, content in list(w.answers):
                m = reader.patient("GET", f"/team/v1/messages/{message}")
                if m and (m["state"] != state or m["content"] != content):
                    self.losses.append(f"answer {message} changed: {state} -> {m['state']}")

    def run(self):
        self.set_up()
        writers = [Writer(self, i) for i in range(self.options.writers)]
        for w in writers:
            w.start()
        begun = time.monotonic()
        for i in range(self.options.kills):
            time.sleep(self.random.uniform(0.05, self.options.pause))
            self.kill_one()
            self.verify()
            if self.options.check and (i + 1) % self.options.check == 0:
                self.check(writers)
                print(f"# {i + 1} kills, {sum(len(w.sent) for w in writers)} messages, "
                      f"{len(self.losses)} losses", file=sys.stderr, flush=True)
        self.done_writing(writers)
        if sum(len(w.sent) for w in writers) < self.options.kills // 4:
            self.losses.append("too few messages were acknowledged to prove anything")
        return writers, time.monotonic() - begun

    def done_writing(self, writers):
        self.done.set()
        for w in writers:
            w.join(30)
        self.done.clear()
        self.check(writers)
        self.done.set()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", default=os.environ.get("TRESOR_BIN", "build/tresor"))
    p.add_argument("--kills", type=int, default=2000)
    p.add_argument("--writers", type=int, default=3)
    p.add_argument("--pause", type=float, default=0.4, help="longest pause between kills, seconds")
    p.add_argument("--check", type=int, default=200, help="check every so many kills")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--port", type=int, default=0, help="default: a free one")
    world = World(p.parse_args())
    try:
        writers, seconds = world.run()
        back = sorted(world.back_ms) or [0]
        print(f"kills {sum(world.kills.values())} {world.kills} in {seconds:.0f} s; acknowledged messages "
              f"{sum(len(w.sent) for w in writers)}, finished answers {sum(len(w.answers) for w in writers)}, "
              f"retried requests {sum(w.errors for w in writers)}; server back after median "
              f"{back[len(back) // 2]:.0f} ms, worst {back[-1]:.0f} ms; audit verify intact "
              f"{world.verified} times; losses {len(world.losses)}")
        for loss in world.losses[:20]:
            print("  " + loss)
        return 1 if world.losses else 0
    finally:
        world.done.set()
        world.instance.stop()


if __name__ == "__main__":
    sys.exit(main())
