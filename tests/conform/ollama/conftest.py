import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
pytest.register_assert_rewrite("harness", "both", "commands", "registry")


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """Tresor and Ollama with the same model files under the same names."""
    from both import Pair
    with Pair(tmp_path_factory.mktemp("both")) as p:
        yield p


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name.startswith("test_check["):
            item.user_properties.append(("tap", item.callspec.id))
