"""The cases of the table: what is asked, what is measured, and the goals.

A case's `run(side, m)` gives its figures; where the length of answers matters, "tokens" and "wanted"
say how many tokens came and were asked for. `m` makes the texts: the same for every side in a round, new in every round.
"""
import dataclasses
import math
import random
import typing

from client import Failed
from machine import memory_mib
from stats import percentile

WORDS = ("time house river green letter bridge paper garden winter summer music stone table window road "
         "market village forest island story number engine copper silver morning evening teacher doctor").split()
IDLE, IDLE_TOKENS = 20, (300, 600)
PREFIX, LONG = 1100, 1850  # tokens
LONGEST, LONGEST_CELLS = 32000, 40960
TARGET_GAP_S = 0.150  # between two tokens of an answer: Tresor's default


def prompt_of(rng, words):
    """Random text that no cache knows."""
    return " ".join([str(rng.randrange(10**6)), *(rng.choice(WORDS) for _ in range(words))])


class Material:
    """Random texts, the same for the same seed; lengths in tokens of the model."""

    def __init__(self, seed, words_per_token=1.0, scale=1.0):
        self.rng, self.words, self.scale = random.Random(seed), words_per_token, scale

    def text(self, tokens):
        return prompt_of(self.rng, max(1, int((tokens * self.scale - 4) * self.words)))

    def question(self):
        """About 15 words that no cache knows and that lead a small model into a list without end."""
        line = f"{self.rng.randrange(100, 10**5)} {self.rng.choice(WORDS)}s and {self.rng.choice(WORDS)}s"
        return f"Repeat this without end: {line}, {line}, {line},"

    def n(self, tokens):
        """Tokens of an answer."""
        return max(4, int(tokens * self.scale))


def user(text):
    return {"role": "user", "content": text}


def figures(answers, jobs):
    """What several answers made together."""
    total, wanted = sum(a.tokens for a in answers), sum(j[2] for j in jobs)
    spent = max(a.times[-1] for a in answers) - min(a.sent for a in answers)
    return {"tps": total / spent, "worst_first_s": max(a.first_s for a in answers), "tokens": total, "wanted": wanted,
            "prompt_tokens": sum(a.prompt_tokens for a in answers), "cached": sum(a.cached_tokens for a in answers)}


def burst(side, jobs):
    return figures(side.ask(*jobs), jobs)


def shared_jobs(m, n=64, share=True, users=8):
    text = {"role": "system", "content": m.text(PREFIX)}
    if share:
        text["share"] = "company"
    return [(1 + i, [text, user(m.question())], m.n(n)) for i in range(users)]


def shared_cold(side, m):
    return burst(side, shared_jobs(m))


def unshared(side, m):
    return burst(side, shared_jobs(m, share=False))


def shared_warm(side, m):
    first, *jobs = shared_jobs(m, users=9)
    side.ask((first[0], first[1], 8))
    return burst(side, jobs)


def different(side, m):
    return burst(side, [(1 + i, [user(m.text(PREFIX) + "\n" + m.question())], m.n(64)) for i in range(8)])


def newcomer(side, m):
    jobs = [(1, [user(m.text(LONG) + "\n" + m.question())], m.n(16)),
            (2, [user(m.question())], m.n(16), 0.5)]
    reader, new = side.ask(*jobs)
    return {"first_s": new.first_s, "reader_first_s": reader.first_s, "prompt_tokens": reader.prompt_tokens}


def fill(side, m):
    """Conversations of other people, asked, answered, and then left alone."""
    for i in range(IDLE):
        side.ask((2 + i, [user(m.text(m.rng.randint(*IDLE_TOKENS)) + "\n" + m.question())], 8))


def chat(side, m, between):
    """A long chat's second turn, after `between()`."""
    talk = [user(m.text(PREFIX) + "\n" + m.question())]
    a, = side.ask((1, talk, m.n(64)))
    between()
    talk += [{"role": "assistant", "content": a.text}, user(m.question())]
    b, = side.ask((1, talk, m.n(16)))
    return {"first_s": b.first_s, "cached": b.cached_tokens, "prompt_tokens": b.prompt_tokens}


def second_turn(side, m):
    return chat(side, m, lambda: fill(side, m))


def restart(side, m):
    return chat(side, m, side.restart)


def single(side, m):
    """A text that does not repeat itself: guessed tokens (Tresor's prompt lookup) are of no use here."""
    n, words = m.n(128), (m.rng.choice(WORDS) for _ in range(4))
    ask = "Write a long story about a {}, a {}, a {} and a {}".format(*words) + f". Number {m.rng.randrange(10**6)}."
    a, = side.ask((1, [user(ask)], n))
    return {"tps": a.rate, "first_s": a.first_s, "tokens": a.tokens, "wanted": n}


def poisson_jobs(m, rate):
    """32 people, prompts of 20-800 tokens (log-uniform), answers of 16-96, Poisson arrivals; rate None: at once."""
    at, jobs = 0.0, []
    for i in range(32):
        size = math.exp(m.rng.uniform(math.log(20), math.log(800)))
        jobs.append((1 + i, [user(m.text(size) + "\n" + m.question())], m.n(m.rng.randint(16, 96)), at))
        at += m.rng.expovariate(rate) if rate else 0
    return jobs


def poisson32(side, m):
    jobs = poisson_jobs(m, m.rate)
    answers = side.ask(*jobs)
    gaps = [g for a in answers for g in a.gaps]
    return {**figures(answers, jobs), "p99_gap_s": percentile(gaps, 99), "max_gap_s": max(gaps),
            "p99_first_s": percentile([a.first_s for a in answers], 99)}


def memory(side, m):
    jobs = [(1 + i, [user(m.text(300) + "\n" + m.question())], m.n(32)) for i in range(8)]
    f = burst(side, jobs)
    pss, rss = memory_mib(side.pid)
    return {"pss_mib": pss, "rss_mib": rss, "tokens": f["tokens"], "wanted": f["wanted"]}


def long_prompt(side, m):
    """Eight people talk when somebody sends the longest prompt there is: their gaps from then on."""
    jobs = [(2 + i, [user(m.question())], m.n(512)) for i in range(8)]
    answers = side.ask((1, [user(m.text(LONGEST) + "\n" + m.question())], 8, 1.0), *jobs)
    reader, talkers = answers[0], answers[1:]
    gaps = [b - a for t in talkers for a, b in zip(t.times, t.times[1:]) if b > reader.sent]
    return {"p99_gap_s": percentile(gaps, 99), "max_gap_s": max(gaps), "reader_first_s": reader.first_s,
            "prompt_tokens": reader.prompt_tokens, "tokens": sum(t.tokens for t in talkers),
            "wanted": sum(j[2] for j in jobs)}


def layer_jobs(m):
    return shared_jobs(m, n=128, users=9)


def layer(side, m):
    """Through the whole stack: one person has read the shared text, then eight ask."""
    first, *jobs = layer_jobs(m)
    side.ask((first[0], first[1], 8))
    return burst(side, jobs)


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of a case, with its goals as ratios ours/theirs (None: no goal)."""
    figure: str
    text: str
    unit: str
    high: bool  # more is better
    default: float = None
    best: float = None
    by_interval: bool = False
    absolute: float = None  # a goal for our figure itself


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    run: typing.Callable
    rows: tuple
    setup: typing.Callable = None  # before the rounds, once a side
    least_rounds: int = 0
    most_rounds: int = 0           # 0: as many as the run's
    parallel: tuple = (4, 8)       # of the grid
    long: bool = False             # a run takes so long that the grid is kept small
    alone: bool = False            # only the measured side runs, started anew each round
    cells: bool = False            # the default gets our number of cells
    others: bool = True            # measured on llama-server too
    tresor_cells: int = 0          # Tresor's KV cells in this case; 0: those of the run
    positions: int = 0             # the model must have been trained for so many


PSS = "memory with the model (PSS, weights included, same cells)"
CASES = [
    Case("shared_cold", shared_cold, (
        Row("tps", "8 users, shared prefix nobody has read", "tokens/s", True, 3.5, 2),
        Row("worst_first_s", "the same, worst first token", "s", False, 1 / 5, 1 / 3))),
    Case("unshared", unshared, (
        Row("tps", "the same without the share mark", "tokens/s", True),
        Row("worst_first_s", "the same, worst first token", "s", False)), others=False),
    Case("shared_warm", shared_warm, (
        Row("tps", "8 users, shared prefix one has read", "tokens/s", True, 3, 1.5),
        Row("worst_first_s", "the same, worst first token", "s", False, 1 / 6, 1 / 3))),
    Case("different", different, (
        Row("tps", "8 users, 8 different prompts", "tokens/s", True, 1.0, 0.95),), long=True),
    Case("newcomer", newcomer, (
        Row("first_s", "newcomer's first token while a long prompt is read", "s", False, 1 / 10, 1 / 5),)),
    Case("second_turn", second_turn, (
        Row("first_s", "second turn beside 20 idle conversations, first token", "s", False, 0.7, 1.0),), long=True),
    Case("restart", restart, (
        Row("first_s", "the same chat after a restart, first token", "s", False, 1 / 5, 1 / 5),)),
    Case("single_empty", single, (
        Row("tps", "1 user, empty cache", "tokens/s", True, 0.98, 0.98, True),), least_rounds=16),
    Case("single_full", single, (
        Row("tps", "1 user, 20 idle conversations held", "tokens/s", True, 0.98, 0.98, True),), setup=fill,
        least_rounds=16),
    Case("poisson32", poisson32, (
        Row("p99_gap_s", "32 users, mixed lengths, Poisson arrivals, p99 gap", "s", False, 1 / 4, 1 / 2),),
        parallel=(4, 8, 32), long=True),
    Case("memory", memory, (Row("pss_mib", PSS, "MiB", False, 0.8, 1.0),), alone=True, cells=True),
    Case("long_prompt", long_prompt, (
        Row("p99_gap_s", "8 users' p99 gap while somebody's 32,000 tokens are read", "s", False, absolute=2 * TARGET_GAP_S),),
        others=False, most_rounds=2, tresor_cells=LONGEST_CELLS, positions=LONGEST),
]
# Against the bare loop, not llama-server.
LAYER = Case("layer", layer, (Row("tps", "whole stack against a bare loop", "tokens/s", True, 0.97),), least_rounds=21)
GROUPS = {"single": ("single_empty", "single_full")}


def by_names(names):
    """Cases in the table's order. Errors: Failed names an unknown one."""
    known = {c.name: c for c in [*CASES, LAYER]}
    wanted = [n for name in names for n in GROUPS.get(name, (name,))]
    for n in wanted:
        if n not in known:
            raise Failed(f"no case {n}; there are {', '.join([*known, *GROUPS])}")
    return [c for n, c in known.items() if n in wanted]
