#!/usr/bin/env python3
"""Pulls that are cut off at random, and what is fetched again afterwards.

  cuts.py [--cuts 500] [--seed 1] [--size 24] [--jobs 1]
Each cut is one of: the connection closed, the connection reset, kill -9 of the server's side, of egress, of the blob
writer or of all at once, and a disk that runs full (a small tmpfs; needs root, else left out). After each the pull goes on
where it was, until the model is whole; then the next model.

The registry here writes down every byte that it sends, by range. A byte is good when its loss would need a second
fetch although it was kept: with a role killed or the disk full, what the journal beside the partial file promises, read
here by a second program; with a closed connection, every byte that was sent before. (A reset takes bytes with it that the
kernel had and nobody has read; those count as lost on the way, and are told.) Exit status 1 when one good byte was fetched twice,
or a model did not come whole."""
import argparse, collections, fcntl, hashlib, json, os, pathlib, random, re, shutil, signal, socket, struct, subprocess
import sys, tempfile, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from conftest import DRIVER, EGRESS, MANIFEST, MEDIA, make_gguf, sha

MiB = 1 << 20
KINDS = ["close", "reset", "server", "egress", "writer", "all", "full"]
RANGE = 3000001  # bytes of one request
SLOT, HEAD = 32 * 1024, 64  # of src/models/journal.h


def journal_ranges(path):
    """The ranges of the newest whole slot: magic, sequence, size, digest, count, ranges, SHA-256; little endian."""
    best, newest = [], 0
    data = path.read_bytes() if path.exists() else b""
    for slot in (data[:SLOT], data[SLOT:2 * SLOT]):
        if len(slot) < HEAD + 32 or slot[:8] != b"TRSRPRT1":
            continue
        seq, (n,) = struct.unpack_from("<Q", slot, 8)[0], struct.unpack_from("<Q", slot, 56)
        used = HEAD + 16 * n
        if hashlib.sha256(slot[:used]).digest() != slot[used:used + 32] or seq <= newest:
            continue
        newest, best = seq, [struct.unpack_from("<QQ", slot, HEAD + 16 * i) for i in range(n)]
    return best


def overlap(ranges, a, b):
    return sum(max(0, min(b, y) - max(a, x)) for x, y in ranges)


class Registry:
    """One model over HTTP/1.1, ranges honoured; `cut` says for each request after how many bytes what happens."""

    def __init__(self, model):
        self.model, self.digest = model, sha(model)
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [
            {"mediaType": MEDIA + "model", "digest": "sha256:" + self.digest, "size": len(model)}]}).encode()
        self.sent = []  # [from, to] of each answer, growing while it is sent
        self.cut, self.lock = None, threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, s):
        head = b""
        try:
            while True:
                while b"\r\n\r\n" not in head:
                    piece = s.recv(65536)
                    if not piece:
                        return
                    head += piece
                request, _, head = head.partition(b"\r\n\r\n")
                if not self.answer(s, request.decode()):
                    return
        except OSError:
            pass
        finally:
            s.close()

    def answer(self, s, request):
        if "/manifests/" in request:
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.manifest) + self.manifest)
            return True
        wanted = re.search(r"(?i)^range: bytes=(\d+)-(\d+)", request, re.M)
        a, b = (int(wanted[1]), int(wanted[2]) + 1) if wanted else (0, len(self.model))
        s.sendall(b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: bytes %d-%d/%d\r\n\r\n"
                  % (b - a, a, b - 1, len(self.model)))
        with self.lock:
            mine = [a, a]
            self.sent.append(mine)
            cut = self.cut(b - a) if self.cut else None
        self.send(s, mine, b if cut is None else a + cut[0])
        if cut is None:
            return True
        if not cut[1](s):
            return False
        self.send(s, mine, b)
        return True

    def send(self, s, mine, stop):
        while mine[1] < stop:
            n = min(256 * 1024, stop - mine[1])
            s.sendall(self.model[mine[1]:mine[1] + n])
            mine[1] += n

    def close(self):
        self.socket.close()


def children(pid):
    try:
        return [int(x) for x in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def victims(driver, kind):
    """Pids of the driver's parts: itself (the server's side), its keeper's children (the writer), egress."""
    below = {p: pathlib.Path(f"/proc/{p}/cmdline").read_bytes() for p in children(driver) if os.path.exists(f"/proc/{p}")}
    egress = [p for p, line in below.items() if b"--egress" in line]
    keepers = [p for p in below if p not in egress]
    writers = [w for k in keepers for w in children(k)]
    return {"server": [driver], "egress": egress, "writer": writers, "all": [*writers, *keepers, *egress, driver]}[kind]


def kill(pids):
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Trial:
    """One model on its way into one data directory, cut off again and again."""

    def __init__(self, folder, rng, size, kinds, slow):
        self.rng, self.kinds, self.slow = rng, kinds, slow
        self.model = make_gguf(size * MiB + rng.randrange(100000))
        self.registry = Registry(self.model)
        self.folder, self.house = folder, folder / "house"
        self.part = self.house / "models/blobs" / f"sha256-{self.registry.digest}-partial"
        self.done, self.count, self.again, self.lost = False, collections.Counter(), 0, 0
        self.driver = None

    def plan(self, kind, left):
        """The cut for the request that crosses a random number of bytes from now."""
        at = [self.rng.randrange(1, max(2, left))]
        if kind == "close" and self.rng.randrange(2):  # shortly after an answer began, while others fill the way
            at[0] += self.rng.randrange(1, 5000) - at[0] % RANGE
        fired = threading.Event()

        def act(s):
            fired.set()
            if kind == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if kind == "close":
                s.shutdown(socket.SHUT_WR)
                s.recv(1)  # the reader has come to the end and closes
                return False
            if self.slow(kind):
                time.sleep(2.4)  # the writer notes what it has every two seconds
            if kind == "full":
                self.fill()
                return True  # what comes now finds no room
            kill(victims(self.driver.pid, kind))
            return False

        def cut(n):
            if fired.is_set():
                return None
            if at[0] < n:
                return (at[0], act)
            at[0] -= n
            return None
        return cut, fired

    def fill(self):
        with open(self.folder / "filler", "wb", buffering=0) as f:
            try:
                while f.write(b"\0" * MiB):
                    pass
            except OSError:
                pass

    def run(self):
        """The driver once, to its end. True: the model is whole."""
        self.driver = subprocess.Popen(
            [DRIVER, self.house, EGRESS, "--allow", f"127.0.0.1:{self.registry.port}", "--retry", "10", "--range", str(RANGE),
             "pull", f"127.0.0.1:{self.registry.port}/m"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        below = children(self.driver.pid)
        self.why = self.driver.communicate(timeout=120)[1]
        end = time.monotonic() + 20  # the writer notes what it has before it ends
        while time.monotonic() < end and any(os.path.exists(f"/proc/{p}") for p in below):
            time.sleep(0.005)
        end = time.monotonic() + 20
        while self.part.exists() and self.locked() and time.monotonic() < end:
            time.sleep(0.005)
        return self.driver.returncode == 0

    def locked(self):
        with open(self.part, "rb") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except OSError:
                return True

    def one(self):
        """One cut, and what was fetched after it."""
        kind = self.rng.choice(self.kinds)
        good = journal_ranges(self.part.parent / (self.part.name + ".journal"))
        left = len(self.model) - sum(b - a for a, b in good)
        before = len(self.registry.sent)
        self.registry.cut, fired = self.plan(kind, left)
        whole = self.run()
        (self.folder / "filler").unlink(missing_ok=True)
        fresh = self.registry.sent[before:]
        self.again += sum(overlap(good, a, b) for a, b in fresh)
        if fired.is_set():
            self.count[kind] += 1
        twice = sum(b - a for a, b in fresh) - self.union(fresh)
        if kind == "close":  # the same process went on: nothing that was sent may be asked for again
            self.again += twice
        elif kind == "reset":
            self.lost += twice
        if whole:
            self.done = True
            blob = self.part.parent / f"sha256-{self.registry.digest}"
            if sha(blob.read_bytes()) != self.registry.digest:
                raise SystemExit("not ok: the model is not whole")
        elif kind == "close" or (kind == "reset" and "upstream" not in self.why):
            raise SystemExit(f"not ok: after {kind} the pull ended: {self.why}")

    @staticmethod
    def union(ranges):
        total, reach = 0, 0
        for a, b in sorted(map(tuple, ranges)):
            total += max(0, b - max(a, reach))
            reach = max(reach, b)
        return total


def mount(folder, mib):
    return os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder], stderr=subprocess.DEVNULL).returncode == 0


def campaign(cuts, seed, size, kinds, slow_one_in):
    """Cuts until there were as many; returns (cuts by kind, models that came, good bytes fetched twice, lost on the way)."""
    rng = random.Random(seed)
    count, models, again, lost = collections.Counter(), 0, 0, 0
    while sum(count.values()) < cuts:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="cuts-"))
        small = mount(folder, 2 * size + 100)  # a pull wants some room to spare
        here = [k for k in kinds if k != "full" or small]
        trial = Trial(folder, rng, size, here, lambda kind: rng.randrange(slow_one_in) == 0)
        try:
            rounds = 0
            while not trial.done:
                trial.one()
                rounds += 1
                if rounds > 60 or sum((count + trial.count).values()) >= cuts:
                    trial.kinds = ["close"]
                if rounds > 80:
                    raise SystemExit("not ok: the pull does not get to its end: " + trial.why)
        finally:
            trial.registry.close()
            if small:
                subprocess.run(["umount", "-l", folder], check=False)
            shutil.rmtree(folder, ignore_errors=True)
        count += trial.count
        models, again, lost = models + 1, again + trial.again, lost + trial.lost
    return count, models, again, lost


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--cuts", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--size", type=int, default=24, help="MiB of each model")
    p.add_argument("--slow", type=int, default=6, help="one kill in so many waits until the writer has noted what it has")
    a = p.parse_args()
    begin = time.monotonic()
    count, models, again, lost = campaign(a.cuts, a.seed, a.size, KINDS, a.slow)
    print(f"{sum(count.values())} cuts ({', '.join(f'{k} {count[k]}' for k in KINDS)}), {models} models of {a.size} MiB came whole, "
          f"{again} good bytes fetched twice, {lost} bytes lost on the way by resets, {time.monotonic() - begin:.0f} s, seed {a.seed}")
    return 1 if again else 0


if __name__ == "__main__":
    sys.exit(main())
