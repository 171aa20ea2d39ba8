"""Recomputes the figures of gates.json from the lines of gates-runs.jsonl, by nothing but Python's standard library.

    python3 studies/gates/recompute.py docs/results

It shares no code with the study: means, Student's t, both kinds of tests and Holm's correction are written anew here.
It prints each figure that differs by more than 1e-6 and ends with code 1 if there is one.
"""

import functools
import json
import math
import pathlib
import statistics
import sys

TOLERANCE = 1e-6


def t_cdf(t, dof):
    """Distribution function of Student's t, by Simpson's rule over the angle whose tangent is t / sqrt(dof)."""
    scale = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(math.pi)
    intervals = 2_000
    width = math.atan(abs(t) / math.sqrt(dof)) / intervals
    values = [scale * math.cos(i * width) ** (dof - 1) for i in range(intervals + 1)]
    area = width / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
    return 0.5 + math.copysign(area, t)


@functools.cache
def t_quantile(p, dof):
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, dof) < p else (low, middle)
    return low


def mean_of(values):
    """Mean of values, their standard error and the 95 % interval; of one value the mean alone."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, None, None
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1) / n)
    half = t_quantile(0.975, n - 1) * error
    return mean, error, (mean - half, mean + half)


CACHES = {"eighth": 0, "quarter": 1, "half": 2}


def measured(run, measure):
    """Value of a measure in a run; None if the run, or its training, does not have it."""
    if measure == "perplexity":
        return math.exp((run["test"] or run["curve"][-1])["loss"])
    if measure == "onNodeShare":
        return run["localShare"]
    if measure == "bytesOtherNode":
        return run["bytesOtherNode"] / 1e6
    if measure in ("expertsPerToken", "keptChoices"):
        return run["expertsPerToken"] and run["expertsPerToken"]["end"]
    if measure == "reuse":
        return run.get("caches") and run["caches"]["reuse"]["tokens"]["p50"]
    for part, size in CACHES.items():
        if measure.startswith(part):
            key = {"Within": "withinText", "Over": "overTexts", "MostUsed": "mostUsed"}[measure[len(part) :]]
            return run.get("caches") and run["caches"]["hits"][size][key]
    return run[measure]


def p_of(logs, goal):
    """One-sided p of a change of at most `atMost`, or the larger p of the two tests of equality `within` a margin."""
    mean, error, _ = mean_of(logs)
    below = lambda bound: t_cdf((mean - bound) / error, len(logs) - 1)
    if "atMost" in goal:
        return below(math.log1p(goal["atMost"]))
    margin = math.log1p(goal["within"])
    return max(below(margin), 1 - below(-margin))


def holm(ps):
    corrected, largest = [0.0] * len(ps), 0.0
    for place, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[i]))
        corrected[i] = largest
    return corrected


def main(folder):
    runs = {}
    for line in (folder / "gates-runs.jsonl").read_text().splitlines():
        run = json.loads(line)
        runs.setdefault((run["kind"], run["settings"], run["seed"]), run)
    page = json.loads((folder / "gates.json").read_text())
    wrong, checked = [], 0

    def check(where, figure, value):
        nonlocal checked
        checked += 1
        if figure is None or value is None or abs(figure - value) > TOLERANCE * max(1, abs(value)):
            wrong.append(f"{where}: {figure} on the page, {value} here")

    def logs_of(row, other):
        kind = row["kind"]
        pairs = []
        for seed in row["seeds"]:
            own, rival = (runs.get((kind, each["settings"], seed)) for each in (row, other))
            if own is not None and rival is not None:
                pairs.append(math.log(measured(own, row["measure"]) / measured(rival, row["measure"])))
        return pairs

    for row in page["arms"]:
        where = f"{row['question']}, {row['arm']}"
        values = [measured(runs[(row["kind"], row["settings"], seed)], row["measure"]) for seed in row["seeds"]]
        check(where, row["mean"], math.exp(mean_of([math.log(value) for value in values])[0]))
        for against in row["against"]:
            mean, _, interval = mean_of(logs_of(row, against))
            check(f"{where} against {against['arm']}", against["change"], math.expm1(mean))
            if interval is not None:
                check(f"{where} against {against['arm']}, low", against["low"], math.expm1(interval[0]))
                check(f"{where} against {against['arm']}, high", against["high"], math.expm1(interval[1]))

    # Runs that differ in seed, arm and length alone, each length with settings of its own.
    settings = {(row["question"], row["arm"]): row["settings"] for row in page["arms"] if row["measure"] == "perplexity"}
    for trend in page["trends"]:
        slopes = []
        for seed in trend["seeds"]:
            points = []
            for question in trend["questions"]:
                own, other = (runs["quality", settings[question, trend[arm]], seed] for arm in ("arm", "reference"))
                ratio = measured(own, "perplexity") / measured(other, "perplexity")
                points.append((math.log10(own["steps"] * own["tokensPerStep"]), math.log(ratio)))
            slopes.append(statistics.linear_regression(*zip(*points)).slope)
        slope, _, interval = mean_of(slopes)
        check(f"trend of {trend['arm']}", trend["change"], math.expm1(slope))
        if interval is not None:
            check(f"trend of {trend['arm']}, low", trend["low"], math.expm1(interval[0]))
            check(f"trend of {trend['arm']}, high", trend["high"], math.expm1(interval[1]))

    for course in page["courses"]:
        own, other = (settings[course["question"], course[arm]] for arm in ("arm", "reference"))
        for i, point in enumerate(course["points"]):
            where = f"{course['question']}, {course['arm']} after {point['step']}"
            pairs = [[runs["quality", each, seed]["curve"][i] for each in (own, other)] for seed in course["seeds"]]
            change, _, interval = mean_of([own["loss"] - other["loss"] for own, other in pairs])
            check(f"{where}, step", point["step"], pairs[0][0]["step"])
            check(where, point["change"], math.expm1(change))
            if interval is not None:
                check(f"{where}, low", point["low"], math.expm1(interval[0]))
                check(f"{where}, high", point["high"], math.expm1(interval[1]))

    for row in page["shown"]:
        values = [measured(runs[(row["kind"], row["settings"], seed)], row["measure"]) for seed in row["seeds"]]
        median = statistics.median(value for value in values if value is not None)
        check(f"{row['question']}, {row['arm']}, {row['measure']}", row["median"], median)

    ps = []
    for test in page["tests"]:
        if test["measure"] == "timeToLoss":
            ps.append(None)
            continue
        logs = logs_of(test, test["reference"])
        ps.append(p_of(logs, test["goal"]) if len(logs) == test["planned"] else None)
    for test, p, corrected in zip(page["tests"], ps, holm([1.0 if p is None else p for p in ps])):
        if p is not None:
            check(f"test of {test['arm']}", test["p"], p)
            check(f"test of {test['arm']}, corrected", test["pHolm"], corrected)

    print("\n".join(wrong + [f"{checked} figures recomputed, {len(wrong)} differ"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
