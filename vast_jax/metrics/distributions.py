"""How far two sets of pictures are apart by the distributions of their features: Frechet and kernel distance."""

from collections.abc import Iterable

import numpy as np


class Moments:
    """Mean and covariance of features seen in batches: memory is that of one F x F matrix, however many there are.

    Float64, merged batch by batch (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances", 1979).
    """

    def __init__(self, batches: Iterable[np.ndarray] = ()):
        self.count, self.mean, self._scatter = 0, np.zeros(0), np.zeros((0, 0))
        for batch in batches:
            self.add(batch)

    def add(self, features: np.ndarray) -> None:
        """Takes in features [N, F]."""
        features = np.asarray(features, np.float64)
        if not len(features):
            return
        mean = features.mean(0)
        centred = features - mean
        scatter = centred.T @ centred
        if not self.count:
            self.count, self.mean, self._scatter = len(features), mean, scatter
            return
        total = self.count + len(features)
        step = mean - self.mean
        self._scatter = self._scatter + scatter + np.outer(step, step) * (self.count * len(features) / total)
        self.mean = self.mean + step * (len(features) / total)
        self.count = total

    @property
    def covariance(self) -> np.ndarray:
        """[F, F], unbiased (divided by N - 1)."""
        return self._scatter / (self.count - 1)


def frechet_distance(first: np.ndarray | Moments, second: np.ndarray | Moments) -> float:
    """Frechet distance of the Gaussians fitted to two sets of features, each [N, F] or their `Moments`; NaN if N < 2.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances divided by N - 1 (Heusel et al., "GANs trained by a two
    time-scale update rule", NeurIPS 2017; Dowson and Landau 1982). The trace of the root is the sum of the square roots
    of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric, so that no root is complex. It is biased upwards by
    a small N: only figures of equally many frames compare, and there should be more frames than features. It is called
    FID only with Inception's features (`inception.py`), FD(...) with any other's.
    """
    a, b = (x if isinstance(x, Moments) else Moments([x]) for x in (first, second))
    if min(a.count, b.count) < 2:
        return float("nan")
    values, vectors = np.linalg.eigh(a.covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))  # C1 = root root^T, and root^T C2 root has the eigenvalues sought
    inner = np.linalg.eigvalsh(root.T @ b.covariance @ root)
    covariances = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return float(max(np.square(a.mean - b.mean).sum() + covariances, 0))


def kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of features [N, F] and [M, F], kernel (x.y / F + 1)^3; NaN if N < 2.

    The kernel distance (KID) of Binkowski et al., "Demystifying MMD GANs", ICLR 2018, over the whole sets instead of
    random subsets: the same expectation, less noise. Being unbiased it may fall below 0, and sets of any size compare.
    """
    x, y = (np.asarray(features, np.float64) for features in (first, second))
    if min(len(x), len(y)) < 2:
        return float("nan")
    own = [(_kernel(z, z).sum() - _kernel_of_self(z).sum()) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return float(own[0] + own[1] - 2 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _kernel_of_self(x: np.ndarray) -> np.ndarray:
    return (np.square(x).sum(1) / x.shape[1] + 1) ** 3
