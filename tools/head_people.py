"""The identity basis: a PCA of random people made of MakeHuman's targets."""

import numpy as np
from head_source import Source

PEOPLE = 1600  # random people behind the PCA
DETAILS = ("head", "mouth", "nose", "eyes", "eyebrows", "cheek", "chin", "forehead", "ears", "asym")
OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"),
)  # fmt: skip


def mean_adult(source: Source, count: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Macro displacement [count, 3] of the mean adult, and all adult macro targets by name."""
    folder = "mpfb2/targets/macrodetails"
    macro = {
        n: source.target(f, count) for n, f in source.targets(folder).items() if "baby" not in n and "child" not in n
    }
    return sum(macro[name] * weight for name, weight in macro_weights(0.5, 0.15, np.ones(3) / 3, 0, 0).items()), macro


def macro_weights(female: float, age: float, race: np.ndarray, muscle: float, weight: float) -> dict[str, float]:
    """MakeHuman's macro target weights: products of factors, each interpolated (age 0 young, 1 old; -1 to 1 others)."""

    def levels(value, name):
        return {f"min{name}": max(-value, 0), f"average{name}": 1 - abs(value), f"max{name}": max(value, 0)}

    weights = {}
    for gender, g in (("female", female), ("male", 1 - female)):
        for years, a in (("young", 1 - age), ("old", age)):
            for name, r in zip(("african", "asian", "caucasian"), race, strict=True):
                weights[f"{name}-{gender}-{years}"] = g * a * r
            for m, wm in levels(muscle, "muscle").items():
                for w, ww in levels(weight, "weight").items():
                    weights[f"universal-{gender}-{years}-{m}-{w}"] = g * a * wm * ww
    return weights


def detail_axes(source: Source, count: int) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """Detail targets as (negative displacement, positive displacement, name): opposites are one signed axis."""
    axes = []
    for folder in DETAILS:
        files = source.targets(f"mpfb2/targets/{folder}")
        for name, file in files.items():
            if "breast" in name or "trunk" in name:
                continue
            stem, _, last = name.rpartition("-")
            low, high = next((pair for pair in OPPOSITES if last in pair), ("", ""))
            if last == high and f"{stem}-{low}" in files:
                continue  # taken with its opposite
            plus = source.target(file, count)
            if last == low and f"{stem}-{high}" in files:
                minus, plus = plus, source.target(files[f"{stem}-{high}"], count)
            else:
                minus = np.zeros_like(plus)
            axes.append((minus, plus, f"{folder}/{name}"))
    return axes


def random_people(axes, macro, mean: np.ndarray, keep: np.ndarray, seed: int = 0) -> np.ndarray:
    """Displacements [PEOPLE, K, 3] from the mean adult of random people, at the kept vertices."""
    rng = np.random.default_rng(seed)
    names = [name for _, _, name in axes]
    minus, plus = (np.stack([axis[k][keep] for axis in axes]).reshape(len(axes), -1) for k in (0, 1))
    # Left and right of one feature vary together, up to a little asymmetry; asymmetric and head shapes are rarer.
    partner = [names.index(n.replace("/r-", "/l-")) if "/r-" in n else k for k, n in enumerate(names)]
    scale = np.array([0.15 if n.startswith("asym") else 0.3 for n in names])
    draws = rng.normal(size=(PEOPLE, len(axes))) * scale
    draws = 0.96 * draws[:, partner] + 0.28 * rng.normal(size=draws.shape) * scale * 0.5
    draws = np.clip(draws, -1, 1)
    people = np.maximum(-draws, 0) @ minus + np.maximum(draws, 0) @ plus
    macro_names = list(macro)
    macro_rows = np.stack([macro[name][keep].ravel() for name in macro_names])
    weights = np.zeros((PEOPLE, len(macro_names)))
    for n in range(PEOPLE):
        drawn = macro_weights(
            rng.beta(0.7, 0.7), rng.beta(0.7, 1.8), rng.dirichlet([0.5] * 3), *np.clip(rng.normal(0, 0.35, 2), -1, 1)
        )
        weights[n] = [drawn[name] for name in macro_names]
    people += weights @ macro_rows - mean[keep].ravel()
    return people.reshape(PEOPLE, -1, 3)


def align(points: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Moves points [P, V, 3] rigidly onto target [V, 3], weighted by [V] (Kabsch): pose is no identity."""
    weight = weight / weight.sum()
    centre, goal = np.einsum("v,pvc->pc", weight, points), weight @ target
    covariance = np.einsum("v,pvi,vj->pij", weight, points - centre[:, None], target - goal)
    u, _, vt = np.linalg.svd(covariance)
    sign = np.ones((len(points), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    return (points - centre[:, None]) @ (u * sign[:, None]) @ vt + goal


def principal_components(people: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    """Basis [count, V, 3], one standard deviation each, of centred displacements; weight [V] says what counts."""
    people = people - people.mean(0)
    weighted = (people * weight[:, None]).reshape(len(people), -1)
    _, vectors = np.linalg.eigh(weighted @ weighted.T)
    scores = vectors[:, ::-1][:, :count] * np.sqrt(len(people))  # unit variance
    scores *= np.sign(scores[np.abs(scores).argmax(0), np.arange(count)])  # else libraries differ in the signs
    return np.einsum("pk,pvc->kvc", scores, people, optimize=True) / len(people)
