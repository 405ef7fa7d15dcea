"""The machine a measurement runs on: who else uses it, what processes take, what it is."""
import os
import platform
import re
import time

BUSY = 0.04  # share of the CPUs from which on others disturb


def family(pid):
    """A process and its descendants."""
    kids = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            kids += open(f"/proc/{pid}/task/{task}/children").read().split()
    except OSError:
        pass
    return [pid] + [x for k in kids for x in family(int(k))]


def jiffies(pids):
    """CPU time that others than these processes have used; those they waited for count as theirs."""
    busy = sum(int(x) for i, x in enumerate(open("/proc/stat").readline().split()[1:9]) if i not in (3, 4))
    own = 0
    for pid in pids:
        try:
            f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            own += sum(int(x) for x in f[11:15])
        except OSError:
            pass
    return busy - own


class Meter:
    """The share of the CPUs that others than this process, its descendants and `more` took."""

    def __init__(self, more=()):
        self.more = list(more)
        self.begin()

    def pids(self):
        return {x for p in [os.getpid(), *self.more] for x in family(p)}

    def begin(self):
        self.before, self.at = jiffies(self.pids()), time.time()

    def share(self):
        spent = time.time() - self.at
        per_s = os.sysconf("SC_CLK_TCK") * os.cpu_count()
        return max(0.0, (jiffies(self.pids()) - self.before) / (per_s * spent)) if spent > 0 else 0.0


def wait_quiet(until, more=()):
    """Waits for a moment without others, at most until that time."""
    while True:
        m = Meter(more)
        time.sleep(0.3)
        if m.share() < BUSY or time.time() > until:
            return


def memory_mib(pid):
    """PSS and RSS of a process and its descendants, MiB."""
    sums = {"Pss:": 0, "Rss:": 0}
    for p in family(pid):
        for line in open(f"/proc/{p}/smaps_rollup"):
            word = line.split()
            if word[0] in sums:
                sums[word[0]] += int(word[1])
    return sums["Pss:"] / 1024, sums["Rss:"] / 1024


def facts():
    cpu = next((x.split(":", 1)[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")),
               platform.machine())
    kib = int(next(x for x in open("/proc/meminfo") if x.startswith("MemTotal:")).split()[1])
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(kib / 2**20, 1), "kernel": platform.release()}


def slug(cpu):
    """A CPU's name as part of a file's: results of different machines stand side by side."""
    words = re.sub(r"\((R|TM)\)|\b(CPU|Processor)\b|@.*", " ", cpu)
    return "-".join(re.findall(r"[a-z0-9]+", words.lower()))
