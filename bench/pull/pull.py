#!/usr/bin/env python3
"""How fast a pull is beside curl, and how much memory it takes.

  pull.py [--rounds 7] [--mib 1024] [--binary build/tresor] [--json FILE]
The same blob from the same registry (Debian's docker-registry on loopback, from the same disk) to the same disk, in turn:
  tresor   `tresor pull` at a running server: fetched, written, made durable, hashed, its header checked, listed
  curl     `curl URL | tee FILE | sha256sum`, and then `sync FILE`
  no sync  the same without the sync: what curl's user would have called done
Every file is removed and the disk synced between two rounds. Memory: the largest PSS and RSS of egress and of the blob writer, by
/proc, every 20 ms, in a separate pull; and of the same pull at half the size, which must not differ."""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, threading, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/registry"), str(ROOT / "bench/serving")]
from conftest import Registry, make_gguf, sha  # noqa: E402
from tresor import Instance  # noqa: E402
import machine  # noqa: E402

MiB = 1 << 20


def put(registry, name, mib):
    """A model of so many MiB in the registry. Returns its digest and size."""
    model = make_gguf(mib * MiB)
    registry.put_model(f"library/{name}", "latest", model)
    return sha(model), len(model)


class Peak(threading.Thread):
    """The largest PSS and RSS of each role, KiB, while it runs."""

    def __init__(self, keeper):
        super().__init__(daemon=True)
        self.keeper, self.stop, self.pss, self.rss = keeper, False, {}, {}

    def roles(self):
        for p in pathlib.Path("/proc").iterdir():
            if not p.name.isdigit():
                continue
            try:
                if int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == self.keeper:
                    line = (p / "cmdline").read_bytes().split(b"\0")
                    yield line[2].decode(), p
            except (OSError, IndexError):
                pass

    def run(self):
        while not self.stop:
            for role, p in self.roles():
                try:
                    for line in (p / "smaps_rollup").read_text().splitlines():
                        for key, peak in (("Pss:", self.pss), ("Rss:", self.rss)):
                            if line.startswith(key):
                                peak[role] = max(peak.get(role, 0), int(line.split()[1]))
                except OSError:
                    pass
            time.sleep(0.02)


def timed(run):
    os.sync()
    begin = time.monotonic()
    run()
    return time.monotonic() - begin


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--mib", type=int, default=1024)
    p.add_argument("--binary")
    p.add_argument("--json")
    a = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="pull-bench-") as tmp, Instance(binary=a.binary) as i:
        folder = pathlib.Path(tmp)
        registry = Registry(folder)
        digest, size = put(registry, "big", a.mib)
        put(registry, "half", a.mib // 2)
        i.start()
        i.add_user("o@example.org", "owner")
        key = i.key("o@example.org", "models.change,models.read,egress")
        status, reply = i.api("PUT", "/team/v1/egress", {"host": "127.0.0.1", "port": registry.port,
                                                         "purpose": "bench", "plain": True}, key)
        assert status == 200, reply
        name, half = (f"127.0.0.1:{registry.port}/library/{n}:latest" for n in ("big", "half"))
        url = f"http://127.0.0.1:{registry.port}/v2/library/big/blobs/sha256:{digest}"
        copy = pathlib.Path(i.home) / "copy"

        def curl():
            out = subprocess.run(["sh", "-c", f"curl -sf {url} | tee {copy} | sha256sum"], stdout=subprocess.PIPE, text=True, check=True)
            assert out.stdout.startswith(digest)

        times = {"tresor": [], "curl": [], "no sync": []}
        subprocess.run(["sh", "-c", f"curl -sf {url} >/dev/null"], check=True)  # the registry's file is in memory for all
        for r in range(a.rounds):
            for side in (["tresor", "curl"] if r % 2 else ["curl", "tresor"]):
                if side == "tresor":
                    times[side].append(timed(lambda: i.must("pull", name)))
                    i.must("rm", name)
                else:
                    seconds = timed(curl)
                    times["no sync"].append(seconds)
                    begin = time.monotonic()
                    subprocess.run(["sync", copy], check=True)
                    times["curl"].append(seconds + time.monotonic() - begin)
                    copy.unlink()
        memory = {}
        for what, model in (("whole", name), ("half", half)):
            peak = Peak(i.process.pid)
            peak.start()
            i.must("pull", model)
            peak.stop = True
            peak.join()
            i.must("rm", model)
            memory[what] = {"pss_kib": {k: peak.pss.get(k, 0) for k in ("egress", "jail")},
                            "rss_kib": {k: peak.rss.get(k, 0) for k in ("egress", "jail")}}
        registry.close()
    report(a, size, times, memory)


def report(a, size, times, memory):
    speed = {k: [size / 1e6 / t for t in v] for k, v in times.items()}
    for k, v in speed.items():
        print(f"{k:<8} {statistics.median(v):8.0f} MB/s ({min(v):.0f}..{max(v):.0f}), {a.rounds} rounds of {size / 1e6:.0f} MB")
    for against in ("curl", "no sync"):
        pairs = [x / y for x, y in zip(speed["tresor"], speed[against])]
        print(f"tresor / {against}: {statistics.median(pairs):.2f} x ({min(pairs):.2f}..{max(pairs):.2f}), pair by pair")
    for what, m in memory.items():
        print(f"memory, {what}: egress and writer together {sum(m['pss_kib'].values()) / 1024:.1f} MiB PSS, "
              f"{sum(m['rss_kib'].values()) / 1024:.1f} MiB RSS (egress {m['rss_kib']['egress'] / 1024:.1f}, "
              f"writer {m['rss_kib']['jail'] / 1024:.1f})")
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump({"machine": machine.facts(), "bytes": size,
                       "seconds": times, "memory": memory}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
