"""Whether a result moves as its prompt does, and whether the style vector gives the speaker away.

Prompt and result say different words, so statistics over time are compared, not frames.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from vast_jax.media import FPS
from vast_jax.metrics.style_space import chance, neighbour_accuracy, of_several_groups, probe_accuracy

STATISTICS = ("mean", "spread", "speed", "range")
DIFFERS = 0.03  # deviation over prompts from which a parameter is compared, in the statistic's unit
SHUFFLES = 200
SEED = 0


class StyleSimilarity(NamedTuple):
    """Rank correlations over prompts, of "all", "strong" and "weak" parameters (or whatever groups were given)."""

    correlation: dict[str, float]  # mean over statistics and parameters; NaN if none differs between prompts
    shuffled: dict[str, float]  # the same with each result given to another's prompt, mean over derangements
    by_statistic: dict[str, dict[str, float]]  # group -> statistic -> correlation
    compared: dict[str, int]  # how many pairs of statistic and parameter differ between prompts
    prompts: int


class Leakage(NamedTuple):
    """Accuracy of telling speaker (wanted: low) and emotion (high) from style vectors; NaN where it cannot be tried."""

    speaker_neighbour: float  # by the nearest vector of another recording (cosine)
    speaker_probe: float  # by logistic regression, 5 folds
    speaker_chance: float
    emotion_neighbour: float  # by the nearest vector of another person
    emotion_probe: float  # the folds keep persons apart
    emotion_chance: float


def statistics(expression: np.ndarray) -> np.ndarray:
    """Of each parameter of [T, D], T >= 2 -> [4, D]: mean, spread (standard deviation), speed, range.

    Speed is the mean absolute difference of neighbouring frames a second; range is from the 5th to the 95th percentile.
    """
    expression = np.asarray(expression, np.float64)
    if len(expression) < 2:
        raise ValueError("the style of a single frame")
    low, high = np.percentile(expression, (5, 95), axis=0)
    speed = FPS * np.abs(np.diff(expression, axis=0)).mean(0)
    return np.stack([expression.mean(0), expression.std(0), speed, high - low])


def style_similarity(
    prompts: Sequence[np.ndarray],
    results: Sequence[np.ndarray],
    groups: Mapping[str, np.ndarray],
    shuffles: int = SHUFFLES,
    seed: int = SEED,
) -> StyleSimilarity:
    """Spearman's correlation over prompts of what a parameter does in the prompt and in the result.

    For each statistic and parameter whose deviation over prompts is above 0.03, mean over these. A result that is the
    same under all prompts correlates by 0. As a control, each result is compared with another's prompt, mean over
    random derangements; but for their noise that is -1 / (N - 1) of the correlation, so it only shows what chance does.

    Args:
      prompts, results: N expression sequences [T, D] each, a result in the style of the prompt of the same place; give
        every result the same speech (or the same several, joined), so that only the style differs. N >= 3.
      groups: name -> indices of parameters, as of `expressiveness.parameter_groups`.
    """
    if len(prompts) != len(results) or len(prompts) < 3:
        raise ValueError(f"{len(prompts)} prompts and {len(results)} results: three pairs are needed at least")
    given, made = (np.stack([statistics(x) for x in group]) for group in (prompts, results))  # [N, 4, D]
    differs = given.std(0) > DIFFERS
    ranks = _ranks(given), _ranks(made)
    own = (ranks[0] * ranks[1]).sum(0)
    rng = np.random.default_rng(seed)
    others = np.mean([(ranks[0] * ranks[1][_derangement(rng, len(prompts))]).sum(0) for _ in range(shuffles)], axis=0)

    def mean(values: np.ndarray, columns: np.ndarray, rows: slice = slice(None)) -> float:
        chosen = values[rows, columns][differs[rows, columns]]
        return float(chosen.mean()) if len(chosen) else float("nan")

    return StyleSimilarity(
        correlation={name: mean(own, columns) for name, columns in groups.items()},
        shuffled={name: mean(others, columns) for name, columns in groups.items()},
        by_statistic={
            name: {kind: mean(own, columns, slice(i, i + 1)) for i, kind in enumerate(STATISTICS)}
            for name, columns in groups.items()
        },
        compared={name: int(differs[:, columns].sum()) for name, columns in groups.items()},
        prompts=len(prompts),
    )


def identity_leakage(
    vectors: np.ndarray, speakers: Sequence[str], emotions: Sequence[str], recordings: Sequence[str] | None = None
) -> Leakage:
    """What style vectors [N, S] tell of who spoke, beside what they tell of how.

    The speaker is told by the nearest vector of another recording (without `recordings`: any other vector), because two
    windows of one recording share everything; and by a linear probe over 5 folds, recordings kept whole. The emotion is
    told by the nearest vector of another speaker, and by a probe whose folds keep speakers whole. Speakers with a
    single recording and emotions of a single speaker cannot be told and are left out. Chance is the share of the
    commonest label among those judged.
    """
    vectors, speakers, emotions = np.asarray(vectors), np.asarray(speakers), np.asarray(emotions)
    recordings = np.arange(len(vectors)) if recordings is None else np.asarray(recordings)
    return Leakage(*_told(vectors, speakers, recordings), *_told(vectors, emotions, speakers))


def _told(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[float, float, float]:
    """Accuracy by the nearest vector and by a probe, and chance."""
    kept = of_several_groups(labels, groups)
    vectors, labels, groups = vectors[kept], labels[kept], groups[kept]
    if len(set(labels.tolist())) < 2:
        return (float("nan"),) * 3
    accuracies = neighbour_accuracy(vectors, labels, groups, neighbours=1), probe_accuracy(vectors, labels, groups)
    return *accuracies, chance(labels)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks over the first axis, centred and of unit length: products of two sum to Spearman's correlation."""
    ranks = rankdata(values, axis=0)
    ranks = ranks - ranks.mean(0)
    return ranks / np.maximum(np.linalg.norm(ranks, axis=0), 1e-12)


def _derangement(rng: np.random.Generator, count: int) -> np.ndarray:
    """A random order in which nothing keeps its place."""
    while True:
        order = rng.permutation(count)
        if (order != np.arange(count)).all():
            return order
