"""Medians, intervals, percentiles, and whether a goal is met."""
import random
import statistics


def spread(values):
    """Median, smallest, largest."""
    return statistics.median(values), min(values), max(values)


def interval(pairs, seed=1):
    """95 % interval of the median, by bootstrap."""
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(pairs, k=len(pairs))) for _ in range(2000))
    return medians[50], medians[1949]


def percentile(values, p):
    """The smallest value that at least p % of all do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * p // 100) - 1)]


def ratios(ours, theirs):
    """By rounds: what ran next to each other is compared."""
    return [a / b for a, b in zip(ours, theirs)]


def met(pairs, goal, high, by_interval=False):
    """Whether ratios reach a goal: their median, or the near end of its 95 % interval. `high`: more is better."""
    low_end, high_end = interval(pairs) if by_interval else (statistics.median(pairs),) * 2
    return low_end >= goal if high else high_end <= goal
