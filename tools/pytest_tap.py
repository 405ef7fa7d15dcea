"""pytest plugin: prints TAP on stdout (tests/README.md) and everything else on stderr.

A test is called what its user property "tap" says, else by its node.
"""
import os

import pytest

REAL_STDOUT = os.fdopen(os.dup(1), "w", buffering=1) # only TAP goes there,
os.dup2(2, 1) # and pytest's own report beside it to stderr


class Tap:
    """One TAP line per test, printed when its last phase ended."""

    def __init__(self):
        self.count, self.outcome = 0, {}

    def line(self, ok: bool, name: str, note: str = "") -> None:
        self.count += 1
        REAL_STDOUT.write(f"{'ok' if ok else 'not ok'} {self.count} - {name.replace('#', '')}{note}\n")

    def pytest_runtest_logreport(self, report):
        worst = self.outcome.setdefault(report.nodeid, "passed")
        if report.failed:
            self.outcome[report.nodeid] = "failed"
            for text in str(report.longrepr).split("\n")[-40:]:
                REAL_STDOUT.write(f"# {text}\n")
        elif report.skipped and worst == "passed":
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.outcome[report.nodeid] = " # SKIP " + why.removeprefix("Skipped: ").split("\n")[0]
        if report.when == "teardown":
            result = self.outcome.pop(report.nodeid)
            name = dict(report.user_properties).get("tap", report.nodeid)
            self.line(result != "failed", name, result if result.startswith(" #") else "")

    def pytest_collectreport(self, report):
        if report.failed:
            for text in str(report.longrepr).split("\n")[-40:]:
                REAL_STDOUT.write(f"# {text}\n")
            self.line(False, f"collect {report.nodeid}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        for nodeid in self.outcome: # a test whose teardown never came
            self.line(False, nodeid)
        REAL_STDOUT.write(f"1..{self.count}\n")


def pytest_configure(config):
    config.pluginmanager.register(Tap(), "tresor-tap")
