"""Every request of transcripts.py to both; each place where their answers differ must be one that OTHER explains."""
import pytest

import both
import harness
import transcripts


def explained(feature, what):
    return {**transcripts.OTHER.get((feature, "*"), {}), **transcripts.OTHER.get((feature, what), {})}


def ask(feature, what, method, path, body):
    def run(pair):
        theirs = both.answer(pair.real, method, path, body)
        ours = both.answer(pair.site, method, path, body)
        found = both.differences(ours, theirs, pair.seen_more)
        known = explained(feature, what)
        new = {p: w for p, w in found.items() if p not in known}
        own = transcripts.OTHER.get((feature, what), {})
        assert not new, f"other than Ollama: {new}"
        assert own.keys() <= found.keys(), f"no longer other: {own.keys() - found.keys()}"
        seen = {known[p] for p in found}
        return ("differs", "; ".join(sorted(seen))) if seen else ("ok", "")
    return harness.Check("ollama", feature, what, "is answered alike", "ok", "", run)


CHECKS = [ask(*r) for r in transcripts.REQUESTS]


@pytest.mark.parametrize("c", CHECKS, ids=[c.name for c in CHECKS])
def test_check(c, pair):
    try:
        told = c.run(pair)
    except Exception as e:
        harness.record(c, str(e).split("\n")[0][:300])
        raise
    harness.record(c, told=told)


def test_what_is_said_beside_is_said(pair):
    assert pair.seen_more == set(both.MORE)
