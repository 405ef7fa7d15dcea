"""tools/compat: results of the conformance suite as a table that can be stale."""
import json
import os
import pathlib
import subprocess

COMPAT = pathlib.Path(os.environ.get("TRESOR_ROOT", pathlib.Path(__file__).resolve().parents[2])) / "tools/compat"


def row(client, feature, field, result="ok", note=""):
    return {"client": client, "feature": feature, "field": field, "result": result, "note": note}


ROWS = [row("openai-js", "chat", "seed"), row("openai-python", "chat", "seed"), row("openai-js", "chat", "user", "differs", "no effect"),
        row("openai-js", "chat", "tools"), row("openai-js", "chat", "tools", "unsupported", "only functions"),
        row("http", "/v1/chat/completions", "a|b"), row("http", "/v1/messages", "ping"), row("ollama-js", "options", "top_k")]


def run(tmp_path, rows, *more):
    results, doc = tmp_path / "results", tmp_path / "doc.md"
    results.write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = subprocess.run([COMPAT, "--out", doc, *more, results], capture_output=True, text=True, check=False)
    return done, doc.read_text() if doc.exists() else ""


def test_fields_stand_by_clients_and_reasons_below(tmp_path):
    done, doc = run(tmp_path, ROWS)
    assert done.returncode == 0, done.stderr
    lines = doc.split("\n")
    assert "| field | http | openai-js | openai-python |" in lines
    assert "| seed |  | ok | ok |" in lines and "| user |  | differs |  |" in lines and "| tools |  | partly |  |" in lines
    assert "| a\\|b | ok |  |  |" in lines
    assert lines.index("## Ollama") < lines.index("## OpenAI") < lines.index("## Anthropic")
    assert "- chat: user: no effect." in lines and "- chat: tools: only functions." in lines
    assert "| all | 8 | 6 | 1 | 1 | 0 |" in lines


def test_the_order_of_the_results_does_not_matter(tmp_path):
    assert run(tmp_path, ROWS)[1] == run(tmp_path, ROWS[::-1])[1]


def test_a_stale_document_is_said(tmp_path):
    run(tmp_path, ROWS)
    assert run(tmp_path, ROWS, "--check")[0].returncode == 0
    done, _ = run(tmp_path, [*ROWS, row("openai-js", "chat", "n")], "--check")
    assert done.returncode == 1 and "run tools/compat" in done.stderr


def test_what_fails_is_shown_and_a_missing_reason_refused(tmp_path):
    _, doc = run(tmp_path, [row("openai-js", "chat", "n", "fails", "took longer than 30 s")])
    assert "| n | FAILS |" in doc and "- chat: n: took longer than 30 s." in doc
    done, _ = run(tmp_path, [row("openai-js", "chat", "n", "differs")])
    assert done.returncode and "note" in done.stderr
