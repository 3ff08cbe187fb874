"""Mean opinion scores of systems and their differences, each with a 95% interval."""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from vast_jax.files import atomic_path
from vast_jax.mos.answers import Answer
from vast_jax.mos.study import QUESTIONS, Key

MEAN_OF_ALL = "mean"  # of a clip's three answers
MEASURES = (*(question.name for question in QUESTIONS), MEAN_OF_ALL)
CONVENTION = (
    "Mean over all answers, 1 to 5. 95% intervals are for other raters and other sentences: variance clustered both by "
    "rater and by sentence, V(rater) + V(sentence) - V(answer) and no less than the larger of the first two, each "
    "clustered term times G / (G - 1) for G clusters, and Student's t with min(raters, sentences) - 1 degrees of "
    "freedom; none for fewer than two of either. Differences are paired: the same rater, the same sentence. No "
    "correction for the number of comparisons."
)


class Estimate(NamedTuple):
    """A mean and how sure it is."""

    mean: float
    low: float  # of the 95% interval; NaN where there is none
    high: float
    answers: int  # or pairs of answers
    raters: int
    sentences: int


class Score(NamedTuple):
    """What the raters of a test thought."""

    systems: dict[str, dict[str, Estimate]]  # by system and measure
    differences: dict[tuple[str, str], dict[str, Estimate]]  # first minus second system
    seconds: float  # median a clip
    replays: float  # mean a clip
    notes: list[str]


def score(key: Key, answers: Sequence[Answer], notes: Sequence[str] = ()) -> Score:
    """Means and paired differences of all systems of a test that have answers."""
    table: dict[str, dict[tuple[int, str], np.ndarray]] = {}
    for answer in answers:
        system, sentence = key.clips[answer.clip]
        values = np.array([*answer.scores, np.mean(answer.scores)])
        table.setdefault(system, {})[answer.rater, sentence] = values
    names = sorted(table)
    differences = {}
    for first, second in combinations(names, 2):
        both = table[first].keys() & table[second].keys()
        if both:
            paired = {at: table[first][at] - table[second][at] for at in both}
            differences[first, second] = _estimates(paired, -4, 4)
    return Score(
        {name: _estimates(table[name], 1, 5) for name in names},
        differences,
        float(np.median([answer.seconds for answer in answers])),
        float(np.mean([answer.replays for answer in answers])),
        list(notes),
    )


def _estimates(values: dict[tuple[int, str], np.ndarray], lowest: float, highest: float) -> dict[str, Estimate]:
    at = sorted(values)
    columns = np.array([values[place] for place in at]).T
    raters, sentences = (np.unique(names, return_inverse=True)[1] for names in zip(*at, strict=True))
    return {
        name: estimate(column, raters, sentences, lowest, highest)
        for name, column in zip(MEASURES, columns, strict=True)
    }


def estimate(
    values: np.ndarray, raters: np.ndarray, sentences: np.ndarray, lowest: float = -np.inf, highest: float = np.inf
) -> Estimate:
    """Mean of values [N] by raters and sentences (int [N], numbered from 0), with its interval cut at the scale's ends.

    Two-way clustered variance of Cameron, Gelbach and Miller (2011). In simulated tests of 3 to 30 raters and 6 to 10
    sentences its 95% interval held the truth in 94% of cases or more; t over raters alone, 69% where sentences differ.
    """
    mean, error = values.mean(), values - values.mean()
    groups = [raters.max() + 1, sentences.max() + 1]
    if min(groups) < 2:
        return Estimate(float(mean), np.nan, np.nan, len(values), *map(int, groups))
    of_raters, of_sentences = (
        (np.bincount(group, error) ** 2).sum() * count / (count - 1)
        for group, count in zip((raters, sentences), groups, strict=True)
    )
    squared = max(of_raters + of_sentences - (error**2).sum(), of_raters, of_sentences) / len(values) ** 2
    half = stats.t.ppf(0.975, min(groups) - 1) * np.sqrt(squared)
    low, high = np.clip([mean - half, mean + half], lowest, highest)
    return Estimate(float(mean), float(low), float(high), len(values), *map(int, groups))


def report(result: Score, out: Path | None = None) -> str:
    """The result as Markdown; also written to out/report.md, and as numbers to out/report.json."""
    lines = ["# Viewing test", "", CONVENTION, "", *_table("system", result.systems, signed=False)]
    if result.differences:
        named = {f"{first} - {second}": row for (first, second), row in result.differences.items()}
        lines += [
            "",
            "## Differences",
            "",
            *_table("systems", named, signed=True),
            "",
            "\\*: the interval leaves out zero.",
        ]
    lines += ["", f"A clip took {result.seconds:.0f} s (median) and was replayed {result.replays:.1f} times (mean)."]
    lines += ["", *(f"- {note}" for note in result.notes)] if result.notes else []
    text = "\n".join(lines)
    if out is not None:
        with atomic_path(out / "report.md") as part:
            part.write_text(text + "\n", encoding="utf-8")
        with atomic_path(out / "report.json") as part:
            part.write_text(json.dumps(_numbers(result), indent=1), encoding="utf-8")
    return text


def _table(head: str, rows: dict[str, dict[str, Estimate]], signed: bool) -> list[str]:
    titles = [*(question.title for question in QUESTIONS), "mean of the three"]
    lines = [f"| {head} | {' | '.join(titles)} | N |", "| --- |" + " ---: |" * (len(titles) + 1)]
    for name, row in rows.items():
        first = row[MEAN_OF_ALL]
        count = f"{first.answers} ({_count(first.raters, 'rater')}, {_count(first.sentences, 'sentence')})"
        cells = [_cell(row[measure], signed) for measure in MEASURES]
        lines.append(f"| {name.replace('|', '/')} | {' | '.join(cells)} | {count} |")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cell(value: Estimate, signed: bool) -> str:
    sign = "+" if signed else ""
    if np.isnan(value.low):
        return f"{value.mean:{sign}.2f}"
    mark = "\\*" if signed and value.low * value.high > 0 else ""
    return f"{value.mean:{sign}.2f} [{value.low:{sign}.2f}, {value.high:{sign}.2f}]{mark}"


def _numbers(result: Score) -> dict:
    def plain(row: dict[str, Estimate]) -> dict:
        return {name: {k: None if v != v else v for k, v in value._asdict().items()} for name, value in row.items()}

    return {
        "convention": CONVENTION,
        "systems": {name: plain(row) for name, row in result.systems.items()},
        "differences": [
            {"first": first, "second": second, **plain(row)} for (first, second), row in result.differences.items()
        ],
        "median_seconds": result.seconds,
        "mean_replays": result.replays,
        "notes": result.notes,
    }
