"""The checks of commands.py."""
import pytest

import commands
import harness
from proxy import Proxy

CHECKS = [c for c in harness.CHECKS.values() if c.client == "ollama-cli"]


@pytest.fixture(scope="module")
def terminal(pair, tmp_path_factory):
    pair.site.ask("/api/create", {"model": "cold", "from": "smollm2", "stream": False,
                                  "parameters": {"temperature": 0, "num_predict": 16}})
    with Proxy(pair.site.port, pair.site.key) as proxy:
        yield commands.Terminal(tmp_path_factory.mktemp("home"), proxy.port)
    pair.site.ollama.delete("cold")


@pytest.mark.parametrize("c", CHECKS, ids=[c.name for c in CHECKS])
def test_check(c, terminal, pair):
    try:
        c.run(terminal, pair.site)
    except Exception as e:
        harness.record(c, str(e).split("\n")[0][:200])
        raise
    harness.record(c, told=("ok", commands.NOTE))
