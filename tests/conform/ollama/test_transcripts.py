"""Every request of transcripts.py to both; each place where their answers differ must be one that OTHER explains."""
import pytest

import both
import harness
import transcripts


def reason(place, table):
    """The entry for a place: its own, or one that ends in * and begins it."""
    if place in table:
        return place
    return next((k for k in table if k.endswith("*") and place.startswith(k[:-1])), None)


def ask(feature, what, method, path, body):
    def run(pair):
        theirs = both.answer(pair.real, method, path, body)
        ours = both.answer(pair.site, method, path, body)
        found = both.differences(ours, theirs, pair.seen_more)
        own = transcripts.OTHER.get((feature, what), {})
        known = {**transcripts.OTHER.get((feature, "*"), {}), **own}
        used = {reason(p, known) for p in found}
        assert None not in used, f"other than Ollama: { {p: w for p, w in found.items() if not reason(p, known)} }"
        assert own.keys() <= used, f"no longer other: {own.keys() - used}"
        seen = {known[k] for k in used} - {"the same"}
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
