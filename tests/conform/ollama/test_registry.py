"""The checks of registry.py, and the command's pull."""
import shutil

import pytest

import harness
import registry
from commands import NOTE, Terminal
from proxy import Proxy

pytestmark = pytest.mark.skipif(not shutil.which("docker-registry"), reason="there is no docker-registry")


@pytest.fixture(scope="module")
def names(pair, tmp_path_factory):
    found, end = registry.start(pair, tmp_path_factory.mktemp("registry"))
    yield found
    end()


def pull(names):
    site, name = next(iter(names.items()))  # Tresor's
    with Proxy(site.port, site.key) as proxy:
        out = "".join(Terminal(site.instance.home, proxy.port)("pull", "--insecure", name))
    assert "success" in out and "pulling manifest" in out


COMMAND = harness.Check("ollama-cli", "pull", "--insecure", "shows its progress", "ok", NOTE, pull)
CHECKS = [*registry.CHECKS, COMMAND]


@pytest.mark.parametrize("c", CHECKS, ids=[c.name for c in CHECKS])
def test_check(c, names):
    try:
        c.run(names)
    except Exception as e:
        harness.record(c, str(e).split("\n")[0][:200])
        raise
    harness.record(c)
