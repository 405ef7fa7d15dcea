"""What is compared: a whole Tresor, llama-servers, and a bare loop on their library."""
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from client import Ask, Failed, ask_all, get_json

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/lib"))
from tresor import Instance, free_port  # noqa: E402

LOADER = 0  # the user whose request only makes a model be loaded
ENDS = ("<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<eos>", "</s>", "<|eot_id|>")  # of many models
NEUTRAL = {"temperature": 0, "seed": 1, "repeat_penalty": 1.0, "top_k": 40, "top_p": 0.9, "min_p": 0}


class Side:
    """A server that answers chat requests. Users are numbers; `share` in a message is for who knows it."""

    label = ""
    until = None  # time.monotonic(): answers that are not there by then are given up; None: no limit

    def body(self, messages, n):
        return {"model": "bench", "messages": messages, "max_tokens": n, "stream": True,
                "stream_options": {"include_usage": True}, **NEUTRAL}

    def key(self, user):
        return None

    def request(self, user, messages, n, at_s=0):
        return Ask(("127.0.0.1", self.port), self.body(messages, n), self.key(user), at_s=at_s)

    def ask(self, *jobs):
        """Jobs (user, messages, tokens[, at_s]) at the same time; their answers in that order."""
        left = {} if self.until is None else {"timeout_s": self.until - time.monotonic()}
        return ask_all([self.request(*j) for j in jobs], **left)

    def load(self):
        self.ask((LOADER, [{"role": "user", "content": "Hello"}], 1))

    def restart(self):
        self.stop()
        self.start()


@dataclasses.dataclass(frozen=True)
class Variant:
    """Settings of a llama-server; None: not said."""
    parallel: int = None
    unified: bool = None
    flash: str = None
    cache_ram: int = None
    ubatch: int = None
    cells: int = None

    def args(self):
        a = []
        for flag, value in (("-c", self.cells), ("--parallel", self.parallel), ("--flash-attn", self.flash),
                            ("--cache-ram", self.cache_ram), ("-ub", self.ubatch)):
            if value is not None:
                a += [flag, str(value)]
        if self.unified is not None:
            a.append("--kv-unified" if self.unified else "--no-kv-unified")
        return a


class LlamaServer(Side):
    def __init__(self, program, model, threads, args=(), label="default"):
        self.command = [program, "-m", model, "-t", str(threads), *args]
        self.label = label
        self.port, self.process, self.log = free_port(), None, None

    def body(self, messages, n):
        plain = [{k: v for k, v in m.items() if k != "share"} for m in messages]
        return {**super().body(plain, n), "ignore_eos": True}

    def start(self):
        self.log = self.log or tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*self.command, "--port", str(self.port)], stdout=self.log, stderr=self.log)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failed(f"{' '.join(self.command)} ended: {self.log_text()[-500:]}")
            try:
                get_json(("127.0.0.1", self.port), "/health", timeout_s=2)
                return self.load()
            except (OSError, Failed):
                time.sleep(0.05)
        raise Failed("llama-server does not start")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def log_text(self):
        self.log.seek(0)
        return self.log.read()

    @property
    def pid(self):
        return self.process.pid

    def facts(self):
        """What it chose by itself, as far as it tells."""
        props = get_json(("127.0.0.1", self.port), "/props")
        got = {"n_ctx": props.get("default_generation_settings", {}).get("n_ctx"), "slots": props.get("total_slots"),
               "build": props.get("build_info")}
        for name, pattern in (("kv_unified", r"kv_unified\s*=\s*'?(\w+)"), ("flash_attn", r"[Ff]lash [Aa]ttention[^\n]*|"
                              r"flash_attn\s*=\s*(\w+)"), ("kv", r"llama_kv_cache: size = [^\n]*")):
            if m := re.search(pattern, self.log_text()):
                got[name] = (m[1] if m.lastindex else m[0]).strip()
        return got

    def tokens(self, text):
        return len(get_json(("127.0.0.1", self.port), "/tokenize", {"content": text})["tokens"])

    def ends(self):
        """The tokens that end an answer."""
        ids = [get_json(("127.0.0.1", self.port), "/tokenize", {"content": e, "parse_special": True})["tokens"] for e in ENDS]
        return [i[0] for i in ids if len(i) == 1]

    def n_trained(self):
        """Positions the model was trained for."""
        return get_json(("127.0.0.1", self.port), "/v1/models")["data"][0]["meta"]["n_ctx_train"]

    def rendered(self, messages):
        plain = self.body(messages, 1)["messages"]
        return get_json(("127.0.0.1", self.port), "/apply-template", {"messages": plain})["prompt"]


def tresor_conf(cells, sequences):
    """What stands in tresor.conf for a measurement; 0: Tresor's own choice."""
    return {"context": cells, "sequences": sequences, "keep_alive_s": -1, "gpu": "off", "max_engines": 1}


class Tresor(Side):
    """The whole program with a data directory of its own and one person and key a user."""

    label = "tresor"

    def __init__(self, program, model, users, conf, share=True):
        self.share, self.ends = share, []
        self.instance = Instance(binary=program)
        self.port = self.instance.port
        self.instance.must("pull", "file:" + os.path.realpath(model), "--as", "bench")
        self.configure(conf)
        self.instance.start()  # once for all the commands below
        self.keys = []
        for i in range(users):
            # Sharing a text with the company is a right of admins.
            self.instance.add_user(f"u{i}@example.org", "admin")
            self.keys.append(self.instance.key(f"u{i}@example.org").split()[-1])
        self.instance.stop()

    def configure(self, conf):
        """For the next start."""
        with open(os.path.join(self.instance.data, "tresor.conf"), "w") as f:
            f.writelines(f"{k} = {v}\n" for k, v in conf.items())

    def key(self, user):
        return self.keys[user]

    def body(self, messages, n):
        """`ends` do not end an answer: what llama-server calls ignore_eos."""
        if not self.share:
            messages = [{k: v for k, v in m.items() if k != "share"} for m in messages]
        return {**super().body(messages, n), "logit_bias": {str(t): -100 for t in self.ends}}

    def start(self):
        """Up to where it has measured the machine, which it does once: not beside what is measured here."""
        self.instance.start()
        self.load()
        end = time.monotonic() + 60
        while "measured here" not in self.instance.must("show", "bench") and time.monotonic() < end:
            time.sleep(1)

    def stop(self):
        self.instance.stop()

    def close(self):
        self.instance.__exit__()

    @property
    def pid(self):
        return self.instance.process.pid

    def facts(self):
        """`tresor ps` and the build, as the server tells them."""
        return {"ps": self.instance.must("ps"), "version": self.instance.must("version")}


class BareLoop:
    """bench/serving/bare_loop: the library's decode with nothing around it."""

    label = "bare"

    def __init__(self, program, model, threads, flash, cells, unified=True):
        self.flash = flash
        self.args = [program, model, str(threads), flash, "unified" if unified else "streams", str(cells)]

    def run(self, prompts, n, shared):
        """One sequence a prompt; of their common start `shared` tokens are read: {"tokens", "seconds", ...}."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            f.write("\0".join(prompts))
            f.flush()
            done = subprocess.run([*self.args, f.name, str(n), str(shared)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed(f"bare_loop: {done.stderr[-300:]}")
        return json.loads(done.stdout)
