#!/usr/bin/env python3
"""Kills only engines with SIGKILL under load: every request ends with its full answer or a clear error.

Writers stream answers through two APIs without ever retrying: what the server accepted it has to bring
to an end over the deaths of its engine. A request is well when its stream ends with the last line of its
API, when its text is what a run without kills gave (greedy, so there is one right text; where the batch's
arithmetic chose otherwise it is counted apart), and never when a connection just ends. An error has to be
one of the server's own, in the API's form.

  engine_kills.py --engine-kills 1000 [--writers 4] [--seed N]
"""
import argparse
import http.client
import json
import os
import random
import signal
import sys
import threading
import time

from torture import Instance

PROMPTS = ["List the months of the year.", "Count from one to thirty in words.",
           "Explain what a bicycle is."]
TOKENS = 32


class Stream:
    """One request, not retried."""

    def __init__(self, world, number, prompt):
        self.world, self.openai, self.prompt = world, number % 2 == 1, prompt
        self.text, self.end, self.error = "", None, None

    def add(self, text):
        self.text += text
        self.world.pieces += 1

    def body(self):
        if self.openai:
            return "/v1/chat/completions", {"model": "smollm2", "stream": True, "temperature": 0, "seed": 7,
                                            "max_tokens": TOKENS, "messages": [{"role": "user", "content": self.prompt}]}
        return "/api/chat", {"model": "smollm2", "messages": [{"role": "user", "content": self.prompt}],
                             "options": {"temperature": 0, "seed": 7, "num_predict": TOKENS}}

    def line(self, line):
        if self.openai:
            if line.startswith(":") or not line:
                return
            line = line.removeprefix("data: ")
            if line == "[DONE]":
                self.end = "done" if self.error is None else self.end
                return
        o = json.loads(line)
        if "error" in o:
            self.error = o["error"]["message"] if isinstance(o["error"], dict) else o["error"]
        elif self.openai:
            for choice in o["choices"]:
                self.add(choice["delta"].get("content") or "")
        else:
            self.add(o["message"]["content"])
            if o["done"]:
                self.end = "done"

    def run(self):
        path, body = self.body()
        c = http.client.HTTPConnection("127.0.0.1", self.world.instance.port, timeout=300)
        try:
            c.request("POST", path, json.dumps(body), {"Authorization": "Bearer " + self.world.key,
                                                        "Content-Type": "application/json"})
            r = c.getresponse()
            if r.status != 200:
                self.error = f"{r.status} {r.read().decode()}"
                json.loads(self.error.split(" ", 1)[1])["error"]
                return
            for raw in r:
                self.line(raw.decode().rstrip("\n"))
        except (OSError, http.client.HTTPException, ValueError, KeyError) as e:
            self.end = f"lost: {e!r}"
        finally:
            c.close()


class World:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.instance = Instance(options.binary, options.port)
        self.done = threading.Event()
        self.key = None
        self.right = {}
        self.lock = threading.Lock()
        self.count = {"full": 0, "full, other words": 0, "clear error": 0, "lost": 0}
        self.examples = []
        self.pieces = 0  # of all answers: an engine that works moves it

    def set_up(self):
        self.instance.start()
        for args, stdin in ((("pull", "starter:smollm2", "--as", "smollm2"), None),
                            (("user", "add", "t@example.org", "--role", "admin", "--password-stdin"),
                             "correct horse battery\n")):
            code, out, err = self.instance.command(*args, stdin=stdin)
            if code:
                raise RuntimeError(f"{args}: {out} {err}")
        code, self.key, err = self.instance.command("key", "new", "kills", "--user", "t@example.org",
                                                    "--scopes", "chat,models.read,metrics")
        if code:
            raise RuntimeError(err)
        for i, prompt in enumerate(PROMPTS):
            s = Stream(self, i, prompt)
            s.run()
            if s.end != "done" or not s.text:
                raise RuntimeError(f"no answer without kills: {s.end} {s.error}")
            self.right[prompt] = s.text

    def judge(self, s):
        if s.end == "done" and s.error is None:
            kind = "full" if s.text == self.right[s.prompt] else "full, other words"
            if len(s.text) < len(self.right[s.prompt]) // 3:
                kind = "lost"  # a greedy answer is never that much shorter: a piece is missing
        elif s.error and s.end is None:
            kind = "clear error"
        else:
            kind = "lost"
        with self.lock:
            self.count[kind] += 1
            if kind in ("lost", "clear error") and len(self.examples) < 10:
                self.examples.append(f"{kind}: end={s.end} error={s.error} text={s.text[-60:]!r}")

    def write(self, number):
        mine = random.Random(self.options.seed * 1000 + number)
        while not self.done.is_set():
            s = Stream(self, number, mine.choice(PROMPTS))
            s.run()
            self.judge(s)

    def metric(self, name):
        c = http.client.HTTPConnection("127.0.0.1", self.instance.port, timeout=10)
        c.request("GET", "/metrics", headers={"Authorization": "Bearer " + self.key})
        text = c.getresponse().read().decode()
        return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith(name + "{"))

    def kill_engine(self):
        """Waits for an engine that answers, then for a moment within its work; one in ten dies while it
        loads or waits."""
        end, before = time.monotonic() + 120, self.pieces
        early = self.random.random() < 0.1
        while time.monotonic() < end:
            pids = self.instance.roles().get("engine", [])
            if pids and (early or self.pieces > before):
                time.sleep(self.random.uniform(0, self.options.pause))
                try:
                    os.kill(pids[0], signal.SIGKILL)
                    return True
                except ProcessLookupError:
                    continue
            time.sleep(0.01)
        return False

    def run(self):
        self.set_up()
        writers = [threading.Thread(target=self.write, args=(i,), daemon=True) for i in range(self.options.writers)]
        for w in writers:
            w.start()
        begun, kills = time.monotonic(), 0
        for i in range(self.options.engine_kills):
            if not self.kill_engine():
                self.examples.append("no engine came back within 120 s")
                self.count["lost"] += 1
                break
            kills += 1
            if (i + 1) % 5 == 0:
                print(f"# {i + 1} kills, {self.count}", file=sys.stderr, flush=True)
        self.done.set()
        for w in writers:
            w.join(300)
            if w.is_alive():
                self.count["lost"] += 1
                self.examples.append("a request never ended")
        return kills, time.monotonic() - begun


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--binary", default=os.environ.get("TRESOR_BIN", "build/tresor"))
    p.add_argument("--engine-kills", type=int, default=1000)
    p.add_argument("--writers", type=int, default=4)
    p.add_argument("--pause", type=float, default=0.5, help="longest life of an engine after its first words, seconds")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--port", type=int, default=17871)
    world = World(p.parse_args())
    try:
        kills, seconds = world.run()
        crashes = world.metric("tresor_model_crashes_total")
        full = world.count["full"] + world.count["full, other words"]
        print(f"engine kills {kills} in {seconds:.0f} s ({crashes:.0f} deaths seen by the server); requests "
              f"{sum(world.count.values())}: {world.count}")
        for e in world.examples:
            print("  " + e)
        return 1 if world.count["lost"] or not full else 0
    finally:
        world.done.set()
        world.instance.stop()


if __name__ == "__main__":
    sys.exit(main())
