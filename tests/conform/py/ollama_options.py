"""Ollama's "options", each by what it does to a text that is drawn (map of Ollama 0.17: 1.4)."""
from harness import check, differs

PLAY = "The cat sat on the mat. The dog sat on the"
YES = "<|im_start|>user\nSay yes.<|im_end|>\n<|im_start|>assistant\n"
SAME = "one two one two one two one two one"


def drawn(s, **more):
    """Texts of three seeds, hot: three different ones unless an option forbids it."""
    return {s.text(PLAY, temperature=1.5, num_predict=12, seed=i, **more) for i in (1, 2, 3)}


def said_again(s, **more):
    """Does it go on with the words that the prompt repeats?"""
    text = s.text(SAME, **more)
    return " two" in text or " one" in text


def option(name, behaviour):
    return check("http", "options", name, behaviour)


@option("temperature", "0 draws nothing")
def temperature(s):
    assert len({s.text(PLAY, temperature=0, seed=i) for i in (1, 2, 3)}) == 1
    assert len(drawn(s)) == 3


@option("seed", "repeats an answer, another seed does not")
def seed(s):
    hot = dict(temperature=1.5, num_predict=12)
    assert s.text(PLAY, seed=7, **hot) == s.text(PLAY, seed=7, **hot) != s.text(PLAY, seed=8, **hot)


@option("seed", "is said in the answer when none was given")
def seed_told(s):
    a = s.generate(PLAY, temperature=1.5, num_predict=12)
    assert s.text(PLAY, temperature=1.5, num_predict=12, seed=a["seed"]) == a["response"]


@option("top_k", "1 leaves the likeliest token")
def top_k(s):
    assert drawn(s, top_k=1) == {s.text(PLAY, num_predict=12)}


@option("top_p", "near 0 leaves the likeliest token")
def top_p(s):
    assert drawn(s, top_p=0.0001) == {s.text(PLAY, num_predict=12)}


@option("min_p", "1 leaves the likeliest token")
def min_p(s):
    assert drawn(s, min_p=1) == {s.text(PLAY, num_predict=12)}


@option("typical_p", "near 0 leaves one token")
def typical_p(s):
    assert len(drawn(s, typical_p=0.0001, top_k=0, top_p=1)) == 1


@option("repeat_penalty", "keeps a text from repeating itself")
def repeat_penalty(s):
    assert said_again(s, repeat_penalty=1.0) and not said_again(s, repeat_penalty=5.0)


@option("repeat_last_n", "0 switches the penalty off")
def repeat_last_n(s):
    assert said_again(s, repeat_penalty=5.0, repeat_last_n=0)
    assert not said_again(s, repeat_penalty=5.0, repeat_last_n=-1)


@option("presence_penalty", "keeps words from coming again")
def presence_penalty(s):
    assert said_again(s) and not said_again(s, presence_penalty=20)


@option("frequency_penalty", "keeps words from coming again and again")
def frequency_penalty(s):
    assert said_again(s) and not said_again(s, frequency_penalty=20)


@option("num_predict", "is the number of tokens, and the reason is length")
def num_predict(s):
    a = s.generate(YES, num_predict=1)
    assert (a["eval_count"], a["done_reason"]) == (1, "length")


@option("num_predict", "-1 has no limit but the model's own end")
def num_predict_open(s):
    a = s.generate(YES, num_predict=-1)
    assert a["done_reason"] == "stop" and a["eval_count"] > 1


@option("num_ctx", "is this request's limit, without another load")
def num_ctx(s):
    status, r = s.post("/api/generate", {"model": "smollm2", "prompt": "word " * 300, "stream": False,
                                         "options": {"num_ctx": 128}})
    assert status == 400 and "128" in r["error"], r
    assert s.generate(num_predict=1)["load_duration"] < 50_000_000


@option("stop", "ends the text before it")
def stop(s):
    whole = s.text(num_predict=12)
    word = whole.split()[2]
    a = s.generate(num_predict=12, stop=["never said", word])
    assert a["done_reason"] == "stop" and word not in a["response"] and whole.startswith(a["response"])


@option("stop", "may be one text instead of a list")
def stop_text(s):
    word = s.text(num_predict=12).split()[2]
    assert word not in s.text(num_predict=12, stop=word)


@differs("http", "options", "mirostat", "2 is done, where Ollama gave it up", why="Ollama ignores it since 0.12; here it works")
def mirostat(s):
    assert drawn(s, mirostat=2, mirostat_tau=0.01) == {s.text(PLAY, num_predict=12)}


@differs("http", "options", "mirostat_tau", "large lets more through than small",
         why="Ollama ignores it since 0.12; here it works")
def mirostat_tau(s):
    assert len(drawn(s, mirostat=2, mirostat_tau=10)) > len(drawn(s, mirostat=2, mirostat_tau=0.01)) == 1


@differs("http", "options", "mirostat_eta", "is how fast it learns", why="Ollama ignores it since 0.12; here it works")
def mirostat_eta(s):
    hot = dict(mirostat=2, mirostat_tau=1.0, temperature=1.5, num_predict=40, top_k=0, top_p=1)
    assert any(s.text(PLAY, seed=i, mirostat_eta=0, **hot) != s.text(PLAY, seed=i, mirostat_eta=1, **hot)
               for i in (1, 2, 3))


@check("http", "options", "think_budget", "ends the thinking after so many tokens (not Ollama's)")
def think_budget(s):
    a = s.ask("/api/chat", {"model": "smart", "messages": [{"role": "user", "content": "Why is the sky blue?"}],
                            "stream": False, "think": True, "options": {"temperature": 0, "num_predict": 24,
                                                                        "think_budget": 5}})
    b = s.ask("/api/chat", {"model": "smart", "messages": [{"role": "user", "content": "Why is the sky blue?"}],
                            "stream": False, "think": True, "options": {"temperature": 0, "num_predict": 24}})
    assert 0 < len(a["message"]["thinking"]) < len(b["message"]["thinking"])


@check("http", "options", "priority", "is one of three words (not Ollama's)")
def priority(s):
    assert s.text(priority="batch")
    status, r = s.post("/api/generate", {"model": "smollm2", "prompt": "x", "options": {"priority": "now"}})
    assert status == 400 and "priority" in r["error"]


@check("http", "options", "require", "is gpu or any (not Ollama's)")
def require(s):
    assert s.text(require="any")
    status, r = s.post("/api/generate", {"model": "smollm2", "prompt": "x", "options": {"require": "tpu"}})
    assert status == 400 and "require" in r["error"], r


LATER = ("num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "num_keep", "draft_num_predict")
GONE = ("tfs_z", "penalize_newline", "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock",
        "embedding_only", "rope_frequency_base", "rope_frequency_scale")


def accepted(name):
    def run(s):
        a = s.generate(num_predict=1, **{name: True if name in ("use_mmap", "numa") else 1})
        assert any(f'"{name}"' in w for w in a["warnings"]), a["warnings"]
    return run


for _name in LATER:
    differs("http", "options", _name, "is accepted, and a warning says that it has no effect",
            why="settings of the load are the planner's: one client's do not reload the model of all others")(accepted(_name))
for _name in GONE:
    check("http", "options", _name, "of older clients is accepted, and a warning says that it has no effect")(accepted(_name))


@differs("http", "options", "an unknown name", "is answered with a warning", why="Ollama says it in its log alone")
def unknown(s):
    assert any('"tempreature"' in w for w in s.generate(num_predict=1, tempreature=1)["warnings"])


@option("", "a wrong type is refused by name")
def wrong_type(s):
    for name, value in (("temperature", "hot"), ("num_predict", 1.5), ("top_k", []), ("stop", 3)):
        status, r = s.post("/api/generate", {"model": "smollm2", "prompt": "x", "options": {name: value}})
        assert status == 400 and name in r["error"], (name, r)


@option("PARAMETER", "of the model counts where the request says nothing, and yields where it does")
def of_the_model(s):
    s.ask("/api/create", {"model": "short", "from": "smollm2", "stream": False,
                          "parameters": {"num_predict": 2, "temperature": 0, "stop": ["never"]}})
    try:
        body = {"model": "short", "prompt": PLAY, "stream": False}
        assert s.ask("/api/generate", body)["eval_count"] == 2
        assert s.ask("/api/generate", {**body, "options": {"num_predict": 4}})["eval_count"] == 4
    finally:
        s.http.request("DELETE", "/api/delete", json={"model": "short"})


