"""Every check of the folder, one test each; $CONFORM_ONLY: only those whose name begins so."""
import importlib
import os

import pytest

import harness
from conftest import PARTS

for part in PARTS:
    importlib.import_module(part)
CHOSEN = [c for c in harness.CHECKS.values() if c.name.startswith(os.environ.get("CONFORM_ONLY", ""))]


@pytest.mark.parametrize("c", CHOSEN, ids=[c.name for c in CHOSEN])
def test_check(c, site):
    try:
        told = c.run(site)  # nothing, or what it is instead, and why
    except Exception as e:
        harness.record(c, str(e).split("\n")[0][:200] or type(e).__name__)
        raise
    harness.record(c, told=told)
