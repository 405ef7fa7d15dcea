import os
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fake import Fake  # noqa: E402
from terminal import Terminal  # noqa: E402

BINARY = os.path.abspath(os.environ.get("TRESOR_BIN") or
                         os.path.join(os.path.dirname(__file__), "../../build-test/tresor"))
OURS = ("TRESOR_DATA", "TRESOR_HOST", "OLLAMA_HOST", "TRESOR_API_KEY", "OLLAMA_API_KEY", "TRESOR_NOHISTORY",
        "OLLAMA_NOHISTORY", "TRESOR_EDITOR", "OLLAMA_EDITOR", "VISUAL", "EDITOR", "XDG_STATE_HOME")


class Desk:
    """A person's account with the command, and a server to talk to."""

    def __init__(self, fake):
        self.fake = fake
        self.home = tempfile.mkdtemp(prefix="tresor-cli-")
        self.env = {k: v for k, v in os.environ.items() if k not in OURS}
        self.env.update(HOME=self.home, TRESOR_HOST=f"127.0.0.1:{fake.port}", LC_ALL="C")
        self.history = os.path.join(self.home, ".local/state/tresor/history")

    def run(self, *args, stdin="", env=None, cwd=None):
        r = subprocess.run([BINARY, *args], env={**self.env, **(env or {})}, input=stdin.encode(), cwd=cwd or self.home,
                           capture_output=True, timeout=60, check=False)
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def terminal(self, *args, env=None, **kw):
        return Terminal([BINARY, *args], {**self.env, **(env or {})}, cwd=self.home, **kw)


@pytest.fixture
def desk():
    with Fake() as fake:
        d = Desk(fake)
        yield d
        shutil.rmtree(d.home, ignore_errors=True)
