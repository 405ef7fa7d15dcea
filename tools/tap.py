"""Reads TAP as tests/README.md defines it."""
import dataclasses
import re

LINE = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*)$")
SKIP = re.compile(r"#\s*SKIP\b", re.I)
WHY_CHARS = 200
PLAN = re.compile(r"^1\.\.(\d+)\s*(#\s*SKIP.*)?$", re.I)


@dataclasses.dataclass
class Result:
    """Counts of one run; `failures` names what failed, the missing plan and a bad exit included."""
    passed: int = 0
    skipped: int = 0
    failures: list = dataclasses.field(default_factory=list)
    planned: int | None = None
    notes: list = dataclasses.field(default_factory=list) # why something was skipped

    @property
    def failed(self) -> int:
        return len(self.failures)


def parse(text: str, exit_code: int, timed_out: bool = False) -> Result:
    r, seen, explains = Result(), 0, False
    for line in text.splitlines():
        if m := PLAN.match(line):
            r.planned = int(m[1])
            if r.planned == 0:
                r.skipped += 1
                r.notes.append(line.partition("#")[2].strip() or "skipped whole")
        elif m := LINE.match(line):
            seen += 1
            if SKIP.search(m[3]):
                r.skipped += 1
                r.notes.append(m[3].strip())
            elif m[1]:
                r.failures.append(m[3].strip() or f"test {m[2]}")
                explains = True # the line after it
                continue
            else:
                r.passed += 1
        elif line.startswith("Bail out!"):
            r.failures.append(line)
        elif explains and line.startswith("# "):
            r.failures[-1] += ": " + line[2:].strip()[:WHY_CHARS]
        explains = False
    if timed_out:
        r.failures.append("ran past its time limit")
    elif r.planned is None:
        r.failures.append(f"ended without a plan (exit code {exit_code})")
    elif seen != r.planned:
        r.failures.append(f"{seen} of {r.planned} planned tests ran (exit code {exit_code})")
    elif exit_code and not r.failures:
        r.failures.append(f"exit code {exit_code}")
    return r
