import itertools

import numpy as np
import optax
import pytest

from vast_jax.models.ctc import best_sentence, collapse, greedy


def by_groupby(path, blank=0):
    return [c for c, _ in itertools.groupby(path) if c != blank]


def log_probabilities(frames: int, classes: int, seed: int) -> np.ndarray:
    return np.log(np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), frames))


def test_collapse():
    assert collapse([]) == [] and collapse([0, 0]) == []
    assert collapse([1, 1, 0, 1, 2, 2, 3]) == [1, 1, 2, 3]
    assert collapse([2, 0, 1, 1], blank=2) == [0, 1]
    for path in itertools.product(range(3), repeat=5):
        assert collapse(path) == by_groupby(path)


def test_greedy_is_the_best_path():
    for seed in range(5):
        x = log_probabilities(6, 4, seed)
        paths = list(itertools.product(range(4), repeat=6))
        best = max(paths, key=lambda path: x[np.arange(6), list(path)].sum())
        assert greedy(x) == by_groupby(best)


@pytest.mark.parametrize(
    "places",
    [[[1, 2], [3], [1, 3]], [[1, 2, 3]], [[1], [1], [1]], [[1, 2], [1, 2]]],
    ids=["mixed", "one", "same", "two"],
)
@pytest.mark.parametrize("frames", [5, 7])
def test_best_sentence_is_that_of_the_best_allowed_path(places, frames):
    allowed = set(itertools.product(*places))
    paths = [p for p in itertools.product(range(4), repeat=frames) if tuple(by_groupby(p)) in allowed]
    for seed in range(4):
        x = log_probabilities(frames, 4, seed)
        best = max(paths, key=lambda path: x[np.arange(frames), list(path)].sum())
        assert best_sentence(x, places) == by_groupby(best)


def test_another_blank():
    x = log_probabilities(6, 4, 0)
    swapped = x[:, [3, 1, 2, 0]]
    assert best_sentence(swapped, [[1, 2], [1, 2]], blank=3) == best_sentence(x, [[1, 2], [1, 2]])


def test_too_short():
    assert best_sentence(log_probabilities(2, 4, 0), [[1], [2]]) == [1, 2]
    for frames in (0, 1):
        with pytest.raises(ValueError, match="cannot spell"):
            best_sentence(log_probabilities(frames, 4, 0), [[1], [2]])
    with pytest.raises(ValueError, match="cannot spell"):  # needs a blank between
        best_sentence(log_probabilities(2, 4, 0), [[1], [1]])


def test_likely_sentences_are_those_of_the_training_loss():
    """The loss that training lowers is the sum over the paths that `collapse` maps to the sentence."""
    x = log_probabilities(5, 4, 3)
    paths = itertools.product(range(4), repeat=5)
    total = np.logaddexp.reduce([x[np.arange(5), list(p)].sum() for p in paths if by_groupby(p) == [2, 2, 1]])
    loss = optax.ctc_loss(x[None], np.zeros((1, 5)), np.array([[2, 2, 1, 0]]), np.array([[0.0, 0, 0, 1]]))
    assert float(loss[0]) == pytest.approx(-total, rel=1e-4)
