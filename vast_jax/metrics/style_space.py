"""What the space of style vectors is ordered by: emotion, as it should be, or who spoke (paper, Figure 5).

All figures are of vectors [N, S] with a label each. Where a group (person) is given too, what is told of one group was
learned from others alone. `chance` is what naming the commonest label each time would score.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vast_jax.files import atomic_path

NEIGHBOURS = 5
FOLDS = 5
PERPLEXITY = 30.0
SEED = 0
_PROBE_STEPS = 2000
_MARKS = "osD^v<>"  # after ten colours, the next mark


class StyleSpace(NamedTuple):
    """How well labels are told from style vectors; NaN where there is too little to tell."""

    silhouette: float  # cosine, -1 to 1: how much closer a vector is to its label's than to the next label's
    neighbours: float  # accuracy of the vote of the 5 nearest (cosine) of other groups
    probe: float  # accuracy of logistic regression trained on other groups
    chance: float
    vectors: int  # how many were judged
    labels: int
    groups: int


def style_space(vectors: np.ndarray, labels: Sequence[str], groups: Sequence[str]) -> StyleSpace:
    """Separation of `labels` (emotions) of vectors [N, S], each of one of the `groups` (persons).

    Vectors whose label only one group has are left out: no other group could teach it.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    kept = of_several_groups(labels, groups)
    vectors, labels, groups = np.asarray(vectors, np.float64)[kept], labels[kept], groups[kept]
    count = len(set(labels.tolist()))
    if count < 2:
        return StyleSpace(*[float("nan")] * 4, len(labels), count, len(set(groups.tolist())))
    return StyleSpace(
        silhouette(vectors, labels),
        neighbour_accuracy(vectors, labels, groups),
        probe_accuracy(vectors, labels, groups),
        chance(labels),
        len(labels),
        count,
        len(set(groups.tolist())),
    )


def of_several_groups(labels: Sequence[str], groups: Sequence[str]) -> np.ndarray:
    """Which labels can be learned from other groups than their own, bool [N]: those that two groups have, or more."""
    labels, groups = np.asarray(labels), np.asarray(groups)
    return np.array([len(set(groups[labels == label].tolist())) > 1 for label in labels.tolist()], bool)


def chance(labels: Sequence[str]) -> float:
    """The share of the commonest label; NaN of none."""
    if not len(labels):
        return float("nan")
    return float(np.unique(np.asarray(labels), return_counts=True)[1].max() / len(labels))


def silhouette(vectors: np.ndarray, labels: Sequence[str]) -> float:
    """Mean silhouette (Rousseeuw 1987) by cosine distance; NaN unless there are 2 to N - 1 labels."""
    from sklearn.metrics import silhouette_score  # slow to import

    if not 1 < len(set(np.asarray(labels).tolist())) < len(labels):
        return float("nan")
    return float(silhouette_score(_unit(vectors), np.asarray(labels), metric="cosine"))


def neighbour_accuracy(
    vectors: np.ndarray, labels: Sequence[str], groups: Sequence[str] | None = None, neighbours: int = NEIGHBOURS
) -> float:
    """Accuracy of the vote of the nearest vectors by cosine; the nearer one breaks a tie.

    Neighbours are those of other groups, or, without groups, all other vectors. NaN if none has a neighbour.
    """
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    unit = _unit(vectors)
    hits = []
    for vector, label, group in zip(unit, labels, groups, strict=True):
        others = np.flatnonzero(groups != group)
        near = labels[others[np.argsort(-(unit[others] @ vector), kind="stable")[:neighbours]]].tolist()
        if near:
            hits.append(max(near, key=near.count) == label)  # of equals, max gives the first, hence the nearest
    return float(np.mean(hits)) if hits else float("nan")


def probe_accuracy(vectors: np.ndarray, labels: Sequence[str], groups: Sequence[str] | None = None) -> float:
    """Accuracy of logistic regression (standardised, C = 1) on the part of 5 folds that it was not trained on.

    Folds keep each group whole, or, without groups, hold all labels in equal shares. NaN where folds cannot be made.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors, labels = np.asarray(vectors, np.float64), np.asarray(labels)
    least = np.unique(labels, return_counts=True)[1].min()
    folds = min(FOLDS, least if groups is None else len(set(np.asarray(groups).tolist())))
    if folds < 2:
        return float("nan")
    maker = GroupKFold(folds) if groups is not None else StratifiedKFold(folds, shuffle=True, random_state=SEED)
    hits = []
    for train, test in maker.split(vectors, labels, groups):
        if len(set(labels[train].tolist())) < 2:
            hits.extend(labels[test] == labels[train][0])
            continue
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_PROBE_STEPS)).fit(
            vectors[train], labels[train]
        )
        hits.extend(probe.predict(vectors[test]) == labels[test])
    return float(np.mean(hits))


def tsne(vectors: np.ndarray) -> np.ndarray:
    """t-SNE of vectors [N, S] -> [N, 2]: PCA init, seed 0, perplexity 30, or a third of what few vectors allow."""
    from sklearn.manifold import TSNE

    if len(vectors) < 4:
        raise ValueError(f"{len(vectors)} vectors are too few for t-SNE")
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(np.asarray(vectors, np.float64))


def plot_points(path: str | os.PathLike, points: np.ndarray, labels: Sequence[str], title: str = "") -> None:
    """Writes a PNG of points [N, 2], as of `tsne`, each in its label's colour and mark."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axis, labels = figure.subplots(), np.asarray(labels)
    for n, label in enumerate(sorted(set(labels.tolist()))):
        x, y = points[labels == label].T
        axis.scatter(x, y, s=22, color=f"C{n % 10}", marker=_MARKS[n // 10 % len(_MARKS)], label=label, alpha=0.8)
    axis.set(xticks=[], yticks=[], title=title)
    if len(labels):
        axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    with atomic_path(path) as part:
        figure.savefig(part, format="png", dpi=100)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
