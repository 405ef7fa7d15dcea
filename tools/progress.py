"""Progress for people: one line that is rewritten on a terminal, plain lines elsewhere.

All of it goes to stderr; compiler output and the like go to a log file that is named on failure.
"""
import os
import re
import shutil
import subprocess
import sys
import time

NINJA = re.compile(r"^\[(\d+)/(\d+)\]")
EVERY_S = 20  # how often a plain line repeats while a long step runs


class Progress:
    """One phase at a time: begin(), any number of update()s, then done()."""

    def __init__(self, prefix: str = "", out=sys.stderr):
        self.out, self.prefix, self.name = out, prefix, ""
        self.tty = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.start = self.last = 0.0

    def _line(self, text: str) -> None:
        width = shutil.get_terminal_size((80, 24)).columns - 1
        self.out.write(("\r\033[K" + text[:width]) if self.tty else text + "\n")
        self.out.flush()

    def begin(self, name: str, detail: str = "") -> None:
        self.name, self.start, self.last = name, time.monotonic(), time.monotonic()
        self._line(f"{self.prefix}{name}" + (f": {detail}" if detail else " ..."))

    def update(self, detail: str) -> None:
        now = time.monotonic()
        if self.tty:
            if now - self.last > 0.1:
                self.last = now
                self._line(f"{self.prefix}{self.name}: {detail} ({now - self.start:.0f} s)")
        elif now - self.last > EVERY_S:
            self.last = now
            self._line(f"{self.prefix}{self.name}: {detail} ({now - self.start:.0f} s)")

    def done(self, result: str = "done") -> None:
        self._line(f"{self.prefix}{self.name}: {result} ({time.monotonic() - self.start:.0f} s)")
        if self.tty:
            self.out.write("\n")
            self.out.flush()

    def clear(self) -> None:
        """Takes the line away: the step turned out to have nothing to do."""
        if self.tty:
            self.out.write("\r\033[K")
            self.out.flush()

    def run(self, cmd, log, **kw) -> int:
        """Runs `cmd`, its output into the open file `log`; "[3/40]" of ninja becomes progress."""
        log.write(f"+ {' '.join(map(str, cmd))}\n")
        log.flush()
        with subprocess.Popen(list(map(str, cmd)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", **kw) as child:
            for line in child.stdout:
                log.write(line)
                m = NINJA.match(line)
                self.update(f"{m[1]} of {m[2]}" if m else line.strip()[:60])
        log.flush()
        return child.returncode


def tail(path, lines: int = 15) -> str:
    """The last lines of a log, for the error message."""
    with open(path, encoding="utf-8", errors="replace") as f:
        return "".join(f.readlines()[-lines:])
