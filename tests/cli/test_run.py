"""`tresor run` without a terminal: what goes to the server, and what comes out, byte for byte."""
import base64
import json
import os
import subprocess

import pytest
from conftest import BINARY

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def chat(desk):
    return desk.fake.bodies("/api/chat")[-1]


def test_a_closed_stdin_is_empty_and_no_other_file(desk):
    r = subprocess.run(["sh", "-c", 'exec "$0" run small q <&-', BINARY], env=desk.env, cwd=desk.home,
                       capture_output=True, timeout=60, check=False)
    assert (r.returncode, r.stdout.decode()) == (0, "Hello there.\n\n"), r.stderr


def test_an_answer_in_a_pipe_has_no_escape_codes(desk):
    code, out, err = desk.run("run", "small", "hello", "you")
    assert (code, out, err) == (0, "Hello there.\n\n", "")
    assert chat(desk) == {"model": "small", "stream": True, "messages": [{"role": "user", "content": "hello you"}]}


def test_long_lines_are_not_wrapped_in_a_pipe(desk):
    desk.fake.say = ["word " * 100]
    assert desk.run("run", "small", "x")[1] == "word " * 100 + "\n\n"


def test_what_is_piped_in_stands_before_the_words(desk):
    desk.run("run", "small", "sum it up", stdin="a long\ntext\n")
    assert chat(desk)["messages"][0]["content"] == "a long\ntext\n sum it up"
    desk.run("run", "small", stdin="only this")
    assert chat(desk)["messages"][0]["content"] == "only this"


def test_a_standard_input_that_cannot_be_read_is_said(desk):
    r = subprocess.run(["sh", "-c", '"$0" run small q </', BINARY], env=desk.env, capture_output=True, text=True, timeout=60,
                       check=False)
    assert r.returncode == 1 and not r.stdout and r.stderr == "tresor: run: cannot read standard input\n"
    assert not desk.fake.asked


@pytest.mark.parametrize("args", [[], [""]])
def test_nothing_to_ask_loads_the_model(desk, args):
    code, out, _ = desk.run("run", "small", "--keepalive", "-1", *args)
    assert (code, out) == (0, "")
    assert desk.fake.bodies("/api/generate") == [{"model": "small", "stream": False, "keep_alive": -1}]
    assert not desk.fake.bodies("/api/chat")


def test_options_travel(desk):
    desk.run("run", "small", "--system", "be short", "--format", "json", "--keepalive", "5m", "--think=high", "q")
    assert chat(desk) == {"model": "small", "stream": True, "format": "json", "keep_alive": "5m", "think": "high",
                          "messages": [{"role": "system", "content": "be short"}, {"role": "user", "content": "q"}]}
    desk.run("run", "small", "--format", '{"type":"object"}', "--think", "q")
    assert chat(desk)["format"] == {"type": "object"} and chat(desk)["think"] is True
    desk.run("run", "small", "--think=false", "--keepalive=300", "q")
    assert chat(desk)["think"] is False and chat(desk)["keep_alive"] == 300


@pytest.mark.parametrize("args", [["--format", "xml"], ["--format", "{"], ["--think=maybe"], ["--truncate=x"],
                                  ["--dimensions", "0"], ["--verbose=1"], ["-x"]])
def test_wrong_options_are_said_before_anything_happens(desk, args):
    code, out, err = desk.run("run", *args, "small", "q")
    assert code == 2 and not out and err.startswith("tresor: ")
    assert not desk.fake.asked


def test_verbose_prints_ollamas_block(desk):
    _, out, err = desk.run("run", "small", "--verbose", "q")
    assert out == "Hello there.\n\n"
    assert err == ("total duration:       2.5s\n"
                   "load duration:        812.5ms\n"
                   "prompt eval count:    20 token(s)\n"
                   "prompt eval duration: 1s\n"
                   "prompt eval rate:     20.00 tokens/s\n"
                   "eval count:           30 token(s)\n"
                   "eval duration:        1.2s\n"
                   "eval rate:            25.00 tokens/s\n")


def test_thinking_is_shown_or_hidden(desk):
    desk.fake.say = [("let me", ""), (" see", ""), "Four."]
    assert desk.run("run", "small", "q")[1] == "Thinking...\nlet me see\n...done thinking.\n\nFour.\n\n"
    assert desk.run("run", "small", "--hidethinking", "q")[1] == "Four.\n\n"


def test_a_model_that_can_think_thinks(desk):
    desk.fake.models["small"]["capabilities"] = ["completion", "thinking"]
    desk.run("run", "small", "q")
    assert chat(desk)["think"] is True


def test_a_missing_model_is_pulled_first(desk):
    desk.fake.pull = [{"status": "pulling manifest"},
                      {"status": "pulling 0123456789ab", "digest": "sha256:0", "total": 1000},
                      {"status": "pulling 0123456789ab", "digest": "sha256:0", "total": 1000, "completed": 500},
                      {"status": "pulling 0123456789ab", "digest": "sha256:0", "total": 1000, "completed": 1000},
                      {"status": "success"}]
    desk.fake.pull_makes = {"new": desk.fake.models["small"]}
    code, out, err = desk.run("run", "new", "--insecure", "q")
    assert (code, out) == (0, "Hello there.\n\n")
    assert err == "pulling manifest\npulling 0123456789ab\nsuccess\n"
    assert desk.fake.bodies("/api/pull") == [{"model": "new", "insecure": True}]


def test_a_pull_that_is_refused_says_why(desk):
    desk.fake.pull = [{"error": "this address is not on the list of allowed addresses"}]
    code, out, err = desk.run("run", "new", "q")
    assert (code, out) == (1, "")
    assert err == "tresor: run: this address is not on the list of allowed addresses\n"


def test_an_embedding_model_prints_a_vector(desk):
    desk.fake.models["vec"] = {"capabilities": ["embedding"]}
    desk.fake.embedding = [0.1, -2, 1e-7]
    code, out, _ = desk.run("run", "vec", "--dimensions", "3", "--truncate=false", "some", "text")
    assert code == 0 and json.loads(out) == [0.1, -2, 1e-7] and out.count("\n") == 1
    assert desk.fake.bodies("/api/embed") == [{"model": "vec", "input": "some text", "dimensions": 3,
                                               "truncate": False}]
    assert desk.run("run", "vec")[0] == 1
    code, _, err = desk.run("run", "small", "--dimensions", "3", "q")
    assert code == 1 and "embedding" in err


def test_pictures_in_the_prompt_go_along(desk):
    desk.fake.models["small"]["capabilities"] = ["completion", "vision"]
    for name in ("a.png", "b c.png"):
        with open(os.path.join(desk.home, name), "wb") as f:
            f.write(PNG)
    _, _, err = desk.run("run", "small", "what is ./a.png beside './b c.png' and ./none.png?")
    assert err == "Added image './a.png'\nAdded image './b c.png'\n"
    assert chat(desk)["messages"] == [{"role": "user", "content": "what is  beside  and ./none.png?",
                                       "images": [base64.b64encode(PNG).decode()] * 2}]
    desk.fake.models["small"]["capabilities"] = ["completion"]
    desk.run("run", "small", "what is ./a.png")
    assert chat(desk)["messages"][0]["content"] == "what is ./a.png"


def test_a_question_that_is_no_utf8_is_refused(desk):
    code, _, err = desk.run("run", "small", "\udcff")
    assert code == 1 and "UTF-8" in err
