"""The table of goals, from the figures of a run."""
import statistics

from machine import BUSY
from stats import interval, met, ratios, spread


def judge(row, case):
    """One row of the table: {"ours", "default", "best": spreads, "against_*": ratio, ends, goal, met}."""
    rounds, out = case["rounds"], {"text": row.text, "unit": row.unit, "figure": row.figure}
    column = {k: [f[row.figure] for f in v] for k, v in rounds.items() if v}
    if "tresor" not in column:
        return None
    ours = column["tresor"]
    out["ours"] = spread(ours)
    best = case.get("best", {}).get(row.figure)
    for name, key, goal in (("default", "default", row.default), ("best", best, row.best),
                            ("bare", "bare", row.default)):
        if key not in column:
            continue
        pairs = ratios(ours, column[key])
        low, high = interval(pairs) if row.by_interval else (min(pairs), max(pairs))
        out[name] = spread(column[key])
        out["against_" + name] = {"ratio": statistics.median(pairs), "low": low, "high": high, "goal": goal,
                                  "met": None if goal is None else met(pairs, goal, row.high, row.by_interval)}
    if row.absolute is not None:
        median = out["ours"][0]
        out["absolute"] = {"goal": row.absolute, "met": median >= row.absolute if row.high else median <= row.absolute}
    if best:
        out["flags"] = best
    return out


def number(x):
    return f"{x:.0f}" if x >= 1000 else f"{x:.3g}"


def show_spread(s, unit=""):
    return f"{number(s[0])} ({number(s[1])}..{number(s[2])}){' ' + unit if unit else ''}" if s else "-"


def show_ratio(r, high):
    if not r:
        return "-"
    text = f"{r['ratio']:.2f} x ({r['low']:.2f}..{r['high']:.2f})"
    if r["goal"] is None:
        return text
    return f"{text}, goal {'>=' if high else '<='} {r['goal']:.3g}: {'MET' if r['met'] else 'NOT MET'}"


def show_absolute(j, high):
    a = j["absolute"]
    return f"goal {'>=' if high else '<='} {number(a['goal'])} {j['unit']}: {'MET' if a['met'] else 'NOT MET'}"


def lines(judged, highs):
    yield "| case | Tresor | llama-server default | llama-server best | against default | against best |"
    yield "|---|---|---|---|---|---|"
    for j, high in zip(judged, highs):
        other = j.get("default") or j.get("bare")
        against = j.get("against_default") or j.get("against_bare")
        flags = f" `{j['flags']}`" if "flags" in j else ""
        ratio = show_absolute(j, high) if "absolute" in j else show_ratio(against, high)
        yield (f"| {j['text']} | {show_spread(j['ours'], j['unit'])} | {show_spread(other)} | "
               f"{show_spread(j.get('best'))}{flags} | {ratio} | "
               f"{show_ratio(j.get('against_best'), high)} |")


def table(result, cases):
    """The rows of those cases that ran: (judged, the table's lines)."""
    rows = [(row, result["cases"][c.name]) for c in cases if c.name in result["cases"] for row in c.rows]
    judged = [(judge(row, got), row.high) for row, got in rows]
    judged = [(j, high) for j, high in judged if j]
    return [j for j, _ in judged], list(lines(*zip(*judged))) if judged else []


def busy_rounds(result):
    """Measurements, and how many of them others disturbed."""
    shares = [f["others"] for c in result["cases"].values() for v in c["rounds"].values() for f in v]
    return len(shares), sum(s > BUSY for s in shares), max(shares, default=0)


def document(result, cases):
    m, s = result["machine"], result["settings"]
    n, disturbed, worst = busy_rounds(result)
    judged, rows = table(result, cases)
    marks = [j[k]["met"] for j in judged for k in ("against_default", "against_best", "against_bare", "absolute")
             if k in j and j[k]["met"] is not None]
    out = [f"# Serving a team: {s['model']}", "",
           f"{result['date']}, {m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB, Linux {m['kernel']}. "
           f"{result['versions'].get('tresor', '?')}; llama-server {result['versions'].get('llama-server', '?')}, "
           f"the same pinned source. Seed {s['seed']}, {s['rounds']} rounds, alternating; {s['threads']} threads; "
           f"{s['cells']} KV cells (f16) for Tresor and for \"best\".", "",
           "Median (smallest..largest) of the rounds. A ratio is the median of the rounds' ratios, with its ends; for "
           "one user its 95 % interval (bootstrap). \"Default\" is llama-server with model, port and threads only "
           "(memory: with the same cells); \"best\" is the best of a grid for that row, its flags beside it; the "
           "last row's other side is a bare decode loop on the library.", "",
           f"{sum(marks)} of {len(marks)} goals met. Others took more than {BUSY:.0%} of the CPUs during {disturbed} of "
           f"{n} measurements (at most {worst:.0%}).", ""]
    dates = sorted({(c["date"], name) for name, c in result["cases"].items() if c.get("date")})
    if len(dates) > 1:
        out += ["Begun at: " + ", ".join(f"{name} {date}" for date, name in dates) + ".", ""]
    if s["scale"] != 1 or s["quick"] or not s["share_field"]:
        out += ["**Not a measurement of the goals:** " + ", ".join(
            [f"lengths scaled by {s['scale']}"] * (s["scale"] != 1) + ["--quick"] * s["quick"]
            + ["nothing marked as shared"] * (not s["share_field"])) + ".", ""]
    out += rows + [""]
    for name, c in result["cases"].items():
        if c.get("failed"):
            out.append(f"`{name}` did not end: {c['failed']}")
    facts = [(k, c["facts"]) for k, c in result["cases"].items() if c.get("facts")]
    if facts:
        out += ["", "What each side chose by itself:", ""]
        seen = []
        for _, f in facts:
            for side, what in f.items():
                line = f"- {side}: " + ", ".join(f"{k} {v}" for k, v in what.items() if v is not None)
                if line not in seen:
                    seen.append(line)
        out += seen
    return "\n".join(out).rstrip() + "\n"
