import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
PARTS = ("ollama_options", "ollama_text", "ollama_models", "openai_chat", "openai_more", "openai_responses",
         "anthropic_messages", "langchain_clients")
pytest.register_assert_rewrite("harness", *PARTS)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    import harness
    with harness.tresor(tmp_path_factory.mktemp("models")) as s:
        yield s


def pytest_collection_modifyitems(items):
    for item in items:  # a check's own name is what the reader of ./test sees
        if item.name.startswith("test_check["):
            item.user_properties.append(("tap", item.callspec.id))
