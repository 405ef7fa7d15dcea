"""A command on a pseudo-terminal, and a screen to see what it shows (ECMA-48, xterm)."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([@-~])")


def plain(text):
    """Without escape sequences, carriage returns, and the wheel that turns while one waits."""
    text = re.sub("\r[\u2800-\u28ff] ", "", text)
    return SEQUENCE.sub("", text).replace("\r", "")


class Screen:
    """Rows of cells; late wrap; the sequences that a line editor and a word wrap use."""

    def __init__(self, columns, rows=200):
        self.columns, self.rows = columns, [[""] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.late = False

    def feed(self, text):
        at = 0
        while at < len(text):
            found = SEQUENCE.match(text, at)
            if found:
                self.sequence(found[1], found[2])
                at = found.end()
                continue
            self.char(text[at])
            at += 1
        return self

    def sequence(self, args, last):
        n = int(args) if args.isdigit() else 0
        self.late = self.late and last == "m"
        if last == "A":
            self.row = max(0, self.row - (n or 1))
        elif last == "C":
            self.column = min(self.columns - 1, self.column + (n or 1))
        elif last == "D":
            self.column = max(0, self.column - (n or 1))
        elif last in "JK":
            self.rows[self.row][self.column:] = [""] * (self.columns - self.column)
            if last == "J":
                for row in self.rows[self.row + 1:]:
                    row[:] = [""] * self.columns
        else:
            assert last in "mhl", f"unexpected sequence {args}{last}"

    def char(self, c):
        if c == "\r":
            self.column, self.late = 0, False
        elif c == "\n":
            self.row, self.late = self.row + 1, False
        elif c == "\a":
            pass
        else:
            assert c >= " ", f"control character {c!r}"
            if unicodedata.combining(c):
                self.rows[self.row][self.column if self.late else self.column - 1] += c
                return
            wide = 2 if unicodedata.east_asian_width(c) in "WF" else 1
            if self.late or self.column + wide > self.columns:
                self.row, self.column, self.late = self.row + 1, 0, False
            self.rows[self.row][self.column] = c
            if wide == 2:
                self.rows[self.row][self.column + 1] = "\0"
            self.late = self.column + wide == self.columns
            self.column = min(self.columns - 1, self.column + wide)

    def lines(self):
        text = ["".join(c or " " for c in row).replace("\0", "").rstrip() for row in self.rows]
        while text and not text[-1]:
            text.pop()
        return text


class Terminal:
    """Runs a command whose standard input, output and error are a terminal of its own."""

    def __init__(self, args, env, columns=80, rows=24, term="xterm-256color", cwd=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.columns, self.text = columns, ""

        def own():
            os.setsid()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # nohup and "&" leave them ignored
                signal.signal(number, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn
            list(map(str, args)), stdin=slave, stdout=slave, stderr=slave, preexec_fn=own, cwd=cwd,
            env=dict(env, TERM=term))
        os.close(slave)
        self.seen = 0  # how much of the text the last wait_for() has passed

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def send(self, keys):
        os.write(self.master, keys.encode())

    def read(self, seconds):
        """Whatever comes within the time; False: the other side is closed."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            some = os.read(self.master, 65536)
        except OSError:
            return False
        self.raw = getattr(self, "raw", b"") + some
        self.text = self.raw.decode(errors="replace")
        return bool(some)

    def wait_for(self, what, seconds=30):
        """Waits until the text shows after what was waited for before; returns what came up to its end."""
        end = time.monotonic() + seconds
        while True:
            at = self.text.find(what, self.seen)
            if at >= 0:
                start, self.seen = self.seen, at + len(what)
                return self.text[start:self.seen]
            assert time.monotonic() < end, f"{what!r} does not come: {self.text[self.seen:]!r}"
            if not self.read(0.1) and self.text.find(what, self.seen) < 0:
                raise AssertionError(f"ended before {what!r}: {self.text[self.seen:]!r}")

    def wait(self, seconds=60):
        """Reads to the end; the exit code."""
        end = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < end, f"does not end: {self.text[self.seen:]!r}"
        return self.process.wait(10)

    def screen(self):
        return Screen(self.columns).feed(self.text).lines()
